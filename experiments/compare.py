"""Compares training runs: mean F1 and spread over seeds, from the JSON files of `evaluate`.

    python -m experiments.compare --scores 'pretrained=W/finetune-*/evaluation/test/all.json' \
        --scores 'scratch=W/scratch-*/evaluation/test/all.json'

Every file is one run; the network's scores go under the name given, a baseline's under its own.
"""

import collections
import glob
import json
import statistics

from absl import flags

from cropmap_jax.training import checks
from experiments import _cli

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


def _load(spec: str):
    """(what, F1 or None) of each score in the files of one group."""
    name, equals, pattern = spec.partition("=")
    files = sorted(glob.glob(pattern))
    if not equals or not files:
        raise ValueError(f"--scores: expected name=files of `evaluate`, found no file in {spec!r}")
    for file in files:
        for row in _rows(file):
            if row["unit"] == _UNIT.value:
                method = name if row["method"] == "network" else f"{name}: {row['method']}"
                yield (row["crop"], method, row["rule"]), row["f1"]


def _rows(file: str) -> list[dict]:
    """The scores of a file of `evaluate`.

    Raises:
      ValueError: it is none; says where it differs.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            value = json.load(opened)
        checks.keys("file", value, ("settings", "scores"), ("notes",))
        checks.values("scores", value["scores"])
        for i, row in enumerate(value["scores"]):
            where = f"scores[{i}]"
            if not isinstance(row, dict):
                raise ValueError(f"{where}: expected a score, found {checks.shown(row)}")
            for key in ("crop", "method", "rule", "unit"):
                checks.text(f"{where}.{key}", row.get(key))
            if row.get("f1", "none") is not None:
                checks.real(f"{where}.f1", row.get("f1"), 0, 1)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"--scores {file}: expected the JSON of `evaluate`, found another ({error})"
        ) from error
    settings = value["settings"]
    if isinstance(settings, dict) and settings.get("trained_on"):
        print(f"note: {file}: scored on ground that the network was trained on")
    return value["scores"]


def main(_):
    runs, without = collections.defaultdict(list), 0
    for spec in _SCORES.value:
        for key, f1 in _load(spec):
            if f1 is None:
                without += 1
            else:
                runs[key].append(f1)
    if not runs:
        raise ValueError(
            f"--scores: expected scores with an F1 of {_UNIT.value}, found none ({without} without)"
        )
    print(f"{'crop':16}{'method':24}{'threshold':11}{'runs':>5}{'mean F1':>9}{'sd':>7}  each")
    for (crop, method, rule), values in sorted(runs.items()):
        rule = "0.35" if rule == "fixed" else rule
        spread = f"{statistics.stdev(values):7.3f}" if len(values) > 1 else f"{'-':>7}"
        each = " ".join(f"{v:.3f}" for v in values)
        mean = statistics.mean(values)
        print(f"{crop[:15]:16}{method[:23]:24}{rule:11}{len(values):5}{mean:9.3f}{spread}  {each}")
    if without:
        print(f"left out: {without} scores without an F1, for lack of examples")


if __name__ == "__main__":
    _cli.run(main)
