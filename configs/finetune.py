"""Fine-tuning on partly annotated fields: 5 epochs, the trunk at 1e-5 and the new head at 1e-4.

python -m experiments.finetune --config configs/finetune.py --workdir W2 \
    --config.init_from=W --config.data_dir=DIR --config.dataset=isrc

All settings of configs/pretrain.py, with these changed or added. With init_from, config.scaling
comes from the checkpoint, and so do the network's name and the settings of its trunk, all those
whose names do not begin with "head"; one that is given all the same must be the checkpoint's.
"""

import pathlib
import runpy

from ml_collections import ConfigDict, config_dict

_BASE = pathlib.Path(__file__).resolve().parent / "pretrain.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.dataset = "isrc"
    config.init_from = ""  # workdir of the pretrained network
    config.init_checkpoint = "last"  # or "best", or the number of a step
    config.from_scratch = False  # or train without one, all of it at the head's rate
    # The new head starts from rows of the old one by a table of classes: "built_in", or a CSV file.
    config.crosswalk = ""
    # What config.model leaves open is the checkpoint's; from scratch, it is this.
    config.scratch = ConfigDict(config.model.to_dict())
    for name, value in config.scratch.items():
        if not name.startswith("head"):
            config.model[name] = config_dict.placeholder(type(value))
    config.model.head = "conv"
    config.epochs = 5
    config.learning_rate.update({"trunk": 1e-5, "head": 1e-4})  # a trunk at 0 stays as it is
    config.freeze_trunk_statistics = True
    return config
