"""Options of what is fetched: catalogues, assets, masks, radar. Checked when made."""

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from cropmap_jax.geo.landcover import LANDCOVERS
from cropmap_jax.geo.legend import EUCROPMAP
from cropmap_jax.geo.sensors import SENSORS as KNOWN
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources import sentinel1
from cropmap_jax.sources.stac.errors import public

RADAR, OPTICAL = KNOWN["s1"], KNOWN["s2"]
SIGNINGS = ("none", "sas", "bearer", "s3", "public_s3")
"""How assets are asked for: as they are; with a token appended that a service gives (Azure's shared
access signatures); with a token in the header, from the environment; with S3's own keys; without
any, of buckets that are open to all."""
OFFSETS = ("item", "baseline", "date", "always", "none")
BACKSCATTER = ("gamma0_rtc", "sigma0")
UNITS = ("power", "db", "amplitude")
ORBITS = ("first", "mean")
DIRECTIONS = ("auto", "ascending", "descending")
LABEL_KINDS = ("tiles", "map", "none")
OTHERS = ("", "unknown", "none_of_these")
"""What codes of a map that its legend does not hold are taken for; "": they are refused."""
MASKS = ("classes", "score", "probability")
"""What tells clear pixels: a scene classification; a score that is high where it is clear, such as
Cloud Score+; a probability of cloud, such as s2cloudless gives."""
SCL_MASKED = (0, 1, 3, 8, 9, 10, 11)
"""No data, defective, cloud shadow, cloud of medium and high probability, cirrus, snow: as in
`export`."""
MOST_DILATION_PX = 100


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Where scenes are found, and how their files are read.

    Args:
      catalogue: address of a STAC API, or of a static catalogue's catalog.json, or its folder.
      collection: its id; "" where the sensor is not wanted.
      signing: one of `SIGNINGS`.
      token: with "sas", the address that gives a token; with "bearer", the name of the environment
        variable that holds one; with "s3" and "public_s3", the endpoint; else "".
      files: how files are named where `catalogue` is a folder without a catalogue: "auto", names of
        `naming.BUILT_IN` or patterns such as "{platform}_{date}_{tile}_{band}.tif", with commas
        between them; "" where there is a catalogue, or products (SAFE).
      token_hosts: hosts besides the catalogue's own (and, with "sas", besides Azure's Blob Storage)
        that the token is sent to, such as "files.example.org"; items may link to any.
    """

    catalogue: str = ""
    collection: str = ""
    signing: str = "none"
    token: str = ""
    files: str = ""
    token_hosts: tuple[str, ...] = ()

    def _check(self, where: str) -> None:
        for name in ("catalogue", "collection", "token", "files"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(
                    f"{where}.{name}: expected a text, found {getattr(self, name)!r:.100}"
                )
        one_of(f"{where}.signing", self.signing, SIGNINGS)
        if (self.signing == "none") != (self.token == ""):
            raise ValueError(
                f"{where}.token: expected a value with a signing of {', '.join(SIGNINGS[1:])} and "
                f"none without, "
                f"found {'one' if self.token else 'none'} with {self.signing!r}"
            )
        if self.signing == "bearer" and not self.token.isidentifier():
            # Not shown: it may be the token itself.
            raise ValueError(
                f"{where}.token: expected the name of an environment variable that holds the "
                f"token, found something else"
            )
        hosts = self.token_hosts
        if not isinstance(hosts, tuple) or not all(_is_host(one) for one in hosts):
            raise ValueError(
                f"{where}.token_hosts: expected names of hosts such as 'files.example.org', found "
                f"{hosts!r:.100}"
            )


@dataclasses.dataclass(frozen=True)
class S2Options(Catalogue):
    """How Sentinel-2 composites are made.

    Args:
      assets: {band: asset}, e.g. {"B2": "B02"}; of a band without one all is missing.
      scl: asset of the scene classification.
      scl_masked: its classes that are not clear. Kept sorted.
      mask: one of `MASKS`: by the classes of `scl`, or by the numbers of `mask_asset`.
      mask_asset: with "score" or "probability" the asset of one band that holds them.
      clear: with "score" the least number of a clear pixel, with "probability" a clear pixel's is
        below it; in the file's own numbers.
      dilate_px: by how many pixels of the cube masked ground grows, but for that without data.
      scale: of assets whose items name none; None to require one.
      offset: "item" (as the item says), "baseline" (-1000 from processing baseline 04.00 on, for
        catalogues that say nothing), "date" (-1000 of scenes from 25 January 2022 on, where the
        baseline is not known and nothing was reprocessed), "always" (-1000, as of Collection 1) or
        "none" (it was applied).
      max_cloud: scenes with a higher `eo:cloud_cover` are left out; 100 keeps all.
      count: whether the clear observations behind each composite are counted.

    Raises:
      ValueError: a value outside these.
    """

    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scl: str = "SCL"
    scl_masked: tuple[int, ...] = SCL_MASKED
    mask: str = MASKS[0]
    mask_asset: str = ""
    clear: float | None = None
    dilate_px: int = 0
    scale: float | None = None
    offset: str = "item"
    max_cloud: float = 100.0
    count: bool = True

    def __post_init__(self) -> None:
        self._check("s2")
        _check_assets("s2.assets", self.assets, OPTICAL, bool(self.collection))
        one_of("s2.offset", self.offset, OFFSETS)
        if self.scale is not None and not _number(self.scale, 1e-9, 1e9):
            raise ValueError(f"s2.scale: expected a number above 0 or None, found {self.scale!r}")
        if not _number(self.max_cloud, 0, 100):
            raise ValueError(f"s2.max_cloud: expected 0 to 100, found {self.max_cloud!r}")
        if not _number(self.dilate_px, 0, MOST_DILATION_PX) or self.dilate_px % 1:
            raise ValueError(
                f"s2.dilate_px: expected a whole number of 0 to {MOST_DILATION_PX}, found "
                f"{self.dilate_px!r}"
            )
        if not isinstance(self.count, bool):
            raise ValueError(f"s2.count: expected True or False, found {self.count!r}")
        one_of("s2.mask", self.mask, MASKS)
        if (self.mask == MASKS[0]) != (self.mask_asset == ""):
            raise ValueError(
                f"s2.mask_asset: expected an asset with mask 'score' or 'probability' and none "
                f"with 'classes', found {self.mask_asset!r:.100} with {self.mask!r}"
            )
        if (self.mask == MASKS[0]) != (self.clear is None) or not (
            self.clear is None or _number(self.clear, -1e9, 1e9)
        ):
            raise ValueError(
                f"s2.clear: expected a number with mask 'score' or 'probability' and None with "
                f"'classes', found {self.clear!r:.100} with {self.mask!r}"
            )
        classes = self.scl_masked if isinstance(self.scl_masked, (tuple, list)) else ()
        if not classes or not all(_number(c, 0, 11) and c % 1 == 0 for c in classes):
            raise ValueError(
                f"s2.scl_masked: expected classes of 0..11, at least one, found {self.scl_masked!r}"
            )
        object.__setattr__(self, "scl_masked", tuple(sorted({int(c) for c in classes})))

    @property
    def mask_name(self) -> str:
        """The asset that tells clear pixels."""
        return self.mask_asset or self.scl


@dataclasses.dataclass(frozen=True)
class S1Options(Catalogue):
    """How Sentinel-1 composites are made.

    Args:
      assets: {"VV": asset, "VH": asset}.
      backscatter: "gamma0_rtc" or "sigma0": what the collection holds. Never mixed in a folder.
      unit: "power" (linear), "db" or "amplitude" (its square is power).
      direction: pass direction of a cube's orbits; "auto" takes the one with the most complete
        periods, cube by cube.
      orbits: "first": at a pixel the first orbit, in a fixed order, that has data in a period, as
        `export` does; "mean": of all orbits of the direction.
      border_db: dB; an observation with VV or VH below it is left out as border noise. None for
        none: terrain-corrected collections have it removed.
      platforms: satellites, such as "S1A", of which all images are used; () for all of them, each
        on dates on which its images are calibrated. Kept sorted.

    Raises:
      ValueError: a value outside these.
    """

    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    backscatter: str = "gamma0_rtc"
    unit: str = "power"
    direction: str = "auto"
    orbits: str = "first"
    border_db: float | None = None
    platforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check("s1")
        _check_assets("s1.assets", self.assets, RADAR, bool(self.collection))
        one_of("s1.backscatter", self.backscatter, BACKSCATTER)
        one_of("s1.unit", self.unit, UNITS)
        one_of("s1.direction", self.direction, DIRECTIONS)
        one_of("s1.orbits", self.orbits, ORBITS)
        if self.border_db is not None and not _number(self.border_db, -100, 0):
            raise ValueError(f"s1.border_db: expected -100 to 0 or None, found {self.border_db!r}")
        names = sentinel1.names_of(self.platforms, "s1.platforms")
        object.__setattr__(self, "platforms", names)


@dataclasses.dataclass(frozen=True)
class LabelOptions:
    """Where labels come from.

    Args:
      kind: "tiles" (files that come with the targets), "map" (a raster of a legend's codes) or
        "none".
      file: with "map", a GeoTIFF of one band of codes.
      legend: of the map: a built-in one, or a JSON file, see `geo.legend.load_legend`.
      unknown: further codes of the map that say nothing, next to its no-data.
      others: one of `OTHERS`.
      landcover: a GeoTIFF of a land-cover map that comes with the cubes; "" none.
      landcover_table: its table of codes.

    Raises:
      ValueError: another kind, or a file where there is to be none.
    """

    kind: str = "tiles"
    file: str = ""
    legend: str = EUCROPMAP.name
    unknown: tuple[int, ...] = (0,)
    others: str = ""
    landcover: str = ""
    landcover_table: str = "worldcover"

    def __post_init__(self) -> None:
        one_of("label.kind", self.kind, LABEL_KINDS)
        if (self.kind == "map") != bool(self.file):
            raise ValueError(
                f"label.file: expected a GeoTIFF with kind 'map' and none without, found "
                f"{self.file!r} with {self.kind!r}"
            )
        one_of("label.others", self.others, OTHERS)
        codes = self.unknown if isinstance(self.unknown, (tuple, list)) else (None,)
        if not all(_number(code, -(2**31), 2**31 - 1) and code % 1 == 0 for code in codes):
            raise ValueError(f"label.unknown: expected whole codes, found {self.unknown!r:.100}")
        object.__setattr__(self, "unknown", tuple(sorted({int(code) for code in codes})))
        if not isinstance(self.legend, str) or not self.legend:
            raise ValueError(
                f"label.legend: expected eucropmap, isrc or a JSON file, found {self.legend!r:.100}"
            )
        one_of("label.landcover_table", self.landcover_table, tuple(LANDCOVERS))


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the pixels that are fetched."""

    s1: S1Options = dataclasses.field(default_factory=S1Options)
    s2: S2Options = dataclasses.field(default_factory=S2Options)
    label: LabelOptions = dataclasses.field(default_factory=LabelOptions)

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """What cubes hold, in order."""
        both = ((self.s1, RADAR), (self.s2, OPTICAL))
        return tuple(sensor for own, sensor in both if own.collection)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, without what does not change a pixel: how access is granted, and files, of
        which the digests count."""
        # The legend itself is part of every cube.
        label: dict[str, Any] = {"kind": self.label.kind}
        if self.label.kind == "map":
            if self.label.unknown != LabelOptions.unknown:
                label["unknown"] = list(self.label.unknown)
            if self.label.others:
                label["others"] = self.label.others
        out: dict[str, Any] = {"label": label}
        for name, own in (("s1", self.s1), ("s2", self.s2)):
            if own.collection:
                value = dataclasses.asdict(own)
                del value["signing"], value["token"], value["token_hosts"]
                value["catalogue"] = public(own.catalogue)
                value["assets"] = dict(sorted(value["assets"].items()))
                # Settings that came later are not named where they are not used: cubes of before
                # are still what is requested.
                value = {k: v for k, v in value.items() if k not in _LATER or v not in ("", None)}
                if value.get("mask") == MASKS[0]:
                    del value["mask"]
                out[name] = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
        if "s1" in out and not self.s1.platforms:
            out["s1"]["platforms"] = "calibrated"
        return out


_LATER = ("mask_asset", "clear", "files")


def _is_host(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9.-]+", value) is not None


def _check_assets(where: str, value: Any, sensor: Sensor, wanted: bool) -> None:
    if not isinstance(value, Mapping) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise ValueError(f"{where}: expected {{band: asset}}, found {value!r:.200}")
    unknown = sorted(set(value) - set(sensor.bands))
    if unknown or (wanted and not value):
        raise ValueError(
            f"{where}: expected assets of {', '.join(sensor.bands)}, found "
            f"{unknown[0] if unknown else 'none'!r}"
        )


def one_of(where: str, value: object, allowed: tuple[str, ...]) -> None:
    """Requires one of some texts.

    Raises:
      ValueError: begins with `where`.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{where}: expected one of {', '.join(allowed)}, found {value!r}")


def _number(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high
