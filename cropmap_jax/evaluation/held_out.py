"""Whether the area that is scored was held out, or trained on.

Splits are places: a field that was trained on in one season is not held out in another, and a
dataset that was rebuilt may call train what was test. So ground is compared, not names. Folds of
one dataset share cubes, but no pixel: of ground that was divided in the same way, folds are
compared.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyproj
import shapely

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.training.checkpoints import Restored

USED = ("train", "validation")
"""Splits of a training run whose ground is not held out: one is learnt from, one chooses."""
SLIVER_PX = 0.49
"""Pixels taken off each side of a cube: grids that overlap by less than a pixel share none."""
ZONE_PX = 1.0
"""The same across zones: edges that touch in one are not straight in the other."""
_PER_SIDE = 8
"""Points along each side of a cube: its edges are not straight in another zone."""

Footprint = dict[str, Any]
"""Where a cube lies: id, split, crs, transform and shape, as `Dataset.ground`; perhaps stage, and
the folds of the cube that are meant."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """Ground that was scored and trained on.

    Args:
      scored: ids of scored cubes that hold such ground.
      trained: "id (split)" of the cubes trained on that they meet.
      splits: which splits those are of.
      hectares: how much of the scored cubes it is.
    """

    scored: tuple[str, ...]
    trained: tuple[str, ...]
    splits: frozenset[str]
    hectares: float


def shared_ground(scored: Sequence[Footprint], trained: Sequence[Footprint]) -> Shared | None:
    """Ground that both lists of cubes hold; in any season and any zone, under any name.

    Args:
      scored, trained: the cubes.

    Returns:
      What they share, None if nothing.

    Raises:
      KeyError, TypeError, ValueError, pyproj.exceptions.CRSError: not what `Footprint` says.
    """
    zones = _zones([*scored, *trained])
    hits: dict[int, np.ndarray] = {}
    square_metres = 0.0
    for crs in sorted({zones[cube["crs"]] for cube in scored}):
        own = [i for i, cube in enumerate(scored) if zones[cube["crs"]] == crs]
        mine = [scored[i] for i in own]
        others = _outlines(trained, crs, zones, (0.0, 0.0))
        tree = shapely.STRtree(_outlines(trained, crs, zones, (SLIVER_PX, ZONE_PX)))
        met = tree.query(_outlines(mine, crs, zones, (SLIVER_PX, ZONE_PX)), "intersects")
        apart = [_in_other_folds(mine[i], trained[j]) for i, j in met.T]
        met = met[:, ~np.array(apart, bool)]
        whole = _outlines(mine, crs, zones, (0.0, 0.0))
        for i in np.unique(met[0]):
            hits[own[i]] = met[1][met[0] == i]
            # Trained on in two seasons, ground is still counted once.
            both = shapely.intersection(whole[i], shapely.union_all(others[hits[own[i]]]))
            square_metres += float(both.area)
    if not hits:
        return None
    used = [trained[j] for j in np.unique(np.concatenate(list(hits.values())))]
    return Shared(
        scored=tuple(scored[i]["id"] for i in sorted(hits)),
        trained=tuple(f"{c['id']} ({' of '.join(_split(c))})" for c in used),
        splits=frozenset(c["split"] for c in used),
        hectares=square_metres / 1e4,
    )


def _in_other_folds(one: Footprint, other: Footprint) -> bool:
    """Whether two cubes share no annotated pixel because they are folds of one division."""
    mine, theirs = one.get("folds"), other.get("folds")
    if not mine or not theirs or mine["of"] != theirs["of"]:
        return False
    return not set(mine["numbers"]) & set(theirs["numbers"])


def _split(cube: Footprint) -> list[str]:
    return [cube["split"], *([cube["stage"]] if cube.get("stage") else [])]


def _zones(cubes: Sequence[Footprint]) -> dict[str, str]:
    """One name for each way to write a CRS."""
    zones: dict[str, str] = {}
    for text in sorted({cube["crs"] for cube in cubes}):
        same = (z for z in set(zones.values()) if pyproj.CRS(z) == pyproj.CRS(text))
        zones[text] = next(same, text)
    return zones


def _outlines(
    cubes: Sequence[Footprint], crs: str, zones: dict[str, str], margins: tuple[float, float]
) -> np.ndarray:
    """Polygons [N] of cubes in a CRS; smaller by so many pixels (in that CRS, in others)."""
    out = np.full(len(cubes), shapely.Polygon(), object)
    for zone in {zones[cube["crs"]] for cube in cubes}:
        own = [i for i, cube in enumerate(cubes) if zones[cube["crs"]] == zone]
        rings = _rings([cubes[i] for i in own], margins[zone != crs])
        if zone != crs:
            shift = pyproj.Transformer.from_crs(zone, crs, always_xy=True)
            rings = np.stack(shift.transform(rings[..., 0], rings[..., 1]), -1)
        # What lies far outside the zone has no finite coordinates there, and shares no ground.
        there = np.isfinite(rings).all((1, 2))
        made = shapely.polygons(rings[there])
        made[~shapely.is_valid(made)] = shapely.Polygon()
        out[np.asarray(own)[there]] = made
    return out


def _rings(cubes: Sequence[Footprint], margin: float) -> np.ndarray:
    """float64 [N, points, 2], x and y along the edges of each cube."""
    side = np.arange(_PER_SIDE) / _PER_SIDE
    ends = np.zeros(_PER_SIDE)
    u = np.concatenate([side, ends + 1, 1 - side, ends])
    v = np.concatenate([ends, side, ends + 1, 1 - side])

    def inset(length: np.ndarray, part: np.ndarray) -> np.ndarray:
        off = np.minimum(margin, 0.49 * length)
        inner: np.ndarray = off + part * (length - 2 * off)
        return inner

    height, width = np.array([cube["shape"] for cube in cubes], float).T[..., None]
    rows, cols = inset(height, v), inset(width, u)
    a, b, c, d, e, f = np.array([cube["transform"][:6] for cube in cubes], float).T[..., None]
    return np.stack([a * cols + b * rows + c, d * cols + e * rows + f], -1)


def check(
    restored: Restored, data: Dataset, split: str, allowed: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Compares the ground of a split with the ground that the checkpoint was trained on.

    Args:
      restored: the checkpoint.
      data: the dataset that is scored.
      split: which split of it.
      allowed: a test split of ground trained on is scored anyway.

    Returns:
      What was found, for JSON: `trained_on`, ids of the cubes that share ground, or None if the
      checkpoint does not record where it was trained, and `hectares_trained_on`; and notes for
      people.

    Raises:
      ValueError: the test split shares ground with the training or validation split of training, or
        the checkpoint records something else than where its cubes lie.
    """
    if not restored.cubes:
        return {"trained_on": None}, [
            "the checkpoint does not record where it was trained: whether this ground is "
            "held out cannot be checked"
        ]
    scored, shared = _of(data, split), _share(restored, data, split, USED)
    other = bool(restored.dataset and data.fingerprint != restored.dataset)
    if shared is None:
        note = (
            f"{data.name} is not the dataset trained on; its {split} ground does not overlap that"
        )
        return {"trained_on": [], "hectares_trained_on": 0.0}, [note] if other else []
    how = {
        frozenset({"train"}): "trained on",
        frozenset({"validation"}): "validated on during training",
    }.get(shared.splits, "trained and validated on")
    found = (
        f"{len(shared.scored)} of {len(scored)} {split} cubes ({_few(shared.scored)}; "
        f"{shared.hectares:,.2f} ha) lie on ground that the checkpoint was {how} "
        f"({_few(shared.trained)})"
    )
    if split == "test" and not allowed:
        raise ValueError(
            f"{data.path}: {found}; expected a test split apart from it, --split train or "
            f"validation, or --allow_training_ground to score it anyway"
        )
    summary = {
        "trained_on": list(shared.scored),
        "hectares_trained_on": round(shared.hectares, 4),
    }
    return summary, [f"{found}: these are not scores of held-out ground"]


