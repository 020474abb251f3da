"""What the values of bands are like, counted exactly: for people to read."""

import numpy as np

from cropmap_jax.geo import cube


class Statistics:
    """Mean, standard deviation, range and missing share per band, from how often each value is."""

    def __init__(self, bands: int):
        self._counts = np.zeros((bands, 1 << 16), np.int64)

    def add(self, stored: np.ndarray) -> None:
        """Counts int16 [..., bands]."""
        for band, counts in enumerate(self._counts):
            counts += np.bincount(stored[..., band].view(np.uint16).ravel(), minlength=1 << 16)

    def result(self, bands: tuple[str, ...], scale: float) -> dict:
        """{band: {mean, std, min, max, missing}}; null where a band is missing throughout."""
        stored = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
        values, there = stored / scale, stored != cube.NODATA
        out = {}
        for band, counts in zip(bands, self._counts, strict=True):
            n, total = int(counts[there].sum()), int(counts.sum())
            row = {"mean": None, "std": None, "min": None, "max": None}
            row["missing"] = 1 - n / max(total, 1)
            if n:
                seen = there & (counts > 0)
                mean = float(np.sum(counts[seen] * values[seen]) / n)
                variance = float(np.sum(counts[seen] * np.square(values[seen] - mean)) / n)
                row |= {"mean": mean, "std": float(np.sqrt(variance))}
                row |= {"min": float(values[seen].min()), "max": float(values[seen].max())}
            out[band] = row
        return out
