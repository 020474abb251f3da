"""Combined runs answer with what their members say together, in scores and in maps."""

import dataclasses
import importlib
import json
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
from combined import small_members
from mapping import small_maps
from training import small_data, small_runs

from cropmap_jax import runs
from cropmap_jax.baselines import storage
from cropmap_jax.data import cube_builder, dataset, input_pipeline
from cropmap_jax.evaluation import cube_predictions, evaluate, held_out
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import engine
from cropmap_jax.inference.pools import Pool
from cropmap_jax.mapping import metadata, notes
from cropmap_jax.runs import combined, combined_storage
from cropmap_jax.training import checkpoints

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
CROPS, PERIODS = [0, 1, 2], small_members.PERIODS
WEIGHTS = (0.75, 0.25)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Cubes and their dataset; a forest, a network of each kind, and network and forest together.

    The cube of test spans four parts, and its last rows are seen by radar alone.
    """
    root = tmp_path_factory.mktemp("combined")
    making.make_cubes(root / "cubes", ("train", "validation"), size=32)
    tile = (making.TILE[0] + 80, making.TILE[1])
    test = making.make_cube("test", (134, 132), split="test", tile=tile, seed=7)
    test.pixels[SENTINEL[1].name][:, -9:] = np.nan
    cube_io.write_cube(test, root / "cubes")
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "small", root / "cubes", root / "data", chip=32)
    data = dataset.open_dataset(str(root / "data"), "cubes/small")
    small_members.keep_forest(data, root / "forest")
    small_members.keep_forest(data, root / "optical", sensors=data.sensors[1:])
    small_members.save_network(data, root / "network")
    paths = [root / "network", root / "forest"]
    return root, data, small_members.combine(root / "both", paths, WEIGHTS, data)


def predicted(data, predictor, columns, dates):
    (found,) = cube_predictions.predict_dataset(
        predictor, "test", data, PERIODS, columns, np.tile(dates, (1, len(columns) // 3))
    )
    return found


@pytest.fixture(scope="module")
def dates(world):
    """One date for all, so that a map shows the same."""
    data = world[1]
    return input_pipeline.as_of_dates(data, CROPS, 30, int(data.harvest[0, 1]) - 30)


def mapped(monkeypatch, root, workdir, out, dates) -> np.ndarray:
    """What `predict` decides from over the cube of test."""
    found: dict[str, np.ndarray] = {}
    real = engine.Engine.probability

    def probability(self, request):
        values, group = real(self, request), request.view.mosaic_group
        (number,) = group.tiling.cubes(request.box)
        whole = group.tiling.boxes[number]
        blank = np.full((*whole.shape, 3), -1, np.float32)
        name = group.cubes[number].cube_id
        found.setdefault(name, blank)[request.box.inside(whole)] = values
        return values

    as_of = np.datetime64(int(dates[0, 0]), "D").astype(str)
    with monkeypatch.context() as patched:
        patched.setattr(engine.Engine, "probability", probability)
        small_maps.make_map(workdir, root / "cubes", out, as_of=as_of)
    return found["test"]


def pooled(run, weights, *given) -> np.ndarray:
    """What members' probabilities are together."""
    pool = Pool(run.recipe.exclusive, run.recipe.none_of_these)
    return pool.probability(
        sum(w * pool.evidence(one) for w, one in zip(weights, given, strict=True))
    )


