"""Sentinel-2 (Collection 1) from Element 84's Earth Search, on AWS, without an account.

python -m experiments.fetch --config configs/fetch_earth_search.py \
    --config.tiles=tiles/tiles.geojson --cubes DIR --plan

Its Sentinel-1 is GRD in digital numbers, neither calibrated nor on a map grid: cubes hold
Sentinel-2 alone, unless --config.s1.catalogue and --config.s1.collection name another source.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_local.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.catalogue = "https://earth-search.aws.element84.com/v1"
    # In sentinel-2-l2a `earthsearch:boa_offset_applied` is wrong for some items, so that it is not
    # known which numbers are 1000 too high (github.com/Element84/earth-search/issues/66, 71). Here
    # pixels are as delivered and items say so (issue 41); not all of the past is there (issue 70).
    config.s2.collection = "sentinel-2-c1-l2a"
    config.s2.assets = ConfigDict({
        "B2": "blue", "B3": "green", "B4": "red", "B5": "rededge1", "B6": "rededge2",
        "B7": "rededge3", "B8": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22",
    })  # fmt: skip
    config.s2.scl = "scl"
    config.s1.collection = ""
    return config
