"""The runs of a learning curve: what is trained on the same fields, and how each is scored."""

import dataclasses
import json
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cropmap_jax.geo import recorded_steps
from experiments import _curve_methods
from experiments._curve_methods import Method

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all runs have in common.

    Args:
      data_dir, dataset, fold: the dataset.
      fingerprint: of what it holds.
      pretrained: workdirs by network; "{draw}" in one is the number of the draw.
      as_of: one as-of date for all scores; None: the calendar's.
      epochs, steps_per_epoch: of networks; None: their config's.
      modules: of --import.
    """

    data_dir: str
    dataset: str
    fold: int | None
    fingerprint: str
    pretrained: Mapping[str, str]
    as_of: str | None
    epochs: int | None
    steps_per_epoch: int | None
    modules: Sequence[str] = ()

    def start(self, network: str, draw: int) -> str:
        """The workdir of a pretrained network."""
        return of_draw(self.pretrained[network], draw)


def of_draw(path: str, draw: int) -> str:
    """A path of --pretrained for one draw."""
    return str(pathlib.Path(path.replace("{draw}", str(draw))).absolute())


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is trained on the same fields.

    Args:
      fields: of each class, ALL, or "0" for networks that are not trained.
      draw: number of the draw.
      folder: of its runs.
      methods: that are trained.
      crops: factor of `crops_per_chip`, so that training is as long as with all fields.
    """

    fields: str
    draw: int
    folder: pathlib.Path
    methods: tuple[Method, ...]
    crops: float = 1.0


class Counts:
    """What a dataset offers: fields of each class, and annotated chips, by number and draw.

    Args:
      data: the dataset.
    """

    def __init__(self, data):
        from cropmap_jax.data import few_fields

        self._data, self._thin = data, few_fields.thin
        self._most = few_fields.MOST_FIELDS
        self._known: dict[tuple[str, int], tuple[dict, int]] = {}
        self.all = self._find(ALL, 0)

    def of(self, fields: str, draw: int) -> dict[str, dict[str, int]]:
        """{split: {class: fields that are known}}, none of these among the classes."""
        return self._find(fields, draw)[0]

    def crops(self, fields: str, draw: int) -> float:
        """How many times as many annotated chips there are with all fields."""
        return self.all[1] / max(1, self._find(fields, draw)[1])

    def _find(self, fields: str, draw: int) -> tuple[dict, int]:
        key = (fields, 0 if fields == ALL else draw)
        if key not in self._known:
            thinned = self._thin(self._data, self._most if fields == ALL else int(fields), key[1])
            names = (*self._data.legend.names, "none_of_these")
            counts = {
                split: dict(zip(names, known.tolist(), strict=True))
                for split, known in ((s, c[:, 0]) for s, c in thinned.few.counts.items())
            }
            chips = int((thinned.split("train").annotated > 0).sum())
            self._known[key] = counts, chips
        return self._known[key]


