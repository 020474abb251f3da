"""Small cubes with something to learn in them.

The ground is a patchwork of rectangular fields. Each class greens up and ripens on its own date,
which S2 shows as bare soil turning into leaves and back, and S1 as rising backscatter. Ground that
is none of the classes stays half green all year; unknown ground grows a class that nobody wrote
down. Noise is small, some of S2 lies under clouds and one S1 corner outside the swath.
"""

import datetime as dt
import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, cube, cube_io, grid, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend, make_class
from cropmap_jax.geo.periods import Period, month_periods, to_day, to_days

LEGEND = Legend(
    "making",
    (
        make_class(0, 11, "wheat", "Wheat", "#e6ab02"),
        make_class(1, 22, "rapeseed", "Rape seed", "#1b9e77"),
        make_class(2, 33, "maize", "Maize", "#d95f02"),
    ),
    none_of_these=(99,),
)
PERIODS = month_periods(dt.date(2021, 12, 1), dt.date(2022, 8, 1))
EPSG = 32639
TILE = (400, 3000)

FIELD_PX = 8
# Reflectance of bare soil and of a closed canopy, B2 to B12, and backscatter in dB, VV and VH.
# Plausible, round and made up.
SOIL = np.array([0.08, 0.10, 0.14, 0.17, 0.19, 0.21, 0.23, 0.25, 0.32, 0.28], np.float32)
LEAF = np.array([0.03, 0.06, 0.04, 0.10, 0.28, 0.36, 0.40, 0.42, 0.20, 0.10], np.float32)
BARE_DB = np.array([-13.0, -21.0], np.float32)
DENSE_DB = np.array([-8.0, -14.0], np.float32)
S2_NOISE, S1_NOISE_DB = 0.01, 0.5


