"""How many fields do I need? Trains on nested subsets of the annotated fields, and draws F1.

    python -m experiments.learning_curve --out DIR --data_dir D --dataset isrc \
        --fields 8,20,80,all --draws 3 --pretrained pixel_series=W

Of each class so many fields are known, drawn block by block, in training and, in proportion, in
validation (docs/learning_curve.md); scored is the whole test split. Every step is a command of this
package, printed before it runs, with a log in --out; interrupted, the same command resumes. Ends
with learning_curve.json, .txt and .png in --out.
"""

import dataclasses
import functools
import json
import pathlib
import time

from absl import flags

from cropmap_jax.geo import files, forks, processes, recorded_steps
from experiments import _cli, _curve_methods
from experiments._curve_methods import Method

_OUT = flags.DEFINE_string("out", None, "Folder of everything that this makes.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets.", required=True)
_DATASET = flags.DEFINE_string("dataset", None, "<kind> or <kind>/<name>.", required=True)
_FOLD = flags.DEFINE_integer("fold", None, "Of a dataset with folds, the one that is tested.")
_FIELDS = flags.DEFINE_list(
    "fields", ["8", "20", "80", "all"], "Fields of each class, separated by commas; all: all."
)
_DRAWS = flags.DEFINE_integer("draws", 3, "Draws of fields; the seeds of training, too.")
_METHODS = flags.DEFINE_list(
    "methods",
    None,
    f"Some of {', '.join(_curve_methods.BY_NAME)}, or NAME=FILE, a config of your own; default: "
    "all that need no other --pretrained.",
)
_PRETRAINED = flags.DEFINE_list(
    "pretrained",
    [],
    "NETWORK=WORKDIR of pretrained networks, separated by commas; {draw} in a path is the number "
    "of the draw.",
)
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all scores, not the calendar.")
_EPOCHS = flags.DEFINE_integer("epochs", None, "Of networks, instead of their config's.", 1)
_STEPS = flags.DEFINE_integer("steps_per_epoch", None, "Likewise, of pixel_series.", 1)
_cli.extensible()

NAMES = ("learning_curve.json", "learning_curve.txt", "learning_curve.png")
SHARED = (
    "cropmap_jax.baselines.keeping",
    "cropmap_jax.evaluation.evaluate",
    "cropmap_jax.training.loop",
)
"""What commands import, once for all of them."""
MOST_DRAWS = 100
ALL = "all"


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is trained on the same fields.

    Args:
      fields: of each class, "all", or "0" for networks that are not trained.
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


def _fields(words: list[str]) -> list[str]:
    """Numbers of fields in ascending order, "all" last."""
    from cropmap_jax.data import few_fields

    found = []
    for word in (word.strip() for word in words):
        whole = word.isdecimal() and 0 < int(word) <= few_fields.MOST_FIELDS
        if not whole and word != ALL:
            raise ValueError(
                f"--fields: expected numbers of 1 to {few_fields.MOST_FIELDS} or {ALL}, found "
                f"{word!r}"
            )
        found.append(str(int(word)) if whole else word)
    if not found:
        raise ValueError(f"--fields: expected numbers of fields or {ALL}, found none")
    if len(set(found)) < len(found):
        raise ValueError(f"--fields: expected each number once, found {','.join(found)}")
    return sorted(found, key=lambda word: int(word) if word != ALL else few_fields.MOST_FIELDS + 1)


