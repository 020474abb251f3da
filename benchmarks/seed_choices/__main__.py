"""What each choice of the original system is worth on a simulated world, for both networks.

    python -m benchmarks.seed_choices --cubes iran/cubes --truth iran/truth --europe europe/cubes \\
        --out OUT [--networks pixel_series,dual_unet3d] [--choices ours,negative,pu] [--seeds 3]
        [--pretrained pixel_series=WORKDIR]

CUBES, TRUTH and EUROPE are what `experiments.simulate` wrote (configs/demo/simulate.py:iran and
:europe). Each choice is changed alone from what we do; then all of the original system's together.
Without --europe nothing is pretrained, without --truth the ground that nobody annotated is not
scored. Every run is scored on the test sites as of the same dates, 30 days before each crop's
harvest, at thresholds from the annotated validation sites: F1 of eight crops over annotated pixels,
over their fields, and over every pixel of the test sites. Interrupted, the same command resumes.
It ends with seed_choices.md and seed_choices.json in --out.
"""

import argparse
import json
import pathlib
import sys
import time

from benchmarks.accuracy import places
from benchmarks.seed_choices import altered, choices, table
from benchmarks.seed_choices.choices import Choice, Network
from cropmap_jax.geo import files, forks, processes
from cropmap_jax.geo.recorded_steps import Failed, Steps

NAMES = ("seed_choices.md", "seed_choices.json")
SHARED = ("cropmap_jax.evaluation.evaluate", "cropmap_jax.training.loop")
"""What commands import, once for all of them."""


class Bench:
    """Runs what has not been run yet below a folder.

    Args:
      args: the flags.
      out: --out.
    """

    def __init__(self, args: argparse.Namespace, out: pathlib.Path):
        self._args, self._out, self._steps = args, out, Steps(out)

    def scores(self, network: Network, choice: Choice, seed: int) -> dict[str, float]:
        """F1 by measure; trains and scores if need be.

        Raises:
          Failed: a command ended with an error.
        """
        out, args, steps = self._out, self._args, self._steps
        folder = out / "runs" / network.name / f"{choice.name}-{seed}"
        data = f"--config.data_dir={out / 'data'}"
        flags = [f"--workdir={folder}", data, f"--config.seed={seed}", *choice.settings(network)]
        flags += [f"--config.dataset={self._dataset(choice.ways)}"]
        if choice.pretrained:
            flags += [f"--config.init_from={self._pretrained(network, choice.ways)}"]
        else:
            flags += ["--config.from_scratch=True"]
        flags += [f"--config.epochs={args.epochs}"] if args.epochs else []
        steps.command(folder, "train", "finetune", flags, network.config, anew=True)
        score = [f"--workdir={folder}", "--crop=all", "--max_pictures=0"]
        steps.command(folder, "score", "evaluate", score)
        found = places.mean_f1(folder / "evaluation" / "test" / "all.json")
        if args.truth:
            whole, ground = self._dataset(choice.ways, truth=True), folder / "ground"
            score += [f"--dataset={whole}", f"--data_dir={out / 'data'}", f"--out={ground}"]
            steps.command(folder, "ground", "evaluate", score)
            found["ground"] = places.mean_f1(ground / "all.json", ("pixels",))["pixels"]
        return found

    def _pretrained(self, network: Network, ways: tuple[str, ...]) -> str:
        """Workdir of a network that was pretrained on Europe, altered likewise."""
        given = dict(word.split("=", 1) for word in self._args.pretrained or ())
        if not ways and network.name in given:
            return str(pathlib.Path(given[network.name]).absolute())
        name = "-".join((network.name, *ways))
        folder = self._out / "runs" / "europe" / name
        flags = [f"--workdir={folder}", f"--config.data_dir={self._out / 'data'}"]
        flags += [f"--config.dataset={self._europe(ways)}"]
        if altered.ZEROS in ways and network.masks:
            flags += [f"--config.model.{network.masks}=False"]
        flags += [f"--config.epochs={self._args.epochs}"] if self._args.epochs else []
        self._steps.command(folder, "train", "pretrain", flags, network.pretraining, anew=True)
        return str(folder)

    def _dataset(self, ways: tuple[str, ...], truth: bool = False) -> str:
        """Name of the world's dataset, its cubes altered; with `truth`, test labels are all."""
        return self._built("isrc", self._args.cubes, ways, self._args.truth if truth else None)

    def _europe(self, ways: tuple[str, ...]) -> str:
        return self._built("eucropmap", self._args.europe, ways, None)

    def _built(self, kind: str, cubes: str, ways: tuple[str, ...], truth: str | None) -> str:
        name = "-".join((*ways, *(["truth"] if truth else []))) or "plain"
        folder = self._out / "places" / kind / name
        source, copies = pathlib.Path(cubes).absolute(), folder / "cubes"
        if ways or truth:
            key = {"cubes": str(source), "ways": list(ways), "truth": truth}
            shown = f"copies of {source}: {', '.join((*ways, *(['truth'] if truth else [])))}"

            def work(log: pathlib.Path) -> forks.Ended:
                labels = pathlib.Path(truth) if truth else None
                return forks.call(lambda: altered.write(source, copies, ways, labels), log)

            self._steps.step(folder, "cubes", key, shown, work)
            source = copies
        flags = [f"--dataset={kind}", f"--cubes={source}", f"--data_dir={self._out / 'data'}"]
        self._steps.command(folder, "build", "build", [*flags, f"--name={name}", "--overlap=0"])
        return f"{kind}/{name}"

    def report(self, tried: dict[str, list[Choice]], scores: table.Scores, failed: list) -> str:
        """Writes the tables so far; returns them."""
        args = self._args
        parts = [
            f"### {network.name}\n\n"
            + table.markdown(network, tried[network.name], scores, args.seeds, bool(args.truth))
            for network in choices.NETWORKS
            if network.name in tried
        ]
        parts += [f"- {network}, {name}, seed {seed}, failed: {why}"
                  for network, name, seed, why in failed]  # fmt: skip
        text = "\n\n".join(parts) + "\n"
        rows = [
            {"network": network, "choice": name, "seed": seed, "f1": found}
            for (network, name, seed), found in scores.items()
        ]
        files.write_bytes(self._out / NAMES[0], text.encode())
        figures = {"flags": vars(args), "runs": rows, "failed": failed}
        files.write_bytes(self._out / NAMES[1], (json.dumps(figures, indent=1) + "\n").encode())
        return text


