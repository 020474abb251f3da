"""What the field data hold and how they are read: the config of `experiments.prepare`, checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.geo import splits
from cropmap_jax.geo.legend import EUCROPMAP, ISRC, Legend, make_class
from cropmap_jax.ground_truth import names, typed_config
from cropmap_jax.ground_truth.names import UNKNOWN

NONE = "none_of_these"
"""What a name may stand for besides a class of the legend, and UNKNOWN."""
SYSTEMS = ("gregorian", "jalali")
_MOST_LEAD, _MOST_MONTHS = 1000, 120
COLUMNS = ("province", "planting_start", "planting_end", "harvest_start", "harvest_end")


@dataclasses.dataclass(frozen=True)
class Layer:
    """Files of one kind: polygons or points of a crop in one agricultural year.

    Args:
      files: glob below the source folder; any format that GDAL reads as vectors.
      season: agricultural year, e.g. "1400-1401".
      crop: class of everything in it, NONE or UNKNOWN; or "" if `names` decides.
      name_column: column of free-text names of crops.
      names: {text: class, NONE or UNKNOWN}; names not listed are unknown, and reported. In a
        config also pairs: a ConfigDict takes no text with a dot.
      sheets: calendar sheets of the crop, all of them candidates. For a layer with `names`, those
        of the crop's other layers count.
      sheet_column: column that decides which sheet holds for a field.
      sheet_values: {text: sheet}; other values leave all sheets as candidates.
      crs: coordinate system, where the files do not say.
      encoding: of the attributes, where the files do not say.
    """

    files: str
    season: str
    crop: str = ""
    name_column: str = ""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sheets: tuple[str, ...] = ()
    sheet_column: str = ""
    sheet_values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    crs: str = ""
    encoding: str = ""


@dataclasses.dataclass(frozen=True)
class CropCalendar:
    """Crop calendars: a workbook, with a sheet per crop and kind of season and a row per province.

    Args:
      file: path below the source folder, .xlsx; or "", with `dates` instead.
      system: "gregorian" or "jalali".
      year_start: first day of the agricultural year, "MM-DD" in that system (1 Mehr is 07-01).
      columns: {one of COLUMNS: title in the sheets}.
      dates: {class: (planting start, planting end, harvest start, harvest end)}, days as of
        `seasons.parse_month_day`, the same in every province; or several such rows, for a class
        of several seasons a year.
    """

    file: str = ""
    system: str = "gregorian"
    year_start: str = "10-01"
    columns: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {c: c.replace("_", " ") for c in COLUMNS}
    )
    dates: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Provinces:
    """Polygons of the provinces that calendars speak of.

    Args:
      files: glob below the source folder.
      column: name of the province.
      reach_km: a field outside all of them belongs to the nearest up to this far, and is dropped
        beyond: its coordinates are wrong.
      crs, encoding: where the files do not say.
    """

    files: str
    column: str
    reach_km: float = 5.0
    crs: str = ""
    encoding: str = ""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to prepare field data.

    Args:
      source: folder of the field data.
      legend: a legend's name ("isrc", "eucropmap"), or a new one.
      classes: class names in label order, for a new legend.
      layers: {key: Layer}.
      calendar: CropCalendar, or None: no crop has a harvest date.
      provinces: Provinces, or None: all fields lie in one place.
      shrink_px: a pixel is labelled if its centre lies inside the field shrunk by this much.
      point_radius_m: radius of the disc that a point stands for.
      repair_limit: share of a field's area that repairing its ring may change.
      max_field_ha: larger polygons are dropped: a mistyped coordinate makes them. The largest
        fields measure some 100 km2, and few provinces less than 1,000 km2.
      max_tiles: more of them end the run before anything is written.
      fractions: {split: share of the blocks' annotated area}.
      seed: another seed draws another assignment of blocks.
      lead_days: (least, most) days before harvest that predictions will be requested for.
      num_periods: months of a window.
      strict: whether a problem ends the run before anything is written.
      reviews: an edited file of `experiments.review_labels`, see `reviews`; "" for none. A path
        from `source`, or from the root.
    """

    source: str
    layers: Mapping[str, Layer]
    legend: str = "own"
    classes: tuple[str, ...] = ()
    calendar: CropCalendar | None = None
    provinces: Provinces | None = None
    shrink_px: float = 0.5
    point_radius_m: float = 15.0
    repair_limit: float = 0.10
    max_field_ha: float = 100_000.0
    max_tiles: int = 100_000
    fractions: Mapping[str, float] = dataclasses.field(default_factory=lambda: splits.FRACTIONS)
    seed: int = 0
    lead_days: tuple[int, int] = (30, 60)
    num_periods: int = 6
    strict: bool = False
    reviews: str = ""

    @property
    def classes_of(self) -> Legend:
        """The legend of the labels."""
        return find_legend(self.legend, self.classes)