def harvest_dates(legend: Legend, year: int) -> dict[str, tuple[calendars.Season, ...]]:
    """One season per class, harvests spread evenly from 1 July to 1 September of `year`.

    Planting is known for all but the first class.
    """
    steps = max(len(legend) - 1, 1)
    calendar = {}
    for i, name in enumerate(legend.names):
        start = dt.date(year, 7, 1) + dt.timedelta(days=62 * i // steps)
        calendar[name] = (
            calendars.Season(
                harvest_start=start,
                harvest_end=start + dt.timedelta(days=20),
                planting=start - dt.timedelta(days=120) if i else None,
                season=f"{year - 1}-{year}",
            ),
        )
    return calendar


def greenness(harvest_day: int, days: np.ndarray) -> np.ndarray:
    """Share of the ground under green leaves, highest 45 days before harvest."""
    return np.exp(-0.5 * ((days - (harvest_day - 45)) / 30.0) ** 2)


def _patchwork(shape: tuple[int, int], classes: int, rng: np.random.Generator):
    """(field number from 1, what grows there, label), each [H, W]."""
    rows, cols = (-(-length // FIELD_PX) for length in shape)
    # Every class before any repeats, then one none-of-these and one unknown to three of classes.
    cells = [*range(classes), NONE_OF_THESE, IGNORE]
    while len(cells) < rows * cols:
        cells += [*rng.integers(0, classes, 3), NONE_OF_THESE, *rng.integers(0, classes, 3), IGNORE]
    states = np.array(cells[: rows * cols])
    rng.shuffle(states)
    grows = np.where(states == IGNORE, rng.integers(0, classes, len(states)), states)
    number = np.repeat(np.arange(rows * cols).reshape(rows, cols), FIELD_PX, 0)
    number = np.repeat(number, FIELD_PX, 1)[: shape[0], : shape[1]]
    return number + 1, grows[number], states[number].astype(np.uint8)


def make_cube(
    cube_id: str = "cube",
    size: int | tuple[int, int] = 32,
    periods: Sequence[Period] = PERIODS,
    legend: Legend = LEGEND,
    split: str = "train",
    block: str | None = None,
    tile: tuple[int, int] = TILE,
    seed: int = 0,
    fields: bool = True,
    province: str = "",
    missing: bool = True,
    clear: bool = False,
) -> cube.Cube:
    """A cube in the upper left corner of a tile.

    Args:
      cube_id: its name.
      size: pixels, a side or (height, width). Fields measure 8 x 8 pixels; every class, none of
        these and unknown are there if there is room for one field of each.
      periods: contiguous periods; harvest lies in the year of the last one.
      legend: classes, each with its own season.
      split: "train", "validation" or "test".
      block: spatial block; that of the tile if None.
      tile: (column, row) of the tile grid of EPSG:32639.
      seed: of fields and noise; field ids of two seeds never meet.
      fields: whether field ids come with the label.
      province: place of the calendar.
      missing: whether some of S1 and S2 is missing.
      clear: whether counts of clear observations come with S2, 1 to 8 where it is.
    """
    height, width = (size, size) if isinstance(size, int) else size
    geobox = GeoBox((height, width), grid.tile_geobox(EPSG, *tile).affine, f"EPSG:{EPSG}")
    rng = np.random.default_rng(seed)
    number, grows, label = _patchwork((height, width), len(legend), rng)
    year = (periods[-1].end - dt.timedelta(days=1)).year
    calendar = harvest_dates(legend, year)
    s1, s2 = _pixels(grows, periods, calendar, rng)
    if missing:
        _hide(s1, s2, rng)
    info = cube.CubeInfo(
        cube_id=cube_id,
        geobox=geobox,
        periods=tuple(periods),
        legend=legend,
        block=block or grid.block_id(geobox),
        split=split,
        season=f"{year - 1}-{year}",
        harvest=calendar,
        province=province,
        source={"made_by": "tests/making.py", "seed": seed},
        has_fields=fields,
        has_clear=clear,
    )
    ids = np.where(label < NONE_OF_THESE, number + 10_000 * seed, 0).astype(np.uint32)
    counts = None
    if clear:
        there = np.isfinite(s2).any(-1)
        counts = np.where(there, rng.integers(1, 9, there.shape), 0).astype(np.uint8)
    return cube.Cube(info, {"s1": s1, "s2": s2}, label, ids if fields else None, counts)


def _pixels(grows: np.ndarray, spans: Sequence[Period], calendar: calendars.Calendar, rng):
    days = to_days(spans).mean(1)
    curves = np.full((len(spans), 256), 0.5)  # none of these: half green all year
    for i, name in enumerate(calendar):
        day = to_day(calendars.harvest_start(calendar, name))
        curves[:, i] = greenness(day, days)
    green = curves[:, grows][..., None].astype(np.float32)
    s2 = SOIL + green * (LEAF - SOIL)
    s1 = BARE_DB + green * (DENSE_DB - BARE_DB)
    s2 += S2_NOISE * rng.standard_normal(s2.shape, np.float32)
    s1 += S1_NOISE_DB * rng.standard_normal(s1.shape, np.float32)
    return s1, s2


def _hide(s1: np.ndarray, s2: np.ndarray, rng: np.random.Generator) -> None:
    """Clouds over a quarter of every third S2 period, all of the second; no S1 in one corner."""
    t, height, width, _ = s2.shape
    for i in range(0, t, 3):
        row, col = rng.integers(0, height // 2 + 1), rng.integers(0, width // 2 + 1)
        s2[i, row : row + height // 2, col : col + width // 2] = np.nan
    if t > 2:
        s2[1] = np.nan
    s1[:, : height // 8, : width // 8] = np.nan


def make_cubes(
    cubes_dir: str | os.PathLike,
    names: Sequence[str] = splits.SPLITS,
    seed: int = 0,
    **settings,
) -> list[pathlib.Path]:
    """Writes one cube per split, each in its own block, and returns their folders.

    Args:
      cubes_dir: folder of cubes.
      names: the splits, e.g. ("train", "train", "test"); cube ids are `train_0`, `train_1`, ...
      seed: of the first cube; the others count on from it.
      **settings: for `make_cube`.
    """
    paths = []
    for i, split in enumerate(names):
        # Blocks are eight tiles wide, so every eighth column lies in a block of its own.
        tile = (TILE[0] + i * grid.TILES_PER_BLOCK, TILE[1])
        made = make_cube(f"{split}_{i}", split=split, tile=tile, seed=seed + i, **settings)
        paths.append(cube_io.write_cube(made, cubes_dir))
    return paths


if __name__ == "__main__":
    for folder in make_cubes(sys.argv[1], size=64):
        print(folder)
