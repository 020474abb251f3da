"""A made-up table of fields and its tiles, small enough to count by hand.

Two seasons, two blocks 10 km apart. Squares and points lie at round metres of EPSG:32639.
"""

import datetime as dt

import geopandas
import numpy as np
import shapely

from cropmap_jax.geo import grid
from cropmap_jax.geo.calendars import Season
from cropmap_jax.geo.tiles import Tile
from cropmap_jax.ground_truth import audit_log
from cropmap_jax.ground_truth.polygons import project
from cropmap_jax.ground_truth.settings import CropCalendar, Layer, Settings

EPSG, ROW = 32639, 3000
WEST, EAST = 400, 408  # columns of tiles, a block apart
YEAR, NEXT = "2021-2022", "2022-2023"
LAYERS = {
    "wheat": Layer("w.shp", YEAR, crop="wheat"),
    "onion": Layer("o.shp", YEAR, crop="onion"),
    "others": Layer("p.shp", NEXT, name_column="name", names={"w": "wheat", "?": "unknown"}),
}
SETTINGS = Settings(
    source="field_data",
    layers=LAYERS,
    classes=("wheat", "maize", "onion"),
    calendar=CropCalendar("calendar.xlsx"),
    fractions={"train": 0.8, "validation": 0.0, "test": 0.2},
)
WHEAT, SPRING, WINTER = (
    Season(dt.date(2022, month, 1), season=name)
    for month, name in ((6, "Wheat"), (7, "Onion_Spring"), (3, "Onion_Winter"))
)
HARVEST = {"wheat": (WHEAT,), "onion": (SPRING, WINTER)}
# layer, row in the file, season, crop, sheets, column of the tile, metres from the tile's
# south-west corner, side in metres (0: a point), labelled pixels.
ROWS = [
    ("wheat", 0, YEAR, "wheat", "", WEST, (200, 300), 120, 100),
    ("wheat", 1, YEAR, "wheat", "", WEST, (506, 106), 4, 0),
    ("onion", 0, YEAR, "onion", "", WEST, (700, 700), 80, 36),
    ("onion", 1, YEAR, "onion", "Onion_Spring", WEST, (900, 700), 60, 16),
    ("onion", 2, YEAR, "onion", "", EAST, (100, 100), 100, 64),
    ("others", 0, NEXT, "none_of_these", "", WEST, (205, 205), 0, 9),
    ("others", 1, NEXT, "unknown", "", None, (400, 400), 0, 0),
    ("others", 2, NEXT, "wheat", "", WEST, (1005, 205), 0, 9),
]
PLACES = {WEST: ("train", "Qom"), EAST: ("test", "Yazd"), None: ("", "Qom")}


def fields() -> geopandas.GeoDataFrame:
    """The complete table."""
    rows, shapes = [], []
    for i, (layer, row, season, crop, sheets, col, (x, y), side, pixels) in enumerate(ROWS):
        corner = np.array([(col or WEST) * grid.TILE_M + x, ROW * grid.TILE_M + y])
        shapes.append(shapely.box(*corner, *(corner + side)) if side else shapely.Point(corner))
        split, province = PLACES[col]
        rows.append({
            "field": i + 1, "layer": layer, "file": LAYERS[layer].files, "row": row,
            "kind": "polygon" if side else "point", "crop": crop, "name": "", "sheets": sheets,
            "season": season, "area_ha": side**2 / 1e4, "province": province, "epsg": EPSG,
            "tile": grid.tile_id(EPSG, col, ROW) if col else "",
            "block": grid.block_id(grid.tile_geobox(EPSG, col, ROW)) if col else "",
            "split": split, "pixels": pixels,
        })  # fmt: skip
    geometry = project(np.array(shapes, object), f"EPSG:{EPSG}", "EPSG:4326")
    return geopandas.GeoDataFrame(rows, geometry=geometry, crs="EPSG:4326")


def tile(season: str, col: int, harvest: dict, **pixels: int) -> Tile:
    """A tile with so many labelled pixels of each crop."""
    geobox = grid.tile_geobox(EPSG, col, ROW)
    name = f"{season}_{grid.tile_id(EPSG, col, ROW)}"
    split, province = PLACES[col]
    crops = {c: {"fields": 1, "area_ha": n / 100, "pixels": n} for c, n in pixels.items()}
    unknown = grid.TILE_PX**2 - sum(pixels.values())
    files = f"labels/{name}.tif", f"fields/{name}.tif"
    block = grid.block_id(geobox)
    return Tile(name, geobox, season, block, split, province, harvest, crops, unknown, *files)


def tiles() -> list[Tile]:
    """The kept tiles; onion has no calendar in the east."""
    return [
        tile(YEAR, WEST, HARVEST, wheat=100, onion=52),
        tile(YEAR, EAST, {"wheat": (WHEAT,)}, onion=64),
        tile(NEXT, WEST, HARVEST, wheat=9, none_of_these=9),
    ]


def log() -> audit_log.AuditLog:
    """What was noted: a wheat field too small, one twice, and a point that is nowhere."""
    found = audit_log.AuditLog()
    found.read.update({"wheat": 3, "onion": 4, "others": 4})
    found.drop("wheat", "w.shp", 1, audit_log.TOO_SMALL, "16 m2")
    found.drop("wheat", "w.shp", 2, audit_log.DUPLICATE, "of row 0")
    found.drop("others", "p.shp", 3, audit_log.NOT_FINITE, "inf | nan")
    found.counts.update({"rings repaired": 2, "pixels claimed by two crops": 7})
    found.counts.update({"conflict onion / wheat": 7, "fields cut at a border of splits": 1})
    found.problems.append("o2.shp: expected a .shx next to it, found none")
    found.notes.append("Onion_Winter, Yazd: no harvest date")
    return found
