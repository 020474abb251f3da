"""Models from Python: maps equal those of `predict`, scores those of `evaluate`."""

import dataclasses
import json

import making
import matplotlib
import numpy as np
import pytest
import xarray as xr
from mapping import small_maps

import cropmap_jax
from cropmap_jax import Cube, Dataset
from cropmap_jax.baselines import keeping
from cropmap_jax.inference.calibrated import Calibration
from cropmap_jax.runs import calibration
from cropmap_jax.training import checkpoints

AS_OF = small_maps.AS_OF
WORDS = {"threshold": 0.35, "smooth": 3, "batch_size": 2}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two cubes that touch, under the map of a network that sees beyond a part, as `predict` made
    it."""
    root = tmp_path_factory.mktemp("places")
    whole = making.make_cube("whole", (64, 96), fields=False)
    west = small_maps.piece(whole, "west", slice(0, 64), slice(0, 40))
    east = small_maps.piece(whole, "east", slice(0, 64), slice(40, 96))
    small_maps.write(root / "cubes", west, east)
    recipe = dataclasses.replace(small_maps.make_recipe(), pixel_m=10.0)
    small_maps.save_checkpoint(root / "W", recipe)
    small_maps.make_map(root / "W", root / "cubes", root / "map", **WORDS)
    return root


@pytest.fixture(scope="module")
def model(places):
    return cropmap_jax.load(places / "W")


def test_a_model_says_what_it_takes(model):
    assert (model.method, model.step, model.window, model.period_kind) == ("network", 3, 2, "month")
    assert model.classes == ("wheat", "rapeseed", "maize") == model.legend.names
    assert model.bands[:3] == ("VV", "VH", "B2") and [s.name for s in model.sensors] == ["s1", "s2"]
    assert (model.lead_days, model.calibrated) == (30, "")
    assert repr(model).startswith("<Model network in ") and "3 classes of making" in repr(model)


def test_maps_are_those_that_predict_writes(places, model):
    cubes = [cropmap_jax.read_cube(places / "cubes" / name) for name in ("west", "east")]
    found = model.predict(cubes, AS_OF, **WORDS, progress=False)
    for cube, made in zip(cubes, found, strict=True):
        folder = places / "map" / cube.attrs["cube_id"]
        for name, file in (("crop", "crop"), ("confidence", "confidence")):
            (path,) = folder.glob(f"{file}*.tif")
            np.testing.assert_array_equal(made[name], small_maps.read(path))
        assert made.odc.geobox == cube.odc.geobox
        assert made["class"].values.tolist() == ["wheat", "rapeseed", "maize"]
        shown = made.crop.values < 3
        best = made.probability.max("class").values
        np.testing.assert_array_equal(
            made.confidence.values[shown], np.rint(100 * best[shown]).astype(np.uint8)
        )
        assert shown.any() and len(np.unique(made.confidence)) > 1


@pytest.fixture
def of_a_notebook():
    """Figures are drawn by another backend, as in a notebook; until the test ends."""
    before = matplotlib.get_backend()
    matplotlib.use("svg")
    yield "svg"
    matplotlib.use(before)


def test_a_map_is_written_as_predict_writes_it(places, model, tmp_path, of_a_notebook):
    model.write_map(places / "cubes", AS_OF, tmp_path / "map", progress=False, **WORDS)
    assert matplotlib.get_backend() == of_a_notebook, "a notebook goes on showing figures"
    ours, theirs = (sorted(p.name for p in d.iterdir()) for d in (tmp_path / "map", places / "map"))
    assert ours == theirs
    for cube in ("west", "east"):
        a, b = (small_maps.read(d / cube / "crop.tif") for d in (tmp_path / "map", places / "map"))
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="^options: .*colour"):
        model.write_map(places / "cubes", AS_OF, tmp_path / "map", colour="red")


def test_one_cube_is_one_map(places, model):
    cube = cropmap_jax.read_cube(places / "cubes" / "west")
    alone = model.predict(cube, AS_OF, progress=False)
    again = model.predict(Cube.read(places / "cubes" / "west"), AS_OF, progress=False)
    assert isinstance(alone, xr.Dataset) and alone.attrs["as_of"] == AS_OF
    xr.testing.assert_identical(alone, again)
    hidden = cube.copy(deep=True)
    for name in model.bands:
        hidden[name][:, :8, :8] = np.nan
    seen = model.predict(hidden, AS_OF, progress=False)
    assert np.isnan(seen.probability[:, :8, :8]).all() and (seen.crop[:8, :8] == 255).all()
    assert not np.isnan(seen.probability[:, 8:, 8:]).any()


def test_a_calibration_applies(places, model, monkeypatch):
    cube = cropmap_jax.read_cube(places / "cubes" / "west")
    bare = model.predict(cube, AS_OF, progress=False)
    halved = Calibration("temperature", False, False, 2.0)
    meta = {"fitted": {"fields": 3, "split": "test", "dataset": "d"}, "prevalence": None}
    stored = calibration.Stored(halved, meta)
    monkeypatch.setattr(calibration, "find", lambda workdir, run: stored)
    own = cropmap_jax.load(places / "W")
    assert own.calibrated == "temperature 2.00, fitted on 3 fields of test of d"
    found = own.predict(cube, AS_OF, progress=False)
    np.testing.assert_allclose(found.probability, halved(bare.probability.values), atol=1e-6)
    off = own.predict(cube, AS_OF, calibrate=False, progress=False)
    xr.testing.assert_identical(off, bare)


@pytest.mark.parametrize(
    ("change", "as_of", "message"),
    [
        (lambda d: d, "soon", "^as_of: expected a date"),
        (lambda d: d, "2021-12-15", "expected .*as-of|as-of .*expected"),
        (
            lambda d: d,
            "2024-12-15",
            "^as_of 2024-12-15: expected a date within a year of the last image",
        ),
        (lambda d: d.drop_vars("spatial_ref").drop_attrs(), AS_OF, "expected a CRS"),
        (lambda d: d.isel(time=slice(None, None, -1)), AS_OF, "expected ascending time"),
        (lambda d: d.drop_vars("VH"), AS_OF, "expected bands VV, VH of Sentinel-1, found no VH"),
        (lambda d: d.coarsen(x=2, y=2).mean(), AS_OF, "expected pixels of 10 m as in training"),
        (lambda d: [d, d], AS_OF, "expected names that differ .cube_id., found 'west'"),
        (lambda d: [], AS_OF, "expected at least one cube"),
        (lambda d: [1], AS_OF, "expected an xarray.Dataset or a Cube, found int"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_one_line(places, model, change, as_of, message):
    cube = cropmap_jax.read_cube(places / "cubes" / "west")
    cube = cube.drop_vars(["label"])
    with pytest.raises(ValueError, match=message) as caught:
        model.predict(change(cube), as_of, progress=False)
    assert "\n" not in str(caught.value)


def test_no_workdir_and_one_of_a_later_version_are_refused(places, tmp_path):
    with pytest.raises(ValueError, match="expected"):
        cropmap_jax.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="workdir: expected a path"):
        cropmap_jax.load("")


# Training -----------------------------------------------------------------------------------------

SMALL = {
    "epochs": 1,
    "steps_per_epoch": 4,
    "batch_size": 32,
    "model.num_periods": 3,
    "scratch.num_periods": 3,
    "scratch.width": 8,
    "scratch.embed": 4,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Cubes in memory, a dataset of them, and a model."""
    root = tmp_path_factory.mktemp("trained")
    made = making.make_cubes(root / "cubes", size=32)
    cubes = [cropmap_jax.read_cube(path) for path in made]
    data = Dataset.from_xarray(cubes, root / "data", chip=32, progress=False)
    model = cropmap_jax.fit(data, workdir=root / "run", settings=SMALL, progress=False)
    return root, cubes, data, model


