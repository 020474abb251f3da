"""`audit` prints what it finds, writes it, and exits with 1 where there is leakage."""

import dataclasses
import json
import shutil

import making
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image

from cropmap_jax.audit import findings
from cropmap_jax.geo import cube, cube_io


def line_of(done) -> str:
    """The one line that a failing command prints."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    return line


def copied(cubes_dir, name, cube_id, split, east):
    """Writes a copy of a cube that claims to lie elsewhere."""
    one = cube_io.read_cube(cubes_dir / name)
    a, b, x, d, e, y = tuple(one.info.geobox.affine)[:6]
    geobox = GeoBox(one.info.shape, Affine(a, b, x + east, d, e, y), one.info.geobox.crs)
    info = dataclasses.replace(
        one.info, cube_id=cube_id, split=split, block="elsewhere", geobox=geobox
    )
    cube_io.write_cube(cube.Cube(info, one.pixels, one.label, one.fields), cubes_dir)


@pytest.fixture(scope="module")
def world(tmp_path_factory, starter):
    """Two built datasets, one of them with a cube that is there twice, and their cubes."""
    root = tmp_path_factory.mktemp("world")
    for name in ("clean", "bad"):
        making.make_cubes(root / name, size=32)
    copied(root / "bad", "train_0", "copy", "test", 50_000)
    for name in ("clean", "bad"):
        flags = ("--cubes", root / name, "--data_dir", root / "data", "--name", name)
        done = starter.run("build", *flags, "--chip", 32)
        assert done.returncode == 0, done.stderr[-3000:]
    return root


def test_clean_data_pass(world, starter, tmp_path):
    flags = ("--data_dir", world / "data", "--dataset", "cubes/clean", "--out", tmp_path)
    done = starter.run("audit", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "0 errors, 0 warnings" in done.stdout and "no leakage found" in done.stdout
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["counts"]["error"] == 0
    whole = cube_io.read_cube(world / "clean" / "train_0")
    wheat = int(np.count_nonzero(whole.label == 0))
    assert found["balance"]["pixels"]["train"]["wheat"] == wheat
    gone = np.isnan(whole.pixels["s1"]).all(-1)[0]
    assert found["missing"]["s1"]["wheat"]["2021-12"] > 0 or not gone[whole.label == 0].any()
    assert "# Audit of cubes/clean" in (tmp_path / "audit.md").read_text()
    assert Image.open(tmp_path / "audit.png").size[0] > 1000


def test_a_copy_ends_with_1_and_the_other_dataset_is_audited_too(world, starter, tmp_path):
    done = starter.run("audit", "--data_dir", world / "data", "--out", tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    text = " ".join(done.stdout.split())
    assert "cubes/bad: 4 cubes" in text and "cubes/clean: 3 cubes" in text
    assert "error (copies): 1 pair of cubes in two splits with the very same pixel values" in text
    assert "copy (test) and train_0 (train)" in text and text.endswith("correct that first")
    for name, count in (("bad", 1), ("clean", 0)):
        found = json.loads((tmp_path / "cubes" / name / "audit.json").read_text())
        assert found["counts"]["error"] == count


def test_cubes_are_audited_before_they_are_built(world, starter):
    done = starter.run("audit", "--cubes", world / "bad")
    assert done.returncode == 1
    assert "copy (test) and train_0 (train)" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "flags, line",
    [
        ((), "error: expected --data_dir or --cubes, found neither"),
        (("--dataset", "x"), "error: --dataset: expected --data_dir with it, found none"),
        (("--data_dir", "{}/empty"), "error: --data_dir {}/empty: expected datasets, found none"),
        (("--data_dir", "{}/data", "--dataset", "cubes/other"), "cubes/other: expected a dataset"),
        (("--cubes", "{}/empty"), "error: {}/empty: expected cubes"),
        (("--cubes", "{}/clean", "--out", "{}/clean/out"), "--out"),
    ],
)
def test_bad_input_is_one_line(world, starter, flags, line):
    (world / "empty").mkdir(exist_ok=True)
    done = starter.run("audit", *(flag.format(world) for flag in flags))
    assert line.format(world) in line_of(done)


def test_a_damaged_record_is_named(world, starter, tmp_path):
    shutil.copytree(world / "data" / "cubes" / "clean", tmp_path / "cubes" / "clean")
    (file,) = (tmp_path / "cubes" / "clean" / "1.0.0").glob("*-train*")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    done = starter.run("audit", "--data_dir", tmp_path, "--dataset", "cubes/clean")
    assert file.name in line_of(done)


def test_findings_are_in_order_and_names_are_cut():
    made = [findings.Finding(s, "c", "w", "a") for s in ("note", "error", "warning", "error")]
    assert [one.severity for one in findings.ordered(made)] == [
        "error", "error", "warning", "note",
    ]  # fmt: skip
    assert findings.named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert findings.plural(1, "class") == "1 class" and findings.plural(1200, "cube") == (
        "1,200 cubes"
    )
