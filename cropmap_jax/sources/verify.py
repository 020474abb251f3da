"""Is a cube that was written the one that was requested? Read back from disk and compared."""

import os
from typing import Any

from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, cube_io, grid
from cropmap_jax.sources import missing
from cropmap_jax.sources.targets import Target

_COMPARED = (
    *("cube_id", "geobox", "periods", "legend"),
    *("season", "block", "split", "province", "harvest"),
)


def check_cube(folder: str | os.PathLike[str], target: Target) -> dict[str, Any]:
    """Reads a cube back from disk and compares it with its target.

    Checksums, shapes, CRS, transforms and band names of the rasters are compared with the cube's
    item, and the item with the target.

    Args:
      folder: of the cube.
      target: what it is to be.

    Returns:
      How much of it is missing: `missing.measure`.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    raw = cube_io.read_raw(folder, verify=True)
    differ = differences(raw.info, target)
    if differ:
        raise ValueError(f"{folder}: not the cube that was requested: {'; '.join(differ)}")
    check_grid(raw.info.geobox, str(folder))
    return missing.measure(raw)


def differences(info: cube.CubeInfo, target: Target) -> list[str]:
    """What of a cube's metadata is not as the target has it, in words."""
    found = []
    for name in _COMPARED:
        there, requested = getattr(info, name), getattr(target, name)
        if there != requested:
            found.append(f"{name}: {_short(there)} there, {_short(requested)} requested")
    return found


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value:
        return f"{len(value)} from {value[0].start} to {value[-1].end}"
    text = str(getattr(value, "name", value))
    return text if len(text) <= 80 else text[:77] + "..."


def check_grid(geobox: GeoBox, where: str) -> None:
    """Requires true 10 m pixels in a UTM zone of WGS 84.

    Raises:
      ValueError: names `where` and what was found.
    """
    grid.check_true_pixels(geobox, where)
    epsg = (geobox.crs.to_epsg() if geobox.crs else None) or 0
    if epsg // 100 not in (326, 327) or not 1 <= epsg % 100 <= 60:
        raise ValueError(f"{where}: expected a UTM zone such as EPSG:32631, found {geobox.crs}")
    if geobox.affine.a != grid.PIXEL_M:
        raise ValueError(
            f"{where}: expected pixels of {grid.PIXEL_M:g} m, found {geobox.affine.a:g} m"
        )
