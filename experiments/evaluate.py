"""Scores a fine-tuned network, a kept baseline or several combined, crop by crop, over annotated
pixels and fields.

    python -m experiments.evaluate --workdir W --crop canola        (or --crop all)

Every pixel is judged from the window that ends before `harvest start - lead`; the dataset, the
window and the lead come from the run. --baseline trains others on the spot, a model for each
as-of date, and scores them in the same table. Writes a table, JSON and a picture per test cube
under W/evaluation. Ground that no image shows is counted apart and not scored; a test split that
shares ground with what the checkpoint was trained on is refused.
"""

from absl import flags

from experiments import _cli

_cli.extensible()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "last, best (by macro-F1 of validation) or the number of a step."
)
_CROP = flags.DEFINE_string("crop", None, "Class of the legend, or all.", required=True)
_SPLIT = flags.DEFINE_string("split", "test", "Split to score.")
_LEAD = flags.DEFINE_integer("lead_days", None, "Days before harvest; default: as in training.")
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all, instead of the calendar.")
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
_PICTURES = flags.DEFINE_integer("max_pictures", 20, "Pictures per crop.", lower_bound=0)
_SMOOTH = flags.DEFINE_integer(
    "smooth", 0, "Side in pixels of a window over which probabilities are smoothed; 0 for none."
)
_OUT = flags.DEFINE_string("out", None, "Folder of results; default WORKDIR/evaluation/<split>.")
_MAX_LEAD = 731


def _open():
    """The run, the dataset and the folder of results, after all that can be wrong."""
    from cropmap_jax import runs
    from cropmap_jax.data import dataset
    from cropmap_jax.geo import files
    from cropmap_jax.inference import smoothing

    if _LEAD.value is not None and abs(_LEAD.value) > _MAX_LEAD:
        raise ValueError(
            f"--lead_days: expected {-_MAX_LEAD} to {_MAX_LEAD} (two years), found {_LEAD.value}"
        )
    workdir = files.local("--workdir", _WORKDIR.value)
    out = files.local("--out", _OUT.value or workdir / "evaluation" / _SPLIT.value)
    restored = runs.open_run(workdir, _CHECKPOINT.value)
    data_dir = files.local("--data_dir", _DATA_DIR.value or restored.config["data_dir"])
    name, fold = _DATASET.value, _FOLD.value
    # Another dataset need not have folds, nor those fields.
    view = {} if name else dataset.view_of(restored.config)
    view |= {} if fold is None else {"fold": fold}
    data = dataset.open_dataset(data_dir, name or restored.config["dataset"], **view)
    restored.recipe.check_dataset(data)
    smoothing.find(_SMOOTH.value, restored.recipe.sensors)
    for split in (_SPLIT.value, _THRESHOLD_SPLIT.value or _SPLIT.value):
        data.split(split)
    read = runs.folders(workdir) | {"the dataset": data.path.parent}
    files.check_apart({"--out": out}, read)
    return restored, data, out


def _dates(restored, data, crops: list[int], chooser: str | None):
    """As-of dates of every cube and crop, checked; and notes about them."""
    from cropmap_jax.data import input_pipeline
    from cropmap_jax.evaluation import evaluate
    from cropmap_jax.geo import periods

    as_of = None
    if _AS_OF.value:
        as_of = periods.to_day(periods.parse_date(_AS_OF.value, "--as_of"))
    dates = input_pipeline.as_of_dates(data, crops, _lead(restored), as_of)
    looked = {_SPLIT.value, *([chooser] if chooser else [])}
    looked |= set() if _BASELINE.value == ["none"] else {"train"}
    flag = "--as_of" if _AS_OF.value else ""
    periods_seen = restored.recipe.num_periods
    return dates, evaluate.check_windows(data, sorted(looked), dates, periods_seen, flag)


def _baselines(restored, data):
    """Settings of the baselines that are trained on the spot, by name; and notes about them."""
    from cropmap_jax.baselines import settings

    chosen = settings.find(_BASELINE.value, "--baseline", {"trees": _TREES.value})
    for method in _methods(restored):
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


def _methods(restored) -> dict:
    """By name of each method of the run, its own first, whether its classes exclude each other."""
    from cropmap_jax import runs

    members = runs.parts_of(restored) if _MEMBERS.value else {}
    own = {runs.method_of(restored): restored}
    return {name: one.recipe.exclusive for name, one in (own | members).items()}


def _predictors(restored, data, dates, chosen):
    """Yields (methods as `_methods`, predictor), the run's own first; a baseline is trained when it
    is next."""
    from cropmap_jax import runs
    from cropmap_jax.evaluation import baselines

    own = _methods(restored)
    yield own, runs.predictor_of(restored, _BATCH.value, apart=len(own) > 1)
    recipe = restored.recipe
    for name, settings in chosen.items():
        common = (data, "train", recipe.num_periods, dates, _SEED.value, recipe.sensors)
        yield {name: True}, baselines.train(settings, *common)


