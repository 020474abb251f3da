"""Land-cover maps: which of their codes say that none of a legend's crops grows there.

Field teams annotate fields only, so nothing they deliver says what a village looks like. A
land-cover map does, with errors: what it says may train a network as *none of these by map*, but is
never scored and never counts as annotated. A cube keeps the map's codes as they are; `build`
decides which of them are taken for none of these.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.names import one_line, slug

LANDCOVER = "landcover"
"""Name of the raster of codes."""
NO_CODE = 0
"""Code of a pixel that the map says nothing about."""
MOST_EROSION = 100
_LONGEST = 200


@dataclasses.dataclass(frozen=True)
class LandCover:
    """The codes of a land-cover map.

    Args:
      name: identifier.
      classes: (code, name, colour `#rrggbb`) of each class, codes from 1 to 255.
      none_of_these: codes of the classes on which no crop grows.

    Raises:
      ValueError: no classes, repeated codes or names, codes out of range, or one among
        `none_of_these` that no class has.
    """

    name: str
    classes: tuple[tuple[int, str, str], ...]
    none_of_these: tuple[int, ...]

    def __post_init__(self) -> None:
        where = f"land cover {self.name!r}"
        if not self.classes:
            raise ValueError(f"{where}: expected at least one class, found none")
        for i, what in enumerate(("code", "name")):
            values = [one[i] for one in self.classes]
            repeated = sorted({str(v) for v in values if values.count(v) > 1})
            if repeated:
                raise ValueError(f"{where}: {what} {', '.join(repeated)} is repeated")
        for code in self.codes:
            if not 1 <= code <= 255:
                raise ValueError(f"{where}: expected codes from 1 to 255, found {code}")
        self.check(self.none_of_these, f"{where}: none_of_these")

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes of all classes, in order."""
        return tuple(code for code, _, _ in self.classes)

    def check(self, codes: Sequence[int], where: str) -> None:
        """Requires codes that a class has.

        Raises:
          ValueError: begins with `where`; names the code and the classes.
        """
        for code in codes:
            if code not in self.codes:
                expected = ", ".join(f"{code} ({name})" for code, name, _ in self.classes)
                raise ValueError(
                    f"{where}: found code {code}, which land cover {self.name!r} does not hold; "
                    f"expected one of {expected}"
                )

    def check_raster(self, codes: np.ndarray, where: str) -> None:
        """Requires a raster of codes that a class has, or of NO_CODE.

        Raises:
          ValueError: as `check`.
        """
        found = np.unique(codes)
        self.check(found[found != NO_CODE].tolist(), where)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready description that `from_json` reads back."""
        rows = [{"code": code, "name": name, "colour": c} for code, name, c in self.classes]
        return {"name": self.name, "classes": rows, "none_of_these": list(self.none_of_these)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> "LandCover":
        """Reads what `to_json` wrote; `colour` may be left out.

        Raises:
          ValueError: names `where` and the part that is missing or wrong.
        """
        try:
            classes = tuple(_class(row) for row in value["classes"])
            none = value["none_of_these"]
            if not isinstance(none, list):
                raise ValueError(f"expected a list as none_of_these, found {none!r}")
            return cls(_text("name", value["name"]), classes, tuple(_code(c) for c in none))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where}: expected {{'name', 'classes': [{{'code', 'name'}}, ...], "
                f"'none_of_these': [code, ...]}}, found {type(value).__name__} with a problem at "
                f"{error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def _class(row: Mapping[str, Any]) -> tuple[int, str, str]:
    name, colour = slug(_text("the name of a class", row["name"])), row.get("colour") or "#999999"
    if not name:
        raise ValueError(f"expected a name with letters, found {row['name']!r}")
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise ValueError(f"class {name!r}: expected a colour like #a57000, found {colour!r}")
    return _code(row["code"]), name, colour.lower()


def _code(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number as code, found {value!r}")
    return value


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise ValueError(f"expected text of 1 to {_LONGEST} characters as {what}, found {value!r}")
    return one_line(value)


WORLDCOVER = LandCover(
    "worldcover",
    (
        (10, "tree_cover", "#006400"),
        (20, "shrubland", "#ffbb22"),
        (30, "grassland", "#ffff4c"),
        (40, "cropland", "#f096ff"),
        (50, "built_up", "#fa0000"),
        (60, "bare_sparse_vegetation", "#b4b4b4"),
        (70, "snow_and_ice", "#f0f0f0"),
        (80, "permanent_water", "#0064c8"),
        (90, "herbaceous_wetland", "#0096a0"),
        (95, "mangroves", "#00cf75"),
        (100, "moss_and_lichen", "#fae6a0"),
    ),
    none_of_these=(10, 50, 60, 70, 80, 90, 95),
)
"""ESA WorldCover v200, 2021, 10 m. Shrubland and grassland are left open: it takes fallow land and
fodder crops for them.

