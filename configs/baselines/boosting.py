"""Gradient boosting on the features of the forest, kept for `evaluate` and `predict`.

python -m experiments.baseline --config configs/baselines/boosting.py --workdir W \
    --config.data_dir=DIR --config.dataset=isrc

All settings of configs/baselines/forest.py, with these changed.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "forest.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.method = "boosting"
    config.arguments = ConfigDict()
    config.arguments.rounds = 150  # trees for each class
    config.arguments.learning_rate = 0.1  # share of each tree that is added
    config.arguments.leaves = 31  # of a tree, at most
    config.arguments.least_in_leaf = 20  # pixels
    config.arguments.l2 = 0.0  # penalty on the values of leaves
    config.arguments.share_of_features = 0.1  # that a split chooses from
    return config
