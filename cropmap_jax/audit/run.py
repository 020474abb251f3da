"""The audit of one dataset or folder of cubes, from its parts."""

import dataclasses
from typing import Any

from cropmap_jax.audit import (
    balance,
    copies,
    date_score,
    dates,
    fieldparts,
    ground,
    meeting,
    missing,
)
from cropmap_jax.audit.findings import SEVERITIES, Finding, named, ordered, plural
from cropmap_jax.audit.material import Material, Progress, quiet


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found.

    Args:
      material: what was audited.
      findings: the most severe first.
      balance: pixels and fields per split, block and class.
      missing: {sensor: {class: {period: share}}}.
      dates: what dates alone give away.
      settings: of the audit, JSON-ready.
    """

    material: Material
    findings: list[Finding]
    balance: balance.Balance
    missing: dict[str, dict[str, dict[str, float]]]
    dates: date_score.DateScore
    settings: dict[str, Any]

    def count(self, severity: str) -> int:
        """Number of findings of a severity."""
        return sum(one.severity == severity for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.material.name,
            "settings": self.settings,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [one.to_json() for one in self.findings],
            "balance": self.balance.to_json(),
            "missing": self.missing,
            "dates": self.dates.to_json(),
        }


def audit(
    material: Material, num_periods: int = 6, lead_days: int = 30, progress: Progress = quiet
) -> Audit:
    """Audits a dataset or a folder of cubes; every pixel is read once, patch by patch.

    Args:
      material: what is audited.
      num_periods: periods of the window that training will see.
      lead_days: days from the as-of date to harvest.
      progress: shows bars.

    Raises:
      ValueError: a file that is damaged; names it.
    """
    met = meeting.pairs(material.places)
    bar = progress(met, unit="pair", desc="ground")
    found = ground.check(material, bar, fieldparts.comparison(material))
    amounts = balance.count(material)
    found += balance.check(amounts)
    marks, gaps = copies.Marks(material), missing.Missing(material)
    total = len(material.keys)
    for patch in progress(material.patches(), total=total, unit="chip", desc="pixels"):
        marks.add(patch)
        gaps.add(patch)
    found += _copies(material, marks, set(met), progress)
    found += gaps.check()
    found += dates.check_calendars(material, num_periods, lead_days)
    pixels = gaps.pixels[:, : len(material.legend)]
    by_dates = date_score.score(material, pixels, num_periods, lead_days)
    found += date_score.check(by_dates)
    settings = {"num_periods": num_periods, "lead_days": lead_days}
    return Audit(material, ordered(found), amounts, gaps.shares(), by_dates, settings)


def _copies(
    material: Material, marks: copies.Marks, apart: set[tuple[int, int]], progress: Progress
) -> list[Finding]:
    """Findings about images that are there twice."""
    if marks.empty:
        return [Finding("note", "copies", "not looked for: too few numbers are stored of a pixel",
                        "export more periods or bands")]  # fmt: skip
    equal = marks.equal(apart)
    known = {(one.one, one.other) for one in equal}
    alike = [
        one for one in marks.alike(apart, progress) if (one.one, one.other) not in known
    ]  # fmt: skip
    out = []
    for across in (True, False):
        for words, own in (
            ("the very same pixel values", equal),
            ("the same images, resampled", alike),
        ):
            chosen = [one for one in own if _is_across(material, one) == across]
            if chosen:
                out.append(_copy_finding(material, chosen, words, across))
    return out


def _is_across(material: Material, one: copies.Copy) -> bool:
    """Whether two cubes are, or one of them is, in several splits or folds."""
    parts = set()
    for cube in (one.one, one.other):
        parts |= set(material.parts_of(cube))
        if material.rule is None:
            parts.add(material.places[cube].split)
    return len(parts) > 1


def _copy_finding(
    material: Material, found: list[copies.Copy], words: str, across: bool
) -> Finding:
    pairs, cubes = [], set()
    for one in found:
        names = [material.places[cube] for cube in (one.one, one.other)]
        cubes |= {place.cube_id for place in names}
        pairs.append(" and ".join(f"{place.cube_id} ({_part(material, place.split)})"
                                  for place in names))  # fmt: skip
    where = "two splits" if across and material.rule is None else "two folds" if across else ""
    where = where or "one split"
    advice = (
        "leave one of each pair out, then split again: what is scored was learnt from"
        if across
        else "leave one of each pair out: it counts twice"
    )
    figures = [
        {
            "cubes": [material.places[one.one].cube_id, material.places[one.other].cube_id],
            "equal_pixels": one.pixels,
            "likeness": round(one.likeness, 3),
        }
        for one in found
    ]
    return Finding(
        "error" if across else "warning",
        "copies",
        f"{plural(len(found), 'pair')} of cubes in {where} with {words}, though they lie apart: "
        f"{named(pairs)}",
        advice,
        tuple(sorted(cubes)),
        {"pairs": figures},
    )


def _part(material: Material, split: str) -> str:
    return split if material.rule is None else "folds"
