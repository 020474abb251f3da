"""Pretraining on EUCROPMAP: 11 epochs.

python -m experiments.pretrain --config configs/pretrain.py --workdir W \
    --config.data_dir=DIR --config.dataset=eucropmap
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data_dir = ""  # folder of datasets
    config.dataset = "eucropmap"  # "<kind>" or "<kind>/<name>"
    config.fold = config_dict.placeholder(int)  # of a dataset with folds, the one that is tested
    config.fields_per_class = 0  # that are known, outside of test (docs/training.md); 0: all
    config.fields_draw = 0  # which draw of them
    config.sensors = ("s1", "s2")  # whose pixels the network takes
    config.seed = 0  # of first values, order, draws and dropout

    # The network by name, and its own arguments. use_validity=False, norm="batch", width=32,
    # levels=4 is the original one.
    config.model = ConfigDict()
    config.model.name = "dual_unet3d"  # or "pixel_series", or one of yours (--import)
    config.model.width = 32  # channels of the first level
    config.model.levels = 4  # halvings of the image
    config.model.num_periods = 6  # of the window, which is what a prediction sees
    config.model.use_validity = True  # which values are missing, as further input channels
    config.model.norm = "batch"  # or "group", for small batches
    config.model.head = "linear"  # or "conv", 3 x 3 convolutions first
    config.model.head_width = 32  # channels of a "conv" head
    config.model.dtype = "float32"  # or "bfloat16", to compute in

    # Physical ranges that scale to [0, 1]; fine-tuning and prediction inherit them.
    config.scaling = ConfigDict({"s1": (-25.0, 10.0), "s2": (0.0, 1.0)})

    # Or standardised: by mean and deviation of the training pixels, period by period.
    config.standardise = False
    config.indices = ()  # further inputs, e.g. ("ndvi", "ndmi"): see cropmap_jax/geo/indices.py

    # What an example is.
    config.sampling = "chips"  # or "pixels": annotated pixels with what the network needs around
    config.draw_by = "field"  # pixels, by 1 / sqrt(pixels of the field); "place": of large maps
    config.steps_per_epoch = 500  # of pixels; an epoch of chips is all of them
    config.lead_days = 30  # as-of date = a harvest start - lead_days; -366 to 366
    # Above 0, leads are drawn from lead_days to this: for maps earlier in the season, too.
    config.max_lead_days = 0
    config.as_of = ()  # or (first, last) ISO dates, for data without a calendar
    config.dates_of = "legend"  # whose harvests; "annotated": the crop's own gives it away
    config.as_of_jitter = 0  # days that an as-of date is moved by at random, either way
    config.crop = 0  # random crops of this size in pixels; 0: whole chips
    config.crops_per_chip = 1  # in an epoch
    config.empty_ratio = 0.0  # chips without annotation, as a multiple of those with
    config.augment = True  # flips and rotations
    config.period_dropout = 0.0  # probability that a period of a sensor goes missing
    config.sensor_dropout = 0.0  # probability that one of the two sensors goes missing whole

    config.mixup = 0.0  # mixes pairs of examples, with shares from Beta(mixup, mixup)

    # Ground that nobody annotates: pixels that only a land-cover map of the cubes says are none of
    # the classes (docs/training.md). They are never scored.
    config.weak_share = 0.0  # of the drawn pixels; above 0, of chips and crops all of them
    config.weak_weight = 1.0  # in the loss, where an annotated pixel weighs 1

    # Ground that is not annotated (docs/training.md).
    config.unknown = ConfigDict()
    config.unknown.treatment = "masked"  # no loss; or "negative", "pu", "pnu"
    config.unknown.weight = 1.0  # of "negative", where an annotated pixel weighs 1
    config.unknown.share = 0.5  # of sampled pixels, if unknown ones have a part in the loss
    config.unknown.priors = "best_bin"  # of "pu", "pnu"; or "annotated", "name=share of ground,..."
    config.unknown.cropland = 1.0  # share of all ground that is cultivated, for "annotated"
    config.unknown.eta = 0.5  # of "pnu": 1 is "pu", 0 uses annotated negatives alone; -1 to 1
    config.unknown.beta = 0.0  # of "pu", "pnu": how negative a risk may be,
    config.unknown.gamma = 1.0  # and how fast it is corrected

    # How it is trained.
    config.loss = "sigmoid"  # or "softmax", "softmax_none" (with none-of-these): exclusive classes
    config.label_smoothing = 0.0  # share of a label that goes to the other answers
    config.class_weights = "none"  # or "balanced"
    config.epochs = 11  # passes over the chips, or of steps_per_epoch batches of pixels
    config.batch_size = 16  # over all devices of all processes
    config.accumulate = 1  # parts that a device takes its share in, to need less memory
    config.remat = False  # recompute the network's levels for the gradient: less memory, slower
    config.optimizer = "adam"  # or "adamw", "sgd"
    config.weight_decay = 0.0  # of adamw
    config.ema = 0.0  # decay per step of an average of the weights, which is then what is used
    config.learning_rate = ConfigDict({"trunk": 1e-4, "head": 1e-4})  # highest of each part
    config.schedule = "cosine"  # or "constant"
    config.warmup_steps = 0  # over which the rates rise to their highest
    config.freeze_trunk_statistics = False  # keep the batch-norm statistics of the trunk

    config.checkpoint_every = 0  # steps; 0: once per epoch
    config.checkpoint_minutes = 10.0  # and whenever the last one is so old; 0: not for that
    config.log_every = 20  # steps
    config.keep = 2  # last checkpoints; the best by macro-F1 of validation is kept as well
    return config
