"""A baseline is trained for keeps; `evaluate`, `compare` and `predict` take its workdir."""

import json
import shutil

import making
import numpy as np
import pytest
import rasterio

from cropmap_jax.baselines import storage
from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.geo.sensors import SENSORS

QUICK = ("--config.arguments.trees=8", "--config.most_pixels=2000")


def train(starter, root, workdir, *flags, config="forest", dataset="cubes/iran"):
    """Runs `baseline` on a dataset of the world."""
    named = (f"--config.data_dir={root / 'data'}", f"--config.dataset={dataset}")
    quick = QUICK if config == "forest" else ()
    path = f"configs/baselines/{config}.py"
    return starter.run("baseline", "--config", path, "--workdir", workdir, *named, *quick, *flags)


def line_of(done) -> str:
    """The one line that a failing command prints."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    return line


@pytest.fixture(scope="module")
def world(tmp_path_factory, starter):
    """Two datasets of different legends, and a kept forest of one of them."""
    root = tmp_path_factory.mktemp("world")
    europe = Legend("europe", tuple(make_class(i, i, f"class_{i}") for i in range(4)))
    making.make_cubes(root / "europe", ("train", "test"), legend=europe, size=24)
    making.make_cubes(root / "iran")
    for name in ("europe", "iran"):
        flags = ("--cubes", root / name, "--data_dir", root / "data", "--name", name)
        done = starter.run("build", *flags, "--chip", 32)
        assert done.returncode == 0, done.stderr[-3000:]
    done = train(starter, root, root / "kept")
    assert done.returncode == 0, done.stderr[-3000:]
    return root, done.stdout


def test_it_says_what_it_learnt_from_and_where_it_lies(world):
    root, out = world
    # 18 values a period, themselves and two means of them, six periods; and the date.
    assert "326 features each" in out and f"baseline: {root / 'kept' / 'baseline'}" in out
    assert "next: python -m experiments.evaluate" in out
    meta = json.loads((root / "kept" / "baseline" / "baseline.json").read_text())
    assert meta["config"]["arguments"]["trees"] == 8
    assert set(meta["trained"]["pixels"]) == {*making.LEGEND.names, "none_of_these"}
    written = sorted(p.name for p in (root / "kept").iterdir() if not p.name.startswith("."))
    assert written == ["MODEL_CARD.md", "baseline", "model_item.json", "training_data.json"]


def test_run_again_it_is_finished_and_other_settings_are_refused(world, starter):
    root, _ = world
    model = (root / "kept" / "baseline" / "model.skops").read_bytes()
    done = train(starter, root, root / "kept")
    assert done.returncode == 0 and "finished already: nothing to do" in done.stdout
    line = line_of(train(starter, root, root / "kept", "--config.seed=7", "--config.dates=False"))
    assert "config.dates: was True, now False; config.seed: was 0, now 7" in line
    line = line_of(train(starter, root, root / "kept", dataset="cubes/europe"))
    assert "dataset: was" in line and "cubes/iran" in line
    assert (root / "kept" / "baseline" / "model.skops").read_bytes() == model


def test_evaluate_scores_it_next_to_others_and_compare_reads_that(world, starter):
    root, _ = world
    done = starter.run(
        "evaluate", "--workdir", root / "kept", "--crop", "all", "--baseline", "raw_forest,dates",
        "--trees", "5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    file = root / "kept" / "evaluation" / "test" / "all.json"
    found = json.loads(file.read_text())
    methods = [row["method"] for row in found["scores"]]
    assert list(dict.fromkeys(methods)) == ["forest", "raw_forest", "dates"]
    assert found["settings"]["method"] == "forest" and found["settings"]["trained_on"] == []
    assert (file.parent / "wheat" / "test_2.png").is_file()
    f1 = {
        (r["crop"], r["method"]): r["f1"]
        for r in found["scores"]
        if (r["unit"], r["rule"]) == ("pixels", "chosen")
    }
    # What grows can be seen in these cubes, and not told from the date.
    mean = {m: np.mean([f1[name, m] for name in making.LEGEND.names]) for m in ("forest", "dates")}
    assert mean["forest"] > mean["dates"] + 0.2, f1
    out = starter.run("compare", "--scores", f"a={file}").stdout
    rows = {line[16:40].strip() for line in out.splitlines()[1:]}
    assert {"a", "a: raw_forest", "a: dates"} == rows
    line = line_of(
        starter.run(
            "evaluate", "--workdir", root / "kept", "--crop", "wheat", "--baseline", "forest"
        )
    )
    assert "--baseline: expected other methods than that of --workdir, found 'forest'" in line


def test_predict_maps_with_it(world, starter, tmp_path):
    root, _ = world
    flags = ("--workdir", root / "kept", "--cubes", root / "iran", "--as_of", "2022-06-01")
    done = starter.run("predict", *flags, "--out", tmp_path / "map")
    assert done.returncode == 0, done.stderr[-3000:]
    with rasterio.open(tmp_path / "map" / "test_2" / "crop.tif") as raster:
        crop = raster.read(1)
    label = making.make_cube("test_2", tile=(making.TILE[0] + 16, making.TILE[1]), seed=2).label
    known = (label < 3) & (crop != 255)
    assert known.sum() > 100 and np.mean(crop[known] == label[known]) > 0.9
    again = starter.run("predict", *flags, "--out", tmp_path / "map")
    assert "mapped already: 3 of 3 cubes" in again.stdout


def test_it_is_refused_where_a_network_would_be(world, starter, tmp_path):
    root, _ = world
    common = ("--workdir", root / "kept", "--crop", "wheat")
    line = line_of(starter.run("evaluate", *common, "--dataset", "cubes/europe"))
    assert "expected the checkpoint's legend 'making'" in line and "'europe'" in line
    line = line_of(starter.run("evaluate", *common, "--checkpoint", "best"))
    assert "--checkpoint: expected 'last' for a baseline" in line
    shutil.copytree(root / "kept", tmp_path / "w")
    (tmp_path / "w" / "baseline" / "model.skops").write_bytes(b"no model")
    for verb, flags in (
        ("evaluate", ("--crop", "wheat")),
        ("predict", ("--cubes", root / "iran", "--as_of", "2022-06-01", "--out", tmp_path / "m")),
    ):
        line = line_of(starter.run(verb, "--workdir", tmp_path / "w", *flags))
        assert "model.skops: expected SHA-256" in line
    assert not (tmp_path / "m").exists()


MISTAKES = [
    (("--config.method=forrest",), "config.method: found 'forrest'; did you mean forest?"),
    (("--config.indices=('ndvi','evi')",), "config.indices: expected indices among"),
    (("--config.sensors=('s1',)", "--config.indices=('ndvi',)"), "ndvi needs B8, B4 of sensor s2"),
    (("--config.means=(4,)",), "config.means: expected odd sides"),
    (("--config.num_periods=0",), "config.num_periods: expected a whole number from 1"),
    (("--config.draw_by=fields",), "config.draw_by: expected one of field, place, all"),
    (("--config.arguments.trees=0",), "config.arguments.trees"),
    (("--config.lead_days=400",), "--config.lead_days"),
    (("--config.as_of=('2021-01-01','2021-02-01')",), "as-of 2021-01-01 lies before"),
    (("--config.dataset=cubes/none",), "cubes/none"),
    (("--config.data_dir=",), "--config.data_dir: expected a value, found none"),
]


@pytest.mark.parametrize(("flags", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(world, starter, tmp_path, flags, said):
    root, _ = world
    line = line_of(train(starter, root, tmp_path / "w", *flags))
    assert said in line, line
    assert not (tmp_path / "w" / storage.FOLDER).exists()


def test_a_network_s_workdir_is_left_alone(world, starter, tmp_path):
    root, _ = world
    (tmp_path / "w" / "checkpoints").mkdir(parents=True)
    line = line_of(train(starter, root, tmp_path / "w"))
    assert "expected a folder without the checkpoints of others, found" in line


def test_one_sensor_will_do_and_others_of_the_cubes_are_not_needed(world, starter, tmp_path):
    root, _ = world
    done = train(starter, root, tmp_path / "w", "--config.sensors=('s2',)")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "272 features each" in done.stdout
    kept = storage.load(tmp_path / "w")
    assert kept.recipe.sensors == (SENSORS["s2"],)


def test_a_class_that_nobody_annotated_is_said(world, starter, tmp_path):
    root, _ = world
    # Cubes of 24 pixels have nine fields; of four classes, one may not be among them.
    done = train(starter, root, tmp_path / "w", config="dates", dataset="cubes/europe")
    assert done.returncode == 0, done.stderr[-3000:]
    counts = storage.load(tmp_path / "w").trained["pixels"]
    for name, count in counts.items():
        said = f"note: {name}: no annotated pixel in train" in done.stdout
        assert said == (count == 0) or name == "none_of_these"
