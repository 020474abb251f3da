"""Ground is compared, not names: a score of ground trained on does not pass for one of a test."""

import dataclasses
import importlib
import json
import pathlib
import sys

import making
import numpy as np
import pyproj
import pytest
from training import small_data
from training.small_data import Ground

from cropmap_jax.data import cube_builder, dataset
from cropmap_jax.evaluation import held_out
from cropmap_jax.geo import folds
from cropmap_jax.training import checkpoints
from cropmap_jax.training.checkpoints import Restored

ZONE_31 = "EPSG:32631"


def cube(name, x=0.0, y=0.0, size=10, pixel=10.0, crs=ZONE_31, split="train", **more) -> dict:
    """A square of `size` pixels whose upper left corner is (500 km + x, 6,000 km + y)."""
    transform = [pixel, 0.0, 500_000.0 + x, 0.0, -pixel, 6_000_000.0 + y]
    found = {"id": name, "split": split, "season": "2022", "crs": crs, "shape": [size, size]}
    return found | {"transform": transform} | more


def shared(scored, trained):
    return held_out.shared_ground(scored, trained)


def test_the_same_ground_under_another_name_season_grid_and_pixel_size():
    test = cube("a", split="test")  # 100 m x 100 m
    assert shared([test], [cube("b")]).hectares == pytest.approx(1)
    assert shared([test], [cube("b", season="2019")]).scored == ("a",)
    found = shared([test], [cube("b", x=-40, y=15, size=5, pixel=20.0)])
    # From x = -40 to 60 and from y = 15 to -85: 60 m x 85 m of it.
    assert found.hectares == pytest.approx(0.51) and found.trained == ("b (train)",)
    assert found.splits == {"train"}


def test_one_shared_column_is_found_and_a_shared_edge_is_not():
    test = cube("a", split="test")
    assert shared([test], [cube("b", x=90)]).hectares == pytest.approx(0.1)
    for x, y in ((100, 0), (0, -100), (100, 100), (97, 0), (5_000, 0)):
        assert shared([test], [cube("b", x=x, y=y)]) is None
    assert shared([test], []) is None and shared([], [test]) is None


def test_ground_trained_on_twice_counts_once():
    trained = [cube("b"), cube("b2", season="2021"), cube("v", x=50, split="validation")]
    scored = [cube("far", x=900), cube("a", split="test")]
    found = shared(scored, trained)
    assert found.hectares == pytest.approx(1) and found.scored == ("a",)
    assert found.trained == ("b (train)", "b2 (train)", "v (validation)")
    assert found.splits == {"train", "validation"}


def test_ground_of_the_pretraining_is_named():
    found = shared([cube("a", split="test")], [cube("b", stage="pretrain")])
    assert found.trained == ("b (train of pretrain)",)


def test_a_crs_may_be_written_in_two_ways():
    wkt = pyproj.CRS(ZONE_31).to_wkt()
    assert shared([cube("a")], [cube("b", x=97, crs=wkt)]) is None
    assert shared([cube("a")], [cube("b", x=90, crs=wkt)]).hectares == pytest.approx(0.1)


def test_ground_of_two_zones_is_compared():
    # The edge of zones 31 and 32 is 6 degrees east, the central meridian of neither.
    x, y = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(6.0, 50.0)
    other = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(6.0, 50.0)
    size = 128
    test = cube("a", x - 500_000, y - 6_000_000, size)
    there = (other[0] - 500_000, other[1] - 6_000_000)
    found = shared([test], [cube("b", *there, size, crs="EPSG:32632")])
    # One is turned against the other by less than 5 degrees about the common corner.
    assert 0.9 * 163.84 < found.hectares < 163.84
    assert shared([test], [cube("b", there[0] + 3_000, there[1], size, crs="EPSG:32632")]) is None
    # Far outside its zone, on the other side of the earth.
    assert shared([test], [cube("b", *there, size, crs="EPSG:32701")]) is None


