"""How often a series of maps is right, by the date since which its last class has held.

    python -m benchmarks.series --map SERIES --cubes DIR --truth TRUTH --as_of 2022-09-01

SERIES is what `predict --series` wrote of simulated cubes, TRUTH what `simulate --truth` wrote next
to them. Only cubes of the test split count. With an --as_of before the last date of the series,
later maps are left out, as if they had not been made.
"""

import argparse
import datetime as dt
import pathlib
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo import cube_io, geotiffs, periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.schemas import read_json
from cropmap_jax.mapping import metadata, series, since


def _read(path: pathlib.Path) -> np.ndarray:
    with geotiffs.open_geotiff(path) as raster:
        image: np.ndarray = raster.read(1)
    return image


def counts(maps: Sequence[np.ndarray], truth: np.ndarray, dates: Sequence[dt.date]) -> np.ndarray:
    """Pixels of a cube: int64 [dates, 2, 2], as crop or none of these, how many and how many right.

    Args:
      maps: as of each date, uint8 [H, W].
      truth: uint8 [H, W], class, or NONE_OF_THESE.
      dates: as-of dates, ascending.
    """
    days, last = since.since(maps, dates), maps[-1]
    right = last == truth
    out = np.zeros((len(dates), 2, 2), np.int64)
    for n, date in enumerate(dates):
        here = (days == periods.to_day(date)) & (truth != IGNORE)
        for k, what in enumerate((last < NONE_OF_THESE, last == NONE_OF_THESE)):
            out[n, k] = (here & what).sum(), (here & what & right).sum()
    return out


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("map", "cubes", "truth"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--as_of", default="9999-01-01")
    given = parser.parse_args(argv)
    listed = read_json(given.map / series.SERIES, "a series of maps")["dates"]
    dates = [dt.date.fromisoformat(name) for name in listed if name <= given.as_of]
    infos = [info for info in cube_io.list_cubes(given.cubes) if info.split == "test"]
    total = np.zeros((len(dates), 2, 2), np.int64)
    for info in infos:
        maps = [_read(given.map / f"{d}" / info.cube_id / metadata.CROP) for d in dates]
        total += counts(maps, _read(given.truth / info.cube_id / "truth.tif"), dates)
    hectares = total[..., 0] * (infos[0].geobox.affine.a ** 2 / 1e4)
    share = total[..., 1] / np.maximum(total[..., 0], 1)
    print(f"as of {dates[-1]}, {len(infos)} cubes of the test split")
    print(f"{'held since':12}{'crops, ha':>12}{'right':>8}{'none, ha':>12}{'right':>8}")
    for n, date in enumerate(dates):
        cells = "".join(f"{hectares[n, k]:12,.0f}{share[n, k]:8.3f}" for k in range(2))
        print(f"{date!s:12}{cells}")


if __name__ == "__main__":
    main()
