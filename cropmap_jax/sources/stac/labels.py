"""Labels and land cover of cubes that are fetched: files of the targets, or rasters of codes."""

import pathlib

import numpy as np
import rasterio.warp

from cropmap_jax.geo import geotiffs
from cropmap_jax.geo.landcover import LANDCOVERS
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.sources import cube_keys, landcover_rasters, tile_labels
from cropmap_jax.sources.stac.options import LabelOptions
from cropmap_jax.sources.targets import Target

_NONE = np.iinfo(np.int32).min
"""No code of any map."""


def read(target: Target, options: LabelOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels uint8 [H, W] and field ids uint32 [H, W] or None.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    if options.kind == "tiles":
        return tile_labels.read_labels(target)
    if options.kind == "none":
        return np.full(tuple(target.geobox.shape), IGNORE, np.uint8), None
    codes = _codes(pathlib.Path(options.file), target)
    where = f"{options.file}: {target.cube_id}"
    return _encode(codes, target.legend, options, where), None


def _encode(codes: np.ndarray, known: Legend, options: LabelOptions, where: str) -> np.ndarray:
    """Labels, uint8, of a map's codes, int32 of the same shape."""
    missing = {_NONE, *options.unknown}
    listed = {one.code for one in known.classes} | set(known.none_of_these)
    if options.others:
        other = ~np.isin(codes, [*listed, *missing])
        made = known.encode(np.where(other, _NONE, codes), where, missing=missing - listed)
        made[other] = IGNORE if options.others == "unknown" else NONE_OF_THESE
        return made
    return known.encode(codes, where, missing=missing - listed)


def _codes(file: pathlib.Path, target: Target) -> np.ndarray:
    """Codes of a map at the middle of every pixel, int32 [H, W]; `_NONE` where it has none."""
    box = target.geobox
    out = np.full(tuple(box.shape), _NONE, np.int32)
    with geotiffs.open_geotiff(file, sidecars=True) as raster:
        if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "iu" or raster.crs is None:
            raise ValueError(
                f"{file}: expected one band of integers with a CRS, found {raster.count} of "
                f"{raster.dtypes[0]} in {raster.crs}"
            )
        rasterio.warp.reproject(
            rasterio.band(raster, 1), out, src_nodata=raster.nodata,
            dst_transform=box.affine, dst_crs=box.crs.to_wkt() if box.crs else None,
            dst_nodata=_NONE, init_dest_nodata=True,
        )  # fmt: skip
    return out


def landcover(target: Target, options: LabelOptions) -> np.ndarray | None:
    """Codes of a land-cover map, uint8 [H, W]; None where none is to come with the cube."""
    if not options.landcover:
        return None
    table = LANDCOVERS[options.landcover_table]
    return landcover_rasters.read(pathlib.Path(options.landcover), target.geobox, table)


def digests(target: Target, options: LabelOptions) -> list[str]:
    """SHA-256 (hex) of all files that a label comes from.

    Raises:
      ValueError: one is missing.
    """
    found = cube_keys.file_digests(target) if options.kind == "tiles" else []
    for file in (options.file, options.landcover):
        if file:
            found.append(_sha256(file))
    return found


_KNOWN: dict[tuple[str, int, int], str] = {}


def _sha256(file: str) -> str:
    """Digest of a file that all targets share, computed once."""
    path = pathlib.Path(file)
    if not path.is_file():
        raise ValueError(f"{file}: expected a GeoTIFF, found no file")
    state = path.stat()
    key = (str(path.absolute()), state.st_size, state.st_mtime_ns)
    if key not in _KNOWN:
        _KNOWN[key] = landcover_rasters.sha256(path)
    return _KNOWN[key]
