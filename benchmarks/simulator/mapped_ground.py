"""Share of villages, roads, woods and water that a map shows as a crop, on simulated cubes.

    python -m benchmarks.simulator mapped_ground --cubes CUBES --map MAP

CUBES is the folder of `experiments.simulate`, MAP that of `experiments.predict`; cubes that the map
does not have are left out. What covers the ground is laid out again, from what the cubes record of
their world. Beside it: F1 of each class over every pixel.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from cropmap_jax.geo import cube_io, geotiffs, grid, splits
from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.sources.simulator import fields, sites, worlds

COVERS = ("field", "road", "village", "wood", "water")
"""In the order of `ground.COVERS`."""
_SETTINGS = frozenset(sites.Settings.__dataclass_fields__) - {"sites"}


def ground_of(
    folder: pathlib.Path, wanted: set[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields id, cover uint8 [H, W] and truth uint8 [H, W] of the wanted cubes of a folder."""
    infos = cube_io.list_cubes(folder)
    known = {key: value for key, value in infos[0].source.items() if key in _SETTINGS}
    tiles = int(known["tiles"]) ** 2
    counts = {split: -(-sum(i.split == split for i in infos) // tiles) for split in splits.SPLITS}
    settings = sites.Settings.of(known | {"sites": counts})
    world = worlds.find(settings.world)
    for site in sites.list_sites(settings):
        ids = {k: at for k, at in sites.cube_ids(settings, site).items() if k in wanted}
        if not ids:
            continue
        place = [settings.seed, site.region.epsg, site.col, site.row]
        rng = np.random.default_rng(np.random.SeedSequence(place).spawn(4)[0])
        side = settings.tiles * grid.TILE_PX
        land = fields.plant(world, site.region, (side, side), rng)
        for cube_id, at in ids.items():
            window = sites._window(*at)
            yield cube_id, land.cover[window], land.truth[window]


def measure(cubes: pathlib.Path, mapped: pathlib.Path) -> str:
    """The shares, and F1, as text.

    Raises:
      ValueError: a map of none of the cubes.
    """
    infos = {info.cube_id: info for info in cube_io.list_cubes(cubes)}
    there = {name for name in infos if (mapped / name / "crop.tif").is_file()}
    if not there:
        raise ValueError(f"--map {mapped}: expected the maps of cubes in {cubes}, found none")
    names = next(iter(infos.values())).legend.names
    shown, pixels = np.zeros(len(COVERS), int), np.zeros(len(COVERS), int)
    hits, positives, predicted = np.zeros((3, len(names)), int)
    for cube_id, cover, truth in ground_of(cubes, there):
        with geotiffs.open_geotiff(mapped / cube_id / "crop.tif") as raster:
            crop = raster.read(1)
        pixels += np.bincount(cover.ravel(), minlength=len(COVERS))
        shown += np.bincount(cover[crop < NONE_OF_THESE], minlength=len(COVERS))
        for i in range(len(names)):
            hits[i] += ((truth == i) & (crop == i)).sum()
            positives[i] += (truth == i).sum()
            predicted[i] += (crop == i).sum()
    f1 = 2 * hits / np.maximum(positives + predicted, 1)
    rows = [f"{c:10}{s / max(n, 1):8.1%} mapped as a crop, of {n:,} pixels"
            for c, s, n in zip(COVERS, shown, pixels, strict=True)]  # fmt: skip
    each = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, f1, strict=True))
    return "\n".join([*rows, f"F1 over every pixel: mean {f1.mean():.3f}; {each}"])


def add_arguments(parser) -> None:
    parser.add_argument("--cubes", required=True, help="folder of simulated cubes")
    parser.add_argument("--map", required=True, help="folder of experiments.predict")


def run(args) -> None:
    """Prints the shares."""
    print(measure(pathlib.Path(args.cubes), pathlib.Path(args.map)))
