"""What the values of bands are like, counted exactly: for people to read."""

import numpy as np

from cropmap_jax.geo.sensors import Sensor


class Statistics:
    """Mean, standard deviation, range and missing share per band, from how often each value is.

    Args:
      sensor: whose pixels are counted.
    """

    def __init__(self, sensor: Sensor):
        self._sensor = sensor
        kind = np.dtype(sensor.dtype)
        # Of 8 or 16 bits: every value that there can be has a place.
        self._unsigned = np.dtype(f"u{kind.itemsize}")
        self._counts = np.zeros((len(sensor.bands), 1 << 8 * kind.itemsize), np.int64)

    def add(self, stored: np.ndarray) -> None:
        """Counts pixels as they are stored, [..., bands] of the sensor's dtype."""
        for band, counts in enumerate(self._counts):
            values = stored[..., band].view(self._unsigned).ravel()
            counts += np.bincount(values, minlength=len(counts))

    def counts(self) -> tuple[np.ndarray, ...]:
        """Bands and values that there are, int, and how often, for `add_counts` of another one."""
        band, value = np.nonzero(self._counts)
        return band.astype(np.int16), value.astype(np.int32), self._counts[band, value]

    def add_counts(self, band: np.ndarray, value: np.ndarray, count: np.ndarray) -> None:
        """Adds what another one of the same sensor counted, see `counts`."""
        self._counts[band, value] += count

    def result(self) -> dict[str, dict[str, float | None]]:
        """{band: {mean, std, min, max, missing}}; null where a band is missing throughout."""
        sensor = self._sensor
        stored = np.arange(self._counts.shape[1], dtype=self._unsigned).view(sensor.dtype)
        values, there = stored / sensor.scale, stored != sensor.nodata
        out: dict[str, dict[str, float | None]] = {}
        for band, counts in zip(sensor.bands, self._counts, strict=True):
            n, total = int(counts[there].sum()), int(counts.sum())
            row: dict[str, float | None] = dict.fromkeys(("mean", "std", "min", "max"))
            row["missing"] = 1 - n / max(total, 1)
            if n:
                seen = there & (counts > 0)
                mean = float(np.sum(counts[seen] * values[seen]) / n)
                variance = float(np.sum(counts[seen] * np.square(values[seen] - mean)) / n)
                row |= {"mean": mean, "std": float(np.sqrt(variance))}
                row |= {"min": float(values[seen].min()), "max": float(values[seen].max())}
            out[band] = row
        return out
