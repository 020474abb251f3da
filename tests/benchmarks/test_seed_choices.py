"""The benchmark of the original system's choices: cubes as it stored them, its table, its runs."""

import argparse
import dataclasses
import json
import pathlib
import runpy

import making
import numpy as np
import pytest
import rasterio

from benchmarks.seed_choices import __main__ as benchmark
from benchmarks.seed_choices import altered, choices, table
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.forks import Ended
from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.geo.sensors import SENSORS

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
S1, NODATA = SENSORS["s1"], -32768
PIXELS, UNET = choices.NETWORKS


# Cubes. -------------------------------------------------------------------------------------------


def test_stretching_is_by_month_and_image_and_jointly_over_bands():
    stored = np.full((2, 2, 4, 2), NODATA, np.int16)
    stored[0, 0, 0] = -2000, -1000
    stored[0, 1, 1] = -1500, NODATA
    stored[0, 0, 2] = 300, 500  # another image
    stored[1, :, :2] = -700  # a flat one
    found = altered.stretch(stored, S1, image_px=2)
    # -25 to 10 dB: the middle is -7.5.
    assert found[0, 0, 0].tolist() == [-2500, 1000] and found[0, 1, 1].tolist() == [-750, NODATA]
    assert found[0, 0, 2].tolist() == [-2500, 1000]
    assert (found[1, :, :2] == -2500).all() and (found[1, :, 2:] == NODATA).all()
    assert ((found == NODATA) == (stored == NODATA)).all() and found.dtype == np.int16


def test_zeros_come_first_as_the_original_system_stored_them():
    cube = making.make_cube("a", 16)
    raw = cube_io.RawCube(
        cube.info,
        {s.name: s.encode(cube.pixels[s.name]) for s in cube.info.sensors},
        cube.label,
        cube.fields,
    )
    both = altered.alter(raw, (altered.ZEROS, altered.STRETCHED))
    assert all((pixels != NODATA).all() for pixels in both.pixels.values())
    missing = raw.pixels["s1"] == NODATA
    assert missing.any() and (both.pixels["s1"][missing] == 1000).all()  # 0 dB is the brightest
    assert altered.alter(raw, ()).pixels["s1"] is raw.pixels["s1"]


def test_copies_keep_all_else_and_test_labels_may_be_the_truth(tmp_path):
    for name, split in (("a", "train"), ("b", "test")):
        cube = making.make_cube(name, 16, split=split, tile=(400 + ord(name), 3000))
        cube_io.write_cube(cube, tmp_path / "cubes")
        folder = tmp_path / "truth" / name
        folder.mkdir(parents=True)
        truth = np.full((1, 16, 16), NONE_OF_THESE, np.uint8)
        with rasterio.open(
            folder / "truth.tif", "w", driver="GTiff", width=16, height=16, count=1, dtype="uint8"
        ) as raster:
            raster.write(truth)
    out = tmp_path / "out"
    altered.write(tmp_path / "cubes", out, (altered.ZEROS,), tmp_path / "truth")
    before, after = (cube_io.read_raw(folder / "a") for folder in (tmp_path / "cubes", out))
    np.testing.assert_array_equal(before.label, after.label)
    np.testing.assert_array_equal(before.fields, after.fields)
    assert dataclasses.replace(before.info, path=None) == dataclasses.replace(after.info, path=None)
    assert (cube_io.read_raw(out / "b").label == NONE_OF_THESE).all()
    written = (out / "b" / cube_io.ITEM).stat().st_mtime_ns
    altered.write(tmp_path / "cubes", out, (altered.ZEROS,), tmp_path / "truth")
    assert (out / "b" / cube_io.ITEM).stat().st_mtime_ns == written
    (tmp_path / "truth" / "b" / "truth.tif").unlink()
    with pytest.raises(ValueError, match="^--truth: expected the raster .*b/truth.tif, found none"):
        altered.write(tmp_path / "cubes", tmp_path / "other", (), tmp_path / "truth")


# Choices. -----------------------------------------------------------------------------------------


def test_what_a_choice_is_compared_with_is_run_as_well():
    names = [choice.name for choice in choices.choices_of(PIXELS, ["pu"], europe=False)]
    assert names == ["ours", "sigmoid", "pu"]
    # The U-Net's own loss is a sigmoid.
    found = choices.choices_of(UNET, ["pu", "negative_sigmoid"], europe=False)
    assert [(c.name, c.reference) for c in found] == [("ours", "ours"), ("pu", "ours")]
    every = {c.name for c in choices.choices_of(PIXELS, None, europe=True)}
    assert every == {c.name for c in choices.CHOICES}
    without = {c.name for c in choices.choices_of(PIXELS, None, europe=False)}
    assert every - without == {"pretrained", "seed_pretrained"}
    with pytest.raises(ValueError, match="^--choices: expected some of ours, .* found 'nnpu'"):
        choices.choices_of(PIXELS, ["nnpu"], europe=True)
    with pytest.raises(ValueError, match="^--europe: expected cubes for --choices pretrained"):
        choices.choices_of(PIXELS, ["pretrained"], europe=False)
    with pytest.raises(ValueError, match="^--networks: expected some of pixel_series, dual_unet3d"):
        choices.find_networks(["unet"])