def find_legend(name: str, classes: tuple[str, ...]) -> Legend:
    """A known legend by its name, or a new one of the given classes, codes from 1."""
    known = {found.name: found for found in (ISRC, EUCROPMAP)}
    if name in known:
        return known[name]
    if not classes:
        raise ValueError(
            f"config.legend: expected one of {', '.join(known)}, or config.classes for a legend of "
            f"one's own, found {name!r} and no classes"
        )
    rows = (make_class(i, i + 1, n) for i, n in enumerate(classes))
    return Legend(name, tuple(rows))


def read(config: Mapping[str, Any]) -> Settings:
    """Settings from a config (`ConfigDict.to_dict()`).

    Raises:
      ValueError: names the key, what was found and what was expected.
    """
    value = dict(config)
    for key in ("layers", *(f"layers.{name}" for name in value.get("layers") or ())):
        one = value["layers"] if key == "layers" else value["layers"][key.partition(".")[2]]
        if one is not None and not isinstance(one, Mapping):
            raise ValueError(f"config.{key}: expected a table, found {one!r}")
    layers = {
        key: typed_config.make(
            Layer, _unpair(layer, f"config.layers.{key}"), f"config.layers.{key}"
        )
        for key, layer in (value.pop("layers", None) or {}).items()
    }
    for key, cls in (("calendar", CropCalendar), ("provinces", Provinces)):
        value[key] = typed_config.make(cls, value[key], f"config.{key}") if value.get(key) else None
    settings = _respell(typed_config.make(Settings, value | {"layers": layers}, "config"))
    check(settings)
    return settings


