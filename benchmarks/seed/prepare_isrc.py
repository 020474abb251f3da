"""The original system's ground truth: regions of interest instead of tiles, defects included.

python -m benchmarks.seed --config benchmarks/seed/prepare_isrc.py --config.source=DIR --out DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[2] / "configs" / "prepare_isrc.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.original = ConfigDict({
        "crs": "EPSG:3857",  # its "10 m" pixels are smaller on the ground
        "cluster_m": 2000.0,  # fields whose centroids are this near share a region
        "least_m": 640.0,  # side of a region: a chip of 64 pixels
    })  # fmt: skip
    config.repair_limit = 1.0  # no field is dropped because its ring had to be repaired
    return config
