"""What `evaluate` does between its flags and its files: every method, scored over one split."""

import dataclasses
import pathlib
from typing import Any


@dataclasses.dataclass
class Run:
    """What is scored, and how.

    Args:
      restored: the run of --workdir.
      data: the dataset.
      split, chooser: which split is scored, and which one chooses thresholds, if any.
      plan: columns of crops as of dates, an `as_of_plan.Plan`.
      baselines: settings of the baselines that are trained on the spot, by name.
      members: of combined runs, score each member as well.
      batch_size, seed: of the network's steps; of the baselines.
      smoothed: a `smoothing.Smoothing`, or None.
      unknown: predict ground that is not annotated, too.
      pictures: per crop.
      out: folder of results.
      written: record of what was written there.
      watch: called with each cube as the run's own method predicts it; None: nobody watches.
      calibrated: how probabilities of the run are rescaled, a `runs.calibration.Stored`; None: not.
      scheduler: whose workers compute features of baselines to learn from; None: this process.
    """

    restored: Any
    data: Any
    split: str
    chooser: str | None
    plan: Any
    baselines: dict[str, Any]
    members: bool
    batch_size: int
    seed: int
    smoothed: Any
    unknown: bool
    pictures: int
    out: pathlib.Path
    written: Any = None
    watch: Any = None
    calibrated: Any = None
    scheduler: Any = None

    @property
    def looked(self) -> list[str]:
        """Splits whose cubes are predicted or learnt from."""
        return looked(self.split, self.chooser, bool(self.baselines))


def looked(split: str, chooser: str | None, trains: bool) -> list[str]:
    """Splits whose cubes are predicted, or learnt from by baselines."""
    return sorted({split, *([chooser] if chooser else []), *(["train"] if trains else [])})


def methods_of(restored, members: bool) -> dict[str, bool]:
    """By name of each method of the run, its own first, whether its classes exclude each other."""
    from cropmap_jax import runs

    parts = runs.parts_of(restored) if members else {}
    own = {runs.method_of(restored): restored}
    return {name: one.recipe.exclusive for name, one in (own | parts).items()}


def reference_step(run: Run) -> int:
    """Which point of a curve tables are about: the lead of the run, else the last one."""
    there = {step for step, _ in run.plan.columns}
    own = [run.plan.steps[step].lead_days == run.restored.recipe.lead_days for step in there]
    found = [step for step, same in zip(there, own, strict=True) if same]
    return found[0] if found else max(there)


def score(run: Run) -> tuple[list[Any], int]:
    """Scores every method; a `scored.Scored` each, and how many pictures were drawn."""
    from cropmap_jax.evaluation import scored, split_tally

    names = [run.data.legend.names[crop] for crop in run.plan.crops]
    out, album = [], None
    for methods, predictor in _predictors(run):
        each = thresholds(run, predictor, methods)
        own = [
            _method(run, exclusive, chosen)
            for exclusive, chosen in zip(methods.values(), each, strict=True)
        ]
        looks = {}
        if album is None:  # pictures are of the run's own method, which comes first
            album = _album(run, each[0], own[0])
            looks = {"shown": album.wants}
        leads, groups = split_tally.tally(
            predictor, run.split, run.data, run.restored.recipe.num_periods, run.plan.dates, own,
            smoothed=run.smoothed, **looks,
        )  # fmt: skip
        for name, chosen, found in zip(methods, each, own, strict=True):
            common = (run.plan, names, found, chosen, leads, groups.unit)
            out.append(scored.Scored(name, *common))
    return out, album.drawn


def _predictors(run: Run):
    """Yields (methods as `methods_of`, predictor), the run's own first; a baseline is trained when
    it is next."""
    from cropmap_jax import runs
    from cropmap_jax.evaluation import baselines
    from cropmap_jax.runs import calibration

    own, recipe = methods_of(run.restored, run.members), run.restored.recipe
    bare = runs.predictor_of(run.restored, run.batch_size, apart=len(own) > 1)
    yield own, calibration.apply(bare, run.calibrated, len(recipe.legend))
    for name, settings in run.baselines.items():
        common = (run.data, "train", recipe.num_periods, run.plan.dates, run.seed, recipe.sensors)
        yield {name: True}, baselines.train(settings, *common, scheduler=run.scheduler)


def thresholds(run: Run, predictor, methods) -> list[list[Any]]:
    """Thresholds of each method by column, chosen on a split if there is one.

    Args:
      run: of which columns, and on which split.
      predictor: answers for all methods, see `split_tally.tally`.
      methods: their names.
    """
    from cropmap_jax.evaluation import evaluate, split_tally

    if not run.chooser:
        return [evaluate.no_thresholds(run.plan.classes) for _ in methods]
    found = [split_tally.Method(run.plan.classes) for _ in methods]
    split_tally.tally(
        predictor, run.chooser, run.data, run.restored.recipe.num_periods, run.plan.dates, found,
        smoothed=run.smoothed,
    )  # fmt: skip
    return [evaluate.choose_thresholds(one.tallies, run.chooser) for one in found]


def _method(run: Run, exclusive: bool, chosen: list[Any]):
    """What is to be counted of a method."""
    import numpy as np

    from cropmap_jax.evaluation import map_scores, partial, split_tally
    from cropmap_jax.evaluation.metrics import DEFAULT_THRESHOLD

    plan, maps = run.plan, []
    for step in range(len(plan.steps)):
        own = plan.of_step(step)
        if len(own) == len(plan.crops):
            dates = plan.dates[:, own]
            found = map_scores.tally_for(exclusive, run.data, plan.crops, dates)
            maps += [(own[0], found)] if found else []
    values = np.array([choice.value for choice in chosen])
    return split_tally.Method(
        plan.classes,
        np.stack([np.full(len(values), DEFAULT_THRESHOLD), values], 1),
        maps,
        partial.Unknown(values) if run.unknown else None,
    )


def _album(run: Run, chosen: list[Any], method):
    """Draws pictures as of the last step."""
    from cropmap_jax.evaluation import cube_predictions, report

    last = max(step for step, _ in run.plan.columns)
    own = run.plan.of_step(last)
    crops, values = [run.plan.classes[k] for k in own], [chosen[k].value for k in own]
    album = report.Album(run.data, crops, values, run.pictures, run.out, run.written)

    def look(found) -> None:
        album.add(cube_predictions.columns(found, own[0], own[-1] + 1))
        if run.watch:
            run.watch(found)

    method.on_cube = look
    return album
