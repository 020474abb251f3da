"""Whole cubes of a dataset, each crop as of its own date."""

import datetime as dt

import in_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.stand_ins import StandIn
from training import small_data, small_runs
from training.small_data import NUMBER, PERIOD, Ground, day

from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.evaluation.as_of_groups import window_groups
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import predictors
from cropmap_jax.training import steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.scaling import scale

SHAPE = (20, 28)
"""Two and a half chips by three and a half."""


def grounds(count=2) -> list[Ground]:
    rng = np.random.default_rng(0)
    states = np.array([0, 1, 2, 254, IGNORE], np.uint8)
    return [
        Ground("test", rng.choice(states, SHAPE), rng.integers(0, 9, SHAPE).astype(np.uint32))
        for _ in range(count)
    ]


def say_where_and_when(examples: list[dict]) -> list[np.ndarray]:
    """ "Probabilities" number + 10,000 x (last period seen) + 100,000 x class, of each pixel."""
    last = [e["pixels"]["s1"][-1].astype(float) for e in examples]
    numbers = [values[..., NUMBER] + 10_000 * values[..., PERIOD] for values in last]
    return [n[..., None] + 100_000.0 * np.arange(3) for n in numbers]


def predict(data, crops, dates, predictor=None, num_periods=3, **options):
    predictor = predictor or StandIn(say_where_and_when)
    found = cube_predictions.predict_dataset(
        predictor, "test", data, num_periods, crops, dates, **options
    )
    return sorted(found, key=lambda prediction: prediction.index)


@pytest.mark.parametrize("overlap", [0, 3])
def test_every_pixel_comes_back_to_its_place_as_of_the_date_of_its_crop(overlap):
    made = grounds()
    data = small_data.make_dataset(made, overlap=overlap)
    crops = [2, 0, 1]
    # In the first cube as of 1 June (May, period 4, has ended), 1 March and 1 June; in the second
    # as of 1 July, 1 April and 1 July. The first and the last crop share a group.
    dates = np.array(
        [
            [day("2022-06-01"), day("2022-03-01"), day("2022-06-01")],
            [day("2022-07-01"), day("2022-04-01"), day("2022-07-01")],
        ]
    )
    last = [[4, 1, 4], [5, 2, 5]]
    found = predict(data, crops, dates)
    assert [p.index for p in found] == [0, 1]
    assert [p.cube_id for p in found] == ["cube0", "cube1"]
    for index, (prediction, ground) in enumerate(zip(found, made, strict=True)):
        number = small_data.coordinates(index, 1, SHAPE)[0][0, ..., NUMBER]
        assert prediction.probability.shape == (*SHAPE, 3)
        for i, crop in enumerate(crops):
            expected = number + 10_000.0 * last[index][i] + 100_000.0 * crop
            np.testing.assert_allclose(prediction.probability[..., i], expected, rtol=1e-6)
        np.testing.assert_array_equal(prediction.label, ground.label)
        np.testing.assert_array_equal(prediction.fields, ground.fields)
        np.testing.assert_array_equal(prediction.as_of, dates[index])
        ends = [data.periods(index)[p, 1] for p in last[index]]
        np.testing.assert_array_equal(prediction.window_end, ends)


@pytest.mark.parametrize("overlap", [0, 3])
def test_where_no_sensor_saw_anything_nothing_is_predicted(overlap):
    data = small_data.make_dataset(grounds(1), overlap=overlap)
    for record in data.records["test"]:
        # Of the first column of the cube March is all that was seen, and in S1 alone.
        first = slice(0, 1 if record["col"] == 0 else 0)
        record["s2"][:, :, first] = -32768
        record["s1"][[0, 1, 3, 4, 5, 6, 7], :, first] = -32768
    (found,) = predict(data, [0, 1], np.array([[day("2022-06-01"), day("2022-07-01")]]))
    # March is in the window of three periods that ends with May, not in that which ends with June.
    assert found.seen[..., 0].all()
    assert not found.seen[:, 0, 1].any() and found.seen[:, 1:, 1].all()
    np.testing.assert_array_equal(np.isfinite(found.probability), found.seen)
    assert found.sensors == [{"s1", "s2"}] * 2


