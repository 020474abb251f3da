"""A user's own stack: one raster's observations, label and fields, from an .npz or a folder."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import extras, files, grid, text
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import dates, geotiff_files, npz_arrays, npz_files, satellites
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.npz_files import size_text

_PIXEL_BYTES = 24
"""Label, its codes, fields and masks of one pixel, held in memory for the whole raster."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """An input, opened: its pixels are read window by window.

    Args:
      where: the input, to name in errors.
      geobox: grid of all of it.
      bands: by sensor; a sensor that the input lacks is not there.
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
    bands: Mapping[str, Bands]
    label: np.ma.MaskedArray | None
    class_names: tuple[str, ...] | None
    fields: np.ndarray | None
    sha256: str
    files: tuple[pathlib.Path, ...] = ()
    label_nodata: float | None = None
    notes: tuple[str, ...] = ()


def open_stack(path: str | os.PathLike[str]) -> Stack:
    """Opens an .npz file, or a folder with a .tif or .nc named after each sensor.

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
            f"{stack.where}: expected a label of {size_text(stack.geobox.shape)} (rows x "
            f"columns) as the pixels have, found {size_text(stack.label.shape)}"
        )
    try:
        grid.check_true_pixels(stack.geobox, stack.where)
    except ValueError as error:
        raise ValueError(
            f"{error}; ingest does not resample: warp the stack first, for instance with "
            f"gdalwarp -t_srs EPSG:326xx -tr 10 10"
        ) from error
    return stack


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
    arrays, unused = npz_arrays.load(file)
    spans = npz_arrays.spans(file, arrays)
    shape = npz_arrays.image_shape(file, arrays, len(spans))
    found = {
        product.sensor.name: npz_arrays.sensor_bands(file, arrays, product, spans)
        for product in satellites.products()
        if product.key in arrays
    }
    transform = np.asarray(arrays["transform"])
    if transform.shape != (6,) or transform.dtype.kind not in "fiu":
        raise ValueError(
            f"{file}: transform: expected six numbers, found {transform.dtype} "
            f"[{size_text(transform.shape)}]"
        )
    crs = arrays["crs"]
    if crs.size != 1 or crs.dtype.kind not in "Uiu":
        raise ValueError(f"{file}: crs: expected text such as EPSG:32631, found {crs.dtype}")
    geobox = geotiff_files.make_geobox(shape, transform.tolist(), crs.ravel()[0], f"{file}: crs")
    fields, notes = _check_fields(f"{file}: fields", arrays.get("fields"), shape)
    if unused:
        notes.append(f"{file}: not used: {', '.join(unused)}")
    names = None
    if "class_names" in arrays:
        names = tuple(npz_arrays.names(file, arrays, "class_names"))
    return Stack(
        where=str(file),
        geobox=geobox,
        bands=found,
        label=npz_arrays.label(file, arrays),
        class_names=names,
        fields=fields,
        sha256=_sha256([file]),
        files=(file,),
        notes=tuple(notes),
    )


def _check_fields(
    where: str, fields: np.ndarray | None, shape: Sequence[int]
) -> tuple[np.ndarray | None, list[str]]:
    """Field ids as uint32, 0 where missing, and notes on what was taken as missing."""
    if fields is None:
        return None, []
    if fields.shape != tuple(shape) or fields.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: expected integers [{size_text(shape)}], found {fields.dtype} "
            f"[{size_text(fields.shape)}]"
        )
    filled = np.ma.filled(fields, 0)
    if filled.min(initial=0) < 0 or filled.max(initial=0) > np.iinfo(np.uint32).max:
        raise ValueError(f"{where}: expected field ids from 0 (none) to 2^32 - 1")
    ids, notes = filled.astype(np.uint32), []
    # The largest number of two or four bytes is a fill value rather than a field's number.
    largest = np.iinfo(fields.dtype).max
    count = int((filled == largest).sum()) if fields.dtype.itemsize > 1 else 0
    if count:
        ids[filled == largest] = 0
        notes.append(f"{where}: {count} pixels of {largest} are a fill value, not a field")
    return ids, notes


# Folder -------------------------------------------------------------------------------------------


def _open_folder(folder: pathlib.Path) -> Stack:
    there = {name: file for name in SENSORS if (file := _sensor_file(folder, name))}
    if not there:
        raise ValueError(
            f"--input {folder}: expected {' or '.join(SENSORS)} as .tif or .nc in the folder, "
            f"found "
            f"{', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'nothing'}"
        )
    spans, offsets = dates.read_dates(folder / "dates.csv")
    for name in set(spans) - set(there):
        raise ValueError(f"{folder / 'dates.csv'}: has rows of {name}, but there is no {name}.tif")
    found, grids = {}, {}
    for name, file in there.items():
        sensor, own = SENSORS[name], offsets.get(name)
        if file.suffix == ".nc":
            extras.require("netcdf", f"{file}: netCDF")
            from cropmap_jax.sources.ingest import netcdf_files

            found[name], grids[file] = netcdf_files.open_netcdf(file, sensor, spans.get(name), own)
        else:
            if name not in spans:
                raise ValueError(
                    f"{folder / 'dates.csv'}: expected rows of {name} (sensor,start[,end]) for "
                    f"{file.name}, found {'none' if spans else 'no file'}"
                )
            grids[file] = geotiff_files.read_tif_grid(file)
            found[name] = geotiff_files.open_tif(file, sensor, spans[name], own)
    extra = {k: folder / f"{k}.tif" for k in ("label", "fields") if (folder / f"{k}.tif").is_file()}
    grids |= {file: geotiff_files.read_tif_grid(file) for file in extra.values()}
    geobox = _one_grid(grids)
    npz_files.check_memory(
        _PIXEL_BYTES * geobox.shape.x * geobox.shape.y,
        f"--input {folder}: {size_text(geobox.shape)} (rows x columns) pixels",
        "cut the rasters into several first, for instance with gdal_translate -srcwin",
    )
    bands = {key: geotiff_files.read_tif_band(file) for key, file in extra.items()}
    label, nodata = bands.get("label", (None, None))
    fields, notes = _check_fields(
        str(folder / "fields.tif"), bands.get("fields", (None, None))[0], geobox.shape
    )
    used = [*there.values(), *extra.values()] + ([folder / "dates.csv"] if spans else [])
    if unused := _other_rasters(folder, used):
        notes.append(f"{folder}: not used: {', '.join(unused)}")
    return Stack(
        where=str(folder),
        geobox=geobox,
        bands=found,
        label=label,
        class_names=None,
        fields=fields,
        sha256=_sha256(sorted(used)),
        files=tuple(used),
        notes=tuple(notes),
        label_nodata=nodata,
    )


def _other_rasters(folder: pathlib.Path, used: Sequence[pathlib.Path]) -> list[str]:
    """Names of rasters of a folder that nothing reads: misspelt, or of a sensor not registered."""
    rasters = {file for file in folder.iterdir() if file.suffix.lower() in (".tif", ".tiff", ".nc")}
    names = sorted(text.plain(file.name) for file in rasters - set(used))
    return names if len(names) <= 8 else [*names[:8], f"and {len(names) - 8} more"]


def _sensor_file(folder: pathlib.Path, sensor: str) -> pathlib.Path | None:
    there = [file for ext in ("tif", "nc") if (file := folder / f"{sensor}.{ext}").is_file()]
    if len(there) > 1:
        raise ValueError(f"{folder}: expected {sensor} once, found {sensor}.tif and {sensor}.nc")
    return there[0] if there else None


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
                size_text(other.shape),
                size_text(geobox.shape),
                other.shape == geobox.shape,
            ),
            ("transform", b, a, np.allclose(a, b, rtol=0, atol=tolerance)),
        ):
            if not same:
                raise ValueError(
                    f"{file}: expected the grid of {first.name} ({what} {expected}), found {found}"
                )
    return geobox
