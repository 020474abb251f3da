"""Scores a fine-tuned network, a kept baseline or several combined, crop by crop, over annotated
pixels and fields.

    python -m experiments.evaluate --workdir W --crop canola        (or --crop all)

Every pixel is judged from the window that ends before `harvest start - lead`; the dataset, the
window and the lead come from the run. --lead_days 150,120,90,60,30 and --until DATE give curves.
--report writes a page for people, W/evaluation/<split>/report.html: curves, confusion, maps.
--baseline trains others on the spot, a model for each as-of date, and scores them in the same
table; --compare says whether the run is better than others on the same ground. Writes a table,
JSON and a picture per test cube under W/evaluation. Ground that no image shows is counted apart
and not scored; a test split that shares ground with what the checkpoint was trained on is refused.
"""

from absl import flags

from experiments import (
    _cli,
    _evaluation_compare,
    _evaluation_output,
    _evaluation_words,
    _flags,
    _output,
    _report,
)

_cli.extensible()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "last, best (by macro-F1 of validation) or the number of a step."
)
_CROP = flags.DEFINE_string("crop", None, "Class of the legend, or all.", required=True)
_SPLIT = flags.DEFINE_string("split", "test", "Split to score.")
_LEAD = flags.DEFINE_list(
    "lead_days",
    None,
    "Days before harvest; default: as in training. Several, such as 120,90,60,30, give a curve.",
)
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all, instead of the calendar.")
_UNTIL = flags.DEFINE_string(
    "until", None, "A curve against as-of dates instead: the ends of all periods up to this date."
)
_UNKNOWN = flags.DEFINE_bool(
    "unknown",
    False,
    "Predict ground that is not annotated as well, to bound the precision of all ground. Costs as "
    "much more time as there is more of it: with few known fields many times as much.",
)
_THRESHOLD_SPLIT = flags.DEFINE_string(
    "threshold_split", None, "Split that chooses the threshold; default validation, else train."
)
_TRAINING_GROUND = flags.DEFINE_bool(
    "allow_training_ground", False, "Score a test split even if it shares ground with training."
)
_BASELINE = flags.DEFINE_list(
    "baseline",
    ["none"],
    "Baselines to score too: none, or some of forest, boosting, logistic, dates and raw_forest "
    "(bands alone, all pixels alike), separated by commas.",
)
_COMPARE = flags.DEFINE_list(
    "compare",
    [],
    "Methods to compare with, by paired differences of F1, and what to use in one sentence: names "
    "of --baseline (trained here, one model for all dates) and folders of other runs (only "
    f"scored), separated by commas; alone: {_evaluation_compare.BARE}. On two cores a forest takes "
    "about 2 minutes to train, boosting 3, logistic regression a quarter of one. Of a curve, the "
    "point at the run's own lead is compared.",
)
_cli.may_be_bare("compare", _evaluation_compare.BARE)
_MEMBERS = flags.DEFINE_bool("members", True, "Of combined runs, score each member as well.")
_TREES = flags.DEFINE_integer(
    "trees", 300, "Trees of the forests.", lower_bound=1, upper_bound=100_000
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the baselines.", lower_bound=0, upper_bound=2**32 - 1
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets; default: as in training.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset; default: as in training.")
_FOLD = flags.DEFINE_integer("fold", None, "Fold of the dataset; default: as in training.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Chips per step.", lower_bound=1)
_PICTURES = flags.DEFINE_integer(
    "max_pictures", None, "Pictures per crop; default 20, with --report none.", lower_bound=0
)
_REPORT = flags.DEFINE_bool(
    "report",
    False,
    "Write report.html: how early, how reliably and where the map is right, for people to read. "
    "Leads are 150,120,90,60,30 unless given; --as_of is then the date of the whole legend.",
)
_PLACES = flags.DEFINE_integer(
    "max_places", 5, "Places that a report shows on maps.", lower_bound=0, upper_bound=50
)
_SMOOTH = flags.DEFINE_integer(
    "smooth", 0, "Side in pixels of a window over which probabilities are smoothed; 0 for none."
)
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", True, "Rescale probabilities by the run's calibration, if calibrate made one."
)
_SCHEDULER = _flags.define_scheduler("computes what baselines that are trained here learn from")
_OUT = flags.DEFINE_string("out", None, "Folder of results; default WORKDIR/evaluation/<split>.")


