"""Keys of cubes that are fetched, and a cube from its pixels."""

import datetime as dt
from typing import Any

import numpy as np

import cropmap_jax
from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.landcover import LANDCOVERS
from cropmap_jax.sources import appending, cube_keys, sentinel1, verify
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.stac import labels
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.survey import Todo
from cropmap_jax.sources.targets import Target

MADE_BY = "cropmap_jax.sources.stac"
_NOTE = "backscatter"


def cube_key(target: Target, options: options_lib.Options) -> str:
    """Hex sha256 of all that decides what is in a cube, but for what the catalogue holds.

    Raises:
      ValueError: files of labels that are missing.
    """
    more: dict[str, Any] = {
        "options": options.to_json(),
        "files": labels.digests(target, options.label),
    }
    if options.s1.collection:
        more["platforms"] = sentinel1.to_json(options.s1.platforms, target.periods)
    return cube_keys.digest(cube_keys.describe(target) | more)


def what_differs(info: cube.CubeInfo, target: Target, options: options_lib.Options) -> str:
    """What of a cube that is there is not as it is requested now, in words."""
    if info.source.get("made_by") != MADE_BY:
        return "a cube that was not fetched from a catalogue"
    found = verify.differences(info, target)
    there, wanted = info.source.get("options", {}), options.to_json()
    for part in sorted({*there, *wanted}):
        if there.get(part) != wanted.get(part):
            found.append(f"{part}: {there.get(part)} there, {wanted.get(part)} requested")
    return "; ".join(found) or "other labels or field ids"


def claim(manifest: Manifest, options: options_lib.Options) -> None:
    """Keeps a folder to one kind of radar backscatter.

    Raises:
      ValueError: cubes in it hold another kind.
    """
    if options.s1.collection:
        there = manifest.noted(_NOTE)
        if there not in (None, options.s1.backscatter):
            raise ValueError(
                f"{manifest.folder.parent}: expected cubes of {options.s1.backscatter} "
                f"(s1.backscatter), found some of {there}: the two are never mixed; fetch into "
                f"another folder"
            )
        manifest.note(_NOTE, options.s1.backscatter)


class Pixels:
    """A cube in the making."""

    def __init__(self, one: Todo, options: options_lib.Options):
        """Holds what is there of a cube that grows; all else is missing.

        Raises:
          ValueError: the cube that is there is damaged.
        """
        shape = (len(one.target.periods), *one.target.geobox.shape)
        self.values = {
            sensor.name: np.full((*shape, len(sensor.bands)), sensor.nodata, sensor.dtype)
            for sensor in options.sensors
        }
        counted = options.s2.count and options.s2.collection
        self.clear = np.zeros(shape, np.uint8) if counted else None
        self.facts: dict[str, Any] = {}
        if one.old is not None and one.kept:
            raw = appending.read(one.old, "fetch")
            for name, values in self.values.items():
                values[: one.kept] = raw.pixels[name][: one.kept]
            if self.clear is not None and raw.clear is not None:
                self.clear[: one.kept] = raw.clear[: one.kept]


def assemble(one: Todo, pixels: Pixels, options: options_lib.Options) -> cube_io.RawCube:
    """A cube made of its pixels, its label and what is known of both.

    Raises:
      ValueError: labels that do not fit; names the file.
    """
    target = one.target
    label, fields = labels.read(target, options.label)
    cover = labels.landcover(target, options.label)
    info = target.cube_info(
        source=_source(one, pixels.facts, options),
        sensors=options.sensors,
        has_fields=fields is not None,
        has_clear=pixels.clear is not None,
        landcover=LANDCOVERS[options.label.landcover_table] if cover is not None else None,
    )
    return cube_io.RawCube(info, pixels.values, label, fields, pixels.clear, cover)


def _source(one: Todo, facts: dict[str, Any], options: options_lib.Options) -> dict[str, Any]:
    """How the pixels were made, JSON-ready."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    out: dict[str, Any] = {
        "made_by": MADE_BY,
        "version": cropmap_jax.__version__,
        "options": options.to_json(),
        "facts": facts,
        # Catalogues change: scenes are added and reprocessed.
        "fetched": today,
        **appending.parts_of(one.old, one.kept, one.target, today),
        "key": one.key,
    }
    if options.s1.collection:
        out["platforms"] = sentinel1.to_json(options.s1.platforms, one.target.periods)
    return out
