"""The per-pixel network on partly annotated fields, with or without a pretrained trunk.

python -m experiments.finetune --config configs/pixel_series/finetune.py --workdir W \
    --config.data_dir=DIR --config.dataset=isrc --config.from_scratch=True

All settings of configs/pixel_series/pretrain.py, with these changed or added.
"""

import pathlib
import runpy

from ml_collections import ConfigDict, config_dict

_BASE = pathlib.Path(__file__).resolve().with_name("pretrain.py")


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.dataset = "isrc"
    config.draw_by = "field"
    config.as_of = ()  # the calendar's dates
    config.mixup = 0.0  # costs accuracy where labels are of people who stood in the field
    # Villages, water and roads are no crops, if the cubes come with a land-cover map.
    config.weak_share = 0.1
    config.init_from = ""  # workdir of a pretrained network
    config.init_checkpoint = "last"  # or "best", or the number of a step
    config.from_scratch = False  # or train without one, all of it at the head's rate
    # The new head starts from rows of the old one by a table of classes: "built_in", or a CSV file.
    config.crosswalk = ""
    # What config.model leaves open is the checkpoint's; from scratch, it is this.
    config.scratch = ConfigDict(config.model.to_dict())
    for name, value in config.scratch.items():
        config.model[name] = config_dict.placeholder(type(value))
    config.learning_rate.update({"trunk": 4e-4, "head": 2e-3})
    return config
