"""A folder of Sentinel-2 Level-2A products as they are downloaded, *.SAFE, without a catalogue.

python -m experiments.fetch --config configs/fetch_safe.py --config.catalogue=FOLDER \
    --config.tiles=tiles/tiles.geojson --cubes DIR

Unpacked or as archives (*.zip, slower), in the folder or in folders of it. Cubes hold Sentinel-2
alone, unless --config.s1.catalogue and --config.s1.collection name a source of Sentinel-1.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_cdse.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.catalogue = ""
    config.s2.signing, config.s2.token = "none", ""
    return config
