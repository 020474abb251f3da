"""The benchmark of accuracy: its arithmetic, how it resumes and fails, and all of it once, tiny."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import making
import numpy as np
import pytest

from benchmarks.accuracy import __main__ as benchmark
from benchmarks.accuracy import methods, places, table
from cropmap_jax.evaluation import map_scores, pooling
from cropmap_jax.geo import forks
from cropmap_jax.geo import recorded_steps as steps

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
TWO = dataclasses.replace(places.world(0), name="two", make=None)
METHOD = methods.Method("a", "A", methods.BASELINE, "configs/tiny/pretrain.py")


def row(crop, tp, fp, fn, unit="pixels", rule="chosen", tn=1):
    return {"crop": crop, "unit": unit, "rule": rule, "tp": tp, "fp": fp, "fn": fn, "tn": tn}


# Arithmetic ---------------------------------------------------------------------------------------


def test_mean_and_sample_standard_deviation():
    found = table.spread([0.5, 0.7, None, 0.9])
    # Deviations -0.2, 0 and 0.2: variance (0.04 + 0 + 0.04) / (3 - 1) = 0.04.
    assert found["mean"] == pytest.approx(0.7) and found["sd"] == pytest.approx(0.2)
    assert found["each"] == [0.5, 0.7, None, 0.9]
    assert table.spread([0.5]) == {"mean": 0.5, "sd": None, "each": [0.5]}
    assert table.spread([None])["mean"] is None


def test_macro_is_over_crops_that_are_there_and_of_counts_summed_over_folds():
    folds = [
        [
            row("a", 6, 2, 2),
            row("b", 0, 5, 0),
            row("c", 0, 0, 1),
            row("a", 9, 9, 9, "fields"),
            row("d", 5, 0, 5, tn=0),
        ],
        [row("a", 0, 2, 6), row("b", 0, 1, 0), row("c", 2, 0, 0), row("a", 9, 9, 9, rule="fixed")],
    ]
    pooled = places.pool(folds)
    assert pooled["a", "pixels", "chosen"] == {"tp": 6, "fp": 4, "fn": 8, "tn": 2}
    # a: 12 / (12 + 4 + 8) = 0.5; c: 4 / (4 + 0 + 1) = 0.8; no b is there, and nothing but d.
    assert places.macro(pooled, "pixels", "chosen") == pytest.approx(0.65)
    assert places.macro(pooled, "fields", "fixed") is None


def test_a_checkerboard_counts_none_of_these_as_a_class():
    place = places._belgium(pathlib.Path("x.npz"))
    rows = [row("maize", 1, 0, 0, rule="map"), row("none_of_these", 1, 1, 1, rule="map")]
    rows += [row("maize", 0, 9, 9)]
    assert place.read([rows]) == {"macro_f1": pytest.approx(0.75)}


def test_it_pools_as_cross_validation_does():
    counts = {"accuracy": None, "precision": None, "recall": None, "without_image": 0}
    counts |= {"method": "network", "threshold": None, "lead_days": None, "f1": None}
    rng = np.random.default_rng(0)
    folds = [
        [row(crop, *map(int, rng.integers(1, 99, 3)), rule="map") | counts for crop in crops]
        for crops in (("maize", "beet", map_scores.NONE), ("beet", map_scores.NONE))
    ]
    (expected,) = pooling.macro(pooling.pool(folds))
    found = places.macro(places.pool(folds), "pixels", "map")
    assert found == pytest.approx(expected["macro_f1_with_none"], rel=1e-12)


# The report ---------------------------------------------------------------------------------------


def run_of(seed, pixels=None, failed=None, speed=None):
    found = {"place": "two", "method": "a", "seed": seed}
    if failed:
        return found | {"failed": failed}
    own = {
        "measures": {"pixels": pixels, "fields": None},
        "train_seconds": 10.0 + seed,
        "train_cpu_seconds": 15.0,
    }
    return found | own | ({"speed": {"pixels_per_second": speed}} if speed else {})


def test_the_table_says_mean_spread_seconds_and_speed():
    runs = [run_of(0, 0.5, speed=81_234.0), run_of(1, 0.7)]
    summary = table.summarise(runs, TWO, METHOD)
    assert summary["train_seconds"] == 10.5 and summary["seeds"] == 2
    text = table.markdown(TWO, [summary], 2)
    assert (
        "| A      | 0.600 ± 0.141 |            - |          10 |    15 |           81,000 |" in text
    )
    assert table.summarise(runs, TWO, dataclasses.replace(METHOD, name="b")) is None


def test_what_failed_is_shown_with_its_reason_and_counts_for_nothing(tmp_path):
    runs = [run_of(0, 0.5), run_of(1, failed="no such flag"), run_of(2, failed="no such flag")]
    text = table.markdown(TWO, [table.summarise(runs, TWO, METHOD)], 3)
    assert "A (1 of 3 seeds)" in text and "0.500 " in text
    assert "- A, seed 1, 2, failed: no such flag" in text
    printed = table.write(tmp_path, [TWO], [METHOD], runs[1:], 3, ["Belgium skipped: why"])
    assert "| A      |       failed |       failed |" in printed
    assert printed.endswith("- Belgium skipped: why")
    assert json.loads((tmp_path / "accuracy.json").read_text())["runs"] == runs[1:]
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


# Steps --------------------------------------------------------------------------------------------


class Commands:
    """Stands in for `forks.command`: notes what was run; fails on a word."""

    def __init__(self):
        self.ran, self.fails_on = [], None

    def __call__(self, module, arguments, log):
        self.ran.append(module)
        if self.fails_on in arguments:
            log.write_text("loading\nerror: out of luck\n\n")
            return forks.Ended(1, 0.1)
        return forks.Ended(0, 1.5)


def test_a_finished_step_is_skipped_wherever_the_folder_lies(tmp_path):
    ran = Commands()
    first = steps.Steps(tmp_path / "old", ran)
    seconds = first.command(tmp_path / "old" / "r", "train", "finetune", [f"--a={tmp_path}/old/d"])
    (tmp_path / "old").rename(tmp_path / "new")
    again = steps.Steps(tmp_path / "new", ran)
    same = again.command(tmp_path / "new" / "r", "train", "finetune", [f"--a={tmp_path}/new/d"])
    assert ran.ran == ["experiments.finetune"] and same == seconds
    assert (first.ran, again.ran, again.skipped) == (1, 0, 1)
    with pytest.raises(ValueError, match="r: expected train with the settings of this run, found"):
        again.command(tmp_path / "new" / "r", "train", "finetune", ["--a=other"])


def test_settings_that_changed_since_are_noticed(tmp_path):
    config = tmp_path / "config.py"
    text = "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'a': 1})\n"
    config.write_text(text)
    own = steps.Steps(tmp_path, Commands())
    own.command(tmp_path / "r", "train", "finetune", [], str(config))
    config.write_text(text + "# a comment\n")
    own.command(tmp_path / "r", "train", "finetune", [], str(config))
    config.write_text(text.replace("1", "2"))
    with pytest.raises(ValueError, match="expected train with the settings of this run"):
        own.command(tmp_path / "r", "train", "finetune", [], str(config))
    with pytest.raises(steps.Failed, match=r"expected a file of settings, found none at n\.py"):
        own.command(tmp_path / "q", "train", "finetune", [], "n.py")


def test_an_unfinished_training_begins_anew_and_a_failed_step_says_why(tmp_path):
    ran, folder = Commands(), tmp_path / "r"
    own = steps.Steps(tmp_path, ran)
    ran.fails_on = "--x"
    with pytest.raises(steps.Failed, match=r"^out of luck$"):
        own.command(folder, "train", "finetune", ["--x"], anew=True)
    (folder / "checkpoint").write_text("half")
    ran.fails_on = None
    own.command(folder, "train", "finetune", ["--x"], anew=True)
    assert not (folder / "checkpoint").exists() and len(ran.ran) == 2
    (folder / "checkpoint").write_text("whole")
    ran.fails_on = "--y"
    for _ in range(2):
        with pytest.raises(steps.Failed):
            own.command(folder, "score", "evaluate", ["--y"])
    own.command(folder, "train", "finetune", ["--x"], anew=True)
    assert (folder / "checkpoint").read_text() == "whole" and len(ran.ran) == 4


# Combined -----------------------------------------------------------------------------------------

TOGETHER = methods.Method(
    "all", "All", methods.COMBINE, members=("net", "forest"), seeds_of=("net",)
)


def trained(own, out, *names):
    """Notes trainings as finished, of 1.5 seconds of processors each."""
    for name in names:
        own.command(out / "runs" / "belgium" / name / "fold-1", "train", "finetune", ["--a"])


def test_combined_runs_are_of_the_same_fold_and_of_every_seed_that_is_asked_for(tmp_path):
    given = []

    def run(module, arguments, log):
        given.append((module, arguments))
        return forks.Ended(0, 1.5)

    own, place = steps.Steps(tmp_path, run), places._belgium(pathlib.Path("x.npz"))
    trained(own, tmp_path, "net-0", "net-1", "forest-0", "forest-1")
    took = place._combine(own, tmp_path, TOGETHER, 1, 2, 1)
    assert took.cpu_seconds == 1.5 * (1 + 3)  # its own, and those of its members
    module, flags = given[-1]
    runs = tmp_path / "runs" / "belgium"
    members = [runs / name / "fold-1" for name in ("net-0", "net-1", "forest-1")]
    assert module == "experiments.combine"
    assert flags == [
        f"--workdirs={','.join(map(str, members))}",
        f"--workdir={runs / 'all-1' / 'fold-1'}",
        f"--data_dir={tmp_path / 'data'}",
        "--dataset=cubes/belgium",
        "--fold=1",
        "--as_of=2021-07-01",
    ]
    place._combine(own, tmp_path, TOGETHER, 1, 2, 1)
    assert len(given) == 5  # finished
    # A member that was trained again is another one.
    record = json.loads((members[0] / "steps.json").read_text())
    record["train"]["seconds"] += 1
    (members[0] / "steps.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"all-1/fold-1: expected train with the settings of this"):
        place._combine(own, tmp_path, TOGETHER, 1, 2, 1)


def test_what_was_not_trained_cannot_be_combined(tmp_path):
    own, place = steps.Steps(tmp_path, Commands()), places._belgium(pathlib.Path("x.npz"))
    trained(own, tmp_path, "net-0", "forest-0")
    with pytest.raises(
        steps.Failed,
        match="expected a run of net with seed 1 to combine, found none that has finished in "
        "runs/belgium/net-1/fold-1; --methods net trains it",
    ):
        place._combine(own, tmp_path, TOGETHER, 0, 2, 1)


def test_combined_runs_come_when_all_seeds_of_the_others_are_there():
    order = benchmark._in_order([METHOD, TOGETHER], 2)
    assert [(seed, method.name) for seed, method in order] == [
        (0, "a"), (1, "a"), (0, "all"), (1, "all")
    ]  # fmt: skip
    known = {method.name for method in methods.METHODS}
    for method in methods.METHODS:
        assert set(method.seeds_of) <= set(method.members) <= known
        assert (method.verb == methods.COMBINE) == bool(method.members) != bool(method.config)


# Flags --------------------------------------------------------------------------------------------


def test_real_cubes_that_are_not_there_are_skipped_with_a_line(tmp_path):
    found, notes = places.real(None)
    assert not found and "Belgium skipped: no --real DIR with belgium" in notes[0]
    (tmp_path / "cubes").mkdir()
    (tmp_path / "cubes" / "tervuren_2022_potato.npz").write_bytes(b"")
    found, notes = places.real(tmp_path)
    assert [place.name for place in found] == ["tervuren"] and len(notes) == 1
    assert f"found no belgium_2021_worldcereal.npz in --real {tmp_path}" in notes[0]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--only", "real"], "--only: expected some of worlds, iran-0, iran-1, which are at hand"),
        (["--real", "nowhere"], "--real: expected a folder, found none at nowhere"),
        (["--methods", "oracle"], "--methods: expected some of dates, forest_raw"),
        (["--seeds", "0"], "--seeds: expected 1 to 100, found 0"),
    ],
)
def test_bad_flags_are_refused_in_one_line(flags, message, tmp_path, capsys):
    assert benchmark.main(["--out", str(tmp_path / "out"), *flags]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_every_method_and_place_is_named_once_and_its_settings_are_there():
    names = [method.name for method in methods.METHODS]
    assert len(set(names)) == len(names)
    for method in methods.METHODS:
        files = [method.config, method.pretrain, *(config for config, _ in method.others.values())]
        for file in filter(None, files):
            assert steps.digest_of(file)


# All of it ----------------------------------------------------------------------------------------

TINY = """
import pathlib, sys
from benchmarks.accuracy import __main__ as benchmark, methods, places
from cropmap_jax.geo import forks