def _thresholds(predictor, methods, data, chooser: str | None, smoothed, num_periods, crops, dates):
    """Thresholds of each method by crop, chosen on a split if there is one."""
    from cropmap_jax.evaluation import evaluate, map_scores

    if not chooser:
        return [evaluate.no_thresholds(crops) for _ in methods]
    nobody = [map_scores.watching() for _ in methods]
    found = evaluate.tally_methods(
        predictor, chooser, data, num_periods, crops, dates, nobody, smoothed=smoothed
    )
    return [evaluate.choose_thresholds(tallies, chooser) for tallies, _ in found]


def _score(restored, data, crops: list[int], dates, chooser: str | None, out, written, chosen):
    """Rows of every method, notes, and how many pictures were drawn."""
    from cropmap_jax.evaluation import evaluate, map_scores, notes, report
    from cropmap_jax.inference import smoothing

    smoothed = smoothing.find(_SMOOTH.value, restored.recipe.sensors)
    common = (restored.recipe.num_periods, crops, dates)
    names = [data.legend.names[c] for c in crops]
    rows, noted, album = [], [], None
    for methods, predictor in _predictors(restored, data, dates, chosen):
        each = _thresholds(predictor, methods, data, chooser, smoothed, *common)
        draw, first = [None] * len(methods), album is None
        if album is None:  # pictures are of the run's own method, which comes first
            values = [choice.value for choice in each[0]]
            album = report.Album(data, crops, values, _PICTURES.value, out, written)
            draw[0] = album.add
        maps = [map_scores.tally_for(one, data, crops, dates) for one in methods.values()]
        watching = [
            map_scores.watching(shown.add if shown else None, add)
            for shown, add in zip(maps, draw, strict=True)
        ]
        looks = {"shown": album.wants} if first else {}
        found = evaluate.tally_methods(
            predictor, _SPLIT.value, data, *common, watching, smoothed=smoothed, **looks
        )
        for method, (tallies, leads), thresholds, shown in zip(
            methods, found, each, maps, strict=True
        ):
            rows += evaluate.score_rows(method, names, tallies, leads, thresholds)
            if shown:
                rows += shown.rows(method, names, leads[0])
            # Those of others would be the same: they are about cubes, not about methods.
            noted = noted or notes.score_notes(
                _SPLIT.value, names, tallies, leads, thresholds, restored.recipe.sensors
            )
    return rows, noted, album.drawn


def main(_):
    from cropmap_jax import runs
    from cropmap_jax.data import few_fields
    from cropmap_jax.evaluation import held_out, report
    from cropmap_jax.geo import files

    restored, data, out = _open()
    every = _CROP.value == "all"
    crops = list(range(len(data.legend))) if every else [data.legend.index(_CROP.value)]
    chooser = _THRESHOLD_SPLIT.value
    chooser = chooser or next((s for s in ("validation", "train") if s in data.chips), None)
    ground, noted = held_out.check(restored, data, _SPLIT.value, _TRAINING_GROUND.value)
    noted += held_out.threshold_notes(restored, data, _SPLIT.value, chooser)
    dates, late = _dates(restored, data, crops, chooser)
    baselines, more = _baselines(restored, data)
    noted += late + more + few_fields.notes(data)
    file = out / f"{'all' if every else data.legend.names[crops[0]]}.json"
    with files.Lock(out, "--out"):
        for folder in (out, *(out / name for name in data.legend.names)):
            if folder.is_dir():
                files.tidy(folder)
        written = files.Written(out, "evaluate")
        written.claim(file.name)
        common = (restored, data, crops, dates, chooser, out, written)
        rows, more, drawn = _score(*common, baselines)
        noted += more
        settings = {
            "workdir": str(_WORKDIR.value),
            "method": runs.method_of(restored),
            "step": restored.step,
            "dataset": data.name,
            "fingerprint": data.fingerprint,
            "fold": data.fold,
            "fields_per_class": data.few.per_class if data.few else None,
            "fields_draw": data.few.draw if data.few else None,
            "split": _SPLIT.value,
            "threshold_split": chooser,
            "lead_days": None if _AS_OF.value else _lead(restored),
            "as_of": _AS_OF.value,
            "seed": _SEED.value,
            "smooth": _SMOOTH.value or None,
        }
        if runs.parts_of(restored):
            members = zip(runs.parts_of(restored), restored.weights, strict=True)
            settings |= {"weights": dict(members)}
        report.write_json(file, {"settings": settings | ground, "notes": noted, "scores": rows})
    print(report.score_table(rows))
    for note in noted:
        print(f"note: {note}")
    chosen = any(row["rule"] == "chosen" and not row["threshold_reason"] for row in rows)
    how = f"chosen on {chooser}" if chosen else "by default"
    if _SMOOTH.value:
        how += f"; probabilities smoothed over {_SMOOTH.value} x {_SMOOTH.value} pixels"
    print(f"threshold {how}; only annotated pixels that were seen count")
    print(f"scores: {file}\npictures: {drawn} in {out}")


def _lead(restored) -> int:
    return restored.recipe.lead_days if _LEAD.value is None else _LEAD.value


if __name__ == "__main__":
    _cli.run(main)
