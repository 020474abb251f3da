"""`convert` as a user starts it, and cards that the commands before it leave."""

import json
import runpy
import shutil
import sys

import making
import numpy as np
import pytest
from combined import small_members
from test_baseline_command import line_of
from test_combine_command import build

from cropmap_jax import runs
from cropmap_jax.product import cards


@pytest.fixture(scope="module")
def world(tmp_path_factory, starter):
    """A dataset, a network that knows nothing, a forest, both combined."""
    root = tmp_path_factory.mktemp("convert")
    making.make_cubes(root / "many", ("train", "validation", "test"), size=32)
    data = build(root, "many")
    small_members.keep_forest(data, root / "forest")
    small_members.save_network(data, root / "network")
    paths = f"{root / 'network'},{root / 'forest'}"
    done = starter.run("combine", "--workdirs", paths, "--workdir", root / "both", "--equal")
    assert done.returncode == 0, done.stderr
    return root


def convert(starter, *flags):
    return starter.run("convert", *flags)


def test_a_network_is_converted_compared_and_runs_from_its_folder(world, starter, capsys):
    out = world / "converted"
    done = convert(starter, "--workdir", world / "network", "--to", "stablehlo", "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second, third, last = done.stdout.splitlines()
    assert first.startswith("largest difference from the workdir's own probabilities: ")
    assert "(bound 0.0001), of 2,397 made-up pixels, jax " in first
    assert second == "probabilities are not calibrated"
    assert third == f"converted: {out / 'model.stablehlo'}"
    assert last == f"next: python {out / 'example.py'}"
    assert cards.is_ours((out / "README.md").read_text())
    about = json.loads((out / "metadata.json").read_text())
    given = {}
    for one in about["inputs"][:-1]:
        shape = (1, about["periods"]["count"], 32, 32, len(one["bands"]))
        given[one["name"]] = np.full(shape, one["range"][1], np.float32)
    given["day_of_year"] = np.array([about["inputs"][-1]["example"]])
    np.savez(out / "mine.npz", **given)
    argv, sys.argv = sys.argv, ["example.py", str(out / "mine.npz")]
    try:
        runpy.run_path(str(out / "example.py"))
    finally:
        sys.argv = argv
    said = [
        line.partition(": mean probability ")[0] for line in capsys.readouterr().out.splitlines()
    ]
    assert said == list(making.LEGEND.names)


def test_a_member_of_combined_runs_is_one(world, starter):
    line = line_of(
        convert(starter, "--workdir", world / "both", "--to", "onnx", "--out", world / "o")
    )
    member = world / "both" / "combined" / "members" / "network"
    assert line.endswith(f"(network, forest); convert a member that is one: --workdir {member}")
    assert runs.method_of(runs.open_run(member)) == runs.NETWORK


def test_bad_input_is_one_line_and_leaves_nothing(world, starter, tmp_path):
    network, out = world / "network", tmp_path / "out"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    older = tmp_path / "older"
    shutil.copytree(network, older)
    (meta,) = older.glob("checkpoints/*/meta/metadata")
    value = json.loads(meta.read_text())
    del value["sha256"]
    meta.write_text(json.dumps(value))
    for workdir, to, where, said in (
        (tmp_path / "none", "onnx", out, "expected a run's workdir with checkpoints/, found none"),
        (older, "onnx", out, "found one of an earlier version without; train again"),
        (world / "forest", "onnx", out, "found 'forest', which scikit-learn runs"),
        (network, "tflite", out, "--to tflite: value should be one of"),
        (network, "stablehlo", tmp_path / "full", "a new or empty folder, found mine.txt in it"),
        (network, "stablehlo", tmp_path / "file", "expected a folder, found a file"),
        (network, "stablehlo", network / "checkpoints" / "o", "lies in the checkpoints"),
    ):
        done = convert(starter, "--workdir", workdir, "--to", to, "--out", where)
        assert said in line_of(done)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["file", "full", "older"] and len(list((tmp_path / "full").iterdir())) == 1
