"""Whole cubes from chips, each crop as of its own date."""

import in_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import small_data, small_runs
from training.small_data import NUMBER, PERIOD, Ground, day

from cropmap_jax.data import input_pipeline
from cropmap_jax.evaluation import predictions
from cropmap_jax.geo import cube
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
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


def say_where_and_when(examples: list[dict], group: int = 0) -> list[np.ndarray]:
    """ "Probabilities" number + 10,000 x (last period seen) + 100,000 x class, of each pixel."""
    said = [e["s1"][-1, ..., NUMBER] + 10_000.0 * e["s1"][-1, ..., PERIOD] for e in examples]
    return [s[..., None] + 100_000.0 * np.arange(3) for s in said]


def predict(data, crops, dates, predictor=say_where_and_when, num_periods=3):
    return list(predictions.predict_dataset(predictor, "test", data, num_periods, crops, dates))


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


def test_the_values_of_a_chip_take_part_once_where_chips_overlap():
    data = small_data.make_dataset(grounds(1), overlap=3)

    def chip_number(examples, group=0):
        return [np.full((*e["label"].shape, 3), i, np.float32) for i, e in enumerate(examples)]

    (found,) = predict(data, [0], np.full((1, 1), day("2022-06-01")), chip_number)
    # Chips of 8 every 5 pixels, the last pulled back to the edge: rows at 0, 5, 10 and 12, columns
    # at 0, 5, 10, 15 and 20: numbers 0 to 4 in the first row of chips, 5 to 9 in the second.
    assert found.probability[0, 0, 0] == 0
    assert found.probability[0, 6, 0] == 0.5  # chips 0 and 1
    assert found.probability[6, 6, 0] == 3  # chips 0, 1, 5 and 6
    assert found.probability[19, 27, 0] == 19


@pytest.mark.parametrize("overlap", [0, 3])
def test_where_no_sensor_saw_anything_nothing_is_predicted(overlap):
    data = small_data.make_dataset(grounds(1), overlap=overlap)
    for record in data.records["test"]:
        # Of the first column of the cube March is all that was seen, and in S1 alone.
        first = slice(0, 1 if record["col"] == 0 else 0)
        record["s2"][:, :, first] = cube.NODATA
        record["s1"][[0, 1, 3, 4, 5, 6, 7], :, first] = cube.NODATA
    (found,) = predict(data, [0, 1], np.array([[day("2022-06-01"), day("2022-07-01")]]))
    # March is in the window of three periods that ends with May, not in that which ends with June.
    assert found.seen[..., 0].all()
    assert not found.seen[:, 0, 1].any() and found.seen[:, 1:, 1].all()
    np.testing.assert_array_equal(np.isfinite(found.probability), found.seen)
    assert found.sensors == [{"s1", "s2"}] * 2


def test_examples_hold_no_padding_and_groups_are_numbered():
    seen = []

    def spy(examples, group=0):
        seen.append((group, [e["label"].shape for e in examples]))
        assert all((e["s1"][-1] != cube.NODATA).all() for e in examples)
        return say_where_and_when(examples)

    dates = np.array([[day("2022-06-01"), day("2022-03-01"), day("2022-06-01")]])
    predict(small_data.make_dataset(grounds(1)), [0, 1, 2], dates, spy)
    shapes = [(h, w) for h in (8, 8, 4) for w in (8, 8, 8, 4)]
    assert seen == [(0, shapes), (1, shapes)]


@pytest.mark.parametrize("overlap", [0, 3])
def test_of_a_cube_that_nobody_looks_at_only_chips_with_annotation_are_predicted(overlap):
    label = np.full(SHAPE, IGNORE, np.uint8)
    label[6, 10], label[19, 27] = 1, NONE_OF_THESE
    made = [Ground("test", label), Ground("test", np.full(SHAPE, IGNORE, np.uint8)), *grounds(1)]
    data = small_data.make_dataset(made, overlap=overlap)
    asked = []

    def spy(examples, group=0):
        asked.append(len(examples))
        return say_where_and_when(examples)

    dates = np.full((3, 1), day("2022-06-01"))
    whole = predict(data, [0], dates)
    some = list(
        predictions.predict_dataset(
            spy, "test", data, 3, [0], dates, shown=lambda label: (label != IGNORE).sum() > 2
        )
    )
    # Chips of 8 without overlap: one each; every 5 pixels: four around the first, one at the end.
    chips = {0: 12, 3: 20}[overlap]
    assert asked == [{0: 2, 3: 5}[overlap], chips]
    known = label != IGNORE
    for found, expected in zip(some[:2], whole[:2], strict=True):
        np.testing.assert_array_equal(found.label, expected.label)
        np.testing.assert_array_equal(found.fields, expected.fields)
        assert found.rgb == [] and len(expected.rgb) == 1
    np.testing.assert_array_equal(some[0].probability[known], whole[0].probability[known])
    assert np.isnan(some[0].probability[0, 0]).all() and np.isnan(some[1].probability).all()
    np.testing.assert_array_equal(some[2].probability, whole[2].probability)
    assert len(some[2].rgb) == 1


