"""What `evaluate` says about its scores: settings in the JSON, notes about the ground."""

from collections.abc import Sequence
from typing import Any

from experiments._evaluation import Run


def settings(
    run: Run, workdir: str, as_of: str | None, until: str | None, smooth: int
) -> dict[str, Any]:
    """What the JSON says about how scores came about.

    Args:
      run: what was scored.
      workdir, as_of, until, smooth: as the flags of these names.
    """
    from cropmap_jax import runs
    from cropmap_jax.runs import combined

    restored, data, steps = run.restored, run.data, run.plan.steps
    leads = [step.lead_days for step in steps]
    found = {
        "workdir": str(workdir),
        "method": runs.method_of(restored),
        "step": restored.step,
        "digest": combined.digest(restored),
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "fold": data.fold,
        "fields_per_class": data.few.per_class if data.few else None,
        "fields_draw": data.few.draw if data.few else None,
        "split": run.split,
        "threshold_split": run.chooser,
        "lead_days": leads[0] if len(leads) == 1 else None if until else leads,
        "as_of": as_of,
        "until": until,
        "seed": run.seed,
        "smooth": smooth or None,
        "calibrated": run.calibrated.describe() if run.calibrated else None,
    }
    if runs.parts_of(restored):
        found["weights"] = dict(zip(runs.parts_of(restored), restored.weights, strict=True))
    return found


def notes(
    restored: Any, data: Any, split: str, chooser: str | None, allowed: bool, unknown: bool
) -> tuple[dict[str, Any], list[str]]:
    """Whether the ground was held out, for the JSON; and notes for people.

    Args:
      restored, data, split: what is scored.
      chooser: the split that chooses thresholds, if any.
      allowed: a test split that shares ground with training is scored anyway.
      unknown: ground that is not annotated is predicted, too.

    Raises:
      ValueError: a test split that shares ground with training.
    """
    from cropmap_jax.evaluation import held_out, nearness

    ground, noted = held_out.check(restored, data, split, allowed)
    noted += held_out.threshold_notes(restored, data, split, chooser)
    # Near to a train split says nothing of a run that learnt from another dataset.
    if ground["trained_on"] == [] and restored.dataset in ("", data.fingerprint):
        noted += nearness.notes(data, split)
    if unknown and data.fold is not None:
        noted.append("unknown ground includes fields of the other folds, which were learnt from")
    return ground, noted


def of_thresholds(scored: Sequence[Any], chooser: str | None, curve: bool, smooth: int) -> str:
    """Where thresholds come from, in a line.

    Args:
      scored: a `scored.Scored` per method.
      chooser: the split that chose them, if any.
      curve: whether each point has its own.
      smooth: as the flag of this name.
    """
    chosen = any(not choice.reason for method in scored for choice in method.thresholds)
    how = f"chosen on {chooser}" if chosen else "by default"
    how += " for each point by itself" if chosen and curve else ""
    if smooth:
        how += f"; probabilities smoothed over {smooth} x {smooth} pixels"
    return f"threshold {how}; only annotated pixels that were seen count"
