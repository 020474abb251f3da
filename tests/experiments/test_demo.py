"""The demo, from simulating to the map, on worlds of a few tiles; and what it ends with."""

import json
import math
import pathlib
import re

import numpy as np
import pytest
import rasterio

from cropmap_jax.geo import files, legend
from experiments import _demo_report

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SMALLER = {
    "simulate": """
    config.tiles = 1
    held_out = int(world == "iran")
    config.sites = ConfigDict({"train": 1, "validation": held_out, "test": held_out})
    config.annotated = 0.2""",
    "pretrain": """
    config.epochs, config.crops_per_chip, config.crop, config.batch_size = 1, 2, 16, 4
    config.model.update({"width": 4, "levels": 0})""",
    "finetune": """
    config.epochs, config.crops_per_chip, config.batch_size = 1, 2, 4
    config.model.update({"width": 4, "levels": 0})""",
    "pixel_series": """
    config.epochs, config.steps_per_epoch, config.batch_size = 1, 20, 64
    config.scratch.width = 8""",
    "forest": """
    config.arguments.trees = 8""",
}


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the command; those that it runs are forks of it in turn."""
    global run

    def run(out, configs, *flags):
        return starter.run("demo", f"--out={out}", f"--configs={configs}", *flags)


def base_of(name):
    configs = CHECKOUT / "configs"
    if name == "pixel_series":
        return configs / "pixel_series" / "finetune.py"
    return configs / "demo" / f"{name}.py"


@pytest.fixture(scope="module")
def demo(commands, tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    for name, changes in SMALLER.items():
        world = 'world="europe"' if name == "simulate" else ""
        (root / f"{name}.py").write_text(
            "import runpy\nfrom ml_collections import ConfigDict\n\n"
            f"def get_config({world}):\n"
            f"    base = runpy.run_path({str(base_of(name))!r})\n"
            f"    config = base['get_config']({'world' if world else ''})"
            f"{changes}\n    return config\n"
        )
    done = run(root / "out", root)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return root, done.stdout


def test_it_ends_with_a_table_of_every_crop_and_method(demo):
    root, printed = demo
    table = (root / "out" / "scores.txt").read_text()
    assert table.strip() in printed
    scored = json.loads(
        (root / "out" / "combined-0" / "evaluation" / "test" / "all.json").read_text()
    )["scores"]
    crops = {row["crop"] for row in scored if row["rule"] == "chosen"}
    assert crops and {row["method"] for row in scored} == {"combined", "pixels-0", "forest-0"}
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    for name in crops:
        assert re.fullmatch(rf"{name} +([01]\.\d{{3}} +){{8}}-?\d+( to -?\d+)? d", lines[name]), (
            lines[name]
        )
    assert "combined minus dual_unet3d, mean F1 of pixels" in table
    assert "combined minus forest, mean F1 of fields" in table
    assert (root / "out" / "scores.png").stat().st_size > 10_000


def test_it_leaves_a_map_of_the_fields_world(demo):
    root, _ = demo
    with rasterio.open(next((root / "out" / "map").glob("crop_*.vrt"))) as raster:
        shown = np.unique(raster.read(1))
    assert set(shown) <= {*range(8), legend.NONE_OF_THESE, legend.IGNORE}


def test_run_again_it_changes_nothing(demo):
    root, _ = demo
    before = {p: p.read_bytes() for p in (root / "out").rglob("crop.tif")}
    done = run(root / "out", root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "on held-out sites" not in done.stdout
    assert before == {p: p.read_bytes() for p in (root / "out").rglob("crop.tif")}


@pytest.mark.parametrize(
    ("out", "configs", "flags", "message"),
    [
        ("s3://bucket/demo", "configs/demo", [], "--out 's3://bucket/demo': expected a path on"),
        ("{}/out", "{}", [], "--configs {}: expected simulate.py in it, found none"),
        ("{}/out", "configs/demo", ["--as_of=later"], "--as_of: expected a date like 2022-09-01"),
    ],
)
def test_a_mistake_is_a_line_before_anything_runs(tmp_path, out, configs, flags, message):
    wrong = run(out.format(tmp_path), configs.format(tmp_path), *flags)
    assert wrong.returncode == 1 and wrong.stdout == ""
    (line,) = wrong.stderr.splitlines()
    assert line.startswith("error: " + message.format(tmp_path))
    assert not list(tmp_path.iterdir())


def test_one_demo_in_a_folder_and_no_file_of_others_replaced(tmp_path):
    with files.Lock(tmp_path, "--out"):
        wrong = run(tmp_path, "configs/demo")
    assert wrong.returncode == 1 and "in use by" in wrong.stderr and "==" not in wrong.stdout
    (tmp_path / "scores.txt").write_text("mine")
    with pytest.raises(ValueError, match="found scores.txt, which demo did not write"):
        _demo_report.claim(tmp_path)
    (tmp_path / "scores.txt").unlink()
    _demo_report.claim(tmp_path)
    (tmp_path / "scores.txt").touch()
    _demo_report.claim(tmp_path)


OF_RUNS = {"combined": {"combined": "combined", "pixels-0": "pixel_series", "forest-0": "forest"},
           "finetuned": {"network": "dual_unet3d"}}  # fmt: skip


def write_scores(out, rows):
    """Scores by folder of a run; rows of (method, crop, unit, F1, lead)."""
    for folder, names in OF_RUNS.items():
        file = out / f"{folder}-0" / "evaluation" / "test" / "all.json"
        file.parent.mkdir(parents=True)
        own = [
            {"rule": "chosen", "method": name, "crop": crop, "unit": unit, "f1": f1,
             "lead_days": lead}
            for name, method in names.items()
            for known, crop, unit, f1, lead in rows if known == method
        ]  # fmt: skip
        file.write_text(json.dumps({"scores": own}))


def test_what_could_not_be_scored_is_no_zero(tmp_path):
    # Onion has no F1 of the U-Net: the mean is over pea alone, for every method.
    each = {"combined": (0.7, 0.9), "pixel_series": (0.6, 0.9), "forest": (0.5, 0.8),
            "dual_unet3d": (0.4, None)}  # fmt: skip
    write_scores(
        tmp_path,
        [(method, crop, unit, f1, None) for method, own in each.items()
         for unit in ("pixels", "fields") for crop, f1 in zip(("pea", "onion"), own, strict=True)],
    )  # fmt: skip
    _demo_report.write(tmp_path, 1)
    pea, onion, mean = (tmp_path / "scores.txt").read_text().splitlines()[2:5]
    assert pea.split()[1:5] == ["0.700", "0.600", "0.500", "0.400"]
    assert onion.split()[1:5] == ["0.900", "0.900", "0.800", "-"]
    assert mean.split()[:8] == ["mean", "(1", "of", "2)", "0.700", "0.600", "0.500", "0.400"]
    assert (
        "forest, mean F1 of pixels (1 of 2): +0.200, 1 seed"
        in (tmp_path / "scores.txt").read_text()
    )


def test_the_gain_and_its_standard_error():
    scores = {"lead": {"pea": [30, 60], "onion": None}}
    # Means per seed: combined 0.5 and 0.7, the U-Net 0.4 and 0.4: gains 0.1 and 0.3,
    # mean 0.2, standard deviation 0.1414, standard error 0.1.
    for unit in ("pixels", "fields"):
        scores["combined", unit] = {"pea": [0.4, 0.6], "onion": [0.6, 0.8]}
        scores["dual_unet3d", unit] = {"pea": [0.5, 0.3], "onion": [0.3, 0.5]}
        for method in ("pixel_series", "forest"):
            scores[method, unit] = {"pea": [0.2, 0.2]}
    told = _demo_report.difference(scores)
    assert "dual_unet3d, mean F1 of pixels: +0.200 +- 0.100 (standard error), 2 seeds" in told
    table = _demo_report.table(scores).splitlines()
    assert table[2].split()[:5] == ["pea", "0.500", "0.200", "0.200", "0.400"]
    assert table[2].endswith("30 to 60 d") and table[3].endswith("-")
    assert math.isclose(float(table[-1].split()[1]), 0.6)


def test_a_crop_without_an_f1_is_left_out_and_said(tmp_path):
    # Nobody can be wrong about onion, which is all that is known; fields say nothing at all.
    each = {"combined": 0.6, "pixel_series": 0.6, "dual_unet3d": 0.5}
    rows = [(method, "pea", "pixels", f1, [30, 30]) for method, f1 in each.items()]
    rows += [(method, "onion", "pixels", None, [30, 30]) for method in each]
    rows += [(m, crop, "fields", None, [30, 30]) for m in each for crop in ("pea", "onion")]
    write_scores(tmp_path, rows)
    told = _demo_report.write(tmp_path, 1)
    assert re.search(r"^onion +(- +){8}30 d$", told, re.MULTILINE)
    assert re.search(r"^mean \(1 of 2\) +0.600 +0.600 +- +0.500 +(- *){4}$", told, re.MULTILINE)
    assert "dual_unet3d, mean F1 of pixels (1 of 2): +0.100, 1 seed" in told
    assert "no crop has an F1 of fields" in told
    assert f"python -m experiments.view --map {tmp_path / 'map'} --cubes " in told
    assert (tmp_path / "scores.png").stat().st_size > 10_000