class Runner:
    """Trains and scores cells.

    Args:
      steps: that are run once.
      settings: of all runs.
      total: commands of all cells, for the time that is left.
    """

    def __init__(self, steps: recorded_steps.Steps, settings: Settings, total: int):
        self._steps, self._settings, self._total = steps, settings, total
        self._done, self._begun = 0, time.monotonic()

    def cell(self, cell: Cell) -> list[dict[str, Any]]:
        """Runs of all methods of a cell, as `evaluation.learning_curve.Run`."""
        combined = [m for m in cell.methods if m.verb == _curve_methods.COMBINE]
        members = [m for m in cell.methods if m.member] if combined else []
        found: dict[str, dict] = {}
        trained = []
        for method in cell.methods:
            if method not in combined:
                failed = self._try(lambda method=method: self._train(cell, method))
                found |= {method.name: {"failed": failed}} if failed else {}
                trained += [] if failed else [method]
        there = [m for m in members if m in trained]
        for one in combined:
            if len(there) < 2:
                found[one.name] = {"failed": "fewer than two members were trained"}
                continue
            failed = self._try(lambda one=one: self._combine(cell, one, there))
            found[one.name] = {"failed": failed} if failed else self._score(cell, one, there, found)
        for method in trained:
            if method.name not in found:
                found[method.name] = self._score(cell, method)
        about = {"fields": cell.fields, "draw": cell.draw}
        return [about | {"method": m.name} | found[m.name] for m in cell.methods]

    def _try(self, work: Callable[[], None]) -> str:
        """Why something failed; "" if it did not."""
        try:
            work()
        except recorded_steps.Failed as error:
            return str(error)
        return ""

    def _train(self, cell: Cell, method: Method) -> None:
        words = [f"--workdir={cell.folder / method.name}", f"--config.seed={cell.draw}"]
        given = self._settings
        words += [f"--config.data_dir={given.data_dir}", f"--config.dataset={given.dataset}"]
        words += [] if given.fold is None else [f"--config.fold={given.fold}"]
        words += list(method.flags)
        if cell.fields.isdigit() and cell.fields != "0":
            words += [f"--config.fields_per_class={cell.fields}"]
            words += [f"--config.fields_draw={cell.draw}"]
        if method.pretrained:
            words += [f"--config.init_from={given.start(method.network, cell.draw)}"]
        if method.verb != _curve_methods.BASELINE:
            words += self._length(cell, method)
        self._command(cell, f"{method.name}.train", method.verb, words, method.config)

    def _length(self, cell: Cell, method: Method) -> list[str]:
        """Flags that make training as long as with all fields, or as long as asked."""
        config, given = _curve_methods.settings(method.config), self._settings
        words = [] if given.epochs is None else [f"--config.epochs={given.epochs}"]
        if config.sampling == "pixels":
            if given.steps_per_epoch is not None:
                words += [f"--config.steps_per_epoch={given.steps_per_epoch}"]
        elif cell.fields != "0":
            # An epoch is all annotated chips: of fewer, more crops each.
            words += [f"--config.crops_per_chip={round(config.crops_per_chip * cell.crops)}"]
        return ["--config.epochs=0"] if cell.fields == "0" else words

    def _combine(self, cell: Cell, method: Method, members: list[Method]) -> None:
        whose, workdir = f"{method.name}.train", cell.folder / method.name
        words = [f"--workdirs={','.join(str(cell.folder / m.name) for m in members)}"]
        words += [f"--workdir={workdir}"]
        words += self._as_of()
        before = self._steps.flags(cell.folder, whose)
        if before and before[0] != self._steps.portable(words)[0]:
            # A method came in, or ended well at last: it is combined again, with that one.
            shutil.rmtree(workdir, ignore_errors=True)
            self._steps.forget(cell.folder, whose, f"{method.name}.score")
        self._command(cell, whose, method.verb, words)

    def _score(
        self, cell: Cell, method: Method, members: Sequence[Method] = (), found: dict | None = None
    ) -> dict[str, Any]:
        """Scores of a method; those of the members of combined runs go into `found`."""
        from cropmap_jax.evaluation import learning_curve

        workdir = cell.folder / method.name
        words = [f"--workdir={workdir}", "--crop=all", "--max_pictures=0"]
        words += self._as_of()
        try:
            self._command(cell, f"{method.name}.score", "evaluate", words)
        except recorded_steps.Failed as error:
            return {"failed": str(error)}
        file = workdir / "evaluation" / "test" / "all.json"
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            scored_on, own = (read["settings"][name] for name in ("fingerprint", "method"))
            scores = learning_curve.scores(read["scores"])
            if found is not None:
                found |= {m.name: {"scores": scores[m.name]} for m in members}
            result = {"scores": scores[own]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: expected the JSON of `evaluate` ({error!r})") from error
        if scored_on != self._settings.fingerprint:
            raise ValueError(
                f"{file}: expected scores of {self._settings.dataset} as it is "
                f"(fingerprint {self._settings.fingerprint}), found those of another "
                f"({scored_on}); choose another --out"
            )
        return result

    def _as_of(self) -> list[str]:
        return [f"--as_of={self._settings.as_of}"] if self._settings.as_of else []

    def _command(
        self, cell: Cell, name: str, verb: str, words: list[str], config: str = ""
    ) -> None:
        ran = self._steps.ran
        modules = [f"--import={module}" for module in self._settings.modules]
        try:
            self._steps.command(cell.folder, name, verb, words + modules, config)
        finally:
            self._done += 1
        if self._steps.ran > ran:
            left = (time.monotonic() - self._begun) / self._steps.ran * (self._total - self._done)
            print(f"step {self._done} of {self._total}, about {left / 60:.0f} min left", flush=True)


def commands(methods: tuple[Method, ...]) -> int:
    """How many commands a cell takes."""
    combines = any(m.verb == _curve_methods.COMBINE for m in methods)
    alone = [m for m in methods if not (combines and m.member)]
    return len(methods) + len(alone)