def test_examples_hold_no_padding_and_groups_are_numbered():
    def spy(examples):
        assert all((e["pixels"]["s1"][-1] != -32768).all() for e in examples)
        return say_where_and_when(examples)

    dates = np.array([[day("2022-06-01"), day("2022-03-01"), day("2022-06-02")]])
    data = small_data.make_dataset(grounds(1))
    forests, network = (StandIn(spy, per_group=per_group) for per_group in (True, False))
    predict(data, [0, 1, 2], dates, forests)
    # March ends on one of the dates, May on the other two: crops that see the same are one group.
    assert forests.groups == [0, 1] and forests.batches == [[SHAPE], [SHAPE]]
    predict(data, [0, 1, 2], dates, network)
    assert network.groups == [0] and network.batches == [[SHAPE] * 2]


@pytest.mark.parametrize("overlap", [0, 3])
def test_of_a_cube_that_nobody_looks_at_only_annotated_pixels_are_wanted(overlap):
    label = np.full(SHAPE, IGNORE, np.uint8)
    label[6, 10], label[19, 27] = 1, NONE_OF_THESE
    made = [Ground("test", label), Ground("test", np.full(SHAPE, IGNORE, np.uint8)), *grounds(1)]
    data = small_data.make_dataset(made, overlap=overlap)
    spy, asked = StandIn(say_where_and_when), []

    def shown(index, label):
        asked.append(index)
        return bool((label != IGNORE).sum() > 2)

    dates = np.full((3, 1), day("2022-06-01"))
    whole = predict(data, [0], dates)
    some = predict(data, [0], dates, spy, shown=shown)
    assert asked == [0, 1, 2] and sorted(spy.wanted) == [2, SHAPE[0] * SHAPE[1]]
    known = label != IGNORE
    for found, expected in zip(some[:2], whole[:2], strict=True):
        np.testing.assert_array_equal(found.label, expected.label)
        np.testing.assert_array_equal(found.fields, expected.fields)
        assert found.rgb == [] and len(expected.rgb) == 1
        assert found.sensors == ([{"s1", "s2"}] if found.index == 0 else [set()])
    np.testing.assert_array_equal(some[0].probability[known], whole[0].probability[known])
    np.testing.assert_array_equal(some[0].seen[..., 0], known)
    assert np.isnan(some[0].probability[~known]).all() and np.isnan(some[1].probability).all()
    np.testing.assert_array_equal(some[2].probability, whole[2].probability)
    assert len(some[2].rgb) == 1


def test_parts_without_annotation_are_not_predicted():
    label = np.full((130, 260), IGNORE, np.uint8)
    label[5, 5], label[100, 250] = 1, 0
    data = small_data.make_dataset([Ground("test", label)], chip=64)
    spy = StandIn(lambda examples: [np.zeros((*e["wanted"].shape, 3)) for e in examples])
    predict(data, [0], np.full((1, 1), day("2022-06-01")), spy, shown=lambda index, label: False)
    # Parts of 65 x 87 pixels: two by three of them, of which the first and the last are wanted.
    assert sum(map(len, spy.batches)) == 2 and spy.wanted == [1, 1]


def test_seasons_are_kept_apart_and_neighbours_of_other_splits_are_seen():
    shape = (8, 128)
    known, unknown = np.zeros(shape, np.uint8), np.full(shape, IGNORE, np.uint8)
    splits = (("test", known), ("train", unknown), ("test", known), ("validation", unknown))
    data = small_data.make_dataset([Ground(s, label) for s, label in splits], chip=16)
    for i, (col, season) in enumerate(((0, "2022"), (1, "2022"), (0, "2023"), (2, "2022"))):
        data.cubes[i]["transform"][2] = 500_000.0 + 1280 * col
        data.cubes[i]["season"] = season

    def width(examples):
        return [np.full((*e["wanted"].shape, 3), e["wanted"].shape[1], float) for e in examples]

    spy = StandIn(width)
    first, second = predict(data, [0], np.full((4, 1), day("2022-06-01")), spy)
    # 128 pixels and 32 of the neighbour on its right; blended with the neighbour's own chip, whose
    # three cubes are as wide as any, over the last 16. In the other season it stands alone.
    assert (first.probability == 160).all() and (second.probability == 128).all()
    # What is wanted of the neighbour's chip lies in the first cube.
    assert sorted(spy.wanted) == [8 * 16, 8 * 128, 8 * 128]


