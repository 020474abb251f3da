"""What is in a folder of cubes already: what is left as it is, and what stands in the way."""

import os
import pathlib
from collections.abc import Sequence

from cropmap_jax.geo import cube, cube_io, splits
from cropmap_jax.geo.landcover import LANDCOVER

CLEAR = "clear_observations"
"""Key of a cube's source: mean number of clear observations per sensor and period."""
FILL = "fill_values"
"""Key of a cube's source: how many values of each sensor were undeclared fill, by value."""


def list_names(folder: pathlib.Path) -> frozenset[str]:
    """Names of what is in the folder of cubes, but for hidden ones; none where there is none."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(path.name for path in folder.iterdir() if not path.name.startswith("."))


def find_done(
    infos: Sequence[cube.CubeInfo], folder: pathlib.Path, overwrite: bool
) -> frozenset[str]:
    """Ids of cubes that are there and the same.

    Args:
      infos: what the requested cubes will record of themselves.
      folder: of the cubes.
      overwrite: whether cubes of the same id are replaced: none is the same then.

    Raises:
      ValueError: anything else in the way: a cube that was made otherwise, a folder that is no
        cube or holds more than one, ground or a block that another cube has.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--cubes {folder}: expected a folder, found a file")
    names = list_names(folder)
    whole = any((folder / name / cube_io.ITEM).is_file() for name in names)
    there = {info.cube_id: info for info in cube_io.list_cubes(folder)} if whole else {}
    done = set()
    for info in infos:
        target = folder / info.cube_id
        if not os.path.lexists(target):
            continue
        _check_ours(target, there.get(info.cube_id), overwrite)
        if overwrite:
            continue
        changed = _difference(there[info.cube_id], info)
        if changed:
            raise ValueError(
                f"{target}: exists already, made from other input or settings ({changed}); "
                f"expected --overwrite, or another --name"
            )
        done.add(info.cube_id)
    own = {info.cube_id for info in infos}
    _check_neighbours(infos, [i for key, i in there.items() if key not in own], folder)
    return frozenset(done)


def _check_ours(target: pathlib.Path, old: cube.CubeInfo | None, overwrite: bool) -> None:
    """Requires what is in a cube's place to be a cube, with nothing else in it."""
    if target.is_dir() and not target.is_symlink():
        found = sorted(path.name for path in target.iterdir())
        pixels = [sensor.name for sensor in old.sensors] if old else []
        rasters = (*pixels, "label", "fields", cube.CLEAR, LANDCOVER)
        ours = {cube_io.ITEM, *(f"{name}.tif" for name in rasters)}
        strange = [name for name in found if name not in ours]
        if cube_io.ITEM in found and not (strange and overwrite):
            return
        what = (
            strange[0] if strange and cube_io.ITEM in found else ", ".join(found[:5]) or "nothing"
        )
    else:
        what = "a link" if target.is_symlink() else "a file"
    raise ValueError(
        f"--cubes {target.parent}: {target.name} is there and is not just a cube (found {what}); "
        f"expected another --name, or that moved away"
    )


def _check_neighbours(
    infos: Sequence[cube.CubeInfo], others: Sequence[cube.CubeInfo], folder: pathlib.Path
) -> None:
    """What `build` would refuse later: blocks in two splits, shared ground within a season."""
    splits.check_blocks([(i.cube_id, i.block, i.split) for i in [*others, *infos]])
    both = [*infos, *(other for other in others if other.season == infos[0].season)]
    pair = splits.find_overlap(
        [i.cube_id for i in both], [i.geobox for i in both], first=len(infos)
    )
    if pair:
        raise ValueError(
            f"--cubes {folder}: expected ground that no other cube of season {infos[0].season} "
            f"has, found {pair[1]}, which {pair[0]} would overlap; remove it, or choose "
            f"another folder or --season"
        )


def _difference(old: cube.CubeInfo, new: cube.CubeInfo) -> str:
    """What differs between a cube on disk and one about to be made; "" where nothing does."""
    a, b = dict(old.source), dict(new.source)
    a.pop(CLEAR, None)
    a.pop(FILL, None)
    if a.get("kind") != "ingest":
        return f"its source is {a.get('kind')!r}"
    was, now = a.pop("options", {}), b.pop("options")
    for key in sorted(now):
        if was.get(key) != now[key]:
            return f"--{key} was {was.get(key)!r}, is {now[key]!r}"
    for key in sorted(b):
        if a.get(key) != b[key]:
            return f"{key} was {a.get(key)!r}, is {b[key]!r}"
    for key in ("legend", "split", "block", "season", "periods", "harvest", "has_fields", "shape"):
        if getattr(old, key) != getattr(new, key):
            return f"its {key} differs"
    if old.sensors != new.sensors:
        found, wanted = (", ".join(s.name for s in info.sensors) for info in (old, new))
        return f"its sensors were {found}, are {wanted}" if found != wanted else "a sensor differs"
    return ""
