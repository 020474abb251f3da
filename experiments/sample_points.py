"""Draws a stratified random sample of a map's pixels, whose crops somebody then looks up.

    python -m experiments.sample_points --map MAP

Each class of the map is a stratum (with --by_province, each class in each province). The number of
points follows from the standard error of overall accuracy that is wanted, or is --points. Two files
matter: the points, with an empty column `reference` for what grows there, and design.json, which
says how they were drawn and which they are. `area` takes both and estimates hectares with
intervals. Points show neither class nor stratum's name unless --show_class asks for it: who knows
what the map says is swayed by it.
"""

import datetime as dt
import pathlib

import numpy as np
from absl import flags

from experiments import _cli, _output

_MAP = flags.DEFINE_string("map", None, "Folder of a map that predict wrote.", required=True)
_OUT = flags.DEFINE_string("out", "", "Folder for the sample; MAP/sample if not given.")
_POINTS = flags.DEFINE_integer("points", 0, "How many points; 0 for as many as --standard_error.")
_ERROR = flags.DEFINE_float(
    "standard_error", 0.01, "Standard error of overall accuracy that is wanted."
)
_USERS = flags.DEFINE_string(
    "users_accuracy",
    "confidence",
    "Expected user's accuracy: one number, wheat=0.9,maize=0.8 or confidence (the map's own).",
)
_ALLOCATION = flags.DEFINE_string(
    "allocation", "compromise", "Points by stratum: compromise, proportional, equal or neyman."
)
_TARGET = flags.DEFINE_string("target", "", "Class whose area counts most, for neyman.")
_MINIMUM = flags.DEFINE_integer("minimum", 50, "Least points of a stratum (compromise, neyman).")
_PROVINCES = flags.DEFINE_string("provinces", "", "File of provinces.")
_COLUMN = flags.DEFINE_string("provinces_column", "", "Column with their names.")
_BY = flags.DEFINE_bool("by_province", False, "Whether each class in each province is a stratum.")
_NO_DATA = flags.DEFINE_enum(
    "no_data", "outside", ("outside", "stratum"), "Ground without a prediction: left out or drawn."
)
_FORMAT = flags.DEFINE_enum("format", "gpkg", ("gpkg", "geojson", "csv"), "Of the points.")
_SHOW = flags.DEFINE_bool("show_class", False, "Whether points show the class of the map.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw; the same seed draws the same points.")


def main(_):
    from cropmap_jax.evaluation import sample_sizes
    from cropmap_jax.geo import extras, files
    from cropmap_jax.mapping import map_folder, map_strata, points_picture

    if _PROVINCES.value or _FORMAT.value != "csv":
        extras.require("fields", "--provinces" if _PROVINCES.value else f"--format {_FORMAT.value}")
    _check_flags()
    found = map_folder.open_map(_MAP.value)
    out = files.local("--out", _OUT.value or str(found.folder / "sample"))
    _check_out(out)
    provinces = _read_provinces()
    counting = map_strata.Counting(found, provinces, _USERS.value == "confidence")
    _follow(counting.run(), len(found.cubes), "count")
    counts, with_no_data = counting.counts, _NO_DATA.value == "stratum"
    strata = map_strata.make_strata(counts, found.no_data, _BY.value, with_no_data, _SEED.value)
    if not strata:
        raise ValueError(f"--map {found.folder}: expected pixels with a class, found no data alone")
    users = _expected(found, counts)
    weights, total, sizes, shares = _sizes(found, strata, users, sample_sizes)
    _print_plan(found, counts, strata, users, weights, sizes, shares)
    if sizes.sum() > total:
        print(f"note: {sizes.sum()} points rather than {total}, for the least of each stratum")
    drawing = map_strata.Drawing(found, provinces, strata, sizes, _SEED.value)
    _follow(drawing.run(), len(found.cubes), "draw")
    rows = _rows(found, strata, *drawing.points())
    for note in _notes(found, counts, with_no_data):
        print(f"note: {note}")
    with files.Lock(out, "--out"):
        _check_out(out)
        points, design = _write(out, found, counts, strata, sizes, rows, provinces, total)
        lon, lat = (np.array([row[key] for row in rows]) for key in ("lon", "lat"))
        points_picture.draw(out / "points.png", found, lon, lat)
    _output.results(points=points, design=design, picture=out / "points.png", count=len(rows))
    print(f"points: {points}\ndesign: {design}\npicture: {out / 'points.png'}")
    print(
        f"next: write what grows at each point into the column reference, then python -m "
        f"experiments.area --map {found.folder} --points {points} --design {design}"
    )


