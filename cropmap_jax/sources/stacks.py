"""A user's own stack: one raster's observations, label and fields, from an .npz or a folder."""

import csv
import dataclasses
import datetime as dt
import difflib
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, files, grid
from cropmap_jax.geo.periods import Period, parse_date
from cropmap_jax.sources import band_names, layers, npz_files, stack_files

_NPZ_REQUIRED = ("period_start", "period_end", "crs", "transform")
_NPZ_PIXELS = {"s1": "s1_db", "s2": "s2"}
_NPZ_OPTIONAL = (
    *("s1_db", "s2", "label", "class_names", "fields", "s1_bands", "s2_bands", "s2_offset"),
)
_COLUMNS = ("sensor", "start", "end", "s2_offset")
_PIXEL_BYTES = 24
"""Label, its codes, fields and masks of one pixel, held in memory for the whole raster."""
_SENSORS = tuple(cube.BANDS)


@dataclasses.dataclass(frozen=True)
class Stack:
    """An input, opened: its pixels are read window by window.

    Args:
      where: the input, to name in errors.
      geobox: grid of all of it.
      layers: by sensor; a sensor that the input lacks is not there.
      label: integers [H, W], masked where nodata; None where the input has none.
      class_names: names of label values 0, 1, ...; None where values are codes of a legend.
      fields: uint32 [H, W], 0 none; None where the input has none.
      sha256: of the file, or of all files of a folder that were used.
      files: those that were used.
      label_nodata: value that is declared as missing in the label's raster.
      notes: what the user should know of the input.
    """

    where: str
    geobox: GeoBox
    layers: Mapping[str, layers.Layers]
    label: np.ma.MaskedArray | None
    class_names: tuple[str, ...] | None
    fields: np.ndarray | None
    sha256: str
    files: tuple[pathlib.Path, ...] = ()
    label_nodata: float | None = None
    notes: tuple[str, ...] = ()


def open_stack(path: str | os.PathLike) -> Stack:
    """Opens an .npz file, or a folder with s1 and s2 as .tif or .nc.

    Raises:
      ValueError: names the file or key, what was found and what was expected.
    """
    file = files.local("--input", path)
    if file.is_dir():
        stack = _open_folder(file)
    elif not file.exists():
        raise ValueError(f"--input {file}: expected an .npz file or a folder, found nothing there")
    else:
        stack = _open_npz(file)
    if stack.label is not None and stack.label.shape != tuple(stack.geobox.shape):
        raise ValueError(
            f"{stack.where}: expected a label of {_size(stack.geobox.shape)} (rows x columns) as "
            f"the pixels have, found {_size(stack.label.shape)}"
        )
    try:
        grid.check_true_pixels(stack.geobox, stack.where)
    except ValueError as error:
        raise ValueError(
            f"{error}; ingest does not resample: warp the stack first, for instance with "
            f"gdalwarp -t_srs EPSG:326xx -tr 10 10"
        ) from error
    return stack


def _size(shape) -> str:
    return " x ".join(str(n) for n in shape)