def test_fit_does_what_the_commands_do(trained):
    root, cubes, data, model = trained
    assert data.legend.names == ("wheat", "rapeseed", "maize") and "s2: " in data.describe()
    assert Dataset.from_cubes(root / "cubes", root / "data", chip=32, progress=False) == data
    config = checkpoints.load(root / "run").config
    assert config["data_dir"] == str(root / "data") and config["dataset"] == "cubes/default"
    assert config["from_scratch"] is True and config["steps_per_epoch"] == 4
    assert (model.step, model.window, model.lead_days) == (4, 3, 30)
    found = model.predict(cubes[0], "2022-06-01", progress=False)
    assert found["class"].values.tolist()[-1] == "none_of_these"
    np.testing.assert_allclose(found.probability.sum("class"), 1, atol=1e-5)
    # Run again, it is finished.
    again = cropmap_jax.fit(data, workdir=root / "run", settings=SMALL, progress=False)
    assert again.step == 4


def test_scores_are_a_table(trained):
    root, _, data, model = trained
    scores = model.evaluate(lead_days=[60, 30])
    assert scores.table.f1.dims == ("unit", "crop", "lead_days")
    assert scores.table.crop.values.tolist() == [*model.classes, "macro mean"]
    assert scores.table.lead_days.values.tolist() == [60, 30]
    point = scores.table.sel(unit="pixels", crop="maize", lead_days=30)
    row = next(c for c in scores.raw["curves"] if (c["unit"], c["crop"]) == ("pixels", "maize"))
    assert row["points"][1]["tp"] == point.tp.item()
    tp, fp, fn = (point[name].item() for name in ("tp", "fp", "fn"))
    if tp:
        np.testing.assert_allclose(point.f1.item(), 2 * tp / (2 * tp + fp + fn))
    assert json.dumps(scores.raw) and "F1 of 0.8 is reached by" in str(scores)
    assert not (root / "run" / "evaluation").exists(), "nothing is written"
    one = model.evaluate(data, crops=["wheat"], as_of="2022-06-01")
    assert one.table.f1.dims == ("unit", "crop", "as_of") and one.table.sizes["as_of"] == 1
    with pytest.raises(ValueError, match="^until: expected neither lead_days nor as_of"):
        model.evaluate(until="2022-06-01", as_of="2022-05-01")
    with pytest.raises(ValueError, match="found no split 'all'"):
        model.evaluate(split="all")
    with pytest.raises(ValueError, match="crop 'rye' is not in legend"):
        model.evaluate(crops=["rye"])