def threshold_notes(
    restored: Restored, data: Dataset, split: str, chooser: str | None
) -> list[str]:
    """Notes on a threshold that was chosen on ground where it looks better than elsewhere.

    Args:
      restored: the checkpoint.
      data: the dataset that is scored.
      split: which split of it.
      chooser: the split on which the threshold was chosen, if any.

    Raises:
      ValueError: the checkpoint records something else than where its cubes lie.
    """
    if chooser == split:
        return [f"the threshold was chosen on {split}, the split scored: its scores are too good"]
    if not chooser:
        return []
    if trained_on(restored, data, chooser):
        return [f"the threshold was chosen on {chooser}, on ground that was trained on"]
    return []


def trained_on(restored: Restored, data: Dataset, split: str) -> bool:
    """Whether a split shares ground with what a run has learnt from.

    Raises:
      ValueError: the checkpoint records something else than where its cubes lie.
    """
    return _share(restored, data, split, ("train",)) is not None


def _of(data: Dataset, split: str) -> list[Footprint]:
    return [cube for cube in data.ground if cube["split"] == split]


def _share(restored: Restored, data: Dataset, split: str, used: Sequence[str]) -> Shared | None:
    try:
        trained = [cube for cube in restored.cubes if cube["split"] in used]
        return shared_ground(_of(data, split), trained)
    except (KeyError, TypeError, ValueError, pyproj.exceptions.CRSError) as error:
        raise ValueError(
            f"checkpoint of step {restored.step}: expected id, split, crs, transform and shape of "
            f"each cube trained on, found something else ({error!r})"
        ) from error


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
