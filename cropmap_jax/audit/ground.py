"""Ground and fields that are in two splits, and ground that one split holds twice."""

import collections
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from cropmap_jax.audit.findings import Finding, named, plural
from cropmap_jax.audit.material import Material
from cropmap_jax.audit.meeting import Meeting, meeting
from cropmap_jax.geo.folds import UNUSED
from cropmap_jax.geo.legend import IGNORE

_LEAST_CONTACT = 3
"""Pixels along which two fields have to touch."""
_ONE_FIELD = 2.0
"""Standard deviations of a pixel between the means of two parts of one field, at most.

Halves of 269 fields of simulated Iran lie 0.2 to 2.6 apart (95 % below 1.8), 31 pairs of other
fields of one crop within 8 pixels 2.3 to 12.1; halves of 13 fields of a real scene 0.3 to 1.5."""
_MOST_COMPARED = 200


@dataclasses.dataclass
class _Tally:
    """What is said of all pairs of cubes of one kind."""

    pairs: list[str] = dataclasses.field(default_factory=list)
    cubes: set[str] = dataclasses.field(default_factory=set)
    pixels: int = 0
    fields: int = 0
    other: int = 0


def check(
    material: Material,
    pairs: Iterable[tuple[int, int]],
    alike: Callable[[int, int, int, int], float | None],
) -> list[Finding]:
    """Compares all cubes that meet.

    Args:
      material: what is audited.
      pairs: cubes that meet, from `meeting.pairs`.
      alike: how far apart the images of two fields are (cube, cube, field, field) next to the line
        where they touch, in standard deviations of a pixel; None if that cannot be told.
    """
    tallies: dict[str, _Tally] = collections.defaultdict(_Tally)
    left, neighbours = _MOST_COMPARED, 0
    for i, j in pairs:
        found = meeting(material, i, j)
        for kind, pixels, fields, other in _of_ground(material, i, j, found):
            _add(tallies[kind], material, (i, j), pixels, fields, other)
        if found.inside or found.annotated or not _together(material, i, j):
            continue
        crossing = [(pq, fg, n) for pq, own in found.touching.items() if pq[0] != pq[1]
                    for fg, n in own.items()]  # fmt: skip
        parts = [set(material.parts_of(cube)) for cube in (i, j)]
        neighbours += all(parts) and not parts[0] & parts[1]
        for _, (f, g), count in crossing:
            given = material.ids_given(i) and material.ids_given(j)
            if count < _LEAST_CONTACT:
                continue
            kind = "one id" if given and f == g else "parts"
            if given and f != g:
                apart = alike(i, j, f, g) if left > 0 else None
                left -= 1
                kind = "two ids" if apart is not None and apart <= _ONE_FIELD else "neighbours"
            _add(tallies[kind], material, (i, j), count, 1, 0)
    found_all = [_finding(material, kind, tally) for kind, tally in tallies.items()]
    found_all += _blocks(material) + _within(material)
    if neighbours:
        found_all.append(Finding(
            "note", "ground",
            f"{plural(neighbours, 'pair')} of annotated cubes of different splits lie next to each "
            f"other",
            "expect higher scores there than on ground farther away; `evaluate` notes it too",
        ))  # fmt: skip
    return found_all


def _together(material: Material, i: int, j: int) -> bool:
    """Whether the periods of two cubes overlap: names of seasons may be anything."""
    one, other = material.places[i].periods, material.places[j].periods
    return bool(one[0, 0] < other[-1, 1] and other[0, 0] < one[-1, 1])


def _of_ground(
    material: Material, i: int, j: int, found: Meeting
) -> Iterable[tuple[str, int, int, int]]:
    """Yields (kind, pixels, pairs of fields, contradicting pixels) of ground that both hold."""
    if not found.inside and not found.annotated:
        return
    together = _together(material, i, j)
    across = {pq: n for pq, n in found.annotated.items() if pq[0] != pq[1]}
    within = {pq: n for pq, n in found.annotated.items() if pq[0] == pq[1]}
    fields = sum(len(found.fields.get(pq, ())) for pq in across)
    if across:
        yield ("both" if together else "seasons"), sum(across.values()), fields, 0
    elif material.rule is None and material.places[i].split != material.places[j].split:
        yield "images", found.inside, 0, 0
    if within and together:
        yield "twice", sum(within.values()), 0, found.contradicting
    elif together and not across and material.places[i].split == material.places[j].split:
        yield "overlap", found.inside, 0, 0


def _add(
    tally: _Tally,
    material: Material,
    pair: tuple[int, int],
    pixels: int,
    fields: int,
    other: int,
) -> None:
    one, two = (material.places[n] for n in pair)
    text = f"{one.cube_id} ({_where(material, pair[0])}) and {two.cube_id} "
    text += f"({_where(material, pair[1])})"
    if text not in tally.pairs:
        tally.pairs.append(text)
    tally.cubes |= {one.cube_id, two.cube_id}
    tally.pixels += pixels
    tally.fields += fields
    tally.other += other


def _where(material: Material, cube: int) -> str:
    return material.places[cube].split if material.rule is None else "folds"


