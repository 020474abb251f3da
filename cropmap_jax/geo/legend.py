"""Legends: the one place that ties a label index to a map code, a name and a colour."""

import dataclasses
import difflib
import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cropmap_jax.geo.names import one_line, same_name
from cropmap_jax.geo.names import slug as slug

IGNORE = 255
"""Label value of a pixel about which nothing is known."""
NONE_OF_THESE = 254
"""Label value of a pixel known to be none of the legend's classes (a true negative)."""
WEAK_NONE = 253
"""Label value, in the records of a dataset alone, of an unknown pixel that a land-cover map says is
none of the classes. Whoever reads a label sees IGNORE there; see `data.examples.Source.weak`."""
MAX_CLASSES = 254
_LONGEST = 200


@dataclasses.dataclass(frozen=True)
class LegendClass:
    """One class: its code in the source map, name, title and colour `#rrggbb`."""

    code: int
    name: str
    title: str
    colour: str


@dataclasses.dataclass(frozen=True)
class Legend:
    """An ordered list of classes; the position of a class is its label index.

    Args:
      name: identifier, compared when cubes, datasets and checkpoints meet.
      classes: at most 254 classes with unique codes and names.
      none_of_these: source codes that mean "known to be none of the classes" (label 254).

    Raises:
      ValueError: no classes, too many, or repeated codes or names.
    """

    name: str
    classes: tuple[LegendClass, ...]
    none_of_these: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"legend {self.name!r}: expected 1 to {MAX_CLASSES} classes, "
                f"found {len(self.classes)}"
            )
        for what in ("code", "name"):
            values = [getattr(c, what) for c in self.classes]
            repeated = sorted({str(v) for v in values if values.count(v) > 1})
            if repeated:
                raise ValueError(f"legend {self.name!r}: {what} {', '.join(repeated)} is repeated")
        both = {c.code for c in self.classes} & set(self.none_of_these)
        if both:
            raise ValueError(
                f"legend {self.name!r}: code {both.pop()} is a class and none of these"
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(c.name for c in self.classes)

    def index(self, name: str) -> int:
        """Label index of the class called `name`, or whose title that is.

        Raises:
          ValueError: unknown name, or a title that several classes have; the message suggests the
            nearest name.
        """
        if name in self.names:
            return self.names.index(name)
        titled = [i for i, c in enumerate(self.classes) if same_name(c.title, name)]
        if len(titled) > 1:
            raise ValueError(
                f"crop {name!r} is the title of several classes of legend {self.name!r}: expected "
                f"one of {', '.join(self.names[i] for i in titled)}"
            )
        if titled or slug(name) in self.names:
            return titled[0] if titled else self.names.index(slug(name))
        known = [*self.names, *(c.title for c in self.classes if not c.title.isascii())]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        expected = ", ".join(
            c.name if c.title.isascii() else f"{c.name} ({c.title})" for c in self.classes
        )
        raise ValueError(
            f"crop {name!r} is not in legend {self.name!r}: {hint}expected one of {expected}"
        )

    def encode(
        self, codes: np.ndarray, where: str = "label", missing: Iterable[int] = ()
    ) -> np.ndarray:
        """Turns a map of source codes into label indices.

        Args:
          codes: integer array of any shape, codes of the source map; a masked array's masked
            pixels become IGNORE.
          where: what to name in an error, e.g. the file.
          missing: further codes that mean "unknown".

        Returns:
          uint8 array of the same shape: class index, NONE_OF_THESE or IGNORE.

        Raises:
          ValueError: a code that the legend does not know.
        """
        mask = np.ma.getmaskarray(codes)
        codes = np.ma.getdata(codes)
        label = np.full(codes.shape, IGNORE, np.uint8)
        known = mask | np.isin(codes, list(missing))
        table = [(c.code, i) for i, c in enumerate(self.classes)]
        for code, index in table + [(code, NONE_OF_THESE) for code in self.none_of_these]:
            hit = (codes == code) & ~known
            label[hit] = index
            known |= hit
        if not known.all():
            found = ", ".join(str(v) for v in np.unique(codes[~known])[:8])
            expected = ", ".join(str(c.code) for c in self.classes)
            raise ValueError(
                f"{where}: found code {found}, which legend {self.name!r} does not hold; "
                f"expected one of {expected}"
            )
        return label

    def describe_ids(self) -> str:
        """The titles of classes whose names hold a digest (see `names.slug`); "" if none does."""
        digest = re.compile(r"(.*_)?[0-9a-f]{8}")
        found = (c for c in self.classes if not c.title.isascii() and digest.fullmatch(c.name))
        return ", ".join(f"{c.name} is {c.title}" for c in found)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready description that `from_json` reads back."""
        return {
            "name": self.name,
            "classes": [dataclasses.asdict(c) for c in self.classes],
            "none_of_these": list(self.none_of_these),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "legend") -> "Legend":
        """Reads what `to_json` wrote; `title` and `colour` may be left out.

        Raises:
          ValueError: names `where` and the part that is missing or wrong.
        """
        try:
            classes = [
                make_class(i, c["code"], c["name"], c.get("title"), c.get("colour"))
                for i, c in enumerate(value["classes"])
            ]
            none_of_these = value.get("none_of_these") or []
            if not isinstance(none_of_these, list):
                raise ValueError(f"expected a list as none_of_these, found {none_of_these!r}")
            none_of_these = tuple(_code(code) for code in none_of_these)
            _check_titles(classes)
            return cls(_text("name", value["name"]), tuple(classes), none_of_these)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"{where}: expected {{'name', 'classes': [{{'code', 'name'}}, ...]}}, "
                f"found {type(value).__name__} with a problem at {error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


# Twenty colours that stay apart in print and for most colour-blind readers: ColorBrewer's
# qualitative "Paired" and "Dark2" sets (colorbrewer2.org, Apache-2.0), yellow before blue
# because maps of crops are read that way.
_PALETTE = (
    "#e6ab02 #1b9e77 #d95f02 #7570b3 #e7298a #66a61e #a6761d #1f78b4 #b2df8a #fb9a99 "
    "#cab2d6 #ffff99 #b15928 #a6cee3 #33a02c #e31a1c #fdbf6f #ff7f00 #6a3d9a #666666"
).split()


def _code(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"expected a whole number as code, found {value!r}")
    if isinstance(value, str):
        value = int(value)
    if value != int(value) or abs(value) >= 2**53:
        raise ValueError(f"expected a whole number as code, found {value!r}")
    return int(value)


def _text(what: str, value: object) -> str:
    if (
        isinstance(value, bool)
        or not isinstance(value, (str, int, float))
        or not str(value).strip()
    ):
        raise ValueError(f"expected text as {what}, found {value!r}")
    return str(value)


def _check_titles(classes: Iterable[LegendClass]) -> None:
    """Names two classes by their titles whose names come out the same."""
    seen: dict[str, LegendClass] = {}
    for one in classes:
        other = seen.setdefault(one.name, one)
        if other is not one:
            raise ValueError(
                f"name {one.name} is repeated: classes {other.code} ({other.title!r}) and "
                f"{one.code} ({one.title!r}) both get it"
            )


def make_class(
    index: int, code: int, name: str, title: str | None = None, colour: str | None = None
) -> LegendClass:
    """A `LegendClass` with defaults: title from the name, colour from a fixed palette.

    Raises:
      ValueError: a code that is no whole number, an empty name, or a colour that is not `#rrggbb`.
    """
    colour = colour or _PALETTE[index % len(_PALETTE)]
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise ValueError(f"legend class {name!r}: expected a colour like #a57000, found {colour!r}")
    if not slug(_text("the name of a legend class", name)):
        raise ValueError(f"legend class {code}: expected a name with letters, found {name!r}")
    if len(str(title or name)) > _LONGEST:
        raise ValueError(
            f"legend class {code}: expected a name and a title of at most {_LONGEST} characters, "
            f"found {str(title or name)[:20]!r}..."
        )
    return LegendClass(_code(code), slug(str(name)), one_line(str(title or name)), colour.lower())


def _eucropmap() -> Legend:
    rows = (
        (211, "common_wheat", "Common wheat", "#a57000"),
        (212, "durum_wheat", "Durum wheat", "#896054"),
        (213, "barley", "Barley", "#e2007c"),
        (214, "rye", "Rye", "#aa007c"),
        (215, "oats", "Oats", "#a05989"),
        (216, "maize", "Maize", "#ffd300"),
        (217, "rice", "Rice", "#00a8e2"),
        (218, "triticale", "Triticale", "#d69ebc"),
        # The catalogue gives 219 and 230 the colours of 218 and 223; these two are ours.
        (219, "other_cereals", "Other cereals", "#b47896"),
        (221, "potatoes", "Potatoes", "#dda50a"),
        (222, "sugar_beet", "Sugar beet", "#a800e2"),
        (223, "other_root_crops", "Other root crops", "#00af49"),
        (230, "other_industrial_crops", "Other non-permanent industrial crops", "#5fd28c"),
        (231, "sunflower", "Sunflower", "#ffff00"),
        (232, "rapeseed", "Rape and turnip rape", "#d1ff00"),
        (233, "soya", "Soya", "#267000"),
        (240, "dry_pulses", "Dry pulses, vegetables and flowers", "#f2a377"),
        (250, "fodder_crops", "Fodder crops (cereals and leguminous)", "#e8bfff"),
        (290, "bare_arable_land", "Bare arable land", "#696969"),
        (300, "woodland_and_shrubland", "Woodland and shrubland", "#93cc93"),
        (500, "grassland", "Grassland", "#e8ffbf"),
    )
    classes = tuple(LegendClass(*row) for row in rows)
    return Legend("eucropmap", classes, none_of_these=(100, 600, 700, 800))


EUCROPMAP = _eucropmap()
"""EUCROPMAP's 21 crop and vegetation classes; its other codes are none of these.

Source: d'Andrimont et al. (2021), doi:10.1016/j.rse.2021.112708; colours from the Earth Engine
catalogue entry JRC/D5/EUCROPMAP/V1.
"""

ISRC = Legend(
    "isrc",
    tuple(
        make_class(i, i, name, title, colour)
        for i, (name, title, colour) in enumerate(
            (
                ("canola", "Canola", "#d1ff00"),
                ("cotton", "Cotton", "#1f78b4"),
                ("lentils", "Lentils", "#b15928"),
                ("maize", "Maize", "#ffd300"),
                ("onion", "Onion", "#cab2d6"),
                ("pea", "Pea", "#33a02c"),
                ("sugarbeet", "Sugar beet", "#a800e2"),
                ("tomato", "Tomato", "#e31a1c"),
            )
        )
    ),
)
"""The eight crops of the Iranian Space Research Center's competition, in its order."""

LEGENDS = {legend.name: legend for legend in (EUCROPMAP, ISRC)}


def load_legend(name_or_file: str) -> Legend:
    """A built-in legend by name, or a user's own from a JSON file.

    Raises:
      ValueError: neither a built-in name nor a readable legend file.
    """
    if name_or_file in LEGENDS:
        return LEGENDS[name_or_file]
    path = pathlib.Path(name_or_file)
    if not path.is_file():
        raise ValueError(
            f"legend {name_or_file!r}: found neither a file nor a built-in name; "
            f"expected one of {', '.join(LEGENDS)} or a JSON file"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from error
    return Legend.from_json(value, where=str(path))
