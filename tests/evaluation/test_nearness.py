"""Test ground next to training ground is said."""

import dataclasses
import types

import numpy as np
import pytest
from training import small_data
from training.small_data import Ground

from cropmap_jax.evaluation import nearness, scoring
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.product import scores

LABEL = np.zeros((8, 8), np.uint8)


def made(*splits, metres=10_000):
    data = small_data.make_dataset([Ground(split, LABEL) for split in splits])
    for i, row in enumerate(data.cubes):
        row["transform"] = [10.0, 0.0, 500_000.0 + metres * i, 0.0, -10.0, 6_000_000.0]
    return data


def test_blocks_that_hold_both_are_named():
    data = made("train", "test", "test")
    assert nearness.notes(data, "test") == []
    data.cubes[1]["block"] = "block0"
    (note,) = nearness.notes(data, "test")
    assert "1 of 2 blocks of test hold ground of train as well (block0)" in note


def test_cubes_nearer_than_a_kilometre_are_counted():
    # 8 pixels of 10 m, so that 80 m of the distance are the cube's own.
    assert nearness.notes(made("train", "test", metres=1090), "test") == []
    (note,) = nearness.notes(made("train", "test", "test", metres=1070), "test")
    assert scores.is_near(note)
    assert note.startswith("1 of 2 test cubes is within 1,000 m of a training cube:")
    apart = made("train", "test", metres=100)
    apart.cubes[0]["crs"] = "EPSG:32632"
    assert nearness.notes(apart, "test") == []


def test_without_another_split_there_is_nothing_to_say():
    assert nearness.notes(made("train"), "train") == nearness.notes(made("test"), "test") == []
    unknown = np.full((8, 8), IGNORE, np.uint8)
    grounds = [Ground("train", unknown), Ground("test", LABEL)]
    assert nearness.notes(small_data.make_dataset(grounds), "test") == []


@pytest.mark.parametrize("dataset, said", [("own", 1), ("", 1), ("another", 0)])
def test_ground_near_a_train_split_that_the_run_never_saw_is_not_said(dataset, said):
    data = dataclasses.replace(made("train", "test", metres=1070), fingerprint="own")
    far = [{"id": "a", "split": "train", "crs": "EPSG:32631", "shape": [8, 8],
            "transform": [10.0, 0.0, 400_000.0, 0.0, -10.0, 5_000_000.0]}]  # fmt: skip
    restored = types.SimpleNamespace(cubes=far, dataset=dataset, step=0)
    ground, found = scoring.check_ground(restored, data, "test", None, False, False)
    assert ground["trained_on"] == []
    assert len([note for note in found if "within 1,000 m of a training cube" in note]) == said
