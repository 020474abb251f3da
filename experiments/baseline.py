"""Trains a baseline for keeps: forest, boosting, logistic regression, or dates alone.

    python -m experiments.baseline --config configs/baselines/forest.py --workdir W \
        --config.data_dir=DIR --config.dataset=isrc

It learns from pixels as of dates drawn as for a network, so that one model serves every date;
`evaluate` and `predict` take its workdir as any other. What is written is whole: interrupted, it
leaves nothing, and run again when it is done, it says so.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "File of settings; a Python program.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder that the run writes to.", required=True)
_cli.extensible()
flags.mark_flag_as_required("config")

_SETTINGS = (
    "data_dir",
    "dataset",
    "sensors",
    "seed",
    "num_periods",
    "indices",
    "means",
    "dates",
    "draw_by",
    "most_pixels",
    "lead_days",
    "as_of",
    "method",
    "arguments",
)


def _check(config, workdir: str):
    """Requires all settings, and a workdir in which a baseline may lie; returns the latter."""
    from cropmap_jax.data import checks
    from cropmap_jax.geo import files
    from cropmap_jax.training import checkpoints

    checks.keys("--config", config.to_dict(), _SETTINGS, ("fold",))
    for name in ("data_dir", "dataset"):
        checks.text(f"--config.{name}", config[name])
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")
    files.local("--config.data_dir", config.data_dir)
    checks.whole("--config.seed", config.seed, 0, 2**32 - 1)
    checks.whole("--config.lead_days", config.lead_days, *checks.LEAD_DAYS)
    for name in ("sensors", "indices", "means", "as_of"):
        checks.values(f"--config.{name}", config[name])
    found = files.local("--workdir", workdir)
    if found.is_file():
        raise ValueError(f"--workdir {workdir}: expected a folder, found a file")
    files.check_apart({"--workdir": workdir}, {"--config.data_dir": config.data_dir})
    if checkpoints.folder(workdir).exists():
        raise ValueError(
            f"--workdir {workdir}: expected a folder without the checkpoints of a network, found "
            f"{checkpoints.folder(workdir)}; choose another"
        )
    return found


def _recipe(config, data):
    """The recipe that a config describes."""
    from cropmap_jax.baselines import recipe
    from cropmap_jax.baselines.settings import Settings
    from cropmap_jax.geo import sensors

    chosen = tuple(config.indices)
    settings = Settings(
        method=config.method,
        indices=None if chosen == ("all",) else chosen,
        means=tuple(config.means),
        dates=config.dates,
        draw_by=config.draw_by,
        most_pixels=config.most_pixels,
        arguments=config.arguments.to_dict(),
    )
    found = sensors.find(config.sensors, "--config.sensors", data.sensors)
    return recipe.make_recipe(settings, config.num_periods, config.lead_days, data, found)


def _learn(config, data, recipe):
    """The model, and what it was trained on."""
    import time

    from cropmap_jax.baselines import drawing, fitting
    from cropmap_jax.data import input_pipeline

    begun = time.monotonic()
    as_of = input_pipeline.parse_as_of(tuple(config.as_of), "--config.as_of")
    drawing.check_dates(data, "train", recipe.num_periods, config.lead_days, as_of)
    dates = drawing.drawn_dates(data, config.lead_days, as_of)
    with _cli.progress(None, total=None, unit="pixel", desc="read") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        pixels = drawing.training_pixels(
            data,
            "train",
            recipe.features(),
            dates,
            config.draw_by,
            config.most_pixels,
            config.seed,
            copies=True,
            progress=progress,
        )
    print(f"learning from {len(pixels.labels):,} pixels, {pixels.features.shape[1]} features each")
    model = fitting.fit(recipe.settings(), pixels, config.seed, str(data.path))
    return model, {
        "pixels": fitting.counted(pixels, data.legend),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main(_):
    from cropmap_jax.baselines import fitting, storage
    from cropmap_jax.data import dataset
    from cropmap_jax.geo import files, processes

    config = _CONFIG.value
    workdir = _check(config, _WORKDIR.value)
    data = dataset.open_dataset(config.data_dir, config.dataset, config.get("fold"))
    recipe = _recipe(config, data)
    meta = {
        "config": config.to_dict(),
        "dataset": data.fingerprint,
        "cubes": data.ground,
        "unseen_bands": data.unseen_bands,
    }
    with processes.stoppable(), files.Lock(workdir, "--workdir"):
        files.tidy(workdir, {storage.FOLDER})
        if storage.finished(workdir, meta):
            print("finished already: nothing to do")
        else:
            for name in fitting.never_annotated(data, "train"):
                print(f"note: {name}: no annotated pixel in train; it is never predicted")
            model, trained = _learn(config, data, recipe)
            storage.save(workdir, model, recipe, meta | {"trained": trained})
            print(f"done in {trained['seconds']:,} s")
    print(
        f"baseline: {storage.folder(workdir)}\n"
        f"next: python -m experiments.evaluate --workdir {workdir} --crop {data.legend.names[0]}"
    )


if __name__ == "__main__":
    _cli.run(main)
