"""Logistic regression on the features of the forest, kept for `evaluate` and `predict`.

python -m experiments.baseline --config configs/baselines/logistic.py --workdir W \
    --config.data_dir=DIR --config.dataset=isrc

Features are standardised, and what is missing has a flag. All settings of
configs/baselines/forest.py, with these changed.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "forest.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.method = "logistic"
    config.arguments = ConfigDict()
    config.arguments.rounds = 300  # steps of the solver, at most
    config.arguments.inverse_penalty = 0.01  # C of scikit-learn: smaller is smoother
    config.most_pixels = 50_000
    return config
