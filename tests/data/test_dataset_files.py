"""A dataset from elsewhere: nothing of it is imported, and what is damaged is named."""

import copy
import importlib
import json
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from cropmap_jax.data import cube_builder, dataset, input_pipeline
from cropmap_jax.data.sampling import SamplingConfig

CHIP = 16
sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    # As many chips of the same kind in each split, so that only their places tell them apart.
    making.make_cubes(root / "cubes", size=CHIP * 2)
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "default", root / "cubes", root / "data", chip=CHIP)
    return root / "data"


@pytest.fixture
def folder(original, tmp_path):
    shutil.copytree(original, tmp_path / "data")
    return tmp_path / "data" / "cubes" / "default" / "1.0.0"


def opened(folder) -> dataset.Dataset:
    return dataset.open_dataset(folder.parents[2], "cubes")


def refused(folder) -> str:
    with pytest.raises(ValueError) as caught:
        opened(folder)
    message = str(caught.value)
    assert message.startswith(str(folder)) and message.isprintable() and len(message) < 700
    assert message.endswith("; build it again with --overwrite")
    return message


def edit(file: pathlib.Path, place: tuple, value) -> None:
    whole = part = json.loads(file.read_text())
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    file.write_text(json.dumps(whole))


# Classes.


@pytest.mark.parametrize(
    ("module", "place"),
    [
        ("evil", ("pythonClassName",)),
        ("evil1", ("featuresDict", "features", "cube", "pythonClassName")),
    ],
    ids=["whole", "one feature"],
)
def test_a_class_of_somebody_else_is_not_imported(folder, tmp_path, monkeypatch, module, place):
    (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder / "features.json", place, f"{module}.Foo")
    assert "features.json: expected the features of chips of 16 px" in refused(folder)
    assert not (tmp_path / "executed").exists()
    # TFDS itself would run it.
    with pytest.raises(Exception, match="Foo"):
        tfds.builder_from_directory(str(folder))
    assert (tmp_path / "executed").exists()