def _unpair(layer: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A layer whose tables are mappings, also where the config gives pairs.

    Raises:
      ValueError: neither a mapping nor pairs.
    """
    tables = {}
    for name in {"names", "sheet_values"} & set(layer):
        try:
            tables[name] = dict(layer[name])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}.{name}: expected a table {{text: meaning}} or pairs, found "
                             f"{layer[name]!r}") from error  # fmt: skip
    return {**layer, **tables}


def _respell(settings: Settings) -> Settings:
    """Settings whose classes are spelt as in the legend, wherever they were spelt as its titles."""
    table: dict[str, str] = {}
    for one in settings.classes_of.classes:
        table |= {names.key(one.title): one.name, names.key(one.name): one.name}

    def spell(crop: str) -> str:
        return table.get(names.key(crop), crop)

    layers = {
        key: dataclasses.replace(
            layer,
            crop=spell(layer.crop),
            names={text: spell(crop) for text, crop in layer.names.items()},
        )
        for key, layer in settings.layers.items()
    }
    calendar = settings.calendar
    if calendar:
        own = {spell(crop): days for crop, days in calendar.dates.items()}
        calendar = dataclasses.replace(calendar, dates=own)
    return dataclasses.replace(settings, layers=layers, calendar=calendar)


def check(settings: Settings) -> None:
    """Requires settings that agree with each other.

    Raises:
      ValueError: names the key.
    """
    names = settings.classes_of.names
    allowed = (*names, NONE, UNKNOWN)
    if not settings.layers:
        raise ValueError("config.layers: expected a table of files, found none")
    for key, layer in settings.layers.items():
        where = f"config.layers.{key}"
        if bool(layer.crop) == bool(layer.names):
            raise ValueError(f"{where}: expected either 'crop' or 'names', found "
                             f"{'both' if layer.crop else 'neither'}")  # fmt: skip
        if layer.names and not layer.name_column:
            raise ValueError(f"{where}.name_column: expected the column of names, found none")
        for text, crop in ({"crop": layer.crop} if layer.crop else layer.names).items():
            if crop not in allowed:
                raise ValueError(f"{where}: expected one of {', '.join(allowed)} for {text!r}, "
                                 f"found {crop!r}")  # fmt: skip
        if bool(layer.sheet_values) != bool(layer.sheet_column):
            found = "sheet_values" if layer.sheet_values else "sheet_column"
            raise ValueError(
                f"{where}: expected 'sheet_column' and 'sheet_values' together, found only {found}"
            )
        for text, sheet in layer.sheet_values.items():
            if sheet not in layer.sheets:
                raise ValueError(f"{where}.sheet_values: expected one of the layer's sheets "
                                 f"{layer.sheets} for {text!r}, found {sheet!r}")  # fmt: skip
    if settings.calendar:
        check_calendar(settings.calendar, names)
    for key in ("shrink_px", "point_radius_m", "repair_limit"):
        if not getattr(settings, key) >= 0:
            raise ValueError(f"config.{key}: expected 0 or more, found {getattr(settings, key)}")
    for key in ("max_field_ha", "max_tiles"):
        if not getattr(settings, key) > 0:
            raise ValueError(f"config.{key}: expected more than 0, found {getattr(settings, key)}")
    low, high = settings.lead_days
    if not 0 <= low <= high <= _MOST_LEAD:
        raise ValueError(
            f"config.lead_days: expected (least, most) days up to {_MOST_LEAD}, found {low}, {high}"
        )
    if not 1 <= settings.num_periods <= _MOST_MONTHS:
        raise ValueError(
            f"config.num_periods: expected 1 to {_MOST_MONTHS} months, found {settings.num_periods}"
        )
    if settings.seed < 0:
        raise ValueError(f"config.seed: expected 0 or more, found {settings.seed}")
    splits.assign_split("", settings.fractions)


def check_calendar(calendar: CropCalendar, names: tuple[str, ...]) -> None:
    """Requires calendars of known classes, from one place.

    Raises:
      ValueError: names the key.
    """
    where = "config.calendar"
    if calendar.system not in SYSTEMS:
        raise ValueError(f"{where}.system: expected one of {', '.join(SYSTEMS)}, found "
                         f"{calendar.system!r}")  # fmt: skip
    if set(calendar.columns) != set(COLUMNS):
        raise ValueError(f"{where}.columns: expected {', '.join(COLUMNS)}, found "
                         f"{', '.join(calendar.columns)}")  # fmt: skip
    if bool(calendar.file) == bool(calendar.dates):
        raise ValueError(f"{where}: expected either 'file' or 'dates', found "
                         f"{'both' if calendar.file else 'neither'}")  # fmt: skip
    for crop, days in calendar.dates.items():
        if crop not in names:
            raise ValueError(f"{where}.dates: expected a class of {', '.join(names)}, found "
                             f"{crop!r}")  # fmt: skip
        for row in rows_of(days):
            if isinstance(row, str) or len(row) != len(COLUMNS) - 1:
                raise ValueError(f"{where}.dates.{crop}: expected {', '.join(COLUMNS[1:])}, found "
                                 f"{row!r}")  # fmt: skip


def rows_of(dates: Sequence[Any]) -> tuple[Sequence[Any], ...]:
    """Seasons of a class in `CropCalendar.dates`: four days each, of one season or of several."""
    several = not isinstance(dates, str) and any(isinstance(d, list | tuple) for d in dates)
    return tuple(dates) if several else (dates,)
