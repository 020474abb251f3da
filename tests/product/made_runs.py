"""Runs of tiny networks, never trained: what their weights are matters to nothing here."""

import numpy as np

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import scaling, steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

LEGEND = Legend(
    "made",
    (
        make_class(0, 11, "wheat", "Wheat", "#e6ab02"),
        make_class(1, 22, "rapeseed", "Rape seed", "#1b9e77"),
    ),
)
INDICES = ("cross_ratio", "ndvi")
PIXELS = {"name": "pixel_series", "num_periods": 3, "width": 8, "depth": 1}
SQUARES = PIXELS | {"embed": 4, "dates": True, "neighbourhood": (1, 3)}
IMAGES = {"name": "dual_unet3d", "num_periods": 3, "width": 2, "levels": 1, "head": "conv"}
IMAGES |= {"head_width": 4, "use_validity": True}


def make_run(model: dict, loss: str = "softmax_none", standardise: bool = True, **config):
    """A checkpoint in memory, of random weights; inputs standardised, or scaled to [0, 1]."""
    indices = INDICES if standardise else ()
    found = None
    if standardise:
        rng = np.random.default_rng(1)
        found = {}
        for sensor, more in zip(SENTINEL, (1, 1), strict=True):
            low, high = sensor.range
            count = len(sensor.bands) + more
            mean = rng.uniform(0.3, 0.7, (model["num_periods"], count)) * (high - low) + low
            std = np.full_like(mean, (high - low) / 4)
            found[sensor.name] = (mean.tolist(), std.tolist())
    recipe = Recipe(
        model, LEGEND, scaling.default(SENTINEL), "month", loss, 30, 10.0, SENTINEL, indices, found
    )
    drawn = steps.init_variables(recipe, 0)
    return Restored(
        drawn["params"], drawn["batch_stats"], recipe, {"dataset": "made", "seed": 0} | config, 7,
        "finetune", "fingerprint", (),
    )  # fmt: skip
