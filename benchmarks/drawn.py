"""Cubes drawn at random, for benchmarks that need pixels but no meaning.

Smooth ground that changes from period to period, noise of a sensor's size, and clouds: so they
compress about as well as the real thing, which noise alone would not and a constant would too well.
"""

import datetime as dt
import os

import numpy as np
from odc.geo.geobox import GeoBox
from scipy import ndimage

from cropmap_jax.data import cube_builder
from cropmap_jax.geo import cube, cube_io, grid, periods
from cropmap_jax.geo.legend import IGNORE, Legend, make_class

EPSG = 32639
CLASSES = Legend("drawn", tuple(make_class(i, i, f"crop_{i}") for i in range(6)))


def draw_cube(number: int, side: int, months: int, cloudy: float = 0.15) -> cube.Cube:
    """A cube of `side` x `side` pixels in a block of its own.

    Args:
      number: which; also the seed.
      side: pixels.
      months: monthly periods from October 2021 on.
      cloudy: share of S2 that is missing.
    """
    rng = np.random.default_rng(number)
    tile = (300 + number % 16 * grid.TILES_PER_BLOCK, 3000 + number // 16 * grid.TILES_PER_BLOCK)
    geobox = GeoBox((side, side), grid.tile_geobox(EPSG, *tile).affine, f"EPSG:{EPSG}")
    spans = periods.month_periods(dt.date(2021, 10, 1), dt.date(2021 + months // 12 + 1, 12, 1))
    info = cube.CubeInfo(
        cube_id=f"drawn_{number:05d}",
        geobox=geobox,
        periods=spans[:months],
        legend=CLASSES,
        block=grid.block_id(geobox),
        split="train",
        season="2021-2022",
        harvest={},
        province="",
        source={"made_by": "benchmarks.drawn", "seed": number},
        has_fields=False,
    )
    count = len(info.periods)
    s1 = -14 + 3 * _ground(rng, count, side, 2) + 1.0 * rng.standard_normal((count, side, side, 2))
    s2 = 0.2 + 0.06 * _ground(rng, count, side, 10)
    s2 += 0.008 * rng.standard_normal(s2.shape)
    clouds = _ground(rng, count, side, 1)[..., 0]
    s2[clouds > np.quantile(clouds, 1 - cloudy)] = np.nan
    crops = np.digitize(_ground(rng, 1, side, 1)[0, ..., 0], (-1, -0.5, 0, 0.5, 1)).astype(np.uint8)
    crops[rng.random(crops.shape) < 0.3] = IGNORE
    pixels = {"s1": s1.astype(np.float32), "s2": s2.astype(np.float32)}
    return cube.Cube(info, pixels, crops)


def _ground(rng: np.random.Generator, count: int, side: int, bands: int) -> np.ndarray:
    """[count, side, side, bands] of variance about 1, smooth over some ten pixels."""
    coarse = rng.standard_normal((count, side // 8 + 2, side // 8 + 2, bands))
    return ndimage.zoom(coarse, (1, 8, 8, 1), order=1)[:, :side, :side]


class Drawn(cube_builder.CubeDatasetBuilder):
    """What `experiments.build` makes of them."""


def draw_cubes(folder: str | os.PathLike, count: int, side: int = 128, months: int = 12) -> None:
    """Writes `count` cubes into a folder."""
    for number in range(count):
        cube_io.write_cube(draw_cube(number, side, months), folder)
