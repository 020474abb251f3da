"""Compares training runs: mean F1 and spread over seeds, from the JSON files of `evaluate`.

    python -m experiments.compare --scores 'pretrained=W/finetune-*/evaluation/test/all.json' \
        --scores 'scratch=W/scratch-*/evaluation/test/all.json'

Every file is one run, or crossvalidation.json of `crossvalidate`; the scores of what its workdir
holds, a network or a kept baseline, go under the name given, those of other baselines under their
own.
"""

import collections
import glob
import json
import os
import statistics

from absl import flags

from cropmap_jax.data import checks
from cropmap_jax.geo import text
from experiments import _cli, _output

_SCORES = flags.DEFINE_multi_string(
    "scores",
    None,
    "NAME=FILES: what to call the runs, and the JSON files that `evaluate` wrote of them ('*' "
    "stands for any text); give it once for each group of runs.",
    required=True,
)
_UNIT = flags.DEFINE_enum(
    "unit", "pixels", ("pixels", "fields"), "Whether pixels or whole fields are counted."
)


_SAME = ("dataset", "fingerprint", "split", "threshold_split", "lead_days", "as_of")
"""Settings of `evaluate` that make scores of different things where they differ."""


def _load(spec: str, known: set, settings: dict[str, set]):
    """(what, F1 or None) of each score in the files of one group.

    Args:
      spec: NAME=FILES.
      known: (name, file) of every file that was read; one more is added for each.
      settings: values of each of _SAME that were found, added to.
    """
    name, equals, pattern = spec.partition("=")
    files = sorted(glob.glob(pattern))
    if not name or not equals or not files:
        raise ValueError(f"--scores: expected name=files of `evaluate`, found no file in {spec!r}")
    for file in files:
        if (name, os.path.realpath(file)) in known:
            raise ValueError(
                f"--scores: expected each run once, found {file} twice among those of {name!r}"
            )
        known.add((name, os.path.realpath(file)))
        read = _read(file)
        for key in _SAME if isinstance(read["settings"], dict) else ():
            settings[key].add(text.plain(read["settings"].get(key)))
        of_run = read["settings"] if isinstance(read["settings"], dict) else {}
        own = of_run.get("method", "network")
        for row in read["scores"]:
            if row["unit"] == _UNIT.value:
                method = name if row["method"] == own else f"{name}: {row['method']}"
                yield (row["crop"], method, row["rule"]), row["f1"]


def _read(file: str) -> dict:
    """What a file of `evaluate` holds.

    Raises:
      ValueError: it is none; says where it differs.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            value = json.load(opened)
        checks.keys(
            "file",
            value,
            ("settings", "scores"),
            ("notes", "means", "folds", "macro", "intervals", "confusion", "partial"),
        )
        checks.values("scores", value["scores"])
        if not value["scores"]:
            raise ValueError("scores: expected at least one, found none")
        for i, row in enumerate(value["scores"]):
            where = f"scores[{i}]"
            if not isinstance(row, dict):
                raise ValueError(f"{where}: expected a score, found {checks.shown(row)}")
            for key in ("crop", "method", "rule", "unit"):
                checks.text(f"{where}.{key}", row.get(key))
            if row.get("f1", "none") is not None:
                checks.real(f"{where}.f1", row.get("f1"), 0, 1)
    except (OSError, ValueError, RecursionError) as error:
        found = getattr(error, "strerror", None) or error
        raise ValueError(
            f"--scores {file}: expected the JSON of `evaluate`, found another ({found})"
        ) from error
    settings = value["settings"]
    if isinstance(settings, dict) and settings.get("trained_on"):
        print(f"note: {file}: scored on ground that the network was trained on")
    return value


def main(_):
    runs, without = collections.defaultdict(list), 0
    known, settings = set(), collections.defaultdict(set)
    for spec in _SCORES.value:
        for key, f1 in _load(spec, known, settings):
            if f1 is None:
                without += 1
            else:
                runs[key].append(f1)
    if not runs:
        raise ValueError(
            f"--scores: expected scores with an F1 of {_UNIT.value}, found none ({without} without)"
        )
    rows = [
        {"crop": crop, "method": method, "threshold": rule, "f1": values}
        for (crop, method, rule), values in sorted(runs.items())
    ]
    _output.results(unit=_UNIT.value, scores=rows, without=without)
    print(f"{'crop':16}{'method':24}{'threshold':11}{'runs':>5}{'mean F1':>9}{'sd':>7}  each")
    for (crop, method, rule), values in sorted(runs.items()):
        rule = "0.35" if rule == "fixed" else rule
        spread = f"{statistics.stdev(values):7.3f}" if len(values) > 1 else f"{'-':>7}"
        each = " ".join(f"{v:.3f}" for v in values)
        mean = statistics.mean(values)
        crop, method, rule = (text.plain(cell) for cell in (crop, method, rule))
        print(f"{crop[:15]:16}{method[:23]:24}{rule:11}{len(values):5}{mean:9.3f}{spread}  {each}")
    differ = [f"{key} ({', '.join(sorted(v))})" for key, v in settings.items() if len(v) > 1]
    if differ:
        print(f"note: not scores of one thing: they differ in {'; '.join(differ)}")
    if without:
        print(f"left out: {without} scores without an F1, for lack of examples")


if __name__ == "__main__":
    _cli.run(main)