def _sha256(used: Sequence[pathlib.Path]) -> str:
    """Of one file its bytes; of several their names and digests."""
    digests = []
    for file in used:
        with open(file, "rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(used) == 1:
        return digests[0]
    rows = [f"{digest}  {file.name}\n" for digest, file in zip(digests, used, strict=True)]
    return hashlib.sha256("".join(rows).encode()).hexdigest()


# npz ----------------------------------------------------------------------------------------------


def _open_npz(file: pathlib.Path) -> Stack:
    arrays, unused = npz_files.load(file, (*_NPZ_REQUIRED, *_NPZ_OPTIONAL))
    missing = [key for key in _NPZ_REQUIRED if key not in arrays]
    if not any(key in arrays for key in _NPZ_PIXELS.values()):
        missing.append("s1_db or s2")
    if missing:
        raise ValueError(
            f"{file}: expected key {', '.join(missing)}, found "
            f"{', '.join([*arrays, *unused]) or 'no keys'}"
        )
    for key in unused:
        near = difflib.get_close_matches(key.lower(), [*_NPZ_REQUIRED, *_NPZ_OPTIONAL], n=1)
        if near and near[0] not in arrays:
            raise ValueError(f"{file}: found key {key!r}, expected {near[0]!r}")
    dates = _npz_periods(file, arrays)
    shape = _npz_shape(file, arrays, len(dates))
    offsets = _npz_offsets(file, arrays, len(dates))
    found = {}
    for sensor, key in _NPZ_PIXELS.items():
        if key in arrays:
            found[sensor] = _npz_layers(file, arrays, sensor, dates, offsets)
    transform = np.asarray(arrays["transform"])
    if transform.shape != (6,) or transform.dtype.kind not in "fiu":
        raise ValueError(
            f"{file}: transform: expected six numbers, found {transform.dtype} "
            f"[{_size(transform.shape)}]"
        )
    crs = arrays["crs"]
    if crs.size != 1 or crs.dtype.kind not in "Uiu":
        raise ValueError(f"{file}: crs: expected text such as EPSG:32631, found {crs.dtype}")
    geobox = stack_files.make_geobox(shape, transform.tolist(), crs.ravel()[0], f"{file}: crs")
    names = None
    if "class_names" in arrays:
        names = tuple(str(n) for n in _listed(file, arrays, "class_names"))
    return Stack(
        where=str(file),
        geobox=geobox,
        layers=found,
        label=_npz_label(file, arrays),
        class_names=names,
        fields=_check_fields(f"{file}: fields", arrays.get("fields"), shape),
        sha256=_sha256([file]),
        files=(file,),
        notes=(f"{file}: not used: {', '.join(unused)}",) if unused else (),
    )


def _listed(file: pathlib.Path, arrays: Mapping, key: str) -> np.ndarray:
    """An array of one dimension.

    Raises:
      ValueError: more of them.
    """
    array = np.atleast_1d(arrays[key])
    if array.ndim > 1:
        raise ValueError(f"{file}: {key}: expected a list, found [{_size(array.shape)}]")
    return array


def _npz_offsets(file: pathlib.Path, arrays: Mapping, count: int) -> tuple[float, ...] | None:
    if "s2_offset" not in arrays:
        return None
    values = _listed(file, arrays, "s2_offset")
    if values.dtype.kind not in "fiu" or len(values) != count or np.isinf(values).any():
        raise ValueError(
            f"{file}: s2_offset: expected {count} numbers, one per period, found {values.dtype} "
            f"[{len(values)}]"
        )
    return tuple(float(v) for v in values)


def _npz_periods(file: pathlib.Path, arrays: Mapping) -> tuple[Period, ...]:
    starts, ends = (_listed(file, arrays, key) for key in ("period_start", "period_end"))
    if len(starts) != len(ends):
        raise ValueError(
            f"{file}: expected as many period_end as period_start, found {len(ends)} and "
            f"{len(starts)}"
        )
    spans = []
    for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
        start = parse_date(a, f"{file}: period_start[{i}]")
        spans.append(_span(start, parse_date(b, f"{file}: period_end[{i}]"), f"{file}: [{i}]"))
    return tuple(spans)


def _span(start: dt.date, end: dt.date, where: str) -> Period:
    try:
        return Period(start, end)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _npz_shape(file: pathlib.Path, arrays: Mapping, count: int) -> tuple[int, int]:
    """(height, width), the same for both sensors."""
    shapes = {}
    for key in _NPZ_PIXELS.values():
        if key not in arrays:
            continue
        array = arrays[key]
        if array.ndim != 4 or array.dtype.kind not in "fiu" or 0 in array.shape:
            raise ValueError(
                f"{file}: {key}: expected numbers [periods, rows, columns, bands], found "
                f"{array.dtype} [{_size(array.shape)}]"
            )
        if len(array) != count:
            raise ValueError(
                f"{file}: {key}: expected {count} periods as in period_start, found {len(array)}"
            )
        shapes[key] = array.shape[1:3]
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"{file}: expected s1_db and s2 of the same rows x columns, found "
            f"{_size(shapes['s1_db'])} and {_size(shapes['s2'])}"
        )
    return next(iter(shapes.values()))