def check_pooled(found, expected):
    """Where chips overlap, which they do in the middle, what is pooled is blended then, and what is
    compared with it is blended first."""
    np.testing.assert_allclose(found[:48, :48], expected[:48, :48], atol=1e-6)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_scores_and_maps_are_of_the_mean(monkeypatch, world, dates, tmp_path):
    root, data, run = world
    assert runs.method_of(run) == "combined" and list(runs.parts_of(run)) == ["network", "forest"]
    found = predicted(data, runs.predictor_of(run, 2, apart=True), list(range(9)), dates)
    mean, network, forest = (one.probability for one in cube_predictions.by_method(found, 3))
    check_pooled(mean, pooled(run, WEIGHTS, network, forest))
    assert np.isfinite(mean).all() and np.abs(network - forest).max() > 0.1
    # The network, whose halo is that of both, answers as it does alone.
    alone = runs.predictor_of(runs.open_run(root / "network"), 2)
    expected = predicted(data, alone, CROPS, dates).probability
    np.testing.assert_allclose(network, expected, atol=1e-5)
    shown = mapped(monkeypatch, root, root / "both", tmp_path / "map", dates)
    np.testing.assert_allclose(shown, mean, atol=1e-5, equal_nan=True)


def test_methods_that_are_asked_together_are_tallied_each_for_itself(world, dates):
    _, data, run = world
    both = runs.predictor_of(run, 2, apart=True)
    seen = [[], [], []]
    found = evaluate.tally_methods(
        both, "test", data, PERIODS, [2, 0], dates[:, [2, 0]], [one.append for one in seen]
    )
    forest = runs.predictor_of(run.members["forest"], 2)
    forest.halo = both.halo
    expected, leads = evaluate.tally_split(forest, "test", data, PERIODS, [2, 0], dates[:, [2, 0]])
    for ours, theirs in zip(found[2][0], expected, strict=True):
        for unit in ("pixels", "fields"):
            for threshold in (0.35, 0.5):
                counts = getattr(ours, unit).counts(threshold)
                assert counts == getattr(theirs, unit).counts(threshold)
    assert found[0][1] == found[2][1] == leads and [len(one) for one in seen] == [1, 1, 1]
    assert seen[2][0].probability.shape == (134, 132, 2)


def test_members_may_see_other_sensors(world, dates, tmp_path):
    root, data, _ = world
    paths = [root / "optical", root / "network"]
    run = small_members.combine(tmp_path / "w", paths, (0.5, 0.5), data)
    assert [s.name for s in run.recipe.sensors] == ["s2", "s1"]
    found = predicted(data, runs.predictor_of(run, 2, apart=True), list(range(9)), dates)
    mean, forest, network = (one.probability for one in cube_predictions.by_method(found, 3))
    both, radar = np.s_[:100], np.s_[-9:]
    expected = pooled(run, (0.5, 0.5), forest[both], network[both])
    check_pooled(mean[both], expected)
    # Where radar alone has seen the ground, the forest has nothing to say.
    check_pooled(mean[radar], pooled(run, (1,), network[radar]))
    assert np.isfinite(mean[radar]).any()