out = pathlib.Path(sys.argv[1])
place = places.Place(
    "tiny", "Tiny", "cubes", ("--crop=all",),
    (places.Measure("pixels", "F1 of pixels"), places.Measure("fields", "F1 of fields")),
    None, ("--chip=32",), speed_as_of="2022-07-01",
)
network = methods.Method(
    "network", "network", methods.FINETUNE, "configs/pixel_series/finetune.py",
    ("--config.from_scratch=True", "--config.epochs=1", "--config.model.width=8",
     "--config.steps_per_epoch=2", "--config.batch_size=16"),
)
wrong = methods.Method("wrong", "wrong", methods.FINETUNE, "configs/tiny/finetune.py", ("--no=1",))
dates = methods.Method("dates", "dates", methods.BASELINE, "configs/baselines/dates.py")
spot = methods.Method(
    "spot", "spot", methods.SPOT, "configs/baselines/dates.py", spot="raw_forest"
)
both = methods.Method("both", "both", methods.COMBINE, members=("network", "dates"))
vain = methods.Method("vain", "vain", methods.COMBINE, members=("network", "wrong"))
forks.preload(benchmark.SHARED)
for _ in range(2):
    print(benchmark.run(out, [place], [network, wrong, dates, both, spot, vain], 1, ["a note"]))
"""


def test_a_network_and_a_baseline_end_to_end_and_again(tmp_path):
    making.make_cubes(tmp_path / "places" / "tiny" / "cubes", size=32)
    quick = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    env = os.environ | quick | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", TINY, str(tmp_path)],
        cwd=CHECKOUT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.findall(r"^(\d+) steps run, ", done.stdout, re.MULTILINE) == ["12", "0"]
    found = json.loads((tmp_path / "accuracy.json").read_text())
    runs = {run["method"]: run for run in found["runs"]}
    assert runs["wrong"]["failed"] == "--no: no such flag; --help lists them"
    assert "expected a run of wrong with seed 0 to combine" in runs["vain"]["failed"]
    for name in ("network", "dates", "both", "spot"):
        assert 0 <= runs[name]["measures"]["pixels"] <= 1
        assert 0 <= runs[name]["measures"]["fields"] <= 1
    assert runs["network"]["train_seconds"] > 0 and runs["spot"]["train_seconds"] is None
    for name in ("network", "dates", "both"):
        assert runs[name]["speed"]["pixels_per_second"] > 0
    assert "- wrong, seed 0, failed: --no: no such flag" in (tmp_path / "accuracy.md").read_text()
