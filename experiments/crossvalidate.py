"""Cross-validation: trains a network or a baseline for every fold of a dataset, and pools counts.

    python -m experiments.build --cubes DIR --data_dir DIR --name mine --folds 5 --by field
    python -m experiments.crossvalidate --config configs/pixel_series/finetune.py --workdir W \
        --config.data_dir=DIR --config.dataset=cubes/mine --config.from_scratch=True

Each fold is trained on the others and scored on itself, by the commands of this package, which are
printed before they run. Interrupted, the same command resumes; folds that are finished are skipped.
Writes crossvalidation.json and .txt into the workdir: scores of counts summed over folds, and their
spread. What begins with --config goes to the training of every fold.
"""

import json
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from cropmap_jax.geo import files, periods, processes
from experiments import _cli, _output, _running

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "File of settings; a Python program.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder that all runs write to.", required=True)
_KIND = flags.DEFINE_enum(
    "kind", None, ("finetune", "pretrain", "baseline"), "What trains; default: as the config says."
)
_CROP = flags.DEFINE_string("crop", "all", "Class of the legend, or all.")
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all scores, not the calendar.")
_LEAD = flags.DEFINE_integer("lead_days", None, "Days before harvest; default: as in training.")
_BASELINE = flags.DEFINE_string("baseline", None, "As of evaluate: scored beside, fold by fold.")
_PICTURES = flags.DEFINE_integer("max_pictures", 0, "Pictures per fold and crop.", lower_bound=0)
_cli.extensible()
flags.mark_flag_as_required("config")

_RESULTS = ("crossvalidation.json", "crossvalidation.txt")
_SETTINGS, _SCORED = "settings.json", "scored.json"


def _kind(config) -> str:
    """What trains, unless --kind says it: each kind of config has settings of its own."""
    if _KIND.value:
        return _KIND.value
    if "from_scratch" in config:
        return "finetune"
    return "pretrain" if "epochs" in config else "baseline"


def _config_words(argv: list[str]) -> list[str]:
    """The words of a command line that are about its config.

    Raises:
      ValueError: a fold is among them.
    """
    found: list[str] = []
    for word, following in zip(argv, [*argv[1:], "-"], strict=True):
        if not re.match(r"--?(no)?config(\.|=|$)", word):
            continue
        if re.match(r"--?config\.fold(=|$)", word):
            raise ValueError(f"{word}: expected no fold, since all are trained one after the other")
        found.append(word)
        if "=" not in word and not following.startswith("-"):
            found.append(following)
    return found


def _open(config):
    """The dataset, after all that can be wrong with the flags."""
    from cropmap_jax.data import dataset

    if "fold" not in config:
        raise ValueError(
            "--config: expected a setting `fold` (None: no folds), as in configs/pretrain.py, "
            "found none"
        )
    for name in ("data_dir", "dataset"):
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")
    if _AS_OF.value:
        periods.parse_date(_AS_OF.value, "--as_of")
    workdir = files.local("--workdir", _WORKDIR.value)
    data_dir = files.local("--config.data_dir", config.data_dir)
    files.check_apart({"--workdir": workdir}, {"--config.data_dir": data_dir})
    data = dataset.open_folder(dataset.newest(config.data_dir, config.dataset))
    if data.folds is None:
        raise ValueError(
            f"--config.dataset {config.dataset}: expected a dataset with folds (build makes them "
            f"with --folds), found none in {data.path}"
        )
    if _CROP.value != "all":
        data.legend.index(_CROP.value)
    return data, workdir


def _check_same(file: pathlib.Path, asked: dict) -> None:
    """Requires that a workdir holds runs of these settings, or none; then records them."""
    from cropmap_jax.training import former_settings

    asked = json.loads(json.dumps(asked, default=str))
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{file}: expected settings of a cross-validation ({error})"
            ) from error
        kept = former_settings.with_former(found, asked) if isinstance(found, dict) else {}
        if kept != asked:
            names = [k for k in {**kept, **asked} if kept.get(k) != asked.get(k)]
            raise ValueError(
                f"--workdir {file.parent}: holds a cross-validation with other settings "
                f"({', '.join(sorted(names))}); expected the same ones or another --workdir"
            )
        return
    files.write_bytes(file, (json.dumps(asked, indent=1) + "\n").encode())


