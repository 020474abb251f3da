"""Baselines see the windows that the network sees, and learn from known pixels only."""

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.baselines import drawing, fitting, methods, settings
from cropmap_jax.baselines.predictor import _quiet
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.evaluation import baselines, evaluate
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.sensors import SENTINEL

JUNE, MARCH = day("2022-06-01"), day("2022-03-01")


RAW = settings.find(["raw_forest"], "", {"trees": 10})["raw_forest"]


def train(data, dates, seed=0, one=RAW):
    return baselines.train(one, data, "train", 2, dates, seed)


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


def test_a_forest_is_right_where_a_pixel_tells_its_class():
    data = separable()
    dates = np.full((2, 3), JUNE)
    forests = train(data, dates)
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
    forests = train(data, dates)
    tallies, _ = evaluate.tally_split(forests, "test", data, 2, [0, 1, 2], dates)
    # All pixels look the same: the share of each class, about a fifth, is all there is to know.
    for tally in tallies:
        assert tally.pixels.counts(0.5).tp == 0
        assert tally.pixels.counts(0.1).tn == 0


def test_each_group_of_dates_has_its_own_forest():
    data = separable()
    dates = np.array([[JUNE, MARCH, JUNE]] * 2)
    forests = train(data, dates)
    tallies, _ = evaluate.tally_split(forests, "test", data, 2, [0, 1, 2], dates)
    found = [t.pixels.counts(0.5).scores()["f1"] for t in tallies]
    assert found == [1.0, 0.0, 1.0]


def test_pixels_without_any_value_and_classes_never_seen_are_not_guessed():
    data = separable()
    for record in data.records["train"]:
        record["label"][record["label"] == 2] = IGNORE
    forests = train(data, np.full((2, 1), JUNE))
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
    found = train(data, dates, 3).predict(examples, 0)
    wanted = [one["wanted"] for one in examples]
    assert requested == [sum(w.sum() for w in wanted)]

    features = RAW.features(SENTINEL, 2)
    assert (features.indices, features.means, features.dates) == ((), (), False)
    fixed = drawing.fixed_dates(dates[:, 0])
    pixels = drawing.training_pixels(data, "train", features, fixed, "all", 10**6, 3)
    forest = RandomForestClassifier(10, random_state=3).fit(pixels.features, pixels.labels)
    assert list(forest.classes_) == [0, 1, 2, NONE_OF_THESE]
    for probability, one, there in zip(found, examples, wanted, strict=True):
        assert probability.shape == (*there.shape, 3) and probability.dtype == np.float32
        assert (probability[~there] == 0).all() and not there.all()
        if there.any():
            values = [
                np.moveaxis(sensor.decode(one["pixels"][sensor.name]), 0, 2).reshape(
                    *there.shape, -1
                )
                for sensor in SENTINEL
            ]
            expected = forest.predict_proba(np.concatenate(values, -1)[there])[:, :3]
            np.testing.assert_allclose(probability[there], expected, rtol=1e-6)
            assert len(np.unique(expected, axis=0)) > 3


def test_nothing_wanted_and_the_forest_is_not_asked(requested):
    data = separable()
    forests = train(data, np.full((2, 1), JUNE))
    (found,) = forests.predict([unwanted(window(data.records["test"][0], 3))], 0)
    assert found.shape == (8, 8, 3) and (found == 0).all() and requested == []


def test_the_same_seed_grows_the_same_forest():
    data, dates = separable(), np.full((2, 1), day("2022-05-01"))
    rng = np.random.default_rng(0)
    for record in data.records["train"] + data.records["test"]:
        record["s2"][:] = rng.integers(0, 9, record["s2"].shape)
    examples = [window(record, 2) for record in data.records["test"]]
    grown = [train(data, dates, seed) for seed in (0, 0, 1)]
    found = [forests.predict(examples, 0)[0] for forests in grown]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("method", ["forest", "boosting", "logistic"])
