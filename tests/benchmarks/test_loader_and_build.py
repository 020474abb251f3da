"""The benchmarks of input run, count what they say they count, and write what they print."""

import json

import numpy as np
import pytest

from benchmarks import build, drawn, loader, waiting
from cropmap_jax.data import dataset
from cropmap_jax.geo import cube


def test_drawn_cubes_are_cubes_and_differ():
    one, other = drawn.draw_cube(0, 64, 3), drawn.draw_cube(17, 64, 3)
    for made in (one, other):
        cube.validate(made)
        assert len(made.info.periods) == 3
        np.testing.assert_allclose(np.isnan(made.s2).mean(), 0.15, atol=0.01)
    assert one.info.block != other.info.block
    assert (one.label != other.label).any()


def test_loader_reports_every_variant_and_stage(tmp_path, capsys):
    loader.main(["--quick", "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())["figures"]
    # Six periods of 64 x 64 pixels of twelve int16 bands, and a byte of label each.
    assert found["bytes_per_window"] == 64 * 64 * (6 * 12 * 2 + 1)
    assert len(found["variants"]) == 7 and len(found["stages"]) == 9
    for name in (*found["variants"], *found["stages"]):
        assert f"| {name} " in printed
    assert all(v["windows/s"]["median"] > 0 for v in found["variants"].values())
    assert found["variants"]["TFDS compressed"]["ratio"] == 1


def test_the_compressed_copy_holds_the_same_records(tmp_path):
    data = dataset.open_dataset(*loader.draw_dataset(str(tmp_path), 1, 2))
    packed = loader.compressed(data, tmp_path / "packed")
    for i in range(len(data.split("train"))):
        one, other = data.source("train")[i], packed.source("train")[i]
        assert all(np.array_equal(one[k], other[k]) for k in one)
    sizes = [sum(f.stat().st_size for f in loader._files(d)) for d in (data, packed)]
    assert sizes[1] < 0.95 * sizes[0]


def test_build_reports_both_numbers_of_cubes(tmp_path, capsys):
    build.main(["--quick", "--json", str(tmp_path / "out.json")])
    assert "| 2 cubes " in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert found["bytes_per_cube"] == 64 * 64 * (2 * 24 + 1)
    assert found["1"]["cubes/s"]["median"] > 0 and found["2"]["peak MB"]["median"] > 50


@pytest.mark.parametrize("flags, crop, records", [([], 4, 1), (["--width", "2"], 16, 7)])
def test_waiting_reports_the_share_of_time_of_the_real_loop(flags, crop, records, tmp_path, capsys):
    waiting.main(["--quick", "--json", str(tmp_path / "out.json"), *flags])
    printed = capsys.readouterr().out
    assert f"width {len(flags) or 1}, " in printed and f"| {crop} " in printed
    (run,) = json.loads((tmp_path / "out.json").read_text())["figures"]["runs"]
    assert 0 < run["waiting"]["median"] < 1 and run["step_ms"]["median"] > 0
    # Of sixteen steps, one record of eight or seven of two: the first is left out.
    assert run["waiting"]["n"] == records


def test_waiting_runs_the_seeds_network_at_its_own_sizes():
    seed = waiting.parse(["--width=32", "--steps", "24"])
    assert (seed.crops, seed.batch, seed.steps, seed.cubes) == ((64,), 8, 24, 40)
    smallest = waiting.parse([])
    assert (smallest.width, smallest.batch, smallest.steps) == (None, 16, 128)
