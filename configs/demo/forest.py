"""The demo's forest: 100 trees on bands and indices of single pixels.

python -m experiments.baseline --config configs/demo/forest.py --workdir W \
    --config.data_dir=DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "baselines" / "forest.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.means = ()  # with these, training and mapping take twice as long
    config.arguments.trees = 100
    config.weak_share = 0.1  # as of the network that it is combined with
    return config