def _check_flags() -> None:
    for flag, least in ((_POINTS, 0), (_MINIMUM, 2), (_SEED, 0)):
        if flag.value < least:
            raise ValueError(
                f"--{flag.name}: expected a whole number of {least} or more, found {flag.value}"
            )
    if _BY.value and not _PROVINCES.value:
        raise ValueError("--by_province: expected --provinces with it, found none")


def _check_out(out: pathlib.Path) -> None:
    """Requires that no sample is there: its points may hold answers by now."""
    for name in ("design.json", *(f"points.{kind}" for kind in ("gpkg", "geojson", "csv"))):
        if (out / name).exists():
            raise ValueError(
                f"--out {out}: found {name} of an earlier sample, which may hold answers; expected "
                f"another folder, or that one moved away"
            )


def _read_provinces():
    if not _PROVINCES.value:
        return None
    from cropmap_jax.mapping import province_grid

    return province_grid.read(_PROVINCES.value, _COLUMN.value)


def _follow(steps, count: int, what: str) -> None:
    for _ in _cli.progress(steps, total=count, unit="cube", desc=what):
        pass


def _expected(found, counts) -> np.ndarray:
    """Expected user's accuracy of each class and of no data, which is none."""
    text = _USERS.value.strip()
    users = np.where(np.isfinite(counts.confidence), counts.confidence, 0.5)
    try:
        users = np.full(len(users), float(text))
    except ValueError:
        if text != "confidence":
            users = _by_name(text, found)
    users[found.no_data] = 0.5  # nothing is known of it: the widest of all
    classes = users[: found.no_data]
    if not ((classes > 0) & (classes <= 1)).all():
        raise ValueError(f"--users_accuracy: expected values above 0, up to 1, found {text!r}")
    # Certain classes would get no point but the least.
    return np.minimum(users, 0.99)


def _by_name(text: str, found) -> np.ndarray:
    given = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            given[name] = float(value)
        except ValueError:
            raise ValueError(
                f"--users_accuracy: expected confidence, a number or class=number, found {part!r}"
            ) from None
    names = found.names[: found.no_data]
    for name in [*given.keys() - {*names}, *(n for n in names if n not in given)][:1]:
        what = "is no class of the map" if name not in names else "has no value"
        raise ValueError(
            f"--users_accuracy: expected a value for each of {', '.join(names)}; {name!r} {what}"
        )
    return np.array([*(given[name] for name in names), 0.5])


def _sizes(found, strata, users, sample_sizes):
    """Share of the area, points in all and by stratum, and expected shares of the classes."""
    area = np.array([one.hectares for one in strata])
    weights, of = area / area.sum(), np.array([one.map_class for one in strata])
    pixels = np.array([one.pixels for one in strata])
    total = _POINTS.value or sample_sizes.size(weights, users[of], _ERROR.value, pixels.sum())
    by_class = np.bincount(of, weights, minlength=len(users))
    shares = sample_sizes.expected_shares(by_class[: len(users)], users)[of]
    target = None
    if _TARGET.value:
        names = found.names[: found.no_data]
        if _TARGET.value not in names:
            raise ValueError(
                f"--target: expected a class of the map ({', '.join(names)}), found "
                f"{_TARGET.value!r}"
            )
        target = shares[:, names.index(_TARGET.value)]
    sizes = sample_sizes.allocate(total, weights, pixels, _ALLOCATION.value, _MINIMUM.value, target)
    return weights, total, sizes, shares


