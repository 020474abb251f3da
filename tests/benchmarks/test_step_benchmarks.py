"""The benchmarks that need nothing but jax and PyTorch run, and tell what they measured."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import blocks, checkpoint, curves, report, steps


def read(path, name):
    record = json.loads(path.read_text())
    assert record["benchmark"] == name
    assert record["machine"]["cores"] >= 1 and "jax" in record["machine"]["versions"]
    return record["figures"]


@pytest.mark.parametrize("train", [True, False])
def test_steps_beside_pytorch(train, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    name, path = "train_step" if train else "predict_step", tmp_path / "a" / "f.json"
    # Of training steps one: each takes seconds to trace and to compile.
    dtypes = ["float32"] if train else ["float32", "bfloat16"]
    flags = ["--quick", "--json", str(path), "--dtypes", *dtypes]
    steps.main(steps.parse(flags, name, ""), name, train)
    forms = read(path, name)["forms"]
    assert [k for k in forms if k.startswith("ours")] == [f"ours, {dtype}" for dtype in dtypes]
    for form in forms.values():
        assert form["median"] > 0 < form["share_of_peak"] and form["ratio"] > 0
    best = {f["dtype"]: f["ratio"] for k, f in forms.items() if "PyTorch" in k and f["ratio"] == 1}
    assert best == dict.fromkeys(dtypes, 1)
    if train:
        # From the same weights, after the same two steps: they do the same.
        losses = [form["loss_after_two_steps"] for form in forms.values()]
        assert max(losses) == pytest.approx(min(losses), rel=1e-4)
    printed = capsys.readouterr().out
    assert f"PyTorch, {dtypes[0]}, channels last" in printed and "x best PyTorch" in printed
    # What both take float32 for is a question on CUDA alone.
    assert ("\n\nprecision of float32" in printed) == torch.cuda.is_available()


def test_ours_alone_needs_nothing_but_jax(cache_dir):
    hidden = ["grain", "odc", "orbax", "pyproj", "rasterio", "shapely", "tensorflow_datasets"]
    hidden += ["ml_collections", "torch"]
    # Of the training steps one alone: each takes seconds to trace.
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden}))\n"
        "from benchmarks import networks, steps\n"
        "args = steps.parse(['--quick', '--ours'], 'predict_step', '')\n"
        "steps.main(args, 'predict_step', False)\n"
        "sizes = networks.Sizes(args.batch, args.periods, args.side, args.width)\n"
        "print('loss', networks.ours(sizes, 'float32', True).step())"
    )
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_COMPILATION_CACHE_DIR": str(cache_dir)}
    quick["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | quick, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ours, bfloat16" in done.stdout and "PyTorch, float32" not in done.stdout
    # No class is told from another yet: a loss near ln 2.
    assert float(done.stdout.split()[-1]) == pytest.approx(0.69, abs=0.2)


def test_blocks(tmp_path, capsys):
    blocks.main(["--quick", "--json", str(tmp_path / "f.json")])
    (found,) = read(tmp_path / "f.json", "blocks").values()
    for pass_ in ("forward", "gradients"):
        assert all(found[pass_][form]["median"] > 0 for form in ("ours", "plain"))
    assert "| max_pool, 64 px, gradients " in capsys.readouterr().out


def test_checkpoint_holds_training_up_for_the_sum_of_its_parts(tmp_path, capsys):
    checkpoint.main(["--quick", "--json", str(tmp_path / "f.json")])
    found = read(tmp_path / "f.json", "checkpoint")
    parts = [found[name]["median"] for name in ("fetch", "check", "save")]
    assert min(parts) > 0
    assert found["held up"]["median"] == pytest.approx(sum(parts))
    # It is handed over before it lies on the disk.
    assert found["written"]["median"] > found["save"]["median"]
    printed = capsys.readouterr().out
    for name in (
        "fetch",
        "check",
        "save",
        "held up",
        "sums",
        "written",
        "read",
        "raw write",
        "raw read",
    ):
        assert f"| {name} " in printed


def test_curves(tmp_path):
    curves.main(["--quick", "--json", str(tmp_path / "f.json")])
    points = read(tmp_path / "f.json", "curves")["points"]
    assert [p["batch"] for p in points] == [2]
    assert all(p["ms"] > 0 and p["gigabytes"] > 0.1 for p in points)


def test_a_table_is_aligned_markdown():
    found = report.table(["what", "ms"], [["ours", 1234.5], ["PyTorch", 0.123456], ["none", None]])
    assert found.splitlines() == [
        "| what    |    ms |",
        "|---------|------:|",
        "| ours    | 1,234 |",
        "| PyTorch | 0.123 |",
        "| none    |       |",
    ]


def test_spread_is_of_quartiles():
    assert report.spread([1, 2, 3, 4, 5]) == {"median": 3, "q1": 2, "q3": 4, "n": 5}
