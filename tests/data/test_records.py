"""Reading in parts against TFDS's own reading, and the errors of files that are damaged."""

import importlib
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from cropmap_jax.data import (
    cube_builder,
    dataset,
    input_pipeline,
    read_plan,
    records,
    shards,
    tf_example,
)
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import as_of_windows

SPLITS = ("train", "train", "validation")
LABEL = np.random.default_rng(0).integers(0, 256, (40, 72)).astype(np.uint8)

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Chips of 32 pixels: records of several blocks of 64 KiB, which no two begin alike; two
    files for the two cubes of the training split."""
    root = tmp_path_factory.mktemp("records")
    making.make_cubes(root / "cubes", SPLITS, size=(72, 40))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_plan, "SHARD_BYTES", 6 * 32**2 * (24 * len(making.PERIODS) + 6))
        cube_builder.build(builder, "small", root / "cubes", root / "data", chip=32)
    return root / "data"


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    return tmp_path / "data"


def opened(folder) -> dataset.Dataset:
    return dataset.open_dataset(folder, "cubes/small")


def files(data: dataset.Dataset, split: str) -> list[pathlib.Path]:
    return sorted(data.path.glob(f"*-{split}.array_record*"))


def reference(data: dataset.Dataset, split: str):
    return tfds.builder_from_directory(str(data.path)).as_data_source(split)


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in b:
        assert type(a[key]) is type(b[key]), key
        if isinstance(b[key], dict):
            assert_same(a[key], b[key])
            continue
        if isinstance(b[key], np.ndarray):
            assert (a[key].dtype, a[key].shape) == (b[key].dtype, b[key].shape), key
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def compress(data: dataset.Dataset, split: str) -> None:
    """Writes a split again as TFDS would by itself."""
    for file in files(data, split):
        reader = array_record_module.ArrayRecordReader(str(file))
        found = reader.read_all()
        reader.close()
        write(file, found, "group_size:1")


def write(file, found: list[bytes], options: str = "group_size:1,uncompressed") -> None:
    writer = array_record_module.ArrayRecordWriter(str(file), options)
    for record in found:
        writer.write(record)
    writer.close()


def test_every_record_is_what_tfds_reads(folder):
    data = opened(folder)
    for split in data.chips:
        source, expected = data.source(split), reference(data, split)
        assert isinstance(source, records.Records)
        assert len(source) == len(expected) == len(data.split(split))
        assert len(files(data, split)) == SPLITS.count(split)
        for i in range(len(expected)):
            assert_same(source[i], expected[i])
            np.testing.assert_array_equal(source.label(i), expected[i]["label"])
    # Records of several blocks, so that headers of blocks do lie within them.
    assert expected[0]["s2"].nbytes > 2 * shards.BLOCK
    with pytest.raises(IndexError):
        source[len(expected)]


@pytest.mark.parametrize("kind", ["in parts", "whole"])
def test_every_window_is_that_of_the_whole_record(folder, copy, kind):
    if kind == "whole":
        compress(opened(copy), "train")
        folder = copy
    data = opened(folder)
    source, expected = data.source("train"), reference(data, "train")
    assert isinstance(source, records.Records if kind == "in parts" else records.Whole)
    total = len(expected[0]["periods"])
    for i in range(len(expected)):
        record = expected[i]
        for last in range(total):
            for count in (1, 3, total + 2):
                chosen = np.maximum(np.arange(last - count + 1, last + 1), as_of_windows.MISSING)
                s1 = np.full((count, 32, 32, 2), 7, np.int16)
                s2, label = np.full((count, 32, 32, 10), 7, np.int16), np.zeros((32, 32), np.uint8)
                source.read_window(i, chosen, {"s1": s1, "s2": s2}, label)
                for out, key in ((s1, "s1"), (s2, "s2")):
                    window = as_of_windows.take_window(record[key], chosen, -32768)
                    np.testing.assert_array_equal(out, window)
                np.testing.assert_array_equal(label, record["label"])


def test_every_label_value_survives():
    # Varints as they are written: 127 is a byte, 128 and above are two.
    from tensorflow_datasets.proto import tf_example_pb2

    feature = tf_example_pb2.Example().features.feature["label"]
    feature.int64_list.value.extend(LABEL.ravel().tolist())
    data = np.frombuffer(feature.int64_list.SerializeToString(), np.uint8)
    assert set(LABEL.ravel()) == set(range(256))
    size, at = shards.varint(data.tolist(), 1)
    found = tf_example.small_integers(data[at:])
    assert size == len(data) - at
    np.testing.assert_array_equal(found, LABEL.ravel())
    np.testing.assert_array_equal(tf_example.integers(data[at:]), LABEL.ravel())


def test_integers_of_any_size_and_sign():
    from tensorflow_datasets.proto import tf_example_pb2

    values = [0, 1, 127, 128, 19_000, -1, -(2**31), 2**31 - 1, 2**62]
    feature = tf_example_pb2.Example().features.feature["x"]
    feature.int64_list.value.extend(values)
    data = np.frombuffer(feature.int64_list.SerializeToString(), np.uint8)
    assert tf_example.integers(data[2:]).tolist() == values


def test_training_is_the_same_from_compressed_files(folder, copy):
    compress(opened(copy), "train")
    config = SamplingConfig(num_periods=3, crop=16)
    a, b = (
        list(input_pipeline.training_input(opened(f), config, 2, 1, 0).batches)
        for f in (folder, copy)
    )
    assert len(a) == len(b) > 1
    for one, other in zip(a, b, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: b"", "record 0 is damaged: expected 40 bytes at 24, found 0"),
        (lambda c: c[: len(c) // 2], "record . is damaged: .* the file ends at|found"),
        (lambda c: b"x" * len(c), "record 0 is damaged"),
        (lambda c: bytes(len(c)), "record 0 is damaged"),
    ],
    ids=["empty", "truncated", "something else", "zeros"],
)
def test_a_damaged_file_is_named_before_training_begins(copy, damage, message):
    data = opened(copy)
    file, _ = files(data, "train")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{file}: {message}.*--overwrite"):
        input_pipeline.training_input(data, SamplingConfig(3), 2, 1, 0)


def test_a_record_that_is_no_chip_is_named(copy):
    data = opened(copy)
    file, _ = files(data, "train")
    reader = array_record_module.ArrayRecordReader(str(file))
    found = reader.read_all()
    reader.close()
    from tensorflow_datasets.proto import tf_example_pb2

    short = tf_example_pb2.Example.FromString(found[1])
    value = short.features.feature["s2"].bytes_list.value
    value[0] = value[0][:-2]
    lacking = tf_example_pb2.Example.FromString(found[2])
    del lacking.features.feature["label"]
    bad = [found[0], short.SerializeToString(), lacking.SerializeToString(), b"no example at all"]
    write(file, bad + found[4:])
    source = data.source("train")

    def read_window(i):
        s1, s2 = (np.empty((2, 32, 32, bands), np.int16) for bands in (2, 10))
        source.read_window(i, np.arange(2), {"s1": s1, "s2": s2})

    read_window(0)
    for i, message in (
        (1, "expected more than 1 periods of 20480 bytes, found"),
        (2, "it has no feature 'label'"),
        (3, "it is no tf.train.Example"),
    ):
        with pytest.raises(ValueError, match=f"{file}: record {i} is damaged: {message}"):
            read_window(i)
        with pytest.raises(ValueError, match=f"{file}: record {i} is damaged: .*--overwrite"):
            source[i]


def test_a_truncated_compressed_file_is_named(copy):
    data = opened(copy)
    compress(data, "train")
    file, _ = files(data, "train")
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes(1000) + content[1200:])
    with pytest.raises(ValueError, match=f"{data.path}.*record 0 .*--overwrite"):
        data.source("train")[0]


def test_a_file_that_shrinks_while_it_is_read_is_named(copy):
    data = opened(copy)
    source = data.source("train")
    file, _ = files(data, "train")
    with open(file, "r+b") as opened_file:
        opened_file.truncate(1000)
    with pytest.raises(ValueError, match=f"{file}: record 3 is damaged: expected .* bytes at"):
        source[3]


def test_gathered_squares_are_those_of_whole_windows(folder):
    """Many at once, across blocks of the file, its edges and windows that begin early."""
    data = opened(folder)
    source, rng = data.source("train"), np.random.default_rng(0)
    count, side, periods = 500, 5, 4
    chips = rng.integers(0, len(source), count)
    rows, cols = rng.integers(-3, 30, (2, count))
    windows = rng.integers(0, len(making.PERIODS), count)[:, None] + np.arange(-3, 1)
    windows = np.maximum(windows, as_of_windows.MISSING).astype(np.int32)

    def read(gather):
        pixels = {
            s.name: np.empty((count, periods, side, side, len(s.bands)), s.dtype)
            for s in data.sensors
        }
        gather(chips, rows, cols, windows, pixels)
        return pixels

    found, slow = read(source.gather), read(records.Whole(source, data.sensors).gather)
    for sensor in data.sensors:
        name, nodata = sensor.name, sensor.nodata
        np.testing.assert_array_equal(found[name], slow[name])
        for i in range(0, count, 25):
            whole = np.empty((periods, 32, 32, len(sensor.bands)), sensor.dtype)
            source.read_window(int(chips[i]), windows[i], {name: whole})
            padded = np.pad(
                whole, [(0, 0), (5, 5), (5, 5), (0, 0)], constant_values=nodata
            )  # fmt: skip
            at = slice(rows[i] + 5, rows[i] + 5 + side), slice(cols[i] + 5, cols[i] + 5 + side)
            np.testing.assert_array_equal(found[name][i], padded[:, at[0], at[1]])


def test_a_file_that_becomes_shorter_is_named(copy):
    data = opened(copy)
    source = data.source("validation")
    pixels = {s.name: np.empty((1, 1, 1, 1, len(s.bands)), s.dtype) for s in data.sensors}
    zero, window = np.zeros(1, np.int64), np.zeros((1, 1), np.int32)
    source.gather(zero, zero, zero, window, pixels)
    file = files(data, "validation")[0]
    with open(file, "r+b") as f:
        f.truncate(file.stat().st_size - 1000)
    with pytest.raises(ValueError, match=f"{file.name}: record 0 is damaged: the file became"):
        source.gather(zero, zero, zero, window, pixels)
