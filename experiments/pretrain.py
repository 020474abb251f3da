"""Pretrains the network on a labelled dataset, such as EUCROPMAP.

    python -m experiments.pretrain --config configs/pretrain.py --workdir W \
        --config.data_dir=DIR --config.dataset=eucropmap

Run again, it resumes from its last checkpoint; on a signal (Ctrl-C, or SIGTERM of a scheduler) it
saves one and stops.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _train

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "File of settings; a Python program.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder that the run writes to.", required=True)
_cli.extensible()
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.runs import training

    config, workdir = _CONFIG.value, _WORKDIR.value
    training.check(config, workdir, "pretrain")
    _train.start()
    prepared = training.prepare_pretraining(config, workdir)
    folder = "pixel_series/" if prepared.recipe.model["name"] == "pixel_series" else ""
    _train.train(
        prepared,
        workdir,
        f"python -m experiments.finetune --config configs/{folder}finetune.py --workdir W2 "
        f"--config.init_from={workdir} --config.data_dir=DIR --config.dataset=NAME",
    )


if __name__ == "__main__":
    _cli.run(main)
