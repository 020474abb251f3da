"""Options of the pixels: masks, radar collection, labels. Checked when made."""

import dataclasses
import numbers
from typing import Any

from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.sources import sentinel1
from cropmap_jax.sources.cube_keys import digest
from cropmap_jax.sources.earthengine import service

__all__ = ["LabelOptions", "Options", "S1Options", "S2Options", "digest"]

DIRECTIONS = ("auto", "ascending", "descending")
LABEL_KINDS = ("eucropmap", "tiles", "none")
LANDCOVERS = (WORLDCOVER.name,)


@dataclasses.dataclass(frozen=True)
class S2Options:
    """How Sentinel-2 composites are made.

    Args:
      mask: "cloud_score" (Cloud Score+, `cs_cdf`) or "scl" (the scene classification).
      threshold: least `cs_cdf` of a clear pixel, 0 to 1; unused with "scl".
      scl_masked: classes of `service.SCL_CLASSES` that are not clear; unused with "cloud_score".
        Kept sorted, so that equal choices are equal options.
      max_cloud: scenes with a higher `CLOUDY_PIXEL_PERCENTAGE` are left out; 100 keeps all.
      count: whether the clear observations behind each composite are counted: one more band.

    Raises:
      ValueError: a value outside these.
    """

    mask: str = "cloud_score"
    threshold: float = service.CLOUD_SCORE_THRESHOLD
    scl_masked: tuple[int, ...] = service.SCL_MASKED
    max_cloud: float = 100
    count: bool = True

    def __post_init__(self) -> None:
        _one_of("s2.mask", self.mask, ("cloud_score", "scl"))
        _between("s2.threshold", self.threshold, 0, 1)
        _between("s2.max_cloud", self.max_cloud, 0, 100)
        if not isinstance(self.count, bool):
            raise ValueError(f"s2.count: expected True or False, found {self.count!r}")
        if not self.scl_masked or isinstance(self.scl_masked, (str, numbers.Number)):
            raise ValueError(
                f"s2.scl_masked: expected at least one class of 0..11, found {self.scl_masked!r}"
            )
        for value in self.scl_masked:
            _one_of("s2.scl_masked", value, tuple(service.SCL_CLASSES))
        object.__setattr__(self, "scl_masked", tuple(sorted({int(v) for v in self.scl_masked})))


@dataclasses.dataclass(frozen=True)
class S1Options:
    """How Sentinel-1 composites are made.

    Args:
      collection: `service.S1_DB` or `service.S1_LINEAR`.
      direction: pass direction of a cube's orbits, "ascending" or "descending"; "auto" takes the
        one with the most complete periods, cube by cube.
      border_db: dB; an observation with VV or VH below it is border noise and left out.
      platforms: satellites, such as "S1A", of which all images are used, calibrated or not; () for
        all of them, each on dates on which its images are calibrated (`sentinel1.PLATFORMS`).
        Kept sorted.

    Raises:
      ValueError: a value outside these.
    """

    collection: str = service.S1_DB
    direction: str = "auto"
    border_db: float = -30.0
    platforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("s1.collection", self.collection, tuple(service.S1_COLLECTIONS))
        _one_of("s1.direction", self.direction, DIRECTIONS)
        _between("s1.border_db", self.border_db, -100, 0)
        names = sentinel1.names_of(self.platforms, "s1.platforms")
        object.__setattr__(self, "platforms", names)


@dataclasses.dataclass(frozen=True)
class LabelOptions:
    """Where labels come from.

    Args:
      kind: "eucropmap", "tiles" (rasters that `experiments.prepare` wrote) or "none".
      year: one of `service.EUCROPMAP_YEARS`; unused, and not checked, with the other kinds.
      landcover: "worldcover" (ESA WorldCover v200): a land-cover map comes with the label; "" none.

    Raises:
      ValueError: another kind, year or map.
    """

    kind: str = "eucropmap"
    year: int = service.EUCROPMAP_YEARS[0]
    landcover: str = ""

    def __post_init__(self) -> None:
        _one_of("label.kind", self.kind, LABEL_KINDS)
        if self.kind == "eucropmap":
            _one_of("label.year", self.year, service.EUCROPMAP_YEARS)
        if self.landcover != "":
            _one_of("label.landcover", self.landcover, LANDCOVERS)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the pixels of an export."""

    s1: S1Options = dataclasses.field(default_factory=S1Options)
    s2: S2Options = dataclasses.field(default_factory=S2Options)
    label: LabelOptions = dataclasses.field(default_factory=LabelOptions)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, keys sorted; options that do not change a pixel are left out.

        The threshold of a mask that is not used, say, must not make finished pixels look old.
        """
        s2: dict[str, Any] = {
            "count": self.s2.count,
            "mask": self.s2.mask,
            "max_cloud": float(self.s2.max_cloud),
        }
        if self.s2.mask == "scl":
            s2["scl_masked"] = list(self.s2.scl_masked)
        else:
            s2["threshold"] = float(self.s2.threshold)
        s1 = {
            "border_db": float(self.s1.border_db),
            "collection": self.s1.collection,
            "direction": self.s1.direction,
            "platforms": list(self.s1.platforms) or "calibrated",
        }
        label: dict[str, str | int] = {"kind": self.label.kind}
        if self.label.kind == "eucropmap":
            label["year"] = int(self.label.year)
        if self.label.landcover:  # else the same as before there was any
            label["landcover"] = self.label.landcover
        return {"label": label, "s1": s1, "s2": dict(sorted(s2.items()))}


def _one_of(where: str, value: object, allowed: tuple[object, ...]) -> None:
    # A bool equals 0 or 1 and a list cannot be looked up in a set: neither is ever meant.
    if isinstance(value, bool) or value not in allowed:
        raise ValueError(
            f"{where}: expected one of {', '.join(str(v) for v in allowed)}, found {value!r}"
        )


def _between(where: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # NaN is in no range.
        raise ValueError(f"{where}: expected {low} to {high}, found {value!r}")
