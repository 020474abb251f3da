"""How much of each class there is in each split and block."""

import collections
import dataclasses
from typing import Any

import numpy as np

from cropmap_jax.audit.findings import Finding, named, plural
from cropmap_jax.audit.material import Material, class_of
from cropmap_jax.geo.folds import UNUSED
from cropmap_jax.geo.legend import IGNORE

_FEW_TO_LEARN, _FEW_TO_SCORE = 5, 10
"""Fields of a class."""
_EXTREME = 100
"""Times as many fields, or pixels where there are no fields, as of another class."""
_ENOUGH_BLOCKS = 4
"""Annotated blocks of a split from which on a class in one of them alone is noted."""


@dataclasses.dataclass(frozen=True)
class Balance:
    """What is annotated.

    Args:
      pixels: int64 [parts, classes + 1], of each class and none of these.
      fields: int64 [parts, classes + 1], likewise; ground without a field counts as none.
      blocks: {block: int64 [parts, classes + 1]} pixels.
      parts: names of splits or folds that hold anything.
      classes: names.
    """

    pixels: np.ndarray
    fields: np.ndarray
    blocks: dict[str, np.ndarray]
    parts: tuple[str, ...]
    classes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: pixels and fields by part and class, and pixels by block."""

        def table(values: np.ndarray) -> dict[str, dict[str, int]]:
            return {
                part: dict(zip(self.classes, row, strict=True))
                for part, row in zip(self.parts, values.tolist(), strict=True)
            }

        return {
            "pixels": table(self.pixels),
            "fields": table(self.fields),
            "blocks": {name: table(values) for name, values in self.blocks.items()},
        }


def count(material: Material) -> Balance:
    """Counts pixels and fields of every class."""
    classes, parts = len(material.legend), len(material.parts)
    shape = (parts, classes + 1)
    pixels = np.zeros(shape, np.int64)
    blocks: dict[str, np.ndarray] = {}
    ids: dict[tuple[int, int], set[tuple[str, str, int]]] = collections.defaultdict(set)
    for cube, place in enumerate(material.places):
        (label, fields), part = material.labels(cube), material.part(cube)
        known = (label != IGNORE) & (part != UNUSED)
        kind, where = class_of(label[known], classes), part[known].astype(np.int64)
        own = np.bincount(where * (classes + 1) + kind, minlength=np.prod(shape)).reshape(shape)
        pixels += own
        blocks.setdefault(place.block, np.zeros(shape, np.int64))
        blocks[place.block] += own
        # Ids that were given hold across cubes: a field in two tiles is one.
        home = place.block if material.ids_given(cube) else place.cube_id
        rows = np.stack([where, kind, fields[known].astype(np.int64)], 1)
        for p, k, field in np.unique(rows[rows[:, 2] > 0], axis=0).tolist():
            ids[p, k].add((home, place.season, field))
    counts = np.zeros(shape, np.int64)
    for (p, k), found in ids.items():
        counts[p, k] = len(found)
    # A dataset of folds has all of them; of splits, those that have cubes.
    names = {place.split for place in material.places}
    there = [i for i, name in enumerate(material.parts) if material.rule or name in names]
    return Balance(
        pixels[there],
        counts[there],
        {name: values[there] for name, values in sorted(blocks.items())},
        tuple(material.parts[i] for i in there),
        material.classes,
    )


def check(found: Balance) -> list[Finding]:
    """What is out of balance."""
    out = _absent(found) + _few(found) + _one_block(found)
    unit, amounts = ("field", found.fields) if found.fields.any() else ("pixel", found.pixels)
    total = amounts.sum(0)[: len(found.classes) - 1]
    there = np.flatnonzero(total)
    if len(there) > 1:
        least, most = there[total[there].argmin()], there[total[there].argmax()]
        if total[most] >= _EXTREME * total[least]:
            out.append(Finding(
                "note", "balance",
                f"{found.classes[most]} has {plural(int(total[most]), unit)}, "
                f"{found.classes[least]} {plural(int(total[least]), unit)}",
                "annotate more of the rare class, or leave it out of the legend; the mean over "
                "classes weighs both alike",
                figures={"most": found.classes[most], "least": found.classes[least]},
            ))  # fmt: skip
    return out


def _absent(found: Balance) -> list[Finding]:
    """Classes that some splits lack."""
    out = []
    total = found.pixels.sum(0)[:-1]
    nowhere = [name for name, n in zip(found.classes, total, strict=False) if not n]
    if nowhere:
        out.append(Finding(
            "note", "balance",
            f"{plural(len(nowhere), 'class')} of the legend without "
            f"an annotated pixel: {named(nowhere)}",
            "nothing can learn them; leave them out of the legend",
            figures={"classes": nowhere},
        ))  # fmt: skip
    for part, row in zip(found.parts, found.pixels, strict=True):
        lacking = [
            name for name, n, all_ in zip(found.classes, row, total, strict=False) if all_ and not n
        ]
        if lacking:
            cannot = "learnt" if part == "train" else "scored there"
            out.append(Finding(
                "warning", "balance",
                f"{part} has no annotated pixel of {named(lacking)}, which other "
                f"{'folds' if part.startswith('fold') else 'splits'} have",
                f"draw the split again with another seed, or annotate more: what is missing cannot "
                f"be {cannot}",
                figures={"part": part, "classes": lacking},
            ))  # fmt: skip
    return out


def _few(found: Balance) -> list[Finding]:
    """Classes with few fields in a split."""
    if not found.fields.any():
        return []
    out = []
    for part, row in zip(found.parts, found.fields, strict=True):
        least = _FEW_TO_LEARN if part == "train" else _FEW_TO_SCORE
        few = [
            f"{name} ({n})"
            for name, n in zip(found.classes, row[:-1].tolist(), strict=False)
            if 0 < n < least
        ]
        if few:
            means = "learn from" if part == "train" else "tell a score from luck"
            out.append(Finding(
                "note", "balance",
                f"{part} has fewer than {least} fields of {named(few)}: few to {means}",
                "annotate more fields of these; until then read their scores with the intervals "
                "that `evaluate` prints",
                figures={"part": part, "classes": few},
            ))  # fmt: skip
    return out


def _one_block(found: Balance) -> list[Finding]:
    """Classes that are known in one block of a split alone."""
    out = []
    for p, part in enumerate(found.parts):
        table = np.array([values[p] for values in found.blocks.values()])
        used = int((table.sum(1) > 0).sum())
        if used < _ENOUGH_BLOCKS:
            continue
        single = np.flatnonzero((table[:, :-1] > 0).sum(0) == 1)
        if len(single):
            names = [found.classes[k] for k in single]
            out.append(Finding(
                "warning", "balance",
                f"{named(names)}: all pixels of {part} lie in one of its {used} blocks",
                "annotate these in other places: what is learnt, or scored, may be that place",
                figures={"part": part, "classes": names},
            ))  # fmt: skip
    return out
