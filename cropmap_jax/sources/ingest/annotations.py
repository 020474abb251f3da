"""A user's label: its classes as a legend, its values as indices, and its harvest dates."""

import dataclasses
import datetime as dt
import difflib
import hashlib
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo import calendars, legend, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import Period, parse_date
from cropmap_jax.sources.ingest.stacks import Stack

FROM_INPUT = "from_input"
FIELDS = (FROM_INPUT, "components", "none")
_RESERVED = {
    "unknown": "--unknown",
    "none_of_these": "--none_of_these",
    "all": "another name",
}
"""Names that commands and items give to something else, and what such a class needs instead."""


def annotate(
    stack: Stack, legend_flag: str, none_of_these: Sequence[str], unknown: Sequence[str]
) -> tuple[legend.Legend, np.ndarray]:
    """A legend and the label in its indices.

    Args:
      stack: the input.
      legend_flag: "from_input" (the input's class names but those declared otherwise), a built-in
        legend or a JSON file. With class names, values are matched by name; without, label values
        are the legend's codes.
      none_of_these: class names of the input that are known to be none of the legend's.
      unknown: class names of the input about which nothing is known.

    Returns:
      The legend and uint8 [H, W]: class index, NONE_OF_THESE (254) or IGNORE (255).

    Raises:
      ValueError: a flag, class or label value that does not fit; suggests the nearest name.
    """
    given = None if legend_flag == FROM_INPUT else legend.load_legend(legend_flag)
    names, label = stack.class_names, stack.label
    if names is None or label is None:
        for flag, values in (("--none_of_these", none_of_these), ("--unknown", unknown)):
            if values:
                raise ValueError(
                    f"{flag} {values[0]}: expected an input with class_names, found none in "
                    f"{stack.where}; a legend in JSON has 'none_of_these' codes of its own"
                )
        if given is None:
            raise ValueError(
                f"--legend from_input: expected label and class_names in {stack.where}, found "
                f"{'no label' if stack.label is None else 'no class_names'}; expected --legend "
                f"with {', '.join(legend.LEGENDS)} or a JSON file"
            )
        _check_reserved(given, f"--legend {legend_flag}")
        return given, _encode_codes(stack, given)
    slugs = [legend.slug(name) for name in names]
    negative = _match("--none_of_these", none_of_these, names)
    ignored = _match("--unknown", unknown, names)
    if negative & ignored:
        both = names[min(negative & ignored)]
        raise ValueError(f"--unknown {both}: is in --none_of_these too; expected one of them")
    own = given is None
    used = set(range(len(slugs))) if own else set(np.unique(label.compressed()).tolist())
    _check_distinct(stack.where, names, slugs, used - negative - ignored)
    if given is None:
        given = _own_legend(stack.where, names, negative | ignored)
    _check_reserved(given, f"{stack.where}: class_names" if own else f"--legend {legend_flag}")
    titles = {legend.slug(c.title): i for i, c in enumerate(given.classes)}
    known = {s: i for s, i in (titles | _positions(given)).items() if s in slugs}
    held = [names[i] for i in sorted(negative) if slugs[i] in known]
    if held:
        raise ValueError(
            f"--none_of_these {held[0]}: expected a class that legend {given.name!r} does not "
            f"hold, found one of its own (--unknown leaves its pixels out)"
        )
    table = {i: known[s] for i, s in enumerate(slugs) if s in known}
    table |= dict.fromkeys(negative, NONE_OF_THESE) | dict.fromkeys(ignored, IGNORE)
    return given, _encode_names(stack.where, names, label, table, given)


def _positions(given: legend.Legend) -> dict[str, int]:
    return {name: i for i, name in enumerate(given.names)}


def _check_distinct(where: str, names: Sequence[str], slugs: Sequence[str], used: set[int]) -> None:
    """Requires that no two classes of the input come to one name.

    Raises:
      ValueError: names both classes.
    """
    seen: dict[str, int] = {}
    for i in sorted(used):
        if not 0 <= i < len(slugs) or not slugs[i]:
            continue
        other = seen.setdefault(slugs[i], i)
        if other != i:
            raise ValueError(
                f"{where}: class_names: expected different names, found {names[other]!r} "
                f"({other}) and {names[i]!r} ({i}), both of which get the id {slugs[i]}; rename "
                f"one of them"
            )


