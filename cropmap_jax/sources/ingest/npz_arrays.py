"""What the arrays of a user's .npz mean: periods, pixels by sensor and the label."""

import difflib
import pathlib
from collections.abc import Mapping

import numpy as np

from cropmap_jax.geo.periods import Period, parse_date
from cropmap_jax.sources.ingest import band_names, npz_files, satellites
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.dates import span
from cropmap_jax.sources.ingest.satellites import Product

_REQUIRED = ("period_start", "period_end", "crs", "transform")
_OPTIONAL = ("label", "class_names", "fields")
_LONGEST = 200

Arrays = Mapping[str, np.ndarray]


def _band_key(product: Product) -> str:
    """Key of the names of a sensor's bands."""
    return f"{product.sensor.name}_bands"


def load(file: pathlib.Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by key, and names of members that are none of the keys.

    Raises:
      ValueError: no .npz, damaged, a key that is missing or misspelt.
    """
    products = satellites.products()
    pixels = [product.key for product in products]
    keys = [*_REQUIRED, *pixels, *_OPTIONAL, *map(_band_key, products)]
    keys += [product.offset_key for product in products if product.offset_key]
    arrays, unused = npz_files.load(file, keys)
    missing = [key for key in _REQUIRED if key not in arrays]
    if not any(key in arrays for key in pixels):
        missing.append(" or ".join(pixels))
    if missing:
        raise ValueError(
            f"{file}: expected key {', '.join(missing)}, found "
            f"{', '.join([*arrays, *unused]) or 'no keys'}"
        )
    for key in unused:
        near = difflib.get_close_matches(key.lower(), keys, n=1)
        if near and near[0] not in arrays:
            raise ValueError(f"{file}: found key {key!r}, expected {near[0]!r}")
    return arrays, unused


def listed(file: pathlib.Path, arrays: Arrays, key: str) -> np.ndarray:
    """An array of one dimension.

    Raises:
      ValueError: more of them.
    """
    array = np.atleast_1d(arrays[key])
    if array.ndim > 1:
        raise ValueError(
            f"{file}: {key}: expected a list, found [{npz_files.size_text(array.shape)}]"
        )
    return array


def names(file: pathlib.Path, arrays: Arrays, key: str) -> list[str]:
    """Text of one dimension, each in one line.

    Raises:
      ValueError: more dimensions, or a text that is no name.
    """
    out = [" ".join(str(name).split()) for name in listed(file, arrays, key)]
    long = [name for name in out if len(name) > _LONGEST]
    if long:
        raise ValueError(
            f"{file}: {key}: expected names of at most {_LONGEST} characters, found "
            f"{long[0][:20]!r}..."
        )
    return out


def offsets(file: pathlib.Path, arrays: Arrays, key: str, count: int) -> tuple[float, ...] | None:
    """Offset of a sensor in each period (NaN: the flag's); None without the key.

    Raises:
      ValueError: another number of them, or infinite ones.
    """
    if key not in arrays:
        return None
    values = listed(file, arrays, key)
    if values.dtype.kind not in "fiu" or len(values) != count or np.isinf(values).any():
        raise ValueError(
            f"{file}: {key}: expected {count} numbers, one per period, found {values.dtype} "
            f"[{len(values)}]"
        )
    return tuple(float(v) for v in values)


def spans(file: pathlib.Path, arrays: Arrays) -> tuple[Period, ...]:
    """Periods, as many as there are period_start.

    Raises:
      ValueError: dates that cannot be read or do not fit.
    """
    starts, ends = (listed(file, arrays, key) for key in ("period_start", "period_end"))
    if len(starts) != len(ends):
        raise ValueError(
            f"{file}: expected as many period_end as period_start, found {len(ends)} and "
            f"{len(starts)}"
        )
    out = []
    for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
        start = parse_date(a, f"{file}: period_start[{i}]")
        out.append(span(start, parse_date(b, f"{file}: period_end[{i}]"), f"{file}: [{i}]"))
    return tuple(out)


def image_shape(file: pathlib.Path, arrays: Arrays, count: int) -> tuple[int, int]:
    """(height, width), the same for all sensors.

    Raises:
      ValueError: no numbers of four dimensions, or shapes that do not agree.
    """
    shapes: dict[str, tuple[int, int]] = {}
    for key in (p.key for p in satellites.products() if p.key in arrays):
        array = arrays[key]
        if array.ndim != 4 or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise ValueError(
                f"{file}: {key}: expected numbers [periods, rows, columns, bands], found "
                f"{array.dtype} [{npz_files.size_text(array.shape)}]"
            )
        if len(array) != count:
            raise ValueError(
                f"{file}: {key}: expected {count} periods as in period_start, found {len(array)}"
            )
        shapes[key] = array.shape[1], array.shape[2]
    (first, shape), *others = shapes.items()
    for key, other in others:
        if other != shape:
            raise ValueError(
                f"{file}: expected {first} and {key} of the same rows x columns, found "
                f"{npz_files.size_text(shape)} and {npz_files.size_text(other)}"
            )
    return shape


def sensor_bands(
    file: pathlib.Path, arrays: Arrays, product: Product, dates: tuple[Period, ...]
) -> Bands:
    """One sensor's pixels, bands by name where a key such as s2_bands names them.

    Raises:
      ValueError: bands that do not fit.
    """
    sensor, named = product.sensor, _band_key(product)
    array, where = arrays[product.key], f"{file}: {product.key}"
    labels = names(file, arrays, named) if named in arrays else list(sensor.bands)
    if len(labels) != array.shape[-1]:
        raise ValueError(
            f"{where}: expected {len(labels)} bands ({', '.join(labels)}; {named} names others), "
            f"found {array.shape[-1]}"
        )
    found = band_names.name_bands(labels, sensor, f"{file}: {named}")

    def read(rows: slice, cols: slice) -> np.ndarray:
        return np.asarray(array[:, rows, cols][..., list(found.values())])

    return Bands(
        sensor,
        where,
        dates,
        tuple(found),
        read,
        integer=array.dtype.kind in "iu",
        unused=tuple(n for n in labels if not band_names.band_of(n, sensor)),
        date_offsets=offsets(file, arrays, product.offset_key, len(dates)),
    )


def label(file: pathlib.Path, arrays: Arrays) -> np.ma.MaskedArray | None:
    """The label as integers [H, W]; None without the key.

    Raises:
      ValueError: no integers.
    """
    if "label" not in arrays:
        return None
    values = arrays["label"]
    if values.dtype.kind not in "iub":
        raise ValueError(f"{file}: label: expected uint8 (255 where unknown), found {values.dtype}")
    return np.ma.MaskedArray(values.astype(np.int64))
