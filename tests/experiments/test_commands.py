"""Every command from build to evaluate, run as a user runs it, and their mistakes."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import making
import numpy as np
import pytest

from cropmap_jax import models
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.training import checkpoints, metric_log

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
TINY = ("--config.crop=16", "--config.batch_size=2", "--config.crops_per_chip=4")
TINY += ("--config.model.levels=0",)


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the commands; test_wheel starts some from nothing, as a user does."""
    global run, start
    run, start = starter.run, starter.begin


def succeed(verb, *flags):
    """What a command prints."""
    done = run(verb, *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def fail(verb, *flags):
    """The one line that a failing command prints."""
    done = run(verb, *flags)
    assert done.returncode == 1, (done.stdout, done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def finetune_flags(root):
    """Of the fine-tuned run."""
    named = {"data_dir": root / "data", "dataset": "cubes/iran", "init_from": root / "pretrained"}
    settings = [f"--config.{name}={value}" for name, value in named.items()]
    settings += ["--config.model.dtype=float32", "--config.epochs=10"]
    return "--config", "configs/tiny/finetune.py", *settings, *TINY


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two datasets of different legends, a pretrained and a fine-tuned run, and their output."""
    root = tmp_path_factory.mktemp("world")
    europe = Legend("europe", tuple(make_class(i, i, f"class_{i}") for i in range(4)))
    making.make_cubes(root / "europe", ("train", "validation"), legend=europe)
    making.make_cubes(root / "iran")
    out = {}
    for name in ("europe", "iran"):
        flags = ("--cubes", root / name, "--data_dir", root / "data", "--name", name)
        out[name] = succeed("build", *flags, "--chip", 32)
    data = f"--config.data_dir={root / 'data'}"
    out["pretrain"] = succeed(
        "pretrain", "--config", "configs/tiny/pretrain.py", "--workdir", root / "pretrained",
        data, "--config.dataset=cubes/europe", *TINY,
        # Fine-tuning takes over the one and not the other.
        "--config.scaling.s1=(-30.0, 5.0)", "--config.model.dtype=bfloat16",
        "--config.model.use_validity=False",
    )  # fmt: skip
    tuned = ("--workdir", root / "run")
    out["finetune"] = succeed("finetune", *finetune_flags(root), *tuned)
    out["evaluate"] = succeed(
        "evaluate", *tuned, "--crop", "all", "--baseline", "forest", "--max_pictures", 1
    )
    return root, out


def test_build_describes_what_it_made(world):
    _, out = world
    assert "wheat" in out["iran"] and "train    validation          test" in out["iran"]
    assert "built: " in out["iran"] and "next: python -m experiments.finetune" in out["iran"]


def test_finetune_names_exactly_the_head_that_it_drops(world):
    _, out = world
    # A linear head of 2 x 2 x 4 features and the four European classes.
    dropped = "dropped: params/head/logits/bias [4], params/head/logits/kernel [1, 1, 16, 4]\n"
    assert dropped in out["finetune"]


def test_finetune_froze_the_trunk_statistics_and_trained_the_head(world):
    root, _ = world
    before, after = checkpoints.load(root / "pretrained"), checkpoints.load(root / "run")
    a = before.batch_stats["s2"]["conv3d"]["norm"]["mean"]
    np.testing.assert_array_equal(a, after.batch_stats["s2"]["conv3d"]["norm"]["mean"])
    assert np.abs(after.batch_stats["head"]["hidden"]["norm"]["mean"]).max() > 0
    losses = [r["loss"] for r in metric_log.read(root / "run") if "loss" in r]
    assert losses[-1] < losses[0]


def test_finetune_stores_what_it_used(world):
    root, out = world
    before, after = checkpoints.load(root / "pretrained"), checkpoints.load(root / "run")
    assert after.recipe.scaling == before.recipe.scaling
    assert after.recipe.scaling["s1"] == (-30.0, 5.0)
    assert (before.recipe.model["dtype"], after.recipe.model["dtype"]) == ("bfloat16", "float32")
    for restored in (before, after):
        assert {leaf.dtype for leaf in jax.tree.leaves(restored.variables)} == {np.dtype("float32")}
    trunks = [models.trunk_arguments(recipe.model) for recipe in (after.recipe, before.recipe)]
    assert trunks[0] == trunks[1]
    assert after.config["model"] == after.recipe.model
    assert after.config["scaling"]["s1"] == [-30.0, 5.0]
    assert (after.config["init_checkpoint"], after.config["init_step"]) == ("last", before.step)
    assert f"trunk from {root / 'pretrained'}, step {before.step};" in out["finetune"]


def test_finetune_goes_on_without_the_pretrained_run(world, tmp_path):
    root, _ = world
    whole, workdir = checkpoints.load(root / "run"), tmp_path / "run"
    shutil.copytree(root / "run", workdir)
    shutil.rmtree(checkpoints.folder(workdir) / str(whole.step))
    step = checkpoints.load(workdir).step
    assert 0 < step < whole.step
    (root / "pretrained").rename(root / "gone")
    try:
        out = succeed("finetune", *finetune_flags(root), "--workdir", workdir)
    finally:
        (root / "gone").rename(root / "pretrained")
    assert f"resuming after step {step}" in out and "trunk from" not in out
    found = checkpoints.load(workdir)
    assert (found.step, found.config) == (whole.step, whole.config)
    a, b = jax.tree.leaves(whole.variables), jax.tree.leaves(found.variables)
    assert len(a) == len(b) > 10
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_evaluate_writes_table_json_and_pictures(world):
    root, out = world
    folder = root / "run" / "evaluation" / "test"
    scores = json.loads((folder / "all.json").read_text())
    assert scores["settings"]["threshold_split"] == "validation"
    cube = cube_io.read_cube(root / "iran" / "test_2")
    for crop, name in enumerate(making.LEGEND.names):
        rows = [r for r in scores["scores"] if r["crop"] == name and r["unit"] == "pixels"]
        # Network and forest, at 0.35 and at the chosen threshold, over the very same pixels.
        assert [(r["method"], r["rule"]) for r in rows] == [
            ("network", "fixed"), ("network", "chosen"), ("forest", "fixed"), ("forest", "chosen"),
        ]  # fmt: skip
        for row in rows:
            assert row["tp"] + row["fn"] == (cube.label == crop).sum()
            assert row["tp"] + row["fn"] + row["fp"] + row["tn"] == (cube.label != 255).sum()
            # Harvests on 1 July, 1 August, 1 September; the window ends on the first of a month.
            assert row["lead_days"] == [[30, 30], [31, 31], [31, 31]][crop]
        assert (folder / name / "test_2.png").stat().st_size > 10_000
    assert "tn rate" in out["evaluate"] and str(folder / "all.json") in out["evaluate"]


def test_compare_reads_what_evaluate_wrote(world):
    root, _ = world
    out = succeed("compare", "--scores", f"a={root}/run/evaluation/test/all.json")
    assert "a: forest" in out and "maize" in out


MISTAKES = [
    (("--crop", "maise"), ("'maise'", "did you mean 'maize'?", "wheat, rapeseed, maize")),
    (("--crop", "wheat", "--as_of", "2021-12-01"), ("as-of 2021-12-01", "2022-01-01 or later")),
    (("--crop", "wheat", "--as_of", "soon"), ("--as_of", "'soon'", "2022-09-01")),
    (("--crop", "wheat", "--split", "tset"), ("'tset'", "train, validation, test")),
    (("--crop", "wheat", "--dataset", "cubes/europe"), ("legend 'making'", "'europe'")),
    (("--crop", "wheat", "--dataset", "cubes/none"), ("cubes/none", "experiments.build")),
]


@pytest.mark.parametrize(("flags", "parts"), MISTAKES)
def test_evaluate_names_the_mistake(world, flags, parts):
    root, _ = world
    line = fail("evaluate", "--workdir", root / "run", "--out", root / "none", *flags)
    assert all(part in line for part in parts), line
    assert not (root / "none").exists()


def test_finetune_refuses_another_architecture_and_an_empty_workdir(world, tmp_path):
    root, _ = world
    common = ("--config", "configs/tiny/finetune.py", f"--config.data_dir={root / 'data'}")
    common += ("--config.dataset=cubes/iran", "--workdir", tmp_path / "w")
    (tmp_path / "empty").mkdir()
    line = fail("finetune", *common, f"--config.init_from={tmp_path / 'empty'}")
    assert f"{tmp_path / 'empty'}: expected a run's workdir" in line
    line = fail("finetune", *common)
    assert "--config.init_from" in line and "--config.from_scratch=True" in line
    # The config has two levels, the checkpoint none and no masks of what is valid.
    pretrained = f"--config.init_from={root / 'pretrained'}"
    line = fail("finetune", *common, pretrained, "--config.model.use_validity=True")
    assert "config.model.levels: expected 0, found 2" in line and str(root / "pretrained") in line
    assert "config.model.use_validity: expected False, found True" in line and "width" not in line
    line = fail("finetune", *common, "--config.from_scratch=True", "--config.crosswalk=built_in")
    assert "--config.crosswalk: expected none with --config.from_scratch=True" in line
    # The recipe says width 8, the arrays are of width 4.
    broken = tmp_path / "broken"
    shutil.copytree(root / "pretrained", broken)
    for meta in broken.glob("checkpoints/*/meta/metadata"):
        meta.write_text(meta.read_text().replace('"width": 4', '"width": 8'))
    line = fail("finetune", *common, f"--config.init_from={broken}")
    assert str(broken) in line and "expected" in line and "found" in line
    assert not (tmp_path / "w").exists()


def test_from_scratch_there_is_no_trunk_to_spare(world, tmp_path):
    root, _ = world
    succeed(
        "finetune", "--config", "configs/tiny/finetune.py", "--workdir", tmp_path,
        f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/iran", *TINY,
        "--config.from_scratch=True", "--config.epochs=1",
    )  # fmt: skip
    record = next(r for r in metric_log.read(tmp_path) if "loss" in r)
    assert record["learning_rate/trunk"] == record["learning_rate/head"] > 0
    assert np.abs(checkpoints.load(tmp_path).batch_stats["s2"]["conv3d"]["norm"]["mean"]).max() > 0


def test_pretrain_refuses_other_settings_in_the_same_workdir(world, tmp_path):
    root, _ = world
    line = fail(
        "pretrain", "--config", "configs/tiny/pretrain.py", "--workdir", root / "pretrained",
        f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/europe", *TINY,
        "--config.seed=7",
    )  # fmt: skip
    assert "config.seed: was 0, now 7" in line


def test_a_loss_that_becomes_nan_stops_and_says_where(world, tmp_path):
    root, _ = world
    line = fail(
        "pretrain", "--config", "configs/tiny/pretrain.py", "--workdir", tmp_path / "w",
        f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/europe", *TINY,
        "--config.optimizer=sgd", "--config.learning_rate.trunk=1e38",
        "--config.learning_rate.head=1e38", "--config.schedule=constant",
        # The first step trains at a rate of 0 and is saved; those after it cannot go far.
        "--config.warmup_steps=2", "--config.checkpoint_every=1",
    )  # fmt: skip
    bad, good = re.search(r"step (\d+): .*; last good checkpoint: step (\d+);", line).groups()
    assert 1 < int(bad) == int(good) + 1
    assert checkpoints.load(tmp_path / "w").step == int(good)


def test_missing_config_and_cubes_are_named(tmp_path):
    line = fail("pretrain", "--config", "configs/none.py", "--workdir", tmp_path / "w")
    assert "--config" in line and "configs/none.py" in line
    line = fail("build", "--cubes", tmp_path / "none", "--data_dir", tmp_path / "data")
    assert f"{tmp_path / 'none'}: expected a folder of cubes" in line
    assert not (tmp_path / "data").exists()


LONG_RUN = ("--config", "configs/tiny/pretrain.py", "--config.dataset=cubes/europe", *TINY)
LONG_RUN += ("--config.checkpoint_every=2", "--config.keep=1")


def begin(*flags, double=False):
    module = ("in_float64", "pretrain") if double else ("experiments.pretrain",)
    return start(*module, *flags)


def saved(workdir) -> int:
    """The step of the last checkpoint, 0 before there is one."""
    # A checkpoint in the making has a longer name.
    steps = [int(p.name) for p in workdir.glob("checkpoints/*") if p.name.isdigit()]
    return max(steps, default=0)


def wait_for_step(process, workdir, step):
    deadline = time.monotonic() + 120
    while saved(workdir) < step and not process.ended():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_run_that_is_stopped_and_killed_goes_on_to_the_same_end(world, tmp_path):
    """KILLS: how often it is killed with -9, at moments that nobody knows before."""
    root, _ = world
    kills = int(os.environ.get("KILLS", "1"))
    epochs = 6 * (kills + 1)  # of two steps
    flags = (*LONG_RUN, f"--config.data_dir={root / 'data'}", f"--config.epochs={epochs}")
    whole, workdir = tmp_path / "whole", tmp_path / "often"
    succeed("pretrain", *flags, "--workdir", whole)
    # The loop's own tests send it SIGINT as well.
    polite = [signal.SIGTERM] if kills == 1 else [signal.SIGTERM, signal.SIGINT]
    signals = [*polite, *kills * [signal.SIGKILL]]
    random.shuffle(signals)
    most = 2 * epochs // (len(signals) + 1) - 4  # leave steps for those to come
    print("checkpoint after each signal:", end=" ")
    for how in signals:
        before = saved(workdir)
        process = begin(*flags, "--workdir", workdir)
        wait_for_step(process, workdir, before + random.randint(1, max(1, most)))
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(how)
        ended = process.end()
        step = saved(workdir)
        print(how.name, step, end=" ")
        assert before <= step < 2 * epochs
        if how == signal.SIGKILL:
            assert ended.returncode == -how
            continue
        errors = ended.stderr
        assert ended.returncode == 128 + how, errors
        assert "Traceback" not in errors and "run the same command again" in errors
        assert f"stopped by {how.name} after step {step}, saved in {workdir}" in errors
    assert f"resuming after step {step}" in succeed("pretrain", *flags, "--workdir", workdir)
    a, b = checkpoints.load(whole), checkpoints.load(workdir)
    assert a.step == b.step == 2 * epochs
    for kind in ("params", "batch_stats"):
        x, y = (jax.tree.leaves_with_path(getattr(found, kind)) for found in (a, b))
        assert len(x) == len(y) > 10
        for (path, expected), (_, found) in zip(x, y, strict=True):
            assert np.array_equal(expected, found), jax.tree_util.keystr(path)
    records = [r["step"] for r in metric_log.read(workdir) if "loss" in r]
    assert records == sorted(set(records)) and records[-1] == 2 * epochs


def test_two_processes_train_stop_and_go_on_together(world, tmp_path):
    root, _ = world
    flags = (*LONG_RUN, f"--config.data_dir={root / 'data'}", "--config.epochs=6")
    flags += ("--config.log_every=1",)  # the step of a stop is logged in any case
    alone = begin(*flags, "--workdir", tmp_path / "alone", double=True)
    for stops in (True, False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = ("--workdir", tmp_path / "together", "--coordinator", f"127.0.0.1:{port}")
        shared += ("--num_processes", 2, "--process_id")
        pair = [begin(*flags, *shared, i, double=True) for i in (0, 1)]
        if stops:
            wait_for_step(pair[0], tmp_path / "together", 2)
            pair[1].send_signal(signal.SIGTERM)  # the other one hears of it
        ended = [process.end() for process in pair]
        errors = [done.stderr for done in ended]
        assert [done.returncode for done in ended] == 2 * [143 if stops else 0], errors
        if stops:
            step = checkpoints.load(tmp_path / "together").step
            assert 2 <= step < 12
            assert f"stopped by a signal after step {step}" in errors[0]
            assert f"stopped by SIGTERM after step {step}" in errors[1]
    ended = alone.end()
    assert ended.returncode == 0, ended.stderr
    expected, found = (
        {r["step"]: r for r in metric_log.read(tmp_path / name)} for name in ("alone", "together")
    )
    assert expected.keys() == found.keys() and max(expected) == 12
    for step, record in expected.items():
        for name in {"loss", "grad_norm", "validation/loss"} & record.keys():
            assert found[step][name] == pytest.approx(record[name], rel=1e-5), (step, name)
    # In float32, with batch norm over so few values, they would be 0.1 apart by now.
    apart = 0.0
    expected, found = (checkpoints.load(tmp_path / name) for name in ("alone", "together"))
    for part in ("params", "batch_stats"):
        a, b = jax.tree.leaves(getattr(expected, part)), jax.tree.leaves(getattr(found, part))
        for x, y in zip(a, b, strict=True):
            assert x.dtype == np.float64
            np.testing.assert_allclose(y, x, rtol=0, atol=1e-8)
            apart = max(apart, np.abs(y - x).max())
    print("largest difference of a parameter or statistic:", apart)


def test_a_killed_build_is_never_taken_for_whole(world, tmp_path):
    root, _ = world
    flags = ("--cubes", root / "iran", "--data_dir", tmp_path, "--name", "x", "--chip", 16)
    kill = (
        "import os, runpy, signal, sys; import tensorflow_datasets as tfds; "
        "from cropmap_jax.data import cutting as b; cut = b._cut_cube; "
        "b._cut_cube = lambda raw, *a: os.kill(os.getpid(), signal.SIGKILL) "
        "if raw.info.split == 'test' else cut(raw, *a); "
        "runpy.run_module('experiments.build', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", kill, *map(str, flags)], cwd=CHECKOUT, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("cubes/x/incomplete.*"))
    assert "built: " in succeed("build", *flags)
    assert [p.name for p in tmp_path.glob("cubes/x/*")] == ["1.0.0"]
