"""Sentinel-2 from the Copernicus Data Space Ecosystem, with S3 keys of an account of yours.

AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... python -m experiments.fetch \
    --config configs/fetch_cdse.py --config.tiles=tiles/tiles.geojson --cubes DIR --plan

Keys: documentation.dataspace.copernicus.eu/APIs/S3.html. Files are JPEG 2000, slower to read in
part than COGs. Its Sentinel-1 is GRD, not on a map grid: cubes hold Sentinel-2 alone, unless
--config.s1.catalogue and --config.s1.collection name another source.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_local.py"
_FINE = ("B2", "B3", "B4", "B8")
"""Bands of 10 m; the others are of 20 m."""


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.catalogue = "https://stac.dataspace.copernicus.eu/v1"
    config.s2.assets = {
        band: f"{name}_{'10m' if band in _FINE else '20m'}"
        for band, name in config.s2.assets.items()
    }
    config.s2.scl = "SCL_20m"
    config.s2.signing = "s3"
    config.s2.token = "eodata.dataspace.copernicus.eu"  # the endpoint; keys are in the environment
    config.s1.collection = ""
    return config