def _pretrained(words: list[str], draws: int) -> dict[str, str]:
    """{network: workdir} as given, each of which there is for every draw."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        name, path = name.strip(), path.strip()
        if not equals or not path or name not in _curve_methods.NETWORKS:
            raise ValueError(
                f"--pretrained: expected NETWORK=WORKDIR with a network of "
                f"{', '.join(_curve_methods.NETWORKS)}, found {word!r}"
            )
        if name in found:
            raise ValueError(f"--pretrained: expected {name} once, found it twice")
        found[name] = path
        for workdir in dict.fromkeys(_of_draw(path, draw) for draw in range(draws)):
            if not files.local("--pretrained", workdir).is_dir():
                raise ValueError(
                    f"--pretrained: expected the workdir of a pretrained {name}, found none at "
                    f"{workdir}"
                )
    return found


def _of_draw(path: str, draw: int) -> str:
    return str(pathlib.Path(path.replace("{draw}", str(draw))).absolute())


def _check_network(name: str, workdir: str, log: pathlib.Path) -> None:
    """Requires a network of that name in a workdir."""

    def look() -> None:
        from cropmap_jax import runs

        model = runs.open_run(workdir).recipe.model["name"]
        if model != name:
            raise ValueError(f"expected a network {name}, found {model}")

    # In a process of its own: this one must not open a device before it forks.
    if forks.call(look, log).code:
        said = recorded_steps.last_line(log).removeprefix("ValueError: ")
        raise ValueError(f"--pretrained {name}={workdir}: {said}")


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


def _open():
    """The dataset, after what can be wrong with it."""
    from cropmap_jax.data import dataset

    data_dir = files.local("--data_dir", _DATA_DIR.value)
    data = dataset.open_dataset(str(data_dir), _DATASET.value, _FOLD.value)
    for split in ("train", "test"):
        if split not in data.chips:
            raise ValueError(
                f"--dataset {_DATASET.value}: expected a dataset with the splits train and test, "
                f"found {', '.join(data.chips)} in {data.path}"
            )
    return data


def _cells(out: pathlib.Path, methods: list[Method], fields, pretrained, counts) -> list[Cell]:
    """All that is trained, draw by draw, so that the first picture of all is there soon."""
    cells = []
    untrained = tuple(m for m in methods if m.zero)
    for draw in range(_DRAWS.value):
        # Without a pretraining of its own, an untrained network is the same in every draw.
        own = tuple(m for m in untrained if not draw or "{draw}" in pretrained[m.network])
        if own:
            cells.append(Cell("0", draw, out / "runs" / f"fields-0-{draw}", own))
        for number in fields:
            folder = out / "runs" / f"fields-{number}-{draw}"
            crops = counts.crops(number, draw)
            cells.append(Cell(number, draw, folder, tuple(methods), crops))
    return cells


class Runner:
    """Trains and scores cells.

    Args:
      steps: that are run once.
      pretrained: {network: workdir}.
      total: commands of all cells, for the time that is left.
    """

    def __init__(self, steps: recorded_steps.Steps, pretrained: dict[str, str], total: int):
        self._steps, self._pretrained, self._total = steps, pretrained, total
        self._done, self._begun = 0, time.monotonic()
        self._modules = [f"--import={name}" for name in flags.FLAGS["import"].value]

    def cell(self, cell: Cell) -> list[dict]:
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

    def _try(self, work) -> str:
        """Why something failed; "" if it did not."""
        try:
            work()
        except recorded_steps.Failed as error:
            return str(error)
        return ""

    def _train(self, cell: Cell, method: Method) -> None:
        words = [f"--workdir={cell.folder / method.name}", f"--config.seed={cell.draw}"]
        words += [f"--config.data_dir={_DATA_DIR.value}", f"--config.dataset={_DATASET.value}"]
        words += [] if _FOLD.value is None else [f"--config.fold={_FOLD.value}"]
        words += list(method.flags)
        if cell.fields.isdigit() and cell.fields != "0":
            words += [f"--config.fields_per_class={cell.fields}"]
            words += [f"--config.fields_draw={cell.draw}"]
        if method.network in self._pretrained and method.pretrained:
            words += [f"--config.init_from={_of_draw(self._pretrained[method.network], cell.draw)}"]
        if method.verb != _curve_methods.BASELINE:
            words += self._length(cell, method)
        self._command(cell, f"{method.name}.train", method.verb, words, method.config)

    def _length(self, cell: Cell, method: Method) -> list[str]:
        """Flags that make training as long as with all fields, or as long as asked."""
        config = _curve_methods.settings(method.config)
        words = [] if _EPOCHS.value is None else [f"--config.epochs={_EPOCHS.value}"]
        if config.sampling == "pixels":
            if _STEPS.value is not None:
                words += [f"--config.steps_per_epoch={_STEPS.value}"]
        elif cell.fields != "0":
            # An epoch is all annotated chips: of fewer, more crops each.
            words += [f"--config.crops_per_chip={round(config.crops_per_chip * cell.crops)}"]
        return ["--config.epochs=0"] if cell.fields == "0" else words

    def _combine(self, cell: Cell, method: Method, members: list[Method]) -> None:
        words = [f"--workdirs={','.join(str(cell.folder / m.name) for m in members)}"]
        words += [f"--workdir={cell.folder / method.name}"]
        words += [f"--as_of={_AS_OF.value}"] if _AS_OF.value else []
        self._command(cell, f"{method.name}.train", method.verb, words)

    def _score(
        self, cell: Cell, method: Method, members: list[Method] = (), found: dict | None = None
    ) -> dict:
        """Scores of a method; those of the members of combined runs go into `found`."""
        from cropmap_jax.evaluation import learning_curve

        workdir = cell.folder / method.name
        words = [f"--workdir={workdir}", "--crop=all", "--max_pictures=0"]
        words += [f"--as_of={_AS_OF.value}"] if _AS_OF.value else []
        try:
            self._command(cell, f"{method.name}.score", "evaluate", words)
        except recorded_steps.Failed as error:
            return {"failed": str(error)}
        file = workdir / "evaluation" / "test" / "all.json"
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            scores, own = learning_curve.scores(read["scores"]), read["settings"]["method"]
            if found is not None:
                found |= {m.name: {"scores": scores[m.name]} for m in members}
            return {"scores": scores[own]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: expected the JSON of `evaluate` ({error!r})") from error

    def _command(
        self, cell: Cell, name: str, verb: str, words: list[str], config: str = ""
    ) -> None:
        ran = self._steps.ran
        try:
            self._steps.command(cell.folder, name, verb, words + self._modules, config)
        finally:
            self._done += 1
        if self._steps.ran > ran:
            left = (time.monotonic() - self._begun) / self._steps.ran * (self._total - self._done)
            print(f"step {self._done} of {self._total}, about {left / 60:.0f} min left", flush=True)


def _commands(methods: tuple[Method, ...]) -> int:
    """How many commands a cell takes."""
    combines = any(m.verb == _curve_methods.COMBINE for m in methods)
    alone = [m for m in methods if not (combines and m.member)]
    return len(methods) + len(alone)


def _write(out: pathlib.Path, data, methods: list[Method], runs: list[dict], counts) -> str:
    """Writes NAMES; returns the table and the answer."""
    from cropmap_jax.evaluation import learning_curve, report

    labels = {m.name: m.label for m in methods}
    fields = {f: None for f in sorted({r["fields"] for r in runs}, key=_rank)}
    crops = {f: _per_crop(counts, data, f) for f in fields}
    points = learning_curve.summarise(runs, list(labels), crops)
    text = learning_curve.table(points, labels, crops)
    best = max(
        (p for p in points if p["scores"]["pixels"]["mean"] is not None),
        key=lambda p: (
            p["method"] == "combined",
            _rank(p["fields"]),
            p["scores"]["pixels"]["mean"],
        ),
        default=None,
    )
    if best is not None:
        text += f"\n\n{learning_curve.answer(points, best['method'], labels[best['method']])}"
    settings = {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "fold": data.fold,
        "draws": _DRAWS.value,
        "as_of": _AS_OF.value,
        "pretrained": dict(word.split("=", 1) for word in _PRETRAINED.value),
        "epochs": _EPOCHS.value,
        "steps_per_epoch": _STEPS.value,
    }
    known = [
        {"fields": f, "draw": draw, "known": counts.of(f, draw)}
        for f in fields
        if f != "0"
        for draw in range(_DRAWS.value)
    ]
    record = {"settings": settings, "fields": known, "table": points, "runs": runs}
    report.write_json(out / NAMES[0], record | {"answer": text.rpartition("\n")[2]})
    files.write_bytes(out / NAMES[1], (text + "\n").encode())
    if best is not None:
        title = f"{data.name}: {_DRAWS.value} draws of fields, thresholds from the known validation"
        files.write_bytes(out / NAMES[2], learning_curve.picture(points, labels, title))
    return text


def _rank(fields: str) -> float:
    return float("inf") if fields == ALL else int(fields)


def _per_crop(counts: Counts, data, fields: str) -> list[int]:
    """How many fields each crop that is annotated really has in training, least first."""
    if fields == "0":
        return [0]
    own = counts.of(fields, 0)["train"]
    return sorted(n for name, n in own.items() if name in data.legend.names and n)


def main(_):
    if not 1 <= _DRAWS.value <= MOST_DRAWS:
        raise ValueError(f"--draws: expected 1 to {MOST_DRAWS}, found {_DRAWS.value}")
    if _AS_OF.value:
        from cropmap_jax.geo import periods

        periods.parse_date(_AS_OF.value, "--as_of")
    fields = _fields(_FIELDS.value)
    pretrained = _pretrained(_PRETRAINED.value, _DRAWS.value)
    methods = _curve_methods.find(_METHODS.value, pretrained)
    out = files.local("--out", _OUT.value).resolve()
    files.check_apart({"--out": out}, {"--data_dir": _DATA_DIR.value})
    data = _open()
    forks.preload(SHARED)
    with processes.stoppable(), files.Lock(out, "--out"):
        files.Written(out, "learning_curve").claim(*NAMES, "runs", "logs")
        for name, path in pretrained.items():
            for draw in range(_DRAWS.value if "{draw}" in path else 1):
                _check_network(name, _of_draw(path, draw), out / "logs" / f"{name}-{draw}.log")
        counts = Counts(data)
        cells = _cells(out, methods, fields, pretrained, counts)
        steps = recorded_steps.Steps(
            out, functools.partial(forks.command, before=_cli.forget_flags)
        )
        runner = Runner(steps, pretrained, sum(_commands(cell.methods) for cell in cells))
        runs = [run for cell in cells for run in runner.cell(cell)]
        print(f"\n{steps.ran} steps run, {steps.skipped} were finished")
        text = _write(out, data, methods, runs, counts)
    if all("failed" in run for run in runs):
        raise ValueError(f"nothing could be scored; expected a run that ends; {runs[0]['failed']}")
    print(f"\n{text}\n\nscores: {out / NAMES[0]}\npicture: {out / NAMES[2]}")


if __name__ == "__main__":
    _cli.run(main)