def run(args: argparse.Namespace, out: pathlib.Path) -> str:
    """Runs what has not been run yet; a run that fails is reported, and the others are run."""
    names = args.choices.split(",") if args.choices else None
    networks = choices.find_networks(args.networks.split(",") if args.networks else None)
    tried = {n.name: choices.choices_of(n, names, bool(args.europe)) for n in networks}
    bench, scores, failed, text = Bench(args, out), {}, [], ""
    for seed in range(args.seeds):
        for network in networks:
            for choice in tried[network.name]:
                place = network.name, choice.name, seed
                try:
                    scores[place] = bench.scores(network, choice, seed)
                except Failed as error:
                    failed.append((*place, str(error)))
                text = bench.report(tried, scores, failed)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.seed_choices",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cubes", required=True, help="folder of simulated cubes of Iran")
    parser.add_argument("--out", required=True, help="folder of everything that this makes")
    parser.add_argument("--truth", help="folder of the truth of these cubes")
    parser.add_argument("--europe", help="folder of simulated cubes of Europe, to pretrain on")
    parser.add_argument(
        "--pretrained",
        action="append",
        metavar="NETWORK=WORKDIR",
        help="a network pretrained on Europe as it is, in place of training one",
    )
    parser.add_argument("--networks", help="pixel_series, dual_unet3d; separated by commas (both)")
    known = ", ".join(choice.name for choice in choices.CHOICES)
    parser.add_argument("--choices", help=f"some of {known}, separated by commas (all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each (3)")
    parser.add_argument("--epochs", type=int, help="of every training (as in its config)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    begun = time.monotonic()
    try:
        if not 1 <= args.seeds <= 100:
            raise ValueError(f"--seeds: expected 1 to 100, found {args.seeds}")
        if args.epochs is not None and not 1 <= args.epochs <= 10**6:
            raise ValueError(f"--epochs: expected at least 1, found {args.epochs}")
        choices.find_networks(args.networks.split(",") if args.networks else None)
        for word in args.pretrained or ():
            name, equals, path = word.partition("=")
            choices.find_networks([name])
            if not equals or not pathlib.Path(path).is_dir():
                raise ValueError(f"--pretrained: expected NETWORK=WORKDIR, found {word!r}")
        for flag in ("cubes", "truth", "europe"):
            path = getattr(args, flag)
            if path and not pathlib.Path(path).is_dir():
                raise ValueError(f"--{flag}: expected a folder, found none at {path}")
        out = files.local("--out", args.out).resolve()
        forks.preload(SHARED)
        with processes.stoppable(), files.Lock(out, "--out"):
            files.Written(out, "seed_choices").claim(*NAMES)
            text = run(args, out)
    except KeyboardInterrupt as stop:
        print("\ninterrupted: run the same command again to resume", file=sys.stderr)
        return getattr(stop, "exit_code", 130)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{text}\ntable: {out / NAMES[0]}")
    print(f"took {(time.monotonic() - begun) / 60:.1f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
