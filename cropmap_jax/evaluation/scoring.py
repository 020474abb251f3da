"""What `evaluate` and the API do between arguments and results: methods scored over one split."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cropmap_jax import runs
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data import dataset, input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import (
    as_of_plan,
    baselines,
    cube_predictions,
    evaluate,
    held_out,
    map_scores,
    nearness,
    partial,
    split_tally,
)
from cropmap_jax.evaluation.as_of_plan import Plan
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.evaluate import Chosen
from cropmap_jax.evaluation.metrics import DEFAULT_THRESHOLD
from cropmap_jax.evaluation.scored import Scored
from cropmap_jax.geo import files, periods
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Smoothing
from cropmap_jax.runs import calibration
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.scheduling import Scheduler
from cropmap_jax.training.checkpoints import Restored

if TYPE_CHECKING:  # it draws, and chooses how matplotlib does
    from cropmap_jax.evaluation.report import Album


@dataclasses.dataclass
class Run:
    """What is scored, and how.

    Args:
      restored: the run of --workdir.
      data: the dataset.
      split, chooser: which split is scored, and which one chooses thresholds, if any.
      plan: columns of crops as of dates.
      baselines: settings of the baselines that are trained on the spot, by name.
      members: of combined runs, score each member as well.
      batch_size, seed: of the network's steps; of the baselines.
      smoothed: how probabilities are smoothed; None: not.
      unknown: predict ground that is not annotated, too.
      pictures: per crop; 0 for none.
      out: folder of the pictures.
      written: record of what was written there.
      watch: called with each cube as the run's own method predicts it; None: nobody watches.
      calibrated: how probabilities of the run are rescaled; None: not.
      scheduler: whose workers compute features of baselines to learn from; None: this process.
    """

    restored: Restored
    data: Dataset
    split: str
    chooser: str | None
    plan: Plan
    baselines: dict[str, Settings]
    members: bool
    batch_size: int
    seed: int
    smoothed: Smoothing | None
    unknown: bool
    pictures: int
    out: pathlib.Path
    written: files.Written | None = None
    watch: Callable[[CubePrediction], None] | None = None
    calibrated: Stored | None = None
    scheduler: Scheduler | None = None

    @property
    def looked(self) -> list[str]:
        """Splits whose cubes are predicted or learnt from."""
        return looked(self.split, self.chooser, bool(self.baselines))


def looked(split: str, chooser: str | None, trains: bool) -> list[str]:
    """Splits whose cubes are predicted, or learnt from by baselines."""
    return sorted({split, *([chooser] if chooser else []), *(["train"] if trains else [])})


def methods_of(restored: Restored, members: bool) -> dict[str, bool]:
    """By name of each method of the run, its own first, whether its classes exclude each other."""
    parts = runs.parts_of(restored) if members else {}
    own = {runs.method_of(restored): restored}
    return {name: one.recipe.exclusive for name, one in (own | parts).items()}


def reference_step(run: Run) -> int:
    """Which point of a curve tables are about: the lead of the run, else the last one."""
    there = {step for step, _ in run.plan.columns}
    own = [run.plan.steps[step].lead_days == run.restored.recipe.lead_days for step in there]
    found = [step for step, same in zip(there, own, strict=True) if same]
    return found[0] if found else max(there)


def score(run: Run) -> tuple[list[Scored], int]:
    """Scores every method, and says how many pictures were drawn."""
    names = [run.data.legend.names[crop] for crop in run.plan.crops]
    out: list[Scored] = []
    album: Album | None = None
    for methods, predictor in _predictors(run):
        each = thresholds(run, predictor, methods)
        own = [
            _method(run, exclusive, chosen)
            for exclusive, chosen in zip(methods.values(), each, strict=True)
        ]
        shown: cube_predictions.Shown = _nothing
        if not out:  # pictures are of the run's own method, which comes first
            album = _look(run, each[0], own[0])
            shown = album.wants if album else shown
        leads, groups = split_tally.tally(
            predictor, run.split, run.data, run.restored.recipe.num_periods, run.plan.dates, own,
            shown, run.smoothed,
        )  # fmt: skip
        for name, chosen, found in zip(methods, each, own, strict=True):
            common = (run.plan, names, found, chosen, leads, groups.unit)
            out.append(Scored(name, *common))
    return out, album.drawn if album else 0


def _nothing(index: int, label: np.ndarray) -> bool:
    return False


def _predictors(run: Run) -> Iterator[tuple[dict[str, bool], Predictor]]:
    """Yields (methods as `methods_of`, predictor), the run's own first; a baseline is trained when
    it is next."""
    own, recipe = methods_of(run.restored, run.members), run.restored.recipe
    bare = runs.predictor_of(run.restored, run.batch_size, apart=len(own) > 1)
    yield own, calibration.apply(bare, run.calibrated, len(recipe.legend))
    for name, settings in run.baselines.items():
        common = (run.data, "train", recipe.num_periods, run.plan.dates, run.seed, recipe.sensors)
        yield {name: True}, baselines.train(settings, *common, scheduler=run.scheduler)


def thresholds(
    run: Run, predictor: Predictor, methods: Sequence[str] | dict[str, bool]
) -> list[list[Chosen]]:
    """Thresholds of each method by column, chosen on a split if there is one.

    Args:
      run: of which columns, and on which split.
      predictor: answers for all methods, see `split_tally.tally`.
      methods: their names.
    """
    if not run.chooser:
        return [evaluate.no_thresholds(run.plan.classes) for _ in methods]
    found = [split_tally.Method(run.plan.classes) for _ in methods]
    split_tally.tally(
        predictor, run.chooser, run.data, run.restored.recipe.num_periods, run.plan.dates, found,
        smoothed=run.smoothed,
    )  # fmt: skip
    return [evaluate.choose_thresholds(one.tallies, run.chooser) for one in found]


def _method(run: Run, exclusive: bool, chosen: list[Chosen]) -> split_tally.Method:
    """What is to be counted of a method."""
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


def _look(run: Run, chosen: list[Chosen], method: split_tally.Method) -> "Album | None":
    """Watches what a method predicts as of the last step, and draws pictures of it if wanted."""
    if not (run.pictures or run.watch):
        return None
    last = max(step for step, _ in run.plan.columns)
    own = run.plan.of_step(last)
    crops, values = [run.plan.classes[k] for k in own], [chosen[k].value for k in own]
    album: Album | None = None
    if run.pictures:
        from cropmap_jax.evaluation import report

        album = report.Album(run.data, crops, values, run.pictures, run.out, run.written)

    def look(found: CubePrediction) -> None:
        if album:
            album.add(cube_predictions.columns(found, own[0], own[-1] + 1))
        if run.watch:
            run.watch(found)

    method.on_cube = look
    return album


@dataclasses.dataclass(frozen=True)
class Dates:
    """As of when to score.

    Args:
      leads: days before harvest; several are a curve.
      as_of: ISO date, one for all crops; None for the leads.
      until: ISO date up to which the ends of all periods are a curve; None for the others.
      dashes: before their names in errors; "" where they are no flags.
    """

    leads: Sequence[int]
    as_of: str | None = None
    until: str | None = None
    dashes: str = "--"


def plan_dates(
    dates: Dates, data: Dataset, crops: list[int], num_periods: int, split: str, looked: list[str]
) -> tuple[Plan, list[str]]:
    """As-of dates of every cube and column, checked; and notes about them.

    Args:
      dates: what is asked for.
      data: the dataset.
      crops: class indices.
      num_periods: of the run's window.
      split: which is scored.
      looked: splits whose cubes are predicted or learnt from.

    Raises:
      ValueError: names the flag of a date that cannot be.
    """
    flag = ""
    if dates.until:
        flag = f"{dates.dashes}until"
        until = periods.to_day(periods.parse_date(dates.until, flag))
        plan = as_of_plan.for_season(data, crops, until, split, looked)
    elif len(dates.leads) > 1 and not (dates.as_of and not data.harvest[:, crops].any(0).all()):
        plan = as_of_plan.for_leads(data, crops, dates.leads, looked)
    else:
        as_of = None
        if dates.as_of:
            flag = f"{dates.dashes}as_of"
            as_of = periods.to_day(periods.parse_date(dates.as_of, flag))
        found = input_pipeline.as_of_dates(data, crops, dates.leads[0], as_of)
        step = as_of_plan.Step(None if dates.as_of else dates.leads[0], as_of)
        plan = as_of_plan.single(crops, found, step)
    late = evaluate.check_windows(data, looked, plan.dates, num_periods, flag)
    return plan, late


def open_data(
    restored: Restored, data_dir: str = "", name: str = "", fold: int | None = None
) -> Dataset:
    """The dataset that a run is scored on, by default the one that it was trained on.

    Args:
      restored: the run.
      data_dir: folder of datasets.
      name: of the dataset.
      fold: which fold of it is tested.

    Raises:
      ValueError: none is there, or one that the run cannot be asked about.
    """
    folder = files.local("--data_dir", data_dir or restored.config["data_dir"])
    # Another dataset need not have folds, nor those fields.
    view = {} if name else dataset.view_of(restored.config)
    view |= {} if fold is None else {"fold": fold}
    data = dataset.open_dataset(str(folder), name or restored.config["dataset"], **view)
    restored.recipe.check_dataset(data)
    return data


def check_ground(
    restored: Restored, data: Dataset, split: str, chooser: str | None, allowed: bool, unknown: bool
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
    ground, noted = held_out.check(restored, data, split, allowed)
    noted += held_out.threshold_notes(restored, data, split, chooser)
    # Near to a train split says nothing of a run that learnt from another dataset.
    if ground["trained_on"] == [] and restored.dataset in ("", data.fingerprint):
        noted += nearness.notes(data, split)
    if unknown and data.fold is not None:
        noted.append("unknown ground includes fields of the other folds, which were learnt from")
    return ground, noted