def test_a_neighbour_that_begins_after_the_date_is_not_seen():
    late = month_periods(dt.date(2022, 6, 1), dt.date(2022, 8, 1))
    label = np.zeros((8, 128), np.uint8)
    data = small_data.make_dataset([Ground("test", label), Ground("train", label, periods=late)])
    data.cubes[1]["transform"][2] = 500_000.0 + 1280

    def width(examples):
        return [np.full((*e["wanted"].shape, 3), e["wanted"].shape[1], float) for e in examples]

    for date, expected in (("2022-06-01", 128), ("2022-07-01", 160)):
        dates = np.full((2, 1), day(date))
        (found,) = predict(data, [0], dates, StandIn(width))
        assert (found.probability == expected).all()


def test_cubes_come_in_strips_and_in_chunks_of_neighbours(monkeypatch):
    monkeypatch.setattr(cube_predictions, "CHUNK_BYTES", 1)
    data = small_data.make_dataset(grounds(5))
    for i, (row, col) in enumerate(((1, 0), (0, 0), (0, 9000), (1, 9000), (0, 1))):
        data.cubes[i]["transform"][2] = 500_000.0 + 1280 * col
        data.cubes[i]["transform"][5] = 6_000_000.0 - 1280 * row
    dates = np.full((5, 2), day("2022-06-01"))
    dates[:, 1] = day("2022-07-01")
    dates[3] = dates[3, ::-1]
    common = "test", data, 3, [0, 1], dates
    found = list(cube_predictions.predict_dataset(StandIn(say_where_and_when), *common))
    assert [prediction.index for prediction in found] == [1, 4, 0, 2, 3]
    monkeypatch.setattr(cube_predictions, "CHUNK_BYTES", 2**30)
    again = list(cube_predictions.predict_dataset(StandIn(say_where_and_when), *common))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)


def test_a_date_before_the_first_period_is_refused():
    data = small_data.make_dataset(grounds(1))
    with pytest.raises(ValueError, match="cube0: as-of 2022-01-31 lies before the end"):
        predict(data, [0], np.full((1, 1), day("2022-01-31")))


def test_window_groups_are_the_crops_with_the_same_windows_in_every_cube():
    data = small_data.make_dataset(grounds(2))
    june, may, late = day("2022-06-01"), day("2022-05-31"), day("2022-06-30")
    dates = np.array([[june, may, late, june], [june, june, june, may]])
    groups = sorted(g.tolist() for g in window_groups(data, dates))
    assert groups == [[0, 2], [1], [3]]


def test_leads_count_from_the_window_to_the_harvest_of_the_cube():
    harvest = [[day("2022-07-01"), 0, day("2022-08-01")]]
    data = small_data.make_dataset(grounds(1), harvest=harvest)
    dates = np.array([[day("2022-06-01"), day("2022-06-01"), day("2022-05-31")]])
    (found,) = predict(data, [0, 1, 2], dates)
    # From 1 June to 1 July; no date; from 1 May (May has not ended) to 1 August.
    assert cube_predictions.leads(data, found, [0, 1, 2]) == [30, None, 31 + 30 + 31]


def test_rgb_is_the_latest_clear_value_of_the_crops_own_window():
    data = small_data.make_dataset([Ground("test", np.zeros((8, 8), np.uint8))])
    (record,) = data.source("test")
    for t in range(8):
        record["s2"][t] = 1000 * t + 100 * np.arange(10)
    record["s2"][4, 0, 0] = -32768
    record["s2"][4, 0, 1, 2] = -32768  # B4 alone
    record["s2"][4, 0, 2, 9] = -32768  # B12, which is not shown
    record["s2"][2:5, 0, 3] = -32768
    dates = np.array([[day("2022-06-01"), day("2022-08-01")]])
    (found,) = predict(data, [0, 1], dates)
    # As of 1 June the window is March, April and May: periods 2 to 4. B4, B3, B2 are bands 2, 1, 0.
    rgb = np.array([200, 100, 0])
    assert found.rgb[0].shape == (8, 8, 3)
    np.testing.assert_allclose(found.rgb[0][1, 1], (4000 + rgb) / 10_000, rtol=1e-6)
    np.testing.assert_allclose(found.rgb[0][0, :2], [(3000 + rgb) / 10_000] * 2, rtol=1e-6)
    np.testing.assert_allclose(found.rgb[0][0, 2], (4000 + rgb) / 10_000, rtol=1e-6)
    assert np.isnan(found.rgb[0][0, 3]).all()
    # As of 1 August it is May to July, periods 4 to 6: all is clear in the last.
    np.testing.assert_allclose(found.rgb[1], np.full((8, 8, 3), (6000 + rgb) / 10_000), rtol=1e-6)