def _open():
    """The run, the dataset and the folder of results, after all that can be wrong."""
    from cropmap_jax import runs
    from cropmap_jax.evaluation import scoring
    from cropmap_jax.geo import files
    from cropmap_jax.inference import smoothing
    from cropmap_jax.runs import calibration

    if _UNTIL.value:
        for flag in (_LEAD, _AS_OF):
            if flag.value:
                raise ValueError(
                    f"--{flag.name}: expected none beside --until, which gives the dates, found "
                    f"{flag.value if flag is _AS_OF else ','.join(flag.value)}"
                )
    if _AS_OF.value and _LEAD.value and len(_LEAD.value) > 1 and not _REPORT.value:
        raise ValueError(
            f"--lead_days: expected no curve beside --as_of, one date for all, found "
            f"{','.join(_LEAD.value)}"
        )
    _leads(30)
    workdir = files.local("--workdir", _WORKDIR.value)
    out = files.local("--out", _OUT.value or workdir / "evaluation" / _SPLIT.value)
    restored = runs.open_run(workdir, _CHECKPOINT.value)
    data = scoring.open_data(restored, _DATA_DIR.value or "", _DATASET.value or "", _FOLD.value)
    smoothing.find(_SMOOTH.value, restored.recipe.sensors)
    for split in (_SPLIT.value, _THRESHOLD_SPLIT.value or _SPLIT.value):
        data.split(split)
    read = runs.folders(workdir) | {"the dataset": data.path.parent}
    files.check_apart({"--out": out}, read)
    found = calibration.find(workdir, restored) if _CALIBRATE.value else None
    return calibration.with_ground(restored, found), data, out, found


def _leads(default: int) -> list[int]:
    from cropmap_jax.evaluation import as_of_plan

    if _LEAD.value is None:
        return _report.LEADS if _REPORT.value else [default]
    return as_of_plan.parse_leads(_LEAD.value)


def _plan(restored, data, crops: list[int], chooser: str | None):
    """As-of dates of every cube and column, checked; and notes about them."""
    from cropmap_jax.evaluation import scoring

    dates = scoring.Dates(_leads(restored.recipe.lead_days), _AS_OF.value, _UNTIL.value)
    looked = scoring.looked(_SPLIT.value, chooser, _BASELINE.value != ["none"])
    return scoring.plan_dates(dates, data, crops, restored.recipe.num_periods, _SPLIT.value, looked)


def _baselines(restored, data):
    """Settings of the baselines that are trained on the spot, by name; and notes about them."""
    from cropmap_jax.baselines import settings
    from cropmap_jax.evaluation import scoring

    chosen = settings.find(_BASELINE.value, "--baseline", {"trees": _TREES.value})
    for method in scoring.methods_of(restored, _MEMBERS.value):
        if method in chosen:
            raise ValueError(
                f"--baseline: expected other methods than that of --workdir, found {method!r}"
            )
    for one in chosen.values():
        one.features(restored.recipe.sensors, restored.recipe.num_periods)
    never = data.never_annotated("train") if chosen else []
    return chosen, [
        f"{name}: no annotated pixel in train: baselines give it probability 0" for name in never
    ]


def _others(restored, data, plan, baselines, out):
    """Methods of --compare, and notes about them."""
    from cropmap_jax.evaluation import scoring

    if not _COMPARE.value:
        return [], []
    taken = [*scoring.methods_of(restored, _MEMBERS.value), *baselines]
    given = {"trees": _TREES.value, "as_of": plan.steps[-1].as_of, "out": out}
    allowed = _TRAINING_GROUND.value
    common = (restored, data, _SPLIT.value, allowed, taken, given)
    return _evaluation_compare.find(_COMPARE.value, *common)


