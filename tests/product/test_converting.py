"""ONNX and StableHLO: what they answer, what comes with them; a wrong one is not kept."""

import json
import os
import subprocess
import sys

import numpy as np
import pystac
import pytest
from product import made_runs

from cropmap_jax.inference.calibrated import Calibration
from cropmap_jax.product import cards, comparing, conversion, exporting, facts
from cropmap_jax.runs import calibration as calibrations

ROUNDING = 1e-5  # of float32 sums in another order, see test_program.py
STORED = calibrations.Stored(
    Calibration("temperature", True, True, 0.8),
    {"fitted": {"fields": 9, "split": "validation", "dataset": "made"}, "prevalence": None},
)
WITHOUT = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "flax", "cropmap_jax"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hide())
"""


def convert(run, to, out, stored=None):
    found = facts.gather(out.parent, run, name="a model")
    return conversion.convert(run, stored, to, found["name"], out, found, cards.render(found))


@pytest.mark.parametrize("to", exporting.FORMATS)
@pytest.mark.parametrize("kind", ["squares", "images"])
def test_it_answers_what_the_run_does_in_any_size(tmp_path, to, kind):
    pytest.importorskip("jax2onnx") if to == exporting.ONNX else None
    model = {"squares": made_runs.SQUARES, "images": made_runs.IMAGES}[kind]
    run = made_runs.make_run(model, standardise=kind != "images")
    stored = STORED if kind == "squares" else None
    made = convert(run, to, tmp_path / "out", stored)
    assert made.difference.largest < ROUNDING
    about = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert about["size_multiple"] == (2 if kind == "images" else 1)
    assert [one["name"] for one in about["output"]["classes"]] == ["wheat", "rapeseed"]
    assert (about["calibrated"] is not None) == (kind == "squares")
    names = ["README.md", "example.py", "item.json", "metadata.json", exporting.FILES[to]]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    item = pystac.Item.from_file(tmp_path / "out" / "item.json")
    assert item.ext.mlm.input[0].input.shape == [-1, 3, -1, -1, 2]
    assert item.assets["model"].roles == ["mlm:model"]


def test_the_example_of_onnx_runs_without_jax(tmp_path):
    pytest.importorskip("jax2onnx")
    run = made_runs.make_run(made_runs.PIXELS)
    made = convert(run, exporting.ONNX, tmp_path / "out")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    script = tmp_path / "out" / "example.py"
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert said == ["wheat", "rapeseed"]
    assert made.path.name == "model.onnx"


def test_the_file_holds_its_metadata(tmp_path):
    onnx = pytest.importorskip("onnx")
    convert(made_runs.make_run(made_runs.PIXELS), exporting.ONNX, tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    onnx.checker.check_model(model)
    (entry,) = model.metadata_props
    about = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert json.loads(entry.value).items() <= about.items()
    assert [one.name for one in model.graph.input] == [one["name"] for one in about["inputs"]]
    assert {one.domain for one in model.graph.node} == {""}, "operators that every runtime has"


def test_what_differs_is_not_kept(tmp_path, monkeypatch):
    run = made_runs.make_run(made_runs.PIXELS)
    opened = exporting.open_runner

    def wrong(data, to, threads=0):
        runner = opened(data, to)
        return lambda arrays: runner(arrays) + np.float32(2e-4)

    monkeypatch.setattr(exporting, "open_runner", wrong)
    with pytest.raises(ValueError, match="within 0.0001 of the workdir's own, found .*0.0002"):
        convert(run, exporting.STABLEHLO, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_says_nothing_where_the_run_speaks_is_refused():
    run = made_runs.make_run(made_runs.PIXELS)
    made = conversion.program.of_run(run, None)

    def silent(arrays):
        return np.full((*arrays[0].shape[:1], *arrays[0].shape[2:4], 2), np.nan, np.float32)

    with pytest.raises(ValueError, match="missing, expected"):
        comparing.compare(run, None, made, silent)


def test_an_operation_without_a_counterpart_is_one_line(monkeypatch):
    made = conversion.program.of_run(made_runs.make_run(made_runs.PIXELS), None)

    def fails(*_):
        raise NotImplementedError("no plugin for primitive 'cholesky'\nand much more")

    monkeypatch.setattr(exporting, "_stablehlo", fails)
    with pytest.raises(
        ValueError, match=r"--to stablehlo: .*'pixel_series' could not .*holesky'\)$"
    ):
        exporting.write(made, exporting.STABLEHLO, {"name": "x"})
