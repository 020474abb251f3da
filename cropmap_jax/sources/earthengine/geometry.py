"""Outlines in degrees, by which a graph's scenes are filtered."""

from collections.abc import Sequence

import pyproj
from odc.geo.geobox import GeoBox


def ring(region: GeoBox | Sequence[float]) -> list[list[float]]:
    """(lon, lat) of the four corners in degrees, from the south-west counterclockwise.

    Args:
      region: a grid, or (west, south, east, north) in degrees.

    Raises:
      ValueError: a region across the antimeridian.
    """
    left, bottom, right, top = region.boundingbox if isinstance(region, GeoBox) else region
    lons, lats = [left, right, right, left], [bottom, bottom, top, top]
    if isinstance(region, GeoBox) and region.crs is not None:
        to_degrees = pyproj.Transformer.from_crs(region.crs.proj, 4326, always_xy=True)
        lons, lats = to_degrees.transform(lons, lats)
    eastwards = lons[0] < lons[1] and lons[3] < lons[2] and -180 <= min(lons) and max(lons) <= 180
    if not (eastwards and lats[0] < lats[3] and lats[1] < lats[2]):
        raise ValueError(
            f"region: expected west < east within -180..180 (none across the antimeridian) and "
            f"south < north, found corners "
            f"{', '.join(f'({x:.4f}, {y:.4f})' for x, y in zip(lons, lats, strict=True))}"
        )
    # Six decimals are a tenth of a metre: more would make the digest depend on the version of PROJ.
    return [[round(float(x), 6), round(float(y), 6)] for x, y in zip(lons, lats, strict=True)]
