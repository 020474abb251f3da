"""Pretrains the network on a labelled dataset, such as EUCROPMAP.

    python -m experiments.pretrain --config configs/pretrain.py --workdir W \
        --config.data_dir=DIR --config.dataset=eucropmap

Run again, it goes on from its last checkpoint; a signal (Ctrl-C, or SIGTERM of a scheduler) makes
it save one and stop.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _train

_CONFIG = config_flags.DEFINE_config_file("config", None, "Settings.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.training import dataset, steps

    _train.start()
    config, workdir = _CONFIG.value, _WORKDIR.value
    _train.require(config, "data_dir", "dataset")
    data = dataset.open_dataset(config.data_dir, config.dataset)
    recipe = _train.make_recipe(config, data)
    plan = _train.make_plan(config, "pretrain", recipe)
    variables = steps.init_variables(recipe, config.seed, data.unseen_bands)
    _train.train(
        data,
        recipe,
        plan,
        variables,
        workdir,
        "python -m experiments.finetune --config configs/finetune.py --workdir W2 "
        f"--config.init_from={workdir} --config.data_dir=DIR --config.dataset=NAME",
    )


if __name__ == "__main__":
    _cli.run(main)
