"""Scenes on this machine, or any static STAC catalogue.

python -m experiments.fetch --config configs/fetch_local.py --config.catalogue=CATALOGUE \
    --config.tiles=tiles/tiles.geojson --cubes DIR

CATALOGUE is a catalog.json, its folder or its address. Assets are named here as `simulate --scenes`
names them; others as --config.s2.assets.B2=blue. What a setting means: docs/fetch.md.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

S2_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.catalogue = ""  # of both sensors, unless one has its own

    # What ground: "tiles" of prepare, "regions" as in export_eucropmap.py, or "cubes" that exist.
    config.kind = "tiles"
    config.tiles = ""  # tiles.geojson
    config.cubes = ""  # folder of cubes
    config.regions = ConfigDict({})  # name -> box, country, harvest, split
    config.crop = ""  # with anchor "harvest": the crop whose harvest counts, in all tiles
    # Which periods, as in export_eucropmap.py; tiles bring their months with them.
    config.anchor = "months"
    config.num_periods = 6  # of a window
    config.months = ()  # or dates in the first and the last month

    config.s2 = ConfigDict({
        "catalogue": "",  # if not config.catalogue
        "files": "",  # how they are named, in a folder without a catalogue
        "collection": "sentinel-2-l2a",  # "" for cubes without Sentinel-2
        "signing": "none",  # of files: or "sas", "bearer", "s3", "public_s3"
        "token": "",  # what that needs (docs/fetch.md)
        "token_hosts": (),  # that it goes to, besides the catalogue's own
        # B2 is B02 in most catalogues.
        "assets": {band: f"B{band[1:]:>02}" for band in S2_BANDS},
        "scl": "SCL",  # asset of the scene classification
        "scl_masked": (0, 1, 3, 8, 9, 10, 11),  # its classes that are not clear
        # Or "score", a number that is high where it is clear, or "probability" of cloud.
        "mask": "classes",
        "mask_asset": "",  # that holds the score or the probability
        "clear": placeholder(float),  # least score, or what a probability is below
        "scale": placeholder(float),  # of items that name none
        "dilate_px": 0,  # by which masked ground grows
        # Or "baseline": -1000 from 04.00 on; "date": from 25 January 2022 on; "always"; "none".
        "offset": "item",
        "max_cloud": 100.0,  # percent; cloudier scenes are left out
        "count": True,  # of clear observations, next to the pixels: clear.tif
    })  # fmt: skip
    config.s1 = ConfigDict({
        "catalogue": "",  # if not config.catalogue
        "files": "",  # how they are named, in a folder without a catalogue
        "collection": "sentinel-1-sigma0",  # "" for cubes without Sentinel-1
        "signing": "none",  # of files: or "sas", "bearer", "s3", "public_s3"
        "token": "",  # what that needs (docs/fetch.md)
        "token_hosts": (),  # that it goes to, besides the catalogue's own
        "assets": {"VV": "vv", "VH": "vh"},  # of each band
        "backscatter": "sigma0",  # or "gamma0_rtc"
        "unit": "power",  # or "db", of the stored values
        "direction": "auto",  # or "ascending", "descending"
        "orbits": "first",  # or "mean" of all orbits of the direction
        "border_db": placeholder(float),  # -30 where a collection still has border noise
        "platforms": (),  # as in export_eucropmap.py
    })  # fmt: skip
    config.label = ConfigDict({
        "kind": "tiles",  # or "map" with a GeoTIFF of codes, or "none"
        "file": "",  # of the map
        "legend": "eucropmap",  # of the map: or a JSON file, such as those of configs/legends
        "unknown": (0,),  # codes that say nothing
        "others": "",  # codes that the legend does not hold: refused, "unknown", "none_of_these"
        "landcover": "",  # a GeoTIFF of ESA WorldCover
    })  # fmt: skip
    return config
