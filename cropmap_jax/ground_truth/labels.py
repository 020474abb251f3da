"""Labels and field ids of every tile on its grid; a field of another split is unknown there."""

import collections
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
import rasterio
import rasterio.io
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, files, grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.tiles import Tile
from cropmap_jax.ground_truth import placement, polygons, zones
from cropmap_jax.ground_truth.audit_log import TOO_SMALL, AuditLog
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import NONE, Settings

_FOLDERS = ("labels", "fields")


def label_tiles(
    fields: geopandas.GeoDataFrame,
    tiles: Mapping[str, Sequence[placement.Place]],
    settings: Settings,
    out_dir: str | os.PathLike[str],
    log: AuditLog,
    progress: Callable[..., Iterable[Any]] = lambda iterable, **_: iterable,
    written: files.Written | None = None,
) -> tuple[geopandas.GeoDataFrame, list[Tile]]:
    """Rasterises fields and writes `labels/<tile_id>.tif` and `fields/<tile_id>.tif`.

    A pixel is labelled if its centre lies inside a field, shrunk, or inside a point's disc. It is
    unknown where fields of different crops claim it, and where a field lies that belongs to another
    split. Rasters that an earlier run wrote of other tiles are removed.

    Args:
      fields: the table of fields, with what `tiling.tile_fields` added.
      tiles: {season: tiles}, from there too.
      settings: legend, shrinking and radius of points.
      out_dir: folder to write into, made if absent.
      log: takes fields too small to label a pixel, and counts.
      progress: wraps an iterable, called with `total`, `unit` and `desc`.
      written: the record of the folder; None opens it.

    Returns:
      The table with column pixels (int, labelled pixels of each field); and the tiles that have
      any, sorted by season and place, without province and calendar.

    Raises:
      ValueError: a raster is there that another command wrote.
      OSError: no space or no permission; no raster is left half-written.
    """
    work = _Work(fields, settings, pathlib.Path(out_dir), log)
    for name in _FOLDERS:
        try:
            (work.out / name).mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ValueError(
                f"--out {work.out}: found a file {name}, expected a folder there, or another --out"
            ) from error
        files.tidy(work.out / name)
    todo = [(season, place) for season in sorted(tiles) for place in tiles[season]]
    written = written or files.Written(work.out, "prepare")
    written.claim(*(_path(name, *one) for one in todo for name in _FOLDERS))
    bar = progress(todo, total=len(todo), unit="tile", desc="label")
    try:
        with rasterio.Env():  # set up once: a quarter of the time that a raster takes to write
            found = [work.label(*one) for one in bar]
    finally:
        # Or the bar would be drawn once more, after the error.
        getattr(bar, "close", lambda: None)()
    kept = [tile for tile in found if tile is not None]
    empty = len(found) - len(kept)
    if empty:
        log.counts["tiles without a labelled pixel"] += empty
    if work.cut_fields:
        log.counts["fields cut at a border of splits"] += len(work.cut_fields)
    named = {path for tile in kept for path in (tile.label, tile.fields)}
    for name in written.names() - named:
        if name.partition("/")[0] in _FOLDERS:
            written.remove(name)
    work.note_unlabelled()
    return fields.assign(pixels=work.pixels), kept


