"""Reads simulated cubes into the tables that real landscapes are compared by.

A cube's own label may be partial or wrong on purpose. What truly grows there lies next to it:

    <truth_dir>/<cube_id>/truth.tif    uint8, legend index of the true class, 254 none of these
    <truth_dir>/<cube_id>/parcel.tif   uint32, parcel id, 0 none
"""

import os
import pathlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
import rasterio

from benchmarks.simulator import missing, monthly, parcels
from cropmap_jax.geo import composites, cube, cube_io, legend
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.simulator import radar

MIN_PIXELS = 9
"""Interior pixels a parcel needs: below, its mean of radar power is mostly speckle."""


def read_truth(truth_dir: str | os.PathLike, info: cube.CubeInfo, name: str) -> np.ndarray:
    """[H, W]: `truth` (uint8) or `parcel` (uint32) of a cube.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    file = pathlib.Path(truth_dir) / info.cube_id / f"{name}.tif"
    if not file.is_file():
        raise ValueError(f"{file}: expected the true {name} of the cube, found no file")
    with rasterio.open(file) as raster:
        found = (raster.height, raster.width), tuple(raster.transform)[:6]
        values = raster.read(1)
    if found != (info.shape, tuple(info.geobox.affine)[:6]):
        raise ValueError(f"{file}: expected the grid of cube {info.cube_id}, found {found}")
    return values


def harvest_year(info: cube.CubeInfo) -> int:
    """The last year of a season like "2021-2022".

    Raises:
      ValueError: names the cube and its season.
    """
    last = info.season.split("-")[-1]
    if not (last.isdigit() and len(last) == 4):
        raise ValueError(
            f"cube {info.cube_id}: expected a season like 2021-2022, found {info.season!r}"
        )
    return int(last)


def parcel_crops(truth: np.ndarray, parcel: np.ndarray, names: tuple[str, ...]) -> dict[int, str]:
    """Name of what grows on each parcel; "" for none of these and unknown.

    Raises:
      ValueError: a parcel with two classes, or a class that the legend does not hold.
    """
    pairs = np.unique(np.stack([parcel[parcel > 0], truth[parcel > 0]]).astype(np.int64), axis=1)
    ids, classes = pairs
    if len(repeated := ids[1:][ids[1:] == ids[:-1]]):
        raise ValueError(f"truth: expected one class per parcel, found two on parcel {repeated[0]}")
    wrong = classes[(classes >= len(names)) & (classes < legend.NONE_OF_THESE)]
    if len(wrong):
        raise ValueError(f"truth: expected 0..{len(names) - 1}, 254 or 255, found {wrong[0]}")
    return {int(i): names[c] if c < len(names) else "" for i, c in zip(ids, classes, strict=True)}


def simulated_monthly(
    cubes: Iterable[cube.Cube], truth_dir: str | os.PathLike, min_pixels: int = MIN_PIXELS
) -> pd.DataFrame:
    """Monthly table of the true classes of simulated cubes, over the parcels of all of them.

    Only pixels whose 3 x 3 neighbourhood is one parcel count.

    Args:
      cubes: read one after the other, so a generator keeps memory small.
      truth_dir: folder of truths.
      min_pixels: parcels with fewer such pixels are left out.

    Raises:
      ValueError: no cubes, no parcel with a class, or truth that does not fit its cube.
    """
    per_cube = []
    for one in cubes:
        truth, parcel = (read_truth(truth_dir, one.info, name) for name in ("truth", "parcel"))
        crops = parcel_crops(truth, parcel, one.info.legend.names)
        ids = np.where(np.isin(parcel, [i for i, crop in crops.items() if crop]), parcel, 0)
        values, found = parcels.parcel_means(
            monthly.features(one.pixels["s1"], one.pixels["s2"]), ids, min_pixels
        )
        months = monthly.season_months(one.info.periods, harvest_year(one.info))
        per_cube.append((months, values, [crops[int(i)] for i in found]))
    if not any(names for _, _, names in per_cube):
        raise ValueError(
            f"{truth_dir}: expected a parcel of a known class with {min_pixels} interior pixels, "
            f"found none in {len(per_cube)} cubes"
        )
    months = np.unique(np.concatenate([months for months, _, _ in per_cube]))
    pooled = {
        name: np.concatenate([_by_month(m, v[name], months) for m, v, _ in per_cube], 1)
        for name in per_cube[0][1]
    }
    return monthly.tabulate(pooled, months, [crop for _, _, names in per_cube for crop in names])


def _by_month(own: np.ndarray, values: np.ndarray, months: np.ndarray) -> np.ndarray:
    """float [len(months), P]: the mean of the periods of each month, NaN where there is none."""
    out = np.full((len(months), values.shape[1]), np.nan)
    for i, month in enumerate(months):
        if (own == month).any():
            out[i] = monthly.mean_there(values[own == month])
    return out


def simulated_dates(dates: int = 10, size: int = 128, seed: int = 0) -> np.ndarray:
    """S1 [T, H, W, 2] in dB of single dates of even ground: cubes hold composites only."""
    rng = np.random.default_rng(seed)
    power = [radar.speckle((dates, size, size), rng) for _ in SENSORS["s1"].bands]
    return composites.linear_to_db(np.stack(power, -1).astype(np.float64))


def simulated_missing(cubes: Iterable[cube.Cube]) -> pd.DataFrame:
    """`missing.missing_share` of all cubes, below each other, with their `cube_id`."""
    rows = [
        missing.missing_share(c.pixels["s2"], c.info.periods).assign(cube_id=c.info.cube_id)
        for c in cubes
    ]
    return pd.concat(rows, ignore_index=True)


def read_cubes(cubes_dir: str | os.PathLike, limit: int | None = None) -> Iterable[cube.Cube]:
    """Yields the cubes of a folder, or `limit` of them spread over it."""
    infos = cube_io.list_cubes(cubes_dir)
    if limit is not None and limit < len(infos):
        infos = [infos[i] for i in np.linspace(0, len(infos) - 1, limit).astype(int)]
    for info in infos:
        yield cube_io.read_cube(info.path)