def main(_):
    config = _CONFIG.value
    words = _config_words(sys.argv[1:])
    data, workdir = _open(config)
    count = data.folds.rule.count
    settings = {name: value for name, value in config.to_dict().items() if name != "data_dir"}
    settings |= {"kind": _kind(config), "fingerprint": data.fingerprint, "of": data.folds.digest}
    with processes.stoppable(), files.Lock(workdir, "--workdir"):
        names = [*_RESULTS, _SETTINGS, *(f"fold-{k}" for k in range(count))]
        files.Written(workdir, "crossvalidate").claim(*names, flag="--workdir")
        _check_same(workdir / _SETTINGS, settings)
        for fold in range(count):
            _run_fold(workdir / f"fold-{fold}", fold, count, _kind(config), words)
        print(_write(workdir, data))
    _output.results(workdir=workdir, scores=workdir / _RESULTS[0], table=workdir / _RESULTS[1])
    print(f"scores: {workdir / _RESULTS[0]}")


def _run_fold(folder: pathlib.Path, fold: int, count: int, kind: str, words: list[str]) -> None:
    """Trains and scores a fold, unless that is done."""
    modules = [f"--import={name}" for name in flags.FLAGS["import"].value]
    shared = _running.SHARED + (_running.OF_BASELINES if kind == "baseline" else ())
    score = [f"--workdir={folder}", f"--crop={_CROP.value}", f"--max_pictures={_PICTURES.value}"]
    given = {"as_of": _AS_OF.value, "lead_days": _LEAD.value, "baseline": _BASELINE.value}
    score += [f"--{name}={value}" for name, value in given.items() if value is not None] + modules
    done = _scored(folder)
    if done is not None and done == score[1:] and _scores_of(folder).is_file():
        print(f"\n== fold {fold + 1} of {count}: finished")
        return
    if done is None:
        train = [*words, f"--workdir={folder}", f"--config.fold={fold}", *modules]
        _running.run(f"train for fold {fold + 1} of {count}", kind, train, shared)
    _running.run(f"score fold {fold + 1} of {count}", "evaluate", score, shared)
    files.write_bytes(folder / _SCORED, (json.dumps(score[1:]) + "\n").encode())


def _scored(folder: pathlib.Path) -> list[str] | None:
    """How a fold was scored; None before it was."""
    try:
        found = json.loads((folder / _SCORED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) else None


def _scores_of(folder: pathlib.Path) -> pathlib.Path:
    return folder / "evaluation" / "test" / f"{_CROP.value}.json"


def _write(workdir: pathlib.Path, data) -> str:
    """Pools the scores of all folds and writes them; returns the table."""
    from cropmap_jax.evaluation import pooling, report

    read = []
    for fold in range(data.folds.rule.count):
        file = _scores_of(workdir / f"fold-{fold}")
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            read.append({name: found[name] for name in ("settings", "notes", "scores")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: expected the JSON of `evaluate` ({error!r})") from error
    pooled = pooling.pool([one["scores"] for one in read])
    means = pooling.macro(pooled)
    rule = data.folds.rule
    result = {
        "settings": {
            "method": read[0]["settings"].get("method", "network"),
            "dataset": data.name,
            "fingerprint": data.fingerprint,
        }
        | rule.to_json(),
        "scores": pooled,
        "means": means,
        "folds": [{"fold": k} | one for k, one in enumerate(read)],
    }
    report.write_json(workdir / _RESULTS[0], result)
    side = f" squares of {rule.side} px" if rule.side else ""
    title = f"{data.name}, {rule.count} folds by {rule.by}{side}: counts summed over folds"
    table = f"{title}\n{pooling.table(pooled, means)}"
    files.write_bytes(workdir / _RESULTS[1], (table + "\n").encode())
    _output.results(means=means)
    return f"\n== result\n{table}"


if __name__ == "__main__":
    _cli.run(main)
