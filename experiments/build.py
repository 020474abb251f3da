"""Turns a folder of cubes into a TFDS dataset of chips.

    python -m experiments.build --dataset cubes --name belgium --cubes DIR --data_dir DIR

For a cross-validation, annotated ground is divided into folds: whole fields, whole blocks or
squares. The cubes' own splits do not count then; `experiments.crossvalidate` trains every fold.

    python -m experiments.build ... --folds 5 --by field
    python -m experiments.build ... --folds 2 --by checkerboard --side 20

Cubes that come with a land-cover map (`ingest --landcover`, `export`, `simulate`) give pixels that
are none of the classes as only that map says: they are not annotated and never scored, and train
where a config asks for it (config.weak_share).

Checksums are verified; cubes of different legends, overlapping cubes of one season and blocks in
two splits are refused, and so are cubes of different pixel size. A dataset is written under a
temporary name, opened, and renamed when whole; one build of a name runs at a time.
"""

import pathlib

from absl import flags

from experiments import _cli, _flags, _output

DATASETS = ("cubes", "eucropmap", "isrc")
_DATASET = flags.DEFINE_enum("dataset", "cubes", DATASETS, "Kind of dataset.")
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets.", required=True)
_NAME = flags.DEFINE_string("name", "default", "Name, to keep several datasets of one kind.")
_CHIP = flags.DEFINE_integer("chip", 64, "Side of a chip in pixels.", 16, 2**15)
_OVERLAP = flags.DEFINE_integer(
    "overlap", None, "Pixels that neighbouring chips share; default 0, isrc half a chip."
)
_FOLDS = flags.DEFINE_integer("folds", None, "Folds of a cross-validation.", 2, 100)
_BY = flags.DEFINE_enum("by", None, ("field", "block", "checkerboard"), "What folds are made of.")
_SIDE = flags.DEFINE_integer("side", None, "Side of a checkerboard's squares in pixels.", 1, 10**5)
_NONE = flags.DEFINE_list(
    "landcover_none",
    None,
    "Codes of the cubes' land-cover map that are none of the classes; default: those of its table.",
)
_EROSION = flags.DEFINE_integer(
    "landcover_erosion", 1, "Pixels next to other land cover that do not count.", 0, 100
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a dataset of the same name.")
_SCHEDULER = _flags.define_scheduler("cuts cubes into chips")


def _rule():
    """How folds are made; None without folds."""
    from cropmap_jax.geo import folds

    if _FOLDS.value is None:
        for name, given in (("by", _BY.value), ("side", _SIDE.value)):
            if given is not None:
                raise ValueError(f"--{name}: expected --folds with it, found {given} alone")
        return None
    if _BY.value is None:
        raise ValueError(f"--by: expected {', '.join(folds.RULES)} with --folds, found none")
    return folds.Rule(_FOLDS.value, _BY.value, _SIDE.value or 0)


def _landcover():
    """What of the cubes' land-cover maps is taken for none of the classes."""
    from cropmap_jax.geo.landcover import Choice

    if _NONE.value is None:
        return Choice(erosion=_EROSION.value)
    words = [word.strip() for word in _NONE.value if word.strip()]
    for word in words:
        if not word.isdecimal():
            raise ValueError(f"--landcover_none: expected codes such as 50,80, found {word!r}")
    return Choice(tuple(sorted({int(word) for word in words})), _EROSION.value)


def main(_):
    from cropmap_jax.data import builders, cube_builder, dataset
    from cropmap_jax.geo import cube_io, processes

    overlap = builders.overlap_of(_DATASET.value, _CHIP.value, _OVERLAP.value)
    rule = _rule()
    builder_class = builders.load_builder(_DATASET.value)
    with processes.stoppable(), _cli.open_scheduler(_SCHEDULER.value) as scheduler:
        builder, new = cube_builder.build(
            builder_class,
            _NAME.value,
            _CUBES.value,
            _DATA_DIR.value,
            chip=_CHIP.value,
            overlap=overlap,
            overwrite=_OVERWRITE.value,
            progress=True,
            folds=rule,
            landcover=_landcover(),
            scheduler=None if scheduler.is_here else scheduler,
        )
    data = dataset.open_folder(pathlib.Path(builder.data_path))
    print(dataset.describe(data))
    notes = cube_io.note_without_item(_CUBES.value)
    for note in notes:
        print(f"note: {note}")
    _output.results(
        data_dir=_DATA_DIR.value,
        dataset=data.name,
        folder=builder.data_path,
        built=new,
        fingerprint=data.fingerprint,
        notes=notes,
    )
    print(f"{'built' if new else 'already built'}: {builder.data_path}")
    place = f"--data_dir={_DATA_DIR.value} --dataset={data.name}"
    print(f"does it leak? python -m experiments.audit {place}")
    given = f"--config.data_dir={_DATA_DIR.value} --config.dataset={data.name}"
    # A wall-to-wall map is what networks are pretrained on; fields are what they are for.
    verb = "pretrain" if _DATASET.value == "eucropmap" else "finetune"
    print(
        f"next: python -m experiments.{'crossvalidate' if rule else verb} "
        f"--config configs/pixel_series/{verb}.py --workdir WORKDIR {given}"
        f"{' --config.from_scratch=True' if verb == 'finetune' else ''}"
    )


if __name__ == "__main__":
    _cli.run(main)
