"""What the arrays of a user's .npz mean: periods, pixels by sensor and the label."""

import difflib
import pathlib
from collections.abc import Mapping

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period, parse_date
from cropmap_jax.sources.ingest import band_names, npz_files
from cropmap_jax.sources.ingest import bands as bands_lib
from cropmap_jax.sources.ingest.dates import span

PIXELS = {"s1": "s1_db", "s2": "s2"}
"""Key by sensor."""
_REQUIRED = ("period_start", "period_end", "crs", "transform")
_LONGEST = 200
_KEYS = (
    *_REQUIRED,
    *("s1_db", "s2", "label", "class_names", "fields", "s1_bands", "s2_bands", "s2_offset"),
)


def load(file: pathlib.Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by key, and names of members that are none of the keys.

    Raises:
      ValueError: no .npz, damaged, a key that is missing or misspelt.
    """
    arrays, unused = npz_files.load(file, _KEYS)
    missing = [key for key in _REQUIRED if key not in arrays]
    if not any(key in arrays for key in PIXELS.values()):
        missing.append("s1_db or s2")
    if missing:
        raise ValueError(
            f"{file}: expected key {', '.join(missing)}, found "
            f"{', '.join([*arrays, *unused]) or 'no keys'}"
        )
    for key in unused:
        near = difflib.get_close_matches(key.lower(), _KEYS, n=1)
        if near and near[0] not in arrays:
            raise ValueError(f"{file}: found key {key!r}, expected {near[0]!r}")
    return arrays, unused


def listed(file: pathlib.Path, arrays: Mapping, key: str) -> np.ndarray:
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


def names(file: pathlib.Path, arrays: Mapping, key: str) -> list[str]:
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


def offsets(file: pathlib.Path, arrays: Mapping, count: int) -> tuple[float, ...] | None:
    """Offset of S2 in each period (NaN: the flag's); None without the key.

    Raises:
      ValueError: another number of them, or infinite ones.
    """
    if "s2_offset" not in arrays:
        return None
    values = listed(file, arrays, "s2_offset")
    if values.dtype.kind not in "fiu" or len(values) != count or np.isinf(values).any():
        raise ValueError(
            f"{file}: s2_offset: expected {count} numbers, one per period, found {values.dtype} "
            f"[{len(values)}]"
        )
    return tuple(float(v) for v in values)


def spans(file: pathlib.Path, arrays: Mapping) -> tuple[Period, ...]:
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


def image_shape(file: pathlib.Path, arrays: Mapping, count: int) -> tuple[int, int]:
    """(height, width), the same for both sensors."""
    shapes = {}
    for key in PIXELS.values():
        if key not in arrays:
            continue
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
        shapes[key] = array.shape[1:3]
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"{file}: expected s1_db and s2 of the same rows x columns, found "
            f"{npz_files.size_text(shapes['s1_db'])} and {npz_files.size_text(shapes['s2'])}"
        )
    return next(iter(shapes.values()))


def sensor_layers(
    file: pathlib.Path, arrays: Mapping, sensor: str, dates: tuple[Period, ...], s2_offset
) -> bands_lib.Layers:
    """One sensor's pixels, bands by name where s1_bands or s2_bands names them.

    Raises:
      ValueError: bands that do not fit.
    """
    key, named = PIXELS[sensor], f"{sensor}_bands"
    array, where = arrays[key], f"{file}: {key}"
    bands = cube.BANDS[sensor]
    labels = names(file, arrays, named) if named in arrays else list(bands)
    if len(labels) != array.shape[-1]:
        raise ValueError(
            f"{where}: expected {len(labels)} bands ({', '.join(labels)}; {named} names others), "
            f"found {array.shape[-1]}"
        )
    found = band_names.name_bands(labels, sensor, f"{file}: {named}")

    def read(rows: slice, cols: slice) -> np.ndarray:
        return array[:, rows, cols][..., list(found.values())]

    return bands_lib.Layers(
        sensor,
        where,
        dates,
        tuple(found),
        read,
        integer=array.dtype.kind in "iu",
        unused=tuple(n for n in labels if not band_names.band_of(n, sensor)),
        s2_offset=s2_offset if sensor == "s2" else None,
    )


def label(file: pathlib.Path, arrays: Mapping) -> np.ma.MaskedArray | None:
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
