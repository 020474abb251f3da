"""What a set of cubes gives a dataset: that they belong together, a fingerprint, metadata."""

import hashlib
import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any

from cropmap_jax.data.dataset_files import FORMAT
from cropmap_jax.geo import calendars, cube, cube_io, periods, sensors, splits
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.landcover import Choice
from cropmap_jax.geo.sensors import Sensor


def check(infos: list[cube.CubeInfo]) -> None:
    """Requires cubes that belong together: alike, as `check_alike` says, and no shared ground.

    Raises:
      ValueError: names the two cubes that disagree and how.
    """
    check_alike(infos)
    splits.check_blocks([(info.cube_id, info.block, info.split) for info in infos])
    for season in sorted({info.season for info in infos}):
        own = [info for info in infos if info.season == season]
        found = splits.find_overlap([i.cube_id for i in own], [i.geobox for i in own])
        if found:
            raise ValueError(
                f"cubes {found[0]} and {found[1]} of season {season!r}: expected no shared "
                f"ground, found {found[2]:.0f} m²"
            )


def check_alike(infos: list[cube.CubeInfo]) -> None:
    """Requires cubes of the same legend, sensors, kind of period, size of pixels and backscatter.

    Raises:
      ValueError: names the two cubes that disagree and how.
    """
    first = infos[0]
    for info in infos[1:]:
        if info.legend != first.legend:
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected one legend, found "
                f"{first.legend.name!r} ({', '.join(first.legend.names)}) and "
                f"{info.legend.name!r} ({', '.join(info.legend.names)})"
            )
        if info.sensors != first.sensors:
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected the same sensors, found "
                f"{_list(first.sensors, info.sensors)} and {_list(info.sensors, first.sensors)}"
            )
        kinds = periods.period_kind(first.periods), periods.period_kind(info.periods)
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected periods of one kind, found "
                f"{kinds[0]} and {kinds[1]}"
            )
        sizes = first.geobox.affine.a, info.geobox.affine.a
        if not math.isclose(*sizes, rel_tol=1e-6):
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected one pixel size, found "
                f"{sizes[0]:.10g} m and {sizes[1]:.10g} m; build a dataset of each"
            )
    _check_backscatter(infos)


def _check_backscatter(infos: list[cube.CubeInfo]) -> None:
    seen: dict[str, str] = {}
    for info in infos:
        kind = sensors.backscatter(info.source, info.sensors)
        if kind is not None:
            seen.setdefault(kind, info.cube_id)
    if len(seen) > 1:
        (a, first), (b, second) = list(seen.items())[:2]
        raise ValueError(
            f"cubes {first} and {second}: expected radar backscatter of one kind, found {a} and "
            f"{b}, which differ by 0.6 to 1.6 dB and more on slopes; build a dataset of each"
        )


def backscatter(infos: Iterable[cube.CubeInfo]) -> str | None:
    """What radar pixels of cubes that are alike measure; None where no cube says so."""
    found = (sensors.backscatter(info.source, info.sensors) for info in infos)
    return next((kind for kind in found if kind is not None), None)


def _list(found: tuple[Sensor, ...], other: tuple[Sensor, ...]) -> str:
    """Names of sensors; where the other ones have the same names, what the two tell apart."""
    if [s.name for s in found] != [s.name for s in other]:
        return ", ".join(s.name for s in found)
    return ", ".join(f"{s.name} ({s.describe()})" for s in found if s not in other)


def folder_of(info: cube.CubeInfo) -> pathlib.Path:
    """The folder of a cube on disk.

    Raises:
      ValueError: it is in memory only.
    """
    if info.path is None:
        raise ValueError(f"cube {info.cube_id}: expected a cube on disk, found one in memory")
    return info.path


def fingerprint(
    infos: list[cube.CubeInfo],
    chip: int,
    overlap: int,
    rule: Rule | None = None,
    cover: Choice | None = None,
) -> str:
    """Hash of what a dataset is made from: every item (with its checksums), the cut, the folds.

    Args:
      infos: the cubes, on disk.
      chip: side of a chip in pixels.
      overlap: pixels that neighbouring chips share.
      rule: how annotated ground is divided for cross-validation, None if it is not.
      cover: what land-cover maps are taken for, of cubes that have any.
    """
    digest = hashlib.sha256(f"{FORMAT} {chip} {overlap}{f' {rule}' if rule else ''}".encode())
    if any(info.has_landcover for info in infos):
        digest.update(json.dumps((cover or Choice()).to_json()).encode())
    for info in infos:
        digest.update((folder_of(info) / cube_io.ITEM).read_bytes())
    return digest.hexdigest()


def made_by(infos: list[cube.CubeInfo]) -> list[str]:
    """What made the cubes, in words, each once; cubes that do not say so are left out."""
    said = (info.source.get("made_by", info.source.get("kind")) for info in infos)
    return sorted({one[:200] for one in said if isinstance(one, str) and one.isprintable()})


def metadata(
    infos: list[cube.CubeInfo],
    chip: int,
    overlap: int,
    rule: Rule | None = None,
    cover: Choice | None = None,
) -> dict[str, Any]:
    """The metadata of a dataset of these cubes, JSON-ready; statistics and chips yet empty.

    With folds all chips are in one split, "train", whatever the cubes' own ones are.

    Args:
      infos, chip, overlap, rule, cover: as in `fingerprint`.
    """
    classes = infos[0].legend
    crops = classes.names
    calendar = [info.harvest for info in infos]
    places = [info.place for info in infos]
    seasons = [info.season for info in infos]
    kind = backscatter(infos)
    more: dict[str, Any] = {"backscatter": kind} if kind else {}
    if any(info.has_landcover for info in infos):
        more["landcover"] = (cover or Choice()).to_json()
    return more | {
        "format": FORMAT,
        "fingerprint": fingerprint(infos, chip, overlap, rule, cover),
        "chip": chip,
        "overlap": overlap,
        "period_kind": periods.period_kind(infos[0].periods),
        "legend": classes.to_json(),
        "sensors": [sensor.to_json() for sensor in infos[0].sensors],
        "crops": list(crops),
        "harvest": calendars.harvest_table(calendar, places, seasons, crops).tolist(),
        "planting": calendars.planting_table(calendar, crops).tolist(),
        "cubes": [
            {
                "id": info.cube_id,
                "split": "train" if rule else info.split,
                "block": info.block,
                "season": info.season,
                "province": info.province,
                "crs": str(info.geobox.crs),
                "transform": list(info.geobox.affine)[:6],
                "shape": list(info.shape),
                "periods": periods.to_days(info.periods).tolist(),
            }
            for info in infos
        ],
        "statistics": {},
        "chips": {},
    }
