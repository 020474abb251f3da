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
    config.model.update({"width": 16, "levels": 1, "head_width": 16, "norm": "batch"})
    # Wide and shallow: at 10 m a field shows its crop by its course more than by its shape.
    config.crop = 16
    config.crops_per_chip = 12
    config.batch_size = 32
    config.loss = "softmax"  # the classes of a map exclude each other
    # Windows that end from May to October: the trunk meets spring crops and summer crops.
    config.as_of = ("2018-05-01", "2018-10-01")
    config.learning_rate.update({"trunk": 5e-3, "head": 5e-3})
    return config
