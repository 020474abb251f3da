"""Pretraining on 1 km² of Belgium, labelled wall to wall by the WorldCereal 2021 map.

python -m experiments.pretrain --config configs/real/pretrain_belgium.py --workdir W \
    --config.data_dir=DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "pretrain.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.dataset = "cubes/belgium"
    # Small: 1 km² of ground does not feed 62 million parameters. Group norm: batches of small crops
    # have statistics too poor for batch norm.
    config.model.update({"width": 16, "levels": 3, "norm": "group"})
    config.crop = 24
    config.batch_size = 16
    config.crops_per_chip = 48
    # Windows that end from 1 June to 1 November: the season is not given away by the calendar.
    config.as_of = ("2021-06-01", "2021-11-01")
    config.class_weights = "balanced"
    config.learning_rate.update({"trunk": 1e-3, "head": 1e-3})
    config.log_every = 12
    return config