def _check_reserved(given: legend.Legend, where: str) -> None:
    """Refuses classes with a name that stands for pixels without a class.

    Raises:
      ValueError: names the class and the flag that expresses it.
    """
    for one in given.classes:
        if one.name in _RESERVED:
            raise ValueError(
                f"{where}: found a class {one.title!r} (value {one.code}), whose name "
                f"{one.name} is reserved; expected {_RESERVED[one.name]} for it, or "
                f"another name"
            )


def _match(flag: str, values: Sequence[str], class_names: Sequence[str]) -> set[int]:
    """Indices of class names; one value may be a comma list."""
    slugs = [legend.slug(name) for name in class_names]
    words = []
    for value in values:
        words += [value] if legend.slug(value) in slugs else value.split(",")
    for word in words:
        if legend.slug(word) not in slugs:
            names = [name.casefold() for name in class_names]
            near = difflib.get_close_matches(word.strip().casefold(), names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{flag} {word.strip()}: no class of the input; {hint}expected one of "
                f"{', '.join(class_names)}"
            )
    wanted = {legend.slug(word) for word in words}
    return {i for i, name in enumerate(slugs) if name in wanted}


def _own_legend(where: str, names: Sequence[str], left_out: set[int]) -> legend.Legend:
    rows = [(i, name) for i, name in enumerate(names) if i not in left_out]
    if not rows:
        raise ValueError(
            f"{where}: expected a class to map, found all of class_names "
            f"({', '.join(names)}) in --none_of_these or --unknown"
        )
    # The name follows from the classes, so that rasters of the same classes share a legend.
    digest = hashlib.sha256("\n".join(legend.slug(name) for _, name in rows).encode()).hexdigest()
    try:
        classes = tuple(legend.make_class(j, i, name) for j, (i, name) in enumerate(rows))
        return legend.Legend(f"classes_{digest[:8]}", classes)
    except ValueError as error:
        raise ValueError(f"{where}: class_names: {error}") from error


def _encode_names(
    where: str,
    names: Sequence[str],
    label: np.ma.MaskedArray,
    table: dict[int, int],
    given: legend.Legend,
) -> np.ndarray:
    """The label in indices of the legend; `table` maps positions in `names` to them."""
    values = label.data
    out = np.full(values.shape, IGNORE, np.uint8)
    sentinels = {NONE_OF_THESE: "none of these", IGNORE: "unknown"}
    for value in np.unique(label.compressed()).tolist():
        named = 0 <= value < len(names)
        if value in sentinels and named:
            raise ValueError(
                f"{where}: label: found value {value}, which is class "
                f"{names[value]!r} of class_names and also means "
                f"{sentinels[value]}; expected classes in 0..{NONE_OF_THESE - 1}: leave out names "
                f"without pixels, or use codes of a --legend JSON file"
            )
        if value in sentinels:
            out[values == value] = value
            continue
        if not named:
            raise ValueError(
                f"{where}: label: found value {value}, which has no name; class_names holds "
                f"0..{len(names) - 1}, 254 is none of these, 255 is unknown (write 255 "
                f"where {value} stands for no data)"
            )
        if value not in table:
            name = names[value]
            near = difflib.get_close_matches(legend.slug(name), given.names, n=1, cutoff=0.6)
            hint = f" (nearest: {near[0]})" if near else ""
            raise ValueError(
                f"{where}: found pixels of class {name!r}, which legend {given.name!r} does "
                f"not hold{hint}; expected it there, or in --none_of_these or --unknown"
            )
        out[values == value] = table[value]
    out[np.ma.getmaskarray(label)] = IGNORE
    return out


