"""Cross-validation from cubes to pooled scores, as a user runs it, and its mistakes."""

import json
import re
import shutil
import signal
import time

import making
import pytest

from cropmap_jax.evaluation import pooling
from cropmap_jax.training import checkpoints

TINY = ("--config.crop=16", "--config.batch_size=2", "--config.crops_per_chip=4")
TINY += ("--config.model.levels=0", "--config.epochs=1", "--config.loss=softmax")


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the commands; those that `crossvalidate` runs are forks of it in turn."""
    global run, start
    run, start = starter.run, starter.begin


def flags_of(root, name="folds", workdir="run", config="configs/tiny/pretrain.py"):
    data = (f"--config.data_dir={root / 'data'}", f"--config.dataset=cubes/{name}")
    return "--config", config, "--workdir", root / workdir, *data


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with datasets with and without folds, and what `build` printed."""
    root = tmp_path_factory.mktemp("crossvalidating")
    making.make_cubes(root / "cubes", ("train", "train"))
    printed = {}
    for name, more in (("folds", ("--folds=2", "--by=field")), ("none", ())):
        given = ("--cubes", root / "cubes", "--data_dir", root / "data", "--name", name)
        done = run("build", *given, "--chip", 32, *more)
        assert done.returncode == 0, done.stderr[-2000:]
        printed[name] = done.stdout
    return root, printed


@pytest.fixture(scope="module")
def world(built):
    """The same, and a finished cross-validation of a network."""
    root, _ = built
    done = run("crossvalidate", *flags_of(root), *TINY, "--as_of", "2022-07-01")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    return root, done.stdout


def test_build_lists_folds_and_names_what_trains_them(built):
    _, printed = built
    assert re.search(r"^class +fold 0 +fold 1$", printed["folds"], re.MULTILINE)
    assert "next: python -m experiments.crossvalidate --config" in printed["folds"]
    assert "next: python -m experiments.finetune --config configs/pixel_series" in printed["none"]


def test_every_command_is_printed_and_every_fold_is_its_own(world):
    root, out = world
    for fold in (0, 1):
        folder = root / "run" / f"fold-{fold}"
        assert f"--workdir={folder} --config.fold={fold}" in out
        restored = checkpoints.load(folder)
        assert restored.config["fold"] == fold
        numbers = {cube["split"]: cube["folds"]["numbers"] for cube in restored.cubes}
        assert numbers == {"train": [1 - fold], "test": [fold]}
    assert out.count("$ python -m experiments.pretrain ") == 2
    assert out.count("$ python -m experiments.evaluate ") == 2


def check_pooled(folder, method):
    """Requires that pooled counts are the sums of the folds', and of every annotated pixel."""
    found = json.loads((folder / "crossvalidation.json").read_text())
    folds = [
        json.loads((folder / f"fold-{k}" / "evaluation/test/all.json").read_text()) for k in (0, 1)
    ]
    assert [one["settings"]["fold"] for one in folds] == [0, 1]
    assert all(one["settings"]["trained_on"] == [] for one in folds)
    for row in found["scores"]:
        own = [
            one
            for fold in folds
            for one in fold["scores"]
            if all(one[name] == row[name] for name in pooling.KEY)
        ]
        assert own and all(row[n] == sum(one[n] for one in own) for n in pooling.COUNTS)
    # Every annotated pixel is scored once, or no sensor has seen it.
    annotated = sum(int((making.make_cube(seed=i).label != 255).sum()) for i in (0, 1))
    for row in found["scores"]:
        if row["unit"] == "pixels":
            assert sum(row[n] for n in pooling.COUNTS) + row["without_image"] == annotated
    assert {row["method"] for row in found["scores"]} == {found["settings"]["method"]} == {method}
    assert {"fixed", "chosen", "map"} == {mean["rule"] for mean in found["means"]}


def test_pooled_counts_of_a_network_are_the_sums_of_the_folds(world):
    root, out = world
    check_pooled(root / "run", "network")
    table = (root / "run" / "crossvalidation.txt").read_text()
    assert table in out and "cubes/folds, 2 folds by field: counts summed" in table


def test_run_again_it_only_reads_and_another_date_is_scored_but_not_trained(world, tmp_path):
    root, out = world
    shutil.copytree(root / "run", root / "again")
    # The settings name no workdir, but how a fold was scored does not either.
    done = run("crossvalidate", *flags_of(root, workdir="again"), *TINY, "--as_of", "2022-07-01")
    assert done.returncode == 0 and "$ python" not in done.stdout, done.stderr[-2000:]
    assert (
        done.stdout.partition("== result")[2].splitlines()[1:-1]
        == (out.partition("== result")[2].splitlines()[1:-1])
    )
    done = run("crossvalidate", *flags_of(root, workdir="again"), *TINY, "--as_of", "2022-06-01")
    assert done.returncode == 0 and "experiments.pretrain" not in done.stdout
    assert done.stdout.count("$ python -m experiments.evaluate") == 2
    # A version that had no such settings began it.
    file = root / "again" / "settings.json"
    begun = json.loads(file.read_text())
    former = ("fields_per_class", "fields_draw")
    file.write_text(json.dumps({k: v for k, v in begun.items() if k not in former}))
    assert len(begun) == len(json.loads(file.read_text())) + len(former)
    done = run("crossvalidate", *flags_of(root, workdir="again"), *TINY, "--as_of", "2022-06-01")
    assert done.returncode == 0 and "$ python" not in done.stdout, done.stderr[-2000:]
    # Other settings of training would be other runs.
    done = run("crossvalidate", *flags_of(root, workdir="again"), *TINY, "--config.epochs=2")
    assert done.returncode == 1
    assert "holds a cross-validation with other settings (epochs)" in done.stderr


