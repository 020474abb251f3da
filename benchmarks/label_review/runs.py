"""Commands of this package that a benchmark runs once, and the scores that they leave."""

import pathlib

from benchmarks.accuracy import places
from benchmarks.commands import command

CONFIG = "configs/pixel_series/finetune.py"
UNITS = ("pixels", "fields")


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
    return places.mean_f1(scores)
