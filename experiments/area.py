"""Hectares of each crop and province: as the map shows them, and as a sample of points says.

    python -m experiments.area --map MAP --provinces FILE
    python -m experiments.area --map MAP --points FILE --design FILE

Pixels of a map, counted, are no estimate of area: what the map mistakes does not cancel. With
points from `sample_points`, whose column `reference` somebody filled in, areas and accuracies come
with intervals of 95 %. Points without a design, points that do not match it and points that were
chosen are refused, with the reason.
"""

import json
import pathlib

from absl import flags

from experiments import _cli, _output

_MAP = flags.DEFINE_string("map", None, "Folder of a map that predict wrote.", required=True)
_POINTS = flags.DEFINE_string("points", "", "Points of the sample, with the column reference.")
_DESIGN = flags.DEFINE_string("design", "", "Their design.json.")
_LAYER = flags.DEFINE_string("points_layer", "", "Layer of --points, where there are several.")
_MISSING = flags.DEFINE_float(
    "most_missing", 0.1, "Share of points that may be without a reference."
)
_PROVINCES = flags.DEFINE_string("provinces", "", "File of provinces.")
_COLUMN = flags.DEFINE_string("provinces_column", "", "Column with their names.")
_OUT = flags.DEFINE_string("out", "", "Folder for the tables; MAP/area if not given.")

_FILES = ("area.csv", "area.json", "area.png", "accuracy.csv", "matrix.csv")


def main(_):
    from cropmap_jax.evaluation import area_picture
    from cropmap_jax.geo import extras, files
    from cropmap_jax.mapping import map_folder, map_strata, summary

    if _POINTS.value or _PROVINCES.value:
        extras.require("fields", "--points" if _POINTS.value else "--provinces")
    if _DESIGN.value and not _POINTS.value:
        raise ValueError("--design: expected --points with it, found none")
    if not 0 <= _MISSING.value < 1:
        raise ValueError(f"--most_missing: expected 0 to below 1, found {_MISSING.value}")
    if _POINTS.value:
        _check_sample()
    found = map_folder.open_map(_MAP.value)
    out = files.local("--out", _OUT.value or str(found.folder / "area"))
    provinces = _read_provinces()
    counting = map_strata.Counting(found, provinces)
    for _ in _cli.progress(counting.run(), total=len(found.cubes), unit="cube", desc="count"):
        pass
    counts = counting.counts
    notes, tables = [], {"areas": _mapped(found, counts)}
    if _POINTS.value:
        tables = _estimate(found, counts, provinces, notes)
    notes = [*_of_map(found, counts, tables), *notes]
    titles = dict(zip(found.names, found.titles, strict=True))
    with files.Lock(out, "--out"):
        written = files.Written(out, "area")
        written.claim(*_FILES)
        for name in _FILES:
            written.remove(name)
        area_picture.draw(out / "area.png", tables["areas"], titles, found.as_of)
        _write(out, found, tables, notes, summary.write_csv)
    _print(tables, titles)
    _output.results(
        areas=out / "area.json",
        table=out / "area.csv",
        picture=out / "area.png",
        estimated=bool(_POINTS.value),
        notes=notes,
    )
    for note in notes:
        print(f"note: {note}")
    print(f"areas: {out / 'area.csv'}, {out / 'area.json'}\npicture: {out / 'area.png'}")
    if _POINTS.value:
        print(f"accuracy: {out / 'accuracy.csv'}, error matrix: {out / 'matrix.csv'}")
    else:
        print(
            f"next: python -m experiments.sample_points --map {found.folder} for estimates with "
            f"intervals"
        )


def _check_sample() -> None:
    """Requires the files of the sample, before the map is read."""
    from cropmap_jax.geo import files
    from cropmap_jax.mapping import sample_design

    sample_design.check_given(_DESIGN.value)
    if not files.local("--points", _POINTS.value).is_file():
        raise ValueError(f"--points {_POINTS.value}: expected a file of points, found none")


def _read_provinces():
    if not _PROVINCES.value:
        return None
    from cropmap_jax.mapping import province_grid

    return province_grid.read(_PROVINCES.value, _COLUMN.value)


def _mapped(found, counts) -> list[dict]:
    """Mapped hectares of each class, of all ground and of each province that has any."""
    places = [("", counts.pixels.sum(0), counts.hectares.sum(0))]
    if len(counts.provinces) > 1:
        each = zip(counts.provinces, counts.pixels, counts.hectares, strict=True)
        places += [one for one in each if one[1].sum()]
    return [
        {
            "province": place,
            "class": found.names[number],
            "pixels": int(pixels[number]),
            "mapped_ha": float(hectares[number]),
        }
        for place, pixels, hectares in places
        for number in range(found.no_data)
    ]