def test_a_folder_is_whole_wherever_it_is_and_whatever_became_of_its_members(
    world, dates, tmp_path
):
    root, data, run = world
    for name in ("network", "forest", "both"):
        shutil.copytree(root / name, tmp_path / "here" / name)
    shutil.move(tmp_path / "here" / "both", tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    moved = runs.open_run(tmp_path / "there")
    assert metadata.fingerprint(moved) == metadata.fingerprint(run)
    assert moved.weights == run.weights == WEIGHTS and moved.config == small_members.config(data)
    a, b = (predicted(data, runs.predictor_of(one, 2), CROPS, dates) for one in (moved, run))
    np.testing.assert_array_equal(a.probability, b.probability)
    other = small_members.combine(
        tmp_path / "other", [root / "network", root / "forest"], (0.5, 0.5), data
    )
    assert metadata.fingerprint(other) != metadata.fingerprint(run)


def test_it_is_checked_as_its_members_are(world):
    _, data, run = world
    run.recipe.check_dataset(data)
    assert run.recipe.halo == run.members["network"].recipe.halo > 3
    assert run.recipe.exclusive and run.recipe.none_of_these
    assert held_out.check(run, data, "test")[0]["trained_on"] == []
    # One member that has learnt from the ground of test is enough.
    other = [row | ({"split": "train"} if row["id"] == "test" else {}) for row in data.ground]
    forest = dataclasses.replace(run.members["forest"], cubes=tuple(other))
    mixed = combined.combine(run.members | {"forest": forest}, WEIGHTS, run.config)
    with pytest.raises(ValueError, match=r"trained on \(test \(train of forest\)\)"):
        held_out.check(mixed, data, "test")
    # So is ground that the weights were found on.
    how = {"ground": [row | {"split": "validation"} for row in data.ground if row["id"] == "test"]}
    mixed = combined.combine(run.members, WEIGHTS, run.config, how)
    with pytest.raises(ValueError, match=r"validated on .*validation of weights"):
        held_out.check(mixed, data, "test")


def test_bands_that_no_member_uses_are_known(world):
    _, _, run = world
    assert all(bands == list(s.bands) for s, bands in notes.trained_bands(run).items())
    forest = dataclasses.replace(run.members["forest"], unseen_bands={"s1": [0], "s2": [3, 4]})
    other = dataclasses.replace(run.members["forest"], unseen_bands={"s2": [4, 5]})
    both = combined.combine({"a": forest, "b": other}, WEIGHTS, run.config)
    assert runs.unused_bands(both) == {"s1": [], "s2": [4]}


# What is wrong with members or a folder -----------------------------------------------------------

NONE = small_runs.make_recipe("softmax_none")


def changed(**changes):
    return dataclasses.replace(NONE, **changes)


def renamed():
    sensor = dataclasses.replace(SENTINEL[0], scale=10.0)
    return changed(sensors=(sensor, SENTINEL[1]))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            changed(legend=making.LEGEND),
            "expected the legend of a, 'small' (rye, pea, oats), found",
        ),
        (changed(period_kind="dekad"), "expected periods of a month as in a, found dekad"),
        (changed(model=NONE.model | {"num_periods": 3}), "a window of periods: 2 as in a, found 3"),
        (changed(lead_days=60), "expected a lead in days of 30 as in a, found 60"),
        (changed(pixel_m=20.0), "expected pixels of 10 m as in a, found 20 m"),
        (
            changed(loss="softmax"),
            "expected a loss that knows none of these, as that of a (softmax_n",
        ),
        (renamed(), "expected sensor 's1'"),
    ],
)
def test_what_members_must_have_in_common(other, said):
    own = changed(pixel_m=10.0)
    with pytest.raises(ValueError) as caught:
        combined.make_recipe({"a": own, "b": other})
    assert str(caught.value).startswith("--workdirs: b: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_combined_runs_are_no_members_and_one_run_is_none():
    both = combined.make_recipe({"a": NONE, "b": NONE})
    with pytest.raises(
        ValueError, match="c: expected a network or a baseline, found combined runs"
    ):
        combined.make_recipe({"a": NONE, "c": both})
    with pytest.raises(ValueError, match="--workdirs: expected two runs or more, found 1"):
        combined.make_recipe({"a": NONE})


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (("softmax_none", "softmax_none"), "softmax_none"),
        (("softmax", "softmax"), "softmax"),
        (("sigmoid", "sigmoid"), "sigmoid"),
        # A mean of both kinds says how likely each class is, and not that one excludes another.
        (("sigmoid", "softmax_none"), "sigmoid"),
    ],
)
def test_which_kind_the_mean_is_of(losses, expected):
    recipes = {str(i): small_runs.make_recipe(loss) for i, loss in enumerate(losses)}
    assert combined.make_recipe(recipes).loss == expected


def test_members_are_named_by_as_much_of_their_paths_as_tells_them_apart():
    assert combined.names_of(["/x/a", "/x/b/"]) == ["a", "b"]
    assert combined.names_of(["/x/a/run", "/x/b/run"]) == ["a-run", "b-run"]
    assert combined.names_of(["/a/b", "/a-b"]) == ["b", "a-b"]
    assert combined.names_of(["/x-b/b", "/x/b-b"]) == ["b", "b-b"]
    assert len(set(combined.names_of(["/a/b/b", "/a-b/b"]))) == 2


