"""What `evaluate` says about its scores: settings in the JSON, notes about the ground."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it takes seconds to import
    from cropmap_jax.evaluation.scoring import Run


def settings(
    run: "Run", workdir: str, as_of: str | None, until: str | None, smooth: int
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
