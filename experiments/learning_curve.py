"""How many fields do I need? Trains on nested subsets of the annotated fields, and draws F1.

    python -m experiments.learning_curve --out DIR --data_dir D --dataset isrc \
        --fields 8,20,80,all --draws 3 --pretrained pixel_series=W

Of each class so many fields are known, drawn block by block, in training and, in proportion, in
validation (docs/learning_curve.md); scored is the whole test split. Every step is a command of this
package, printed before it runs, with a log in --out; interrupted, the same command resumes. Ends
with learning_curve.json, .txt and .png in --out.
"""

import functools
import pathlib

from absl import flags

from cropmap_jax.geo import files, forks, processes, recorded_steps
from experiments import _cli, _curve_methods, _curve_runs, _output, _running
from experiments._curve_methods import Method
from experiments._curve_runs import ALL, Cell, Counts

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
MOST_DRAWS = 100


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
        for workdir in dict.fromkeys(_curve_runs.of_draw(path, draw) for draw in range(draws)):
            if not files.local("--pretrained", workdir).is_dir():
                raise ValueError(
                    f"--pretrained: expected the workdir of a pretrained {name}, found none at "
                    f"{workdir}"
                )
    return found


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


def _cells(
    out: pathlib.Path,
    methods: list[Method],
    fields: list[str],
    pretrained: dict[str, str],
    counts: Counts,
) -> list[Cell]:
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


def _settings(pretrained: dict[str, str], data) -> _curve_runs.Settings:
    """What the flags say about all runs."""
    return _curve_runs.Settings(
        _DATA_DIR.value,
        _DATASET.value,
        _FOLD.value,
        data.fingerprint,
        pretrained,
        _AS_OF.value,
        _EPOCHS.value,
        _STEPS.value,
        tuple(flags.FLAGS["import"].value),
    )


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
    forks.preload((*_running.SHARED, *_running.OF_BASELINES))
    with processes.stoppable(), files.Lock(out, "--out"):
        files.Written(out, "learning_curve").claim(*NAMES, "runs", "logs")
        for name, path in pretrained.items():
            for draw in range(_DRAWS.value if "{draw}" in path else 1):
                _check_network(
                    name, _curve_runs.of_draw(path, draw), out / "logs" / f"{name}-{draw}.log"
                )
        counts = Counts(data)
        cells = _cells(out, methods, fields, pretrained, counts)
        steps = recorded_steps.Steps(
            out, functools.partial(forks.command, before=_cli.forget_flags)
        )
        total = sum(_curve_runs.commands(cell.methods) for cell in cells)
        runner = _curve_runs.Runner(steps, _settings(pretrained, data), total)
        runs = [run for cell in cells for run in runner.cell(cell)]
        print(f"\n{steps.ran} steps run, {steps.skipped} were finished")
        text = _write(out, data, methods, runs, counts)
    if all("failed" in run for run in runs):
        raise ValueError(f"nothing could be scored; expected a run that ends; {runs[0]['failed']}")
    _output.results(scores=out / NAMES[0], table=out / NAMES[1], picture=out / NAMES[2])
    last = cells[-1].folder / methods[-1].name
    print(
        f"\n{text}\n\nscores: {out / NAMES[0]}\npicture: {out / NAMES[2]}\n"
        f"next: python -m experiments.predict --workdir {last} --cubes DIR --as_of DATE --out MAP"
    )


if __name__ == "__main__":
    _cli.run(main)
