"""The design of a sample: what it was drawn from, how, and which points it is.

`sample_points` writes it next to the points, and `area` refuses points without one: from points
that somebody chose no area follows. A sample that was drawn elsewhere has its design in the same
form, see docs/area.md.
"""

import dataclasses
import json
import pathlib
from collections import Counter
from typing import Any

import numpy as np

from cropmap_jax.geo import files, schemas
from cropmap_jax.geo.names import nearest
from cropmap_jax.mapping.map_folder import FinishedMap
from cropmap_jax.mapping.map_strata import Counts, Stratum

NAME = "design.json"
OURS = "sample_points"
SCHEMA = pathlib.Path(__file__).with_name("sample_design.schema.json")
SELECTIONS = ("stratified_random", "simple_random", "systematic")
"""How points may have been selected. Clusters have another variance; what was chosen has none."""
_SAME = 1e-3
"""Relative difference up to which hectares count as the map's: rounding in a file by hand."""
_WHY = (
    "fields or points that were chosen, such as those to train with and those that evaluate "
    "scores, are no probability sample, and no area or interval follows from them; sample_points "
    "draws one"
)


@dataclasses.dataclass(frozen=True)
class DesignStratum:
    """A stratum of a design.

    Args:
      code: that points name.
      map_class: position in `FinishedMap.names`; None where the stratum is no class of the map.
      province: its name; None where it is of no province.
      pixels: N_h.
      hectares: A_h.
      points: how many were drawn.
    """

    code: str
    map_class: int | None
    province: str | None
    pixels: float
    hectares: float
    points: int

    def title(self, found: FinishedMap) -> str:
        """For people."""
        parts = [self.province, None if self.map_class is None else found.names[self.map_class]]
        text = ", ".join(part for part in parts if part)
        return f"{self.code} ({text})" if text else self.code


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A design that was read and fits its map.

    Args:
      strata: of the population.
      ids: of the points, as text.
      lon, lat: float [n], degrees.
      stratum: int [n], position in `strata`.
      with_no_data: whether ground without a prediction is part of the population.
      provinces: digest of the provinces that strata speak of; "" for none.
      notes: what a reader should know, a line each.
      ours: whether `sample_points` drew it.
    """

    strata: tuple[DesignStratum, ...]
    ids: tuple[str, ...]
    lon: np.ndarray
    lat: np.ndarray
    stratum: np.ndarray
    with_no_data: bool
    provinces: str
    notes: tuple[str, ...] = ()
    ours: bool = True


def to_json(
    found: FinishedMap,
    counts: Counts,
    strata: list[Stratum],
    sizes: np.ndarray,
    points: list[dict[str, Any]],
    more: dict[str, Any],
) -> bytes:
    """The design of a sample that was drawn here, as a file.

    Args:
      found: the map.
      counts: what it holds.
      strata: what was drawn from.
      sizes: int [H], points of each.
      points: id, lon, lat and stratum of each.
      more: date, seed, provinces, no_data, allocation.
    """
    design = {
        "format": 1,
        "drawn_by": OURS,
        "selection": SELECTIONS[0],
        **more,
        "map": {
            "digest": counts.digests.whole(),
            "as_of": found.as_of,
            "cubes": counts.digests.cubes,
        },
        "strata": [
            {
                "code": one.code,
                "map_class": found.names[one.map_class],
                "province": None if one.province is None else counts.provinces[one.province],
                "pixels": one.pixels,
                "hectares": round(one.hectares, 6),
                "points": int(size),
            }
            for one, size in zip(strata, sizes, strict=True)
        ],
        "points": points,
    }
    return (json.dumps(design, indent=1, ensure_ascii=False) + "\n").encode()


def check_given(path: str) -> None:
    """Requires a design, before anything that takes long.

    Raises:
      ValueError: none is named, or there is no such file.
    """
    if not path:
        raise ValueError(f"--points: expected --design with the design of the sample: {_WHY}")
    if not files.local("--design", path).is_file():
        raise ValueError(f"--design {path}: expected the design of a sample, found no file")


def read(path: str, found: FinishedMap, counts: Counts) -> Design:
    """Reads a design and compares it with the map that estimates are for.

    Args:
      path: the file; "" for none.
      found: the map.
      counts: what it holds.

    Raises:
      ValueError: one line: no design, no probability sample, of another map or another state of
        it, strata that do not add up to the map, without points, or with a single one.
    """
    check_given(path)
    name = f"--design {path}"
    value = schemas.read_json(pathlib.Path(path), "the design of a sample (design.json)")
    schemas.check(value, SCHEMA, name)
    notes: list[str] = []
    _check_selection(value, name, notes)
    _check_map(value, name, counts, notes)
    strata = tuple(_stratum(one, name, found) for one in value["strata"])
    with_no_data = value.get("no_data", "outside") == "stratum"
    _check_strata(strata, name, found)
    _check_population(strata, name, found, counts, with_no_data)
    points = value["points"]
    codes = {one.code: number for number, one in enumerate(strata)}
    ids = tuple(str(point["id"]) for point in points)
    _check_points(points, ids, strata, codes, name)
    return Design(
        strata,
        ids,
        np.array([float(point["lon"]) for point in points]),
        np.array([float(point["lat"]) for point in points]),
        np.array([codes[point["stratum"]] for point in points]),
        with_no_data,
        (value.get("provinces") or {}).get("digest", ""),
        tuple(notes),
        value.get("drawn_by") == OURS,
    )


def _check_selection(value: dict[str, Any], name: str, notes: list[str]) -> None:
    selection = value["selection"]
    if selection not in SELECTIONS:
        raise ValueError(
            f"{name}: selection: expected one of {', '.join(SELECTIONS)}, found "
            f"{schemas.show(selection)}: {_WHY}"
        )
    if selection == "systematic":
        notes.append(
            "the sample is systematic: intervals are those of a random one, usually a little wide"
        )
    if selection == "simple_random" and len(value["strata"]) > 1:
        raise ValueError(
            f"{name}: expected one stratum of a simple_random sample, found {len(value['strata'])}"
        )
    if value.get("drawn_by") != OURS:
        notes.append("the sample was drawn elsewhere: that it is random rests on its design")


def _check_map(value: dict[str, Any], name: str, counts: Counts, notes: list[str]) -> None:
    known = value.get("map")
    if not known:
        if value.get("drawn_by") == OURS:
            raise ValueError(f"{name}: expected property 'map', found none")
        notes.append("the design names no map: only the sizes of its strata were compared")
        return
    if known["digest"] == counts.digests.whole():
        return
    was, now = known.get("cubes", {}), counts.digests.cubes
    changed = sorted(cube for cube in was.keys() & now.keys() if was[cube] != now[cube])
    parts = [
        f"{len(cubes)} {what} ({', '.join(cubes[:3])}{', ...' if len(cubes) > 3 else ''})"
        for what, cubes in (
            ("changed", changed),
            ("gone", sorted(was.keys() - now.keys())),
            ("new", sorted(now.keys() - was.keys()) if was else []),
        )
        if cubes
    ]
    raise ValueError(
        f"{name}: expected the map that the sample was drawn from, found another or one that has "
        f"changed since{': cubes ' if parts else ''}{', '.join(parts)}; draw a sample of this map"
    )


def _stratum(value: dict[str, Any], name: str, found: FinishedMap) -> DesignStratum:
    title, place = value.get("map_class"), None
    if title is not None:
        if title not in found.names:
            raise ValueError(
                f"{name}: stratum {value['code']!r}: expected a class of the map "
                f"({', '.join(found.names)}), found {title!r}{nearest(title, found.names)}"
            )
        place = found.names.index(title)
    pixels = value.get("pixels") or value["hectares"] / found.cubes[0].pixel_ha
    return DesignStratum(
        value["code"], place, value.get("province"), pixels, value["hectares"], value["points"]
    )


def _check_strata(strata: tuple[DesignStratum, ...], name: str, found: FinishedMap) -> None:
    repeated = [code for code, n in Counter(one.code for one in strata).items() if n > 1]
    if repeated:
        raise ValueError(f"{name}: expected each stratum once, found {repeated[0]!r} twice")
    for one in strata:
        where = f"{name}: stratum {one.title(found)}, {one.hectares:,.1f} ha"
        if one.points == 0:
            raise ValueError(f"{where}: expected points, found none: its area cannot be estimated")
        if one.points == 1 and one.pixels > 1:
            raise ValueError(
                f"{where}: expected two points or more, found one, which has no variance; draw "
                f"more, or join it with another stratum before the draw"
            )
        if one.points > one.pixels + 0.5:
            raise ValueError(
                f"{where}: expected at most one point a pixel, found {one.points} points and "
                f"{one.pixels:,.0f} pixels"
            )


def _check_population(
    strata: tuple[DesignStratum, ...],
    name: str,
    found: FinishedMap,
    counts: Counts,
    with_no_data: bool,
) -> None:
    """Requires strata that are the map, class by class where they are classes."""
    mapped = counts.hectares.sum(0)
    classes = found.no_data + 1 if with_no_data else found.no_data
    if all(one.map_class is not None for one in strata):
        own = np.zeros(len(mapped))
        for one in strata:
            own[one.map_class] += one.hectares
        for number in range(len(mapped)):
            inside = number < classes
            if inside and mapped[number] > 0 and own[number] == 0:
                raise ValueError(
                    f"{name}: class {found.names[number]} has {mapped[number]:,.1f} ha on the map "
                    f"and no stratum; expected points in each class"
                )
            if inside and abs(own[number] - mapped[number]) > _SAME * max(mapped[number], 1.0):
                raise ValueError(
                    f"{name}: class {found.names[number]}: expected strata of the "
                    f"{mapped[number]:,.1f} ha that the map shows, found {own[number]:,.1f} ha"
                )
            if not inside and own[number]:
                raise ValueError(
                    f'{name}: found a stratum of {found.names[number]}; expected "no_data": '
                    f'"stratum" with it'
                )
        return
    whole, own_ha = float(mapped[:classes].sum()), sum(one.hectares for one in strata)
    if abs(own_ha - whole) > 10 * _SAME * whole:
        raise ValueError(
            f"{name}: expected strata that add up to the {whole:,.1f} ha of the map, found "
            f"{own_ha:,.1f} ha"
        )


def _check_points(
    points: list[dict[str, Any]],
    ids: tuple[str, ...],
    strata: tuple[DesignStratum, ...],
    codes: dict[str, int],
    name: str,
) -> None:
    twice = [one for one, n in Counter(ids).items() if n > 1]
    if twice:
        raise ValueError(f"{name}: expected each point once, found id {twice[0]!r} twice")
    for point in points:
        if point["stratum"] not in codes:
            raise ValueError(
                f"{name}: point {point['id']}: expected the code of a stratum, found "
                f"{schemas.show(point['stratum'])}"
            )
    drawn = Counter(point["stratum"] for point in points)
    for one in strata:
        if drawn[one.code] != one.points:
            raise ValueError(
                f"{name}: stratum {one.code}: expected {one.points} points as it says, found "
                f"{drawn[one.code]} in its list"
            )
