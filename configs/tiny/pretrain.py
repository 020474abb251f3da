"""A network that pretrains in seconds on a few cubes.

python -m experiments.pretrain --config configs/tiny/pretrain.py --workdir W \
    --config.data_dir=DIR --config.dataset=cubes
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "pretrain.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.model.update({"width": 4, "levels": 2, "head_width": 8})
    config.dataset = "cubes"
    config.crop = 32
    config.epochs = 2
    config.batch_size = 2
    config.crops_per_chip = 8
    config.log_every = 2
    config.learning_rate.update({"trunk": 1e-2, "head": 1e-2})
    return config