@pytest.mark.parametrize("indices", [(), None])
def test_every_method_is_right_where_a_pixel_tells_its_class(method, indices):
    data, dates = separable((24, 16)), np.full((2, 3), JUNE)
    # Of two bands of 0 an index has no value: those are missing throughout.
    quick = {
        "forest": {"trees": 20},
        "boosting": {"rounds": 20, "share_of_features": 1.0},
        "logistic": {"rounds": 3000, "inverse_penalty": 1e5},
    }
    one = Settings(method, indices, means=(), arguments=quick.get(method, {}))
    tallies, _ = evaluate.tally_split(train(data, dates, 0, one), "test", data, 2, [0, 1, 2], dates)
    assert all(tally.pixels.counts(0.5).scores()["f1"] > 0.98 for tally in tallies)


def test_means_tell_a_class_that_a_pixel_alone_does_not():
    data, dates = separable((40, 40)), np.full((2, 3), JUNE)
    rng = np.random.default_rng(5)
    for record in data.records["train"] + data.records["test"]:
        # Stripes of two columns; noise of 1 hides a difference of 0.2 in one pixel, not in 49.
        kind = (np.arange(8) + record["col"]) // 8 % 2
        record["label"][...] = kind
        noise = rng.normal(5000, 1000, (8, 8))
        record["s2"][4, ..., 3] = noise + 1000 * kind
    found = {}
    for means in ((), (7,)):
        one = Settings("forest", (), means=means, arguments={"trees": 30})
        predictor = train(data, dates, 0, one)
        assert predictor.halo == (3 if means else 0)
        tallies, _ = evaluate.tally_split(predictor, "test", data, 2, [0, 1], dates[:, :2])
        found[means] = tallies[0].pixels.counts(0.5).scores()["accuracy"]
    assert found[()] < 0.75 < 0.85 < found[7,]


def test_dates_know_nothing_of_pixels():
    data, dates = separable(), np.array([[JUNE, MARCH, JUNE]] * 2)
    one = Settings("dates")
    records = data.records["test"]
    found = train(data, dates, 0, one).predict([window(record, 3) for record in records])
    # The share of each class among the pixels learnt from, the same wherever something is wanted.
    counts = data.split("train").pixels.sum(0)
    share = counts[:3] / counts.sum()
    for probability, record in zip(found, records, strict=True):
        known = record["label"] != IGNORE
        np.testing.assert_allclose(probability[known], np.tile(share, (known.sum(), 1)), rtol=1e-6)
    for record in data.records["train"] + records:
        record["s1"][...], record["s2"][...] = 7, 77
    again = train(data, dates, 0, one).predict([window(record, 3) for record in records])
    np.testing.assert_array_equal(np.stack(found), np.stack(again))


def test_many_pixels_are_asked_about_in_blocks_and_answered_alike(monkeypatch):
    data, dates = separable(), np.full((2, 1), day("2022-05-01"))
    rng = np.random.default_rng(0)
    for record in data.records["train"] + data.records["test"]:
        record["s2"][:] = rng.integers(0, 9, record["s2"].shape)
    examples = [window(record, 2) for record in data.records["test"]]
    found = {}
    for method in methods.METHODS:
        one = Settings(method, arguments={"rounds": 5} if method == "boosting" else {})
        found[method] = train(data, dates, 0, one)
    whole = {name: predictor.predict(examples) for name, predictor in found.items()}
    monkeypatch.setattr("cropmap_jax.baselines.predictor.BLOCK", 7)
    monkeypatch.setattr("cropmap_jax.baselines.predictor._TOGETHER", 20)
    for name, predictor in found.items():
        for a, b in zip(whole[name], predictor.predict(examples), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6 if name == "logistic" else 0)


