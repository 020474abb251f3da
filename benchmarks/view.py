"""How long `experiments.view` takes to start, to paint a map for the first time, and to pan.

    python -m benchmarks.view
    python -m benchmarks.view --against_rio_tiler
    python -m benchmarks.view --map MAP --cubes DIR --json view.json

Draws a map of 20 x 20 cubes of 128 x 128 pixels and cubes under it, starts the command, and asks it
for tiles as a browser does, over six connections: 60 around the middle of the map at each zoom,
first cold, then again. With --against_rio_tiler, rio-tiler reads the same tiles (of classes) from
the same rasters, as a mosaic of those that a tile hits and through a virtual raster of all of them.
"""

import argparse
import concurrent.futures
import datetime as dt
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks import report
from cropmap_jax.geo import cube, cube_io, periods
from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.mapping import map_rasters, metadata, summary

CONNECTIONS = 6
"""Of a browser to one server."""
SIDE = 128
LEGEND = Legend("drawn", tuple(
    make_class(i, i + 1, f"crop{i}", f"Crop {i}", f"#{40 * i + 20:02x}80{220 - 40 * i:02x}")
    for i in range(6)))  # fmt: skip
FILES = ("", "app.css", "app.js", "boot.js", "charts.js", "here.js", "layers.js", "panel.js",
         "served.js", "maplibre-gl.css", "maplibre-gl.mjs", "maplibre-gl-worker.mjs")  # fmt: skip
MONTHS = periods.month_periods(dt.date(2022, 4, 1), dt.date(2022, 6, 1))
CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("view", __doc__)
    parser.add_argument("--map", help="of predict; default: one is drawn")
    parser.add_argument("--cubes", help="the cubes of that map")
    parser.add_argument("--across", type=int, default=20, help="cubes of a side of the drawn map")
    parser.add_argument("--tiles", type=int, default=60)
    parser.add_argument("--zooms", type=int, nargs="+", default=[10, 11, 12, 13, 14, 15])
    parser.add_argument("--against_rio_tiler", action="store_true")
    args = parser.parse_args(argv)
    if args.quick:
        args.across, args.tiles, args.zooms = 2, 6, [13, 14]
    return args


def main(argv: list[str] | None = None) -> dict:
    """Prints seconds to start and milliseconds a tile; returns the figures."""
    args = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        folder, cubes = args.map, args.cubes
        if folder is None:
            folder, cubes = draw(root, args.across)
        found = time_server(pathlib.Path(folder), cubes, args, root)
        if args.against_rio_tiler:
            found["rio-tiler"] = time_rio_tiler(pathlib.Path(folder), found, args, root)
    found = {"cubes": len(list(pathlib.Path(folder).glob("*/map.json"))) or args.across**2} | found
    return report.finish("view", args, describe(found, args), found)


def draw(root: pathlib.Path, across: int) -> tuple[str, str]:
    """Draws a map and its cubes: fields of 8 to 16 pixels a side, each of one class."""
    rng = np.random.default_rng(0)
    wide = across * SIDE
    ends = [np.cumsum(rng.integers(8, 17, wide)) for _ in range(2)]
    rows, cols = (np.searchsorted(end, np.arange(wide), side="right") for end in ends)
    crops = rng.integers(0, len(LEGEND), (wide, wide), dtype=np.uint8)[rows][:, cols]
    percent = rng.integers(40, 100, (wide, wide), dtype=np.uint8)
    colours = rng.uniform(0.02, 0.3, (len(LEGEND), 10)).astype(np.float32)
    (root / "map").mkdir()
    for i in range(across * across):
        row, col = divmod(i, across)
        place = slice(row * SIDE, (row + 1) * SIDE), slice(col * SIDE, (col + 1) * SIDE)
        affine = Affine(10, 0, 512_000 + 1280 * col, 0, -10, 3_840_000 - 1280 * row)
        grid = GeoBox((SIDE, SIDE), affine, "EPSG:32639")
        info = cube.CubeInfo(f"c{i:05d}", grid, MONTHS, LEGEND, "b", "test", "2021-2022")
        crop = crops[place]
        described = _metadata(info, crop)
        map_rasters.write_map(root / "map", info, LEGEND, crop, percent[place], described)
        s2 = np.broadcast_to(colours[crop], (len(MONTHS), SIDE, SIDE, 10))
        s1 = np.full((len(MONTHS), SIDE, SIDE, 2), -15, np.float32)
        label = np.full((SIDE, SIDE), 255, np.uint8)
        cube_io.write_cube(cube.Cube(info, label=label, s1=s1, s2=s2.copy()), root / "cubes")
    names = (path.name for path in sorted((root / "map").iterdir()))
    tally = summary.tally(root / "map", names, LEGEND)
    summary.write_csv(root / "map" / "summary.csv", tally.rows(LEGEND))
    return str(root / "map"), str(root / "cubes")


