"""The demo's pretraining on simulated Europe: 11 epochs of a small network.

python -m experiments.pretrain --config configs/demo/pretrain.py --workdir W \
    --config.data_dir=DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "pretrain.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.dataset = "eucropmap"
    config.model.update({"width": 8, "levels": 2, "head_width": 16, "norm": "batch"})
    config.crop = 24
    config.crops_per_chip = 6
    config.batch_size = 16
    config.loss = "softmax"  # the classes of a map exclude each other
    # Windows that end from May to October: the trunk meets spring crops and summer crops.
    config.as_of = ("2018-05-01", "2018-10-01")
    config.learning_rate.update({"trunk": 5e-3, "head": 5e-3})
    return config
