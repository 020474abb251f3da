"""Turns a folder of cubes into a TFDS dataset of chips.

    python -m experiments.build --dataset cubes --name belgium --cubes DIR --data_dir DIR

Checksums are verified; cubes of different legends, overlapping cubes of one season and blocks in
two splits are refused, and so are cubes of different pixel size. A dataset is written under a
temporary name, opened, and renamed when whole; one build of a name runs at a time.
"""

import importlib
import sys

from absl import flags

from experiments import _cli

DATASETS = ("cubes", "eucropmap", "isrc")
_DATASET = flags.DEFINE_enum("dataset", "cubes", DATASETS, "Kind of dataset.")
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets.", required=True)
_NAME = flags.DEFINE_string("name", "default", "Name, to keep several datasets of one kind.")
_CHIP = flags.DEFINE_integer("chip", 64, "Side of a chip in pixels.", 16, 2**15)
_OVERLAP = flags.DEFINE_integer(
    "overlap", None, "Pixels that neighbouring chips share; default 0, isrc half a chip."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a dataset of the same name.")


def load_builder(dataset: str):
    """The builder class of a dataset, from the checkout's or the wheel's `datasets` folder."""
    folder = str(_cli.installed_or_checkout("datasets"))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(f"{dataset}.{dataset}_dataset_builder").Builder


def main(_):
    from cropmap_jax.data import cube_builder, dataset
    from cropmap_jax.geo import processes

    overlap = _OVERLAP.value
    if overlap is None:
        overlap = _CHIP.value // 2 if _DATASET.value == "isrc" else 0
    if not 0 <= overlap < _CHIP.value:
        raise ValueError(f"--overlap: expected 0 to {_CHIP.value - 1}, found {overlap}")
    builder_class = load_builder(_DATASET.value)
    with processes.stoppable():
        builder, new = cube_builder.build(
            builder_class,
            _NAME.value,
            _CUBES.value,
            _DATA_DIR.value,
            chip=_CHIP.value,
            overlap=overlap,
            overwrite=_OVERWRITE.value,
            progress=True,
        )
    data = dataset.open_dataset(_DATA_DIR.value, f"{_DATASET.value}/{_NAME.value}")
    print(dataset.describe(data))
    print(f"{'built' if new else 'already built'}: {builder.data_path}")
    print(
        "next: python -m experiments.pretrain --config configs/pretrain.py --workdir WORKDIR "
        f"--config.data_dir={_DATA_DIR.value} --config.dataset={data.name}"
    )


if __name__ == "__main__":
    _cli.run(main)
