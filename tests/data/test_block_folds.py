"""Folds of a dataset that has none: each block in one, and nothing of it in its own training."""

import importlib
import pathlib
import sys

import making
import numpy as np
import pytest

from cropmap_jax.data import block_folds, cube_builder, dataset
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import SENSORS

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Four cubes, each in a block of its own: by their splits, and with two folds by field."""
    root = tmp_path_factory.mktemp("blocks")
    making.make_cubes(root / "cubes", ("train", "train", "validation", "test"), size=(40, 24))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    for name, rule in (("plain", None), ("folds", Rule(2, "field"))):
        cube_builder.build(builder, name, root / "cubes", root / "data", folds=rule, chip=16)
    return root / "data"


def opened(built, name):
    return dataset.open_folder(dataset.newest(str(built), f"cubes/{name}"))


def annotated(data, split):
    """{cube: annotated pixels} as records have them."""
    table, source, found = data.split(split), data.source(split), {}
    for i, cube in enumerate(table.cube.tolist()):
        label = source.label(i)
        # What the table counts is what the record shows.
        assert (label != IGNORE).sum() == table.annotated[i]
        found[cube] = found.get(cube, 0) + int((label != IGNORE).sum())
    return {cube: count for cube, count in found.items() if count}


@pytest.mark.parametrize("count, expected", [(2, 2), (3, 3), (9, 4)])
def test_every_block_is_tested_once_and_then_trains_nothing(built, count, expected):
    data = opened(built, "plain")
    every = {}
    for split in data.chips:
        every |= annotated(data, split)
    found = block_folds.divide(data, count)
    assert found.folds.rule.count == expected and found.folds.rule.by == "block"
    tested = {}
    for fold in range(expected):
        view = found.view(fold)
        assert sorted(view.chips) == ["test", "train"]
        own, rest = annotated(view, "test"), annotated(view, "train")
        assert not set(own) & set(rest) and {**own, **rest} == every
        assert not set(own) & set(tested)
        tested |= own
    assert tested == every


def test_records_of_all_splits_are_those_of_one(built):
    data = opened(built, "plain")
    merged = block_folds.merge(data)
    source, start = merged.source("train"), 0
    assert len(source) == len(merged.chips["train"]) == sum(map(len, data.chips.values()))
    pixels = {"s1": np.zeros((2, 2, 4, 4, 2), np.int16), "s2": np.zeros((2, 2, 4, 4, 10), np.int16)}
    for split in data.chips:
        own = data.source(split)
        for i in (0, len(own) - 1):
            np.testing.assert_array_equal(source[start + i]["s2"], own[i]["s2"])
            np.testing.assert_array_equal(source.fields(start + i), own.fields(i))
        start += len(own)
    # Squares of the first and the last chip, which are of two files.
    chips, corner, windows = np.array([start - 1, 0]), np.array([3, 5]), np.array([[1, 2], [4, 5]])
    source.gather(chips, corner, corner, windows, pixels)
    for row, chip in enumerate(chips):
        for name in pixels:
            at = int(corner[row])
            there = source[int(chip)][name][windows[row], at : at + 4, at : at + 4]
            np.testing.assert_array_equal(pixels[name][row], there)
    assert SENSORS["s1"].name in pixels
    with pytest.raises(IndexError):
        source.label(start)


def test_folds_that_were_built_are_kept_and_none_is_for_validation(built):
    data = opened(built, "folds")
    found = block_folds.divide(data, 5)
    assert found.folds.rule == Rule(2, "field") and found.folds.digest == data.folds.digest
    assert sorted(found.view(0).chips) == ["test", "train"]
