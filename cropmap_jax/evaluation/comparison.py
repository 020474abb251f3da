"""Methods compared on the same pixels: paired differences of F1, and what to use.

`compare` makes what `evaluate --compare` writes as `compare.json`, under "compare":

    schema        "compare/1"
    reference     the method of the run; differences are its F1 minus that of another method
    lead_days, as_of    what is compared; one of them is null
    intervals     how they are made, see `figures.describe`
    methods       the reference first, a row per method and unit ("pixels", "fields"):
      method, words, unit
      macro_f1    mean over crops, {"value", "low", "high", "reason"}, see `intervals.Figure`
      crops       by name, the same
    differences   a list, per method other than the reference, unit and crop (null: the mean):
      method, unit, score ("f1"), crop
      value, low, high, reason
      better      the method that is better where the interval leaves out 0, else null
    best          the method with the highest mean F1 of pixels, null where there is none
    sentence      what to use, see `comparison_words.sentence`
    notes

Thresholds are those chosen for each method. Both methods are drawn together: a draw of blocks gives
the F1 of each, and their difference is one value. So what makes a place hard for both drops out
(the paired bootstrap; Efron & Tibshirani, An introduction to the bootstrap (1993), chapter 8;
intervals as in `intervals`, on a scale of -1 to 1).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.evaluation import figures
from cropmap_jax.evaluation.figures import Resampled
from cropmap_jax.evaluation.intervals import Figure
from cropmap_jax.evaluation.split_tally import UNITS

SCHEMA = "compare/1"
MACRO = "macro mean"
"""What the mean over crops is called in tables and pictures."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of a method.

    Args:
      method: its name.
      words: for people.
      counts: by unit int64 [groups, crops, 4], tp, fp, fn, tn; groups in the order of
        `Groups.order`, which all methods share.
    """

    method: str
    words: str
    counts: Mapping[str, np.ndarray]

    @property
    def units(self) -> list[str]:
        """Pixels, and fields where there are any."""
        return [unit for unit in UNITS if unit == "pixels" or self.counts[unit].any()]


def compare(
    reference: Entry, others: Sequence[Entry], names: Sequence[str], group: str
) -> dict[str, Any]:
    """Scores of each method and paired differences.

    Args:
      reference: the method of the run.
      others: those that it is compared with.
      names: of the crops.
      group: what is drawn, "block" or "field".

    Returns:
      "schema", "reference", "intervals", "methods", "differences", "best" and "notes"; see above.
    """
    groups = len(reference.counts["pixels"])
    rows = [_row(one, unit, names, group) for one in (reference, *others) for unit in one.units]
    means = {
        row["method"]: row["macro_f1"]["value"]
        for row in rows
        if row["unit"] == "pixels" and row["macro_f1"]["value"] is not None
    }
    return {
        "schema": SCHEMA,
        "reference": reference.method,
        "intervals": figures.describe(group, groups),
        "methods": rows,
        "differences": [
            row for one in others for row in _differences(reference, one, names, group)
        ],
        "best": max(means, key=lambda method: means[method]) if means else None,
        "notes": [note for one in others for note in _unlike(reference, one)],
    }


def _row(one: Entry, unit: str, names: Sequence[str], group: str) -> dict[str, Any]:
    found = Resampled(one.counts[unit], group)
    crops = {}
    for i, name in enumerate(names):
        why = _undefined(one.counts[unit][:, i], unit)
        crops[name] = found.figures(i, why)["f1"].to_json()
    mean = found.macro(range(len(names)))[0]["f1"].to_json()
    return {"method": one.method, "words": one.words, "unit": unit} | {
        "macro_f1": mean,
        "crops": crops,
    }


def _undefined(counts: np.ndarray, unit: str) -> str | None:
    """Why a crop has no F1, in words."""
    tp, fp, fn, tn = counts.sum(0).tolist()
    one = f"annotated {unit.removesuffix('s')}"
    if not tp + fp + fn + tn:
        return f"no {one} was seen"
    if not tp + fn:
        return f"no {one} is of this crop"
    return None if fp + tn else f"every {one} is of this crop"


def _differences(
    reference: Entry, other: Entry, names: Sequence[str], group: str
) -> list[dict[str, Any]]:
    """Rows of "differences": of every unit the mean first, then each crop."""
    rows, count = [], len(names)
    for unit in reference.units:
        if unit not in other.units:
            continue
        counts = np.concatenate([other.counts[unit], reference.counts[unit]], 1)
        both = Resampled(counts, group)
        scored = [both.counts(i).scores()["f1"] is not None for i in range(2 * count)]
        kept = [i for i in range(count) if scored[i] and scored[count + i]]
        mean = both.macro_change(kept, [count + i for i in kept])
        found: list[tuple[str | None, Figure]] = [(None, mean)]
        for i, name in enumerate(names):
            why = _undefined(reference.counts[unit][:, i], unit)
            why = why or _undefined(other.counts[unit][:, i], unit)
            change = Figure(None, reason=why) if why else both.change(i, count + i)
            found.append((name, change))
        for crop, figure in found:
            row = {"method": other.method, "unit": unit, "score": "f1", "crop": crop}
            better = _better(figure, reference.method, other.method)
            rows.append(row | figure.to_json() | {"better": better})
    return rows


def _better(found: Figure, first: str, second: str) -> str | None:
    """The method that is better where the interval of first minus second leaves out 0."""
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return None
    return first if found.low > 0 else second


def _unlike(reference: Entry, other: Entry) -> list[str]:
    """A note where another method was not scored on the same pixels."""
    each = [one.counts["pixels"].sum((0, 2)).tolist() for one in (reference, other)]
    most = max(range(len(each[0])), key=lambda i: abs(each[0][i] - each[1][i]))
    if each[0][most] == each[1][most]:
        return []
    return [
        f"{other.method} saw {each[1][most]:,} annotated pixels where {reference.method} saw "
        f"{each[0][most]:,}: sensors of one see ground that those of the other do not, and each is "
        f"scored on what it saw"
    ]


def difference(
    found: Mapping[str, Any], method: str, unit: str = "pixels", crop: str | None = None
) -> dict[str, Any] | None:
    """A row of "differences"; None where there is none."""
    key = (method, unit, crop)
    for row in found["differences"]:
        if (row["method"], row["unit"], row["crop"]) == key:
            own: dict[str, Any] = row
            return own
    return None


def scores_of(found: Mapping[str, Any], method: str, unit: str = "pixels") -> dict[str, Any] | None:
    """A row of "methods"; None where there is none."""
    for row in found["methods"]:
        if (row["method"], row["unit"]) == (method, unit):
            own: dict[str, Any] = row
            return own
    return None


def others_of(found: Mapping[str, Any]) -> list[str]:
    """Names of the methods other than the reference, in order."""
    names = dict.fromkeys(row["method"] for row in found["methods"])
    return [name for name in names if name != found["reference"]]
