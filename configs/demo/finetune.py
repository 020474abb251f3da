"""The demo's fine-tuning on the few known fields of simulated Iran: 5 epochs.

python -m experiments.finetune --config configs/demo/finetune.py --workdir W2 \
    --config.init_from=W --config.data_dir=DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "finetune.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.model.update({"width": 16, "levels": 1, "head_width": 16, "norm": "batch"})
    config.crop = 16  # little more than a field: most of it is annotated
    config.crops_per_chip = 16
    config.batch_size = 32
    # A small network learns at higher rates than the original one; their ratio is the same.
    config.learning_rate.update({"trunk": 1e-3, "head": 1e-2})
    return config
