"""A kept baseline answers as it did before it was stored, in scores and in maps alike."""

import importlib
import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import making
import numpy as np
import pytest
from mapping import small_maps
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer

from cropmap_jax import runs
from cropmap_jax.baselines import drawing, fitting, methods, recipe, settings, storage
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.baselines.skops_io import skops
from cropmap_jax.data import cube_builder, dataset, input_pipeline
from cropmap_jax.evaluation import cube_predictions, held_out
from cropmap_jax.geo import cube_io
from cropmap_jax.inference import engine
from cropmap_jax.mapping import metadata

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
CROPS, PERIODS = [0, 1, 2], 6
QUICK = {
    "forest": {"trees": 8},
    "boosting": {"rounds": 8},
    "logistic": {"rounds": 30},
    "dates": {},
}


def keep(data, workdir, method="forest", **rest):
    """Trains and stores a baseline; returns its classifier."""
    chosen = Settings(method, arguments=QUICK[method], **rest)
    made = recipe.make_recipe(chosen, PERIODS, 30, data, data.sensors)
    dates = drawing.drawn_dates(data, 30, None)
    pixels = drawing.training_pixels(
        data, "train", made.features(), dates, "field", 3000, 0, copies=True
    )
    model = fitting.fit(made.settings(), pixels, 0, "here")
    meta = {"config": {"seed": 0}, "dataset": data.fingerprint, "cubes": data.ground}
    meta |= {"unseen_bands": data.unseen_bands, "trained": {"seconds": 0.1}}
    storage.save(workdir, model, made, meta)
    return model


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Cubes (that of test spans four parts), the dataset built of them, a kept run per method."""
    root = tmp_path_factory.mktemp("kept")
    making.make_cubes(root / "cubes", ("train", "train"), size=40)
    tile = (making.TILE[0] + 80, making.TILE[1])
    test = making.make_cube("test", (140, 150), split="test", tile=tile, seed=7)
    cube_io.write_cube(test, root / "cubes")
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "small", root / "cubes", root / "data", chip=32)
    data = dataset.open_dataset(str(root / "data"), "cubes/small")
    models = {method: keep(data, root / method, method) for method in methods.METHODS}
    return root, data, models


def examples(data, count=3):
    """Windows of a few chips, of which everything is wanted."""
    out = []
    source, table = data.source("test"), data.split("test")
    for number in range(count):
        made = input_pipeline.make_example(
            data, source[number], int(data.harvest[table.cube[number], 1]) - 30, PERIODS
        )
        wanted = np.ones(made["label"].shape, bool)
        out.append({"pixels": made["pixels"], "day_of_year": made["day_of_year"], "wanted": wanted})
    return out


@pytest.mark.parametrize("method", methods.METHODS)
def test_stored_and_read_it_answers_as_before(world, method):
    root, data, models = world
    run = runs.open_run(root / method)
    assert runs.method_of(run) == method and run.stage == "baseline"
    for name, value in models[method].get_params().items():
        if isinstance(value, int | str):
            assert run.model.get_params()[name] == value
    features = run.recipe.features()
    values = np.concatenate(
        [features.compute(e["pixels"], e["day_of_year"], e["wanted"]) for e in examples(data)]
    ).astype(run.recipe.dtype)
    expected = models[method].predict_proba(values)
    np.testing.assert_array_equal(run.model.predict_proba(values), expected)
    found = np.concatenate(
        [p.reshape(-1, 3) for p in runs.predictor_of(run, 8).predict(examples(data))]
    )
    seen = np.isfinite(values[:, :-2]).any(1) if method != "dates" else found.any(1)
    assert seen.mean() > 0.9 and (found[~seen] == 0).all()
    known = models[method].classes_ < 3
    columns = models[method].classes_[known]
    rtol = 1e-6 if method == "logistic" else 1e-7
    np.testing.assert_allclose(
        found[seen][:, columns], expected[seen][:, known].astype(np.float32), rtol=rtol
    )


def test_it_is_checked_as_a_network_is(world):
    root, data, _ = world
    run = runs.open_run(root / "forest")
    run.recipe.check_dataset(data)
    assert run.recipe.halo == 3 and run.recipe.exclusive and run.recipe.none_of_these
    assert run.cubes == tuple(json.loads(json.dumps(data.ground)))
    # Its own ground is not held out, and what is held out is.
    with pytest.raises(ValueError, match="expected the checkpoint's legend 'making'"):
        run.recipe.check_dataset(_with(data, legend=_other_legend()))
    with pytest.raises(ValueError, match="expected periods of a month as in training, found dekad"):
        run.recipe.check_dataset(_with(data, period_kind="dekad"))
    with pytest.raises(ValueError, match="expected sensor 's2'"):
        run.recipe.check_dataset(_with(data, sensors=data.sensors[:1]))
    found, _ = held_out.check(run, data, "test")
    assert found["trained_on"] == []
    found, notes = held_out.check(run, data, "train")
    assert len(found["trained_on"]) == 2 and "trained on" in notes[0]


def _with(data, **changes):
    import dataclasses

    return dataclasses.replace(data, **changes)


def _other_legend():
    from training import small_data

    return small_data.LEGEND


def test_evaluate_and_predict_agree(monkeypatch, world, tmp_path):
    root, data, _ = world
    dates = input_pipeline.as_of_dates(data, CROPS, 30, int(data.harvest[0, 1]) - 30)
    as_of = np.datetime64(int(dates[0, 0]), "D").astype(str)
    for method in ("forest", "boosting", "logistic"):
        run = runs.open_run(root / method)
        predictor = runs.predictor_of(run, 4)
        (scored,) = cube_predictions.predict_dataset(predictor, "test", data, PERIODS, CROPS, dates)
        mapped = {}
        real = engine.Engine.probability

        def probability(self, request, real=real, mapped=mapped):
            values, group = real(self, request), request.view.mosaic_group
            (number,) = group.tiling.cubes(request.box)
            whole = group.tiling.boxes[number]
            blank = np.full((*whole.shape, 3), -1, np.float32)
            mapped.setdefault(group.cubes[number].cube_id, blank)[request.box.inside(whole)] = (
                values
            )
            return values

        with monkeypatch.context() as patched:
            patched.setattr(engine.Engine, "probability", probability)
            maker, _, _ = small_maps.make_map(
                root / method, root / "cubes", tmp_path / method, as_of=as_of
            )
        assert len(mapped) == 3 and not maker.finished
        # Nothing was trained anew, so nothing may differ but logistic regression's last digits.
        tolerance = 1e-6 if method == "logistic" else 0
        np.testing.assert_allclose(
            mapped["test"], scored.probability, rtol=tolerance, equal_nan=True
        )
        crop = small_maps.read(tmp_path / method / "test" / "crop.tif")
        assert {0, 1, 2} <= set(np.unique(crop)) <= {0, 1, 2, 254, 255}


def test_a_map_knows_which_baseline_made_it(world, tmp_path):
    root, data, _ = world
    keep(data, tmp_path / "other", "forest", dates=False)
    found = {
        metadata.fingerprint(runs.open_run(folder))
        for folder in (root / "forest", root / "boosting", tmp_path / "other")
    }
    assert len(found) == 3
    assert metadata.fingerprint(runs.open_run(root / "forest")) in found


# What is wrong with a folder ----------------------------------------------------------------------


@pytest.fixture
def copied(world, tmp_path):
    shutil.copytree(world[0] / "forest", tmp_path / "w")
    return tmp_path / "w"


def reseal(workdir, **changes):
    """Makes the checksums right again, as whoever tampers would."""
    file = storage.folder(workdir) / storage.META
    meta = json.loads(file.read_text()) | changes
    meta.pop("sha256")
    model = storage._digest_of_file(storage.folder(workdir) / storage.MODEL)
    meta["sha256"] = {"model": model, "meta": storage._digest(meta)}
    file.write_text(json.dumps(meta))


def refused(workdir) -> str:
    with pytest.raises(ValueError) as caught:
        runs.open_run(workdir)
    line = str(caught.value)
    assert "\n" not in line and str(storage.folder(workdir)) in line and "expected" in line
    return line


class Bomb:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_a_pickle_is_refused_and_nothing_runs(copied, tmp_path):
    model = storage.folder(copied) / storage.MODEL
    model.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert "expected SHA-256" in refused(copied)
    reseal(copied)
    assert "expected a forest that `baseline` wrote, found another" in refused(copied)
    assert not (tmp_path / "ran").exists()


def test_objects_of_other_types_are_refused_and_nothing_runs(copied, tmp_path):
    model = storage.folder(copied) / storage.MODEL
    skops.io.dump(FunctionTransformer(pathlib.Path.touch), model)
    reseal(copied)
    assert "found another (objects of pathlib" in refused(copied)
    # Of a type that anybody trusts, but that is no forest.
    skops.io.dump([1, 2], model)
    reseal(copied)
    assert "(a list)" in refused(copied)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("children_left", 0, "links lead nowhere"),
        ("children_right", 10**6, "links lead nowhere"),
        ("feature", 10**5, "asks for other features"),
        ("feature", -7, "asks for other features"),
    ],
)
def test_links_of_trees_that_lead_astray_are_refused(copied, column, value, said):
    file = storage.folder(copied) / storage.MODEL
    model = storage.load(copied).model
    tree = model.estimators_[-1].tree_
    assert tree.node_count > 1
    getattr(tree, column)[0] = value
    skops.io.dump(model, file)
    reseal(copied)
    assert said in refused(copied)


def test_a_model_of_other_features_or_classes_is_refused(copied, world):
    file = storage.folder(copied) / storage.MODEL
    rng = np.random.default_rng(0)
    count = len(storage.load(copied).recipe.features().names)
    for width, labels, said in ((3, 3, "of 3 features instead"), (count, 9, "of other classes")):
        values = rng.random((40, width), np.float32)
        made = RandomForestClassifier(2).fit(values, np.arange(40) % labels)
        skops.io.dump(made, file)
        reseal(copied)
        assert said in refused(copied)


def test_bits_that_flipped_are_found(copied):
    model = storage.folder(copied) / storage.MODEL
    whole = bytearray(model.read_bytes())
    whole[len(whole) // 2] ^= 1
    model.write_bytes(whole)
    assert "expected SHA-256" in refused(copied)
    model.unlink()
    assert "expected the model of a baseline, found none" in refused(copied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["recipe"].update(lead_days=3), "expected SHA-256"),
        (lambda m: m.pop("cubes"), "meta.cubes: expected a setting, found none"),
        (lambda m: m.update(format=9), "meta.format: expected one of 1, found 9"),
        (lambda m: m.update(sha256=[]), "meta.sha256: expected settings"),
    ],
)
def test_a_description_that_was_changed_is_refused(copied, change, said):
    file = storage.folder(copied) / storage.META
    meta = json.loads(file.read_text())
    change(meta)
    file.write_text(json.dumps(meta))
    assert said in refused(copied)
    file.write_text(file.read_text()[:-9])
    assert "cannot be read" in refused(copied)


def test_a_recipe_that_cannot_be_is_refused(copied):
    meta = storage.read_meta(copied)
    for name, value, said in (
        ("name", "forrest", "did you mean forest"),
        ("means", [2], "config.means"),
        ("indices", ["ndvy"], "config.indices"),
        ("num_periods", 0, "config.num_periods"),
    ):
        recipe_of = meta["recipe"] | {"model": meta["recipe"]["model"] | {name: value}}
        reseal(copied, recipe=recipe_of)
        assert said in refused(copied)


def test_a_folder_holds_a_network_or_a_baseline(copied, tmp_path):
    with pytest.raises(ValueError, match="--checkpoint: expected 'last' for a baseline .*'best'"):
        runs.open_run(copied, "best")
    (copied / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="expected checkpoints/ or baseline/, found both"):
        runs.open_run(copied)
    with pytest.raises(ValueError, match="expected a run's workdir"):
        runs.open_run(tmp_path / "nowhere")


def test_what_cannot_be_written_leaves_nothing(world, tmp_path, monkeypatch):
    def full(*args, **rest):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(skops.io, "dump", full)
        with pytest.raises(OSError, match="could not be written .No space left"):
            keep(world[1], tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


def test_names_of_evaluate_are_methods_or_the_raw_forest():
    assert set(settings.NAMED) == {*methods.METHODS, "raw_forest"}


def test_who_maps_does_not_wait_for_what_is_not_needed():
    code = (
        "import sys, cropmap_jax.mapping.crop_map; print({'sklearn', 'grain'} & {*sys.modules})\n"
        "import cropmap_jax.baselines.storage; print({'torch', 'dask.array'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["set()", "set()", ""]
