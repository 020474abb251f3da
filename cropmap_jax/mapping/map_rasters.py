"""Writes a cube's map: `crop.tif` and `confidence.tif`, cloud-optimised, and their folder."""

import json
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import rasterio
import rasterio.io

from cropmap_jax.geo import cube, cube_io, files
from cropmap_jax.geo.legend import IGNORE, Legend
from cropmap_jax.mapping.decision import PERCENT
from cropmap_jax.mapping.metadata import CONFIDENCE, CROP, METADATA, MapMetadata, values
from cropmap_jax.mapping.summary import one_line


def crop_name(classes: Legend, as_of: str) -> str:
    """Band description of a crop map."""
    return f"crop, legend {one_line(classes.name)}, as of {as_of}"


def confidence_name(as_of: str, calibrated: bool = False) -> str:
    """Band description of a confidence map."""
    what = "calibrated probability" if calibrated else "probability"
    return f"{what} of the class shown, percent, as of {as_of}"


def write_map(
    out: pathlib.Path,
    info: cube.CubeInfo,
    classes: Legend,
    crop: np.ndarray,
    confidence: np.ndarray,
    metadata: MapMetadata,
    more: Mapping[str, bytes] | None = None,
    check: Callable[[], object] = lambda: None,
) -> pathlib.Path:
    """Writes `<out>/<cube_id>/`, whole or not at all; replaces a map that is there.

    Args:
      out: folder of the map.
      info: the cube, for its grid.
      classes: the checkpoint's legend.
      crop: uint8 [H, W], class index, NONE_OF_THESE or IGNORE.
      confidence: uint8 [H, W] in percent, IGNORE where there is none.
      metadata: from `metadata.make_metadata`.
      more: further files of the folder, by name.
      check: called before the folder gets its name, see `files.replacing`.

    Returns:
      Folder of the cube's map.

    Raises:
      OSError: names the folder; nothing of the new map is left.
    """
    as_of, calibrated = metadata["settings"]["as_of"], "calibrated" in metadata
    named = values(classes)
    if "masked" in metadata:
        named[IGNORE] += ", masked"
    rasters = {
        CROP: encode(
            crop,
            info,
            crop_name(classes, as_of),
            "mode",
            tags={f"CLASS_{value}": name for value, name in named.items()},
            colours=cube_io.colour_table(classes),
        ),
        CONFIDENCE: encode(
            confidence,
            info,
            confidence_name(as_of, calibrated),
            "average",
            tags={},
            scale=1 / PERCENT,
        ),
    }
    final = out / info.cube_id
    with files.replacing(final, check=check) as folder:
        folder.mkdir()
        for name, data in (rasters | dict(more or {})).items():
            files.write_synced(folder / name, data)
        files.write_synced(folder / METADATA, json.dumps(metadata, indent=1).encode() + b"\n")
    return final


def encode(
    pixels: np.ndarray,
    info: cube.CubeInfo,
    description: str,
    resampling: str,
    tags: dict[str, str],
    colours: dict[int, tuple[int, int, int, int]] | None = None,
    scale: float | None = None,
    nodata: int = IGNORE,
    unit: str = "",
) -> bytes:
    """A one-band COG; encoded in memory, so that a full disk raises where it happens.

    Args:
      pixels: uint8 or uint16 [H, W].
      info: the cube, for its grid.
      description: of the band.
      resampling: of overviews.
      tags: of the band.
      colours: by value.
      scale: physical value of one step.
      nodata: value where there is nothing.
      unit: of the values.
    """
    height, width = pixels.shape
    profile = {
        "driver": "COG",
        "dtype": pixels.dtype.name,
        "count": 1,
        "height": height,
        "width": width,
        "crs": info.crs.to_wkt(),
        "transform": info.geobox.affine,
        "nodata": nodata,
        # Deflate, not zstd: readers in browsers know no other.
        "compress": "deflate",
        "predictor": "no",
        "blocksize": 128 if max(height, width) <= 128 else 512,
        "overview_resampling": resampling,
    }
    with rasterio.io.MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(pixels, 1)
            raster.set_band_description(1, description)
            raster.update_tags(1, **tags)
            if colours:
                raster.write_colormap(1, colours)
            if scale:
                raster.scales = (scale,)
            if unit:
                raster.units = (unit,)
        return bytes(memory.getbuffer())