def _estimate(found, counts, provinces, notes: list[str]) -> dict:
    """Tables of the estimates; adds to the notes."""
    from cropmap_jax.evaluation import area_tables
    from cropmap_jax.mapping import sample_design, sample_files, sample_lookup

    design = sample_design.read(_DESIGN.value, found, counts)
    answers = sample_files.read(_POINTS.value, design, found, _LAYER.value)
    name = f"--points {_POINTS.value}"
    shown, home = sample_lookup.look_up(found, design, provinces, name)
    like_class, like_province = sample_lookup.shares_of_strata(design, counts, provinces)
    classes = found.no_data + design.with_no_data
    sample = area_tables.Sample(
        *sample_lookup.sizes(design),
        design.stratum,
        shown,
        home,
        answers.reference,
        None if like_class is None else like_class[:, :classes],
        like_province,
    )
    population = area_tables.Population(
        found.names[: found.no_data], counts.provinces, counts.hectares[:, :classes]
    )
    titles = [one.title(found) for one in design.strata]
    notes += [*design.notes, *sample_lookup.check_spread(found, design, counts)]
    notes += area_tables.check_answers(sample, titles, _MISSING.value)
    for why in dict.fromkeys(answers.notes.values()):
        count = sum(one == why for one in answers.notes.values())
        notes.append(f"no reference at {count} points: {why[:200]}")
    if design.with_no_data:
        notes.append("ground without a prediction was sampled: estimates are of all ground")
    return {
        "areas": area_tables.areas(sample, population),
        "accuracy": area_tables.accuracies(sample, population),
        "matrix": area_tables.error_matrix(sample, population),
        "rows": found.names[:classes],
        "points": len(sample.stratum),
    }


def _of_map(found, counts, tables) -> list[str]:
    notes = found.notes
    no_data = float(counts.hectares[:, found.no_data].sum())
    if no_data and len(tables.get("rows", ())) <= found.no_data:
        masked = f", {found.masked_ha:,.1f} ha of it masked" if found.masked_ha else ""
        notes.append(
            f"{no_data:,.1f} ha without a prediction{masked} are in no figure: crops may grow there"
        )
    if counts.shared_ha:
        notes.append(f"{counts.shared_ha:,.1f} ha lie in several cubes and count once")
    if "rows" not in tables:
        notes.append(
            "mapped hectares are pixels that were counted, with the map's errors: no estimate, and "
            "without an interval"
        )
    return notes


def _write(out: pathlib.Path, found, tables: dict, notes: list[str], write_csv) -> None:
    """Writes the tables; the JSON, which holds all, comes last."""
    from cropmap_jax.evaluation import report

    write_csv(out / "area.csv", [_blank(row) for row in tables["areas"]])
    value = {
        "format": 1,
        "map": str(found.folder),
        "as_of": found.as_of,
        "notes": notes,
        "areas": tables["areas"],
    }
    if "rows" in tables:
        classes, matrix = found.names[: found.no_data], tables["matrix"]
        write_csv(out / "accuracy.csv", [_blank(row) for row in tables["accuracy"]])
        rows = [
            {"map": name, **dict(zip(classes, (round(float(v), 8) for v in line), strict=True))}
            for name, line in zip(tables["rows"], matrix, strict=True)
        ]
        write_csv(out / "matrix.csv", rows)
        value |= {
            "points": tables["points"],
            "points_file": _POINTS.value,
            "design_file": _DESIGN.value,
            "accuracy": tables["accuracy"],
            "matrix": {"map": tables["rows"], "reference": classes, "shares": matrix.tolist()},
        }
    report.write_json(out / "area.json", json.loads(json.dumps(value)))


def _blank(row: dict) -> dict:
    """A row for CSV: numbers of a sensible length, nothing for None."""
    out = {}
    for key, value in row.items():
        digits = 4 if key.endswith("_ha") else 6
        out[key] = round(value, digits) if isinstance(value, float) else value
        out[key] = "" if value is None else out[key]
    return out


def _print(tables: dict, titles: dict[str, str]) -> None:
    from cropmap_jax.geo.text import plain

    estimated = "rows" in tables
    places = list(dict.fromkeys(row["province"] for row in tables["areas"]))
    for place in places:
        more = f"{'estimated':>12}{'95 % interval':>26}{'±':>10}" if estimated else ""
        print(f"{plain(place or 'all ground')[:27]:28}{'mapped ha':>12}{more}")
        for row in tables["areas"]:
            if row["province"] == place:
                title = plain(titles[row["class"]])[:25]
                print(f"  {title:26}{row['mapped_ha']:12,.1f}{_figures(row) if estimated else ''}")
    if estimated:
        print(f"{'accuracy':28}{'users':>24}{'producers':>24}")
        of = {(row["measure"], row["class"]): row for row in tables["accuracy"]}
        for name in dict.fromkeys(row["class"] for row in tables["accuracy"] if row["class"]):
            both = "".join(f"{_share(of[m, name]):>24}" for m in ("users", "producers"))
            print(f"  {plain(titles[name])[:25]:26}{both}")
        print(f"  {'overall':26}{_share(of['overall', '']):>24}")


def _figures(row: dict) -> str:
    if row["estimated_ha"] is None:
        return f"{'-':>12}  {row['reason']}"
    text = f"{row['estimated_ha']:12,.1f}"
    if row["low_ha"] is None:
        return f"{text}  {row['reason']}"
    span = f"{row['low_ha']:,.1f} to {row['high_ha']:,.1f}"
    return f"{text}{span:>26}{row['margin_ha']:10,.1f}"


def _share(row: dict) -> str:
    if row["value"] is None:
        return "-"
    if row["low"] is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


if __name__ == "__main__":
    _cli.run(main)
