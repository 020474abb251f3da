"""Fetches from a catalogue on this machine that fails now and then, and is killed now and then.

    python -m benchmarks.fetch
    python -m benchmarks.fetch --quick

The command itself, in a process of its own, fetches tiles from cloud-optimised GeoTIFFs behind a
loopback server with range requests, every n-th of which it answers with 429, 503 or half of it. It
is killed with SIGKILL as often as asked and started again. At the end every cube is compared with
what numpy composites of the same scenes, and those that were there at a kill with what they were.
"""

import contextlib
import datetime as dt
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import pyproj
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks import report
from cropmap_jax.geo import cube_io, grid
from cropmap_jax.sources.simulator import scene_files

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
EPSG, COL, ROW = 32631, 388, 4000
"""South-west tile, next to the zone's middle meridian, where tiles lie along meridians."""
DAYS_OPTICAL, DAYS_RADAR = range(2, 58, 7), range(1, 60, 6)
"""Of March and April 2018."""
BLOCK_PX = 512
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
CONFIG = """
import runpy

def get_config():
    config = runpy.run_path({base!r})["get_config"]()
    config.kind = "regions"
    config.catalogue = {url!r}
    config.regions = {{"here": {{"box": {box}, "country": "x", "harvest": "2018-09-01",
                                "split": "train"}}}}
    config.months = ("2018-03-01", "2018-04-30")
    config.label.kind = "none"
    return config
"""


