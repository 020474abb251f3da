"""Labels and field ids of a target, from the rasters that `experiments.prepare` wrote."""

import pathlib

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, geotiffs
from cropmap_jax.sources.targets import Target


def read_labels(target: Target) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels uint8 [H, W] and field ids uint32 [H, W] or None, from the target's files.

    Raises:
      ValueError: names the file that is missing, is on another grid or of another type, or holds
        a label that the legend does not.
    """
    if target.label_file is None:
        raise ValueError(f"{target.cube_id}: expected a file of labels, found none")
    label = _read_band(target.label_file, target.geobox, "uint8")
    cube.check_label(label, target.legend, str(target.label_file))
    if target.fields_file is None:
        return label, None
    return label, _read_band(target.fields_file, target.geobox, "uint32")


def _read_band(file: pathlib.Path, geobox: GeoBox, dtype: str) -> np.ndarray:
    with geotiffs.open_geotiff(file) as raster:
        found = {
            "rows x columns": tuple(raster.shape),
            "transform": tuple(raster.transform)[:6],
            "CRS": raster.crs,
            "bands": raster.count,
            "type": raster.dtypes[0],
        }
        expected = {
            "rows x columns": tuple(geobox.shape),
            "transform": tuple(geobox.affine)[:6],
            "CRS": rasterio.CRS.from_wkt(geobox.crs.to_wkt() if geobox.crs else ""),
            "bands": 1,
            "type": dtype,
        }
        for what, value in expected.items():
            if found[what] != value:
                raise ValueError(f"{file}: expected {what} {value}, found {found[what]}")
        band: np.ndarray = raster.read(1)
        return band