def _npz_layers(file: pathlib.Path, arrays: Mapping, sensor: str, dates, offsets) -> layers.Layers:
    key, named = _NPZ_PIXELS[sensor], f"{sensor}_bands"
    array, where = arrays[key], f"{file}: {key}"
    bands = cube.BANDS[sensor]
    names = [str(n) for n in _listed(file, arrays, named)] if named in arrays else list(bands)
    if len(names) != array.shape[-1]:
        raise ValueError(
            f"{where}: expected {len(names)} bands ({', '.join(names)}; {named} names others), "
            f"found {array.shape[-1]}"
        )
    found = band_names.name_bands(names, sensor, f"{file}: {named}")

    def read(rows: slice, cols: slice) -> np.ndarray:
        return array[:, rows, cols][..., list(found.values())]

    return layers.Layers(
        sensor,
        where,
        dates,
        tuple(found),
        read,
        integer=array.dtype.kind in "iu",
        unused=tuple(n for n in names if not band_names.band_of(n, sensor)),
        s2_offset=offsets if sensor == "s2" else None,
    )


def _npz_label(file: pathlib.Path, arrays: Mapping) -> np.ma.MaskedArray | None:
    if "label" not in arrays:
        return None
    label = arrays["label"]
    if label.dtype.kind not in "iub":
        raise ValueError(f"{file}: label: expected uint8 (255 where unknown), found {label.dtype}")
    return np.ma.MaskedArray(label.astype(np.int64))


def _check_fields(where: str, fields, shape) -> np.ndarray | None:
    if fields is None:
        return None
    if fields.shape != tuple(shape) or fields.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: expected integers [{_size(shape)}], found {fields.dtype} "
            f"[{_size(fields.shape)}]"
        )
    filled = np.ma.filled(fields, 0)
    if filled.min(initial=0) < 0 or filled.max(initial=0) > np.iinfo(np.uint32).max:
        raise ValueError(f"{where}: expected field ids from 0 (none) to 2^32 - 1")
    return filled.astype(np.uint32)


# Folder -------------------------------------------------------------------------------------------


def _open_folder(folder: pathlib.Path) -> Stack:
    there = {sensor: _sensor_file(folder, sensor) for sensor in _SENSORS}
    there = {sensor: file for sensor, file in there.items() if file}
    if not there:
        raise ValueError(
            f"--input {folder}: expected s1 or s2 as .tif or .nc in the folder, found "
            f"{', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'nothing'}"
        )
    dates, offsets = _read_dates(folder / "dates.csv")
    for sensor in set(dates) - set(there):
        raise ValueError(
            f"{folder / 'dates.csv'}: has rows of {sensor}, but there is no {sensor}.tif"
        )
    found, grids = {}, {}
    for sensor, file in there.items():
        own = offsets if sensor == "s2" else None
        if file.suffix == ".nc":
            found[sensor], grids[file] = stack_files.open_netcdf(
                file, sensor, dates.get(sensor), own
            )
        else:
            if sensor not in dates:
                raise ValueError(
                    f"{folder / 'dates.csv'}: expected rows of {sensor} (sensor,start[,end]) for "
                    f"{file.name}, found {'none' if dates else 'no file'}"
                )
            grids[file] = stack_files.read_tif_grid(file)
            found[sensor] = stack_files.open_tif(file, sensor, dates[sensor], own)
    extra = {k: folder / f"{k}.tif" for k in ("label", "fields") if (folder / f"{k}.tif").is_file()}
    grids |= {file: stack_files.read_tif_grid(file) for file in extra.values()}
    geobox = _one_grid(grids)
    npz_files.check_memory(
        _PIXEL_BYTES * geobox.shape.x * geobox.shape.y,
        f"--input {folder}: {_size(geobox.shape)} (rows x columns) pixels",
        "cut the rasters into several first, for instance with gdal_translate -srcwin",
    )
    bands = {key: stack_files.read_tif_band(file) for key, file in extra.items()}
    label, nodata = bands.get("label", (None, None))
    used = [*there.values(), *extra.values()] + ([folder / "dates.csv"] if dates else [])
    return Stack(
        where=str(folder),
        geobox=geobox,
        layers=found,
        label=label,
        class_names=None,
        fields=_check_fields(
            str(folder / "fields.tif"), bands.get("fields", (None, None))[0], geobox.shape
        ),
        sha256=_sha256(sorted(used)),
        files=tuple(used),
        label_nodata=nodata,
    )


