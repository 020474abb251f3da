"""Trains and keeps a baseline: from a config to a finished workdir."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from cropmap_jax.baselines import drawing, fitting, recipe, storage
from cropmap_jax.baselines.recipe import BaselineRecipe
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data import checks, few_fields, input_pipeline, sampling
from cropmap_jax.data.dataset import NO_WEAK, Dataset
from cropmap_jax.geo import sensors
from cropmap_jax.scheduling import Scheduler

CONFIG = (
    "data_dir", "dataset", "sensors", "seed", "num_periods", "indices", "means", "dates",
    "draw_by", "most_pixels", "lead_days", "as_of", "method", "arguments",
)  # fmt: skip
"""What a config of a baseline holds, see configs/baselines/forest.py."""
_WEAK = {"weak_share": 0.0, "weak_weight": 1.0}
_FEW = {few_fields.PER_CLASS: 0, few_fields.DRAW: 0}
_EARLY = {"max_lead_days": 0}
_LATER = _WEAK | _FEW | _EARLY
"""What it may hold besides, and what it is where it does not."""


def check(config: Mapping[str, Any]) -> None:
    """Requires all settings of a config and no others; `make_recipe` checks the rest of them.

    Raises:
      ValueError: names the setting, as --config.NAME.
    """
    checks.keys("--config", config, CONFIG, ("fold", *_LATER))
    for name in ("data_dir", "dataset"):
        checks.text(f"--config.{name}", config[name])
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")
    checks.whole("--config.seed", config["seed"], 0, 2**32 - 1)
    checks.whole("--config.lead_days", config["lead_days"], *checks.LEAD_DAYS)
    longest = config.get("max_lead_days", 0)
    sampling.check_max_lead("--config", config["lead_days"], longest, config["as_of"])
    for name in ("sensors", "indices", "means", "as_of"):
        checks.values(f"--config.{name}", config[name])


def make_recipe(config: Mapping[str, Any], data: Dataset) -> BaselineRecipe:
    """The recipe that a config describes for a dataset.

    Raises:
      ValueError: names the setting that cannot be, or what the dataset lacks for it.
    """
    chosen = tuple(config["indices"])
    settings = Settings(
        method=config["method"],
        indices=None if chosen == ("all",) else chosen,
        means=tuple(config["means"]),
        dates=config["dates"],
        draw_by=config["draw_by"],
        most_pixels=config["most_pixels"],
        arguments=dict(config["arguments"]),
        weak_share=config.get("weak_share", 0.0),
        weak_weight=config.get("weak_weight", 1.0),
    )
    found = sensors.find(config["sensors"], "--config.sensors", data.sensors)
    return recipe.make_recipe(settings, config["num_periods"], config["lead_days"], data, found)


def describe(config: Mapping[str, Any], data: Dataset) -> dict[str, Any]:
    """What is stored next to the model and must be the same for a run to be finished."""
    unused = () if config.get("weak_share") else tuple(_WEAK)
    unused += () if config.get(few_fields.PER_CLASS) else tuple(_FEW)
    unused += () if config.get("max_lead_days") else tuple(_EARLY)
    return {
        # As configs were before they had these, where they ask for nothing.
        "config": {k: v for k, v in config.items() if k not in unused},
        "dataset": data.fingerprint,
        "cubes": data.ground,
        "unseen_bands": data.unseen_bands,
    }


def train(
    data: Dataset,
    config: Mapping[str, Any],
    workdir: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    report: Callable[[str], None] = lambda line: None,
    scheduler: Scheduler | None = None,
) -> bool:
    """Trains and stores a baseline, unless the workdir holds it already.

    Args:
      data: the dataset, with a "train" split.
      config: see CONFIG.
      workdir: the run's folder.
      progress: called with how many pixels of how many were read.
      report: called with lines for people.
      scheduler: whose workers compute the features; None for this process.

    Returns:
      Whether it was trained; False where it was there.

    Raises:
      ValueError: the workdir holds another baseline, nothing is annotated, or dates that leave
        nothing to see.
      OSError: it cannot be written; nothing is left behind then.
    """
    made, meta = make_recipe(config, data), describe(config, data)
    weak = float(config.get("weak_share", 0.0)), float(config.get("weak_weight", 1.0))
    if storage.finished(workdir, meta):
        return False
    for note in few_fields.notes(data):
        report(f"note: {note}")
    for name in data.never_annotated("train"):
        report(f"note: {name}: no annotated pixel in train; it is never predicted")
    if weak[0] and not data.split("train").has_weak:
        report(f"note: config.weak_share {weak[0]:g}: {NO_WEAK}")
    begun, settings = time.monotonic(), made.settings()
    as_of = input_pipeline.parse_as_of(tuple(config["as_of"]), "--config.as_of")
    drawing.check_dates(data, "train", made.num_periods, made.lead_days, as_of, weak=weak[0] > 0)
    pixels = drawing.training_pixels(
        data,
        "train",
        made.features(),
        drawing.drawn_dates(data, made.lead_days, as_of, config.get("max_lead_days", 0)),
        settings.draw_by,
        settings.most_pixels,
        config["seed"],
        copies=True,
        weak=weak,
        progress=progress,
        scheduler=scheduler,
    )
    count = len(made.features().names)
    report(f"learning from {len(pixels.labels):,} pixels, {count} features each")
    model = fitting.fit(settings, pixels, config["seed"], str(data.path))
    seconds = round(time.monotonic() - begun, 1)
    trained = {"pixels": fitting.counted(pixels, data.legend), "seconds": seconds}
    storage.save(workdir, model, made, meta | {"trained": trained})
    report(f"done in {seconds:,} s")
    return True
