"""Scores a fine-tuned network, crop by crop, over annotated pixels and fields.

    python -m experiments.evaluate --workdir W --crop canola        (or --crop all)

Every pixel is judged from the window that ends before `harvest start - lead`; the dataset, the
window and the lead come from the checkpoint. Writes a table, JSON and a picture per test cube
under W/evaluation.
"""

import pathlib

from absl import flags

from experiments import _cli

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
_BASELINE = flags.DEFINE_enum("baseline", "none", ("none", "forest"), "Score a baseline too.")
_TREES = flags.DEFINE_integer("trees", 300, "Trees of the forest.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the forest.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets; default: as in training.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset; default: as in training.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Chips per step.", lower_bound=1)
_PICTURES = flags.DEFINE_integer("max_pictures", 20, "Pictures per crop.", lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "Folder of results; default WORKDIR/evaluation/<split>.")


def main(_):
    from cropmap_jax.evaluation import evaluate, inference, report
    from cropmap_jax.geo import periods
    from cropmap_jax.training import checkpoints, dataset, input_pipeline

    restored = checkpoints.load(_WORKDIR.value, _CHECKPOINT.value)
    recipe, config = restored.recipe, restored.config
    data_dir = _DATA_DIR.value or config["data_dir"]
    data = dataset.open_dataset(data_dir, _DATASET.value or config["dataset"])
    recipe.check_dataset(data)
    every = _CROP.value == "all"
    crops = list(range(len(data.legend))) if every else [data.legend.index(_CROP.value)]
    names = [data.legend.names[c] for c in crops]
    lead = recipe.lead_days if _LEAD.value is None else _LEAD.value
    as_of = None
    if _AS_OF.value:
        as_of = periods.to_day(periods.parse_date(_AS_OF.value, "--as_of"))
    chooser = _THRESHOLD_SPLIT.value
    chooser = chooser or ("validation" if "validation" in data.chips else "train")
    for split in (_SPLIT.value, chooser):
        data.split(split)
    dates = input_pipeline.as_of_dates(data, crops, lead, as_of)
    out = pathlib.Path(_OUT.value or f"{_WORKDIR.value}/evaluation/{_SPLIT.value}")

    methods = {"network": inference.Predictor(restored, _BATCH.value)}
    if _BASELINE.value == "forest":
        from cropmap_jax.evaluation import baselines

        methods["forest"] = baselines.forests(
            data, "train", recipe.num_periods, dates, _SEED.value, _TREES.value
        )
    rows, drawn = [], 0
    for method, predict in methods.items():
        common = (data, recipe.num_periods, crops, dates)
        tallies, _ = evaluate.tally_split(predict, chooser, *common)
        chosen = evaluate.choose_thresholds(tallies)
        album = report.Album(data, crops, chosen, _PICTURES.value, out)
        draw = (album.add, album.wants) if method == "network" else ()
        tallies, leads = evaluate.tally_split(predict, _SPLIT.value, *common, *draw)
        rows += evaluate.score_rows(method, names, tallies, leads, chosen)
        drawn += album.drawn
    settings = {
        "workdir": str(_WORKDIR.value),
        "step": restored.step,
        "dataset": data.name,
        "split": _SPLIT.value,
        "threshold_split": chooser,
        "lead_days": None if as_of else lead,
        "as_of": _AS_OF.value,
        "seed": _SEED.value,
    }
    file = out / f"{'all' if every else names[0]}.json"
    report.write_json(file, {"settings": settings, "scores": rows})
    print(report.score_table(rows))
    print(f"threshold chosen on {chooser}; only annotated pixels count")
    print(f"scores: {file}\npictures: {drawn} in {out}")


if __name__ == "__main__":
    _cli.run(main)
