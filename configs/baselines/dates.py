"""Shares of classes by date: what can be known without pixels, kept for `evaluate` and `predict`.

python -m experiments.baseline --config configs/baselines/dates.py --workdir W \
    --config.data_dir=DIR --config.dataset=isrc

All settings of configs/baselines/forest.py, with these changed.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "forest.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.method = "dates"
    config.arguments = ConfigDict()
    config.arguments.least_in_leaf = 1  # pixels
    return config
