"""The report on field data: JSON for programs, Markdown to read, a table for the terminal."""

import collections
import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import geopandas
import numpy as np

from cropmap_jax.geo import calendars, files
from cropmap_jax.geo.periods import month_periods, parse_date
from cropmap_jax.geo.splits import SPLITS
from cropmap_jax.geo.text import csv_cell, plain
from cropmap_jax.geo.tiles import Tile
from cropmap_jax.ground_truth import markdown
from cropmap_jax.ground_truth.audit_log import TOO_SMALL, AuditLog
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import NONE, Settings

_CUT = "fields cut at a border of splits"
_CONFLICT = "pixels claimed by two crops"
_PAIR = "conflict "
DROPS = "drops.csv"


def summarise(
    fields: geopandas.GeoDataFrame,
    tiles: Sequence[Tile],
    settings: Settings,
    log: AuditLog,
    span: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """Counts everything, in values that JSON can hold.

    "Kept" is what the table of fields holds, less what was too small to label a pixel.

    Args:
      fields: the complete table of fields and points.
      tiles: those that are kept.
      settings: how the field data were read.
      log: of the run.
      span: {season: (first, last)} ISO dates of the months to export.

    Returns:
      Keys: legend, titles, fractions, tiles, blocks, layers, crops, too_small, drops_without_crop,
      states, calendars, conflicts, cut_fields, counts, months, problems, doubts, notes. Areas in
      hectares on the ground.
    """
    small = _too_small(fields, log)
    names = (*settings.classes_of.names, NONE, UNKNOWN)
    layers = _layers(fields, small, settings, log)
    counts = {k: int(v) for k, v in sorted(log.counts.items())}
    pairs = [(k.removeprefix(_PAIR), v) for k, v in counts.items() if k.startswith(_PAIR)]
    return {
        "legend": settings.classes_of.name,
        # Where the name is a mere id: names are ASCII.
        "titles": {c.name: c.title for c in settings.classes_of.classes if not c.title.isascii()},
        "fractions": {s: float(settings.fractions.get(s, 0.0)) for s in SPLITS},
        "tiles": {s: sum(t.split == s for t in tiles) for s in SPLITS},
        "blocks": {s: len({t.block for t in tiles if t.split == s}) for s in SPLITS},
        "layers": layers,
        "crops": {name: _crop(name, fields, small, tiles, layers) for name in names},
        "too_small": int(small.sum()),
        "drops_without_crop": sum(r["dropped_unnamed"] for r in layers.values()),
        "states": _states(tiles, names),
        "calendars": _candidates(fields[~small], tiles, settings),
        "conflicts": {
            "pixels": counts.get(_CONFLICT, 0),
            "pairs": dict(sorted(pairs, key=lambda pair: -pair[1])),
        },
        "cut_fields": counts.get(_CUT, 0),
        "counts": {k: v for k, v in counts.items() if not k.startswith(_PAIR)},
        "months": {season: _months(*ends) for season, ends in sorted(span.items())},
        "problems": list(log.problems),
        "doubts": list(log.doubts),
        "notes": list(log.notes),
    }


def _too_small(fields: geopandas.GeoDataFrame, log: AuditLog) -> np.ndarray:
    """bool [rows]: in the table, but dropped for want of a pixel."""
    dropped = {(d.layer, d.file, d.row) for d in log.drops if d.reason == TOO_SMALL}
    rows = zip(fields.layer, fields.file, fields.row, fields.pixels, strict=True)
    return np.array([n == 0 and tuple(key) in dropped for *key, n in rows], bool)


def _layers(
    fields: geopandas.GeoDataFrame, small: np.ndarray, settings: Settings, log: AuditLog
) -> dict[str, dict[str, Any]]:
    """What became of each layer; its features may fall into several parts, one row each."""
    out = {}
    for key, layer in settings.layers.items():
        own = (fields.layer == key).to_numpy()
        dropped = log.reasons(key)
        kept, read = int((own & ~small).sum()), int(log.read[key])
        parts = kept + sum(dropped.values())
        unnamed = 0 if layer.crop else sum(dropped.values()) - int((own & small).sum())
        out[key] = {
            "season": layer.season,
            "crop": layer.crop,
            "read": read,
            "more_by_splitting": max(0, parts - read),
            "left_out": max(0, read - parts),
            "kept": kept,
            "dropped": dropped,
            "dropped_unnamed": unnamed,
        }
    return out


def _crop(
    name: str,
    fields: geopandas.GeoDataFrame,
    small: np.ndarray,
    tiles: Sequence[Tile],
    layers: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Counts of a crop: of all seasons, and of each.

    "in" counts layers of the crop whole, and of layers with names what was named so: what was
    dropped before its name was read belongs to no crop.
    """
    own = fields[(fields.crop == name).to_numpy() & ~small]
    named = [key for key, layer in layers.items() if not layer["crop"]]
    found = int(((fields.crop == name) & fields.layer.isin(named)).sum())
    whole = [r for r in layers.values() if r["crop"] == name]
    seasons = {r["season"] for r in layers.values()}
    return {
        "in": found + sum(r["kept"] + sum(r["dropped"].values()) for r in whole),
        "kept": len(own),
        **_amounts(name, own, tiles),
        "seasons": {
            season: _amounts(
                name, own[own.season == season], [t for t in tiles if t.season == season]
            )
            for season in sorted(seasons)
        },
    }


def _amounts(name: str, own: geopandas.GeoDataFrame, tiles: Sequence[Tile]) -> dict[str, Any]:
    with_it = [t for t in tiles if name in t.crops]
    pixels = {
        split: sum(int(t.crops[name]["pixels"]) for t in with_it if t.split == split)
        for split in SPLITS
    }
    total = sum(pixels.values())
    return {
        "fields": int((own.kind == "polygon").sum()),
        "points": int((own.kind == "point").sum()),
        "tiles": sum(t.crops[name]["pixels"] > 0 for t in with_it),
        "area_ha": round(float(own.area_ha.sum()), 4),
        "pixels": pixels,
        "share": {s: round(n / total, 4) if total else None for s, n in pixels.items()},
    }


def _states(tiles: Sequence[Tile], names: Iterable[str]) -> dict[str, dict[str, int]]:
    """{state: {split: pixels}} of all kept tiles, unknown ground included."""
    table = {name: dict.fromkeys(SPLITS, 0) for name in names}
    for tile in tiles:
        table[UNKNOWN][tile.split] += int(tile.unknown_pixels)
        for name, amounts in tile.crops.items():
            table[name][tile.split] += int(amounts["pixels"])
    return table


def _candidates(
    fields: geopandas.GeoDataFrame, tiles: Sequence[Tile], settings: Settings
) -> dict[str, Any]:
    """Fields and points of classes by the number of seasons that they may have.

    The calendar is the one of the field's tile, and where an attribute chose sheets, only those.
    """
    by_id = {t.tile_id: t for t in tiles}
    several: collections.Counter[str] = collections.Counter()
    chosen: collections.Counter[str] = collections.Counter()
    none: collections.Counter[tuple[str, str, str]] = collections.Counter()
    own = fields[fields.crop.isin(settings.classes_of.names)]
    rows = zip(own.crop, own.season, own.tile, own.sheets, strict=True)
    for crop, season, place, sheets in rows:
        tile = by_id.get(f"{season}_{place}")
        if tile is None:
            continue
        dated = tile.harvest.get(crop) or tile.harvest.get(calendars.ANY_CROP) or ()
        names = set(sheets.split(";")) - {""}
        left = [s for s in dated if not names or s.season in names]
        chosen[crop] += bool(names)
        several[crop] += len(left) > 1
        none[crop, tile.province, season] += not left
    undated = [(*key, n) for key, n in sorted(none.items()) if n]
    return {
        "workbook": settings.calendar.file if settings.calendar else None,
        "several": {crop: several[crop] for crop in settings.classes_of.names},
        "chosen": {crop: chosen[crop] for crop in settings.classes_of.names},
        "none": [
            dict(zip(("crop", "province", "season", "fields"), r, strict=True)) for r in undated
        ],
    }


def _months(first: str, last: str) -> dict[str, Any]:
    ends = [parse_date(day, "months to export") for day in (first, last)]
    return {"first": str(first), "last": str(last), "months": len(month_periods(*ends))}


def write(
    summary: dict[str, Any], log: AuditLog, out: pathlib.Path, pictures: Iterable[str] = ()
) -> pathlib.Path:
    """Writes report.json and report.md, and drops.csv where there are many drops.

    Args:
      summary: of `summarise`.
      log: for its drops.
      out: folder, made if it is not there.
      pictures: names of files in the folder, shown in report.md.

    Returns:
      Path of report.md.
    """
    out.mkdir(parents=True, exist_ok=True)
    drops = [dataclasses.asdict(d) for d in log.drops]
    if len(drops) > markdown.MOST_ROWS:
        table = io.StringIO()
        writer = csv.DictWriter(table, drops[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in drop.items()} for drop in drops)
        files.write_bytes(out / DROPS, table.getvalue().encode("utf-8", "replace"))
    whole = summary | {"drops": drops}
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    files.write_bytes(out / "report.json", text.encode("utf-8", "replace"))
    path = out / "report.md"
    files.write_bytes(path, markdown.render(summary, drops, pictures).encode("utf-8", "replace"))
    return path


def text(summary: dict[str, Any]) -> str:
    """Fixed-width table: a line per crop, then what is in doubt, then problems."""
    columns = "".join(f"{split:>12}" for split in SPLITS)
    lines = [
        f"{'':51}{'pixels':>9}",
        f"{'crop':16}{'in':>8}{'kept':>8}{'tiles':>7}{'ha':>12}{columns}",
    ]
    for name, crop in summary["crops"].items():
        pixels = "".join(f"{n:12,d}" for n in crop["pixels"].values())
        title = summary["titles"].get(name, name)
        lines.append(
            f"{title[:15]:16}{crop['in']:8,d}{crop['kept']:8,d}{crop['tiles']:7,d}"
            f"{crop['area_ha']:12,.1f}{pixels}"
        )
    for what, rows in (("tiles", summary["tiles"]), ("blocks", summary["blocks"])):
        lines.append(f"{what:51}" + "".join(f"{n:12,d}" for n in rows.values()))
    lines += ["", *_doubts(summary)]
    lines += [f"in doubt: {line}" for line in summary["doubts"]]
    lines += [f"problem: {line}" for line in summary["problems"]]
    return "\n".join(map(plain, lines))


def _doubts(summary: dict[str, Any]) -> list[str]:
    """One line each for what a user should know in addition to the table."""
    reasons: collections.Counter[str] = collections.Counter()
    for layer in summary["layers"].values():
        reasons.update(layer["dropped"])
    lines = [f"dropped: {n:,d} {reason}" for reason, n in reasons.most_common()]
    several = sum(summary["calendars"]["several"].values())
    none = sum(row["fields"] for row in summary["calendars"]["none"])
    lines += [f"{_fields(several)} with several candidate seasons"] if several else []
    lines += [f"{_fields(none)} without a calendar for their crop"] if none else []
    pixels = summary["conflicts"]["pixels"]
    lines += [f"{pixels:,d} pixels claimed by two crops: unknown"] if pixels else []
    for season, ends in summary["months"].items():
        lines.append(f"{season}: export {ends['first']} to {ends['last']}, {ends['months']} months")
    return lines


def _fields(number: int) -> str:
    return f"{number:,d} field{'s' if number != 1 else ''}"
