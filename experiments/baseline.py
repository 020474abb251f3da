"""Trains and keeps a baseline: forest, boosting, logistic regression, or dates alone.

    python -m experiments.baseline --config configs/baselines/forest.py --workdir W \
        --config.data_dir=DIR --config.dataset=isrc

It learns from pixels as of dates drawn as for a network, so that one model serves every date;
`evaluate` and `predict` take its workdir as any other. What is written is whole: interrupted, it
leaves nothing, and run again when it is done, it says so.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _flags, _output

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "File of settings; a Python program.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder that the run writes to.", required=True)
_SCHEDULER = _flags.define_scheduler("computes features of pixels")
_cli.extensible()
flags.mark_flag_as_required("config")


def _train(data, config: dict, workdir: str, scheduler) -> None:
    """Trains with a progress bar."""
    from cropmap_jax.baselines import keeping

    with _cli.progress(None, total=None, unit="pixel", desc="read") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done == total:
                bar.close()

        if not keeping.train(data, config, workdir, progress, bar.write, scheduler):
            bar.write("finished already: nothing to do")


def main(_):
    from cropmap_jax.baselines import keeping, storage
    from cropmap_jax.data import dataset
    from cropmap_jax.geo import files, processes
    from cropmap_jax.product import keeping as cards
    from cropmap_jax.runs import training

    config, workdir = _CONFIG.value.to_dict(), _WORKDIR.value
    keeping.check(config)
    training.check_folders(workdir, {"--config.data_dir": config["data_dir"]}, "the baseline")
    data = dataset.open_dataset(config["data_dir"], config["dataset"], **dataset.view_of(config))
    keeping.make_recipe(config, data)  # what is wrong with it shows before anything is made
    with (
        processes.stoppable(),
        _cli.open_scheduler(_SCHEDULER.value) as scheduler,
        files.Lock(workdir, "--workdir"),
    ):
        files.tidy(files.local("--workdir", workdir), {storage.FOLDER})
        _train(data, config, workdir, scheduler)
        card = cards.refresh(workdir, storage.load(workdir), data)
    _output.results(workdir=workdir, baseline=storage.folder(workdir))
    print(
        f"baseline: {storage.folder(workdir)}\n{card}\n"
        f"next: python -m experiments.evaluate --workdir {workdir} --crop {data.legend.names[0]}"
    )


if __name__ == "__main__":
    _cli.run(main)
