"""Trains every method on every world and real cube at hand, and prints how accurate each is.

python -m benchmarks.accuracy --out DIR [--real DIR] [--only worlds|real] [--seeds 3] \\
    [--methods pixel_series,forest]

Every step is a command of this package, printed before it runs; its output goes to a log next to
what it makes. Interrupted, the same command resumes: what has finished is skipped. Ends with
accuracy.md, accuracy.json and accuracy.png in --out. docs/accuracy.md says what is measured.
"""

import argparse
import pathlib
import sys
import time

from benchmarks.accuracy import methods, places, speed, table
from benchmarks.accuracy.methods import Method
from benchmarks.accuracy.places import Place
from cropmap_jax.geo import files, forks, processes
from cropmap_jax.geo.recorded_steps import Failed, Steps

SHARED = (
    "cropmap_jax.baselines.keeping",
    "cropmap_jax.evaluation.evaluate",
    "cropmap_jax.mapping.crop_map",
    "cropmap_jax.training.loop",
)
"""What commands import, once for all of them."""


def run(
    out: pathlib.Path,
    chosen: list[Place],
    tried: list[Method],
    seeds: int,
    notes: list[str],
    simulate: str = places.SIMULATE,
) -> str:
    """Runs what has not been run yet, and writes the report into `out`; returns the table.

    A method that fails is reported with its reason, and the others are run.

    Args:
      out: folder of everything.
      chosen: where.
      tried: what.
      seeds: trainings of each, with the seeds 0, 1, ...
      notes: what was left out, a line each.
      simulate: settings of the world of the pretraining.
    """
    steps, runs = Steps(out), []
    fast = next((place.name for place in chosen if place.speed_as_of), None)
    for place in chosen:
        own = [method for method in tried if method.runs_on(place.name)]
        failed = _prepared(steps, out, place)
        for seed, method in _in_order(own, seeds):
            found = {"place": place.name, "method": method.name, "seed": seed}
            try:
                if failed:
                    raise Failed(failed)
                start = _pretrained(steps, out, method, seed, simulate)
                found |= place.run(steps, out, method, seed, start, seeds)
                if place.name == fast and not seed and method.verb != methods.SPOT:
                    cubes, as_of = place.cubes(out), place.speed_as_of
                    found["speed"] = speed.step(steps, out, found["workdir"], cubes, as_of)
            except Failed as error:
                found["failed"] = str(error)
            runs.append(found)
    print(f"\n{steps.ran} steps run, {steps.skipped} were finished")
    return table.write(out, chosen, tried, runs, seeds, notes)


def _in_order(tried: list[Method], seeds: int) -> list[tuple[int, Method]]:
    """Seeds and methods, those at the end that put runs of others together."""
    jobs = [(seed, method) for seed in range(seeds) for method in tried]
    return sorted(jobs, key=lambda job: job[1].verb == methods.COMBINE)


def _prepared(steps: Steps, out: pathlib.Path, place: Place) -> str:
    """Makes a place's dataset; returns why that failed, "" if it did not."""
    try:
        place.prepare(steps, out)
    except Failed as error:
        return f"its dataset could not be made: {error}"
    return ""


def _pretrained(steps: Steps, out: pathlib.Path, method: Method, seed: int, simulate: str) -> str:
    """The workdir of a method's pretraining, which places share; "" where it has none."""
    if not method.pretrain:
        return ""
    europe = places.europe(simulate)
    europe.prepare(steps, out)
    folder = out / "runs" / "europe" / f"{method.name}-{seed}"
    flags = [f"--workdir={folder}", f"--config.seed={seed}", f"--config.data_dir={out / 'data'}"]
    flags += [f"--config.dataset={europe.dataset}"]
    steps.command(folder, "train", "pretrain", flags, method.pretrain, anew=True)
    return str(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", required=True, help="folder of everything that this makes")
    parser.add_argument("--real", help="folder of the real stacks (.npz); without it, none")
    parser.add_argument("--only", help="worlds, real, or names of places, separated by commas")
    names = ", ".join(m.name + ("" if m.default else " (not by default)") for m in methods.METHODS)
    parser.add_argument("--methods", help=f"some of {names}; separated by commas")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each (3)")
    parser.add_argument("--worlds", type=int, default=2, help="simulated worlds (2)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    begun = time.monotonic()
    try:
        for flag, value in (("--seeds", args.seeds), ("--worlds", args.worlds)):
            if not 1 <= value <= 100:
                raise ValueError(f"{flag}: expected 1 to 100, found {value}")
        names = None if args.methods is None else [m.strip() for m in args.methods.split(",")]
        tried = methods.find(names)
        real = files.local("--real", args.real) if args.real else None
        if real and not real.is_dir():
            raise ValueError(f"--real: expected a folder, found none at {real}")
        stacks, notes = places.real(real)
        worlds = [places.world(seed) for seed in range(args.worlds)]
        chosen = places.choose([*worlds, *stacks], args.only)
        out = files.local("--out", args.out).resolve()
        for note in notes:
            print(note, flush=True)
        forks.preload(SHARED)
        with processes.stoppable(), files.Lock(out, "--out"):
            files.Written(out, "accuracy").claim(*table.NAMES)
            text = run(out, chosen, tried, args.seeds, notes)
    except KeyboardInterrupt as stop:
        print("\ninterrupted: run the same command again to resume", file=sys.stderr)
        return getattr(stop, "exit_code", 130)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{text}\n\ntable: {out / table.NAMES[0]}, drawn: {out / table.NAMES[2]}")
    print(f"took {(time.monotonic() - begun) / 60:.1f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