def _encode_codes(stack: Stack, given: legend.Legend) -> np.ndarray:
    if stack.label is None:
        return np.full(stack.geobox.shape, IGNORE, np.uint8)
    _check_nodata(stack, stack.label, given)
    meant = {c.code for c in given.classes} | set(given.none_of_these)
    extra = () if NONE_OF_THESE in meant else (NONE_OF_THESE,)
    reading = dataclasses.replace(given, none_of_these=given.none_of_these + extra)
    missing = () if IGNORE in meant else (IGNORE,)
    try:
        return np.asarray(reading.encode(stack.label, f"{stack.where}: label", missing))
    except ValueError as error:
        raise ValueError(
            f"{error}; a value that stands for no data is declared as such (gdal_edit.py -a_nodata)"
        ) from error


def _check_nodata(stack: Stack, label: np.ma.MaskedArray, given: legend.Legend) -> None:
    """Requires that the label's declared no-data is no class, where it hides pixels.

    Raises:
      ValueError: names the value, the class and how many pixels are hidden.
    """
    hidden = label.data[np.ma.getmaskarray(label)]
    names = {c.code: f"class {c.title!r}" for c in given.classes}
    names |= dict.fromkeys(given.none_of_these, "none of these")
    for code, name in names.items():
        count = int((hidden == code).sum())
        if count:
            raise ValueError(
                f"{stack.where}: label: {count} pixels of {code} are {name} of legend "
                f"{given.name!r}, and missing by the raster's declared no-data value "
                f"({stack.label_nodata}); expected another one (gdal_edit.py -unsetnodata, or "
                f"-a_nodata 255), or no such code in the legend"
            )


def sentinel_notes(stack: Stack, given: legend.Legend) -> list[str]:
    """Codes of the legend that elsewhere mean none of these or unknown, and what they mean here."""
    if stack.label is None or stack.class_names is not None:
        return []
    usual = {NONE_OF_THESE: "none of these", IGNORE: "unknown"}
    names = {c.code: f"class {c.title!r}" for c in given.classes}
    names |= {code: "none of these" for code in given.none_of_these if code == IGNORE}
    return [
        f"label: {code} is {names[code]} here, as legend {given.name!r} says, and not {word}"
        for code, word in usual.items()
        if code in names and (stack.label.compressed() == code).any()
    ]


def choose_fields(stack: Stack, label: np.ndarray, flag: str | None) -> np.ndarray | None:
    """Field ids as `--fields` chooses: from_input, components of the label, or none.

    Without the flag they are the input's, else components.

    Raises:
      ValueError: an unknown choice, or from_input where the input has no fields.
    """
    if flag is not None and flag not in FIELDS:
        raise ValueError(f"--fields: expected {', '.join(FIELDS)}, found {flag!r}")
    if flag == FROM_INPUT and stack.fields is None:
        raise ValueError(f"--fields from_input: expected fields in {stack.where}, found none")
    if flag == "none" or (stack.fields is None and stack.label is None):
        return None
    if flag == "components" or stack.fields is None:
        return splits.connected_fields(label)
    return stack.fields


def parse_harvest(
    words: Sequence[str], classes: legend.Legend, spans: Sequence[Period]
) -> dict[str, tuple[calendars.Season, ...]]:
    """Reads `--harvest crop=DATE` and `crop=PLANTING:HARVEST`; `*` stands for every crop.

    Raises:
      ValueError: another form, a crop that the legend lacks, or a date far from the periods.
    """
    out: dict[str, tuple[calendars.Season, ...]] = {}
    for word in (w.strip() for text in words for w in text.split(",") if w.strip()):
        where = f"--harvest {word}"
        crop, equals, dates = word.partition("=")
        if not equals:
            raise ValueError(f"{where}: expected crop=DATE or crop=PLANTING:HARVEST")
        if crop.strip() != calendars.ANY_CROP:
            try:
                crop = classes.names[classes.index(crop.strip())]
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        planting, colon, harvest = dates.rpartition(":")
        try:
            season = calendars.Season(
                harvest_start=parse_date(harvest, where),
                planting=parse_date(planting, where) if colon else None,
            )
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error
        first, last = spans[0].end, spans[-1].end + dt.timedelta(days=366)
        if not first <= season.harvest_start <= last:
            raise ValueError(
                f"{where}: expected a date from {first} (the end of the first period) to {last}"
            )
        out[crop.strip()] = (*out.get(crop.strip(), ()), season)
    return out
