"""From the parcels of a map to the list of those worth a visit: table, CSV and picture."""

import csv
import datetime as dt
import io
import pathlib
import warnings
from typing import Any

import geopandas
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely

from cropmap_jax.geo import files
from cropmap_jax.geo.text import csv_cell
from cropmap_jax.ground_truth.settings import NONE
from cropmap_jax.mapping import field_table, field_votes, metadata, parcels
from cropmap_jax.mapping.parcels import Parcels
from cropmap_jax.review import visits
from cropmap_jax.review.visits import Candidates

COLUMNS = ("visit", "visit_crop", "visit_p", "visit_second", "visit_second_p", "visit_unsure",
           "visit_ha", "visit_days_left", "visit_lon", "visit_lat", "visit_why")  # fmt: skip
_NEAR = 0.1
"""Share of a parcel that a known field covers, from which it is known."""


class MapParcels:
    """What a map says of its parcels.

    Args:
      folder: of the map, made with --fields.

    Attributes:
      parcels: the parcels, with the map's columns.
      names: of the classes and none of these.
      as_of: exclusive date of the map.
      probability: float64 [N, classes + 1], mean over a parcel's pixels; 0 where it has none.
      pixels: int64 [N].
      harvest: int64 [N, classes], days from the as-of date until harvest begins, the earliest of
        the cubes that a parcel lies in; `NO_DATE` where there is none.

    Raises:
      ValueError: names the file that is missing or damaged.
    """

    def __init__(self, folder: pathlib.Path):
        files.local("--map", folder)
        found = [folder / f"fields{suffix}" for suffix in parcels.SUFFIXES]
        file = next((path for path in found if path.is_file()), None)
        if file is None:
            raise ValueError(
                f"--map {folder}: expected a map with fields.gpkg (predict --fields), found none"
            )
        self.parcels: Parcels = parcels.read(file, flag="--map")
        cubes = sorted(path.parent for path in folder.glob(f"*/{metadata.METADATA}"))
        cubes = [cube for cube in cubes if (cube / field_votes.VOTES).is_file()]
        if not cubes:
            raise ValueError(f"--map {folder}: expected maps of cubes with parcels, found none")
        described = [metadata.read_metadata(cube) for cube in cubes]
        classes = list(described[0]["lead_days"])
        self.names = (*classes, NONE)
        self.as_of = dt.date.fromisoformat(described[0]["settings"]["as_of"])
        allowed = [np.array([name not in one["excluded"] for name in classes]) for one in described]
        count = len(self.parcels)
        votes, _, _ = field_votes.merge(zip(cubes, allowed, strict=True), count, len(classes))
        total = np.maximum(votes.sums.sum(1, keepdims=True), 1)
        self.probability, self.pixels = votes.sums / total, votes.pixels
        self.harvest = np.full((count, len(classes)), NO_DATE, np.int64)
        for cube, one in zip(cubes, described, strict=True):
            with np.load(cube / field_votes.VOTES, allow_pickle=False) as stored:
                own = np.unique(stored["parcel"])
            days = self._days(one, classes)
            self.harvest[own] = np.minimum(self.harvest[own], days)

    def _days(self, one: metadata.MapMetadata, classes: list[str]) -> np.ndarray:
        """int64 [classes], days from the as-of date to harvest, in a cube."""
        end = dt.date.fromisoformat(one["window_end"])
        leads = [one["lead_days"][name] for name in classes]
        gap = (self.as_of - end).days
        return np.array([NO_DATE if lead is None else lead - gap for lead in leads], np.int64)

    def days_left(self) -> np.ndarray:
        """float64 [N], until the harvest of a parcel's most probable class; NaN without a date."""
        crop = self.probability[:, :-1].argmax(1)
        days = self.harvest[np.arange(len(crop)), crop]
        return np.where(days == NO_DATE, np.nan, days)


NO_DATE = 10**6
"""Days until a harvest of which no date is known."""


def known(found: MapParcels, file: pathlib.Path) -> np.ndarray:
    """bool [N], parcels that annotated fields cover.

    Raises:
      ValueError: names a file that cannot be read.
    """
    crs = found.parcels.frame.crs
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(file)]
        frames = [geopandas.read_file(file, layer=name, engine="pyogrio") for name in layers]
        shapes = np.concatenate([frame.to_crs(crs).geometry.to_numpy() for frame in frames])
    except (RuntimeError, ValueError, OSError, AttributeError) as error:
        raise ValueError(
            f"--known {file}: expected polygons or points with a CRS, found none that can be read "
            f"({str(error)[:200]})"
        ) from error
    shapes = shapely.make_valid(shapes[~shapely.is_missing(shapes)])
    own = shapely.make_valid(found.parcels.frame.geometry.to_numpy())
    out = np.zeros(len(own), bool)
    tree = shapely.STRtree(shapes)
    at, other = tree.query(own, predicate="intersects")
    for i, j in zip(at.tolist(), other.tolist(), strict=True):
        area = min(shapely.area(own[i]), shapely.area(shapes[j]))
        shared = shapely.area(shapely.intersection(own[i], shapes[j]))
        out[i] |= area == 0 or shared >= _NEAR * area
    return out


