"""`calibrate` as a user starts it, and the map that `predict` makes with what it wrote."""

import json
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
import rasterio
from combined import small_members
from test_baseline_command import line_of
from test_combine_command import build, without

from cropmap_jax import runs
from cropmap_jax.data import dataset
from cropmap_jax.evaluation import held_out
from cropmap_jax.geo import cube_io
from cropmap_jax.runs import calibration

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Datasets: with 60 fields to fit on, with none of maize, with few fields, without
    validation; a forest, a network of sigmoid."""
    root = tmp_path_factory.mktemp("calibrate")
    making.make_cubes(root / "many", ("train", "validation", "test"), size=64)
    making.make_cubes(root / "lacking", ("train", "test"), size=64)
    tile = (making.TILE[0] + 80, making.TILE[1])
    cube = making.make_cube("none", 64, split="validation", tile=tile, seed=8)
    cube_io.write_cube(without(cube, [2]), root / "lacking")
    # All that was annotated lies on three fields.
    making.make_cubes(root / "few", ("train", "test"), size=32)
    cube = making.make_cube("few", 32, split="validation", tile=tile, seed=9)
    cube.label[8:] = 255
    cube_io.write_cube(cube, root / "few")
    making.make_cubes(root / "bare", ("train", "test"), size=32)
    found = {name: build(root, name) for name in ("many", "lacking", "few", "bare")}
    small_members.keep_forest(found["many"], root / "forest")
    small_members.save_network(found["many"], root / "sigmoid", loss="sigmoid")
    return root


def copy(world, tmp_path, name="forest"):
    shutil.copytree(world / name, tmp_path / name)
    return tmp_path / name


@pytest.fixture(scope="module")
def fitted(world, starter, tmp_path_factory):
    workdir = copy(world, tmp_path_factory.mktemp("fitted"))
    done = starter.run("calibrate", "--workdir", workdir, "--test")
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir, done.stdout


def test_it_is_fitted_scored_and_written(fitted):
    workdir, out = fitted
    run = runs.open_run(workdir)
    found = calibration.find(workdir, run)
    assert found.calibration.method == "temperature" and found.calibration.temperature != 1
    assert found.meta["fitted"]["split"] == "validation"
    assert found.meta["how"]["folds"] == "fields"
    assert [row["split"] for row in found.meta["fitted"]["ground"]] == ["validation"]
    assert found.meta["provenance"]["command"].startswith("python -m experiments.calibrate --work")
    assert set(found.thresholds) == {0.8, 0.9, 0.95}
    scores = found.meta["scores"]
    assert scores["after"]["log_loss"] <= scores["before"]["log_loss"] + 0.02
    assert f"calibration: {workdir / 'calibration.json'}" in out and "class shown" in out
    text = (workdir / "evaluation" / "calibration.json").read_text()
    assert "NaN" not in text
    made = json.loads(text)
    assert made["split"] == "test" and made["after"]["map"]["sets"][0]["stated"] == 0.8
    assert (workdir / "evaluation" / "calibration.png").read_bytes().startswith(b"\x89PNG")


def confidence(folder):
    found = {}
    for file in sorted(folder.glob("*/confidence.tif")):
        with rasterio.open(file) as raster:
            found[file.parent.name] = raster.read(1)
            name = raster.descriptions[0]
    return found, name


def test_predict_writes_calibrated_confidence_and_says_so(world, fitted, starter, tmp_path):
    workdir, _ = fitted
    flags = ("--workdir", workdir, "--cubes", world / "many", "--as_of", "2022-06-01")
    done = starter.run("predict", *flags, "--out", tmp_path / "with")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "note: probabilities are calibrated: temperature" in done.stdout
    bare = starter.run("predict", *flags, "--out", tmp_path / "without", "--nocalibrate")
    assert bare.returncode == 0 and "are calibrated" not in bare.stdout
    (new, what), (old, name) = (confidence(tmp_path / n) for n in ("with", "without"))
    assert what.startswith("calibrated probability of") and name.startswith("probability of")
    assert any((new[cube] != old[cube]).any() for cube in new)
    for cube in new:  # a temperature changes no class
        crops = [rasterio.open(tmp_path / n / cube / "crop.tif") for n in ("with", "without")]
        assert np.mean(crops[0].read(1) != crops[1].read(1)) < 0.001  # but for ties
    described = json.loads((tmp_path / "with" / cube / "map.json").read_text())
    assert described["calibrated"].startswith("temperature")
    assert described["settings"]["calibration"] == calibration.load(workdir).digest
    assert "calibrated: temperature" in (tmp_path / "with" / "summary.txt").read_text()
    line = line_of(starter.run("predict", *flags, "--out", tmp_path / "with", "--nocalibrate"))
    assert "made with other settings (calibration: was" in line


def test_another_state_of_the_run_is_not_rescaled_with_it(world, fitted, starter, tmp_path):
    workdir = copy(fitted[0].parent, tmp_path)
    other = world / "other"
    if not other.exists():
        data = build_again(world)
        small_members.keep_forest(data, other, seed=5)
    shutil.rmtree(workdir / "baseline")
    shutil.copytree(other / "baseline", workdir / "baseline")
    flags = ("--workdir", workdir, "--cubes", world / "many", "--as_of", "2022-06-01")
    line = line_of(starter.run("predict", *flags, "--out", tmp_path / "map"))
    assert "calibration.json: fitted to other weights, and the run was read at" in line
    assert "run calibrate again" in line and "or pass --nocalibrate" in line


def build_again(world):
    from cropmap_jax.data import dataset

    return dataset.open_dataset(str(world / "data"), "cubes/many")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_a_damaged_file_is_named(fitted, tmp_path, damage):
    workdir = copy(fitted[0].parent, tmp_path)
    file = workdir / "calibration.json"
    text = file.read_text()
    changed = json.loads(text)
    changed["calibration"]["temperature"] = 7.0
    file.write_text(
        {"cut": text[:300], "changed": json.dumps(changed), "empty": "", "other": "[1]"}[damage]
    )
    with pytest.raises(ValueError, match=r"calibration\.json: expected a calibration, found a fil"):
        calibration.find(workdir, runs.open_run(workdir))


def test_the_ground_of_the_fit_is_not_held_out(world, fitted):
    workdir, _ = fitted
    run, data = runs.open_run(workdir), build_again(world)
    found = calibration.find(workdir, run)
    meta = found.meta | {"fitted": found.meta["fitted"] | {
        "ground": [row for row in data.ground if row["split"] == "test"]}}  # fmt: skip
    told = calibration.with_ground(run, calibration.Stored(found.calibration, meta))
    held_out.check(run, data, "test")
    with pytest.raises(ValueError, match=r"validation of calibration"):
        held_out.check(told, data, "test")


def test_shares_of_all_ground_are_written_and_applied(world, starter, tmp_path):
    workdir = copy(world, tmp_path)
    file = tmp_path / "shares.csv"
    file.write_text("class,share\nwheat,0.1\nrapeseed,0.1\nmaize,0.1\nnone_of_these,0.7\n")
    flags = ("--workdir", workdir, "--prevalence")
    done = starter.run("calibrate", *flags, file)
    assert done.returncode == 0, done.stderr[-3000:]
    found = calibration.load(workdir)
    shares = found.meta["prevalence"]
    assert shares["all_ground"]["none_of_these"] == pytest.approx(0.7)
    known = shares["annotated"]["none_of_these"]
    assert found.calibration.ratios[3] == pytest.approx(0.7 / known)
    done = starter.run("calibrate", *flags, "estimate")
    assert done.returncode == 0, done.stderr[-3000:]
    found = calibration.load(workdir).meta["prevalence"]
    assert found["source"] == "estimate"
    assert sum(found["all_ground"].values()) == pytest.approx(1)
    file.write_text("class,share\nrice,1\n")
    line = line_of(starter.run("calibrate", *flags, file))
    assert "line 2: expected one of wheat, rapeseed, maize, none_of_these" in line


def test_classes_one_by_one_are_calibrated_too(world, starter, tmp_path):
    workdir = copy(world, tmp_path, "sigmoid")
    done = starter.run("calibrate", "--workdir", workdir, "--checkpoint", 3)
    assert done.returncode == 0, done.stderr[-3000:]
    # What comes next is of that checkpoint.
    assert f"predict --workdir {workdir} --checkpoint 3 ..." in done.stdout
    assert "class shown" not in done.stdout and "mean of crops" in done.stdout
    line = line_of(starter.run("calibrate", "--workdir", workdir, "--prevalence", "estimate"))
    assert "--prevalence estimate: expected a run whose classes exclude each other" in line


def test_a_class_that_validation_lacks_is_noted(world, starter, tmp_path):
    workdir = copy(world, tmp_path)
    flags = ("--workdir", workdir, "--dataset", "cubes/lacking")
    done = starter.run("calibrate", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    before = calibration.load(workdir)
    assert starter.run("calibrate", *flags).returncode == 0
    assert calibration.load(workdir).calibration == before.calibration
    assert "note: validation has no field of maize" in done.stdout
    assert "maize" in done.stdout and "nan" not in done.stdout


def test_only_the_fields_that_the_run_knows_are_fitted_on(world, starter, tmp_path):
    data = dataset.open_dataset(str(world / "data"), "cubes/many")
    few = {"fields_per_class": 8, "fields_draw": 1}
    thinned = dataset.open_dataset(str(world / "data"), "cubes/many", **few)
    known, there = thinned.few.counts["validation"].sum(0).tolist()
    assert 20 <= known < there
    workdir = small_members.keep_forest(data, tmp_path / "forest", more=few)
    done = starter.run("calibrate", "--workdir", workdir)
    assert done.returncode == 0, done.stderr[-3000:]
    assert calibration.load(workdir).meta["fitted"]["fields"] == known
    assert "note: config.fields_per_class 8, draw 1" in done.stdout


MISTAKES = {
    "few": (("--dataset", "cubes/few"), "validation: expected 20 annotated fields or more that"),
    "no split": (("--dataset", "cubes/bare"), "found no split 'validation'; expected one of train"),
    "learnt": (("--split", "train"), "--split train: expected ground that was not trained on"),
    "method": (("--method", "platt"), "--method: expected temperature, isotonic or auto for this"),
    "enough": (("--method", "isotonic"), "--method isotonic: expected a class with 30 fields in 3"),
    "file": (("--prevalence", "nowhere.csv"), "nowhere.csv: expected a CSV file, found none"),
    "date": (("--as_of", "soon"), "--as_of"),
    "test": (("--split", "test", "--test"), "--test: expected another --split than test"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(world, starter, tmp_path, name):
    flags, said = MISTAKES[name]
    workdir = copy(world, tmp_path)
    line = line_of(starter.run("calibrate", "--workdir", workdir, *flags))
    assert said in line
    assert not (workdir / "calibration.json").exists()
