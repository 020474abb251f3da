"""The picture of the README: a site of a simulated world as an image, as mapped, and as it is.

    python -m benchmarks.picture --map demo/map --cubes demo/iran/cubes --truth demo/iran/truth \
        --out docs/pictures/map.png

Of the sites of the split, the one with most crops of 2 % of its ground or more is drawn; below
it stands which share of its pixels the map shows as they are.
"""

import argparse
import io
import pathlib
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from PIL import Image

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import NONE_OF_THESE, Legend
from cropmap_jax.mapping import metadata

FALSE_COLOUR = ("B8", "B11", "B4")
"""Near infrared, short-wave infrared and red as red, green and blue: crops differ in it."""
LEAST_SHARE = 0.02
OTHER_GROUND = "#dddddd"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, what in (
        ("map", "folder of experiments.predict"),
        ("cubes", "folder of experiments.simulate"),
        ("truth", "its folder of truth"),
        ("out", "PNG to write"),
    ):
        parser.add_argument(f"--{name}", required=True, help=what)
    parser.add_argument("--split", default="test", help="whose sites")
    args = parser.parse_args()
    maps, truth = pathlib.Path(args.map), pathlib.Path(args.truth)
    sites = defaultdict(list)
    for info in cube_io.list_cubes(args.cubes):
        if info.split == args.split and (maps / info.cube_id / "crop.tif").is_file():
            sites[info.block].append(info)
    if not sites:
        raise SystemExit(f"error: --map {maps}: expected maps of cubes of {args.split}, found none")
    drawn = {name: _mosaic(infos, maps, "crop.tif") for name, infos in sites.items()}
    found = {name: _mosaic(infos, truth, "truth.tif") for name, infos in sites.items()}
    best = max(sites, key=lambda name: (_crops(found[name]), name))
    same = float((_known(drawn[best]) == _known(found[best])).mean())
    as_of = metadata.read_metadata(maps / sites[best][0].cube_id)["window_end"]
    image = _image(sites[best], str(as_of))
    _draw(pathlib.Path(args.out), image, drawn[best], found[best], sites[best][0].legend, as_of)
    print(f"site {best}: {same:.0%} of its pixels are mapped as they are, seen until {as_of}")


def _known(classes: np.ndarray) -> np.ndarray:
    """Ground of no class is the same, whatever it is called."""
    return np.minimum(classes, NONE_OF_THESE)


def _crops(classes: np.ndarray) -> int:
    """How many classes cover enough ground to be seen."""
    shares = np.bincount(classes.ravel(), minlength=256)[:NONE_OF_THESE] / classes.size
    return int((shares >= LEAST_SHARE).sum())


def _mosaic(infos, folder: pathlib.Path, name: str) -> np.ndarray:
    """uint8 [H, W] of the cubes of a site."""
    parts = {}
    for info in infos:
        with rasterio.open(folder / info.cube_id / name) as raster:
            parts[info.cube_id] = raster.read(1)
    return _together(infos, parts)


def _image(infos, as_of: str) -> np.ndarray:
    """float32 [H, W, 3] in 0 to 1: the last image before a date in false colour, stretched."""
    parts = {}
    for info in infos:
        cube = cube_io.read_cube(info.path)
        last = max(i for i, p in enumerate(info.periods) if p.end.isoformat() <= as_of)
        sensor = next(s for s in info.sensors if set(FALSE_COLOUR) <= set(s.bands))
        bands = [sensor.bands.index(band) for band in FALSE_COLOUR]
        parts[info.cube_id] = cube.pixels[sensor.name][last][..., bands]
    whole = _together(infos, parts)
    low, high = np.nanpercentile(whole, (1, 99), axis=(0, 1))
    return np.nan_to_num(np.clip((whole - low) / (high - low), 0, 1))


def _together(infos, parts: dict[str, np.ndarray]) -> np.ndarray:
    """The cubes of a site, each at its place."""
    places = {i.cube_id: (i.geobox.affine.c, i.geobox.affine.f) for i in infos}
    size = abs(infos[0].geobox.affine.a)
    west, north = min(x for x, _ in places.values()), max(y for _, y in places.values())
    spots = {
        k: (round((north - y) / size), round((x - west) / size)) for k, (x, y) in places.items()
    }
    height = max(r + parts[k].shape[0] for k, (r, _) in spots.items())
    width = max(c + parts[k].shape[1] for k, (_, c) in spots.items())
    first = next(iter(parts.values()))
    out = np.zeros((height, width, *first.shape[2:]), first.dtype)
    for key, (row, col) in spots.items():
        h, w = parts[key].shape[:2]
        out[row : row + h, col : col + w] = parts[key]
    return out


def _draw(
    path: pathlib.Path,
    image: np.ndarray,
    crop: np.ndarray,
    truth: np.ndarray,
    legend: Legend,
    as_of: object,
) -> None:
    colours = [one.colour for one in legend.classes]
    colours = [c if str(c).startswith("#") else f"#{c}" for c in colours]
    look = ListedColormap([*colours, OTHER_GROUND])
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 4.2), layout="constrained")
    titles = (f"Seen: last image before {as_of}", f"Mapped as of {as_of}", "Truth")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=11, loc="left")
        ax.set_axis_off()
    axes[0].imshow(image, interpolation="nearest")
    for ax, classes in zip(axes[1:], (crop, truth), strict=True):
        shown = np.where(classes < len(legend), classes, len(legend))
        ax.imshow(shown, cmap=look, vmin=0, vmax=len(legend), interpolation="nearest")
    axes[1].plot([20, 120], [crop.shape[0] - 20] * 2, color="black", linewidth=4)
    axes[1].text(
        70, crop.shape[0] - 30, "1 km", ha="center", va="bottom", fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
    )  # fmt: skip
    handles = [
        Patch(facecolor=c, edgecolor="grey", label=one.title)
        for c, one in zip(colours, legend.classes, strict=True)
    ]
    handles.append(Patch(facecolor=OTHER_GROUND, edgecolor="grey", label="none of these"))
    fig.legend(handles=handles, loc="outside lower center", ncols=9, fontsize=9, frameon=False,
               handlelength=1.2, columnspacing=1.2)  # fmt: skip
    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=110, metadata={"Software": None})
    plt.close(fig)
    files.write_bytes(path, _palette(buffer))


def _palette(png: io.BytesIO) -> bytes:
    """The same picture in 256 colours, a third of the size."""
    out = io.BytesIO()
    picture = Image.open(png).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main()