def test_a_date_before_the_first_period_is_refused():
    data = small_data.make_dataset(grounds(1))
    with pytest.raises(ValueError, match="cube0: as-of 2022-01-31 lies before the end"):
        predict(data, [0], np.full((1, 1), day("2022-01-31")))


def test_date_groups_are_the_crops_with_the_same_dates_in_every_cube():
    dates = np.array([[5, 3, 5, 5], [7, 7, 7, 8]])
    groups = sorted(g.tolist() for g in predictions.date_groups(dates))
    assert groups == [[0, 2], [1], [3]]


def test_leads_count_from_the_window_to_the_harvest_of_the_cube():
    harvest = [[day("2022-07-01"), 0, day("2022-08-01")]]
    data = small_data.make_dataset(grounds(1), harvest=harvest)
    dates = np.array([[day("2022-06-01"), day("2022-06-01"), day("2022-05-31")]])
    (found,) = predict(data, [0, 1, 2], dates)
    # From 1 June to 1 July; no date; from 1 May (May has not ended) to 1 August.
    assert predictions.leads(data, found, [0, 1, 2]) == [30, None, 31 + 30 + 31]


def test_rgb_is_the_latest_clear_value_of_the_crops_own_window():
    data = small_data.make_dataset([Ground("test", np.zeros((8, 8), np.uint8))])
    (record,) = data.source("test")
    for t in range(8):
        record["s2"][t] = 1000 * t + 100 * np.arange(10)
    record["s2"][4, 0, 0] = cube.NODATA
    record["s2"][4, 0, 1, 2] = cube.NODATA  # B4 alone
    record["s2"][4, 0, 2, 9] = cube.NODATA  # B12, which is not shown
    record["s2"][2:5, 0, 3] = cube.NODATA
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


def test_crop_example_cuts_and_pads_below_and_to_the_right():
    s1, s2 = small_data.coordinates(0, 2, (3, 4))
    example = {"s1": s1, "s2": s2, "label": np.ones((3, 4), np.uint8), "lead": 5}
    found = predictors.crop_example(example, 2, 6)
    assert found["s1"].shape == (2, 2, 6, 2) and found["s2"].shape == (2, 2, 6, 10)
    np.testing.assert_array_equal(found["s1"][:, :, :4], s1[:, :2])
    np.testing.assert_array_equal(found["s2"][:, :, :4], s2[:, :2])
    assert (found["s1"][:, :, 4:] == cube.NODATA).all()
    assert (found["s2"][:, :, 4:] == cube.NODATA).all()
    assert found["label"].tolist() == [[1, 1, 1, 1, IGNORE, IGNORE]] * 2
    assert found["lead"] == 5


@pytest.mark.usefixtures("float64")
def test_a_checkpoint_predicts_what_its_network_says_whatever_the_batch():
    recipe = small_runs.make_recipe(levels=1)
    variables = steps.init_variables(recipe, 1)
    restored = Restored(**variables, recipe=recipe, config={}, step=1, stage="finetune")
    # 8 pixels high, and 5, which is padded to 6.
    data = small_data.make_dataset([Ground("test", np.zeros((13, 8), np.uint8))])
    examples = [
        predictors.crop_example(
            input_pipeline.make_example(data, record, day("2022-06-01"), 2),
            min(8, 13 - record["row"]),
            8,
        )
        for record in data.source("test")
    ]
    assert [e["label"].shape for e in examples] == [(8, 8), (5, 8)]
    three = predictors.Predictor(restored, 3 * jax.local_device_count())
    # Four of the first shape, in batches of three.
    order = [0, 0, 1, 0, 0]
    found = three([examples[i] for i in order])
    apply = jax.jit(recipe.network().apply)
    for i, probability in zip(order, found, strict=True):
        height, width = examples[i]["label"].shape
        padded = predictors.crop_example(examples[i], height + height % 2, width)
        batch = in_float64.doubled(
            scale({k: jnp.asarray(padded[k][None]) for k in ("s1", "s2")}, recipe.scaling)
        )
        logits = apply(variables, *(batch[k] for k in ("s1", "s2", "s1_valid", "s2_valid")))
        expected = 1 / (1 + np.exp(-np.asarray(logits)[0, :height, :width]))
        assert probability.shape == (height, width, 3)
        np.testing.assert_allclose(probability, expected, rtol=1e-6)  # probabilities are float32
    assert np.ptp(found[0]) > 0


@pytest.mark.parametrize(
    ("devices", "most", "sizes"),
    [(1, 8, {1: 1, 2: 2, 3: 4, 5: 8, 8: 8}), (1, 6, {5: 6}), (3, 12, {1: 3, 4: 6, 7: 12})],
)
def test_a_batch_is_no_larger_than_it_need_be(monkeypatch, devices, most, sizes):
    monkeypatch.setattr(predictors.parallel, "local_devices", lambda: devices)
    predictor = object.__new__(predictors.Predictor)
    predictor._batch_size, predictor._full_batches = most, False
    assert {n: predictor._size_for(n) for n in sizes} == sizes
    predictor._full_batches = True
    assert {predictor._size_for(n) for n in sizes} == {most}
