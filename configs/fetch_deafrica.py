"""Sentinel-2 (Collection 1) and Sentinel-1 (gamma-0, terrain-corrected) of Digital Earth Africa.

python -m experiments.fetch --config configs/fetch_deafrica.py --config.tiles=tiles/tiles.geojson \
    --cubes DIR --plan

Africa alone, without an account: buckets of the AWS region af-south-1 that are open to all
(docs.digitalearthafrica.org, data_specs: Sentinel-1, Sentinel-2; explorer.digitalearth.africa).
Not tried against the service: look at a pilot before you fetch much.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_local.py"
_S3 = "s3.af-south-1.amazonaws.com"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.catalogue = "https://explorer.digitalearth.africa/stac"
    config.s2.signing, config.s2.token = "public_s3", _S3
    # Items of this collection are those of Earth Search, with its names of assets
    # (github.com/digitalearthafrica/deafrica-scripts, sentinel-2-l2a-c1); the older s2_l2a has B02
    # and SCL (odc-stac.readthedocs.io, notebook stac-load-S2-deafrica), and offsets unknown.
    config.s2.collection = "s2_l2a_c1"
    config.s2.assets = ConfigDict({
        "B2": "blue", "B3": "green", "B4": "red", "B5": "rededge1", "B6": "rededge2",
        "B7": "rededge3", "B8": "nir", "B8A": "nir08", "B11": "swir16", "B12": "swir22",
    })  # fmt: skip
    config.s2.scl = "scl"
    # All of Collection 1 is of processing baseline 05.00 or newer, which have the offset
    # (documentation.dataspace.copernicus.eu, Sentinel2_L2A_baseline).
    config.s2.scale = 0.0001
    config.s2.offset = "always"
    # Linear gamma-0, float32, NaN where nothing is, on a grid of 0.0002 degrees, since July 2018
    # (docs.digitalearthafrica.org, data_specs/Sentinel-1_specs). Where items name no orbit it
    # follows from time and place.
    config.s1.collection = "s1_rtc"
    config.s1.backscatter = "gamma0_rtc"
    config.s1.signing, config.s1.token = "public_s3", _S3
    return config
