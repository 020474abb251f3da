"""All that a card and an item say of a run, gathered from its workdir; JSON-ready."""

import datetime as dt
import os
import pathlib
from typing import Any

from cropmap_jax import runs
from cropmap_jax.baselines.kept import Kept
from cropmap_jax.geo import names
from cropmap_jax.models.variables import count_parameters
from cropmap_jax.product import data_facts, limits, scores, versions
from cropmap_jax.runs import calibration, combined
from cropmap_jax.runs.combined import Combined
from cropmap_jax.training.checkpoints import Restored

Facts = dict[str, Any]
"""name, title, method, model, inputs, legend, trained, data (of `data_facts`), where (bbox; null
where nothing says), scores (of `scores`), words (about them, by split), calibrated (in words or
null), limits (sentences), parts (of combined runs: name, method, weight), assets (what the workdir
holds of it) and versions."""

_TRAINED = (
    "epochs", "steps_per_epoch", "batch_size", "optimizer", "schedule", "weight_decay", "loss",
    "label_smoothing", "mixup", "augment", "period_dropout", "sensor_dropout", "ema", "sampling",
    "seed", "lead_days", "max_lead_days", "freeze_trunk_statistics", "fields_per_class",
)  # fmt: skip
"""Settings that a card names, where a run has them and they are not off."""


def gather(
    workdir: str | os.PathLike[str],
    run: Restored,
    name: str | None = None,
) -> Facts:
    """What there is to say of a run.

    Args:
      workdir: its folder.
      run: the state of it that is meant.
      name: what to call it; None for the folder's name.

    Raises:
      ValueError: a file of the workdir is damaged; names it.
    """
    folder = pathlib.Path(workdir).absolute()
    recipe, method = run.recipe, runs.method_of(run)
    data = data_facts.find(folder)
    rows, words = scores.find(folder, run.step, combined.digest(run))
    stored = calibration.find(folder, run) if _is_calibrated(folder, run) else None
    found: Facts = {
        "name": names.one_line(name) if name else folder.name,
        "method": method,
        "model": _model(run),
        "inputs": {
            "sensors": [sensor.to_json() for sensor in recipe.sensors],
            "indices": list(recipe.indices),
            "standardised": recipe.statistics is not None,
            "scaling": {name: list(both) for name, both in recipe.scaling.items()},
            "period_kind": recipe.period_kind,
            "num_periods": recipe.num_periods,
            "pixel_m": recipe.pixel_m,
            "backscatter": recipe.backscatter,
        },
        "legend": recipe.legend.to_json(),
        "exclusive": recipe.exclusive,
        "none_of_these": recipe.none_of_these,
        "trained": _trained(run),
        "data": data,
        "where": _where(run, data),
        "scores": rows,
        "words": words,
        "calibrated": stored.describe() if stored else None,
        "parts": _parts(run),
        "assets": _assets(folder, run),
        "written": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": versions.installed("jax", "flax", "numpy", "scikit-learn"),
    }
    return found | {"limits": limits.of(found, runs.unused_bands(run))}


def _is_calibrated(folder: pathlib.Path, run: Restored) -> bool:
    """Whether its calibration is of this state; of another it is none."""
    if not calibration.path(folder).exists():
        return False
    found: bool = calibration.load(folder).meta["run"] == calibration.of_run(run)
    return found


def _model(run: Restored) -> dict[str, Any]:
    model = dict(run.recipe.model)
    if isinstance(run, Combined):
        return {"name": runs.COMBINED}
    if isinstance(run, Kept):
        return {"name": model.pop("name"), "settings": _plain(model)}
    name = model.pop("name")
    return {"name": name, "settings": _plain(model), "parameters": count_parameters(run.params)}


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that are off."""
    return {k: v for k, v in settings.items() if v not in (None, "", (), [], {})}


def _trained(run: Restored) -> dict[str, Any]:
    config = run.config
    own = {name: config[name] for name in _TRAINED if config.get(name) not in (None, 0, False)}
    if own.get("sampling") == "chips":  # all chips are drawn in an epoch, however many there are
        own.pop("steps_per_epoch", None)
    rates = config.get("learning_rate")
    if rates:
        own["learning_rate"] = dict(rates)
    began = config.get("init_from")
    return {
        "stage": run.stage,
        "step": run.step,
        "settings": own,
        "pretrained_from": pathlib.PurePath(began).name if began else None,
        "pretrained_step": config.get("init_step") if began else None,
    }


def _where(run: Restored, data: list[data_facts.Facts]) -> dict[str, Any] | None:
    """Where the ground lies that it learnt from last."""
    own = [row for row in data if row["stage"] == run.stage] or data
    if own:
        return {"bbox": own[-1]["bbox"], "first": own[-1]["first"], "last": own[-1]["last"]}
    ground = [cube for cube in run.cubes if "stage" not in cube] or list(run.cubes)
    return {"bbox": data_facts.bbox(ground), "first": None, "last": None} if ground else None


def _parts(run: Restored) -> list[dict[str, Any]]:
    if not isinstance(run, Combined):
        return []
    pairs = zip(run.members.items(), run.weights, strict=True)
    return [
        {"name": name, "method": runs.method_of(one), "weight": float(weight)}
        for (name, one), weight in pairs
    ]


def _assets(folder: pathlib.Path, run: Restored) -> list[dict[str, str]]:
    """Files and folders of the workdir that hold what it has learnt."""
    there = runs.folders(folder)
    if isinstance(run, Combined):
        path, kind = there["the combined runs"], "cropmap_jax combined runs"
    elif isinstance(run, Kept):
        path, kind = there["the baseline"], "skops"
    else:
        path, kind = there["the checkpoints"] / str(run.step), "orbax"
    return [{"href": path.relative_to(folder).as_posix(), "type": kind}]
