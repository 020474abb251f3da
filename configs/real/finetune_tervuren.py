"""Potato in Tervuren as of 1 September 2022: 572 annotated potato pixels of one field.

python -m experiments.finetune --config configs/real/finetune_tervuren.py --workdir W2 \
    --config.init_from=W --config.data_dir=DIR

and the same from scratch, every parameter at the head's rate:

python -m experiments.finetune --config configs/real/finetune_tervuren.py --workdir W3 \
    --config.from_scratch=True --config.data_dir=DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "finetune.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.dataset = "cubes/tervuren"
    # Small: 1 km² of ground does not feed 62 million parameters. Group norm: batches of small crops
    # have statistics too poor for batch norm.
    config.model.update({"width": 16, "levels": 3, "norm": "group"})
    config.crop = 24
    config.batch_size = 16
    config.crops_per_chip = 640
    # One chip: ten times the usual rates make up for steps that a large dataset would give.
    config.learning_rate.update({"trunk": 1e-4, "head": 1e-3})
    config.log_every = 40
    return config
