"""Sentinel-2 and Sentinel-1 (gamma-0, terrain-corrected) from Microsoft's Planetary Computer.

python -m experiments.fetch --config configs/fetch_planetary_computer.py \
    --config.tiles=tiles/tiles.geojson --cubes DIR --plan

No account is needed; tokens are asked for by collection. PC_SDK_SUBSCRIPTION_KEY in the environment
raises the limits of those who have one.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_local.py"
_API = "https://planetarycomputer.microsoft.com/api"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.catalogue = f"{_API}/stac/v1"
    config.s2.signing = "sas"
    config.s2.token = f"{_API}/sas/v1/token/sentinel-2-l2a"
    # Items name neither scale nor offset, and pixels are as Copernicus delivers them:
    # github.com/microsoft/PlanetaryComputer/issues/134.
    config.s2.scale = 0.0001
    config.s2.offset = "baseline"
    config.s1.collection = "sentinel-1-rtc"
    config.s1.backscatter = "gamma0_rtc"
    config.s1.signing = "sas"
    config.s1.token = f"{_API}/sas/v1/token/sentinel-1-rtc"
    return config
