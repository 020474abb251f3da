"""Nine regions of Europe with EUCROPMAP 2018 as their label, for pretraining.

python -m experiments.export --config configs/export_eucropmap.py --cubes DIR --plan
python -m experiments.export --config configs/export_eucropmap.py --cubes DIR
"""

from ml_collections import ConfigDict

# West, south, east, north in degrees, country, day on which harvest starts, split ("": blocks are
# dealt out by `fractions`). The original system's regions and dates, github.com/moienr/CropMapping.
REGIONS = {
    "england_valid": ((0.3036, 52.4651, 0.4925, 52.5217), "england", "2018-08-01", "validation"),
    "england": ((-0.0971, 51.8960, 1.0647, 52.2942), "england", "2018-08-01", ""),
    "france_valid": ((3.4342, 48.2842, 3.9986, 48.4885), "france", "2018-09-01", "validation"),
    "france": ((1.2866, 47.9347, 2.4457, 48.3854), "france", "2018-09-01", ""),
    "hungary": ((20.3365, 46.3629, 21.5066, 46.8197), "hungary", "2018-08-01", ""),
    "denmark": ((8.3538, 55.9728, 8.8935, 56.1300), "denmark", "2018-08-01", ""),
    "spain": ((-5.7357, 41.7073, -4.5711, 42.2138), "spain", "2018-06-01", ""),
    "bulgaria": ((27.3030, 43.5593, 28.4456, 44.0430), "bulgaria", "2018-08-01", ""),
    "lithuania": ((23.5595, 55.9421, 24.7405, 56.3248), "lithuania", "2018-08-01", ""),
}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.kind = "regions"  # of the table; or "tiles" of prepare
    # Name -> box in degrees, country, first day of harvest, split.
    config.regions = ConfigDict({
        name: {"box": box, "country": country, "harvest": harvest, "split": split}
        for name, (box, country, harvest, split) in REGIONS.items()
    })  # fmt: skip
    config.fractions = ConfigDict({"train": 0.85, "test": 0.15})  # of blocks without a split
    config.seed = 0  # of that deal

    # Which periods. "harvest": the original's six windows before harvest.
    config.anchor = "months"
    config.num_periods = 6  # of a window
    config.lead_days = (30, 60)  # before harvest, least and most: gives the months to export
    config.months = ()  # or dates in the first and the last month, for all regions

    # What the pixels are made of: cropmap_jax/sources/earthengine/options.py.
    config.s2 = ConfigDict({
        "mask": "cloud_score",  # Cloud Score+; or "scl", the scene classification
        "threshold": 0.6,  # least cloud score of a clear pixel
        "scl_masked": (0, 1, 3, 8, 9, 10, 11),  # classes of "scl" that are not clear
        "max_cloud": 100.0,  # percent; cloudier scenes are left out
        "count": True,  # of clear observations, next to the pixels: clear.tif
    })  # fmt: skip
    config.s1 = ConfigDict({
        "collection": "COPERNICUS/S1_GRD",  # or COPERNICUS/S1_GRD_FLOAT
        "direction": "auto",  # or "ascending", "descending"
        "border_db": -30.0,  # below it, an observation is border noise
        "platforms": (),  # each on dates on which it is calibrated; or ("S1A", "S1C"), all images
    })  # fmt: skip
    config.label = ConfigDict({
        "kind": "eucropmap",  # or "tiles" (of prepare), "none"
        "year": 2018,  # of EUCROPMAP; or 2022
        "landcover": "",  # or "worldcover", as landcover.tif
    })  # fmt: skip
    return config