def test_ground_on_both_sides_of_the_antimeridian_is_compared():
    size, there = 128, []
    for code in (32660, 32601):
        to_zone = pyproj.Transformer.from_crs(4326, code, always_xy=True)
        x, y = to_zone.transform(179.995, 17.0)
        there.append(cube(f"{code}", x - 500_000, y - 6_000_000, size, crs=f"EPSG:{code}"))
    assert 0.9 * 163.84 < shared(there[:1], there[1:]).hectares < 163.84
    assert 0.9 * 163.84 < shared(there[1:], there[:1]).hectares < 163.84


def test_thousands_of_cubes_are_compared_in_a_tree():
    grid = [cube(f"{i}", x=100 * (i % 80), y=-100 * (i // 80)) for i in range(4800)]
    test = [cube(f"t{i}", x=8000 + 100 * (i % 80), y=-100 * (i // 80)) for i in range(4800)]
    assert shared(test, grid) is None
    found = shared([*test, cube("a", x=50, y=-50)], grid)
    assert found.trained == tuple(f"{i} (train)" for i in (0, 1, 80, 81))
    assert found.hectares == pytest.approx(1)


def checkpoint(cubes=(), dataset="") -> Restored:
    return Restored({}, {}, None, {}, 7, "finetune", dataset, tuple(cubes))


@pytest.fixture
def data():
    """A dataset of a train, a validation and a test cube of 8 x 8 pixels, side by side."""
    label = np.zeros((8, 8), np.uint8)
    made = small_data.make_dataset([Ground(s, label) for s in ("train", "validation", "test")])
    for i, row in enumerate(made.cubes):
        row["transform"] = [10.0, 0.0, 500_000.0 + 80 * i, 0.0, -10.0, 6_000_000.0]
    return dataclasses.replace(made, fingerprint="this")


def swapped(data, a, b):
    names = {a: b, b: a}
    return [row | {"split": names.get(row["split"], row["split"])} for row in data.ground]


def test_the_dataset_trained_on_has_no_note(data):
    found, notes = held_out.check(checkpoint(data.ground, "this"), data, "test")
    assert (found, notes) == ({"trained_on": [], "hectares_trained_on": 0.0}, [])


@pytest.mark.parametrize("other", ["train", "validation"])
def test_a_test_split_of_ground_trained_on_is_refused_unless_allowed(data, other):
    restored = checkpoint(swapped(data, "test", other), "that")
    with pytest.raises(ValueError, match=rf"1 of 1 test cubes \(cube2; 0.64 ha\).*\({other}\)"):
        held_out.check(restored, data, "test")
    found, (note,) = held_out.check(restored, data, "test", allowed=True)
    assert found == {"trained_on": ["cube2"], "hectares_trained_on": 0.64}
    assert "not scores of held-out ground" in note


@pytest.mark.parametrize(
    ("split", "how"), [("train", "trained on"), ("validation", "validated on during training")]
)
def test_a_requested_split_of_training_is_scored_with_a_note(data, split, how):
    found, (note,) = held_out.check(checkpoint(data.ground, "this"), data, split)
    assert len(found["trained_on"]) == 1 and how in note and "not scores of held-out ground" in note


def test_another_dataset_apart_from_the_ground_trained_on_is_noted(data):
    far = [row | {"crs": "EPSG:32639"} for row in data.ground]
    found, (note,) = held_out.check(checkpoint(far, "that"), data, "test")
    assert found["trained_on"] == [] and "cubes/small is not the dataset trained on" in note


def test_a_checkpoint_that_does_not_record_where_it_was_trained(data):
    found, (note,) = held_out.check(checkpoint(), data, "test")
    assert found == {"trained_on": None} and "cannot be checked" in note


@pytest.mark.parametrize(
    "changes", [{"crs": "none"}, {"transform": [1.0]}, {"shape": "x"}, {"shape": None}]
)
def test_ground_that_cannot_be_read_is_named(data, changes):
    restored = checkpoint([data.ground[0] | changes])
    with pytest.raises(ValueError, match="checkpoint of step 7: expected id, split, crs"):
        held_out.check(restored, data, "test")


def test_thresholds_chosen_where_they_look_good_are_noted(data):
    restored = checkpoint(data.ground)
    assert held_out.threshold_notes(restored, data, "test", "validation") == []
    assert held_out.threshold_notes(restored, data, "test", None) == []
    (note,) = held_out.threshold_notes(restored, data, "test", "test")
    assert "its scores are too good" in note
    (note,) = held_out.threshold_notes(restored, data, "test", "train")
    assert "ground that was trained on" in note
    other = checkpoint(swapped(data, "train", "validation"))
    assert held_out.threshold_notes(other, data, "test", "validation")


# Folds.


def in_folds(name, split, numbers, of="same", **more):
    return cube(name, split=split, folds={"of": of, "numbers": numbers}, **more)


def test_folds_of_one_division_share_ground_only_where_they_share_a_fold():
    test = in_folds("a", "test", [0])
    for numbers in ([1], [1, 2], []):
        assert shared([test], [in_folds("a", "train", numbers)]) is None
    found = shared([test], [in_folds("a", "validation", [1]), in_folds("a", "train", [2, 0])])
    assert found.trained == ("a (train)",) and found.splits == {"train"}
    # Another division, or none: only that the cubes share ground is known.
    assert shared([test], [in_folds("a", "train", [1], of="other")]).trained == ("a (train)",)
    assert shared([test], [cube("a")]).scored == shared([cube("a")], [test]).scored == ("a",)


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Views of three folds of a dataset of two cubes, and the same cubes without folds."""
    root = tmp_path_factory.mktemp("divided")
    making.make_cubes(root / "cubes", ("train", "test"), size=(32, 24))
    sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    found = {}
    for name, rule in (
        ("fields", folds.Rule(3, "field")),
        ("squares", folds.Rule(3, "checkerboard", 8)),
        ("whole", None),
    ):
        cube_builder.build(builder, name, root / "cubes", root / "data", chip=16, folds=rule)
        numbers = range(3) if rule else [None]
        found[name] = [dataset.open_dataset(root / "data", f"cubes/{name}", k) for k in numbers]
    return found


def test_a_fold_is_held_out_from_the_network_that_was_trained_without_it(divided):
    for data in divided["fields"]:
        restored = checkpoint(data.ground, data.fingerprint)
        nothing = ({"trained_on": [], "hectares_trained_on": 0.0}, [])
        assert held_out.check(restored, data, "test") == nothing
        assert held_out.threshold_notes(restored, data, "test", "validation") == []
        (note,) = held_out.threshold_notes(restored, data, "test", "train")
        assert "ground that was trained on" in note
        found, _ = held_out.check(restored, data, "train")
        assert found["trained_on"]


@pytest.mark.parametrize(
    ("trained", "scored"),
    [
        (("fields", 1), ("fields", 0)),  # its training
        (("fields", 0), ("fields", 1)),  # its validation
        (("squares", 0), ("fields", 0)),  # another division
        (("whole", 0), ("fields", 0)),
        (("fields", 0), ("whole", 0)),
    ],
)
def test_ground_of_another_fold_is_refused(divided, trained, scored):
    one, other = (divided[name][number] for name, number in (trained, scored))
    with pytest.raises(ValueError, match="test cubes .* lie on ground that the checkpoint was"):
        held_out.check(checkpoint(one.ground, one.fingerprint), other, "test")


def test_what_a_run_began_from_keeps_its_folds(divided):
    first, second = divided["fields"][:2]
    pretrained = checkpoint(first.ground, first.fingerprint)
    began = json.loads(json.dumps(checkpoints.ancestors(pretrained)))
    tuned = checkpoint([*first.ground, *began], first.fingerprint)
    assert held_out.check(tuned, first, "test")[0]["trained_on"] == []
    tuned = checkpoint([*second.ground, *began], second.fingerprint)
    with pytest.raises(ValueError, match="of finetune"):
        held_out.check(tuned, second, "test")
