"""Calibrates a run's probabilities on validation data.

    python -m experiments.calibrate --workdir W

Asks the run about every annotated pixel of the validation split, each crop as of its own date, fits
a temperature (or a step function per class, where there is enough), and writes W/calibration.json.
From then on `predict` and `evaluate` use it; --nocalibrate there leaves it out, and so does
removing the file. --test also scores the test split, before and after. --prevalence corrects for
the share of crops that annotation shows and the landscape does not have.
"""

import platform
import shlex
import sys

from absl import flags

from experiments import _cli, _output

_cli.extensible()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "last, best (by macro-F1 of validation) or the number of a step."
)
_SPLIT = flags.DEFINE_string("split", "validation", "Split to fit on; not one trained on.")
_METHOD = flags.DEFINE_enum(
    "method", "auto", ["auto", "temperature", "platt", "isotonic"], "What to fit."
)
_PREVALENCE = flags.DEFINE_string(
    "prevalence",
    None,
    "How common classes are on all ground: CSV of class,share (with none_of_these), or estimate.",
)
_TEST = flags.DEFINE_bool("test", False, "Score the test split, before and after.")
_TRAINING_GROUND = flags.DEFINE_bool(
    "allow_training_ground", False, "Fit on, or score, ground that was trained on."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets; default: as in training.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset; default: as in training.")
_FOLD = flags.DEFINE_integer("fold", None, "Fold of the dataset; default: as in training.")
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all, instead of the calendar.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Chips per step.", lower_bound=1)

ESTIMATE = "estimate"
_TEST_SPLIT = "test"


def _open():
    """The run, the dataset, and as-of dates, after all that can be wrong with them."""
    from cropmap_jax import runs
    from cropmap_jax.data import dataset, few_fields, input_pipeline
    from cropmap_jax.evaluation import evaluate, held_out
    from cropmap_jax.geo import files, periods

    workdir = files.local("--workdir", _WORKDIR.value)
    run = runs.open_run(workdir, _CHECKPOINT.value)
    data_dir = _DATA_DIR.value or run.config.get("data_dir")
    name, fold = _DATASET.value, _FOLD.value
    # Another dataset need not have folds, nor those fields.
    view = {} if name else dataset.view_of(run.config)
    view |= {} if fold is None else {"fold": fold}
    name = name or run.config.get("dataset")
    for flag, value in (("data_dir", data_dir), ("dataset", name)):
        if not value:
            raise ValueError(f"--{flag}: expected a value, found none, nor one in the run")
    data = dataset.open_dataset(files.local("--data_dir", data_dir), name, **view)
    run.recipe.check_dataset(data)
    files.check_apart({"--workdir": workdir}, {"the dataset": data.path.parent})
    splits = [_SPLIT.value, *([_TEST_SPLIT] if _TEST.value else [])]
    if _TEST.value and _SPLIT.value == _TEST_SPLIT:
        raise ValueError("--test: expected another --split than test to fit on")
    for split in splits:
        data.split(split)
    if held_out.trained_on(run, data, _SPLIT.value) and not _TRAINING_GROUND.value:
        raise ValueError(
            f"--split {_SPLIT.value}: expected ground that was not trained on, found ground that "
            f"was: probabilities there are too sure; choose another split or dataset, or pass "
            f"--allow_training_ground"
        )
    as_of = None
    if _AS_OF.value:
        as_of = periods.to_day(periods.parse_date(_AS_OF.value, "--as_of"))
    recipe = run.recipe
    crops = list(range(len(recipe.legend)))
    dates = input_pipeline.as_of_dates(data, crops, recipe.lead_days, as_of)
    flag = "--as_of" if _AS_OF.value else ""
    notes = evaluate.check_windows(data, splits, dates, recipe.num_periods, flag)
    notes += few_fields.notes(data)
    return workdir, run, data, dates, notes


def _gather(predictor, run, split, data, dates):
    """Rows of a split; see `dated.gather`."""
    from cropmap_jax.evaluation import dated

    recipe = run.recipe
    outputs = dated.Outputs(len(recipe.legend), recipe.exclusive, recipe.none_of_these)
    cubes = len(set(data.split(split).cube.tolist()))
    with _cli.progress(None, total=cubes, unit="cube", desc=split) as bar:
        return dated.gather(predictor, outputs, split, data, recipe.num_periods, dates, bar.update)


def _wanted_shares(run):
    """Shares of classes of --prevalence FILE, by column; None where there is no file."""
    from cropmap_jax.evaluation import prevalence

    wanted, recipe = _PREVALENCE.value, run.recipe
    if wanted == ESTIMATE and not recipe.exclusive:
        raise ValueError(
            "--prevalence estimate: expected a run whose classes exclude each other, found one "
            "that asks about each alone; give shares in a file"
        )
    if not wanted or wanted == ESTIMATE:
        return None
    # Of classes one by one, none of these is what is left.
    none = recipe.none_of_these or not recipe.exclusive
    shares = prevalence.read(wanted, recipe.legend, none)
    return shares[: len(recipe.legend) + (recipe.exclusive and recipe.none_of_these)]


def _prevalence(shares, found, sample, predictor, run, data, dates):
    """Shares of classes among annotated and all ground, JSON-ready, and ratios; None without."""
    from cropmap_jax.evaluation import landscape, prevalence

    wanted = _PREVALENCE.value
    if not wanted:
        return None, ()
    outputs = sample.outputs
    known = prevalence.annotated(sample)
    names = [*run.recipe.legend.names, *([prevalence.NONE] if outputs.has_none else [])]
    if shares is None:
        group = landscape.best_date(found, sample)
        with _cli.progress(None, total=len(data.cubes), unit="cube", desc="all ground") as bar:
            whole = landscape.gather(
                predictor,
                outputs,
                data,
                run.recipe.num_periods,
                dates,
                sample.groups[group],
                bar.update,
            )
        shares = prevalence.estimate(landscape.rescaled(found.calibration, whole), known)
    print(prevalence.table(names, known, shares))
    rows = {
        "source": wanted,
        "annotated": dict(zip(names, map(float, known), strict=True)),
        "all_ground": dict(zip(names, map(float, shares), strict=True)),
    }
    return rows, prevalence.ratios(shares, known, outputs.exclusive)


def _notes(run, sample, found) -> list[str]:
    """What the reader should know about the ground of the fit."""
    from cropmap_jax.evaluation import calibrating, prevalence

    counts, notes = sample.fields_of(), []
    lacking = [n for n, c in zip(run.recipe.legend.names, counts, strict=False) if not c]
    if lacking:
        notes.append(
            f"{_SPLIT.value} has no field of {', '.join(lacking)}: nothing was seen of how sure "
            f"the run is where these grow"
        )
    names = [*run.recipe.legend.names, *([prevalence.NONE] if sample.outputs.has_none else [])]
    unknown = [n for n, c in zip(names, counts, strict=False) if not c]
    if unknown and _PREVALENCE.value:
        notes.append(
            f"{_SPLIT.value} has no annotated pixel of {', '.join(unknown)}: --prevalence leaves "
            f"its odds as they are, unless its share is 0"
        )
    each = found.how["temperature_of_blocks"]
    if len(each) > 1:
        notes.append(
            f"single blocks of {_SPLIT.value} would have temperatures of {min(each):.2f} to "
            f"{max(each):.2f}: other places differ from each other as much, or more"
        )
    if sample.blocks < calibrating.MIN_BLOCKS:
        notes.append(
            f"{_SPLIT.value} has {sample.blocks} block{'s' * (sample.blocks > 1)}, fewer than "
            f"{calibrating.MIN_BLOCKS}: cross-validated over fields, whose neighbours are in other "
            f"folds; elsewhere the error is larger"
        )
    return notes


def _score_test(workdir, run, data, predictor, dates, found, thresholds, blocks):
    """Scores the test split, and writes JSON and a picture."""
    from cropmap_jax.evaluation import calibrating, calibration_scores, report

    sample = _gather(predictor, run, _TEST_SPLIT, data, dates)
    if not len(sample):
        raise ValueError(
            f"{data.path}: expected annotated pixels in test that were seen, found none"
        )
    common = (list(run.recipe.legend.names), blocks)
    before = calibration_scores.score(sample, sample.probability, *common, thresholds)
    whole = calibrating.rescaled(found.calibration, sample)
    after = calibration_scores.score(sample, whole, *common, thresholds)
    file = workdir / "evaluation" / "calibration.json"
    report.write_json(
        file,
        {
            "dataset": data.name,
            "split": _TEST_SPLIT,
            "step": run.step,
            "fields": sample.fields,
            "blocks": sample.blocks,
            "before": before,
            "after": after,
        },
    )
    titles = {c.name: c.title for c in run.recipe.legend.classes}
    calibration_scores.draw(file.with_suffix(".png"), titles, _TEST_SPLIT, before, after)
    print(f"\n{_TEST_SPLIT}: {sample.fields} fields in {sample.blocks} blocks")
    if _PREVALENCE.value:
        print("without the correction of shares, which annotated pixels cannot judge")
    print(calibration_scores.table(before, after))
    print(f"scores: {file}\npicture: {file.with_suffix('.png')}")


def _fit(data, sample):
    """The calibration, before any correction of shares; an error names the split."""
    from cropmap_jax.evaluation import calibrating

    try:
        return calibrating.calibrate(sample, _METHOD.value)
    except ValueError as error:
        where = "" if str(error).startswith("--") else f"{data.path}, {_SPLIT.value}: "
        raise ValueError(f"{where}{error}") from error


def _ground(data, sample) -> dict:
    """What the calibration was fitted on, JSON-ready."""
    return {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "fold": data.fold,
        "split": _SPLIT.value,
        "as_of": _AS_OF.value,
        "fields": sample.fields,
        "blocks": sample.blocks,
        "ground": [cube for cube in data.ground if cube["split"] == _SPLIT.value],
    }


def _provenance() -> dict:
    import jax
    import numpy as np

    import cropmap_jax

    return {
        "command": f"python -m experiments.calibrate {shlex.join(sys.argv[1:])}",
        "cropmap_jax": cropmap_jax.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main(_):
    import dataclasses

    from cropmap_jax import runs
    from cropmap_jax.evaluation import calibration_scores, held_out
    from cropmap_jax.geo import files, processes
    from cropmap_jax.product import keeping
    from cropmap_jax.runs import calibration

    workdir, run, data, dates, notes = _open()
    wanted = _wanted_shares(run)
    if _TEST.value:
        notes += held_out.check(run, data, _TEST_SPLIT, _TRAINING_GROUND.value)[1]
    predictor = runs.predictor_of(run, _BATCH.value)
    with processes.stoppable(), files.Lock(workdir, "--workdir"):
        sample = _gather(predictor, run, _SPLIT.value, data, dates)
        found = _fit(data, sample)
        notes += _notes(run, sample, found)
        blocks = sorted({str(cube["block"]) for cube in data.cubes})
        thresholds = calibration_scores.thresholds_of(found, sample)
        common = (list(run.recipe.legend.names), blocks)
        before = calibration_scores.score(sample, sample.probability, *common)
        after = calibration_scores.score(sample, found.held_out, *common)
        shares, ratios = _prevalence(wanted, found, sample, predictor, run, data, dates)
        fitted = dataclasses.replace(found.calibration, ratios=ratios)
        meta = {
            "calibration": calibration.to_json(fitted),
            "run": calibration.of_run(run),
            "fitted": _ground(data, sample),
            "how": found.how,
            "prevalence": shares,
            "sets": [{"stated": k, "threshold": v} for k, v in thresholds.items()],
            "scores": {
                "before": calibration_scores.summary(before),
                "after": calibration_scores.summary(after),
            },
            "provenance": _provenance(),
        }
        calibration.save(workdir, meta)
        print(f"{_SPLIT.value}, cross-validated over {found.how['folds']}:")
        print(calibration_scores.table(before, after))
        if _TEST.value:
            _score_test(workdir, run, data, predictor, dates, found, thresholds, blocks)
        # A card is of the last checkpoint, which `predict` takes unless told otherwise.
        card = [keeping.refresh(workdir, run, data)] if _CHECKPOINT.value == "last" else []
    for note in notes:
        print(f"note: {note}")
    _output.results(
        workdir=workdir,
        calibration=calibration.path(workdir),
        method=fitted.method,
        scores=meta["scores"],
        notes=notes,
    )
    # By default `predict` takes the last one, which another calibration would be of.
    of = "" if _CHECKPOINT.value == "last" else f" --checkpoint {_CHECKPOINT.value}"
    print(
        f"{calibration.describe(fitted, meta['fitted'], shares)}\n"
        f"calibration: {calibration.path(workdir)}\n"
        + "".join(f"{line}\n" for line in card)
        + f"next: python -m experiments.predict --workdir {workdir}{of} ..., which uses it"
    )


if __name__ == "__main__":
    _cli.run(main)