def test_pixels_are_padded_below_and_to_the_right_as_missing():
    s1, s2 = small_data.coordinates(0, 2, (3, 4))
    found = predictors.pad({"s1": s1, "s2": s2}, SENTINEL, 3, 6)
    assert found["s1"].shape == (2, 3, 6, 2) and found["s2"].shape == (2, 3, 6, 10)
    for name, values in (("s1", s1), ("s2", s2)):
        np.testing.assert_array_equal(found[name][:, :, :4], values)
        assert (found[name][:, :, 4:] == -32768).all()


@pytest.mark.usefixtures("float64")
def test_a_checkpoint_predicts_what_its_network_says_whatever_the_batch():
    recipe = small_runs.make_recipe(levels=1)
    variables = steps.init_variables(recipe, 1)
    restored = Restored(**variables, recipe=recipe, config={}, step=1, stage="finetune")
    # 8 pixels high, and 5, which is padded to 6.
    examples = []
    for height in (8, 5):
        s1, s2 = small_data.coordinates(0, 2, (height, 8))
        examples.append(
            {
                "pixels": {"s1": s1, "s2": s2},
                "day_of_year": np.array([106, 136], np.int32),
                "wanted": np.ones((height, 8), bool),
            }
        )
    three = predictors.NetworkPredictor(restored, 3 * jax.local_device_count())
    # Four of the first shape, in batches of three.
    order = [0, 0, 1, 0, 0]
    found = three.predict([examples[i] for i in order])
    apply = jax.jit(recipe.network().apply)
    for i, probability in zip(order, found, strict=True):
        height, width = examples[i]["wanted"].shape
        padded = predictors.pad(examples[i]["pixels"], SENTINEL, height + height % 2, width)
        stored = {name: jnp.asarray(values[None]) for name, values in padded.items()}
        batch = scale({"pixels": stored}, recipe.sensors, recipe.scaling)
        pixels, valid = in_float64.doubled(batch["pixels"]), in_float64.doubled(batch["valid"])
        logits = apply(variables, pixels, valid, examples[i]["day_of_year"][None])
        expected = 1 / (1 + np.exp(-np.asarray(logits)[0, :height, :width]))
        assert probability.shape == (height, width, 3)
        np.testing.assert_allclose(probability, expected, rtol=1e-6)  # probabilities are float32
    assert np.ptp(found[0]) > 0


@pytest.mark.parametrize(
    ("devices", "most", "sizes"),
    [
        (1, 8, {1: 1, 2: 2, 3: 4, 5: 8, 8: 8}),
        (1, 6, {5: 6}),
        (3, 12, {1: 3, 4: 6, 7: 12}),
        (3, 8, {1: 3, 4: 6, 7: 9}),
    ],
)
def test_a_batch_is_no_larger_than_it_need_be(monkeypatch, devices, most, sizes):
    monkeypatch.setattr(predictors.parallel, "local_devices", lambda: devices)
    monkeypatch.setattr(predictors.parallel, "replicate", lambda tree: tree)
    recipe = small_runs.make_recipe()
    restored = Restored({}, {}, recipe=recipe, config={}, step=1, stage="finetune")
    predictor = predictors.NetworkPredictor(restored, most)
    assert {n: predictor._size_for(n) for n in sizes} == sizes
    predictor = predictors.NetworkPredictor(restored, most, full_batches=True)
    # A multiple of the devices.
    assert {predictor._size_for(n) for n in sizes} == {-(-most // devices) * devices}