class _Work:
    """What labelling a tile needs, and what it adds up."""

    def __init__(
        self, fields: geopandas.GeoDataFrame, settings: Settings, out: pathlib.Path, log: AuditLog
    ) -> None:
        self.fields, self.out, self.log = fields, out, log
        self.legend = settings.classes_of
        self.shrink = settings.shrink_px * grid.PIXEL_M
        zone = fields.epsg.to_numpy()
        known = np.flatnonzero(fields.crop != UNKNOWN)
        self.shapes = np.full(len(fields), None, object)
        # Borders are shrunk because pixels there are mixed and drawing is not exact. The disc of a
        # point has no border: it grows first, by what it will lose.
        radius = settings.point_radius_m + self.shrink
        self.shapes[known] = zones.footprints(fields.iloc[known], zone[known], radius)
        values = {n: i for i, n in enumerate(self.legend.names)} | {NONE: NONE_OF_THESE}
        self.crops = fields.crop.to_numpy(object)
        self.classes = np.array([values.get(c, IGNORE) for c in self.crops], np.uint8)
        self.ids = fields.field.to_numpy(np.uint32)
        self.splits = fields.split.to_numpy(object)
        self.area_ha = fields.area_ha.to_numpy(float)
        self.pixels = np.zeros(len(fields), int)
        self.cut_fields: set[int] = set()
        parts = zones.cut(self.shapes[known], zone[known])
        parts["at"] = known[parts["at"]]
        parts["share"] = parts.area / parts.groupby("at").area.transform("sum")
        parts["season"] = fields.season.to_numpy()[parts["at"]]
        at, share = parts["at"].to_numpy(), parts.share.to_numpy()
        rows = parts.groupby(["season", "epsg", "col", "row"]).indices
        self.parts = {key: (at[own], share[own]) for key, own in rows.items()}
        self.known = known

    def label(self, season: str, place: placement.Place) -> Tile | None:
        """Labels one tile and writes its rasters; None where no pixel is labelled."""
        geobox = grid.tile_geobox(*place[:3])
        at, share = self.parts[(season, *place[:3])]
        claim = (self.shapes[at], self.classes[at], self.ids[at], geobox, self.shrink)
        label, ids, conflict = polygons.claims(*claim)
        if conflict.any():
            self._count_conflicts(at, geobox, conflict)
        self._cut(at[self.splits[at] != place.split], geobox, label, ids)
        known = label != IGNORE
        if not known.any():
            return None
        seen, count = np.unique(ids[known], return_counts=True)
        order = np.argsort(self.ids[at])
        seen = order[np.searchsorted(self.ids[at], seen, sorter=order)]
        self.pixels[at[seen]] += count
        name = grid.tile_id(*place[:3])
        paths = {folder: _path(folder, season, place) for folder in _FOLDERS}
        _write(self.out / paths["labels"], label, geobox, self.legend)
        _write(self.out / paths["fields"], ids, geobox, None)
        return Tile(
            tile_id=f"{season}_{name}",
            geobox=geobox,
            season=season,
            block=place.block,
            split=place.split,
            province="",
            harvest={},
            crops=self._crops(at[seen], share[seen], count),
            unknown_pixels=int((~known).sum()),
            label=paths["labels"],
            fields=paths["fields"],
        )

    def _cut(self, at: np.ndarray, geobox: GeoBox, label: np.ndarray, ids: np.ndarray) -> None:
        """Makes unknown, in place, what belongs to a field at home in another split.

        Even where a field of this split claims the pixel too: ground of the other is in its split.
        """
        if not len(at):
            return
        foreign = polygons.rasterise(self.shapes[at], self.ids[at], geobox, self.shrink)
        lost = (foreign > 0) & (label != IGNORE)
        if lost.any():
            self.log.counts["pixels cut at a border of splits"] += int(lost.sum())
        self.cut_fields |= set(np.unique(foreign[foreign > 0]).tolist())
        label[lost], ids[lost] = IGNORE, 0

    def _count_conflicts(self, at: np.ndarray, geobox: GeoBox, conflict: np.ndarray) -> None:
        """Counts pixels that two crops claim; one that three claim counts for each pair."""
        self.log.counts["pixels claimed by two crops"] += int(conflict.sum())
        claimed = {}
        for value in np.unique(self.classes[at]):
            own = at[self.classes[at] == value]
            ones = np.ones(len(own), np.uint8)
            mask = polygons.rasterise(self.shapes[own], ones, geobox, self.shrink)
            claimed[self.crops[own[0]]] = (mask > 0) & conflict
        for a, b in itertools.combinations(sorted(claimed), 2):
            both = int((claimed[a] & claimed[b]).sum())
            if both:
                self.log.counts[f"conflict {a} / {b}"] += both

    def _crops(
        self, at: np.ndarray, share: np.ndarray, count: np.ndarray
    ) -> dict[str, dict[str, Any]]:
        crops: dict[str, dict[str, Any]] = collections.defaultdict(
            lambda: {"fields": 0, "area_ha": 0.0, "pixels": 0}
        )
        for crop, ha, n in zip(self.crops[at], self.area_ha[at] * share, count, strict=True):
            row = crops[crop]
            row["fields"] += 1
            row["area_ha"] += float(ha)
            row["pixels"] += int(n)
        return {c: crops[c] | {"area_ha": round(crops[c]["area_ha"], 4)} for c in sorted(crops)}

    def note_unlabelled(self) -> None:
        """Notes the fields that labelled no pixel: too small, or others have all of theirs."""
        none = self.known[self.pixels[self.known] == 0]
        zone = self.fields.epsg.to_numpy()[none]
        parts = zones.cut(self.shapes[none], zone)
        some = np.zeros(len(none), bool)
        for i, *key in parts[["at", "epsg", "col", "row"]].to_numpy(int).tolist():
            one = self.shapes[none[[i]]], self.ids[none[[i]]]
            some[i] |= polygons.rasterise(*one, grid.tile_geobox(*key), self.shrink).any()
        if some.any():
            self.log.counts["fields all of whose pixels others claim"] += int(some.sum())
        for field in self.fields.iloc[none[~some]].itertuples():
            detail = f"{field.area_ha * 1e4:.0f} m2"
            self.log.drop(field.layer, field.file, field.row, TOO_SMALL, detail)


def _path(folder: str, season: str, place: placement.Place) -> str:
    return f"{folder}/{season}_{grid.tile_id(*place[:3])}.tif"


@functools.lru_cache(maxsize=128)
def _crs(code: str) -> rasterio.CRS:
    return rasterio.CRS.from_string(code)


def _write(path: pathlib.Path, pixels: np.ndarray, geobox: GeoBox, legend: Legend | None) -> None:
    """Writes a raster of labels (with a legend) or field ids, whole or not at all."""
    height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "dtype": pixels.dtype,
        "count": 1,
        "height": height,
        "width": width,
        # Looked up once: that takes as long as the rest of writing a tile.
        "crs": _crs(str(geobox.crs)),
        "transform": geobox.affine,
        "nodata": 0 if legend is None else IGNORE,
        "compress": "zstd",
        "zstd_level": 3,
    }
    # Encoded in memory: a full disk then raises, instead of leaving a file that GDAL closed
    # without a word.
    with rasterio.io.MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(pixels, 1)
            if legend is None:
                raster.set_band_description(1, "field")
            else:
                raster.set_band_description(1, f"label, legend {legend.name}")
                raster.write_colormap(1, cube_io.colour_table(legend))
        data = bytes(memory.getbuffer())
    with files.replacing(path) as part:
        part.write_bytes(data)
