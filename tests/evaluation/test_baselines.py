"""The forest sees the pixels and windows that the network sees, and learns from known ones only."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import baselines, evaluate
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.sensors import SENTINEL

JUNE, MARCH = day("2022-06-01"), day("2022-03-01")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(baselines, "TREES", 10)


def separable(shape=(20, 12)) -> small_data.InMemory:
    """Cubes in which one band of one period tells the label, and unknown pixels lie about it."""
    rng = np.random.default_rng(0)
    states = np.array([0, 1, 2, NONE_OF_THESE, IGNORE], np.uint8)
    grounds = [
        Ground(s, rng.choice(states, shape), np.ones(shape, np.uint32)) for s in ("train", "test")
    ]
    data = small_data.make_dataset(grounds)
    for records in data.records.values():
        for record in records:
            record["s1"][...], record["s2"][...] = 0, 0
            values = {0: 100, 1: 200, 2: 300, NONE_OF_THESE: 400, IGNORE: 100}
            for state, value in values.items():
                record["s2"][4, record["label"] == state, 3] = value
    return data


def test_pixel_features_are_periods_by_bands_in_physical_units():
    s1 = np.array([[[[-1000, 100]]], [[[-32768, 300]]]], np.int16)
    s2 = np.arange(20, dtype=np.int16).reshape(2, 1, 1, 10) * 100
    s2[0, 0, 0, 1] = -32768
    found = baselines.pixel_features({"s1": s1, "s2": s2}, SENTINEL)
    assert found.shape == (1, 1, 24)
    reflectance = np.arange(20) / 100
    reflectance[1] = np.nan
    np.testing.assert_allclose(found[0, 0], [-10, 1, np.nan, 3, *reflectance], rtol=1e-6)


@pytest.mark.parametrize("overlap", [0, 3])
def test_training_pixels_are_the_known_pixels_once_each_as_of_the_date(overlap):
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 2, NONE_OF_THESE, IGNORE], np.uint8), (2, 13, 9))
    data = small_data.make_dataset([Ground("train", label) for label in labels], overlap=overlap)
    features, label = baselines.training_pixels(data, "train", 2, np.array([JUNE, MARCH]), 0)
    # The number of a pixel (its cube and place) in dB, first band; the period is the second.
    number = np.rint(features[:, 0] * 100).astype(int)
    known = np.flatnonzero(labels != IGNORE)
    assert sorted(number) == sorted(known)
    np.testing.assert_array_equal(label, labels.ravel()[number])
    # In June April and May are seen (periods 3 and 4), in March January and February.
    second = number >= 13 * 9
    for column, (june, march) in enumerate(((3, 0), (4, 1))):
        period = np.rint(features[:, 1 + 2 * column] * 100)
        np.testing.assert_array_equal(period, np.where(second, march, june))


def test_a_large_split_is_sampled_evenly_and_by_seed(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_PIXELS", 500)
    data = small_data.make_dataset([Ground("train", np.zeros((64, 64), np.uint8))], chip=32)
    draws = [baselines.training_pixels(data, "train", 1, np.array([JUNE]), s)[0] for s in (0, 0, 1)]
    # 500 of 4,096: four standard deviations are 4 sqrt(500 x 0.88) = 84.
    assert abs(len(draws[0]) - 500) < 84
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0][:100], draws[2][:100])
    rows = np.rint(draws[0][:, 0] * 100).astype(int) // 64
    assert (rows < 32).sum() > 150 and (rows >= 32).sum() > 150


def test_a_forest_is_right_where_a_pixel_tells_its_class():
    data = separable()
    dates = np.full((2, 3), JUNE)
    forests = baselines.Forests(data, "train", 2, dates, seed=0)
    tallies, _ = evaluate.tally_split(forests, "test", data, 2, [0, 1, 2], dates)
    known = data.split("test").pixels.sum(0)
    for crop, tally in enumerate(tallies):
        counts = tally.pixels.counts(0.5)
        assert counts.scores()["f1"] == 1.0
        assert (counts.tp, counts.tn) == (known[crop], known.sum() - known[crop])


def test_a_forest_cannot_see_what_comes_after_the_date():
    # The band that tells is of May; as of 31 May it has not ended.
    data = separable()
    dates = np.full((2, 3), day("2022-05-31"))
    forests = baselines.Forests(data, "train", 2, dates, seed=0)
    tallies, _ = evaluate.tally_split(forests, "test", data, 2, [0, 1, 2], dates)
    # All pixels look the same: the share of each class, about a fifth, is all there is to know.
    for tally in tallies:
        assert tally.pixels.counts(0.5).tp == 0
        assert tally.pixels.counts(0.1).tn == 0


def test_each_group_of_dates_has_its_own_forest():
    data = separable()
    dates = np.array([[JUNE, MARCH, JUNE]] * 2)
    forests = baselines.Forests(data, "train", 2, dates, seed=0)
    tallies, _ = evaluate.tally_split(forests, "test", data, 2, [0, 1, 2], dates)
    found = [t.pixels.counts(0.5).scores()["f1"] for t in tallies]
    assert found == [1.0, 0.0, 1.0]


def test_pixels_without_any_value_and_classes_never_seen_are_not_guessed():
    data = separable()
    for record in data.records["train"]:
        record["label"][record["label"] == 2] = IGNORE
    forests = baselines.Forests(data, "train", 2, np.full((2, 1), JUNE), seed=0)
    (record,) = data.records["test"][:1]
    s1, s2 = record["s1"][3:5].copy(), record["s2"][3:5].copy()
    s1[:, 0, 0], s2[:, 0, 0] = -32768, -32768
    (found,) = forests.predict([example(s1, s2, record["label"])], 0)
    assert found.shape == (8, 8, 3) and found.dtype == np.float32
    assert (found[0, 0] == 0).all()
    assert (found[..., 2] == 0).all()
    # None of these is a class of the forest, not of the result: such pixels are none of the three.
    none = record["label"] == NONE_OF_THESE
    none[0, 0] = False
    assert none.any() and (found[none] == 0).all()
    one = record["label"] == 1
    one[0, 0] = False
    assert one.any() and (found[one, 1] == 1).all()


def example(s1, s2, label):
    """An example whose annotated pixels are wanted."""
    wanted = label != IGNORE
    return {"pixels": {"s1": s1, "s2": s2}, "day_of_year": np.array([1, 32]), "wanted": wanted}


def window(record, first, rows=slice(None)):
    """Two periods of a record, or of some rows of it, as an example."""
    images = (record[sensor][first : first + 2, rows] for sensor in ("s1", "s2"))
    return example(*images, record["label"][rows])


def unwanted(one):
    """The same example, of which nothing is wanted."""
    return one | {"wanted": np.zeros_like(one["wanted"])}


@pytest.fixture
def requested(monkeypatch):
    """How many pixels each call asks a forest about."""
    requested, real = [], RandomForestClassifier.predict_proba

    def predict_proba(self, pixels):
        requested.append(len(pixels))
        return real(self, pixels)

    monkeypatch.setattr(RandomForestClassifier, "predict_proba", predict_proba)
    return requested


def test_wanted_pixels_are_the_forests_and_others_0(requested):
    data, dates = separable(), np.full((2, 1), day("2022-05-01"))
    rng = np.random.default_rng(0)
    for record in data.records["train"] + data.records["test"]:
        # Nothing tells the classes apart: every pixel has some probability of each.
        record["s2"][:] = rng.integers(0, 9, record["s2"].shape)
    examples = [window(record, 2) for record in data.records["test"]]
    # Examples of other shapes, one of them with nothing wanted in their midst.
    examples[0] = window(data.records["test"][0], 2, slice(0, 5))
    examples.insert(1, unwanted(examples[1]))
    found = baselines.Forests(data, "train", 2, dates, seed=3).predict(examples, 0)
    wanted = [one["wanted"] for one in examples]
    assert requested == [sum(w.sum() for w in wanted)]

    pixels = baselines.training_pixels(data, "train", 2, dates[:, 0], 3)
    forest = RandomForestClassifier(10, random_state=3).fit(*pixels)
    assert list(forest.classes_) == [0, 1, 2, NONE_OF_THESE]
    for probability, one, there in zip(found, examples, wanted, strict=True):
        assert probability.shape == (*there.shape, 3) and probability.dtype == np.float32
        assert (probability[~there] == 0).all() and not there.all()
        if there.any():
            features = baselines.pixel_features(one["pixels"], SENTINEL)
            expected = forest.predict_proba(features[there])[:, :3]
            np.testing.assert_allclose(probability[there], expected, rtol=1e-6)
            assert len(np.unique(expected, axis=0)) > 3


def test_nothing_wanted_and_the_forest_is_not_asked(requested):
    data = separable()
    forests = baselines.Forests(data, "train", 2, np.full((2, 1), JUNE), seed=0)
    (found,) = forests.predict([unwanted(window(data.records["test"][0], 3))], 0)
    assert found.shape == (8, 8, 3) and (found == 0).all() and requested == []


def test_the_same_seed_grows_the_same_forest():
    data, dates = separable(), np.full((2, 1), day("2022-05-01"))
    rng = np.random.default_rng(0)
    for record in data.records["train"] + data.records["test"]:
        record["s2"][:] = rng.integers(0, 9, record["s2"].shape)
    examples = [window(record, 2) for record in data.records["test"]]
    grown = [baselines.Forests(data, "train", 2, dates, seed) for seed in (0, 0, 1)]
    found = [forests.predict(examples, 0)[0] for forests in grown]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