_WORDS = {
    "both": (
        "error",
        "{pixels:,d} annotated pixels lie on ground of two splits{fields}: {pairs}",
        "give all cubes on one ground the same split, or leave one of them out",
    ),
    "seasons": (
        "warning",
        "{pixels:,d} annotated pixels lie on ground of two splits, in other seasons: {pairs}",
        "give a place one split in all seasons, or call the scores what they are: of known places",
    ),
    "images": (
        "warning",
        "cubes of two splits share {pixels:,d} pixels of ground, annotated in one of them at most: "
        "{pairs}",
        "cut cubes that do not overlap; `build` refuses those of one season",
    ),
    "twice": (
        "warning",
        "{pixels:,d} pixels are annotated in two cubes of one split{other}: {pairs}",
        "leave one of the two out: their ground counts twice",
    ),
    "overlap": (
        "warning",
        "cubes of one split share {pixels:,d} pixels of ground: {pairs}",
        "cut cubes that do not overlap; `build` refuses those of one season",
    ),
    "one id": (
        "error",
        "{count} in two splits, cut by the edge between two cubes: {pairs}",
        "keep each field in the split that holds most of it and make the rest unknown (255); "
        "`prepare` does",
    ),
    "two ids": (
        "error",
        "{count} in two splits under two ids each, of one class, touching and with the same images "
        "on both sides: {pairs}",
        "give both parts one id and one split, or make the smaller part unknown (255)",
    ),
    "neighbours": (
        "note",
        "{count} of fields of one class, with different ids, touch across two splits: {pairs}",
        "look whether these are two fields or one",
    ),
    "parts": (
        "warning",
        "{count} of connected ground of one class lie across two splits: {pairs}",
        "field ids (fields.tif) would say whether these are fields, which belong in one split",
    ),
}


def _finding(material: Material, kind: str, tally: _Tally) -> Finding:
    severity, what, advice = _WORDS[kind]
    word = {"one id": "field lies", "two ids": "field lies", "neighbours": "pair", "parts": "piece"}
    count = plural(tally.fields, word.get(kind, "pair"))
    if word.get(kind) == "field lies":
        count = f"{tally.fields:,d} field{' lies' if tally.fields == 1 else 's lie'}"
    text = what.format(
        pixels=tally.pixels,
        pairs=named(tally.pairs),
        fields=f" ({plural(tally.fields, 'pair')} of fields)" if tally.fields else "",
        other=f", {tally.other:,d} of them as different things" if tally.other else "",
        count=count,
    )
    figures = {"pixels": tally.pixels, "pairs": len(tally.pairs), "fields": tally.fields}
    if kind == "twice":
        figures["contradicting"] = tally.other
    return Finding(severity, "ground", text, advice, tuple(sorted(tally.cubes)), figures)


def _blocks(material: Material) -> list[Finding]:
    """Blocks whose cubes are in two splits."""
    splits: dict[str, set[str]] = {}
    cubes: dict[str, list[str]] = {}
    if material.rule is not None:
        return []
    for place in material.places:
        splits.setdefault(place.block, set()).add(place.split)
        cubes.setdefault(place.block, []).append(place.cube_id)
    both = sorted(block for block, own in splits.items() if len(own) > 1)
    if not both:
        return []
    return [
        Finding(
            "warning",
            "ground",
            f"{plural(len(both), 'block')} in two splits: {named(both)}",
            "give all cubes of a block one split: neighbours share soil, weather and farmers",
            tuple(name for block in both for name in cubes[block]),
            {"blocks": both},
        )
    ]


def _within(material: Material) -> list[Finding]:
    """Fields of one cube that are in two folds."""
    if material.rule is None:
        return []
    whole = pieces = total = 0
    cubes: set[str] = set()
    for cube, place in enumerate(material.places):
        (label, fields), part = material.labels(cube), material.part(cube)
        known = (label != IGNORE) & (part != UNUSED) & (fields > 0)
        rows = np.unique(np.stack([fields[known].astype(np.int64), part[known]], 1), axis=0)
        ids, counts = np.unique(rows[:, 0], return_counts=True)
        whole += int((counts > 1).sum())
        total += len(ids)
        cut = 0 if material.ids_given(cube) else len(_cut(label, fields, part, known))
        pieces += cut
        if cut or (counts > 1).any():
            cubes.add(place.cube_id)
    out = []
    if whole:
        out.append(Finding(
            "error", "ground", f"{plural(whole, 'field')} of {total:,d} in two folds",
            "build it again with --by field", tuple(sorted(cubes)), {"fields": whole},
        ))  # fmt: skip
    if pieces:
        out.append(Finding(
            "warning", "ground",
            f"{pieces:,d} of {total:,d} pieces of connected ground of one class touch a piece in "
            f"another fold ({material.rule})",
            "scores are of fields partly known where these are fields: --by field keeps them whole",
            tuple(sorted(cubes)), {"pieces": pieces, "of": total},
        ))  # fmt: skip
    return out


def _cut(label: np.ndarray, fields: np.ndarray, part: np.ndarray, known: np.ndarray) -> set[int]:
    """Fields that touch one of their class in another fold."""
    found: set[int] = set()
    for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        both = known[one] & known[other] & (label[one] == label[other]) & (part[one] != part[other])
        found |= {*fields[one][both].tolist(), *fields[other][both].tolist()}
    return found
