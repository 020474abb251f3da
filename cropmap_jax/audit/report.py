"""An audit as text, as Markdown and as JSON."""

import json
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np

from cropmap_jax.audit import picture
from cropmap_jax.audit.findings import SEVERITIES, plural
from cropmap_jax.audit.run import Audit
from cropmap_jax.geo import files, text

FILES = ("audit.json", "audit.md", "audit.png")
"""What `write` writes."""
_WIDTH, _LONG = 110, 2000


def describe(found: Audit) -> str:
    """An audit as text: what was found, what to do, then tables."""
    lines = [_summary(found)]
    for one in found.findings:
        lines += textwrap.wrap(
            f"{one.severity} ({one.check}): {text.plain(one.what)}", _WIDTH,
            initial_indent="  ", subsequent_indent="    ",
        )  # fmt: skip
        lines += textwrap.wrap(
            f"-> {one.advice}",
            _WIDTH,
            initial_indent="    ",
            subsequent_indent="       ",
        )
    lines += ["", f"what dates alone give away: {_dates(found)}", ""]
    lines += _table(_balance(found))
    lines += ["", "share missing, mean over periods:", *_table(_missing(found))]
    return "\n".join(lines)


def write(found: Audit, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes FILES, each whole or not at all; replaces those that are there.

    Raises:
      OSError: no space or no permission.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    files.write_bytes(folder / FILES[0], data.encode())
    files.write_bytes(folder / FILES[1], markdown(found).encode())
    files.write_bytes(folder / FILES[2], picture.draw(found))
    return [folder / name for name in FILES]


def markdown(found: Audit) -> str:
    """An audit as Markdown, with its picture."""
    lines = [f"# Audit of {text.markdown_cell(found.material.name)}", "", _summary(found), ""]
    for severity in SEVERITIES:
        own = [one for one in found.findings if one.severity == severity]
        if own:
            lines += [f"## {severity.capitalize()}s", ""]
            for one in own:
                what, advice = (text.markdown_cell(t, _LONG) for t in (one.what, one.advice))
                lines.append(f"- **{one.check}**: {what}. *{advice}.*")
            lines.append("")
    lines += [f"![map of splits, and what is missing]({FILES[2]})", ""]
    lines += ["## What dates alone give away", "", _dates(found), "", "## Classes", ""]
    lines += [*_markdown_table(_balance(found)), "", "## Share missing", ""]
    lines += [*_markdown_table(_missing(found)), ""]
    return "\n".join(lines)


def _summary(found: Audit) -> str:
    material = found.material
    counts = ", ".join(plural(found.count(severity), severity) for severity in SEVERITIES)
    return (
        f"{text.plain(material.name)}: {plural(len(material.places), 'cube')}, "
        f"{plural(len(material.keys), 'chip')}, "
        f"{plural(len(found.balance.blocks), 'block')}; {counts}"
    )


def _dates(found: Audit) -> str:
    score = found.dates
    if score.score is None:
        return f"not scored: {score.why}"
    if score.why:
        return f"nothing: {score.why}"
    return (
        f"macro-F1 {score.score:.2f} of held-out blocks from dates of {score.of}, without a pixel; "
        f"{score.place:.2f} from "
        f"knowing the place, {score.prior:.2f} from guessing"
    )


def _balance(found: Audit) -> list[list[str]]:
    """Header and rows: pixels / fields of each class in each split."""
    balance = found.balance
    rows = [["pixels / fields", *balance.parts, "blocks"]]
    blocks = np.array([(values.sum(0) > 0) for values in balance.blocks.values()]).sum(0)
    for k, name in enumerate(balance.classes):
        cells = [
            f"{pixels[k]:,d} / {fields[k]:,d}" if fields[k] else f"{pixels[k]:,d}"
            for pixels, fields in zip(balance.pixels, balance.fields, strict=True)
        ]
        rows.append([text.plain(name), *cells, f"{blocks[k]}"])
    return rows


def _missing(found: Audit) -> list[list[str]]:
    sensors = found.material.sensors
    names = list(dict.fromkeys(name for rows in found.missing.values() for name in rows))
    rows = [["class", *(sensor.title for sensor in sensors)]]
    for name in names:
        shares = [found.missing[sensor.name].get(name, {}) for sensor in sensors]
        means = [f"{np.mean(list(own.values())):.1%}" if own else "-" for own in shares]
        rows.append([text.plain(name), *means])
    return rows


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:],
                                                                      strict=True))]).rstrip()
        for row in rows
    ]  # fmt: skip


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(text.markdown_cell(cell) for cell in row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]
