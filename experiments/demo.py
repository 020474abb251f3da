"""The whole idea in minutes, without any account or download.

    python -m experiments.demo --out DIR

Simulates Iran with a few known fields, and Europe under a crop map. Trains two networks on the
fields: one that looks at each pixel alone, and a small 3-D U-Net, pretrained on Europe's map;
scores each crop a month before its harvest on held-out sites, next to a random forest; and draws a
crop map. Every step is one of the commands of this package, printed before it runs; interrupted,
the same command resumes. A command that runs ends with the demo.
"""

import pathlib
import shlex
import sys
import time

from absl import flags

from cropmap_jax.geo import files, periods, processes
from experiments import _cli, _demo_report

_OUT = flags.DEFINE_string("out", None, "Folder of everything the demo makes.", required=True)
_SEEDS = flags.DEFINE_integer("seeds", 1, "Trainings of each kind, to see the spread.", 1, 100)
_CONFIGS = flags.DEFINE_string(
    "configs", "configs/demo", "Folder of simulate.py, pretrain.py and finetune.py."
)
_PIXELS = "pixel_series/finetune.py"
_AS_OF = flags.DEFINE_string("as_of", "2022-08-01", "Date of the crop map.")


def _steps(out: pathlib.Path):
    """Yields (title, command and its flags)."""
    data, configs = f"--data_dir={out / 'data'}", f"--config={_CONFIGS.value}"
    own = pathlib.Path(_CONFIGS.value) / "pixel_series.py"
    pixels = f"--config={own if own.is_file() else f'configs/{_PIXELS}'}"
    for world, kind in (("iran", "isrc"), ("europe", "eucropmap")):
        cubes = f"--cubes={out / world / 'cubes'}"
        yield f"simulate {world}", ["simulate", f"{configs}/simulate.py:{world}", cubes]
        build = ["build", f"--dataset={kind}", cubes, data, "--overlap=0"]
        yield f"chips of {world}", build
    for seed in range(_SEEDS.value):
        same = [f"--config.data_dir={out / 'data'}", f"--config.seed={seed}"]
        start = out / f"pretrained-{seed}"
        fields = "--config.dataset=isrc"
        for name, title, learn in (
            (
                "pixels",
                "train the per-pixel network on Iran's fields",
                [pixels, *same, fields, "--config.from_scratch=True"],
            ),
            (
                "finetuned",
                "fine-tune the U-Net on Iran's fields",
                [f"{configs}/finetune.py", *same, f"--config.init_from={start}"],
            ),
        ):
            if name == "finetuned":
                yield (
                    "pretrain a 3-D U-Net on Europe's map",
                    ["pretrain", f"{configs}/pretrain.py", f"--workdir={start}", *same],
                )
            work = f"--workdir={out / f'{name}-{seed}'}"
            yield title, ["finetune", learn[0], work, *learn[1:]]
            extra = ["--max_pictures=0"]
            if name == "pixels":
                extra = ["--baseline=forest", "--trees=50", "--max_pictures=1"]
            score = ["evaluate", work, "--crop=all", f"--seed={seed}"]
            yield "score on held-out sites", score + extra
    yield (
        "map",
        ["predict", f"--workdir={out / 'pixels-0'}", f"--cubes={out / 'iran' / 'cubes'}",
         f"--as_of={_AS_OF.value}", f"--out={out / 'map'}"],
    )  # fmt: skip


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
        shown = f"python -m experiments.{command} {shlex.join(arguments)}"
        print(f"\n== {title}\n$ {shown}", flush=True)
        start = time.monotonic()
        code = processes.run([sys.executable, "-m", f"experiments.{command}", *arguments])
        if code:
            raise ValueError(f"{title} failed (exit {code}): {shown}")
        print(f"({time.monotonic() - start:.0f} s)", flush=True)
    print(f"\n== result\n{_demo_report.write(out, _SEEDS.value)}")
    print(f"\nthe demo took {(time.monotonic() - begun) / 60:.1f} min; all of it is in {out}")


if __name__ == "__main__":
    _cli.run(main)
