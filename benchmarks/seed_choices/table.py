"""The table of choices: means over seeds, and paired differences to what each is compared with."""

import statistics
from collections.abc import Sequence

from benchmarks import report
from benchmarks.seed_choices.choices import Choice, Network

MEASURES = (("pixels", "pixels"), ("fields", "fields"), ("ground", "all ground"))
"""Name of a measure, and its heading."""

Scores = dict[tuple[str, str, int], dict[str, float]]
"""F1 by measure, of (network, choice, seed)."""


def paired(own: Sequence[float | None], other: Sequence[float | None]) -> tuple[str, str]:
    """ "mean ± standard deviation" over seeds, and "mean difference ± its standard error"."""
    there = [value for value in own if value is not None]
    if not there:
        return "", ""
    gaps = [a - b for a, b in zip(own, other, strict=True) if a is not None and b is not None]
    spread = f" ± {statistics.stdev(there):.3f}" if len(there) > 1 else ""
    mean = f"{statistics.mean(there):.3f}{spread}"
    if not gaps:
        return mean, ""
    error = f" ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.3f}" if len(gaps) > 1 else ""
    return mean, f"{statistics.mean(gaps):+.3f}{error}"


def markdown(
    network: Network, tried: Sequence[Choice], scores: Scores, seeds: int, truth: bool
) -> str:
    """A network's table."""
    measures = MEASURES if truth else MEASURES[:2]
    header = [network.name, "against", "seeds"]
    for _, heading in measures:
        header += [heading, "difference"]
    rows = []
    for choice in tried:
        own, other = (
            [scores.get((network.name, name, seed), {}) for seed in range(seeds)]
            for name in (choice.name, choice.reference)
        )
        if not any(own):
            continue
        cells = []
        for name, _ in measures:
            values, others = ([s.get(name) for s in part] for part in (own, other))
            mean, gap = paired(values, others)
            cells += [mean, "" if choice.name == choice.reference else gap]
        against = "" if choice.name == choice.reference else choice.reference
        rows.append([choice.label, against, sum(map(bool, own)), *cells])
    return report.table(header, rows)