def test_settings_exist():
    """Every setting of a choice is one of its network's config."""
    for network in choices.NETWORKS:
        given = runpy.run_path(str(CHECKOUT / network.config))["get_config"]()
        for choice in choices.choices_of(network, None, europe=True):
            for flag in choice.settings(network):
                at = given
                for part in flag.removeprefix("--config.").partition("=")[0].split("."):
                    assert part in at, flag
                    at = at[part]


# Table. -------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed():
    # Gaps 0.1 and 0.3: mean 0.2, deviation 0.1414, over the root of 2: 0.1.
    assert table.paired([0.5, 0.9], [0.4, 0.6]) == ("0.700 ± 0.283", "+0.200 ± 0.100")
    assert table.paired([0.5, None], [0.4, 0.6]) == ("0.500", "+0.100")
    assert table.paired([None], [0.4]) == ("", "")


class FakeSteps:
    """Runs nothing: writes the scores that a seed of a choice would have."""

    def __init__(self, out):
        self.ran: list[tuple] = []

    def command(self, folder, name, verb, arguments, config="", anew=False, of=()):
        self.ran.append((verb, folder.name, tuple(arguments)))
        if verb == "finetune" and "pu-1" in str(folder):
            raise benchmark.Failed("no luck")
        if verb == "evaluate":
            out = folder / ("ground" if name == "ground" else "evaluation/test")
            hits = 4 if "ours" in folder.name else 6
            rows = [
                {
                    "crop": "pea",
                    "unit": unit,
                    "rule": "chosen",
                    "tp": hits,
                    "fp": 1,
                    "fn": 1,
                    "tn": 9,
                }
                for unit in ("pixels", "fields")
            ]
            out.mkdir(parents=True, exist_ok=True)
            (out / "all.json").write_text(json.dumps({"scores": rows}))

    def step(self, folder, name, key, shown, work, anew=False):
        self.ran.append((name, folder.name, key["ways"]))
        return Ended(0, 0.0)


@pytest.fixture
def arguments(tmp_path):
    for name in ("cubes", "truth", "europe"):
        (tmp_path / name).mkdir()
    return argparse.Namespace(
        cubes=str(tmp_path / "cubes"), truth=str(tmp_path / "truth"), out=str(tmp_path / "out"),
        europe=None, pretrained=None, networks="dual_unet3d", choices="pu,zeros", seeds=2,
        epochs=None,
    )  # fmt: skip


def test_a_run_that_fails_is_reported_and_the_others_are_run(arguments, monkeypatch):
    made: list[FakeSteps] = []
    monkeypatch.setattr(benchmark, "Steps", lambda out: made.append(FakeSteps(out)) or made[0])
    out = pathlib.Path(arguments.out)
    text = benchmark.run(arguments, out)
    assert "- dual_unet3d, pu, seed 1, failed: no luck" in text
    # 8 / 10 and 12 / 14.
    assert "0.800 ± 0.000" in text and "+0.057 ± 0.000" in text
    assert text == (out / "seed_choices.md").read_text()
    record = json.loads((out / "seed_choices.json").read_text())
    assert len(record["runs"]) == 5 and len(record["failed"]) == 1
    trained = [flags for verb, _, flags in made[0].ran if verb == "finetune"]
    assert "--config.scratch.use_validity=False" in trained[2]
    assert "--config.dataset=isrc/zeros" in trained[2]
    assert all("--config.from_scratch=True" in flags for flags in trained)
    scored = [flags for verb, _, flags in made[0].ran if verb == "evaluate"]
    assert any("--dataset=isrc/zeros-truth" in flags for flags in scored)


def test_pretraining_is_on_cubes_altered_likewise(arguments, monkeypatch, tmp_path):
    arguments.europe, arguments.choices = str(tmp_path / "europe"), "pretrained,seed_pretrained"
    made: list[FakeSteps] = []
    monkeypatch.setattr(benchmark, "Steps", lambda out: made.append(FakeSteps(out)) or made[0])
    benchmark.run(arguments, pathlib.Path(arguments.out))
    pretrained = {flags for verb, _, flags in made[0].ran if verb == "pretrain"}
    named = sorted([f for f in flags if "dataset" in f or "validity" in f] for flags in pretrained)
    assert named == [
        ["--config.dataset=eucropmap/plain"],
        ["--config.dataset=eucropmap/zeros-stretched", "--config.model.use_validity=False"],
    ]
    trained = [flags for verb, _, flags in made[0].ran if verb == "finetune"]
    assert "from_scratch" not in str(trained[1:3]) and "dual_unet3d-zeros-stretched" in str(trained)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=0"], "--seeds: expected 1 to 100, found 0"),
        (["--epochs=0"], "--epochs: expected at least 1, found 0"),
        (["--truth=nowhere"], "--truth: expected a folder, found none at nowhere"),
        (["--pretrained=pixel_series"], "--pretrained: expected NETWORK=WORKDIR, found"),
        (["--networks=a"], "--networks: expected some of"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, capsys, flags, message):
    (tmp_path / "cubes").mkdir()
    given = [f"--cubes={tmp_path / 'cubes'}", f"--out={tmp_path / 'out'}", *flags]
    assert benchmark.main(given) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}") and said.count("\n") == 1