def _metadata(info: cube.CubeInfo, crop: np.ndarray) -> dict:
    counts = np.bincount(crop.ravel(), minlength=256)
    settings = metadata.Settings("drawn", 0, MONTHS[-1].end.isoformat(), None, 0)
    return {
        "cube": info.cube_id, "season": info.season, "settings": settings.to_json(),
        "workdir": "none", "window": [f"{p.start}/{p.end}" for p in MONTHS],
        "window_end": MONTHS[-1].end.isoformat(), "periods_before_the_cube": 0,
        "lead_days": {}, "excluded": {}, "pixel_m": 10.0,
        "area": {name: {"pixels": int(counts[value]), "hectares": counts[value] / 100}
                 for value, name in metadata.values(LEGEND).items()},
    }  # fmt: skip


def time_server(folder: pathlib.Path, cubes: str | None, args, root: pathlib.Path) -> dict:
    """Starts the command and asks it for tiles."""
    flags = ["--map", str(folder), "--port", "0", *(["--cubes", cubes] if cubes else [])]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.view", *flags], cwd=CHECKOUT,
        stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(root / "cache")},
    )  # fmt: skip
    try:
        line = next((line for line in process.stdout if line.startswith("map: ")), None)
        if line is None:
            raise SystemExit("the command ended before it served")
        host = urllib.parse.urlparse(re.sub(r"^map: ", "", line.strip())).netloc
        found = {"start, s": time.perf_counter() - begun, "start, cpu s": used(process.pid)}
        begun = time.perf_counter()
        ((seconds, body),) = ask(host, ["/view.json"])
        found |= {"view.json, s": time.perf_counter() - begun, "zooms": {}}
        found["bounds"] = json.loads(body)["bounds"]
        layers = ["crop", "confidence", *(["image"] if json.loads(body)["image"] else [])]
        found["first view"] = first_view(host, found["bounds"], layers, process.pid)
        for z in args.zooms:
            places = around(found["bounds"], z, args.tiles)
            for layer in layers:
                paths = [f"/tiles/{layer}/0/{z}/{x}/{y}.png" for x, y in places]
                found["zooms"].setdefault(z, {})[layer] = {
                    name: timed(host, paths, process.pid) for name in ("cold", "again")
                }
        return found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def first_view(host: str, bounds: list[float], layers: list[str], pid: int) -> dict:
    """The page's files and the tiles of crops and images that a window of 900 x 800 shows first."""
    z = round(np.log2(360 / (bounds[2] - bounds[0]) * 900 / 256))
    files = [f"/{name}" for name in FILES]
    shown = [name for name in layers if name != "confidence"]
    places = around(bounds, z, 20)
    tiles = [f"/tiles/{name}/0/{z}/{x}/{y}.png" for name in shown for x, y in places]
    begun, before = time.perf_counter(), used(pid)
    ask(host, files)
    page = time.perf_counter() - begun
    ask(host, tiles)
    whole = time.perf_counter() - begun
    own = used(pid) - before
    return {"zoom": z, "page, s": page, "tiles": len(tiles), "with tiles, s": whole, "cpu s": own}


def around(bounds: list[float], z: int, count: int) -> list[tuple[int, int]]:
    """Tiles around the middle of a map, nearest first."""
    west, south, east, north = bounds
    u, lat = ((west + east) / 2 + 180) / 360, np.radians((south + north) / 2)
    v = 0.5 - np.arcsinh(np.tan(lat)) / (2 * np.pi)
    x, y = u * 2**z, v * 2**z
    side = int(np.ceil(np.sqrt(count)))
    steps = range(-side, side + 1)
    every = [(int(x) + i, int(y) + j) for i in steps for j in steps]
    return sorted(every, key=lambda t: max(abs(t[0] + 0.5 - x), abs(t[1] + 0.5 - y)))[:count]


def used(pid: int) -> float:
    """Seconds of a processor that a process has used, which no other load changes."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(host: str, paths: list[str], pid: int) -> dict:
    """Wall time of all tiles over the number of tiles, the server's own, and how long one takes."""
    begun, before = time.perf_counter(), used(pid)
    answers = ask(host, paths)
    wall = time.perf_counter() - begun
    waits = [1000 * seconds for seconds, _ in answers]
    own = 1000 * (used(pid) - before) / len(paths)
    return {"ms_a_tile": 1000 * wall / len(paths), "cpu_ms": own, "wait_ms": report.spread(waits)}


def ask(host: str, paths: list[str]) -> list[tuple[float, bytes]]:
    """(seconds, body) of each path, over connections that stay open."""
    own = threading.local()

    def one(path: str) -> tuple[float, bytes]:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(host, timeout=300)
        begun = time.perf_counter()
        own.connection.request("GET", path)
        answer = own.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")
        return time.perf_counter() - begun, body

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(one, paths))


