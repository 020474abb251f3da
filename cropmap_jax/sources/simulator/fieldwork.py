"""What field teams annotate: a few fields in clusters around stops, of their target crops."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from cropmap_jax.geo.grid import PIXEL_M
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

_LEAST_PX = 9  # a field that is smaller once drawn is not worth a stop


@dataclasses.dataclass(frozen=True)
class Team:
    """How a team annotates fields.

    Args:
      negatives: share of the annotated ground that is of other crops, true negatives.
      balance: 0 annotates crops by their area, 1 all alike; between, rare ones are sought out.
      reach_m: how far from a stop the team goes.
      fields_per_stop: annotated around a stop at most.
      roadside_m: distance from roads over which fields for a stop grow rarer by a factor of e.
      inset_m: (least, most) distance of a drawn border from the field's own.
    """

    negatives: float = 0.3
    balance: float = 0.7
    reach_m: float = 600.0
    fields_per_stop: int = 8
    roadside_m: float = 150.0
    inset_m: tuple[float, float] = (5.0, 10.0)

    def __post_init__(self) -> None:
        if not 0 <= self.negatives < 1 or not 0 <= self.balance <= 1:
            raise ValueError(
                f"team: expected negatives in 0..1 and balance in 0..1, found {self.negatives} "
                f"and {self.balance}"
            )


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known of a site.

    Args:
      label: uint8 [H, W], class index, NONE_OF_THESE or IGNORE where nobody has been.
      fields: uint32 [H, W], parcel of annotated pixels, 0 elsewhere.
    """

    label: np.ndarray
    fields: np.ndarray


def annotate(
    parcel: np.ndarray,
    crop_of_parcel: np.ndarray,
    targets: Sequence[int],
    share: float = 0.04,
    seed: int = 0,
    roads: np.ndarray | None = None,
    team: Team | None = None,
) -> Annotation:
    """The fields that a team annotates on a few stops.

    The team drives to a field of the crop that it lacks most, near a road, and annotates fields
    around it, of crops that it lacks, until it has enough of every crop. Fields are never cut.

    Args:
      parcel: uint32 [H, W], field parcel, 0 none.
      crop_of_parcel: integer [n + 1], class index by parcel; NONE_OF_THESE for other crops, IGNORE
        for what is unknown.
      targets: class indices to annotate; fields of other classes are skipped.
      share: of the site's pixels to annotate; less where there are not fields enough.
      seed: annotations of one seed are equal.
      roads: boolean [H, W], roads and villages; None for fields that are all as easy to reach.
      team: how it works; `Team()` if None.

    Returns:
      Labels and fields; drawn inside the fields' borders, so border pixels stay unknown.

    Raises:
      ValueError: a share outside of 0..1, or no crop for some parcel.
    """
    team = team or Team()
    if not 0 <= share <= 1 or len(crop_of_parcel) <= parcel.max():
        raise ValueError(
            f"annotate: expected a share in 0..1 and a crop for each of {parcel.max()} parcels, "
            f"found {share} and {len(crop_of_parcel)} entries"
        )
    rng = np.random.default_rng(seed)
    drawn = _draw_fields(parcel, len(crop_of_parcel), team.inset_m, rng)
    area = np.bincount(drawn.ravel(), minlength=len(crop_of_parcel))
    area[0] = 0
    kind = np.where(np.isin(crop_of_parcel, [*targets, NONE_OF_THESE]), crop_of_parcel, IGNORE)
    kind[area < _LEAST_PX] = IGNORE
    quota = _quotas(kind, area, share * parcel.size, team)
    chosen = _visit(parcel, kind, area, quota, roads, team, rng)
    known = chosen[drawn] & (drawn > 0)
    label = np.where(known, kind[drawn], IGNORE).astype(np.uint8)
    return Annotation(label, np.where(known, drawn, 0).astype(np.uint32))