@pytest.mark.parametrize("method", ["forest", "boosting", "logistic", "dates"])
def test_a_pixel_that_weighs_more_counts_more(method):
    # Two pixels that look alike: the class of the heavier one is the more probable.
    values = np.zeros((60, 2), np.float32)
    labels = np.arange(60) % 2
    few = {"boosting": {"rounds": 20}, "logistic": {"inverse_penalty": 1.0}}
    one = Settings(method, arguments=few.get(method, {}))
    for heavier in (0, 1):
        weights = np.where(labels == heavier, 1.5, 0.5).astype(np.float32)
        pixels = drawing.TrainingPixels(values, labels.astype(np.uint8), weights)
        found = fitting.fit(one, pixels, 0, "here").predict_proba(values[:1])[0]
        assert found[heavier] == pytest.approx(0.75, abs=0.1)


def test_a_class_alone_cannot_be_boosted():
    data = separable()
    for record in data.records["train"]:
        record["label"][record["label"] != IGNORE] = 1
    with pytest.raises(ValueError, match="small: expected training pixels of at least 2 classes"):
        train(data, np.full((2, 1), JUNE), 0, Settings("boosting"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["forrest"], "--baseline: found 'forrest'; did you mean forest. expected one of boosting"),
        (["forest", "none"], "did you mean|expected one of"),
        (["forest", "forest"], "each baseline once"),
        ([""], "--baseline: found ''; expected one of boosting"),
    ],
)
def test_baselines_that_are_not_known_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        settings.find(names, "--baseline")


def test_baselines_by_name():
    assert settings.find(["none"], "") == {}
    found = settings.find(["boosting", " forest"], "", {"trees": 7})
    assert list(found) == ["boosting", "forest"]
    assert found["forest"].arguments["trees"] == 7 and "trees" not in found["boosting"].arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "forrest"}, "config.method: found 'forrest'; did you mean forest"),
        ({"draw_by": "Field"}, "config.draw_by: expected one of field, place, all"),
        ({"most_pixels": 0}, "config.most_pixels"),
        ({"arguments": {"tree": 3}}, "config.arguments.tree: no such setting; did you mean"),
        ({"arguments": {"trees": 0}}, "config.arguments.trees: expected a whole number"),
        ({"means": (2,)}, "config.means"),
    ],
)
def test_settings_that_cannot_be_are_one_line(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_threads_of_a_forest_do_not_warn_about_each_other():
    # Other warnings are shown.
    with pytest.warns(UserWarning) as shown, _quiet():
        warnings.warn("`sklearn.utils.parallel.delayed` should be used with", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert [str(one.message) for one in shown] == ["something else"]


def test_one_model_for_all_dates_draws_them_as_training_does():
    data = separable()
    config = {"as_of": ("2022-03-01", "2022-06-01"), "as_of_jitter": 40}
    draw = baselines.dates_of_training(data, config, 30)
    found = draw(np.zeros(2000, np.int64), np.random.default_rng(0))
    # As far as 40 days before and after, but never before the end of the first period.
    assert found.max() > JUNE and found.min() == int(data.periods(0)[0, 1])
    assert found.max() <= JUNE + 40
    alone = baselines.dates_of_training(data, {"as_of": ("2022-06-01", "2022-06-01")}, 30)
    asked = baselines.train_for_all_dates(RAW, data, "train", 2, alone)
    assert not asked.per_group
    tallies, _ = evaluate.tally_split(asked, "test", data, 2, [0], np.full((2, 1), JUNE))
    assert tallies[0].pixels.counts(0.5).scores()["f1"] == 1
    # Without a date of the run's or a calendar, that of the map.
    data = dataclasses.replace(data, harvest=np.zeros_like(data.harvest))
    draw = baselines.dates_of_training(data, {}, 30, otherwise=MARCH)
    assert set(draw(np.zeros(9, np.int64), np.random.default_rng(0))) == {MARCH}
    with pytest.raises(ValueError, match="no harvest date"):
        baselines.dates_of_training(data, {}, 30)
