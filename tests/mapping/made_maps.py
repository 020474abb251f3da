"""Finished maps made of arrays, in the form that predict writes them, and truths for them."""

import csv
import datetime as dt
import pathlib

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, periods
from cropmap_jax.geo.legend import IGNORE, Legend, make_class
from cropmap_jax.mapping import map_rasters, metadata, summary

LEGEND = Legend(
    "made",
    (
        make_class(0, 1, "wheat", "Wheat", "#e6ab02"),
        make_class(1, 2, "sugarbeet", "Sugar beet", "#1b9e77"),
    ),
)
NONE = 254
MONTHS = periods.month_periods(dt.date(2021, 12, 1), dt.date(2022, 6, 1))
LEFT, TOP = 512_000.0, 3_841_280.0


def grid(shape, col=0, row=0, epsg=32639, left=LEFT, top=TOP) -> GeoBox:
    affine = Affine(10, 0, left + 10 * col, 0, -10, top - 10 * row)
    return GeoBox(shape, affine, f"EPSG:{epsg}")


def write(out: pathlib.Path, *made: tuple[str, np.ndarray, GeoBox], masked: int = 0):
    """Writes a map of cubes, each (id, uint8 pixels, grid); confidence is 80 % everywhere."""
    out.mkdir(parents=True, exist_ok=True)
    for cube_id, pixels, geobox in made:
        info = cube.CubeInfo(cube_id, geobox, MONTHS, LEGEND, "b", "test", "2021-2022")
        confidence = np.where(pixels == IGNORE, IGNORE, 80).astype(np.uint8)
        own = _metadata(cube_id, pixels, masked)
        map_rasters.write_map(out, info, LEGEND, pixels, confidence, own)
    tally = summary.tally(out, [one[0] for one in made], LEGEND)
    summary.write_csv(out / "summary.csv", tally.rows(LEGEND))
    return out


def _metadata(cube_id: str, pixels: np.ndarray, masked: int):
    settings = metadata.Settings("c0ffee", 3, "2022-06-01", None, 0)
    found = {
        "cube": cube_id, "season": "2021-2022", "settings": settings.to_json(), "workdir": "run",
        "window": ["2022-05-01/2022-06-01"], "window_end": "2022-06-01",
        "periods_before_the_cube": 0, "lead_days": {}, "excluded": {}, "pixel_m": 10.0,
        "area": metadata._area(pixels, LEGEND, 10.0, masked),
    }  # fmt: skip
    if masked:
        found["masked"] = metadata._hectares(masked, 10.0)
    return found


def blocks(shape=(40, 60), seed=0) -> np.ndarray:
    """Wheat in the west, sugar beet in the middle, none of these in the east; speckled."""
    cols = np.broadcast_to(np.arange(shape[1]) * 3 // shape[1], shape)
    pixels = np.array([0, 1, NONE], np.uint8)[cols]
    rng = np.random.default_rng(seed)
    noise = np.array([0, 1, NONE], np.uint8)[rng.integers(0, 3, shape)]
    return np.where(rng.random(shape) < 0.2, noise, pixels)


def provinces(path: pathlib.Path, geobox: GeoBox) -> pathlib.Path:
    """Writes two provinces that halve a grid, west and east, as GeoJSON."""
    import geopandas
    import shapely

    a, (height, width) = geobox.affine, geobox.shape
    middle, right, bottom = a.c + 5 * width, a.c + 10 * width, a.f - 10 * height
    shapes = [
        shapely.box(a.c - 500, bottom - 500, middle, a.f + 500),
        shapely.box(middle, bottom - 500, right + 500, a.f + 500),
    ]
    frame = geopandas.GeoDataFrame({"province": ["West", "East"]}, geometry=shapes, crs=geobox.crs)
    frame.to_crs(4326).to_file(path, driver="GeoJSON")
    return path


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: pathlib.Path, rows: list[dict]) -> pathlib.Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path
