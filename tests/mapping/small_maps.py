"""Cubes cut from one large cube, checkpoints that were never trained, and predictors whose answer
follows from where a pixel lies.

In coded ground every period of S1 holds the row in VV and the column in VH, counted from the corner
of the first tile: so a flip, a shift or a wrong window shows in the map.
"""

import dataclasses

import making
import numpy as np
import rasterio
from affine import Affine
from inference.stand_ins import StandIn
from odc.geo.geobox import GeoBox
from training import small_runs

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.mapping import crop_map
from cropmap_jax.training import checkpoints, steps

AS_OF = "2022-06-01"
HIDDEN = [".predict.verified.json", ".predict.written.json"]
"""What a finished map's folder holds next to what a person sees."""
CORNER = (512_000.0, 3_841_280.0)
"""Upper left corner of `making.TILE` in metres: column 400 x 1280 m, (row 3000 + 1) x 1280 m."""


def make_recipe(loss="sigmoid", **model):
    return small_runs.make_recipe(loss, making.LEGEND, **({"levels": 1} | model))


def save_checkpoint(workdir, recipe=None, seed: int = 1, step: int = 3, unseen=None, cubes=()):
    recipe = recipe or make_recipe()
    meta = {"recipe": recipe.to_json(), "config": {}, "stage": "finetune", "cubes": list(cubes)}
    checkpointer = checkpoints.Checkpointer(workdir, meta)
    checkpointer.save(step, steps.init_variables(recipe, seed, unseen))
    checkpointer.close()
    return workdir


def changed(made: cube.Cube, **changes) -> cube.Cube:
    """The same cube with other information."""
    return dataclasses.replace(made, info=dataclasses.replace(made.info, **changes))


def moved(made: cube.Cube, east_m=0.0, south_m=0.0, pixel=10.0, epsg=making.EPSG) -> cube.Cube:
    """The same cube elsewhere, or with pixels of another size."""
    a = made.info.geobox.affine
    affine = Affine(pixel, 0, a.c + east_m, 0, -pixel, a.f - south_m)
    return changed(made, geobox=GeoBox(made.info.geobox.shape, affine, f"EPSG:{epsg}"))


def piece(whole: cube.Cube, cube_id: str, rows: slice, cols: slice, **changes) -> cube.Cube:
    """A cube of its own, cut from a larger one."""
    label = whole.label[rows, cols]
    a = whole.info.geobox.affine
    corner = (a.c + a.a * cols.start, a.f + a.e * rows.start)
    geobox = GeoBox(
        label.shape, Affine(a.a, 0, corner[0], 0, a.e, corner[1]), whole.info.geobox.crs
    )
    info = dataclasses.replace(
        whole.info, cube_id=cube_id, geobox=geobox, has_fields=False, **changes
    )
    return cube.Cube(info, {k: v[:, rows, cols] for k, v in whole.pixels.items()}, label)


def coded_ground(height: int, width: int) -> cube.Cube:
    """A cube whose pixels are their own coordinates."""
    made = making.make_cube("coded", (height, width), fields=False, missing=False)
    made.s1[..., 0] = np.arange(height)[:, None] / SENSORS["s1"].scale
    made.s1[..., 1] = np.arange(width) / SENSORS["s1"].scale
    return made


def expected_class(row, col):
    """Of three classes; no two neighbours in a row or column, or across a diagonal, agree."""
    return (row + 2 * col + row // 5) % 3


def expected_percent(row, col):
    """Different for each of 41 rows and columns that follow each other."""
    return 55 + (row * 7 + col * 3) % 41


def say_where(examples: list[dict]) -> list[np.ndarray]:
    """Stands in for a network: class and probability follow from the coordinates in the pixels."""
    out = []
    for example in examples:
        row, col = (example["pixels"]["s1"][-1, ..., band].astype(int) for band in range(2))
        hit = expected_class(row, col)[..., None] == np.arange(3)
        out.append(np.where(hit, expected_percent(row, col)[..., None] / 100, 0.1))
    return out


def write(cubes_dir, *cubes: cube.Cube):
    for made in cubes:
        cube_io.write_cube(made, cubes_dir, overwrite=True)
    return cubes_dir


def quarters(whole: cube.Cube, side: int = 128) -> list[cube.Cube]:
    """Square cubes that cover the whole, named by their row and column."""
    height, width = whole.label.shape
    return [
        piece(whole, f"c{r // side}{c // side}", slice(r, r + side), slice(c, c + side))
        for r in range(0, height, side)
        for c in range(0, width, side)
    ]


def make_map(workdir, cubes, out, predict=None, **options):
    """Runs the whole of it; returns the `MapMaker` and its result."""
    settings = {"as_of": AS_OF, "batch_size": 2} | options
    chosen = crop_map.Options(workdir=str(workdir), cubes=str(cubes), out=str(out), **settings)
    if callable(predict):
        predict = StandIn(predict)
    with crop_map.MapMaker(chosen, predict) as maker:
        done = sum(1 for _ in maker.run())
        return maker, maker.finish(), done


def shown(out) -> list[str]:
    """Names of what a person sees in a folder."""
    return sorted(p.name for p in out.iterdir() if not p.name.startswith("."))


def read(path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)
