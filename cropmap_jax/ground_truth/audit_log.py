"""The audit log of a run: what was read, dropped and why, repaired, or is in doubt.

Every module of `ground_truth` logs here instead of printing, so that one report holds it all.
"""

import collections
import dataclasses

# Why a feature was dropped.
EMPTY = "no geometry"
DELETED = "marked as deleted in its file"
NOT_AN_AREA = "neither polygon nor point"
NOT_FINITE = "coordinates outside the Earth"
TOO_LARGE = "larger than a field can be"
REPAIR = "repair changes the area too much"
DUPLICATE = "same ground and crop as another"
OUTSIDE = "outside all provinces"
TOO_SMALL = "no pixel centre inside once shrunk"


@dataclasses.dataclass(frozen=True)
class Drop:
    """One dropped feature.

    Args:
      layer: key of the layer in the config.
      file: path below the source folder.
      row: number of the feature in the file, from 0.
      reason: one of the constants of this module.
      detail: what was found, e.g. "area -43 %".
    """

    layer: str
    file: str
    row: int
    reason: str
    detail: str = ""


@dataclasses.dataclass
class AuditLog:
    """What a run logs.

    Args:
      read: {layer: features in its files}.
      drops: dropped features.
      counts: {what: how many}, e.g. "rings repaired".
      problems: one line each, "file: expected ..., found ...": something was left out.
      doubts: one line each: probably wrong, and used all the same.
      notes: one line each: worth knowing, nothing was left out.
    """

    read: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    drops: list[Drop] = dataclasses.field(default_factory=list)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    problems: list[str] = dataclasses.field(default_factory=list)
    doubts: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def drop(self, layer: str, file: str, row: int, reason: str, detail: str = "") -> None:
        """Logs a dropped feature."""
        self.drops.append(Drop(layer, file, int(row), reason, detail))

    def reasons(self, layer: str) -> dict[str, int]:
        """{reason: dropped features} of a layer, most frequent first."""
        own = collections.Counter(d.reason for d in self.drops if d.layer == layer)
        return dict(own.most_common())
