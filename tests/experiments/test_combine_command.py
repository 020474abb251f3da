"""`combine` as a user starts it; `evaluate`, `compare` and `predict` take what it wrote."""

import importlib
import json
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
from combined import small_members
from test_baseline_command import line_of

from cropmap_jax import runs
from cropmap_jax.data import cube_builder, dataset
from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import Legend, make_class

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


def build(root, name):
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, name, root / name, root / "data", chip=32)
    return dataset.open_dataset(str(root / "data"), f"cubes/{name}")


def without(made, classes):
    """The cube as if nobody had annotated these."""
    made.label[np.isin(made.label, classes)] = 255
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Datasets: with 30 fields to weigh on, with few, with none of maize, with none at all, and
    one of another legend; two forests, one that knows nothing of optical images; a network."""
    root = tmp_path_factory.mktemp("combine")
    making.make_cubes(root / "many", ("train", "validation", "test"), size=64)
    making.make_cubes(root / "few", ("train", "validation", "test"), size=32)
    making.make_cubes(root / "bare", ("train", "test"), size=32)
    making.make_cubes(root / "lacking", ("train", "test"), size=64)
    tile = (making.TILE[0] + 80, making.TILE[1])
    cube = making.make_cube("none", 64, split="validation", tile=tile, seed=8)
    cube_io.write_cube(without(cube, [2]), root / "lacking")
    europe = Legend("europe", tuple(make_class(i, i, f"class_{i}") for i in range(4)))
    making.make_cubes(root / "europe", ("train", "test"), legend=europe, size=32)
    found = {name: build(root, name) for name in ("many", "few", "bare", "lacking", "europe")}
    small_members.keep_forest(found["many"], root / "good")
    small_members.keep_forest(found["many"], root / "seed_1" / "good", seed=1)
    # Trained on one period alone, as far as it can tell.
    small_members.keep_forest(found["many"], root / "short", num_periods=3)
    small_members.keep_forest(found["europe"], root / "other")
    small_members.save_network(found["many"], root / "network")
    return root


def combine(starter, root, workdir, *names, flags=()):
    paths = ",".join(str(root / name) for name in names)
    return starter.run("combine", "--workdirs", paths, "--workdir", workdir, *flags)


def weights(workdir) -> dict[str, float]:
    run = runs.open_run(workdir)
    return dict(zip(run.members, run.weights, strict=True))


@pytest.fixture(scope="module")
def weighed(world, starter):
    """A forest and a network that never learnt, weighed on 30 fields."""
    done = combine(starter, world, world / "W", "network", "good")
    assert done.returncode == 0, done.stderr[-3000:]
    return world / "W", done.stdout


def test_what_has_learnt_weighs_more_and_how_that_was_found_is_written(weighed):
    workdir, out = weighed
    found = weights(workdir)
    assert found["good"] > 0.9 and sum(found.values()) == pytest.approx(1)
    assert "note: equal weights" not in out and f"combined: {workdir / 'combined'}" in out
    assert f"next: python -m experiments.evaluate --workdir {workdir} --crop all" in out
    meta = json.loads((workdir / "combined" / "combined.json").read_text())
    assert meta["how"]["weights"] == "fitted" and meta["how"]["fields"] >= 20
    assert meta["how"]["gain"]["low"] > 0
    assert [row["split"] for row in meta["how"]["ground"]] == ["validation"]
    assert meta["provenance"]["command"].startswith("python -m experiments.combine --workdirs")
    written = sorted(p.name for p in workdir.iterdir() if not p.name.startswith("."))
    assert written == ["MODEL_CARD.md", "combined", "model_item.json", "training_data.json"]


def test_run_again_it_is_finished_and_others_are_refused(world, weighed, starter):
    workdir, _ = weighed
    file = workdir / "combined" / "combined.json"
    before = file.read_bytes()
    done = combine(starter, world, workdir, "network", "good")
    assert done.returncode == 0 and "combined already: nothing to do" in done.stdout
    line = line_of(combine(starter, world, workdir, "network", "seed_1/good"))
    assert "holds combined runs that differ (members); expected the same, or another" in line
    line = line_of(combine(starter, world, workdir, "network", "good", flags=("--equal",)))
    assert "that differ (equal, fingerprint)" in line
    assert file.read_bytes() == before


def test_evaluate_scores_the_mean_and_each_member_and_compare_reads_that(weighed, starter):
    workdir, _ = weighed
    done = starter.run("evaluate", "--workdir", workdir, "--crop", "all", "--max_pictures", "0")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pictures:" not in done.stdout
    file = workdir / "evaluation" / "test" / "all.json"
    found = json.loads(file.read_text())
    methods = [row["method"] for row in found["scores"]]
    assert list(dict.fromkeys(methods)) == ["combined", "network", "good"]
    assert found["settings"]["method"] == "combined" and found["settings"]["trained_on"] == []
    assert found["settings"]["weights"] == weights(workdir)
    each = [[r["n"] if "n" in r else r["tp"] + r["fp"] + r["fn"] + r["tn"] for r in found["scores"]
             if r["method"] == m] for m in ("combined", "good")]  # fmt: skip
    assert each[0] == each[1]
    out = starter.run("compare", "--scores", f"a={file}").stdout
    rows = {line[16:40].strip() for line in out.splitlines()[1:]}
    assert rows == {"a", "a: network", "a: good"}
    flags = ("--crop", "wheat", "--nomembers", "--max_pictures", "0")
    done = starter.run("evaluate", "--workdir", workdir, *flags)
    assert done.returncode == 0 and " combined" in done.stdout and " good" not in done.stdout
    line = line_of(
        starter.run("evaluate", "--workdir", workdir, "--crop", "all", "--checkpoint", "best")
    )
    assert "--checkpoint: expected 'last' for combined runs" in line


def test_predict_maps_with_it(world, weighed, starter, tmp_path):
    workdir, _ = weighed
    flags = ("--workdir", workdir, "--cubes", world / "many", "--as_of", "2022-06-01")
    done = starter.run("predict", *flags, "--out", tmp_path / "map")
    assert done.returncode == 0, done.stderr[-3000:]
    again = starter.run("predict", *flags, "--out", tmp_path / "map")
    assert "mapped already: 3 of 3 cubes" in again.stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("few", "fields, and fewer than 20 tell too little"),
        ("lacking", "validation has no field of maize"),
        ("bare", "has no validation split"),
    ],
)
def test_where_validation_tells_too_little_weights_are_equal(world, starter, tmp_path, name, why):
    flags = ("--dataset", f"cubes/{name}")
    done = combine(starter, world, tmp_path / "w", "good", "network", flags=flags)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("note: equal weights"))
    assert why in line
    assert list(weights(tmp_path / "w").values()) == [0.5, 0.5]
    meta = json.loads((tmp_path / "w" / "combined" / "combined.json").read_text())
    assert meta["how"]["weights"] == "equal" and why in meta["how"]["reason"]


def test_two_of_one_kind_weigh_the_same_unasked(world, starter, tmp_path):
    done = combine(starter, world, tmp_path / "w", "good", "seed_1/good")
    assert done.returncode == 0, done.stderr[-3000:]
    assert weights(tmp_path / "w") == {f"{world.name}-good": 0.5, "seed_1-good": 0.5}
    assert "note: equal weights: all members are of one kind" in done.stdout


def test_seeds_of_one_kind_share_its_weight(world, starter, tmp_path):
    done = combine(starter, world, tmp_path / "w", "network", "good", "seed_1/good")
    assert done.returncode == 0, done.stderr[-3000:]
    network, *forests = weights(tmp_path / "w").values()
    assert forests[0] == forests[1] > 0.45 and network < 0.1


def test_equal_weights_may_be_asked_for(world, starter, tmp_path):
    flags = ("--equal", "--data_dir", "nowhere")
    done = combine(starter, world, tmp_path / "w", "network", "good", flags=flags)
    assert done.returncode == 0 and "note: equal weights: as --equal says" in done.stdout


def test_a_validation_split_that_a_member_learnt_from_weighs_nothing(world, starter, tmp_path):
    data = dataset.open_dataset(str(world / "data"), "cubes/many")
    other = [r | ({"split": "train"} if r["split"] == "validation" else {}) for r in data.ground]
    small_members.keep_forest(data, tmp_path / "more", seed=3, ground=other)
    done = combine(starter, tmp_path, tmp_path / "w", "more", world / "network")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "more was trained on ground of the validation split of cubes/many" in done.stdout


MISTAKES = {
    "one": (("good",), (), "--workdirs: expected two runs or more, found 1"),
    "twice": (("good", "good"), (), "--workdirs: expected each run once, found"),
    "nowhere": (("good", "nowhere"), (), "expected a run's workdir with checkpoints/, found none"),
    "legend": (("good", "other"), (), "other: expected the legend of good, 'making'"),
    "window": (("good", "short"), (), "short: expected a window of periods: 6 as in good, found 3"),
    "combined": (("good", "W"), (), "W: expected a network or a baseline, found combined runs"),
    "dataset": (
        ("good", "network"),
        ("--dataset", "cubes/europe"),
        "expected the checkpoint's leg",
    ),
    "date": (("good", "network"), ("--as_of", "soon"), "--as_of"),
    "early": (("good", "network"), ("--as_of", "2000-01-01"), "2000-01-01"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(world, weighed, starter, tmp_path, name):
    members, flags, said = MISTAKES[name]
    line = line_of(combine(starter, world, tmp_path / "w", *members, flags=flags))
    assert said in line, line
    assert not (tmp_path / "w").exists() or not list((tmp_path / "w").iterdir())


def test_a_copy_of_a_run_is_the_same_run(world, starter, tmp_path):
    shutil.copytree(world / "good", tmp_path / "copy")
    line = line_of(combine(starter, world, tmp_path / "w", "good", tmp_path / "copy"))
    assert "--workdirs: expected each run once, found copy equal to good" in line


def test_where_it_may_not_write(world, weighed, starter, tmp_path):
    for where, said in (
        (world / "good", "--workdir " + str(world / "good") + ": is --workdirs"),
        (world / "good" / "w", "lies in --workdirs"),
        (world, "holds --workdirs"),
        (world / "many", "expected a new or empty folder, or one that combine wrote"),
    ):
        assert said in line_of(combine(starter, world, where, "good", "network"))
    (tmp_path / "file").write_text("mine")
    line = line_of(combine(starter, world, tmp_path / "file", "good", "network"))
    assert "expected a folder, found a file" in line
    with files.Lock(tmp_path / "busy", "a test"):
        line = line_of(combine(starter, world, tmp_path / "busy", "good", "network"))
        assert "in use by" in line


@pytest.mark.parametrize(
    ("verb", "config"), [("baseline", "baselines/dates"), ("finetune", "pixel_series/finetune")]
)
def test_nothing_is_trained_where_combined_runs_lie(world, weighed, starter, verb, config):
    workdir, _ = weighed
    flags = (f"--config.data_dir={world / 'data'}", "--config.dataset=cubes/many")
    done = starter.run(
        verb, "--config", f"configs/{config}.py", "--workdir", workdir, *flags,
        *(("--config.from_scratch=True",) if verb == "finetune" else ()),
    )  # fmt: skip
    line = line_of(done)
    found = workdir / "combined"
    assert f"expected a folder without the combined runs of others, found {found};" in line
    assert not list(workdir.glob("checkpoints")) and not list(workdir.glob("baseline"))


def test_what_a_killed_run_left_is_no_hindrance(world, starter, tmp_path):
    left = tmp_path / "w" / ".combined.123.part"
    left.mkdir(parents=True)
    done = combine(starter, world, tmp_path / "w", "network", "good", flags=("--equal",))
    assert done.returncode == 0, done.stderr[-3000:]
    assert not left.exists() and len(weights(tmp_path / "w")) == 2
