"""The competition's field data: polygons of 1400-1401, points of 1401-1402, Jalali calendars.

python -m experiments.prepare --config configs/prepare_isrc.py --config.source=DIR --out DIR

For another country, edit the tables below: docs/own_fields.md.
"""

from ml_collections import ConfigDict

YEAR, NEXT = "1400-1401", "1401-1402"
# Folder of a crop (one is spelt both ways), and its sheets of the calendar workbook: all of them
# are candidate seasons.
CROPS = {
    "canola": ("Canola", ("Canola",)),
    "cotton": ("Cotton", ("Cotton",)),
    "lentils": ("Lentils", ("Lentils_Irrigated", "Lentils_Autumn")),
    "maize": ("Maize", ("Maize",)),
    "onion": ("Onion", ("Onion_Spring", "Onion_Summer", "Onion_Autumn", "Onion_Winter")),
    "pea": ("Pea", ("Pea_Irrigated", "Pea_Autumn")),
    "sugarbeet": ("Sug[ae]rBeet", ("SugarBeet_Spring", "SugarBeet_Autumn")),
    "tomato": ("Tomato", ("Tomato_Summer", "Tomato_Winter")),
}
NO_POINTS = ("onion", "tomato")
# Free-text names of other crops. Mixed and generic names (vegetables, "others", ploughed) may be
# one of the eight crops: unknown. Names that are not listed are unknown too, and reported.
OTHERS = {
    "یونجه": "none_of_these",  # lucerne
    "گندم دیم": "none_of_these",  # rainfed wheat
    "،گندم دیم": "none_of_these",
    "گندم آبی": "none_of_these",  # irrigated wheat
    "جو آبی": "none_of_these",  # irrigated barley
    "جو دیم": "none_of_these",  # rainfed barley
    "آیش": "none_of_these",  # fallow
    "بایر": "none_of_these",  # barren
    "باغ": "none_of_these",  # orchard
    "باغ_گل محمدی": "none_of_these",  # damask roses
    "جنگل": "none_of_these",  # forest
    "سیر": "none_of_these",  # garlic
    "سبزیجات_جعفری": "none_of_these",  # parsley
    "سبزیجات_گشنیز": "none_of_these",  # coriander
    "صیفی جات_سیب زمینی": "none_of_these",  # potato
    "صیفی جات_لوبیا سبز": "none_of_these",  # green beans
    "کلزا": "canola",
    "چغندرقند": "sugarbeet",
    "سایر_عدس": "lentils",
    "صیفی جات_گوجه فرنگی": "tomato",
    "شخم": "unknown",  # ploughed
    "صیفی جات": "unknown",  # summer vegetables, tomato among them
    "سبزیجات": "unknown",  # vegetables, onion among them
    "سایر": "unknown",  # others
    "صیفی جاتگندم آبی": "unknown",
    "صیفی جاتگندم دیم": "unknown",
    "صیفی جاتنخود": "unknown",
    "صیفی جاتجو آبی": "unknown",
    "صیفی جاتمرتع": "unknown",
    "صیفی جاتیونجه": "unknown",
}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.source = ""  # folder of the field data
    config.legend = "isrc"  # eight crops
    # Layer -> files, agricultural year, crop, and the sheets that hold its dates.
    config.layers = ConfigDict()
    for crop, (folder, sheets) in CROPS.items():
        keys = {crop: YEAR} | ({f"{crop}_points": NEXT} if crop not in NO_POINTS else {})
        for key, year in keys.items():
            files = f"crops/{folder}/GCP/{year}/*.shp"
            config.layers[key] = {"files": files, "season": year, "crop": crop, "sheets": sheets}
    # An attribute decides the season of sugar beet.
    config.layers.sugarbeet.sheet_column = "Product"
    config.layers.sugarbeet.sheet_values = {
        "چغندر قند بهاره": "SugarBeet_Spring",
        "چغندر قند پاییزه": "SugarBeet_Autumn",
    }
    config.layers.other_points = {
        "files": "crops/Other/1401-1402/*.shp",
        "season": NEXT,
        "name_column": "نام_م",
        "names": OTHERS,
    }
    config.calendar = ConfigDict({
        "file": "CropsCalendar.xlsx",  # a workbook, a row per province
        "system": "jalali",  # or "gregorian"
        "year_start": "07-01",  # 1 Mehr
        # What its columns are called.
        "columns": {
            "province": "Province",
            "planting_start": "Planting Start Date",
            "planting_end": "Planting End Date",
            "harvest_start": "Harvest Start Date",
            "harvest_end": "Harvest End Date",
        },
    })  # fmt: skip
    config.provinces = ConfigDict({
        "files": "provinces/*.shp",  # polygons
        "column": "province",  # with their names
        "reach_km": 5.0,  # a field outside of all belongs to the nearest one within it
    })  # fmt: skip
    config.shrink_px = 0.5  # of a field's border, before pixel centres are tested
    config.point_radius_m = 15.0  # of the disc that a point stands for
    config.repair_limit = 0.10  # share of a field's area that repairing its ring may change
    config.max_field_ha = 100_000.0  # a larger polygon is a mistake, and dropped
    config.max_tiles = 100_000  # more end the run
    config.fractions = ConfigDict({"train": 0.7, "validation": 0.15, "test": 0.15})  # of blocks
    config.seed = 0  # of that deal
    config.lead_days = (30, 60)  # before harvest, least and most: gives the months to export
    config.num_periods = 6  # of a window
    config.strict = False  # True: any problem ends the run before anything is written
    config.reviews = ""  # what people decided about suspects, docs/label_review.md
    return config