def test_a_member_must_say_where_it_was_trained(world):
    run = world[2]
    members = run.members | {"forest": dataclasses.replace(run.members["forest"], cubes=())}
    with pytest.raises(
        ValueError, match="forest: expected a run that records where it was trained"
    ):
        combined.combine(members, WEIGHTS, run.config)


@pytest.fixture
def copied(world, tmp_path):
    shutil.copytree(world[0] / "both", tmp_path / "w")
    return tmp_path / "w"


def refused(workdir) -> str:
    with pytest.raises(ValueError) as caught:
        runs.open_run(workdir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_member_that_changed_or_vanished_is_noticed(world, copied, tmp_path):
    where = combined_storage.folder(copied) / "members" / "forest"
    shutil.rmtree(where / storage.FOLDER)
    line = refused(copied)
    assert str(where) in line and "found none" in line
    small_members.keep_forest(world[1], where, seed=5)
    line = refused(copied)
    assert str(where) in line and "expected the run that was weighed (SHA-256" in line
    model = where / storage.FOLDER / storage.MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert "model.skops: expected SHA-256" in refused(copied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["weights"].__setitem__(0, 0.9), "expected SHA-256"),
        (lambda m: m.pop("how"), "meta.how: expected a setting, found none"),
        (lambda m: m.update(format=9), "meta.format: expected one of 2, found 9"),
    ],
)
def test_damaged_weights_are_refused(copied, change, said):
    file = combined_storage.folder(copied) / combined_storage.META
    meta = json.loads(file.read_text())
    change(meta)
    file.write_text(json.dumps(meta))
    line = refused(copied)
    assert said in line and str(file) in line
    file.write_text(file.read_text()[:-9])
    assert "cannot be read" in refused(copied)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([0.9, 0.9], "expected a sum of 1"),
        ([1.5, -0.5], "expected a number from 0 to 1"),
        ([1.0], "expected a list of 2 values"),
        ([None, 1.0], "expected a number"),
    ],
)
def test_weights_that_cannot_be_are_refused(copied, weights, said):
    file = combined_storage.folder(copied) / combined_storage.META
    meta = json.loads(file.read_text()) | {"weights": weights}
    del meta["sha256"]
    file.write_text(json.dumps(meta | {"sha256": combined_storage._digest(meta)}))
    assert said in refused(copied)


def test_a_folder_holds_one_kind_of_run(copied):
    with pytest.raises(ValueError, match="--checkpoint: expected 'last' for combined runs"):
        runs.open_run(copied, "best")
    checkpoints.folder(copied).mkdir()
    assert "expected checkpoints/ or combined/, found both; move one away" in refused(copied)


def test_what_cannot_be_written_leaves_nothing(world, tmp_path, monkeypatch):
    root, data, _ = world

    def full(*args, **rest):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        with pytest.raises(OSError, match="could not be written .No space left"):
            paths = [root / "network", root / "forest"]
            small_members.combine(tmp_path / "w", paths, WEIGHTS, data)
    assert list((tmp_path / "w").iterdir()) == []


def test_the_legend_of_a_dataset_is_compared(world):
    _, data, run = world
    with pytest.raises(ValueError, match="expected the checkpoint's legend 'making'"):
        run.recipe.check_dataset(dataclasses.replace(data, legend=small_data.LEGEND))


def test_seeds_that_versions_with_other_settings_trained_are_of_one_kind(world):
    root, _, _ = world
    run = runs.open_run(root / "network")
    now = dataclasses.replace(run, config=run.config | {"fields_per_class": 0, "fields_draw": 0})
    few = dataclasses.replace(run, config=run.config | {"fields_per_class": 8, "fields_draw": 0})
    assert combined.kinds({"before": run, "now": now}) == [0, 0]
    assert combined.kinds({"before": run, "few": few}) == [0, 1]
