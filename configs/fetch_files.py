"""Folders of scenes without a catalogue: GeoTIFFs or JPEG 2000, a file a band.

python -m experiments.fetch --config configs/fetch_files.py --config.catalogue=FOLDER \
    --config.tiles=tiles/tiles.geojson --cubes DIR

How files are named says config.s2.files and config.s1.files: "auto" knows sen2cor's bands and those
of Earth Search, RTC of ASF HyP3, OPERA and pyroSAR (SNAP), and Planetary Computer's. Otherwise a
pattern, such as --config.s2.files={platform}_{date}_{tile}_{band}.tif; fields: docs/fetch.md.
Of Sentinel-1 or of Sentinel-2 alone: --config.s2.collection= or --config.s1.collection= .
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "fetch_local.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.s2.files = "auto"
    # Names say neither. Of Collection 1 "always"; of what was shifted already "none".
    config.s2.scale = 0.0001
    config.s2.offset = "date"
    config.s1.files = "auto"
    config.s1.collection = "sentinel-1-rtc"  # any name
    config.s1.backscatter = "gamma0_rtc"
    return config
