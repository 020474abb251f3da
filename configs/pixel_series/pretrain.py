"""Pretraining of the per-pixel network on a wall-to-wall map.

python -m experiments.pretrain --config configs/pixel_series/pretrain.py --workdir W \
    --config.data_dir=DIR --config.dataset=eucropmap

All settings of configs/pretrain.py, with these changed.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "pretrain.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    config.model = ConfigDict(
        {
            "name": "pixel_series",  # or "dual_unet3d", or one of yours (--import)
            "num_periods": 6,  # of the window, which is what a prediction sees
            "dtype": "float32",  # or "bfloat16", to compute in
            "neighbourhood": (1, 3, 7),  # inputs: the pixel, and means of 3 x 3 and 7 x 7 pixels
            "embed": 64,  # units of a layer that all periods share; 0: none
            "width": 256,  # units of a layer over all periods
            "depth": 2,  # these layers
            "dropout": 0.2,  # share of hidden units that are dropped in training
            "dates": True,  # the season in which the window ends is an input
        }
    )
    config.standardise = True
    config.indices = ("cross_ratio", "ndvi", "ndmi", "ndre", "ndti", "ngrdi")
    config.sampling = "pixels"
    config.draw_by = "place"
    config.steps_per_epoch = 500
    # Windows that end from May to October of EUCROPMAP's year: of spring crops and summer crops.
    config.as_of = ("2018-05-01", "2018-10-01")
    config.batch_size = 512  # pixels
    config.epochs = 5
    config.period_dropout = 0.3
    config.mixup = 0.3  # a map's labels have errors, which it keeps from being learnt by heart
    config.loss = "softmax_none"
    config.label_smoothing = 0.05
    config.optimizer = "adamw"
    config.weight_decay = 0.02
    config.learning_rate.update({"trunk": 2e-3, "head": 2e-3})
    config.ema = 0.998
    config.log_every = 50
    return config
