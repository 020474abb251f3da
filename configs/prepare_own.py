"""Fields of one's own: one file of polygons with a column of crop names, dates in the table below.

python -m experiments.prepare --config configs/prepare_own.py --config.source=DIR --out DIR

Copy it and edit the tables; docs/own_fields.md lists what else there is.
"""

from ml_collections import ConfigDict

# Name of a crop -> class, "none_of_these" (certainly another crop) or "unknown".
NAMES = {
    "winter wheat": "wheat",
    "spring wheat": "wheat",
    "maize": "maize",
    "grassland": "none_of_these",
    "mixed": "unknown",
}
# Planting start, planting end, harvest start, harvest end: month and day.
DATES = {
    "wheat": ("10-01", "11-20", "07-10", "08-20"),
    "maize": ("04-15", "05-20", "09-20", "10-31"),
}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.source = ""  # folder of the files below
    config.legend = "own"  # its name
    config.classes = ("wheat", "maize")  # in the order of their labels
    # Layer -> its files and what they hold; docs/own_fields.md lists what else a layer may have.
    config.layers = ConfigDict()
    config.layers.fields = {
        "files": "fields.*",  # a glob: Shapefile, GeoPackage, GeoJSON, ...
        "season": "2023-2024",  # agricultural year
        "name_column": "crop",
        "names": NAMES,
    }
    config.calendar = ConfigDict()
    config.calendar.dates = DATES  # of each class, the table above
    config.calendar.year_start = "10-01"  # first day of the agricultural year
    config.shrink_px = 0.5  # of a field's border, before pixel centres are tested
    config.point_radius_m = 15.0  # of the disc that a point stands for
    config.max_field_ha = 100_000.0  # a larger polygon is a mistake, and dropped
    config.max_tiles = 100_000  # more end the run
    config.strict = False  # True: any problem ends the run before anything is written
    config.reviews = ""  # what people decided about suspects, docs/label_review.md
    return config