def test_compare_reads_pooled_scores(world):
    root, _ = world
    done = run("compare", "--scores", f"mine={root / 'run/crossvalidation.json'}")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^wheat +mine +chosen +1 +[01]\.\d+ ", done.stdout, re.MULTILINE)


def test_a_kept_forest_is_cross_validated(built):
    root, _ = built
    flags = flags_of(root, workdir="forest", config="configs/baselines/forest.py")
    less = ("--config.arguments.trees=5", "--config.means=()", "--config.num_periods=3")
    done = run("crossvalidate", *flags, *less, "--as_of", "2022-07-01")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("$ python -m experiments.baseline ") == 2
    check_pooled(root / "forest", "forest")
    # It knows its fold: that of another is refused.
    folder = ("--workdir", root / "forest" / "fold-1", "--crop", "all", "--out", root / "out")
    done = run("evaluate", *folder, "--fold", 0)
    assert (
        done.returncode == 1 and "lie on ground that the checkpoint was trained on" in done.stderr
    )


def test_a_network_of_one_fold_is_not_scored_on_another(world):
    root, _ = world
    folder = ("--workdir", root / "run" / "fold-0", "--crop", "all", "--out", root / "out")
    done = run("evaluate", *folder, "--fold", 1)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "2 of 2 test cubes" in line and "trained on" in line and not (root / "out").exists()


def test_interrupted_it_ends_in_one_line_and_resumes(world):
    root, out = world
    flags = (*flags_of(root, workdir="stopped"), *TINY, "--as_of", "2022-07-01")
    process = start("experiments.crossvalidate", *flags)
    until = time.monotonic() + 120
    while not (root / "stopped/fold-0/checkpoints").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended = process.end()
    err = ended.stderr
    assert ended.returncode == 143 and "Traceback" not in err, err[-2000:]
    assert "run the same command again to resume" in err
    assert not (root / "stopped/crossvalidation.json").exists()
    done = run("crossvalidate", *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    found, first = (
        json.loads((root / name / "crossvalidation.json").read_text())
        for name in ("stopped", "run")
    )
    network = [row for row in first["scores"] if row["method"] == "network"]
    assert found["scores"] == network


@pytest.mark.parametrize(
    ("dataset", "more", "says"),
    [
        ("none", (), "--config.dataset cubes/none: expected a dataset with folds"),
        ("nowhere", (), "nowhere: expected a dataset, found none"),
        ("folds", ("--config.fold=1",), "--config.fold=1: expected no fold, since all are trained"),
        ("folds", ("--crop=oats",), "oats"),
        ("folds", ("--as_of=soon",), "--as_of: expected a date"),
        ("folds", ("--kind=forest",), "--kind"),
    ],
)
def test_a_mistake_is_a_line_before_anything_runs(built, dataset, more, says):
    root, _ = built
    done = run("crossvalidate", *flags_of(root, dataset, "wrong"), *more)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and says in line
    assert not (root / "wrong").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--by=field",), "--by: expected --folds with it, found field alone"),
        (("--folds=2",), "--by: expected field, block, checkerboard with --folds, found none"),
        (("--folds=2", "--by=checkerboard"), "--side: expected the side of a square"),
        (("--folds=3", "--by=block"), "at least 3 blocks with annotated pixels, found 2"),
        (("--folds=2", "--by=checkerboard", "--side=64"), "found none in fold 1"),
    ],
)
def test_build_refuses_folds_that_cannot_be(built, more, says):
    root, _ = built
    given = ("--cubes", root / "cubes", "--data_dir", root / "wrong", "--name", "x")
    done = run("build", *given, "--chip", 32, *more)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert says in line and not (root / "wrong").exists()


def test_a_fold_must_be_named_to_train_one(built):
    root, _ = built
    done = run("pretrain", *flags_of(root, workdir="wrong"), *TINY)
    assert (
        done.returncode == 1
        and "expected a fold, 0 to 1 (--config.fold; --fold of evaluate)" in done.stderr
    )
    done = run("pretrain", *flags_of(root, "none", "wrong"), *TINY, "--config.fold=0")
    assert done.returncode == 1 and "expected no fold, since build made none" in done.stderr
    assert not (root / "wrong").exists()
