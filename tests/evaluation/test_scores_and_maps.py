"""One cube and date give the same probabilities in `evaluate` and in `predict`, without a seam.

The ground: in one zone a test cube of odd size, a training cube next to it and, below both, a
validation cube that begins later; in another zone a small test cube; and in another season a
test cube on the same ground as the first.
"""

import dataclasses
import datetime as dt
import functools
import importlib
import pathlib
import sys

import making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.stand_ins import StandIn
from mapping import small_maps
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.data import cube_builder, dataset, input_pipeline
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.geo import periods
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.inference import engine, predictors, smoothing
from cropmap_jax.inference.predictors import NetworkPredictor
from cropmap_jax.training import checkpoints

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
CROPS = [0, 1, 2]
PERIODS = 6


def begins_later(made, skip: int):
    """The same cube without its first periods."""
    info = dataclasses.replace(made.info, periods=made.info.periods[skip:])
    pixels = {name: values[skip:] for name, values in made.pixels.items()}
    return dataclasses.replace(made, info=info, pixels=pixels)


def make_cubes() -> list:
    whole = making.make_cube("whole", (170, 201), fields=False)
    other = making.make_cube("other", (170, 201), fields=False, seed=5)
    rows, below, left, right = slice(0, 131), slice(131, 170), slice(0, 90), slice(90, 201)
    late = small_maps.piece(whole, "c", below, slice(0, 201), split="validation", block="c")
    far = small_maps.piece(other, "far", slice(0, 20), slice(0, 33), split="test", block="far")
    return [
        small_maps.piece(whole, "a", rows, left, split="test", block="a"),
        small_maps.piece(whole, "b", rows, right, split="train", block="b"),
        begins_later(late, 2),
        small_maps.moved(far, epsg=32640),
        small_maps.piece(other, "n", rows, left, split="test", block="n", season="2022-2023"),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A checkpoint, a folder of cubes, and the dataset built of them."""
    root = tmp_path_factory.mktemp("world")
    recipe = small_maps.make_recipe(norm="group", num_periods=PERIODS)
    workdir = small_maps.save_checkpoint(root / "run", recipe)
    small_maps.write(root / "cubes", *make_cubes())
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "small", root / "cubes", root / "data", chip=64)
    return workdir, root / "cubes", dataset.open_dataset(str(root / "data"), "cubes/small")


@functools.cache
def load_network(workdir, full_batches: bool) -> NetworkPredictor:
    """What both commands would make of the checkpoint; compiled once."""
    return NetworkPredictor(checkpoints.load(workdir), 2, full_batches)


@pytest.fixture(scope="module")
def dates(world):
    """1 June, 2 July and 2 August: windows of six that end with May, June and July."""
    return input_pipeline.as_of_dates(world[2], CROPS, 30)


def mapped(
    monkeypatch, world, out, as_of: dt.date, season: str, smooth: int = 0
) -> dict[str, np.ndarray]:
    """What `predict` decides from: probabilities [H, W, classes] of each cube of a season."""
    workdir, cubes, _ = world
    found: dict[str, np.ndarray] = {}
    asked = smoothing.SmoothedEngine if smooth else engine.Engine
    real = asked.probability

    def probability(self, request):
        values, tiling = real(self, request), request.view.mosaic_group.tiling
        (number,) = tiling.cubes(request.box)
        whole, cube_id = tiling.boxes[number], request.view.mosaic_group.cubes[number].cube_id
        blank = np.full((*whole.shape, values.shape[-1]), -1, np.float32)
        found.setdefault(cube_id, blank)[request.box.inside(whole)] = values
        return values

    with monkeypatch.context() as patched:
        patched.setattr(asked, "probability", probability)

        def load(restored, batch_size, full_batches):
            assert batch_size == 2
            return load_network(workdir, full_batches)

        patched.setattr(predictors, "NetworkPredictor", load)
        options = {"as_of": as_of.isoformat(), "season": season, "smooth": smooth}
        small_maps.make_map(workdir, cubes, out, **options)
    return found


def evaluated(world, dates, split: str, full_batches: bool, **options) -> dict[str, np.ndarray]:
    """What `evaluate` scores: probabilities [H, W, crops] of each cube, each as of its date."""
    workdir, _, data = world
    predictor = load_network(workdir, full_batches)
    common = (predictor, split, data, PERIODS, CROPS, dates)
    found = cube_predictions.predict_dataset(*common, **options)
    return {prediction.cube_id: prediction.probability for prediction in found}


def test_evaluate_and_predict_agree(monkeypatch, world, dates, tmp_path):
    expected = {}
    for crop, date in enumerate(dates[0]):
        as_of = periods.from_day(int(date))
        for season in ("2021-2022", "2022-2023"):
            out = tmp_path / f"{crop}{season}"
            for cube_id, found in mapped(monkeypatch, world, out, as_of, season).items():
                expected.setdefault(cube_id, []).append(found[..., crop])
    assert sorted(expected) == ["a", "b", "c", "far", "n"]
    for split, cubes in (("test", ["a", "far", "n"]), ("train", ["b"]), ("validation", ["c"])):
        same, free = (evaluated(world, dates, split, full) for full in (True, False))
        assert sorted(same) == cubes
        for cube_id, found in same.items():
            wanted = np.stack(expected[cube_id], -1)
            # Batches of the same shape are the same program.
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_allclose(free[cube_id], wanted, atol=5e-6)
            assert np.ptp(wanted[np.isfinite(wanted)]) > 1e-3


def test_what_is_scored_is_smoothed_as_the_map_is(monkeypatch, world, dates, tmp_path):
    as_of = periods.from_day(int(dates[0, 0]))
    expected = mapped(monkeypatch, world, tmp_path, as_of, "2021-2022", smooth=5)
    smoothed = smoothing.Smoothing(5)
    found = evaluated(world, dates, "test", True, smoothed=smoothed)
    # Of a cube that nobody looks at, annotated pixels alone: they are what they are among all.
    known = evaluated(
        world, dates, "test", True, smoothed=smoothed, shown=lambda index, label: False
    )
    plain = evaluated(world, dates, "test", True)
    for name in ("a", "far"):
        np.testing.assert_array_equal(found[name][..., 0], expected[name][..., 0])
        there = np.isfinite(known[name])
        np.testing.assert_array_equal(known[name][there], found[name][there])
        assert 0 < there.sum() < there.size
    assert np.nanmax(np.abs(found["a"] - plain["a"])) > 1e-4


def test_neighbours_matter_and_other_seasons_do_not(world, dates):
    """Else the comparison above would show little."""
    data = world[2]
    alone = dataclasses.replace(data, cubes=[row | {"season": row["id"]} for row in data.cubes])
    together = evaluated(world, dates, "test", True)
    apart = evaluated((*world[:2], alone), dates, "test", True)
    assert np.nanmax(np.abs(together["a"] - apart["a"])) > 1e-4
    for name in ("far", "n"):
        np.testing.assert_array_equal(together[name], apart[name])


def test_the_cut_of_the_dataset_changes_no_prediction(world, dates, tmp_path):
    """Built again with chips of 100 pixels that overlap."""
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "small", world[1], tmp_path, chip=100, overlap=30)
    other = dataset.open_dataset(str(tmp_path), "cubes/small")
    expected = evaluated(world, dates, "test", True)
    for cube_id, found in evaluated((*world[:2], other), dates, "test", True).items():
        np.testing.assert_array_equal(found, expected[cube_id])


def by_place(examples) -> list[np.ndarray]:
    """Depends on what is seen and on where in the chip it is seen."""
    out = []
    for example in examples:
        height, width = example["wanted"].shape
        place = np.arange(height)[:, None] + np.arange(width) / 7
        number = example["pixels"]["s1"][-1, ..., small_data.NUMBER]
        out.append(np.stack([place, number, place * 0], -1))
    return out


SHAPES = ((20, 28), (12, 28), (20, 7), (9, 9))


def patchwork(chip: int, overlap: int) -> small_data.InMemory:
    """Three cubes that touch, of two splits, and one apart."""
    rng = np.random.default_rng(0)
    states = np.array([0, 1, IGNORE, IGNORE], np.uint8)
    splits = ("test", "train", "test", "test")
    made = [Ground(s, rng.choice(states, shape)) for s, shape in zip(splits, SHAPES, strict=True)]
    data = small_data.make_dataset(made, chip=chip, overlap=overlap)
    for row, (down, right) in zip(data.cubes, ((0, 0), (20, 0), (0, 28), (0, 500)), strict=True):
        row["transform"][2] = 500_000.0 + 10 * right
        row["transform"][5] = 6_000_000.0 - 10 * down
    return data


def predict_patchwork(data, look: bool):
    dates = np.full((4, 1), day("2022-06-01"))
    predictor, shown = StandIn(by_place, halo=4), lambda index, label: look
    return list(cube_predictions.predict_dataset(predictor, "test", data, 2, [0], dates, shown))


@given(data=st.data(), look=st.booleans())
@settings(max_examples=25)
def test_no_cut_changes_what_is_predicted(data, look):
    chip = data.draw(st.integers(1, 40))
    overlap = data.draw(st.integers(0, min(chip - 1, 6)))
    expected = predict_patchwork(patchwork(64, 0), look)
    found = predict_patchwork(patchwork(chip, overlap), look)
    for one, other in zip(found, expected, strict=True):
        for field in ("probability", "label", "fields", "seen"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field), field)


def test_there_is_no_seam_at_edges_of_chips_parts_or_cubes():
    """Chips that disagree wholly, 0 and 1 in turn, meet in ramps of 32 pixels."""
    answers = iter([0.0, 1.0] * 10)

    def stubborn(examples):
        return [np.full((*e["wanted"].shape, 3), next(answers)) for e in examples]

    made = [Ground(s, np.zeros((8, 128), np.uint8)) for s in ("test", "train", "test", "test")]
    data = small_data.make_dataset(made, chip=16)
    for i, row in enumerate(data.cubes):
        row["transform"][2] = 500_000.0 + 1280 * i
    dates = np.full((4, 1), day("2022-06-01"))
    found = list(cube_predictions.predict_dataset(StandIn(stubborn), "test", data, 2, [0], dates))
    assert [prediction.index for prediction in found] == [0, 2, 3]
    across = np.concatenate([p.probability[0, :, 0] for p in found[1:]])
    assert np.ptp(across) == 1
    for line in (found[0].probability[0, :, 0], across):
        assert np.abs(np.diff(line)).max() <= 1 / 32 + 1e-6
