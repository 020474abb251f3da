"""Benchmarks of sampled pixels and of the recipe's parts run, and say what they measured."""

import pathlib
import sys
import types

import making
import numpy as np
import pytest

from benchmarks import ablation, commands, sampling
from cropmap_jax.data import builders, cube_builder

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


def test_batches_are_made_in_each_way(capsys):
    ways = sampling.main(["--quick"])["ways"]
    assert [(w["drawn by"], w["square"]) for w in ways] == [
        ("field", "1 px"),
        ("field", "7 px"),
        ("place", "1 px"),
        ("place", "7 px"),
        ("place", "1 px"),
    ]
    assert ways[-1]["pixels"] >= 1_000_000 > ways[0]["pixels"]
    assert all(w["a batch, ms"] > 0 for w in ways)
    assert "| field" in capsys.readouterr().out


def test_a_part_is_compared_seed_by_seed(tmp_path, capsys, starter, monkeypatch):
    def run(words, **_):
        """The same command, without the seconds that it takes to start."""
        assert words[:2] == [sys.executable, "-m"]
        return starter.run(words[2].removeprefix("experiments."), *words[3:])

    monkeypatch.setattr(commands, "subprocess", types.SimpleNamespace(run=run))
    making.make_cubes(tmp_path / "cubes", ("train", "validation"), size=(32, 32))
    builder = builders.load_builder("cubes")
    cube_builder.build(builder, "small", tmp_path / "cubes", tmp_path / "data", chip=32)
    config = tmp_path / "small.py"
    base = CONFIGS / "pixel_series" / "finetune.py"
    config.write_text(
        "import runpy\n\ndef get_config():\n"
        f"    config = runpy.run_path({str(base)!r})['get_config']()\n"
        "    config.epochs, config.steps_per_epoch, config.batch_size = 1, 3, 16\n"
        "    config.scratch.width = 4\n    return config\n"
    )
    flags = ["--data_dir", str(tmp_path / "data"), "--dataset", "cubes/small", "--seeds", "1"]
    flags += ["--out", str(tmp_path / "runs"), "--config", str(config), "--parts", "sigmoid"]
    scores = ablation.main(flags)["scores"]
    assert list(scores) == ["all of it", "sigmoid"] and len(scores["sigmoid"]) == 1
    printed = capsys.readouterr().out
    gaps = np.subtract(scores["sigmoid"], scores["all of it"])[0]
    assert all(f"{gap:+.3f}" in printed for gap in gaps) and "seed 0: sigmoid" in printed
    # Finished runs are not repeated, and say the same.
    saved = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("state")}
    assert ablation.main(flags)["scores"] == scores
    assert saved and all(p.stat().st_mtime_ns == when for p, when in saved.items())
    with pytest.raises(SystemExit, match="--parts: expected some of .*, found luck"):
        ablation.main([*flags[:-1], "luck"])