def _workers(trains: bool):
    """The scheduler of --scheduler, opened where baselines learn here."""
    if _SCHEDULER.value and not trains:
        raise ValueError(
            f"--scheduler {_SCHEDULER.value}: expected --baseline or --compare with it, whose "
            f"features workers compute, found neither"
        )
    return _cli.open_scheduler(_SCHEDULER.value)


def _most_pictures() -> int:
    if _PICTURES.value is not None:
        return _PICTURES.value
    return 0 if _REPORT.value else 20


def main(_):
    from cropmap_jax.data import few_fields
    from cropmap_jax.evaluation import report, scoring
    from cropmap_jax.geo import files
    from cropmap_jax.inference import smoothing
    from cropmap_jax.product import keeping

    restored, data, out, calibrated = _open()
    every = _CROP.value == "all"
    crops = list(range(len(data.legend))) if every else [data.legend.index(_CROP.value)]
    chooser = _THRESHOLD_SPLIT.value
    chooser = chooser or next((s for s in ("validation", "train") if s in data.chips), None)
    about_ground = (_TRAINING_GROUND.value, _UNKNOWN.value)
    ground, noted = scoring.check_ground(restored, data, _SPLIT.value, chooser, *about_ground)
    plan, late = _plan(restored, data, crops, chooser)
    baselines, more = _baselines(restored, data)
    others, about = _others(restored, data, plan, baselines, out)
    noted += late + more + few_fields.notes(data)
    one = "all" if every else data.legend.names[crops[0]]
    curve = len(plan.steps) > 1 or bool(_UNTIL.value) or _REPORT.value
    name = f"{one}.json" if not curve else f"lead_time{'' if every else f'-{one}'}.json"
    run = scoring.Run(
        restored, data, _SPLIT.value, chooser, plan, baselines, _MEMBERS.value, _BATCH.value,
        _SEED.value, smoothing.find(_SMOOTH.value, restored.recipe.sensors), _UNKNOWN.value,
        _most_pictures(), out, calibrated=calibrated,
    )  # fmt: skip
    asked = watcher = None
    if _REPORT.value:
        asked, watcher = _report.ask(run, _WORKDIR.value, _PLACES.value, _AS_OF.value)
    with _workers(bool(baselines or others)) as run.scheduler, files.Lock(out, "--out"):
        for folder in (out, *(out / name for name in data.legend.names)):
            if folder.is_dir():
                files.tidy(folder)
        run.written = files.Written(out, "evaluate")
        made = _evaluation_compare.names(every, one)
        own = _evaluation_output.names(run, name, curve)
        own += [*(made if others else ()), *(_report.names(asked) if asked else ())]
        run.written.claim(*own)
        scored, drawn = scoring.score(run)
        output = _evaluation_output.of_a_curve if curve else _evaluation_output.of_one_date
        parts, more, printed = output(run, scored, name)
        noted += more
        flagged = (_WORKDIR.value, _AS_OF.value, _UNTIL.value, _SMOOTH.value)
        settings = _evaluation_words.settings(run, *flagged) | ground
        report.write_json(out / name, {"settings": settings, "notes": noted} | parts)
        compared = ""
        if others:
            found = _evaluation_compare.score(run, others, scored)
            found["notes"] += about
            compared = _evaluation_compare.write(run, settings, found, made)
        if asked:
            page = _report.write(asked, scored, parts, noted, watcher, settings, made[0])
    _output.results(scores=out / name, pictures=drawn, notes=noted)
    _output.results(**{part: parts[part] for part in ("macro", "mean") if part in parts})
    # A card is of the last checkpoint, which `predict` takes unless told otherwise.
    last = _CHECKPOINT.value == "last"
    card = [keeping.refresh(_WORKDIR.value, restored, data)] if last else []
    print(printed)
    for note in noted:
        print(f"note: {note}")
    print(_evaluation_words.of_thresholds(scored, chooser, curve, _SMOOTH.value))
    pictures = f"\npictures: {drawn} in {out}" if drawn else ""
    print(f"scores: {out / name}{pictures}{compared}")
    for line in card:
        print(line)
    if asked:
        _output.results(report=page)
        print(f"report: {page}")


if __name__ == "__main__":
    _cli.run(main)
