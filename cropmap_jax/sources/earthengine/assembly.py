"""From pieces to a cube: its pixels, its label, its key and its source."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import cropmap_jax
from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.landcover import LANDCOVER, LANDCOVERS
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.sources import appending, cube_keys, sentinel1, tile_labels, verify
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine import pieces, service
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.targets import Target

MADE_BY = "cropmap_jax.sources.earthengine"


@dataclasses.dataclass(frozen=True)
class Growth:
    """A cube that is there and grows.

    Args:
      old: the cube.
      kept: how many of its periods stay.
      first: {sensor: first period that is fetched}: where radar orbits change, 0.
    """

    old: cube.CubeInfo
    kept: int
    first: Mapping[str, int]

    def read(self) -> cube_io.RawCube:
        """Its pixels.

        Raises:
          ValueError: it is damaged; names the file.
        """
        return appending.read(self.old, "export")


def sensors_of(options: options_lib.Options) -> tuple[str, ...]:
    """What is requested from the service: the sensors, and maps: "label" and "landcover"."""
    labels = (pieces.LABEL,) if options.label.kind == "eucropmap" else ()
    covers = (LANDCOVER,) if options.label.landcover else ()
    return tuple(sensor.name for sensor in service.SENSORS) + labels + covers


def cube_key(target: Target, options: options_lib.Options) -> str:
    """Hex sha256 of all that decides what is in a cube, but for the code that makes the graphs.

    Raises:
      ValueError: files of labels that are missing.
    """
    return cube_keys.digest(
        cube_keys.describe(target)
        | {
            "options": options.to_json(),
            "platforms": sentinel1.to_json(options.s1.platforms, target.periods),
            "files": cube_keys.file_digests(target) if options.label.kind == "tiles" else [],
        }
    )


def what_differs(info: cube.CubeInfo, target: Target, options: options_lib.Options) -> str:
    """What of a cube that is there is not as it is requested now, in words."""
    if info.source.get("made_by") != MADE_BY:
        return "a cube that was not exported from Earth Engine"
    found = verify.differences(info, target)
    there = info.source.get("options", {})
    for part, value in options.to_json().items():
        if there.get(part) != value:
            found.append(f"{part}: {there.get(part)} there, {value} requested")
    rule, was = sentinel1.to_json(options.s1.platforms, target.periods), info.source
    if not found and was.get("platforms") != rule:
        found.append(f"s1.platforms: {was.get('platforms')} there, {rule} requested")
    return "; ".join(found) or "other labels or field ids"


def assemble(
    target: Target,
    parts: Sequence[pieces.Piece],
    manifest: Manifest,
    options: options_lib.Options,
    made_of: Mapping[str, Any],
    key: str,
    growth: Growth | None = None,
) -> cube_io.RawCube:
    """A cube made of the pixels of its pieces, and of those that are there of a cube that grows.

    Args:
      target: what it is to be.
      parts: pieces, whose files are there, that cover all of it once.
      manifest: keeps their files.
      options: where labels come from, and for the source.
      made_of: for the source: digests of the graphs, and facts.
      key: of the cube.
      growth: the cube that is there; None where there is none.

    Raises:
      ValueError: a cube that is there and is damaged; pixels that no piece, or more than one,
        has; a piece's file that is gone; labels that do not fit.
    """
    counted = options.s2.count
    old = growth.read() if growth else None
    first = growth.first if growth else {}
    stacks = {
        s: _stack(appending.rest_of(target, first.get(s, 0)), s, parts, manifest, counted)
        for s in sensors_of(options)
        if old is None or s not in pieces.MAPS
    }
    pixels = {s.name: stacks[s.name][..., : len(s.bands)] for s in service.SENSORS}
    counts = stacks[service.OPTICAL.name][..., -1]
    clear = _counts(counts, target.cube_id) if counted else None
    if old is not None:
        for name, values in pixels.items():
            pixels[name] = appending.joined(old.pixels[name][: first[name]], values)
        if clear is not None and old.clear is not None:
            clear = appending.joined(old.clear[: first[service.OPTICAL.name]], clear)
    fields = None
    if options.label.kind == "eucropmap" and old is not None:
        label = old.label
    elif options.label.kind == "eucropmap":
        codes = stacks[pieces.LABEL][0, :, :, 0]
        label = target.legend.encode(codes, f"{target.cube_id}: label", missing=(pieces.NO_CODE,))
    elif options.label.kind == "tiles":
        label, fields = tile_labels.read_labels(target)
    else:
        label = np.full(tuple(target.geobox.shape), IGNORE, np.uint8)
    cover = None
    if options.label.landcover and old is not None:
        cover = old.landcover
    elif options.label.landcover:
        cover = stacks[LANDCOVER][0, :, :, 0]
        LANDCOVERS[options.label.landcover].check_raster(cover, f"{target.cube_id}: land cover")
        cover = cover.astype(np.uint8)
    info = target.cube_info(
        source=_source(target, options, made_of, key, growth),
        sensors=service.SENSORS,
        has_fields=fields is not None,
        has_clear=counted,
        landcover=LANDCOVERS.get(options.label.landcover),
    )
    return cube_io.RawCube(info, pixels, label, fields, clear, cover)


def _counts(found: np.ndarray, cube_id: str) -> np.ndarray:
    if found.min() < 0:
        raise ValueError(
            f"{cube_id}: expected counts of clear observations of 0 or more, found {found.min()}"
        )
    counts: np.ndarray = np.minimum(found, cube.MOST_CLEAR).astype(np.uint8)
    return counts


def _stack(
    target: Target,
    sensor: str,
    parts: Sequence[pieces.Piece],
    manifest: Manifest,
    counted: bool,
) -> np.ndarray:
    """int16 [periods, H, W, bands] of one sensor; a map has one period and one band."""
    own = [piece for piece in parts if piece.sensor == sensor]
    count = 1 if sensor in pieces.MAPS else len(target.periods)
    height, width = target.geobox.shape
    bands = len(pieces.bands_of(sensor, range(1), counted))
    out = np.zeros((count, height, width, bands), pieces.DTYPE)
    seen = np.zeros((count, height, width), np.uint8)
    for piece in own:
        pixels = manifest.load(piece.key)
        if pixels is None:
            file = manifest.piece_file(piece.key)
            raise ValueError(f"{file}: expected the pixels of {target.cube_id}, found no file")
        at = (slice(piece.first, piece.last + 1), *piece.window)
        shape = (piece.height, piece.width, len(piece.periods), bands)
        out[at] = np.moveaxis(pixels.reshape(shape), 2, 0)
        seen[at] += 1
    if not (seen == 1).all():
        raise ValueError(
            f"{target.cube_id}: {sensor}: expected pieces that cover every pixel once, found "
            f"{int((seen == 0).sum())} pixels without and {int((seen > 1).sum())} with several"
        )
    return out


def _source(
    target: Target,
    options: options_lib.Options,
    made_of: Mapping[str, Any],
    key: str,
    growth: Growth | None,
) -> dict[str, Any]:
    """How the pixels were made, JSON-ready."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    parts = appending.parts_of(growth.old, growth.kept, target, today) if growth else {}
    catalogue = {"s1": options.s1.collection, "s2": service.S2}
    if options.s2.mask == "cloud_score":
        catalogue["s2_mask"] = service.CLOUD_SCORE
    if options.label.kind == "eucropmap":
        catalogue["label"] = service.EUCROPMAP
    if options.label.landcover:
        catalogue[LANDCOVER] = service.WORLDCOVER
    return {
        "made_by": MADE_BY,
        "version": cropmap_jax.__version__,
        "catalogue": catalogue,
        "options": options.to_json(),
        "platforms": sentinel1.to_json(options.s1.platforms, target.periods),
        **made_of,
        # The catalogue changes: scenes are added and reprocessed.
        "exported": today,
        **parts,
        "key": key,
    }
