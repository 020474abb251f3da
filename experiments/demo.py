"""The whole idea in minutes, without any account or download.

    python -m experiments.demo --out DIR

Simulates Iran with a few known fields and a land-cover map, and Europe under a crop map. Trains
on the fields a network that looks at each pixel alone, a random forest, and a small 3-D U-Net,
pretrained on Europe's map; combines the first two; scores all of them, each crop a month before its
harvest, on held-out sites; and draws a crop map of the combination. Every step is one of the
commands of this package, printed before it runs; interrupted, the same command resumes. A command
that runs ends with the demo.
"""

import pathlib
import time

from absl import flags

from cropmap_jax.geo import files, periods, processes
from experiments import _cli, _demo_report, _output, _running

_OUT = flags.DEFINE_string("out", None, "Folder of everything the demo makes.", required=True)
_SEEDS = flags.DEFINE_integer("seeds", 1, "Trainings of each kind, to see the spread.", 1, 100)
_CONFIGS = flags.DEFINE_string(
    "configs", "configs/demo", "Folder of simulate.py, pretrain.py and finetune.py."
)
_OTHERS = {"pixel_series": "configs/pixel_series/finetune.py", "forest": "configs/demo/forest.py"}
"""Configs that a folder of --configs need not have."""
_AS_OF = flags.DEFINE_string("as_of", "2022-08-01", "Date of the crop map.")


def _config(name: str) -> str:
    """--config with a file of --configs; of _OTHERS, where there is none."""
    own = pathlib.Path(_CONFIGS.value) / f"{name}.py"
    return f"--config={own if own.is_file() or name not in _OTHERS else _OTHERS[name]}"


def _steps(out: pathlib.Path):
    """Yields (title, command and its flags)."""
    data = f"--data_dir={out / 'data'}"
    # Without its land-cover map each village of Iran would be mapped as a crop.
    for world, kind, more in (
        ("iran", "isrc", ["--config.landcover=True"]),
        ("europe", "eucropmap", []),
    ):
        cubes = f"--cubes={out / world / 'cubes'}"
        yield f"simulate {world}", ["simulate", f"{_config('simulate')}:{world}", cubes, *more]
        build = ["build", f"--dataset={kind}", cubes, data, "--overlap=0"]
        yield f"chips of {world}", build
    for seed in range(_SEEDS.value):
        yield from _trained(out, seed)
    yield (
        "map",
        ["predict", f"--workdir={out / 'combined-0'}", f"--cubes={out / 'iran' / 'cubes'}",
         f"--as_of={_AS_OF.value}", f"--out={out / 'map'}"],
    )  # fmt: skip


def _trained(out: pathlib.Path, seed: int):
    """Yields the steps that train and score with a seed."""
    same = [f"--config.data_dir={out / 'data'}", f"--config.seed={seed}"]
    work = {
        name: f"--workdir={out / f'{name}-{seed}'}"
        for name in (*_demo_report.MEMBERS, "combined", "pretrained", "finetuned")
    }
    members = ",".join(str(out / f"{name}-{seed}") for name in _demo_report.MEMBERS)

    def score(name: str, pictures: int) -> list[str]:
        return ["evaluate", work[name], "--crop=all", f"--max_pictures={pictures}"]

    yield (
        "train the per-pixel network on Iran's fields",
        ["finetune", _config("pixel_series"), work["pixels"], *same, "--config.dataset=isrc",
         "--config.from_scratch=True"],
    )  # fmt: skip
    yield (
        "train a forest on Iran's fields",
        ["baseline", _config("forest"), work["forest"], *same, "--config.dataset=isrc"],
    )
    yield "combine both", ["combine", f"--workdirs={members}", work["combined"]]
    yield "score all three on held-out sites", score("combined", 1)
    yield (
        "pretrain a 3-D U-Net on Europe's map",
        ["pretrain", _config("pretrain"), work["pretrained"], *same],
    )
    start = f"--config.init_from={out / f'pretrained-{seed}'}"
    yield (
        "fine-tune the U-Net on Iran's fields",
        ["finetune", _config("finetune"), work["finetuned"], *same, start],
    )
    yield "score it on held-out sites", score("finetuned", 0)


def _scored(arguments: list[str]) -> bool:
    """Whether `evaluate` has run: the other commands know by themselves what is left to do."""
    workdir = arguments[0].removeprefix("--workdir=")
    return (pathlib.Path(workdir) / "evaluation" / "test" / "all.json").is_file()


def _check_flags() -> pathlib.Path:
    """Refuses at once what would be found after minutes; returns --out."""
    periods.parse_date(_AS_OF.value, "--as_of")
    given = files.local("--configs", _CONFIGS.value)
    there = given
    if not given.exists() and given.parts[:1] == ("configs",):
        there = _cli.installed_or_checkout("configs").joinpath(*given.parts[1:])
    for name in ("simulate", "pretrain", "finetune"):
        if not (there / f"{name}.py").is_file():
            raise ValueError(f"--configs {given}: expected {name}.py in it, found none")
    if not _OUT.value:
        raise ValueError("--out: expected a folder, found no name")
    return files.local("--out", _OUT.value)


def main(_):
    out = _check_flags()
    with processes.stoppable(), files.Lock(out, "--out"):
        _demo_report.claim(out)
        _run(out)


def _run(out: pathlib.Path) -> None:
    begun = time.monotonic()
    for title, (command, *arguments) in _steps(out):
        if command == "evaluate" and _scored(arguments):
            continue
        _running.run(title, command, arguments, (*_running.SHARED, *_running.OF_BASELINES))
    print(f"\n== result\n{_demo_report.write(out, _SEEDS.value)}")
    _output.results(out=out)
    print(f"\nthe demo took {(time.monotonic() - begun) / 60:.1f} min; all of it is in {out}")


if __name__ == "__main__":
    _cli.run(main)