def _draw_fields(
    parcel: np.ndarray, count: int, inset_m: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Parcels as drawn on a screen, int64 [H, W]: without their borders, in one piece each."""
    drawn = np.zeros(parcel.shape, np.int64)
    inset = rng.uniform(*inset_m, count) / PIXEL_M
    for number, box in enumerate(ndimage.find_objects(parcel.astype(np.int64)), 1):
        if box is None:
            continue
        own = np.pad(parcel[box] == number, 1)
        # From the centre of a pixel to the border of the field: half a pixel less than to the
        # centre of the next pixel outside.
        inside = (ndimage.distance_transform_edt(own) - 0.5 > inset[number])[1:-1, 1:-1]
        label, pieces = ndimage.label(inside)
        if pieces:
            drawn[box][label == np.bincount(label.ravel())[1:].argmax() + 1] = number
    return drawn


def _quotas(kind: np.ndarray, area: np.ndarray, total: float, team: Team) -> dict[int, float]:
    """Pixels to annotate of every kind (class index or NONE_OF_THESE)."""
    there = {int(k): float(area[kind == k].sum()) for k in np.unique(kind[area > 0])}
    there.pop(IGNORE, None)
    others = there.pop(NONE_OF_THESE, 0.0)
    wanted = min(team.negatives * total, others)
    quota = _share_out(total - wanted, there, 1 - team.balance)
    # Where crops are scarce, the team makes up for them with others.
    quota[NONE_OF_THESE] = min(others, total - sum(quota.values()))
    return {k: pixels for k, pixels in quota.items() if pixels > 0}


def _share_out(total: float, there: dict[int, float], power: float) -> dict[int, float]:
    """Shares of a total in proportion to a power of what is there, none above what is there."""
    quota: dict[int, float] = {}
    left = dict(there)
    while left:
        weights = {k: pixels**power for k, pixels in left.items()}
        unit = (total - sum(quota.values())) / sum(weights.values())
        full = [k for k in left if unit * weights[k] >= left[k]]
        quota |= {k: left.pop(k) for k in full}
        if not full:
            return quota | {k: unit * weight for k, weight in weights.items()}
    return quota


def _places(
    parcel: np.ndarray, count: int, roads: np.ndarray | None, roadside_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of parcels, float [n + 1, 2] in metres, and how readily a stop is made there."""
    size = np.maximum(np.bincount(parcel.ravel(), minlength=count), 1)
    centre = [
        np.bincount(parcel.ravel(), at.ravel(), minlength=count) / size * PIXEL_M
        for at in np.indices(parcel.shape)
    ]
    if roads is None or not roads.any():
        return np.stack(centre, 1), np.ones(count)
    away = ndimage.distance_transform_edt(~roads) * PIXEL_M
    nearest = ndimage.minimum(away, parcel, np.arange(count))
    # Never quite 0: where all fields lie far from roads, some are visited all the same.
    return np.stack(centre, 1), np.exp(-nearest / roadside_m) + 1e-9


def _visit(
    parcel: np.ndarray,
    kind: np.ndarray,
    area: np.ndarray,
    quota: dict[int, float],
    roads: np.ndarray | None,
    team: Team,
    rng: np.random.Generator,
) -> np.ndarray:
    """Which parcels are annotated, boolean [n + 1]."""
    chosen = np.zeros(len(kind), bool)
    where, ease = _places(parcel, len(kind), roads, team.roadside_m)
    done = dict.fromkeys(quota, 0.0)
    total = sum(quota.values())
    open_ = np.isin(kind, list(quota)) & (area > 0)
    while open_.any():
        missing = {k: done[k] / quota[k] for k in quota if (open_ & (kind == k)).any()}
        lacking = min(missing, key=missing.__getitem__)
        if missing[lacking] >= 1 or sum(done.values()) >= total:
            break
        candidates = np.flatnonzero(open_ & (kind == lacking))
        stop = rng.choice(candidates, p=ease[candidates] / ease[candidates].sum())
        away = np.hypot(*(where - where[stop]).T)
        around = np.flatnonzero(open_ & (away <= team.reach_m))
        visited = 0
        for number in around[np.argsort(away[around], kind="stable")]:
            k = int(kind[number])
            left = min(quota[k] - done[k], total - sum(done.values()))
            # Taken if that ends nearer to what is wanted; of every crop one field at least.
            if area[number] <= 2 * left or (done[k] == 0 and area[number] <= 0.1 * total):
                chosen[number] = True
                done[k] += float(area[number])
                visited += 1
                open_[number] = False
            if visited == team.fields_per_stop:
                break
        open_[stop] = False
    return chosen
