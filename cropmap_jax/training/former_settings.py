"""Settings that runs of earlier versions lack, and what these did without them."""

from collections.abc import Collection, Mapping
from typing import Any

from cropmap_jax.geo.sensors import SENTINEL

_BEFORE: dict[str, Any] = {
    "sensors": [sensor.name for sensor in SENTINEL],
    "indices": [],
    "standardise": False,
    "sampling": "chips",
    "draw_by": "field",
    "steps_per_epoch": 500,
    "as_of_jitter": 0,
    "max_lead_days": 0,
    "mixup": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "weight_decay": 0.0,
    "weak_share": 0.0,
    "weak_weight": 1.0,
    "unknown": {
        "treatment": "masked",
        "weight": 1.0,
        "share": 0.5,
        "priors": "best_bin",
        "cropland": 1.0,
        "eta": 0.5,
        "beta": 0.0,
        "gamma": 1.0,
    },
    "dates_of": "legend",
    "fields_per_class": 0,
    "fields_draw": 0,
}
"""What runs of earlier versions did that had no such setting."""


def with_former(config: Mapping[str, Any], now: Collection[str]) -> dict[str, Any]:
    """Settings of a run that an earlier version began, and what it did without the others.

    Args:
      config: its settings.
      now: names of the settings that there are by now.
    """
    return {name: value for name, value in _BEFORE.items() if name in now} | dict(config)
