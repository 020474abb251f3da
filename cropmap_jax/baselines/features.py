"""Features of a pixel: bands and indices of every period, means around it, and the date.

A feature depends on the pixels around it and on nothing else: the same pixel has the same features,
to the last bit, in a chip of any size and whether or not its neighbours are wanted.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.geo import indices as index_table
from cropmap_jax.geo.indices import Index
from cropmap_jax.geo.sensors import Sensor

LARGEST_MEAN = 33
"""Side of a neighbourhood in pixels: beyond, chips would be little but halo."""
_YEAR_DAYS = 365.25


def choose_indices(
    names: Sequence[str] | None, sensors: Sequence[Sensor], where: str
) -> tuple[Index, ...]:
    """Indices by name; None: all whose bands are there.

    Raises:
      ValueError: begins with `where`; an index that is not known, or whose bands are missing.
    """
    if names is None:
        bands = {sensor.name: set(sensor.bands) for sensor in sensors}
        known = index_table.INDICES.values()
        return tuple(one for one in known if set(one.bands) <= bands.get(one.sensor, set()))
    return index_table.find(names, sensors, where)


def check_means(sides: Sequence[int], where: str) -> None:
    """Requires sides of neighbourhoods: odd, so that a pixel lies in the middle, and each once.

    Raises:
      ValueError: begins with `where`.
    """
    checks.values(where, sides)
    for side in sides:
        checks.whole(where, side, 3, LARGEST_MEAN)
        if side % 2 == 0:
            raise ValueError(f"{where}: expected odd sides in pixels, found {side}")
    if len(set(sides)) < len(sides):
        raise ValueError(f"{where}: expected each side once, found {tuple(sides)}")


@dataclasses.dataclass(frozen=True)
class Features:
    """Which features a method takes.

    Args:
      sensors: whose bands, in this order; none at all for a method that knows dates alone.
      num_periods: periods of the window.
      indices: computed from the bands; those of a sensor follow its bands.
      means: sides in pixels of the square neighbourhoods over which bands and indices are averaged,
        missing values left out.
      dates: whether the middle of the window's last period is a feature: cosine and sine of its
        day of the year.
    """

    sensors: tuple[Sensor, ...]
    num_periods: int
    indices: tuple[Index, ...] = ()
    means: tuple[int, ...] = ()
    dates: bool = True

    @property
    def halo(self) -> int:
        """Pixels around a pixel that its features depend on."""
        return max(self.means, default=1) // 2

    @property
    def names(self) -> list[str]:
        """Names of all features, in order: "B8 -1" is band B8 of the last period."""
        out = []
        for side in (1, *self.means):
            suffix = f" mean {side}" if side > 1 else ""
            for sensor in self.sensors:
                own = (i.name for i in index_table.of_sensor(self.indices, sensor))
                columns = [*sensor.bands, *own]
                out += [
                    f"{sensor.name} {column} {period - self.num_periods}{suffix}"
                    for period in range(self.num_periods)
                    for column in columns
                ]
        return out + (["date cosine", "date sine"] if self.dates else [])

    def compute(
        self, pixels: Mapping[str, np.ndarray], day_of_year: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Features of the wanted pixels of a chip.

        Args:
          pixels: [T, H, W, C] by sensor, as stored.
          day_of_year: int [T], the middle of each period.
          wanted: bool [H, W].

        Returns:
          float32 [N, features], NaN where missing, row by row of the chip.
        """
        rows, cols = np.nonzero(wanted)
        if not len(rows):
            return np.empty((0, len(self.names)), np.float32)
        parts = [np.empty((len(rows), 0), np.float32)]
        if self.sensors:
            parts += self._of_pixels(pixels, rows, cols)
        if self.dates:
            angle = 2 * np.pi * float(day_of_year[-1]) / _YEAR_DAYS
            date = np.array([np.cos(angle), np.sin(angle)], np.float32)
            parts.append(np.broadcast_to(date, (len(rows), 2)))
        return np.concatenate(parts, axis=1)

    def _of_pixels(
        self, pixels: Mapping[str, np.ndarray], rows: np.ndarray, cols: np.ndarray
    ) -> list[np.ndarray]:
        """float32 [N, features]: the pixels' own, and for each side the means."""
        halo, own = self.halo, []
        means: dict[int, list[np.ndarray]] = {side: [] for side in self.means}
        for sensor in self.sensors:
            stored = pixels[sensor.name]
            own.append(_flat(self._values(stored[:, rows, cols], sensor)))
            if not halo:
                continue
            for side, found in self._neighbourhoods(stored, sensor, rows, cols).items():
                means[side].append(found)
        out = [np.concatenate(own, axis=1)]
        return out + [np.concatenate(found, axis=1) for found in means.values()]

    def _neighbourhoods(
        self, stored: np.ndarray, sensor: Sensor, rows: np.ndarray, cols: np.ndarray
    ) -> dict[int, np.ndarray]:
        """Means of a sensor by side, [N, T * (bands + indices)]."""
        halo, side = self.halo, 2 * self.halo + 1
        top, left = rows.min(), cols.min()
        height, width = rows.max() - top + 1, cols.max() - left + 1
        around = ((0, 0), (halo, halo), (halo, halo), (0, 0))
        padded = np.pad(stored, around, constant_values=sensor.nodata)
        # What is averaged of few pixels that lie apart is less than the box around them.
        if len(rows) * side**2 < (height + side) * (width + side):
            windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
            patches = np.moveaxis(windows[:, rows, cols], 2, -1)  # [T, N, side, side, C]
            values = self._values(patches, sensor)
            return {s: _flat(_box_mean(values, s, halo)[:, :, 0, 0]) for s in self.means}
        else:
            box = padded[:, top : top + height + 2 * halo, left : left + width + 2 * halo]
            values = self._values(box, sensor)
            return {
                s: _flat(_box_mean(values, s, halo)[:, rows - top, cols - left]) for s in self.means
            }

    def _values(self, stored: np.ndarray, sensor: Sensor) -> np.ndarray:
        """float32 [..., bands + indices] in their units, NaN missing."""
        found: np.ndarray = index_table.compute(sensor.decode(stored), sensor, self.indices)
        return found


def _flat(values: np.ndarray) -> np.ndarray:
    """[T, N, C] as [N, T * C]."""
    flat: np.ndarray = np.moveaxis(values, 0, 1).reshape(values.shape[1], -1)
    return flat


def _box_mean(values: np.ndarray, side: int, halo: int) -> np.ndarray:
    """Means over squares around each pixel that has `halo` pixels on every side.

    Args:
      values: float32 [..., H, W, C], NaN missing.
      side: of the squares.
      halo: at least side // 2.

    Returns:
      float32 [..., H - 2 halo, W - 2 halo, C] of the values that are there, NaN where none is.
    """
    spare = halo - side // 2
    height, width = values.shape[-3:-1]
    inner = values[..., spare : height - spare, spare : width - spare, :]
    there = ~np.isnan(inner)
    total = _box_sum(np.where(there, inner, np.float32(0)), side)
    count = _box_sum(there.astype(np.float32), side)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = total / count
    return mean


def _box_sum(values: np.ndarray, side: int) -> np.ndarray:
    """Sums over squares, always in the same order: running sums would depend on where one began."""
    height, width = values.shape[-3] - side + 1, values.shape[-2] - side + 1
    rows = values[..., :height, :, :].copy()
    for i in range(1, side):
        rows += values[..., i : i + height, :, :]
    total: np.ndarray = rows[..., :, :width, :].copy()
    for i in range(1, side):
        total += rows[..., :, i : i + width, :]
    return total