def _print_plan(found, counts, strata, users, weights, sizes, shares) -> None:
    from cropmap_jax.geo.text import plain

    print(f"{'class':24}{'province':20}{'pixels':>12}{'hectares':>12}{'expected':>10}{'points':>8}")
    for one, size in zip(strata, sizes, strict=True):
        place = "" if one.province is None else counts.provinces[one.province]
        title = plain(found.titles[one.map_class])[:23]
        print(
            f"{title:24}{plain(place)[:19]:20}{one.pixels:12,d}{one.hectares:12,.1f}"
            f"{users[one.map_class]:10.2f}{size:8d}"
        )
    hectares = sum(one.hectares for one in strata)
    spread = weights[:, None] ** 2 * shares * (1 - shares) / sizes[:, None]
    margins = 1.96 * np.sqrt(spread.sum(0)) * hectares
    of = np.array([one.map_class for one in strata])
    right = users[of] * (1 - users[of])
    overall = 1.96 * np.sqrt((weights**2 * right / sizes).sum())
    print(
        f"{sizes.sum()} points; if classes are as accurate as expected, overall accuracy will be "
        f"known to ±{overall:.1%} and the area of"
    )
    for number in sorted({one.map_class for one in strata} - {found.no_data}):
        expected = float((weights * shares[:, number]).sum()) * hectares
        title = plain(found.titles[number])[:23]
        print(f"  {title:24}{expected:12,.0f} ha to ± {margins[number]:,.0f} ha")


def _notes(found, counts, with_no_data: bool):
    no_data = float(counts.hectares[:, found.no_data].sum())
    if no_data and not with_no_data:
        yield (
            f"{no_data:,.1f} ha without a prediction, {found.masked_ha:,.1f} ha of it masked, are "
            f"no part of what is sampled; crops there will be in no estimate (--no_data stratum "
            f"draws them, too)"
        )
    if counts.shared_ha:
        yield f"{counts.shared_ha:,.1f} ha lie in several cubes and count once"


def _rows(found, strata, located, stratum) -> list[dict]:
    lon, lat = np.zeros(len(stratum)), np.zeros(len(stratum))
    for number, own in located.by_cube():
        cube = found.cubes[number]
        lon[own], lat[own] = cube.lonlat(located.row[own], located.col[own])
    rows = []
    for i, h in enumerate(stratum):
        row = {"id": i + 1, "lon": round(float(lon[i]), 7), "lat": round(float(lat[i]), 7)}
        row["stratum"] = strata[h].code
        if _SHOW.value:
            row["map_class"] = found.names[strata[h].map_class]
        rows.append(row | {"reference": "", "note": ""})
    return rows


def _write(out, found, counts, strata, sizes, rows, provinces, total):
    """Writes the points, then the design: without one, points are no sample."""
    from cropmap_jax.geo import files
    from cropmap_jax.mapping import sample_design, sample_files

    more = {
        "date": dt.date.today().isoformat(),
        "seed": _SEED.value,
        "no_data": _NO_DATA.value,
        "provinces": {"digest": provinces.digest} if provinces and _BY.value else None,
        "allocation": {
            "method": _ALLOCATION.value,
            "target": _TARGET.value,
            "minimum": _MINIMUM.value,
            "points_wanted": int(total),
            "standard_error": None if _POINTS.value else _ERROR.value,
            "users_accuracy": _USERS.value,
        },
    }
    points = out / f"points.{_FORMAT.value}"
    sample_files.write(points, rows)
    drawn = [{key: row[key] for key in ("id", "lon", "lat", "stratum")} for row in rows]
    text = sample_design.to_json(found, counts, strata, sizes, drawn, more)
    files.write_bytes(out / sample_design.NAME, text)
    return points, out / sample_design.NAME


if __name__ == "__main__":
    _cli.run(main)
