"""A comparison in words: one sentence that says what to use, and a table."""

import re
from collections.abc import Mapping
from typing import Any

from cropmap_jax.evaluation import comparison
from cropmap_jax.geo import text

_CALLED = {
    "network": "the network",
    "forest": "the forest",
    "raw_forest": "the raw forest",
    "combined": "the combined runs",
    "logistic": "logistic regression",
    "dates": "dates alone",
}


def sentence(found: Mapping[str, Any], split: str) -> str:
    """What to use, with the numbers that say so: one sentence.

    It is about the strongest of the other methods, by mean F1 of pixels. A method is better where
    the interval of the difference leaves out 0.

    Args:
      found: from `comparison.compare`.
      split: that was scored.
    """
    reference = found["reference"]
    means = {
        method: row["macro_f1"]["value"]
        for method in comparison.others_of(found)
        if (row := comparison.scores_of(found, method)) and row["macro_f1"]["value"] is not None
    }
    strongest = max(means, key=lambda method: means[method], default=None)
    own = comparison.difference(found, strongest) if strongest else None
    row = comparison.scores_of(found, reference)
    if own is None or own["value"] is None or row is None or strongest is None:
        return f"What to use cannot be told: no crop of {split} has an F1 of both methods."
    first, second = row["macro_f1"]["value"], means[strongest]
    each = {reference: (_called(reference), first), strongest: (_called(strongest), second)}
    if len(means) > 1:
        each[strongest] = (f"the strongest of the others, {_called(strongest)},", second)
    ahead = [reference, strongest][:: -1 if own["value"] < 0 else 1]
    (better, high), (worse, low) = (each[name] for name in ahead)
    score, fields = _score(row), _of_fields(found, strongest, ahead[0])
    if own["low"] is None:
        reason = (own["reason"] or "no interval").removeprefix("no interval: ")
        reason = re.sub(r"^it is of one (\w+) alone$", rf"there is only one {split} \1", reason)
        reason, worse = f"{reason}{_place(found, split)}", worse.rstrip(",")
        numbers = f"{high:.3f} against {low:.3f} ({score})"
        if own["value"] == 0:
            return f"{_up(better)} and {worse} score the same, {numbers}, since {reason}{fields}."
        how = "but no interval can be given"
        return f"{_up(better)} scores higher than {worse}, {numbers}, {how}, as {reason}{fields}."
    where, differ = _where(found, split), _interval(own, ahead[0] == strongest)
    numbers = f"{better} has {high:.3f} and {worse} {low:.3f} ({score}), a difference of {differ}"
    if own["better"] is None:
        return (
            f"No difference between {_called(reference)} and {_called(strongest)} can be told "
            f"{where}, so use the one that costs less: {numbers}{fields}."
        )
    rest = _not_sure(found, strongest) if own["better"] == reference else ""
    return f"Use {_called(own['better'])}: {where}, {numbers}{rest}{fields}."


def _called(method: str) -> str:
    """A method in a sentence."""
    return _CALLED.get(method, method)


def _up(words: str) -> str:
    return words[:1].upper() + words[1:]


def _score(row: Mapping[str, Any]) -> str:
    """What the mean over crops is; of one crop alone, its F1."""
    scored = [name for name, figure in row["crops"].items() if figure["value"] is not None]
    mean = f"F1 of {scored[0]}" if len(scored) == 1 else f"macro F1 of {len(scored)} crops"
    return f"{mean}, pixels"


def _where(found: Mapping[str, Any], split: str) -> str:
    """Over how many blocks."""
    how = found["intervals"]
    if how["unit"] == "field":
        return f"over {how['groups']} fields and squares of the one block of {split}"
    return f"over the {how['groups']} blocks of {split}"


def _place(found: Mapping[str, Any], split: str) -> str:
    """Of a split of one block."""
    return f", and {split} has one block" if found["intervals"]["unit"] == "field" else ""


def _interval(row: Mapping[str, Any], turned: bool) -> str:
    """A difference with its interval; of the other minus the reference where it is turned."""
    value, ends = row["value"], [row["low"], row["high"]]
    if turned:
        value, ends = -value, [-end for end in reversed(ends)]
    return f"{value:+.3f} (95 % interval {ends[0]:+.3f} to {ends[1]:+.3f})"


def _of_fields(found: Mapping[str, Any], method: str, ahead: str) -> str:
    """The same of fields, where there are any."""
    row = comparison.difference(found, method, "fields")
    if row is None or row["value"] is None:
        return ""
    turned = ahead == method
    if row["low"] is None:
        value = -row["value"] if turned else row["value"]
        return f"; of fields it is {value:+.3f}, without an interval"
    return f"; of fields it is {_interval(row, turned)}"


def _not_sure(found: Mapping[str, Any], strongest: str) -> str:
    """Methods that the reference is not surely ahead of, though it is of the strongest."""
    unsure = [
        _called(method)
        for method in comparison.others_of(found)
        if method != strongest
        and (row := comparison.difference(found, method))
        and row["better"] is None
    ]
    return f" (of that to {', '.join(unsure)} the interval holds 0)" if unsure else ""


def table(found: Mapping[str, Any]) -> str:
    """Fixed-width tables, one for each method that the reference is compared with."""
    return "\n\n".join(_table(found, method) for method in comparison.others_of(found))


def _table(found: Mapping[str, Any], method: str) -> str:
    reference = found["reference"]
    each = [text.plain(name) for name in (reference, method)]
    wide = [max(10, len(name) + 2) for name in each]
    rows = [row for row in found["differences"] if row["method"] == method]
    crop = max([15, *(len(row["crop"] or "") for row in rows)]) + 1
    title = f"F1 of {each[0]} and {each[1]}, thresholds as chosen, and their difference with its "
    lines = [f"{title}95 % interval"]
    head = "".join(f"{name:>{w}}" for name, w in zip(each, wide, strict=True))
    lines.append(f"{'crop':{crop}}{'unit':8}{head}{'difference':>12}   {'interval':18}better")
    last = sorted(rows, key=lambda row: row["crop"] is None)
    if len({row["crop"] for row in rows}) == 2:  # one crop, whose mean is itself
        last = [row for row in rows if row["crop"] is not None]
    for row in last:
        values = [_value(found, one, row["unit"], row["crop"]) for one in (reference, method)]
        cells = "".join(f"{value:>{w}}" for value, w in zip(values, wide, strict=True))
        name = row["crop"] or comparison.MACRO
        lines.append(f"{name:{crop}}{row['unit']:8}{cells}{_difference(row)}")
    return "\n".join(line.rstrip() for line in lines)


def _value(found: Mapping[str, Any], method: str, unit: str, crop: str | None) -> str:
    row = comparison.scores_of(found, method, unit)
    value = row and (row["macro_f1"] if crop is None else row["crops"][crop])["value"]
    return "-" if value is None else f"{value:.3f}"


def _difference(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return f"{'-':>12}   {row['reason']}"
    start = f"{row['value']:+12.3f}"
    if row["low"] is None:
        return f"{start}   {row['reason']}"
    between = f"{row['low']:+.3f} to {row['high']:+.3f}"
    return f"{start}   {between:18}{row['better'] or '-'}"