def scenes(rows: slice, cols: slice) -> Iterator[tuple[str, dt.datetime, dict[str, np.ndarray]]]:
    """(collection, time, {asset: array}) of a part of scenes whose pixels tell where they are."""
    r, c = np.mgrid[rows, cols]
    first = dt.datetime(2018, 3, 1, tzinfo=dt.UTC)
    for k, day in enumerate(DAYS_OPTICAL):
        layers = {
            name: (1000 + (7 * r + 3 * c + 211 * b + 37 * k * (b + 1)) % 4000).astype(np.uint16)
            for b, name in enumerate(scene_files.OPTICAL_ASSETS)
        }
        cloudy = (r // 16 + c // 16 + k) % 4 == 0
        layers[scene_files.SCL] = np.where(cloudy, 9, 4).astype(np.uint8)
        yield scene_files.OPTICAL, first + dt.timedelta(days=day, hours=11), layers
    for k, day in enumerate(DAYS_RADAR):
        power = (0.01 * (1 + (r + 2 * c) % 50) * (1 + 0.1 * k)).astype(np.float32)
        layers = {"vv": power, "vh": power * np.float32(0.2)}
        yield scene_files.RADAR, first + dt.timedelta(days=day, hours=6), layers


def write_catalogue(folder: pathlib.Path, box: GeoBox) -> None:
    """Writes the scenes as an API of `range_server` finds them."""
    height, width = box.shape
    for collection, time_, layers in scenes(slice(0, height), slice(0, width)):
        name = f"{collection}-{time_:%Y%m%d}"
        where = folder / collection / "all" / name
        where.mkdir(parents=True)
        assets = {}
        for key, array in layers.items():
            nodata = scene_files.RADAR_NODATA if array.dtype.kind == "f" else 0
            scene_files.write_cog(where / f"{key}.tif", array, box, nodata, BLOCK_PX)
            assets[key] = {"scale": 0.0001} if array.dtype == np.uint16 else {}
        props = {"platform": "sentinel-1a", "sat:orbit_state": "ascending", "sat:relative_orbit": 1}
        if collection == scene_files.OPTICAL:
            props = {"platform": "sentinel-2a", "s2:processing_baseline": "02.06"}
        item = scene_files.make_item(name, time_, box, props, assets).to_dict(False)
        item["collection"] = collection
        (where / f"{name}.json").write_text(json.dumps(item))
        value = {
            "type": "Collection", "id": collection, "stac_version": "1.1.0", "description": "x",
            "license": "CC0-1.0", "links": [], "extent": {
                "spatial": {"bbox": [item["bbox"]]}, "temporal": {"interval": [[None, None]]}},
        }  # fmt: skip
        (folder / collection / "collection.json").write_text(json.dumps(value))


def expected(rows: slice, cols: slice) -> tuple[np.ndarray, np.ndarray]:
    """S2 [2, H, W, 10] in DN and dB x 100 [2, H, W, 2] of a part of the area, by numpy alone."""
    optical: list[list[np.ndarray]] = [[], []]
    radar: list[list[np.ndarray]] = [[], []]
    for collection, time_, layers in scenes(rows, cols):
        month = time_.month - 3
        if collection == scene_files.OPTICAL:
            values = np.stack([layers[n] for n in scene_files.OPTICAL_ASSETS], -1).astype(float)
            optical[month].append(np.where(layers["SCL"][..., None] == 4, values, np.nan))
        else:
            radar[month].append(np.stack([layers["vv"], layers["vh"]], -1).astype(float))
    s2 = np.stack([np.nanmedian(own, axis=0) for own in optical])
    return s2, np.stack([1000 * np.log10(np.mean(own, axis=0)) for own in radar])


def area(tiles: tuple[int, int]) -> tuple[GeoBox, tuple[float, ...]]:
    """The grid of so many tiles (across, up), and a box in degrees that holds them."""
    across, up = tiles
    left, top = COL * grid.TILE_M, (ROW + up) * grid.TILE_M
    px = grid.PIXEL_M
    shape = (up * grid.TILE_PX, across * grid.TILE_PX)
    box = GeoBox(shape, Affine(px, 0, left, 0, -px, top), f"EPSG:{EPSG}")
    west, south, east, north = pyproj.Transformer.from_crs(
        EPSG, 4326, always_xy=True
    ).transform_bounds(*box.boundingbox)
    return box, (west - 1e-4, south - 1e-4, east + 1e-4, north + 1e-4)


class Run:
    """The command, watched."""

    def __init__(self, config: pathlib.Path, cubes: pathlib.Path):
        self.cubes = cubes
        self.mib: list[float] = []
        command = [sys.executable, "-m", "experiments.fetch", "--config", str(config),
                   "--cubes", str(cubes)]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.text = ""
        self._reader.start()

    def _read(self) -> None:
        self.text = self.process.stdout.read()

    def until(self, count: int | None) -> bool:
        """Waits until so many cubes are there, then kills it; whether it was killed."""
        while self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
                self.mib.append(int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20)
            if count is not None and len(finished(self.cubes)) >= count:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
                return True
            time.sleep(0.05)
        self._reader.join()
        if self.process.returncode:
            raise ValueError(f"fetch ended with {self.process.returncode}: {self.text[-2000:]}")
        return False


def finished(cubes: pathlib.Path) -> dict[str, int]:
    """{cube's id: when its item was written}."""
    return {
        item.parent.name: item.stat().st_mtime_ns
        for item in cubes.glob("*/item.json")
        if not item.parent.name.startswith(".")
    }


def check(cubes: pathlib.Path, box: GeoBox) -> tuple[int, float, float]:
    """How many cubes there are, and the largest differences: S2 in DN, S1 in dB."""
    worst = [0.0, 0.0]
    infos = cube_io.list_cubes(cubes)
    for info in infos:
        raw = cube_io.read_raw(info.path, verify=True)
        row = round((box.affine.f - info.geobox.affine.f) / 10)
        col = round((info.geobox.affine.c - box.affine.c) / 10)
        s2, s1 = expected(slice(row, row + 128), slice(col, col + 128))
        for i, (name, own) in enumerate((("s2", s2), ("s1", s1))):
            worst[i] = max(worst[i], float(np.abs(raw.pixels[name] - own).max()))
    return len(infos), worst[0], worst[1] / 100


def cpu_seconds(who: int) -> float:
    """CPU seconds of this process, or of those that it started and that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def bare_rate(url: str, files: list[str], threads: int, count: int) -> tuple[float, float]:
    """Requests a second of threads that do nothing but read a header and a block of files, and CPU
    seconds a request, of theirs and of the server's together."""
    host = url.removeprefix("http://")
    numbers, lock = iter(range(count)), threading.Lock()

    def work():
        connection = http.client.HTTPConnection(host)
        while True:
            with lock:
                i = next(numbers, None)
            if i is None:
                return
            first = 0 if i % 2 else 32_768
            headers = {"Range": f"bytes={first}-{first + (32_767 if i % 2 else 131_072)}"}
            connection.request("GET", f"/files/{files[i % len(files)]}", headers=headers)
            connection.getresponse().read()

    crew = [threading.Thread(target=work) for _ in range(threads)]
    began, before = time.monotonic(), cpu_seconds(resource.RUSAGE_SELF)
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    used = cpu_seconds(resource.RUSAGE_SELF) - before
    return count / (time.monotonic() - began), used / count


def measure(tiles: tuple[int, int], kills: int, every: int) -> tuple[str, dict]:
    """Text and figures."""
    sys.path.insert(0, str(CHECKOUT / "tests" / "sources" / "stac"))
    from range_server import RangeServer

    box, degrees = area(tiles)
    total = tiles[0] * tiles[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_catalogue(folder / "scenes", box)
        files = [f.relative_to(folder / "scenes").as_posix()
                 for f in sorted((folder / "scenes").rglob("*.tif"))]  # fmt: skip
        with RangeServer(folder / "scenes") as server:
            rate, bare_cpu = bare_rate(server.url, files, 16, 40 * len(files))
            server.every = every
            config = folder / "config.py"
            config.write_text(CONFIG.format(
                base=str(CHECKOUT / "configs" / "fetch_local.py"), url=f"{server.url}/api",
                box=tuple(degrees),
            ))  # fmt: skip
            server.requests.clear()
            cubes, again, memory = folder / "cubes", 0, []
            kept: dict[str, int] = {}
            began = time.monotonic()
            own, others = (cpu_seconds(w) for w in _WHO)
            killed = 0
            for kill in range(kills + 1):
                run = Run(config, cubes)
                count = total * (kill + 1) // (kills + 1) if kill < kills else None
                killed += run.until(count)
                memory.append(max(run.mib, default=0.0))
                now = finished(cubes) if cubes.is_dir() else {}
                again += sum(now.get(one) != at for one, at in kept.items())
                kept = now
            seconds = time.monotonic() - began
            own, others = (cpu_seconds(w) - b for w, b in zip(_WHO, (own, others), strict=True))
            asked = sum(path.endswith(".tif") for _, path, _ in server.requests)
        made, worst_s2, worst_s1 = check(cubes, box)
        shutil.rmtree(cubes)
    figures = {
        "cubes": made, "expected": total, "kills": killed, "fetched_again": again,
        "worst_s2_dn": worst_s2, "worst_s1_db": worst_s1, "seconds": seconds, "requests": asked,
        "requests_per_s": asked / seconds, "bare_requests_per_s": rate, "peak_mib": memory,
        "fault_every": every, "client_cpu_s": others, "server_cpu_s": own,
        "bare_cpu_s_per_request": bare_cpu, "load": os.getloadavg()[0],
        "client_cpu_s_per_request": others / asked,
    }  # fmt: skip
    most = bare_cpu / ((own + others) / asked)
    rows = [
        ["cubes whole", f"{made} of {total}"],
        ["killed with SIGKILL", killed],
        ["finished cubes that changed after a kill", again],
        ["largest difference from numpy, S2", f"{worst_s2:.2f} DN"],
        ["largest difference from numpy, S1", f"{worst_s1:.4f} dB"],
        ["requests for files", f"{asked:,}, each {every}th failed"],
        ["time, starts included", f"{seconds:.0f} s"],
        ["requests a second", f"{asked / seconds:.0f}"],
        ["of what the server gives to bare readers", f"{asked / seconds / rate:.0%} of {rate:.0f}"],
        ["load of the machine at the end", f"{os.getloadavg()[0]:.1f}"],
        ["CPU time a request, fetch alone", f"{1000 * others / asked:.1f} ms"],
        ["CPU time a request, fetch and server", f"{1000 * (own + others) / asked:.1f} ms"],
        ["CPU time a request, bare readers and server", f"{1000 * bare_cpu:.1f} ms"],
        ["share of the server's rate, by CPU time", f"{most:.0%}"],
        ["peak memory of each run, MiB", ", ".join(f"{m:.0f}" for m in memory)],
    ]
    return report.table(["fetch under faults", ""], rows), figures


def main(argv: list[str] | None = None) -> int:
    parser = report.make_parser("fetch", __doc__)
    parser.add_argument("--tiles", type=int, nargs=2, default=(15, 14), help="across and up")
    parser.add_argument("--kills", type=int, default=5, help="how often it is killed")
    parser.add_argument("--every", type=int, default=100, help="each so many requests fail")
    args = parser.parse_args(argv)
    tiles, kills = ((5, 1), 1) if args.quick else (tuple(args.tiles), args.kills)
    return report.run("fetch", args, lambda: measure(tiles, kills, args.every))


if __name__ == "__main__":
    sys.exit(main())