def test_a_class_is_not_imported_to_read_compressed_records_either(folder, tmp_path, monkeypatch):
    data = opened(folder)
    (file,) = folder.glob("*train*")
    compress(file, file)
    assert len(data.source("train")) == 4
    (tmp_path / "evil2.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder / "features.json", ("pythonClassName",), "evil2.Foo")
    with pytest.raises(ValueError, match=r"features\.json: expected the features"):
        data.source("train")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("features.json", "{", "expected the features of a dataset of chips, found no JSON"),
        ("features.json", None, "expected the features of a dataset of chips, found no file"),
        ("features.json", "[]", "expected the features of chips of 16 px"),
        ("metadata.json", "", "expected a dataset's metadata, found an empty file"),
        ("metadata.json", "[" * 200_000, "found JSON nested too deep"),
        ("metadata.json", "[]", "expected format 1, found None"),
        ("dataset_info.json", "null", "expected a dataset's description, found None"),
    ],
)
def test_a_file_that_is_cut_short_or_lost(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    assert message in refused(folder)


# Files.


def compress(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes records again as TFDS does by itself."""
    reader = array_record_module.ArrayRecordReader(str(source))
    found = reader.read_all()
    reader.close()
    writer = array_record_module.ArrayRecordWriter(str(target), "group_size:1")
    for record in found:
        writer.write(record)
    writer.close()


def test_compressed_records_of_another_split_are_named(folder):
    train, test = (next(folder.glob(f"*-{split}.*")) for split in ("train", "test"))
    compress(test, train)
    message = r"split train: record 1 cannot be read \(expected cube, row and column \[1, 0, 16\]"
    with pytest.raises(ValueError, match=message):
        opened(folder).source("train")[1]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("splits", 0, "filepathTemplate"), "../../x-{SHARD_X_OF_Y}", "splits/0/filepathTemplate"),
        (("name",), "../../cubes", "name: expected a name of letters, digits and '_'"),
        (("splits", 0, "name"), "../train", "expected one of train, validation, test"),
        (("splits", 0, "name"), "test", "found split test twice"),
        (("splits", 0, "shardLengths"), ["4", "0"], "cubes-train.array_record-00000-of-00002"),
        (("splits", 0, "shardLengths"), ["-4"], "expected a number of records, found '-4'"),
        (("splits", 0, "shardLengths"), ["3"], "expected tables of {'train': 3"),
        (("fileFormat",), "tfrecord", "fileFormat: expected 'array_record'"),
        (("version",), "2.0.0", "expected version 1.0.0 (the folder's name), found 2.0.0"),
    ],
)
def test_names_of_files_are_not_taken_from_a_dataset(folder, place, value, message):
    edit(folder / "dataset_info.json", place, value)
    assert message in refused(folder)


@pytest.mark.parametrize("other", ["validation", "test"])
def test_files_of_two_splits_that_were_exchanged_are_named(folder, other):
    train, second = (next(folder.glob(f"*-{split}.*")) for split in ("train", other))
    content = train.read_bytes()
    train.write_bytes(second.read_bytes())
    second.write_bytes(content)
    data = opened(folder)
    message = rf"{train}: record . is damaged: expected cube, row and column \[1, "
    with pytest.raises(ValueError, match=message):
        data.source("train")[0]
    config = SamplingConfig(num_periods=3)
    with pytest.raises(ValueError, match=message):
        for _ in input_pipeline.training_input(data, config, 2, 1, 0).batches:
            pass


@pytest.mark.parametrize("shift", [1, 3])
def test_a_label_that_changed_is_named(folder, shift):
    source = opened(folder).source("train")
    # A label below 128 is a byte, others are two. A pixel becomes another class, or none of three.
    labels = [source.label(i).ravel().tolist() for i in range(len(source))]
    label = next(one for one in labels if min(one) < 3)
    stored = b"".join(bytes([v]) if v < 128 else bytes([v, 1]) for v in label)
    at = next(i for i, v in enumerate(stored) if v < 3 and v != 1)
    new = (2 - stored[at]) if shift == 1 else 3
    file = next(folder.glob("*-train.*"))
    content = file.read_bytes()
    assert content.count(stored) == 1
    changed = stored[:at] + bytes([new]) + stored[at + 1 :]
    file.write_bytes(content.replace(stored, changed))
    changed = opened(folder).source("train")
    for read in (lambda i: changed[i], changed.label):
        with pytest.raises(ValueError, match=f"{file}: record . is damaged: .*expected .* classes"):
            for i in range(len(changed)):
                read(i)


# Metadata.


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("fingerprint",), "x", "fingerprint: expected a SHA-256"),
        (("chip",), 0, "chip: expected a number of pixels from 1 to 32768, found 0"),
        (("chip",), 32, "features.json: expected the features of chips of 32 px"),
        (("period_kind",), 7, "period_kind: expected month, dekad or N days"),
        (("legend", "classes", 0, "colour"), "#zzz", "expected a colour like #a57000"),
        (("legend", "classes", 0, "name"), "rapeseed", "name rapeseed is repeated"),
        (("legend", "classes"), [], "expected 1 to 254 classes"),
        (("harvest",), [[1, 2, 3]], "harvest: expected 3 x 3 integers, found [[1, 2, 3]]"),
        (("harvest",), [], "harvest: expected 3 x 3 integers, found []"),
        (("planting",), [[]], "planting: expected 3 x 3 integers, found [[]]"),
        (("harvest", 0), [1, 2], "harvest: expected 3 x 3 integers"),
        (("harvest", 0, 0), "soon", "harvest: expected 3 x 3 integers"),
        (("harvest", 0, 0), 10**9, "harvest: expected integers from -1000000 to 1000000"),
        (("planting", 0, 0), 10**30, "planting: expected 3 x 3 integers"),
        (("planting", 0, 0), None, "planting: expected 3 x 3 integers"),
        (("cubes",), [], "cubes: expected a list of cubes"),
        (("cubes", 0, "id"), "../x", "cubes/0/id: expected an id"),
        (("cubes", 0, "id"), "train_0", "expected ids that differ, found one twice"),
        (("cubes", 0, "split"), "train", "chips/test: expected chips within cubes of that split"),
        (("cubes", 0, "shape"), [16, 32], "expected chips within cubes"),
        (
            ("cubes", 0, "shape", 0),
            1e300,
            "cubes/0/shape/0: expected 1 to 100000 pixels, found 1e+300",
        ),
        (("cubes", 0, "transform", 0), 30, "cube test_2: expected square north-up pixels"),
        (("cubes", 0, "transform"), [30, 0, 0, 0, -30, 0], "expected pixels of one size, found 10"),
        (("cubes", 0, "periods"), [[1, 2, 3]], "cube test_2: expected N x 2 integers"),
        (("cubes", 0, "periods"), [[]], "cube test_2: expected periods, found none"),
        (("cubes", 0, "crs"), "here", "crs: expected a CRS like EPSG:32639, or as WKT"),
        (("cubes", 0, "crs"), "EPSG:32639\n", "crs: expected a CRS like EPSG:32639, or as WKT"),
        (("cubes", 0, "periods"), [[1, 3], [4, 5]], "cube test_2: expected contiguous periods"),
        (("statistics", "s1", "VV", "missing"), 2, "missing: expected a share from 0 to 1"),
        (("statistics", "s1", "VV", "mean"), "x", "expected a number, or null, found 'x'"),
        (("statistics", "s1"), {}, "statistics: expected bands"),
        (("statistics",), {"s3": {}}, "statistics: expected bands {'s1': ['VV'"),
        (("chips", "test", "cube", 0), 3, "chips/test/cube: expected integers from 0 to 2"),
        (("chips", "test", "cube", 0), -1, "chips/test/cube: expected integers from 0 to 2"),
        (("chips", "test", "cube", 0), 1, "chips/test: expected chips within cubes of that split"),
        (("chips", "test", "row", 0), 32, "found chip 0: cube test_2, row 32, column 0"),
        (("chips", "test", "col"), [0], "chips/test/col: expected 4 integers, found [0]"),
        (("chips", "test", "row"), [], "chips/test/row: expected 4 integers, found []"),
        (("chips", "test", "pixels", 0), [1], "chips/test/pixels: expected 4 x 4 integers"),
        (("chips", "test", "pixels", 0, 0), 257, "expected integers from 0 to 256"),
        (("chips", "test", "pixels", 0), [256, 1, 0, 0], "no more pixels than they have"),
        (("chips", "dev"), {}, "chips: expected one of train, validation, test, found 'dev'"),
        (("chips", "test"), None, "chips/test: expected a table of chips, found None"),
    ],
)
def test_metadata_that_does_not_agree_is_named(folder, place, value, message):
    edit(folder / "metadata.json", place, value)
    assert message in refused(folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("harvest", 0, 0), 19000), (("cubes", 0, "season"), "1999"), (("legend", "name"), "other")],
)
def test_metadata_that_changed_are_refused_however_plausible(folder, place, value):
    edit(folder / "metadata.json", place, value)
    assert "metadata.json: damaged: expected SHA-256" in refused(folder)


def test_metadata_without_a_checksum_are_read(folder):
    meta = json.loads((folder / "metadata.json").read_text())
    assert len(meta.pop("sha256")) == 64
    (folder / "metadata.json").write_text(json.dumps(meta))
    opened(folder)


def test_a_split_without_a_table_is_named(folder):
    meta = json.loads((folder / "metadata.json").read_text())
    del meta["chips"]["train"]
    (folder / "metadata.json").write_text(json.dumps(meta))
    assert "expected tables of {'train': 4, 'validation': 4, 'test': 4} chips" in refused(folder)


def test_no_mutation_of_the_metadata_ends_in_anything_but_a_line(folder):
    """Each part in turn is replaced by what does not belong there, or is lost."""
    good = json.loads((folder / "metadata.json").read_text())

    def places(part, place=()):
        if not isinstance(part, dict | list):
            return
        for key in part if isinstance(part, dict) else range(min(len(part), 2)):
            yield (*place, key)
            yield from places(part[key], (*place, key))

    rng = np.random.default_rng(0)
    every = list(places(good))
    strange = [None, "", "\x00", -1, 1e300, 10**30, [], {}, [[]], [1, 2], True, "A" * 10**4]
    for i in rng.permutation(len(every))[:120]:
        changed = part = copy.deepcopy(good)
        for key in every[i][:-1]:
            part = part[key]
        part[every[i][-1]] = strange[rng.integers(len(strange))]
        (folder / "metadata.json").write_text(json.dumps(changed))
        try:
            dataset.describe(opened(folder))
        except ValueError as error:
            assert str(folder) in str(error), every[i]
