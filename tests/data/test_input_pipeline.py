"""What an example holds: windows, crops, flips; and that batches are the same for the same seed."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import small_data
from training.small_data import NUMBER, PERIOD, Ground, day

from cropmap_jax.data import dataset, input_pipeline, sampling
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import periods
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import SENTINEL

NODATA = SENTINEL[0].nodata


def one_cube(label=None, **settings) -> small_data.InMemory:
    label = np.zeros((8, 8), np.uint8) if label is None else label
    return small_data.make_dataset([Ground("train", label)], **settings)


# Windows.


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    offset=st.integers(-50, 600),
    num_periods=st.integers(1, 8),
)
def test_an_example_holds_the_last_periods_that_have_ended_and_nothing_later(
    lengths, offset, num_periods
):
    edges = 19_000 + np.cumsum([0, *lengths])
    spans = periods.from_days(np.stack([edges[:-1], edges[1:]], 1))
    data = small_data.make_dataset([Ground("train", np.zeros((2, 2), np.uint8), None, spans)], 2)
    as_of = 19_000 + offset
    ended = [i for i, end in enumerate(edges[1:]) if end <= as_of]
    record = data.source("train")[0]
    if not ended:
        with pytest.raises(ValueError, match="cube0: as-of .* lies before the end of the first"):
            input_pipeline.make_example(data, record, as_of, num_periods)
        return
    example = input_pipeline.make_example(data, record, as_of, num_periods)
    expected = [NODATA] * max(num_periods - len(ended), 0) + ended[-num_periods:]
    assert example["pixels"]["s1"][:, 0, 0, PERIOD].tolist() == expected
    assert example["pixels"]["s2"][:, 1, 1, 9].tolist() == expected
    before = [value == NODATA for value in expected]
    assert (example["pixels"]["s1"] == NODATA).all((1, 2, 3)).tolist() == before
    assert (example["pixels"]["s2"] == NODATA).all((1, 2, 3)).tolist() == before
    assert (example["day_of_year"] == 0).tolist() == before


def test_day_of_year_lead_and_planted_by_hand():
    # On 15 May, January to April 2022 have ended. The middles of those months are the 16th
    # (31 days from the 1st: day 15.5 after it, rounded down), 15 February, 16 March, 16 April:
    # days 16, 31 + 15, 31 + 28 + 16, 31 + 28 + 31 + 16 of the year.
    planting = (0, day("2022-05-15"), day("2022-05-16"))
    data = one_cube(planting=planting)
    example = input_pipeline.make_example(
        data, data.source("train")[0], day("2022-05-15"), 6, harvest=day("2022-07-01")
    )
    assert example["day_of_year"].tolist() == [0, 0, 16, 46, 75, 106]
    assert example["day_of_year"].dtype == np.int32
    # The window ends on 1 May: 31 days of May and 30 of June before 1 July.
    assert example["lead"] == 61
    # Never known is long past; planted on the as-of date is planted; the day after is not.
    assert example["planted"].tolist() == [1, 1, 0]
    assert example["planted"].dtype == np.float32


def test_lead_is_marked_unknown_without_a_harvest_date():
    data = one_cube()
    example = input_pipeline.make_example(data, data.source("train")[0], day("2022-05-15"), 2)
    assert example["lead"] == sampling.LEAD_UNKNOWN


def test_day_of_year_counts_from_the_year_of_the_middle():
    # 22 December to 21 January: 30 days, the middle is 6 January.
    spans = periods.from_days([[day("2021-12-22"), day("2022-01-21")]])
    data = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8), None, spans)])
    example = input_pipeline.make_example(data, data.source("train")[0], day("2022-03-01"), 1)
    assert example["day_of_year"].tolist() == [6]


# Crops.


@given(row=st.integers(0, 7), col=st.integers(0, 7), size=st.integers(1, 8), seed=st.integers(0, 9))
def test_a_random_crop_holds_the_annotated_pixel(row, col, size, seed):
    label = np.full((8, 8), IGNORE, np.uint8)
    label[row, col] = 2
    top, left = sampling.random_corner(label, size, np.random.default_rng(seed))
    assert 0 <= top <= row < top + size <= 8
    assert 0 <= left <= col < left + size <= 8


def test_a_random_crop_reaches_every_place_around_its_pixel():
    label = np.full((8, 8), IGNORE, np.uint8)
    label[4, 4] = 0
    rng = np.random.default_rng(0)
    corners = {sampling.random_corner(label, 3, rng) for _ in range(300)}
    # Upper left corners in rows and columns 2 to 4 hold pixel (4, 4) in a square of 3.
    assert corners == {(r, c) for r in (2, 3, 4) for c in (2, 3, 4)}


def test_a_random_crop_without_annotation_is_drawn_anywhere():
    rng = np.random.default_rng(0)
    label = np.full((8, 8), IGNORE, np.uint8)
    corners = {sampling.random_corner(label, 5, rng) for _ in range(300)}
    assert corners == {(r, c) for r in range(4) for c in range(4)}


def test_crops_cut_images_and_label_alike():
    label = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = small_data.make_dataset([Ground("train", label)] * 5)
    for batch in draw(data, SamplingConfig(num_periods=3, crop=4, augment=False), batch_size=2):
        assert batch["label"].shape == (2, 4, 4)
        for values in (batch["pixels"]["s1"][..., NUMBER], batch["pixels"]["s2"][..., 4]):
            np.testing.assert_array_equal(
                values % 64, np.broadcast_to(batch["label"][:, None], (2, 3, 4, 4))
            )
        np.testing.assert_array_equal(np.diff(batch["pixels"]["s1"][:, :, 0, 0, PERIOD]), 1)


# Batches.


def several(count: int = 5) -> small_data.InMemory:
    return small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))] * count)


def cubes_of(batch) -> list[int]:
    """Which cube each example comes from: its smallest pixel number over 64 pixels a cube."""
    return (batch["pixels"]["s1"][:, -1, :, :, NUMBER].min((1, 2)) // 64).tolist()


def draw(data, config=None, batch_size=1, epochs=2, seed=0) -> list[dict]:
    config = config or SamplingConfig(num_periods=3, crop=4)
    return list(input_pipeline.training_input(data, config, batch_size, epochs, seed).batches)


def assert_same(a: list[dict], b: list[dict]) -> None:
    assert len(a) == len(b) > 0
    for one, other in zip(a, b, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_same_seed_makes_the_same_batches_and_another_seed_others():
    first, again, other = draw(several()), draw(several()), draw(several(), seed=1)
    assert_same(first, again)
    assert [cubes_of(b) for b in first] != [cubes_of(b) for b in other]
    assert any(
        (a["pixels"]["s1"] != b["pixels"]["s1"]).any() for a, b in zip(first, other, strict=True)
    )


def test_an_epoch_holds_every_chip_once_and_the_next_one_differs():
    batches = draw(several())
    order = [cubes_of(b)[0] for b in batches]
    assert sorted(order[:5]) == sorted(order[5:]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:]
    # The same chip is drawn otherwise in the second epoch: another place, turn or date.
    firsts = {n: next(b for b in batches[:5] if cubes_of(b) == [n]) for n in range(5)}
    seconds = {n: next(b for b in batches[5:] if cubes_of(b) == [n]) for n in range(5)}
    assert all((firsts[n]["pixels"]["s1"] != seconds[n]["pixels"]["s1"]).any() for n in range(5))


def test_without_augmentation_an_example_is_the_chip_as_it_is():
    config = SamplingConfig(num_periods=3, augment=False, as_of=(day("2022-04-01"),) * 2)
    for batch in draw(several(), config):
        expected, _ = small_data.coordinates(cubes_of(batch)[0], 8, (8, 8))
        np.testing.assert_array_equal(batch["pixels"]["s1"][0], expected[:3])


def test_all_eight_turns_are_drawn_alike():
    turns = np.concatenate([b["turn"] for b in draw(several(), epochs=40)])
    assert turns.dtype == np.int32
    # 200 draws of 8: each about 25 times.
    counts = np.bincount(turns, minlength=8)
    assert len(counts) == 8 and counts.min() > 10


def test_a_turn_is_drawn_only_if_asked_for():
    assert "turn" not in draw(several(), SamplingConfig(3, augment=False))[0]


def test_periods_and_sensors_go_missing_as_often_as_asked():
    def lost(**settings) -> np.ndarray:
        batches = draw(several(), SamplingConfig(4, **settings), epochs=100)
        return np.stack(
            [[(b["pixels"][s][0] == NODATA).all((1, 2, 3)) for s in ("s1", "s2")] for b in batches]
        )

    # 500 examples of 2 x 4 periods, of which 0.25 are lost: a standard error of 0.007.
    periods_lost = lost(period_dropout=0.25)
    assert periods_lost.shape == (500, 2, 4)
    np.testing.assert_allclose(periods_lost.mean((0, 1)), 0.25, atol=0.05)
    # Of 500 examples 0.4 lose one of the sensors, each of them half: errors of 0.02.
    sensors_lost = lost(sensor_dropout=0.4)
    assert (sensors_lost.all(2) == sensors_lost.any(2)).all()
    sensors_lost = sensors_lost.all(2)
    assert not sensors_lost.all(1).any()
    np.testing.assert_allclose(sensors_lost.mean(0), 0.2, atol=0.06)


@pytest.mark.parametrize("crop", [None, 4])
def test_what_is_dropped_is_missing_and_all_else_is_as_without(crop):
    config = SamplingConfig(4, crop=crop)
    without = draw(several(), config)
    found = draw(several(), dataclasses.replace(config, period_dropout=0.4, sensor_dropout=0.4))
    dropped = 0
    for batch, plain in zip(found, without, strict=True):
        assert batch.keys() == plain.keys()
        for key in plain.keys() - {"pixels"}:
            np.testing.assert_array_equal(batch[key], plain[key], err_msg=key)
        for name, values in batch["pixels"].items():
            missing = values == NODATA
            expected = np.where(missing, NODATA, plain["pixels"][name])
            np.testing.assert_array_equal(values, expected, err_msg=name)
            # Periods go as a whole, and never all of them.
            assert (missing.all((2, 3, 4)) == missing.any((2, 3, 4))).all()
            dropped += missing.all((2, 3, 4)).sum()
        assert (
            (batch["pixels"]["s1"] != NODATA).any((1, 2, 3, 4))
            | (batch["pixels"]["s2"] != NODATA).any((1, 2, 3, 4))
        ).all()
    assert dropped > 10


def test_an_example_of_which_nothing_would_be_left_stays_as_it_is():
    rng = np.random.default_rng(0)
    s1 = rng.integers(-5, 5, (3, 2, 2, 2)).astype(np.int16)
    s2 = rng.integers(-5, 5, (3, 2, 2, 10)).astype(np.int16)
    s1[1], s2[1] = NODATA, NODATA
    none, empty, last = np.zeros(3, bool), np.arange(3) == 1, np.arange(3) == 2

    def after(keep_s1, keep_s2):
        out = {"s1": s1.copy(), "s2": s2.copy()}
        sampling.drop(out, SENTINEL, np.stack([keep_s1, keep_s2]))
        return out["s1"], out["s2"]

    # Nothing stays, or only a period that was empty before.
    for keep in ((none, none), (empty, none), (empty, empty)):
        for found, before in zip(after(*keep), (s1, s2), strict=True):
            np.testing.assert_array_equal(found, before)
    found = after(none, last)
    assert (found[0] == NODATA).all() and (found[1][:2] == NODATA).all()
    np.testing.assert_array_equal(found[1][2], s2[2])


@pytest.mark.parametrize("name", ["period_dropout", "sensor_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(name, value):
    with pytest.raises(ValueError, match=f"config.{name}: expected a number (from 0|below 1)"):
        SamplingConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "num_periods",
            0,
            "config.model.num_periods: expected a whole number from 1 to [0-9]+, found 0",
        ),
        (
            "crops_per_chip",
            0,
            "config.crops_per_chip: expected a whole number from 1 to [0-9]+, found 0",
        ),
        ("crop", -16, "config.crop: expected a whole number from 1 to [0-9]+, found -16"),
        (
            "lead_days",
            10**11,
            "config.lead_days: expected a whole number from -366 to 366, found 1.*",
        ),
        ("augment", 1, "config.augment: expected one of True, False, found 1"),
        ("crop", 0, "config.crop: expected a whole number from 1 to [0-9]+, found 0"),
        ("empty_ratio", -1, "config.empty_ratio: expected a number from 0 to 1e.06, found -1"),
        (
            "empty_ratio",
            float("nan"),
            "config.empty_ratio: expected a number from 0 to 1e.06, found nan",
        ),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        SamplingConfig(**{name: value})


def test_no_generator_draws_what_another_does():
    data, table = several(9), several(9).split("train")
    chosen = np.arange(9)

    def streams(seed: int) -> dict[str, float]:
        """The first number of every generator of two epochs and of the choice of chips."""
        made, make = {"chips": np.random.default_rng(seed).random()}, np.random.default_rng

        def noted(entropy):
            made[str(entropy)] = make(entropy).random()
            return make(entropy)

        sampler = sampling.ExampleSampler(
            data, table, data.source("train"), SamplingConfig(2), chosen, seed
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.random, "default_rng", noted)
            for number in range(2 * len(chosen)):
                sampler[number]
        return made

    for seed in (0, 1, 2, 7):
        found = streams(seed)
        # The choice of chips, two orders, and nine examples of two epochs.
        assert len(found) == 1 + 2 + 2 * 9
        assert len(set(found.values())) == len(found)


def test_no_two_batches_share_memory():
    # A device may read from a batch long after the next one has been made.
    batches = draw(several(), SamplingConfig(3, crop=4, period_dropout=0.1), epochs=4)
    for i, batch in enumerate(batches):
        for other in batches[:i]:
            assert not any(np.shares_memory(batch[k], other[k]) for k in batch)


def test_batches_run_on_over_epochs_and_only_the_last_short_one_is_left_out():
    made = input_pipeline.training_input(several(), SamplingConfig(3, crops_per_chip=3), 4, 2, 0)
    # 5 chips x 3 crops x 2 epochs = 30 examples = 7 batches of 4, and 2 examples left.
    assert made.steps == 7
    assert made.steps_per_epoch == 15 / 4
    drawn = [n for batch in made.batches for n in cubes_of(batch)]
    assert len(drawn) == 28
    assert sorted(drawn[:15]) == sorted([0, 1, 2, 3, 4] * 3)


def test_what_comes_after_a_start_is_what_would_have_come():
    # 5 chips x 4 epochs / 2 = 10 batches.
    whole = draw(several(), batch_size=2, epochs=4)
    for start in (1, 7):
        made = input_pipeline.training_input(several(), SamplingConfig(3, crop=4), 2, 4, 0)
        assert made.steps == 10
        assert_same(list(made.after(start)), whole[start:])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_every_batch(count):
    def after_one(**settings):
        config = SamplingConfig(3, crop=4)
        return list(input_pipeline.training_input(several(), config, 4, 4, 0, **settings).after(1))

    whole = after_one()
    parts = [after_one(shard=(i, count)) for i in range(count)]
    assert len(whole) == 4  # 20 examples: 5 batches, one passed over
    for k, batch in enumerate(whole):
        for i in range(count):
            assert len(parts[i]) == len(whole)
            part = slice(i * 4 // count, (i + 1) * 4 // count)
            own = jax.tree.map(lambda values, part=part: values[part], batch)
            jax.tree.map(np.testing.assert_array_equal, parts[i][k], own)


def test_as_of_is_drawn_over_all_harvest_dates_of_the_legend():
    # Only rye (class 0) is annotated; its harvest is the first of three.
    batches = draw(several(), SamplingConfig(num_periods=3, lead_days=30), epochs=20)
    # 1 July, 1 August and 1 September less 30 days: 1 June, 2 July and 2 August. The windows end
    # on 1 June, 1 July and 1 August: leads of 30, 31 and 31 days; the last period is May, June
    # or July: number 4, 5 or 6.
    seen = [(int(b["lead"][0]), int(b["pixels"]["s1"][0, -1, 0, 0, PERIOD])) for b in batches]
    assert set(seen) == {(30, 4), (31, 5), (31, 6)}
    # 100 draws of 3: each about 33 times.
    assert min(seen.count(s) for s in set(seen)) > 20


def test_leads_are_drawn_up_to_the_longest_lead():
    longer = SamplingConfig(num_periods=3, lead_days=20, max_lead_days=60)
    leads = {int(b["lead"][0]) for b in draw(several(), longer, epochs=20)}
    # As of 2 May to 11 June, 2 June to 12 July, 3 July to 12 August; windows end with a month.
    assert leads == {30, 31, 61, 62}


def test_as_of_does_not_depend_on_the_label():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([1, 2, 254, IGNORE], np.uint8), (5, 8, 8))
    other = small_data.make_dataset([Ground("train", label) for label in labels])
    config = SamplingConfig(num_periods=3)
    for a, b in zip(draw(several(), config), draw(other, config), strict=True):
        assert (a["label"] != b["label"]).any()
        jax.tree.map(np.testing.assert_array_equal, a | {"label": 0}, b | {"label": 0})


def test_as_of_range_is_inclusive_and_has_no_lead():
    first, last = day("2022-03-31"), day("2022-04-01")
    batches = draw(several(), SamplingConfig(num_periods=2, as_of=(first, last)), epochs=8)
    # On 31 March, February was the last to end; on 1 April, March.
    assert {int(b["pixels"]["s1"][0, -1, 0, 0, PERIOD]) for b in batches} == {1, 2}
    assert {int(b["lead"][0]) for b in batches} == {sampling.LEAD_UNKNOWN}


def test_crops_of_classes_with_no_date_are_left_out_of_the_draw():
    data = small_data.make_dataset(
        [Ground("train", np.zeros((8, 8), np.uint8))] * 5, harvest=(0, day("2022-08-01"), 0)
    )
    batches = draw(data, SamplingConfig(num_periods=3), epochs=4)
    assert {int(b["lead"][0]) for b in batches} == {31}


# Which chips.


def table(annotated: list[int]) -> dataset.Chips:
    n = np.arange(len(annotated), dtype=np.int32)
    return dataset.Chips(n, n, n, np.array([[a, 0] for a in annotated], np.int64))


def test_choose_chips_takes_all_annotated_ones_and_a_share_of_the_others():
    chips = table([3, 0, 0, 1, 0, 0, 0, 2])
    assert input_pipeline.choose_chips(chips, 0.0, 0).tolist() == [0, 3, 7]
    # 0.6 x 3 annotated ones = 1.8: two of the five others.
    some = input_pipeline.choose_chips(chips, 0.6, 0)
    assert len(some) == 5 and {0, 3, 7} <= set(some.tolist())
    assert some.tolist() == input_pipeline.choose_chips(chips, 0.6, 0).tolist()
    draws = {tuple(input_pipeline.choose_chips(chips, 0.6, seed)) for seed in range(20)}
    assert len(draws) > 1
    # Never more than there are.
    assert input_pipeline.choose_chips(chips, 9.0, 0).tolist() == list(range(8))


def test_none_of_these_counts_as_annotated():
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, 0] = 254
    assert one_cube(label).split("train").annotated.tolist() == [1]


@pytest.mark.parametrize(
    ("data", "config", "batch_size", "message"),
    [
        (one_cube(), SamplingConfig(crop=9), 1, "config.crop: expected at most 8 .* found 9"),
        (
            one_cube(),
            SamplingConfig(),
            3,
            "config.batch_size: expected at most 2 .*1 chips.* found 3",
        ),
        (
            one_cube(np.full((8, 8), IGNORE, np.uint8)),
            SamplingConfig(),
            1,
            "expected annotated chips, found none among 1",
        ),
        (
            one_cube(harvest=(0, 0, 0)),
            SamplingConfig(),
            1,
            "cube0: found no harvest date .*config.as_of",
        ),
        # 1 July less 160 days is 22 January: no month has ended.
        (
            one_cube(),
            SamplingConfig(lead_days=160),
            1,
            "cube0: as-of 2022-01-22 lies before the end",
        ),
        (
            one_cube(),
            SamplingConfig(as_of=(day("2022-01-31"), day("2022-05-01"))),
            1,
            "cube0: as-of 2022-01-31 lies before the end",
        ),
    ],
)
def test_training_input_refuses_what_cannot_be(data, config, batch_size, message):
    with pytest.raises(ValueError, match=message):
        input_pipeline.training_input(data, config, batch_size, 2, 0)


def test_a_split_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="found no split 'test'; expected one of train"):
        input_pipeline.training_input(one_cube(), SamplingConfig(), 1, 1, 0, split="test")


# Dates for evaluation.


def test_as_of_dates_are_harvest_less_lead_or_one_for_all():
    data = several(2)
    dates = input_pipeline.as_of_dates(data, [2, 0], 30)
    assert dates.tolist() == [[day("2022-08-02"), day("2022-06-01")]] * 2
    assert input_pipeline.as_of_dates(data, [2, 0], 30, as_of=19_000).tolist() == [[19_000] * 2] * 2


def test_as_of_dates_name_the_crop_without_a_date_in_the_split_that_matters():
    grounds = [Ground(split, np.zeros((8, 8), np.uint8)) for split in ("train", "test")]
    harvest = [[19_200, 19_200, 19_200], [19_200, 0, 19_200]]
    data = small_data.make_dataset(grounds, harvest=harvest)
    for split in (None, "test"):
        with pytest.raises(ValueError, match="found no harvest date for pea; .*--as_of DATE"):
            input_pipeline.as_of_dates(data, [0, 1], 30, split=split)
    assert input_pipeline.as_of_dates(data, [0, 1], 30, split="train")[0].tolist() == [19_170] * 2


def test_parse_as_of():
    parsed = input_pipeline.parse_as_of(("2022-01-01", "2022-02-01"), "--config.as_of")
    assert parsed == (18_993, 19_024)
    assert input_pipeline.parse_as_of((), "--config.as_of") is None
    for value, message in (
        (("2022-01-01",), "expected .first, last. dates"),
        (("2022-02-01", "2022-01-01"), "expected first <= last"),
        (("2022-02-01", "soon"), "expected a date like .* found 'soon'"),
    ):
        with pytest.raises(ValueError, match=f"--config.as_of: {message}"):
            input_pipeline.parse_as_of(value, "--config.as_of")


def test_cube_records_come_cube_by_cube():
    grounds = [Ground("test", np.zeros((8, 16), np.uint8)), Ground("train", np.zeros((8, 8)))]
    data = small_data.make_dataset([*grounds, grounds[0]])
    found = [(i, [r["col"] for r in rs]) for i, rs in input_pipeline.cube_records(data, "test")]
    assert found == [(0, [0, 8]), (2, [0, 8])]
