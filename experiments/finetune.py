"""Swaps the head of a pretrained network and fine-tunes it on partly annotated fields.

    python -m experiments.finetune --config configs/finetune.py --workdir W2 \
        --config.init_from=W --config.data_dir=DIR --config.dataset=isrc

The trunk and the scaling come from the checkpoint; exactly its head is dropped. Settings of the
trunk that config.model gives must be the checkpoint's; its dtype is this run's. Run again, it
resumes from its own last checkpoint and needs the pretrained one no longer.
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
    from cropmap_jax.runs import finetuning

    config, workdir = _CONFIG.value, _WORKDIR.value
    finetuning.check(config, workdir)
    _train.start()
    prepared = finetuning.prepare(config, workdir)
    crop = prepared.data.legend.names[0]
    following = f"python -m experiments.evaluate --workdir {workdir} --crop {crop}"
    _train.train(prepared, workdir, following)


if __name__ == "__main__":
    _cli.run(main)
