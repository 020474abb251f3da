"""From a stack's numbers to a sensor's values, window by window, and what of it is missing."""

import collections

import numpy as np

from cropmap_jax.sources.ingest import fills, plausible, satellites
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.satellites import Product, Units


def read_window(
    bands: Bands, units: Units, rows: slice, cols: slice
) -> tuple[np.ndarray, plausible.Findings]:
    """Reads a window in the sensor's unit and order of bands.

    Returns:
      float32 [T, h, w, B], NaN where missing: bands the input lacks, its nodata, fill values that
      it does not declare (see `fills`), numbers that stand for no value (S1 without power), values
      that a cube cannot hold, and masked classes of the scene; and what was found in them.

    Raises:
      ValueError: values that contradict the flags; names the file and the flag.
    """
    product, sensor = satellites.product(bands.sensor), bands.sensor
    raw = bands.read(rows, cols)
    chosen = [i for i, name in enumerate(bands.names) if name in sensor.bands]
    stored, missing = np.ma.getdata(raw)[..., chosen], np.ma.getmaskarray(raw)[..., chosen]
    if stored.dtype.kind == "f":
        missing = missing | np.isnan(stored)
    unpacked = bands.unpack(stored, chosen)
    negative = (unpacked < 0) & ~missing
    decoded = product.decode(unpacked, missing, bands, units)
    if product.wraps:
        plausible.check_wrapped(stored, decoded, ~missing, product, bands.where)
    fill, counts = fills.find(
        stored,
        missing,
        decoded,
        product.fill,
        zero_is_fill=product.zero_is_fill(bands, units, chosen, stored.dtype),
        has_offset=product.has_offset(bands, units),
    )
    missing = missing | fill
    if stored.dtype.kind == "f":
        missing |= _infinite(product, units, stored, missing, counts, bands.where)
    findings = plausible.Findings(stored.size, counts)
    if product.negative_is_missing(units):
        findings.odd["negative power, missing"] += int((negative & ~missing).sum())
    decoded[missing] = np.nan
    values = np.full((*stored.shape[:3], len(sensor.bands)), np.nan, np.float32)
    values[..., [sensor.bands.index(bands.names[i]) for i in chosen]] = decoded
    if product.classification and units.scl_classes:
        classes = bands.unpack(np.ma.getdata(raw))[..., bands.names.index(product.classification)]
        values[np.isin(classes, units.scl_classes)] = np.nan
    plausible.check_range(values, product, bands.where, units, findings)
    return values, findings


def _infinite(
    product: Product,
    units: Units,
    stored: np.ndarray,
    missing: np.ndarray,
    counts: collections.Counter[str],
    where: str,
) -> np.ndarray:
    """Which infinite numbers stand for a value that is missing; those are counted.

    Raises:
      ValueError: others.
    """
    infinite = np.isinf(stored) & ~missing
    silent = infinite & (stored < 0) & product.infinite_is_missing(units)
    if silent.any():
        counts["-inf"] += int(silent.sum())
    others = int((infinite & ~silent).sum())
    if others:
        raise ValueError(
            f"{where}: expected finite values, or NaN where missing, found {others} infinite"
        )
    return np.asarray(silent)
