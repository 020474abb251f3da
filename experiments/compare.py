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

from experiments import _cli

_SCORES = flags.DEFINE_multi_string("scores", None, "name=files, may be repeated.", required=True)
_UNIT = flags.DEFINE_enum("unit", "pixels", ("pixels", "fields"), "What is counted.")


def _load(spec: str):
    name, equals, pattern = spec.partition("=")
    files = sorted(glob.glob(pattern))
    if not equals or not files:
        raise ValueError(f"--scores: expected name=files of `evaluate`, found no file in {spec!r}")
    for file in files:
        with open(file) as opened:
            rows = json.load(opened)["scores"]
        for row in rows:
            if row["unit"] == _UNIT.value and row["f1"] is not None:
                method = name if row["method"] == "network" else f"{name}: {row['method']}"
                yield (row["crop"], method, row["rule"]), row["f1"]


def main(_):
    runs = collections.defaultdict(list)
    for spec in _SCORES.value:
        for key, f1 in _load(spec):
            runs[key].append(f1)
    print(f"{'crop':16}{'method':24}{'threshold':11}{'runs':>5}{'mean F1':>9}{'sd':>7}  each")
    for (crop, method, rule), values in sorted(runs.items()):
        rule = "0.35" if rule == "fixed" else rule
        spread = f"{statistics.stdev(values):7.3f}" if len(values) > 1 else f"{'-':>7}"
        each = " ".join(f"{v:.3f}" for v in values)
        mean = statistics.mean(values)
        print(f"{crop[:15]:16}{method[:23]:24}{rule:11}{len(values):5}{mean:9.3f}{spread}  {each}")


if __name__ == "__main__":
    _cli.run(main)
