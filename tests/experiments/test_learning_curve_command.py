"""The learning curve as a user runs it: end to end, stopped and resumed, and its mistakes."""

import json
import shutil
import signal
import time

import making
import pytest

from cropmap_jax.data import dataset

SPLITS = ("train", "train", "validation", "test")


@pytest.fixture(scope="module")
def world(tmp_path_factory, starter):
    """A folder with a dataset, one without a test split, and a network that was pretrained."""
    root = tmp_path_factory.mktemp("curve")
    for name, splits in (("small", SPLITS), ("untested", ("train", "train"))):
        making.make_cubes(root / name, splits, size=32)
        given = ("--cubes", root / name, "--data_dir", root / "data", "--name", name)
        done = starter.run("build", *given, "--chip", 32)
        assert done.returncode == 0, done.stderr[-2000:]
    short = ("--config.epochs=1", "--config.steps_per_epoch=1", "--config.batch_size=16")
    short += ("--config.as_of=('2022-07-01','2022-08-01')", "--config.model.width=8")
    done = starter.run(
        "pretrain", "--config", "configs/pixel_series/pretrain.py", "--workdir", root / "W",
        f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/small", *short,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return root


def words(world, out="out", name="small", **given):
    flags = {"out": world / out, "data_dir": world / "data", "dataset": f"cubes/{name}"}
    flags |= {"fields": 2, "draws": 1, "epochs": 1, "steps_per_epoch": 2}
    flags |= {"methods": "pixel_series_warm,forest,combined"}
    flags |= {"pretrained": f"pixel_series={world / 'W'}"} | given
    return [f"--{name}={value}" for name, value in flags.items()]


def test_stopped_and_run_again_it_resumes_and_draws_the_curve(world, starter):
    child = starter.begin("experiments.learning_curve", *words(world))
    until = time.monotonic() + 300
    while "forest.train\n" not in child.out.read_text():
        assert not child.ended() and time.monotonic() < until, child.err.read_text()[-2000:]
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    stopped = child.end()
    assert stopped.returncode == 143
    assert "run the same command again to resume" in stopped.stderr
    begun = stopped.stdout.count("\n== runs/")
    done = starter.run("learning_curve", *words(world))
    assert done.returncode == 0, done.stderr[-2000:]
    # What had finished is not run again: untrained and its scores, three trainings, one scoring.
    ran = done.stdout.count("\n== runs/")
    assert (
        begun == 4 and ran == 3 and f"\n{ran} steps run, {begun - 1} were finished" in done.stdout
    )
    assert "pixel_series, pretrained, warm head" in done.stdout
    found = json.loads((world / "out" / "learning_curve.json").read_text())
    runs = {(run["method"], run["fields"]): run for run in found["runs"]}
    assert set(runs) == {("pixel_series_warm", "0")} | {
        (name, "2") for name in ("pixel_series_warm", "forest", "combined")
    }
    assert all(set(run["scores"]) == {"pixels", "fields"} for run in runs.values())
    data = dataset.open_dataset(str(world / "data"), "cubes/small", fields_per_class=2)
    names = (*data.legend.names, "none_of_these")
    expected = dict(zip(names, data.few.counts["train"][:, 0].tolist(), strict=True))
    assert found["fields"][0]["known"]["train"] == expected and max(expected.values()) == 2
    # Thresholds and weights are of the fields that the runs know; test is whole.
    scored = world / "out" / "runs" / "fields-2-0" / "combined" / "evaluation" / "test"
    scored = json.loads((scored / "all.json").read_text())
    assert scored["settings"]["fields_per_class"] == 2 and scored["settings"]["fields_draw"] == 0
    assert any(note.startswith("config.fields_per_class 2, draw 0") for note in scored["notes"])
    assert (world / "out" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    again = starter.run("learning_curve", *words(world))
    assert again.returncode == 0 and "\n0 steps run, 6 were finished" in again.stdout
    other = starter.run("learning_curve", *words(world, steps_per_epoch=3))
    assert other.returncode == 1
    assert "expected pixel_series_warm.train with the settings of this run" in other.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": "forrest"}, "--methods: expected some of pixel_series, "),
        ({"methods": "forest,combined"}, "--methods combined: expected two or more of"),
        ({"methods": "mine=no.py"}, "--methods: expected a file of settings, found none at no.py"),
        ({"fields": "8,none"}, "--fields: expected numbers of 1 to 1000000 or all, found 'none'"),
        ({"fields": "0,8"}, "--fields: expected numbers of 1 to 1000000 or all, found '0'"),
        ({"fields": "8,8"}, "--fields: expected each number once"),
        ({"draws": 0}, "--draws: expected 1 to 100, found 0"),
        ({"pretrained": ""}, "--pretrained: expected pixel_series=WORKDIR"),
        ({"pretrained": "pixels=W"}, "--pretrained: expected NETWORK=WORKDIR with a network of"),
        ({"pretrained": "pixel_series=/no/W"}, "--pretrained: expected the workdir of a"),
        ({"name": "untested"}, "expected a dataset with the splits train and test, found train in"),
        ({"name": "other"}, "expected a dataset, found none"),
        ({"fold": 0}, "expected no fold, since build made none"),
    ],
)
def test_a_mistake_is_one_line(world, starter, given, said):
    done = starter.run("learning_curve", *words(world, "wrong", **given))
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and said in line
    assert not (world / "wrong" / "runs").exists()


def test_a_workdir_without_the_network_is_named(world, starter):
    shutil.copytree(world / "W", world / "unet")
    flags = words(world, "wrong", methods="dual_unet3d_pretrained")
    flags[-1] = f"--pretrained=dual_unet3d={world / 'unet'}"
    done = starter.run("learning_curve", *flags)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("expected a network dual_unet3d, found pixel_series")
