"""Where methods are tried: simulated worlds, and real cubes of a folder; how each is scored."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence

from benchmarks.accuracy.methods import COMBINE, SPOT, Method
from cropmap_jax.geo.recorded_steps import Failed, Steps, Took

TREES = 100
"""Of the forests that `evaluate` trains for each as-of date."""
SIMULATE = "configs/demo/simulate.py"


@dataclasses.dataclass(frozen=True)
class Measure:
    """A score of a place: its key in the JSON, and its heading in the table."""

    name: str
    label: str


@dataclasses.dataclass(frozen=True)
class Place:
    """A dataset, how it is made from cubes, and how a run is scored on it.

    Args:
      name: such as iran-0; the dataset is KIND/NAME.
      title: in the report.
      kind: of dataset.
      score: flags of `evaluate`.
      measures: what `read` returns of its rows.
      make: (verb, config, flags) that makes the cubes; None where they are there already.
      build: more flags of `build`.
      train: more flags of training.
      folds: of a cross-validation; 0: splits are the cubes'.
      speed_as_of: as of when its cubes are mapped to see how fast; "" for not.
    """

    name: str
    title: str
    kind: str
    score: tuple[str, ...]
    measures: tuple[Measure, ...]
    make: tuple[str, str, tuple[str, ...]] | None
    build: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    folds: int = 0
    speed_as_of: str = ""

    @property
    def dataset(self) -> str:
        return f"{self.kind}/{self.name}"

    def cubes(self, out: pathlib.Path) -> pathlib.Path:
        """Folder of its cubes."""
        return out / "places" / self.name / "cubes"

    def prepare(self, steps: Steps, out: pathlib.Path) -> None:
        """Makes its cubes and its dataset, where they are not there yet.

        Raises:
          steps.Failed: a command failed.
        """
        folder, cubes = out / "places" / self.name, self.cubes(out)
        if self.make:
            verb, config, flags = self.make
            steps.command(folder, "cubes", verb, [f"--cubes={cubes}", *flags], config)
        data = [f"--cubes={cubes}", f"--data_dir={out / 'data'}", f"--name={self.name}"]
        steps.command(folder, "build", "build", [f"--dataset={self.kind}", *data, *self.build])

    def run(
        self,
        steps: Steps,
        out: pathlib.Path,
        method: Method,
        seed: int,
        pretrained: str = "",
        seeds: int = 1,
    ) -> dict:
        """Trains and scores a method, where that has not been done.

        Args:
          steps, out: as for `prepare`, which comes first.
          method, seed: what and which one.
          pretrained: workdir of its pretraining.
          seeds: how many there are, for methods that put all of them together.

        Returns:
          "measures" {name: F1 or None}, "workdir", and per training and scoring "train_seconds",
          "train_cpu_seconds" (None where it is part of scoring; of combined runs the members' too),
          "score_seconds" and "score_cpu_seconds".

        Raises:
          steps.Failed: a command failed, or a member has not been trained.
          ValueError: a file of scores is damaged.
        """
        parts = self._parts(out, method.name, seed)
        rows, train, score = [], [], []
        for fold, part in enumerate(parts):
            if method.verb == COMBINE:
                train.append(self._combine(steps, out, method, seed, seeds, fold))
            else:
                train.append(self._train(steps, out, method, seed, part, fold, pretrained))
            flags = [f"--workdir={part}", f"--seed={seed}", "--max_pictures=0", *self.score]
            if method.verb == SPOT:
                flags += [f"--baseline={method.spot}"]
                flags += [f"--trees={TREES}"] if "forest" in method.spot else []
            score.append(steps.command(part, "score", "evaluate", flags))
            rows.append(_rows(part, self._crop(), method.spot))
        found = {"measures": self.read(rows), "workdir": str(parts[0].relative_to(out))}
        for what, took in (("train", train), ("score", score)):
            for name, values in zip(Took._fields, zip(*took, strict=True), strict=True):
                own = what == "score" or method.verb != SPOT
                found[f"{what}_{name}"] = sum(values) / len(values) if own else None
        return found

    def _parts(self, out: pathlib.Path, name: str, seed: int) -> list[pathlib.Path]:
        """Workdirs of a method by its name, one for each fold."""
        folder = out / "runs" / self.name / f"{name}-{seed}"
        return [folder / f"fold-{k}" for k in range(self.folds)] or [folder]

    def _train(self, steps, out, method: Method, seed: int, part, fold: int, pretrained) -> Took:
        config, flags = method.settings(self.name)
        flags = [*flags, f"--workdir={part}", f"--config.seed={seed}", *self.train]
        flags += [f"--config.data_dir={out / 'data'}", f"--config.dataset={self.dataset}"]
        flags += [f"--config.fold={fold}"] if self.folds else []
        flags += [f"--config.init_from={pretrained}"] if pretrained else []
        verb = "baseline" if method.verb == SPOT else method.verb
        if "pretrain" in pathlib.PurePath(config).name:
            verb = "pretrain"
        return steps.command(part, "train", verb, flags, config, anew=True)

    def _combine(self, steps, out, method: Method, seed: int, seeds: int, fold: int) -> Took:
        """Combines runs of a fold; returns how long that took, the members' training with it."""
        members, trained = [], []
        for name in method.members:
            for own in range(seeds) if name in method.seeds_of else (seed,):
                part = self._parts(out, name, own)[fold]
                record = steps.finished(part, "train")
                if record is None:
                    raise Failed(
                        f"expected a run of {name} with seed {own} to combine, found none that has "
                        f"finished in {part.relative_to(out)}; --methods {name} trains it"
                    )
                members.append(part)
                trained.append(record)
        part = self._parts(out, method.name, seed)[fold]
        flags = [f"--workdirs={','.join(map(str, members))}", f"--workdir={part}"]
        flags += [f"--data_dir={out / 'data'}", f"--dataset={self.dataset}"]
        flags += [f"--fold={fold}"] if self.folds else []
        flags += [flag for flag in self.score if flag.startswith("--as_of=")]
        took = steps.command(part, "train", "combine", flags, anew=True, of=trained)
        all_of_it = [took, *(Took(one["seconds"], one["cpu_seconds"]) for one in trained)]
        return Took(*map(sum, zip(*all_of_it, strict=True)))

    def _crop(self) -> str:
        (crop,) = (f.removeprefix("--crop=") for f in self.score if f.startswith("--crop="))
        return crop

    def read(self, rows: Sequence[Sequence[dict]]) -> dict[str, float | None]:
        """Each measure, from the rows of the scores of each fold (one without folds)."""
        pooled = pool(rows)
        if self.folds:
            return {"macro_f1": macro(pooled, "pixels", "map")}
        if self._crop() != "all":
            return {"fixed": macro(pooled, "pixels", "fixed"),
                    "chosen": macro(pooled, "pixels", "chosen")}  # fmt: skip
        return {unit: macro(pooled, unit, "chosen") for unit in ("pixels", "fields")}


def _rows(workdir: pathlib.Path, crop: str, spot: str) -> list[dict]:
    """Rows of the method that a run is about, which are the first, or of one trained on the spot.

    Raises:
      ValueError: the file is not what `evaluate` writes.
    """
    file = workdir / "evaluation" / "test" / f"{crop}.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["scores"]
        method = spot or found[0]["method"]
        return [row for row in found if row["method"] == method]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{file}: expected the scores of `evaluate` ({error!r})") from error


def pool(folds: Sequence[Sequence[dict]]) -> dict[tuple[str, str, str], dict[str, int]]:
    """Counts {(crop, unit, rule): {"tp", "fp", "fn", "tn"}} summed over folds.

    Pixels of all folds count alike: a mean over folds would give a small one the weight of a large.
    """
    out: dict[tuple[str, str, str], dict[str, int]] = {}
    for rows in folds:
        for row in rows:
            counts = out.setdefault((row["crop"], row["unit"], row["rule"]), dict.fromkeys(
                ("tp", "fp", "fn", "tn"), 0))  # fmt: skip
            for name in counts:
                counts[name] += row[name]
    return out


def macro(pooled: dict, unit: str, rule: str) -> float | None:
    """Mean F1, 2 tp / (2 tp + fp + fn), over the crops that have positives and negatives.

    Which crops these are hangs on the truth alone, so that it is the same for every method.

    Args:
      pooled: from `pool`.
      unit, rule: which rows.

    Returns:
      None where no crop is there, or nothing was scored by that rule.
    """
    f1 = [
        2 * c["tp"] / (2 * c["tp"] + c["fp"] + c["fn"])
        for (_, own, how), c in pooled.items()
        if (own, how) == (unit, rule) and c["tp"] + c["fn"] and c["fp"] + c["tn"]
    ]
    return sum(f1) / len(f1) if f1 else None


def mean_f1(scores: pathlib.Path, units: Sequence[str] = ("pixels", "fields")) -> dict[str, float]:
    """Mean F1 of the crops by unit, at the thresholds from validation; 0 where there is none.

    Args:
      scores: `all.json` that `evaluate --crop=all` wrote.
      units: which.
    """
    pooled = pool([json.loads(scores.read_text(encoding="utf-8"))["scores"]])
    return {unit: macro(pooled, unit, "chosen") or 0.0 for unit in units}


# The places at hand -------------------------------------------------------------------------------


def world(seed: int, simulate: str = SIMULATE) -> Place:
    """The demo's simulated Iran of a seed; its cubes are also mapped, to see how fast."""
    return Place(
        f"iran-{seed}",
        f"Simulated Iran, world {seed}: mean F1 of eight crops, each 30 days before its harvest",
        "isrc",
        ("--crop=all",),
        (Measure("pixels", "F1 of pixels"), Measure("fields", "F1 of fields")),
        ("simulate", f"{simulate}:iran", (f"--config.seed={seed}",)),
        ("--overlap=0",),
        speed_as_of="2022-08-01",
    )


def europe(simulate: str = SIMULATE) -> Place:
    """The demo's simulated Europe, for pretraining; nothing is scored there."""
    make = ("simulate", f"{simulate}:europe", ())
    return Place("europe", "Simulated Europe", "eucropmap", (), (), make, ("--overlap=0",))


_BELGIUM, _TERVUREN = "belgium_2021_worldcereal.npz", "tervuren_2022_potato.npz"


def real(folder: pathlib.Path | None) -> tuple[list[Place], list[str]]:
    """The real cubes of a folder, or of its folder `cubes`; and a note for each that is missing."""
    found, notes = [], []
    for file, name, make in ((_BELGIUM, "Belgium", _belgium), (_TERVUREN, "Tervuren", _tervuren)):
        if folder is None:
            notes.append(f"{name} skipped: no --real DIR with {file}")
            continue
        paths = [path for path in (folder / file, folder / "cubes" / file) if path.is_file()]
        if paths:
            found.append(make(paths[0].resolve()))
        else:
            notes.append(f"{name} skipped: found no {file} in --real {folder}")
    return found, notes


def _belgium(file: pathlib.Path) -> Place:
    as_of = "2021-07-01"
    return Place(
        "belgium",
        "Belgium 2021, January to June, 20-pixel checkerboard in two folds: macro-F1 of the most "
        "probable of four classes and none of these",
        "cubes",
        ("--crop=all", f"--as_of={as_of}"),
        (Measure("macro_f1", "macro-F1"),),
        ("ingest", "", (f"--input={file}", "--name=belgium", "--none_of_these=not_temporary_crop",
                        "--harvest=*=2021-09-01", "--fields=none")),
        ("--folds=2", "--by=checkerboard", "--side=20"),
        (f'--config.as_of=("{as_of}", "{as_of}")',),
        folds=2,
    )  # fmt: skip


def _tervuren(file: pathlib.Path) -> Place:
    return Place(
        "tervuren",
        "Tervuren 2022, one potato field for training and one for testing, as of 1 September: F1 "
        "of potato pixels",
        "cubes",
        ("--crop=potato",),
        (Measure("fixed", "at 0.35"), Measure("chosen", "at the chosen threshold")),
        ("ingest", "", (f"--input={file}", "--name=tervuren", "--none_of_these=other_or_unmapped",
                        "--harvest=potato=2022-10-01", "--months",
                        "--split=columns:train=0-52,test=53-62")),
    )  # fmt: skip


def choose(places: Iterable[Place], only: str | None) -> list[Place]:
    """Those that --only names: worlds, real, or names of places.

    Raises:
      ValueError: it names something else, or nothing of it is at hand.
    """
    places = list(places)
    if only is None:
        return places
    names = [name.strip() for name in only.split(",")]
    groups = {"worlds": [p for p in places if p.name.startswith("iran")]}
    groups["real"] = [p for p in places if p not in groups["worlds"]]
    groups |= {place.name: [place] for place in places}
    for name in names:
        if not groups.get(name):
            known = ", ".join(n for n, own in groups.items() if own)
            raise ValueError(f"--only: expected some of {known}, which are at hand, found {name!r}")
    return [place for place in places if any(place in groups[name] for name in names)]
