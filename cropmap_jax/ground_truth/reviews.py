"""What people decided about fields that looked wrong: an edited file, applied before tiling.

The file is what `experiments.review_labels` writes; people edit its columns `action` and
`label_new`, and outlines, in QGIS. Rows that were deleted there change nothing.
"""

import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterable
from typing import Any

import geopandas
import numpy as np
import pyogrio
import shapely

from cropmap_jax.geo import files
from cropmap_jax.geo.text import plain
from cropmap_jax.ground_truth import names, polygons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.coordinates import WORLD
from cropmap_jax.ground_truth.names import UNKNOWN, nearest, normalise
from cropmap_jax.ground_truth.settings import NONE, Settings

LAYER = "fields"
"""Of the GeoPackage."""
KEEP, DROP, RELABEL, RESHAPE = "keep", "drop", "relabel", "reshape"
ACTIONS = (KEEP, DROP, RELABEL, RESHAPE)
"""What `action` may say; empty is `keep`, or `relabel` where `label_new` is filled in."""
COLUMNS = ("field", "label", "action", "label_new")
"""What an edited file must have, next to its geometry."""
_ABROAD = 0.1
"""Share of the smaller outline that two outlines of one field have in common, at least."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """What is to become of a field.

    Args:
      row: of the file, from 0.
      field: its number.
      label: what it was when it was reviewed.
      action: one of ACTIONS.
      label_new: class, NONE or UNKNOWN; "" for no other.
      geometry: in EPSG:4326, as it was reviewed or drawn since.
    """

    row: int
    field: int
    label: str
    action: str
    label_new: str
    geometry: Any


def path_of(settings: Settings) -> pathlib.Path:
    """The edited file: from the source folder, unless its path begins at the root."""
    return pathlib.Path(settings.source) / settings.reviews


def apply(table: geopandas.GeoDataFrame, settings: Settings, log: AuditLog) -> Any:
    """The table of fields as people decided, in `settings.reviews`; as it is without a file.

    Args:
      table: from `layers.read_layers`.
      settings: its `reviews` is the file, or "".
      log: takes how many fields were changed, and how.

    Raises:
      ValueError: names the file, and what of it cannot be: a lost column, an action or a class that
        there is not, a field that no longer exists. Nothing is left out: an edit that is lost would
        be believed to have been made.
    """
    if not settings.reviews:
        return table
    file = path_of(settings)
    edits = read(file, settings.classes_of.names)
    at = {int(number): row for row, number in enumerate(table.field)}
    changed: dict[str, int] = {}
    crops, shapes = table.crop.to_numpy(object).copy(), table.geometry.to_numpy().copy()
    kinds = table.kind.to_numpy(object).copy()
    for edit in edits:
        row = _row(edit, at, table, file)
        if edit.action == KEEP:
            continue
        changed[edit.action] = changed.get(edit.action, 0) + 1
        if edit.action == DROP:
            crops[row] = UNKNOWN
            continue
        crops[row] = edit.label_new or crops[row]
        if edit.action == RESHAPE:
            shapes[row], kinds[row] = _outline(edit, file), "polygon"
    for action, count in sorted(changed.items()):
        log.counts[f"fields reviewed: {action}"] += count
    log.notes.append(f"{file.name}: {len(edits):,d} fields reviewed, {sum(changed.values())} edits")
    areas = np.where(kinds == "polygon", polygons.ground_area_ha(shapes), 0.0)
    return table.assign(
        crop=crops, kind=kinds, area_ha=areas, geometry=geopandas.GeoSeries(shapes, crs=WORLD)
    )


def _row(edit: Edit, at: dict[int, int], table: geopandas.GeoDataFrame, file: pathlib.Path) -> int:
    """The row of the table that an edit is about, which must be the field that was reviewed."""
    where = f"{file}: row {edit.row}, field {edit.field}"
    if edit.field not in at:
        raise ValueError(
            f"{where}: expected a field of config.source, found none of that number; expected the "
            "field data that were reviewed: review them again"
        )
    row = at[edit.field]
    found, own = table.crop.iloc[row], table.geometry.iloc[row]
    if found != edit.label:
        raise ValueError(
            f"{where}: expected label {edit.label!r}, as reviewed, found {found!r} in the source; "
            "expected the field data that were reviewed: review them again"
        )
    if edit.action in (DROP, RELABEL) and not _same_place(edit.geometry, own):
        raise ValueError(
            f"{where}: expected the outline that was reviewed, found field {edit.field} of "
            "config.source elsewhere; review it again, or move outlines with action reshape"
        )
    return row


def _same_place(one: Any, other: Any) -> bool:
    """Whether two outlines share ground; of a point, whether it is inside or at the other."""
    if one is None or one.is_empty:
        return True  # people may take the outlines away; number and label agree
    if min(one.area, other.area) == 0:
        return bool(one.distance(other) < 1e-3)
    shared = shapely.make_valid(one).intersection(shapely.make_valid(other)).area
    return bool(shared >= _ABROAD * min(one.area, other.area))


def _outline(edit: Edit, file: pathlib.Path) -> Any:
    """The polygon that somebody drew."""
    shape = edit.geometry
    if shape is not None and shape.geom_type == "MultiPolygon" and len(shape.geoms) == 1:
        shape = shape.geoms[0]
    if shape is None or shape.geom_type != "Polygon" or not shape.is_valid or shape.is_empty:
        found = (
            "none"
            if shape is None
            else f"{shape.geom_type}{'' if shape.is_valid else ' that crosses itself'}"
        )
        raise ValueError(
            f"{file}: row {edit.row}, field {edit.field}: expected one polygon for action reshape, "
            f"found {found}"
        )
    return shapely.force_2d(shape)


def read(file: pathlib.Path, classes: Iterable[str]) -> list[Edit]:
    """Reads and checks an edited file.

    Raises:
      ValueError: names the file, and the row where one is wrong.
    """
    files.local("config.reviews", file)
    if not file.is_file():
        raise ValueError(f"config.reviews: expected the file of a review, found none at {file}")
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(file)]
        layer = LAYER if LAYER in layers or len(layers) != 1 else layers[0]
        found = geopandas.read_file(file, layer=layer, engine="pyogrio")
    except (RuntimeError, ValueError, OSError, sqlite3.Error) as error:
        raise ValueError(
            f"{file}: expected a review with a layer {LAYER!r}, found none that can be read "
            f"({plain(str(error), 200)})"
        ) from error
    for column in COLUMNS:
        if column not in found.columns:
            raise ValueError(
                f"{file}: expected a column {column!r}, as review_labels wrote it, found "
                f"{', '.join(map(str, found.columns))}{nearest(column, map(str, found.columns))}"
            )
    if len(found) and found.crs is None:
        raise ValueError(f"{file}: expected a coordinate system, found none")
    shapes = found.geometry.to_crs(WORLD).to_numpy()
    known = {names.key(name): name for name in (*classes, NONE, UNKNOWN)}
    edits: dict[int, Edit] = {}
    for row, (field, label, action, new) in enumerate(
        zip(*(found[column] for column in COLUMNS), strict=True)
    ):
        one = _edit(f"{file}: row {row}", row, (field, label, action, new), shapes[row], known)
        if one.field in edits:
            raise ValueError(f"{file}: row {row}: expected each field once, found {field} again")
        edits[one.field] = one
    return list(edits.values())


def _edit(where: str, row: int, cells: tuple[Any, ...], shape: Any, known: dict[str, str]) -> Edit:
    try:
        field = int(cells[0])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected the number of a field, found {cells[0]!r}") from error
    where = f"{where}, field {field}"
    label, action, new = ("" if cell != cell or cell is None else str(cell) for cell in cells[1:])
    action = normalise(action).casefold()
    if action and action not in ACTIONS:
        raise ValueError(
            f"{where}: action: expected {', '.join(ACTIONS)} or none, found {plain(action, 80)!r}"
            f"{nearest(action, ACTIONS)}"
        )
    if normalise(new) and names.key(new) not in known:
        raise ValueError(
            f"{where}: label_new: expected one of {', '.join(known.values())}, found "
            f"{plain(new, 80)!r}{nearest(new, known.values())}"
        )
    new = known[names.key(new)] if normalise(new) else ""
    action = action or (RELABEL if new else KEEP)
    if action == RELABEL and not new:
        raise ValueError(
            f"{where}: label_new: expected the new label for action relabel, found none"
        )
    if action in (KEEP, DROP) and new not in ("", label):
        raise ValueError(f"{where}: expected action relabel with label_new {new!r}, found {action}")
    return Edit(row, field, label, action, new, shape)