def time_rio_tiler(folder: pathlib.Path, found: dict, args, root: pathlib.Path) -> dict:
    """CPU ms of the same tiles by rio-tiler, one after the other; a sixth of them if many."""
    import warnings

    from rio_tiler.io import Reader
    from rio_tiler.mosaic import mosaic_reader

    warnings.filterwarnings("ignore")
    files = [str(path) for path in sorted(folder.glob("*/crop.tif"))]
    boxes = []
    for file in files:
        with Reader(file) as reader:
            boxes.append(reader.get_geographic_bounds("EPSG:4326"))
    boxes, nearest = np.array(boxes), {"resampling_method": "nearest"}

    def one(file, x, y, z):
        with Reader(file) as reader:
            return reader.tile(x, y, z, **nearest)

    out: dict = {}
    with Reader(str(_virtual(files, root / "all.vrt"))) as whole:
        for z in args.zooms:
            places = around(found["bounds"], z, args.tiles)[: max(args.tiles // 6, 2)]
            begun, hits = time.process_time(), 0
            for x, y in places:
                west, east = (360 * u / 2**z - 180 for u in (x, x + 1))
                north, south = (
                    np.degrees(np.arctan(np.sinh(np.pi - 2 * np.pi * v / 2**z))) for v in (y, y + 1)
                )
                hit = (boxes[:, 0] < east) & (boxes[:, 2] > west)
                hit &= (boxes[:, 1] < north) & (boxes[:, 3] > south)
                own = [files[i] for i in np.flatnonzero(hit)]
                hits += len(own)
                if own:
                    mosaic_reader(own, one, x, y, z, threads=0)[0].render(img_format="PNG")
            mosaic = 1000 * (time.process_time() - begun) / len(places)
            begun = time.process_time()
            for x, y in places:
                if whole.tile_exists(x, y, z):
                    whole.tile(x, y, z, **nearest).render(img_format="PNG")
            virtual = 1000 * (time.process_time() - begun) / len(places)
            out[z] = {"mosaic": mosaic, "vrt": virtual, "cubes": hits / len(places)}
    return out


def _virtual(files: list[str], path: pathlib.Path) -> pathlib.Path:
    import rasterio

    places = []
    for file in files:
        with rasterio.open(file) as raster:
            places.append((raster.transform, raster.crs, raster.shape))
    left, top = min(p[0].c for p in places), max(p[0].f for p in places)
    rows = []
    for file, (at, _, (height, width)) in zip(files, places, strict=True):
        size = f'xSize="{width}" ySize="{height}"'
        x, y = round((at.c - left) / at.a), round((top - at.f) / at.a)
        rows.append(
            f'<SimpleSource><SourceFilename shared="0">{file}</SourceFilename>'
            f'<SourceBand>1</SourceBand><SourceProperties RasterXSize="{width}" '
            f'RasterYSize="{height}" DataType="Byte"/><SrcRect xOff="0" yOff="0" {size}/>'
            f'<DstRect xOff="{x}" yOff="{y}" {size}/></SimpleSource>'
        )
    wide = max(round((p[0].c - left) / p[0].a) + p[2][1] for p in places)
    high = max(round((top - p[0].f) / p[0].a) + p[2][0] for p in places)
    path.write_text(
        f'<VRTDataset rasterXSize="{wide}" rasterYSize="{high}"><SRS>{places[0][1].to_string()}'
        f"</SRS><GeoTransform>{left}, {places[0][0].a}, 0, {top}, 0, -{places[0][0].a}"
        f'</GeoTransform><VRTRasterBand dataType="Byte" band="1"><NoDataValue>255</NoDataValue>'
        f"{''.join(rows)}</VRTRasterBand></VRTDataset>"
    )
    return path


def describe(found: dict, args) -> str:
    """The table."""
    first = found["first view"]
    text = (
        f"{found['cubes']} cubes; {found['start, s']:.1f} s until it serves "
        f"({found['start, cpu s']:.1f} s of a processor), {found['view.json, s']:.2f} s until the "
        f"page is told what there is; its files and the {first['tiles']} tiles of the first view "
        f"(zoom {first['zoom']}) come in {first['with tiles, s']:.2f} s ({first['cpu s']:.2f} s of "
        f"a processor); below, {args.tiles} tiles over {CONNECTIONS} connections\n\n"
    )
    rio = found.get("rio-tiler", {})
    rows = []
    for z, layers in found["zooms"].items():
        for layer, times in layers.items():
            row = [z, layer, *(times[name]["ms_a_tile"] for name in ("cold", "again"))]
            row += [times[name]["cpu_ms"] for name in ("cold", "again")]
            row.append(times["cold"]["wait_ms"]["median"])
            if rio:
                row += [rio[z][k] if layer == "crop" else "" for k in ("mosaic", "vrt", "cubes")]
            rows.append(row)
    head = ["zoom", "layer", "ms a tile, cold", "again", "CPU ms a tile, cold", "again"]
    head.append("a tile comes after, ms (cold)")
    head += (
        ["rio-tiler, mosaic, CPU ms", "rio-tiler, VRT, CPU ms", "cubes in a tile"] if rio else []
    )
    return text + report.table(head, rows)


if __name__ == "__main__":
    main()
