"""How a cube looks as an `xarray.Dataset`: names, units, dates, grid, and what else is known of it.

Dimensions `time`, `y`, `x`. `time` is the first day of each period and `time_bounds` [time, nv] its
first day and the day after its last one (CF: Climate and Forecast conventions 1.11, section 7.1);
`x`, `y` are centres of pixels; the CRS is the coordinate `spatial_ref`, as rioxarray and odc-geo
write and read it. What is only known to this library lies in the attribute `cropmap_jax`, as JSON,
so that a Dataset that was written to NetCDF or Zarr is a cube again.
"""

import json
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from cropmap_jax.geo import calendars, cube, legend, periods
from cropmap_jax.geo.landcover import LANDCOVER, LandCover
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.geo.sensors import from_json as sensors_from_json

FACTS = "cropmap_jax"
"""The attribute with what no convention has a name for."""
TIME, BOUNDS, GRID = "time", "time_bounds", "spatial_ref"
_UNITS = {"reflectance": "1"}
"""CF units of units that are words."""


def variable_names(sensors: tuple[Sensor, ...]) -> dict[tuple[str, str], str]:
    """The variable of each (sensor, band): the band's name, "<sensor>_<band>" where two have it."""
    every = [band for sensor in sensors for band in sensor.bands]
    return {
        (sensor.name, band): band if every.count(band) == 1 else f"{sensor.name}_{band}"
        for sensor in sensors
        for band in sensor.bands
    }


def days(spans: tuple[Period, ...]) -> np.ndarray:
    """datetime64[ns] [T, 2], first day and the day after the last one."""
    return periods.to_days(spans).astype("datetime64[D]").astype("datetime64[ns]")


def coordinates(geobox: GeoBox, spans: tuple[Period, ...] | None = None) -> dict[str, Any]:
    """Coordinates of a grid and, if given, of periods."""
    found: dict[str, Any] = {str(k): v for k, v in xr_coords(geobox).items()}
    for axis in ("x", "y"):
        found[axis].attrs |= {
            "standard_name": f"projection_{axis}_coordinate",
            "long_name": f"{axis} of the centre of a pixel",
            "axis": axis.upper(),
        }
    if spans is not None:
        own = days(spans)
        about = {"standard_name": "time", "long_name": "first day of the period", "bounds": BOUNDS}
        found[TIME] = (TIME, own[:, 0], about | {"axis": "T"})
        found[BOUNDS] = ((TIME, "nv"), own)
    return found


def flags(classes: Legend, what: str) -> dict[str, Any]:
    """Attributes of a raster of class indices (CF 3.5), with titles and colours."""
    colours = [one.colour for one in classes.classes]
    return {
        "long_name": what,
        "flag_values": np.array([*range(len(classes)), NONE_OF_THESE, IGNORE], np.uint8),
        "flag_meanings": " ".join([*classes.names, "none_of_these", "unknown"]),
        "flag_colors": " ".join([*colours, "#dddddd", "#ffffff"]),
    }


def to_xarray(value: cube.Cube) -> xr.Dataset:
    """A cube as an `xarray.Dataset`.

    Args:
      value: the cube, float32 with NaN.

    Returns:
      A variable [time, y, x] per band, float32; `label` and, where there, `fields` and `landcover`
      [y, x], `clear` [time, y, x].
    """
    info, names = value.info, variable_names(value.info.sensors)
    out = xr.Dataset(coords=coordinates(info.geobox, info.periods))
    for sensor in info.sensors:
        for i, band in enumerate(sensor.bands):
            about = {
                "units": _UNITS.get(sensor.unit, sensor.unit),
                "long_name": f"{sensor.title} {band}, {sensor.unit}",
                "sensor": sensor.name,
                "band": band,
                "cell_methods": f"time: {sensor.compositing}",
            }
            own = (TIME, "y", "x"), value.pixels[sensor.name][..., i], about
            out[names[sensor.name, band]] = own
    out["label"] = ("y", "x"), value.label, flags(info.legend, "annotated class")
    if value.fields is not None:
        about = {"long_name": "number of the annotated field, 0 none"}
        out["fields"] = ("y", "x"), value.fields, about
    if value.clear is not None:
        about = {"long_name": "clear observations in the composite", "units": "1"}
        out[cube.CLEAR] = (TIME, "y", "x"), value.clear, about
    if value.landcover is not None:
        out[LANDCOVER] = ("y", "x"), value.landcover, {"long_name": "code of land cover, 0 none"}
    for name in out.data_vars:
        # Where rioxarray and odc-geo keep it, and where it is written from.
        out[name].encoding["grid_mapping"] = GRID
    out.attrs = {
        "Conventions": "CF-1.11",
        "title": f"cube {info.cube_id}",
        "cube_id": info.cube_id,
        "season": info.season,
        "split": info.split,
        FACTS: json.dumps(facts(info), ensure_ascii=False),
    }
    return out


def facts(info: cube.CubeInfo) -> dict[str, Any]:
    """What a cube is besides its arrays, its grid and its periods; JSON-ready."""
    return {
        "cube_id": info.cube_id,
        "legend": info.legend.to_json(),
        "block": info.block,
        "split": info.split,
        "season": info.season,
        "province": info.province,
        "harvest": calendars.to_json(info.harvest),
        "source": dict(info.source),
        "sensors": [sensor.to_json() for sensor in info.sensors],
        "landcover": None if info.landcover is None else info.landcover.to_json(),
    }


def read_facts(value: xr.Dataset) -> dict[str, Any]:
    """What `facts` wrote, as parts of a `CubeInfo`; {} of a Dataset that has none.

    Raises:
      ValueError: an attribute that was damaged.
    """
    text = value.attrs.get(FACTS)
    if text is None:
        return {}
    where = f"Dataset: attribute {FACTS!r}"
    try:
        found = json.loads(text)
        table = found["landcover"]
        return {
            **{key: str(found[key]) for key in ("cube_id", "block", "split", "season", "province")},
            "legend": legend.Legend.from_json(found["legend"], where),
            "harvest": calendars.from_json(found["harvest"], where),
            "source": dict(found["source"]),
            "sensors": sensors_from_json(found["sensors"], where),
            "landcover": None if table is None else LandCover.from_json(table, where),
        }
    except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{where}: expected what read_cube wrote, found {str(text)[:80]!r}; drop it, and name "
            f"legend, harvest and split as arguments of Cube.from_xarray"
        ) from error