Source: Zanaga et al. (2022), doi:10.5281/zenodo.7254221, and the product user manual; codes and
colours as in the Earth Engine catalogue entry ESA/WorldCover/v200.
"""

LANDCOVERS = {WORLDCOVER.name: WORLDCOVER}


def load(name_or_file: str, where: str = "land cover") -> LandCover:
    """A built-in table of codes by name, or a user's own from a JSON file.

    Raises:
      ValueError: begins with `where`: neither a built-in name nor a readable file.
    """
    if name_or_file in LANDCOVERS:
        return LANDCOVERS[name_or_file]
    path = pathlib.Path(name_or_file)
    if not path.is_file():
        raise ValueError(
            f"{where} {name_or_file}: found neither a file nor a built-in name; expected one of "
            f"{', '.join(LANDCOVERS)} or a JSON file"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from error
    return LandCover.from_json(value, str(path))


@dataclasses.dataclass(frozen=True)
class Choice:
    """What of land-cover maps is taken for none of the classes.

    Args:
      none_of_these: codes; None: those of each map's own table, () for none.
      erosion: pixels, see `none_by_map`.

    Raises:
      ValueError: an erosion outside of 0 to 100.
    """

    none_of_these: tuple[int, ...] | None = None
    erosion: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.erosion <= MOST_EROSION:
            raise ValueError(
                f"--landcover_erosion: expected 0 to {MOST_EROSION} pixels, found {self.erosion}"
            )

    def codes_of(self, table: LandCover) -> tuple[int, ...]:
        """The codes of a map that are taken for none of the classes.

        Raises:
          ValueError: one that the map does not have.
        """
        if self.none_of_these is None:
            return table.none_of_these
        table.check(self.none_of_these, "--landcover_none")
        return self.none_of_these

    def to_json(self) -> dict[str, Any]:
        """What a dataset records of it, JSON-ready."""
        chosen = None if self.none_of_these is None else list(self.none_of_these)
        return {"none_of_these": chosen, "erosion": self.erosion}


def none_by_map(
    codes: np.ndarray, label: np.ndarray, none_of_these: Sequence[int], erosion: int = 1
) -> np.ndarray:
    """Which pixels are none of the classes, as only a land-cover map says.

    Maps are wrong at the edges of things, where a pixel of 10 m holds two of them: what lies nearer
    than `erosion` pixels to ground with another code, or with none, is left out. What lies outside
    of the raster is taken for more of the same.

    Args:
      codes: uint8 [H, W], of the map.
      label: uint8 [H, W], annotation: it wins over the map.
      none_of_these: codes on which no crop grows; they are alike, trees next to water are no edge.
      erosion: pixels, 0 or more, in all eight directions.

    Returns:
      bool [H, W].
    """
    found: np.ndarray = np.isin(codes, list(none_of_these))
    if erosion:
        side = 2 * erosion + 1
        found = ndimage.binary_erosion(found, np.ones((side, side), bool), border_value=1)
    weak: np.ndarray = found & (label == IGNORE)
    return weak
