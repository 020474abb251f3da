"""Commands of this package that a benchmark runs once, and the scores that they leave."""

import json
import pathlib
import subprocess
import sys

from benchmarks.accuracy import places

CONFIG = "configs/pixel_series/finetune.py"
UNITS = ("pixels", "fields")


def command(verb: str, *flags: str) -> None:
    """Runs `python -m experiments.VERB`.

    Raises:
      SystemExit: it failed; its last line.
    """
    print(f"$ python -m experiments.{verb} {' '.join(flags)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{verb}", *flags], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"error: {verb}: {last}")


def build(cubes: pathlib.Path, data_dir: pathlib.Path, name: str) -> None:
    """Builds the dataset isrc/NAME of some cubes, unless it is there."""
    if not list((data_dir / "isrc" / name).glob("*/dataset_info.json")):
        flags = [f"--cubes={cubes}", f"--data_dir={data_dir}", f"--name={name}"]
        command("build", "--dataset=isrc", "--overlap=0", *flags)


def score(
    workdir: pathlib.Path, data_dir: pathlib.Path, dataset: str, seed: int, trained: bool = False
) -> dict[str, float]:
    """Mean F1 of the crops on the test split, of pixels and fields; trains and scores if need be.

    Each crop is mapped 30 days before its harvest, at the threshold that is best on validation.

    Args:
      workdir: of the run.
      data_dir, dataset: what it is trained on.
      seed: of training and scoring.
      trained: whether it has been trained already.
    """
    scores = workdir / "evaluation" / "test" / "all.json"
    if not scores.exists():
        given = [f"--config.data_dir={data_dir}", f"--config.dataset={dataset}"]
        given += [f"--config.seed={seed}", "--config.from_scratch=True"]
        if not trained:
            command("finetune", f"--config={CONFIG}", f"--workdir={workdir}", *given)
        rest = ["--crop=all", f"--seed={seed}", "--max_pictures=0"]
        command("evaluate", f"--workdir={workdir}", *rest)
    pooled = places.pool([json.loads(scores.read_text())["scores"]])
    return {unit: places.macro(pooled, unit, "chosen") or 0.0 for unit in UNITS}
