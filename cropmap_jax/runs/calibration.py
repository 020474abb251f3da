"""The calibration of a run, `WORKDIR/calibration.json`: written, read, checked and applied.

It belongs to one state of one run: what it was fitted to is recorded by step and SHA-256, and a run
that has trained further is not rescaled with it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

from cropmap_jax.data import checks
from cropmap_jax.geo import files
from cropmap_jax.inference import calibrated
from cropmap_jax.inference.calibrated import CalibratedPredictor, Calibration
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.training import checksums
from cropmap_jax.training.checkpoints import Restored

NAME = "calibration.json"
STAGE = "calibration"
"""What `held_out` calls the ground that a calibration was fitted on."""
_FORMAT = 1
_PARTS = (
    "format", "calibration", "run", "fitted", "how", "prevalence", "sets", "scores", "provenance",
    "sha256",
)  # fmt: skip
_RUN = ("step", "sha256", "classes")
_FITTED = ("dataset", "fingerprint", "fold", "split", "as_of", "fields", "blocks", "ground")

_T = TypeVar("_T", bound=Restored)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A calibration that was read.

    Args:
      calibration: what it does.
      meta: all that the file holds.
    """

    calibration: Calibration
    meta: dict[str, Any]

    @property
    def digest(self) -> str:
        """Of what it does; 16 hex digits. Two that do the same have the same."""
        text = json.dumps(to_json(self.calibration), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def among_annotated(self) -> "Stored":
        """The same without the correction of shares: what is right among annotated pixels.

        Probabilities that are right for all ground are not right among pixels that were chosen.
        """
        return dataclasses.replace(
            self, calibration=dataclasses.replace(self.calibration, ratios=())
        )

    @property
    def thresholds(self) -> dict[float, float | None]:
        """Of conformal sets, by stated coverage; of probabilities of `among_annotated`."""
        return {float(row["stated"]): row["threshold"] for row in self.meta["sets"]}

    def describe(self) -> str:
        """How, in a few words."""
        return describe(self.calibration, self.meta["fitted"], self.meta["prevalence"])


def describe(
    calibration: Calibration, fitted: dict[str, Any], prevalence: dict[str, Any] | None
) -> str:
    """How a calibration came about, in a few words.

    Args:
      calibration: what it does.
      fitted: on what.
      prevalence: how shares of classes were corrected; None for not at all.
    """
    how = calibration.method
    if how == calibrated.TEMPERATURE:
        how += f" {calibration.temperature:.2f}"
    where = f"{fitted['fields']} fields of {fitted['split']} of {fitted['dataset']}"
    shares = f", shares of classes from {prevalence['source']}" if prevalence else ""
    return f"{how}, fitted on {where}{shares}"


def path(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Where a workdir keeps its calibration."""
    return pathlib.Path(workdir).absolute() / NAME


def of_run(run: Restored) -> dict[str, Any]:
    """What a calibration records of the run that it was fitted to."""
    return {
        "step": run.step,
        "sha256": checksums.digest(run.variables),
        "classes": list(run.recipe.legend.names),
    }


def save(workdir: str | os.PathLike[str], meta: dict[str, Any]) -> None:
    """Writes a calibration, whole or not at all.

    Args:
      workdir: the run's folder.
      meta: all parts but "format" and "sha256".

    Raises:
      OSError: no space or no permission; what was there stays.
    """
    whole = json.loads(json.dumps({"format": _FORMAT} | meta, allow_nan=False))
    text = json.dumps(whole | {"sha256": _digest(whole)}, indent=1)
    files.write_bytes(path(workdir), text.encode() + b"\n")


def find(workdir: str | os.PathLike[str], run: Restored) -> Stored | None:
    """The calibration of a run; None where there is none.

    Args:
      workdir: the run's folder.
      run: its state that will be used.

    Raises:
      ValueError: the file is damaged, or of another state of the run.
    """
    if not path(workdir).exists():
        return None
    found, now = load(workdir), of_run(run)
    if found.meta["run"] != now:
        was = found.meta["run"]["step"]
        what = f"step {was}" if was != run.step else "other weights"
        raise ValueError(
            f"{path(workdir)}: fitted to {what}, and the run was read at step {run.step}; run "
            f"calibrate again for that one, name the --checkpoint that it was fitted to, or pass "
            f"--nocalibrate"
        )
    return found


def load(workdir: str | os.PathLike[str]) -> Stored:
    """Reads a calibration, of whatever state of the run.

    Raises:
      ValueError: names the file and what is wrong with it.
    """
    file = path(workdir)
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        checks.keys("calibration", meta, _PARTS)
        checks.choice("format", meta["format"], (_FORMAT,))
        found = _digest({name: value for name, value in meta.items() if name != "sha256"})
        if found != meta["sha256"]:
            raise ValueError(f"expected SHA-256 {checks.shown(meta['sha256'])}, found {found}")
        checks.keys("run", meta["run"], _RUN)
        checks.keys("fitted", meta["fitted"], _FITTED)
        checks.values("sets", meta["sets"])
        return Stored(from_json(meta["calibration"], len(meta["run"]["classes"])), meta)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{file}: expected a calibration, found a file that cannot be read ({reason}); run "
            f"calibrate again, or pass --nocalibrate"
        ) from error


def to_json(calibration: Calibration) -> dict[str, Any]:
    """A calibration, JSON-ready."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(calibration)))
    return found


def from_json(value: dict[str, Any], classes: int) -> Calibration:
    """What `to_json` wrote, checked.

    Args:
      value: the JSON.
      classes: how many the legend has.

    Raises:
      ValueError, TypeError: names what is wrong.
    """
    names = [field.name for field in dataclasses.fields(Calibration)]
    checks.keys("calibration", value, names)
    checks.choice("calibration.method", value["method"], calibrated.METHODS)
    checks.switch("calibration.exclusive", value["exclusive"])
    checks.switch("calibration.none_of_these", value["none_of_these"])
    checks.real("calibration.temperature", value["temperature"], 0, 1000, above=True)
    columns = classes + (value["exclusive"] and value["none_of_these"])
    for name, count in (("platt", classes), ("knots", columns), ("ratios", columns)):
        if value[name]:
            checks.values(f"calibration.{name}", value[name], count)
    for ratio in value["ratios"]:
        checks.real("calibration.ratios", ratio, 0, 1e9)
    return Calibration(
        value["method"],
        value["exclusive"],
        value["none_of_these"],
        float(value["temperature"]),
        _each(value["platt"], _pair),
        _each(value["knots"], _knots),
        tuple(map(float, value["ratios"])),
    )


def _each(values: list[Any], read: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(None if one is None else read(one) for one in values)


def _pair(one: Any) -> tuple[float, float]:
    checks.values("calibration.platt", one, 2)
    for number in one:
        checks.real("calibration.platt", number, -1000, 1000)
    return float(one[0]), float(one[1])


def _knots(one: Any) -> calibrated.Knots:
    checks.values("calibration.knots", one, 2)
    checks.values("calibration.knots", one[1], len(one[0]))
    for part in one:
        for number in part:
            checks.real("calibration.knots", number, 0, 1)
        if not part or list(part) != sorted(part):
            raise ValueError("calibration.knots: expected rising numbers, found others")
    return tuple(map(float, one[0])), tuple(map(float, one[1]))


def apply(predictor: Predictor, stored: Stored | None, classes: int) -> Predictor:
    """A predictor of rescaled probabilities; the same one where there is no calibration.

    Args:
      predictor: the run's own.
      stored: from `find`.
      classes: how many the legend has.
    """
    if stored is None:
        return predictor
    return CalibratedPredictor(predictor, stored.calibration, classes)


def with_ground(run: _T, stored: Stored | None) -> _T:
    """A run that counts the ground of its calibration as ground that it was chosen on.

    So `held_out` refuses to score a test split there.

    Args:
      run: the run.
      stored: from `find`.
    """
    if stored is None:
        return run
    known = {json.dumps(cube, sort_keys=True) for cube in run.cubes}
    # `held_out` knows what is learnt from and what chooses: this is the latter.
    chosen_on = (cube | {"split": "validation"} for cube in stored.meta["fitted"]["ground"])
    more = [
        cube | {"stage": STAGE}
        for cube in chosen_on
        if json.dumps(cube, sort_keys=True) not in known
    ]
    return dataclasses.replace(run, cubes=(*run.cubes, *more))


def _digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()
