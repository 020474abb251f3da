"""Fine-tuning on partly annotated fields: 5 epochs, the trunk at 1e-5 and the new head at 1e-4.

python -m experiments.finetune --config configs/finetune.py --workdir W2 \
    --config.init_from=W --config.data_dir=DIR --config.dataset=isrc
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data_dir = ""  # folder of datasets
    config.dataset = "isrc"  # "<kind>" or "<kind>/<name>"
    config.init_from = ""  # workdir of the pretrained network
    config.from_scratch = False  # or train without one, all of it at the head's rate
    config.seed = 0

    # The head; the rest only counts from scratch, else the checkpoint decides it.
    config.model = ConfigDict()
    config.model.width = 32
    config.model.levels = 4
    config.model.num_periods = 6
    config.model.use_validity = True  # which values are missing, as further input channels
    config.model.norm = "batch"
    config.model.head = "conv"
    config.model.head_width = 32
    config.model.dtype = "float32"

    # From scratch only; else inherited from the checkpoint.
    config.scaling = ConfigDict({"s1_db": (-25.0, 10.0), "s2": (0.0, 1.0)})

    # What an example is.
    config.lead_days = 30  # as-of date = a harvest start - lead_days
    config.as_of = ()  # or (first, last) ISO dates, for data without a calendar
    config.crop = 0  # random crops of this size in pixels; 0: whole chips
    config.crops_per_chip = 1
    config.empty_ratio = 0.0  # chips without annotation, as a multiple of those with
    config.augment = True

    # How it is trained.
    config.loss = "sigmoid"  # or "softmax", for exclusive classes
    config.class_weights = "none"  # or "balanced"
    config.epochs = 5
    config.batch_size = 16
    config.optimizer = "adam"
    config.learning_rate = ConfigDict({"trunk": 1e-5, "head": 1e-4})
    config.schedule = "cosine"
    config.warmup_steps = 0
    config.freeze_trunk_statistics = True

    config.checkpoint_every = 0  # steps; 0: once per epoch
    config.log_every = 20
    config.keep = 2
    return config
