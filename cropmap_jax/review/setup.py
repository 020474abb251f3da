"""The config of `review_labels` and `visit`, checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data import checks
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import folds, sensors
from cropmap_jax.review import cross_fit
from cropmap_jax.review.cross_fit import Setup

CONFIG = (
    "data_dir", "dataset", "sensors", "seed", "folds", "indices", "means", "draw_by",
    "most_pixels", "method", "arguments",
)  # fmt: skip
"""What a config holds, see configs/review.py."""


def check(config: Mapping[str, Any]) -> None:
    """Requires all settings of a config and no others; `make` checks the rest of them.

    Raises:
      ValueError: names the setting, as --config.NAME.
    """
    checks.keys("--config", config, CONFIG)
    for name in ("data_dir", "dataset"):
        checks.text(f"--config.{name}", config[name])
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")
    checks.whole("--config.seed", config["seed"], 0, 2**32 - 1)
    checks.whole("--config.folds", config["folds"], 2, folds.MOST)
    for name in ("sensors", "indices", "means"):
        checks.values(f"--config.{name}", config[name])


def make(config: Mapping[str, Any], data: Dataset, dates: np.ndarray | None = None) -> Setup:
    """How models of a dataset are made.

    Args:
      config: checked.
      data: the dataset.
      dates: int [cubes], as of when each cube is seen; None: as of the end of its last period.

    Raises:
      ValueError: names the setting that cannot be.
    """
    chosen = tuple(config["indices"])
    settings = Settings(
        method=config["method"],
        indices=None if chosen == ("all",) else chosen,
        means=tuple(config["means"]),
        draw_by=config["draw_by"],
        most_pixels=config["most_pixels"],
        arguments=dict(config["arguments"]),
    )
    found = sensors.find(config["sensors"], "--config.sensors", data.sensors)
    periods, ends = cross_fit.whole_season(data)
    settings.features(found, periods)  # what is wrong with it shows before anything is made
    return Setup(settings, found, periods, ends if dates is None else dates, config["seed"])
