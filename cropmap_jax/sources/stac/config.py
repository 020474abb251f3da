"""Reads a config of `experiments.fetch`."""

import dataclasses
import datetime as dt
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import LEGENDS, load_legend
from cropmap_jax.sources import sentinel1, target_config
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.targets import Target
from cropmap_jax.sources.timing import Archive, check_dates

KINDS = ("tiles", "regions", "cubes")
BEGINS = {
    options_lib.RADAR.name: dt.date(2014, 10, 3),
    options_lib.OPTICAL.name: dt.date(2015, 7, 4),
}
"""First days of Sentinel-1's and of Sentinel-2's images in any catalogue.

Sources: as in `sentinel1.PLATFORMS`; the extent of Planetary Computer's sentinel-2-l2a, whose
Level-2A of the first years was made by its own processing.
"""
_OPTIONS = {
    "s1": options_lib.S1Options,
    "s2": options_lib.S2Options,
    "label": options_lib.LabelOptions,
}


def read_config(config: Mapping[str, Any]) -> tuple[list[Target], options_lib.Options]:
    """What to fetch and of what, from a config (`ConfigDict.to_dict()`).

    Raises:
      ValueError: names the key, what was found and what was expected.
    """
    kind = target_config.check_kind(config, KINDS)
    own = {**target_config.OWN, "cubes": ("cubes",)}
    known = ("kind", "catalogue", *target_config.TIMING, *_OPTIONS, *own[kind])
    others = {key for keys in own.values() for key in keys} - set(own[kind])
    # Of other kinds a config may hold keys without a value.
    value = {key: v for key, v in config.items() if key not in others or v not in ("", {}, ())}
    target_config.check_keys(value, known, "config")
    for name in ("s1", "s2"):
        table = value.get(name, {})
        if isinstance(table, Mapping):
            # One catalogue for both sensors, unless a sensor has its own.
            value[name] = {
                **table,
                "catalogue": table.get("catalogue") or config.get("catalogue", ""),
            }
    options: options_lib.Options = target_config.read_options(value, _OPTIONS, options_lib.Options)
    if not options.sensors:
        raise ValueError("config.s1.collection, config.s2.collection: expected one, found none")
    archive = Archive(
        "the catalogue", {sensor.name: BEGINS[sensor.name] for sensor in options.sensors}
    )
    if kind == "cubes":
        found = targets_of_cubes(files.local("config.cubes", value.get("cubes", "")), archive)
    else:
        timing = target_config.read_timing(value)
        found = target_config.read_targets(value, timing, archive, None)
    if options.label.kind == "tiles":
        for target in found:
            if target.label_file is None:
                raise ValueError(
                    f"config.label.kind: expected 'map' or 'none' for {kind}, which bring no "
                    f"labels, found 'tiles'"
                )
    found = _with_legend(found, kind, options.label)
    if options.s1.collection:
        for spans in {target.periods for target in found}:
            sentinel1.usable(options.s1.platforms, spans)
    return found, options


def _with_legend(found: list[Target], kind: str, label: options_lib.LabelOptions) -> list[Target]:
    """Targets with the legend of the map that their labels come from.

    Regions have none of their own; tiles and cubes do, and then it must be the same.
    """
    if label.kind == "tiles":
        return found
    known = load_legend(label.legend)
    if kind == "regions":
        return [dataclasses.replace(target, legend=known) for target in found]
    for target in found:
        if label.kind == "map" and target.legend != known:
            raise ValueError(
                f"config.label.legend: expected the legend {target.legend.name!r} of {kind}, or "
                f"kind 'tiles' or 'none', found a map of {known.name!r}"
            )
    return found


def targets_of_cubes(folder: pathlib.Path, archive: Archive) -> list[Target]:
    """The ground, periods and labels of cubes that are there, for pixels of another source.

    Args:
      folder: of cubes.
      archive: where the pixels come from.

    Raises:
      ValueError: no cubes, or ones that are damaged.
    """
    infos = cube_io.list_cubes(folder)
    if not infos:
        raise ValueError(f"config.cubes {folder}: expected cubes, found none")
    out = []
    for info in infos:
        check_dates(info.periods, archive, f"{info.folder}")
        out.append(Target(
            cube_id=info.cube_id,
            geobox=info.geobox,
            periods=info.periods,
            season=info.season,
            block=info.block,
            split=info.split,
            province=info.province,
            harvest=info.harvest,
            legend=info.legend,
            label_file=info.folder / "label.tif",
            fields_file=info.folder / "fields.tif" if info.has_fields else None,
        ))  # fmt: skip
    return out


def inputs_of(
    found: list[Target], options: options_lib.Options, config: Mapping[str, Any]
) -> dict[str, str]:
    """What is read from this machine: {how it was given: path}, for `geo.files.check_apart`."""
    named = target_config.inputs_of(found, config)
    if config.get("kind") == "cubes":
        named = {"config.cubes": str(config.get("cubes", ""))}
    for name, own in (("s1", options.s1), ("s2", options.s2)):
        if own.collection and os.path.exists(own.catalogue):
            named[f"config.{name}.catalogue"] = own.catalogue
    named["config.label.file"] = options.label.file
    if options.label.legend not in LEGENDS:
        named["config.label.legend"] = options.label.legend
    named["config.label.landcover"] = options.label.landcover
    return named
