"""The report as Markdown: report.md."""

from collections.abc import Iterable, Sequence
from typing import Any

from cropmap_jax.geo.splits import SPLITS
from cropmap_jax.geo.text import markdown_cell

MOST_ROWS = 200
"""Drops listed in report.md; more of them are in drops.csv."""


def render(
    summary: dict[str, Any], drops: Sequence[dict[str, Any]], pictures: Iterable[str]
) -> str:
    """The text of report.md.

    Args:
      summary: of `report.summarise`.
      drops: of the audit log, as dicts.
      pictures: names of image files next to report.md.
    """
    tiles, blocks = (sum(summary[key].values()) for key in ("tiles", "blocks"))
    kept = sum(crop["kept"] for crop in summary["crops"].values())
    lines = [
        "# Ground truth",
        "",
        f"{kept:,d} fields and points in {tiles:,d} tiles of {blocks:,d} blocks; legend "
        f"{_cell(summary['legend'])}. Not counted: {summary['too_small']:,d} too small to label a "
        "pixel; they are in the table of fields and on the map by crop.",
    ]
    lines += _section("Problems: what was left out", [f"- {_line(p)}" for p in summary["problems"]])
    lines += _section("In doubt", [f"- {_line(doubt)}" for doubt in summary["doubts"]])
    lines += _section("What was read", _layer_table(summary))
    lines += _section("Crops and seasons", _crop_table(summary))
    lines += _section("Balance of the splits, share of labelled pixels", _balance_table(summary))
    lines += _section("What is known of the pixels of all tiles", _state_table(summary))
    lines += _section("Calendars", _calendar_lines(summary))
    pairs = summary["conflicts"]["pairs"].items()
    lines += _section("Repairs, cuts and conflicts", _table(("what", "number"), [
        *summary["counts"].items(), *((f"of conflicts: {pair}", n) for pair, n in pairs)
    ]))  # fmt: skip
    lines += _section("Notes", [f"- {_line(note)}" for note in summary["notes"]])
    lines += _section("Maps", [f"![{name}]({name})" for name in pictures])
    columns = ("file", "row", "reason", "detail")
    if len(drops) > MOST_ROWS:
        listed = [f"{len(drops):,d} rows: see [drops.csv](drops.csv)."]
    else:
        # A row is a name here, not an amount: no thousands separator.
        listed = _table(columns, [[str(drop[c]) for c in columns] for drop in drops])
    return "\n".join(lines + _section("Drops", listed)) + "\n"


def _layer_table(summary: dict[str, Any]) -> list[str]:
    rows = []
    for key, r in summary["layers"].items():
        why = ", ".join(f"{n} {reason}" for reason, n in r["dropped"].items())
        total = sum(r["dropped"].values())
        parts, left = r["more_by_splitting"], r["left_out"]
        crop = r["crop"] or "by name"
        rows.append((key, r["season"], crop, r["read"], parts, left, r["kept"], total, why))
    title = ("layer", "season", "crop", "read", "more by splitting", "left out", "kept", "dropped")
    return _table((*title, "reasons"), rows)


def _crop_table(summary: dict[str, Any]) -> list[str]:
    titles = summary["titles"]
    rows = [
        (
            titles.get(name, name),
            season,
            r["fields"],
            r["points"],
            r["tiles"],
            r["area_ha"],
            *r["pixels"].values(),
        )
        for name, crop in summary["crops"].items()
        for season, r in crop["seasons"].items()
        if r["fields"] or r["points"] or r["tiles"]
    ]
    bare = [titles.get(name, name) for name, crop in summary["crops"].items() if not crop["kept"]]
    title = ("crop", "season", "fields", "points", "tiles", "ha", *(f"{s} px" for s in SPLITS))
    return _table(title, rows) + (
        ["", f"No ground of: {', '.join(map(_cell, bare))}."] if bare else []
    )


def _balance_table(summary: dict[str, Any]) -> list[str]:
    rows = [("requested", *(f"{x:.0%}" for x in summary["fractions"].values()))]
    for name, crop in summary["crops"].items():
        if sum(crop["pixels"].values()):
            title = summary["titles"].get(name, name)
            rows.append((title, *(f"{x:.1%}" for x in crop["share"].values())))
    for what in ("tiles", "blocks"):
        rows.append((what, *summary[what].values()))
    return _table(("", *SPLITS), rows)


def _state_table(summary: dict[str, Any]) -> list[str]:
    total = sum(sum(row.values()) for row in summary["states"].values())
    rows = [
        (
            summary["titles"].get(name, name),
            *row.values(),
            sum(row.values()),
            f"{sum(row.values()) / total:.2%}",
        )
        for name, row in summary["states"].items()
        if sum(row.values())
    ]
    return _table(("state", *SPLITS, "all", "share"), rows)


def _calendar_lines(summary: dict[str, Any]) -> list[str]:
    found = summary["calendars"]
    months = _table(
        ("season", "first month to export from", "to", "months"),
        [(season, m["first"], m["last"], m["months"]) for season, m in summary["months"].items()],
    )
    if found["workbook"] is None:
        return ["No workbook: no crop has a harvest date."]
    several, chosen = found["several"], found["chosen"]
    titles = summary["titles"]
    rows = [(titles.get(c, c), n, chosen[c]) for c, n in several.items() if n or chosen[c]]
    title = ("crop", "fields with several candidate seasons", "with seasons an attribute chose")
    parts = [months, _table(title, rows)]
    rows = [tuple(row.values()) for row in found["none"]]
    parts.append(_table(("crop", "province without its calendar", "season", "fields"), rows))
    return [line for part in parts if part for line in ("", *part)][1:]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def _table(title: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table of Markdown, numbers to the right; no lines without rows."""
    rows = list(rows)
    if not rows:
        return []
    right = [isinstance(v, int | float) or str(v).endswith("%") for v in rows[0]]
    rule = ["---:" if r else "---" for r in right]
    cells = [[_cell(v) for v in row] for row in (title, rule, *rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,d}"
    return markdown_cell(value)


def _line(text: str) -> str:
    """A line of a list, which may name many things."""
    return markdown_cell(text, 10_000)
