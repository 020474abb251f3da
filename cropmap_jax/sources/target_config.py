"""From a config to targets: the part of a config that every provider of pixels reads alike."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.geo import files
from cropmap_jax.geo.names import nearest
from cropmap_jax.sources import regions, targets
from cropmap_jax.sources.timing import Archive, Timing

TIMING = ("anchor", "num_periods", "lead_days", "months")
"""Keys of a config that say which periods cubes have."""
OWN = {"regions": ("regions", "fractions", "seed"), "tiles": ("tiles", "crop")}
"""Further keys, by `config.kind`."""


def check_keys(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Requires known keys.

    Raises:
      ValueError: names the first unknown one, and the nearest that is known.
    """
    wrong = sorted(str(key) for key in set(value) - set(known))
    if wrong:
        raise ValueError(
            f"{where}: expected keys among {', '.join(known)}, found {wrong[0]!r}"
            f"{nearest(wrong[0], known)}"
        )


def check_kind(value: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """`config.kind`, one of `kinds`; checks `config.seed` too.

    Raises:
      ValueError: another one.
    """
    kind, seed = value.get("kind", ""), value.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"config.seed: expected a whole number of 0 or more, found {seed!r}")
    if kind not in kinds:
        raise ValueError(f"config.kind: expected one of {', '.join(kinds)}, found {kind!r}")
    return str(kind)


def read_options(value: Mapping[str, Any], makers: Mapping[str, Any], made: Any) -> Any:
    """Options of pixels from a config's tables.

    Args:
      value: the config.
      makers: {name of a table: dataclass that it is read into}.
      made: dataclass of them all.

    Raises:
      ValueError: names the key, what was found and what was expected.
    """
    for name, maker in makers.items():
        if not isinstance(value.get(name, {}), Mapping):
            raise ValueError(f"config.{name}: expected settings, found {value[name]!r}")
        known = [field.name for field in dataclasses.fields(maker)]
        check_keys(value.get(name, {}), known, f"config.{name}")
    try:
        return made(**{k: maker(**plain(value.get(k, {}))) for k, maker in makers.items()})
    except TypeError as error:
        raise ValueError(f"config: {error}") from error


def read_timing(value: Mapping[str, Any]) -> Timing:
    """Which periods cubes have, from a config's keys.

    Raises:
      ValueError: names the key.
    """
    try:
        return Timing(**{key: plain(value[key]) for key in TIMING if key in value})
    except TypeError as error:
        raise ValueError(f"config: {error}") from error


def read_targets(
    value: Mapping[str, Any], timing: Timing, archive: Archive, map_year: int | None
) -> list[targets.Target]:
    """What is to be made, of regions or of the tiles of `prepare`.

    Args:
      value: the config, of `kind` "regions" or "tiles".
      timing: of `read_timing`.
      archive: where the pixels come from.
      map_year: of the map that labels of regions come from; None for none.

    Raises:
      ValueError: as `targets.targets_of_tiles` and `targets.targets_of_regions`.
    """
    if value["kind"] == "tiles":
        if not value.get("tiles"):
            raise ValueError("config.tiles: expected the tiles.geojson of prepare, found none")
        path = files.local("config.tiles", value["tiles"])
        return targets.targets_of_tiles(path, timing, archive, value.get("crop", ""))
    boxes = regions.read_regions(value.get("regions", {}))
    more = {key: value[key] for key in ("fractions", "seed") if key in value}
    return targets.targets_of_regions(boxes, timing, archive, map_year, **more)


def inputs_of(found: Sequence[targets.Target], config: Mapping[str, Any]) -> dict[str, str]:
    """What is read: {how it was given: path}, for `geo.files.check_apart`."""
    named = {"config.tiles": str(config.get("tiles", "")) if config.get("kind") == "tiles" else ""}
    for target in found:
        for file in (target.label_file, target.fields_file):
            if file is not None:
                named[f"{file.parent.name} of config.tiles"] = os.fspath(file.parent)
    return named


def plain(value: Any) -> Any:
    """A config's value with tuples for lists."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