def _sensor_file(folder: pathlib.Path, sensor: str) -> pathlib.Path | None:
    there = [file for ext in ("tif", "nc") if (file := folder / f"{sensor}.{ext}").is_file()]
    if len(there) > 1:
        raise ValueError(f"{folder}: expected {sensor} once, found {sensor}.tif and {sensor}.nc")
    return there[0] if there else None


def _read_dates(file: pathlib.Path) -> tuple[dict[str, tuple[Period, ...]], tuple | None]:
    """Periods by sensor from `sensor,start[,end][,s2_offset]`, and the offsets of S2 if any.

    Empty and None where there is no such file; an offset that is left empty is NaN.
    """
    if not file.is_file():
        return {}, None
    spans: dict[str, list[Period]] = {}
    offsets: list[float] = []
    wanted = "sensor,start[,end][,s2_offset]"
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [dict(zip(columns, row.values(), strict=False)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: expected a CSV with {wanted} ({error})") from error
    if not {"sensor", "start"} <= set(columns) <= set(_COLUMNS):
        raise ValueError(f"{file}: expected columns {wanted}, found {','.join(columns) or 'none'}")
    for number, row in enumerate(rows, start=2):
        where = f"{file}: line {number}"
        sensor = (row["sensor"] or "").strip().lower()
        if sensor not in _SENSORS:
            raise ValueError(f"{where}: expected sensor s1 or s2, found {row['sensor']!r}")
        start = parse_date(row["start"], where)
        end = (row.get("end") or "").strip()
        last = parse_date(end, where) if end else start + dt.timedelta(days=1)
        spans.setdefault(sensor, []).append(_span(start, last, where))
        offset = _offset((row.get("s2_offset") or "").strip(), where)
        if sensor == "s2":
            offsets.append(offset)
        elif not np.isnan(offset) and offset != 0:
            raise ValueError(f"{where}: expected no s2_offset in a row of s1, found {offset:g}")
    return {sensor: tuple(rows) for sensor, rows in spans.items()}, (
        tuple(offsets) if "s2_offset" in columns else None
    )


def _offset(text: str, where: str) -> float:
    try:
        value = float(text) if text else np.nan
    except ValueError:
        value = np.inf
    if np.isinf(value) or (text and np.isnan(value)):
        raise ValueError(f"{where}: expected a number as s2_offset, such as -1000, found {text!r}")
    return value


def _one_grid(grids: Mapping[pathlib.Path, GeoBox]) -> GeoBox:
    """The grid that all files share.

    Raises:
      ValueError: names two files whose grids differ and in what.
    """
    (first, geobox), *others = grids.items()
    for file, other in others:
        a, b = (tuple(g.affine)[:6] for g in (geobox, other))
        tolerance = 1e-6 * abs(geobox.affine.a)
        for what, found, expected, same in (
            ("CRS", other.crs, geobox.crs, other.crs == geobox.crs),
            (
                "rows x columns",
                _size(other.shape),
                _size(geobox.shape),
                other.shape == geobox.shape,
            ),
            ("transform", b, a, np.allclose(a, b, rtol=0, atol=tolerance)),
        ):
            if not same:
                raise ValueError(
                    f"{file}: expected the grid of {first.name} ({what} {expected}), found {found}"
                )
    return geobox