def choose(
    found: MapParcels,
    count: int,
    least_days: int,
    least_ha: float,
    annotated: np.ndarray | None = None,
) -> tuple[geopandas.GeoDataFrame, list[str]]:
    """The parcels to visit, and notes on those left out.

    Args:
      found: the map.
      count: how many.
      least_days: a harvest nearer than that is too late for a visit.
      least_ha: smaller parcels are left out.
      annotated: bool [N], parcels that somebody knows already.

    Raises:
      ValueError: no parcel is left.
    """
    days, hectares = found.days_left(), found.parcels.hectares
    left_out = {
        "have no class in the map": found.pixels == 0,
        "are annotated already": annotated if annotated is not None else np.zeros(len(days), bool),
        f"are smaller than {least_ha:g} ha": hectares < least_ha,
        f"are harvested within {least_days} days, or were": days < least_days,
    }
    kept = ~np.logical_or.reduce(list(left_out.values()))
    notes = [
        f"{int(mask.sum())} of {len(days)} parcels {why}: left out"
        for why, mask in left_out.items() if mask.any()
    ]  # fmt: skip
    if not kept.any():
        raise ValueError(f"--map: expected parcels to visit, found none: {'; '.join(notes)}")
    own = np.flatnonzero(kept)
    middles = _middles(found.parcels)
    places = _metres(middles)
    part = Candidates(found.probability[own], hectares[own], days[own], places[own])
    chosen = own[visits.choose(part, count)]
    return _table(found, chosen, days, middles), notes


def _middles(given: Parcels) -> np.ndarray:
    """float64 [N, 2], longitude and latitude of a point within each parcel."""
    return given.placed(pyproj.CRS(4326).to_wkt()).middles


def _metres(lonlat: np.ndarray) -> np.ndarray:
    """float64 [N, 2], places on a plane around their middle, in metres."""
    middle = np.nanmean(lonlat, 0)
    plane = pyproj.CRS.from_proj4(
        f"+proj=aeqd +lon_0={middle[0]:.6f} +lat_0={middle[1]:.6f} +datum=WGS84 +units=m"
    )
    convert = pyproj.Transformer.from_crs(4326, plane, always_xy=True).transform
    return np.stack(convert(*lonlat.T), 1)


def _table(
    found: MapParcels, chosen: np.ndarray, days: np.ndarray, middles: np.ndarray
) -> geopandas.GeoDataFrame:
    unsure = visits.uncertainty(found.probability)
    rows: list[dict[str, Any]] = []
    for rank, i in enumerate(chosen.tolist(), 1):
        order = np.argsort(-found.probability[i])[:2]
        crop, second = (found.names[k] for k in order)
        p, q = (round(float(found.probability[i, k]), 4) for k in order)
        left = None if np.isnan(days[i]) else int(days[i])
        growing = found.names[int(found.probability[i, :-1].argmax())]
        why = f"{crop} {p:.0%} or {second} {q:.0%}, {found.parcels.hectares[i]:.1f} ha"
        why += "" if left is None else f", {left} days to the harvest of {growing}"
        lon, lat = middles[i]
        values: list[Any] = [rank, crop, p, second, q, round(float(unsure[i]), 4)]
        values += [round(float(found.parcels.hectares[i]), 4), left]
        values += [round(float(lon), 6), round(float(lat), 6), why]
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    frame = found.parcels.frame.iloc[chosen].reset_index(drop=True)
    for name in COLUMNS:
        frame[name] = [row[name] for row in rows]
    return frame


def write(folder: pathlib.Path, found: MapParcels, frame: geopandas.GeoDataFrame) -> None:
    """Writes visits.gpkg, visits.csv and visits.png.

    Raises:
      OSError: names the file.
    """
    field_table.write(folder / "visits.gpkg", frame, found.as_of.isoformat())
    text = io.StringIO()
    names = [name for name in frame.columns if name != frame.geometry.name]
    names = [*COLUMNS, *(name for name in names if name not in COLUMNS)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in names])
    for row in frame[names].itertuples(index=False):
        writer.writerow(["" if pd.isna(v) else csv_cell(v) for v in row])
    files.write_bytes(folder / "visits.csv", text.getvalue().encode())
    files.write_bytes(folder / "visits.png", _picture(found, frame))


def _picture(found: MapParcels, frame: geopandas.GeoDataFrame) -> bytes:
    """All parcels by how unsure the map is, and the numbers of those to visit."""
    png = io.BytesIO()
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        fig, ax = plt.subplots(figsize=(9, 8), layout="constrained")
        lonlat = _middles(found.parcels)
        unsure = np.where(found.pixels > 0, visits.uncertainty(found.probability), np.nan)
        there = ~np.isnan(unsure)
        shown = ax.scatter(
            lonlat[there, 0],
            lonlat[there, 1],
            c=unsure[there],
            s=6,
            cmap="cividis",
            vmin=0,
            vmax=1,
        )
        fig.colorbar(shown, ax=ax, shrink=0.7, label="entropy of the parcel's class, 0 to 1")
        ax.scatter(frame.visit_lon, frame.visit_lat, s=110, facecolor="none", edgecolor="#d55e00")
        for row in frame.itertuples():
            ax.annotate(str(row.visit), (row.visit_lon, row.visit_lat), fontsize=8,
                        xytext=(6, 4), textcoords="offset points", color="#d55e00")  # fmt: skip
        ax.set_aspect(1 / max(np.cos(np.radians(np.nanmean(lonlat[:, 1]))), 0.1))
        ax.set_xlabel("longitude, degrees")
        ax.set_ylabel("latitude, degrees")
        ax.set_title(f"{len(frame)} parcels to visit, map as of {found.as_of}")
        fig.savefig(png, format="png", dpi=110)
        plt.close(fig)
    return png.getvalue()


def summary(frame: geopandas.GeoDataFrame) -> str:
    """What a person reads: a line for each parcel."""
    lines = [f"{'visit':>5}  {'longitude':>11}  {'latitude':>10}  why"]
    for row in frame.itertuples():
        lines.append(
            f"{row.visit:5d}  {row.visit_lon:11.5f}  {row.visit_lat:10.5f}  {row.visit_why}"
        )
    return "\n".join(lines)
