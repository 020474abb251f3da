"""A comparison in words: one sentence that says what to use, and a table."""

from collections.abc import Mapping
from typing import Any

from cropmap_jax.evaluation import comparison
from cropmap_jax.geo import text


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
    score = _score(row)
    which = f"the strongest of the others, {strongest}," if len(means) > 1 else strongest
    first, second = row["macro_f1"]["value"], means[strongest]
    mine, theirs = f"{reference} {first:.3f}", f"{which} {second:.3f}"
    numbers = f"the pixel {score} is {mine} against {theirs}"
    fields = _of_fields(found, strongest)
    if own["low"] is None:
        start = f"{reference} and {strongest} score the same"
        if own["value"]:
            better, worse = [reference, strongest][:: 1 if own["value"] > 0 else -1]
            start = f"{better} scores higher than {worse}, but how surely cannot be told"
        reason = own["reason"] or "no interval"
        return f"{_up(start)}: {numbers} ({reason}{_place(found, split)}){fields}."
    where, differ = _where(found, split), _interval(own)
    if own["better"] is None:
        return (
            f"No difference between {reference} and {strongest} can be told {where}: {numbers}, "
            f"a difference of {differ}, so use the one that costs less{fields}."
        )
    rest = _not_sure(found, strongest) if own["better"] == reference else ""
    return (
        f"Use {own['better']}: {where}, {numbers}, a difference of {differ} that leaves out 0"
        f"{rest}{fields}."
    )


def _up(words: str) -> str:
    return words[:1].upper() + words[1:]


def _score(row: Mapping[str, Any]) -> str:
    """What the mean over crops is, of one crop alone: its F1."""
    scored = [name for name, figure in row["crops"].items() if figure["value"] is not None]
    return f"F1 of {scored[0]}" if len(scored) == 1 else f"macro F1 of {len(scored)} crops"


def _where(found: Mapping[str, Any], split: str) -> str:
    """Over how many blocks."""
    how = found["intervals"]
    if how["unit"] == "field":
        return f"over {how['groups']} fields and squares of the one block of {split}"
    return f"over the {how['groups']} blocks of {split}"


def _place(found: Mapping[str, Any], split: str) -> str:
    """Of a split of one block."""
    return f"; {split} has one block" if found["intervals"]["unit"] == "field" else ""


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def _of_fields(found: Mapping[str, Any], method: str) -> str:
    """The same of fields, where there are any."""
    row = comparison.difference(found, method, "fields")
    if row is None or row["value"] is None:
        return ""
    if row["low"] is None:
        return f"; of fields it is {row['value']:+.3f}, without an interval"
    return f"; of fields it is {_interval(row)}"


def _not_sure(found: Mapping[str, Any], strongest: str) -> str:
    """Methods that the reference is not surely ahead of, though it is of the strongest."""
    unsure = [
        method
        for method in comparison.others_of(found)
        if method != strongest
        and (row := comparison.difference(found, method))
        and row["better"] is None
    ]
    return f" (that from {', '.join(unsure)} does not)" if unsure else ""


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