def test_a_baseline_is_fitted_and_maps(trained):
    root, cubes, data, _ = trained
    few = {"arguments.trees": 5, "most_pixels": 500, "num_periods": 3, "means": ()}
    forest = cropmap_jax.fit(
        data, "configs/baselines/forest.py", workdir=root / "forest", settings=few, progress=False
    )
    assert (forest.method, forest.window) == ("forest", 3)
    found = forest.predict(cubes[2], "2022-07-01", progress=False)
    assert (found.crop != 255).any() and forest.evaluate().table.f1.notnull().any()


def test_a_baseline_learns_from_as_few_fields_as_its_settings_say(trained, tmp_path, monkeypatch):
    seen = []

    def train(data, *_):
        seen.append(data.few.per_class)
        raise ValueError("seen")

    monkeypatch.setattr(keeping, "train", train)
    with pytest.raises(ValueError, match="seen"):
        cropmap_jax.fit(
            trained[2], "configs/baselines/forest.py", workdir=tmp_path / "run",
            settings={"fields_per_class": 2}, progress=False,
        )  # fmt: skip
    assert seen == [2]


def test_settings_that_cannot_be_are_refused(trained, tmp_path):
    _, _, data, _ = trained
    for words, message in (
        ({"settings": {"epohcs": 2}}, "^settings: epohcs: no such setting"),
        ({"settings": {"epochs": "many"}}, "^settings: epochs: "),
        ({"config": "nowhere.py"}, "^config: expected a configuration file"),
        ({"settings": {"epochs": -1}}, "epochs"),
    ):
        with pytest.raises(ValueError, match=message):
            cropmap_jax.fit(data, workdir=tmp_path / "run", progress=False, **words)
    with pytest.raises(ValueError, match="^cubes: expected at least one cube"):
        Dataset.from_xarray([], tmp_path / "data")
    with pytest.raises(ValueError, match="^kind: expected one of cubes"):
        Dataset.from_cubes(tmp_path, tmp_path / "data", kind="fields")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
