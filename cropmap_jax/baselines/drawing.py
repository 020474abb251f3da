"""Which annotated pixels a baseline learns from, as of which dates, and their features."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cropmap_jax.baselines import looking
from cropmap_jax.baselines.features import Features
from cropmap_jax.data import pixel_index, sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.examples import Source
from cropmap_jax.data.pixel_index import DrawnPixels
from cropmap_jax.geo import as_of_windows
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.scheduling import Scheduler

DRAWN_BY = ("field", "place", "all")
"""What `config.draw_by` may name: fields alike, places alike, or all pixels alike."""
MOST_TIMES = 16
"""As of how many dates one pixel is seen at most."""
_TRIES = 20
"""Rounds of draws, each as large as what is wanted, before fewer pixels will do."""

Dates = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From the cube of each drawn pixel, int [N], to as-of dates, int [N], days since 1970-01-01."""


@dataclasses.dataclass(frozen=True)
class TrainingPixels:
    """What a method learns from.

    Args:
      features: float32 [N, features], NaN where missing.
      labels: uint8 [N], class index or 254 for none of these.
      weights: float32 [N], how much each counts, 1 on average; None: all alike.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None


def fixed_dates(dates: np.ndarray) -> Dates:
    """One as-of date per cube, int [cubes]."""
    return lambda cubes, rng: dates[cubes]


def drawn_dates(
    data: Dataset, lead_days: int, as_of: tuple[int, int] | None, max_lead_days: int = 0
) -> Dates:
    """As-of dates as the training of networks draws them: over the harvests of the whole legend.

    Args:
      data: the dataset.
      lead_days: the as-of date is a harvest start minus this many days.
      as_of: (first, last) dates, days since 1970-01-01, to draw from instead.
      max_lead_days: see `sampling.SamplingConfig`.
    """
    extra = max_lead_days - lead_days if max_lead_days else 0
    earliest = sampling.first_dates(data) if extra else None

    def draw(cubes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if as_of:
            return rng.integers(as_of[0], as_of[1] + 1, len(cubes))
        out = np.empty(len(cubes), np.int64)
        for cube in np.unique(cubes):
            own = np.flatnonzero(cubes == cube)
            out[own] = rng.choice(sampling.harvest_days(data, int(cube)), len(own)) - lead_days
        if earliest is not None:
            out = sampling.earlier(out, earliest[cubes], extra, rng)
        return out

    return draw


def check_dates(
    data: Dataset,
    split: str,
    num_periods: int,
    lead_days: int,
    as_of: tuple[int, int] | None,
    weak: bool = False,
) -> None:
    """Requires that each as-of date that `drawn_dates` may draw leaves a period to see.

    Args:
      data, split: whose annotated pixels are drawn, and with `weak` those of a land-cover map.
      num_periods, lead_days, as_of: as drawn.
      weak: see `data.examples.Source.weak`.

    Raises:
      ValueError: names the first cube without a harvest date or without a usable period.
    """
    table = data.split(split)
    used = table.annotated > 0
    if weak and table.weak is not None:
        used |= table.weak > 0
    for cube in np.unique(table.cube[used]).tolist():
        first = as_of[0] if as_of else int(sampling.harvest_days(data, cube).min()) - lead_days
        where = f"cube {data.cubes[cube]['id']}"
        as_of_windows.as_of_window(data.periods(cube), first, num_periods, where)


def draw_pixels(
    data: Dataset, split: str, draw_by: str, most: int, rng: np.random.Generator
) -> DrawnPixels:
    """At most `most` annotated pixels, none twice; all of them if there are no more.

    Args:
      data, split: whose pixels.
      draw_by: one of DRAWN_BY; "field" is "place" where there are too many pixels to list.
      most: how many.
      rng: of the draw.

    Returns:
      The pixels, sorted by chip, row and column.

    Raises:
      ValueError: no pixel is annotated.
    """
    table, source = data.split(split), data.source(split)
    total = int(table.annotated.sum())
    if not total:
        raise ValueError(f"{data.path}: expected annotated pixels in split {split}, found none")
    if draw_by == "all" or total <= most:
        return _all_alike(data, split, source, min(1.0, most / total), rng)
    by = "place" if total > pixel_index.MOST_LISTED else draw_by
    made = pixel_index.PlaceIndex if by == "place" else pixel_index.FieldIndex
    index: pixel_index.PixelIndex = made(data, split, source)
    side = data.chip
    keys, labels = np.empty(0, np.int64), np.empty(0, np.uint8)
    for _ in range(_TRIES):
        drawn = index.draw(rng, most)
        found = (drawn.chip.astype(np.int64) * side + drawn.row) * side + drawn.col
        keys, labels = np.concatenate([keys, found]), np.concatenate([labels, drawn.label])
        # Of each the first draw: what comes late is cut off, whichever chip it is of.
        first = np.sort(np.unique(keys, return_index=True)[1])[:most]
        keys, labels = keys[first], labels[first]
        if len(keys) == most:
            break
    order = np.argsort(keys)
    chip, place = np.divmod(keys[order], side**2)
    row, col = np.divmod(place, side)
    return DrawnPixels(
        chip.astype(np.int32), row.astype(np.int32), col.astype(np.int32), labels[order]
    )


def draw_weak(data: Dataset, split: str, count: int, rng: np.random.Generator) -> DrawnPixels:
    """At most `count` pixels that only a land-cover map says are none of these, none twice.

    Args:
      data, split: whose pixels; there is one.
      count: how many.
      rng: of the draw.

    Returns:
      The pixels, sorted by chip, row and column.
    """
    index = pixel_index.WeakIndex(data, split, data.source(split))
    drawn = index.draw(rng, count)
    keys = (drawn.chip.astype(np.int64) * data.chip + drawn.row) * data.chip + drawn.col
    first = np.unique(keys, return_index=True)[1]
    return DrawnPixels(*(part[first] for part in drawn))


def draw_weights(data: Dataset, split: str, draw_by: str, drawn: DrawnPixels) -> np.ndarray:
    """How much pixels count of which none was left out, so that it is as if they had been drawn.

    Args:
      data, split: whose pixels.
      draw_by: "field" or "place".
      drawn: all annotated pixels, sorted by chip.

    Returns:
      float32 [N], ∝ 1 / sqrt(pixels of its field, or of its chip), 1 on average.
    """
    source, cube = data.source(split), data.split(split).cube[drawn.chip]
    keys = np.zeros((len(drawn.chip), 3), np.int64)
    keys[:, 0] = drawn.chip
    if draw_by == "field":
        fields = np.zeros(len(drawn.chip), np.int64)
        for chip in np.unique(drawn.chip):
            own = drawn.chip == chip
            fields[own] = source.fields(int(chip))[drawn.row[own], drawn.col[own]]
        # Ground without a field is, chip by chip and class by class, as good as one.
        inside = fields > 0
        keys[:, 0] = np.where(inside, cube, drawn.chip)
        keys[:, 1] = fields
        keys[:, 2] = np.where(inside, 0, drawn.label)
    _, of, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[of.ravel()])
    found: np.ndarray = (weights / weights.mean()).astype(np.float32)
    return found


def _all_alike(
    data: Dataset, split: str, source: Source, share: float, rng: np.random.Generator
) -> DrawnPixels:
    """A share of all annotated pixels, each as likely; in the overlap of chips once."""
    table = data.split(split)
    parts = []
    for cube in np.unique(table.cube):
        height, width = data.cubes[cube]["shape"]
        fresh = np.ones((height + data.chip, width + data.chip), bool)
        for chip in np.flatnonzero(table.cube == cube):
            label = source.label(int(chip))
            top, left = int(table.row[chip]), int(table.col[chip])
            place = fresh[top : top + data.chip, left : left + data.chip]
            known = (label != IGNORE) & place
            place[:] = False
            known &= rng.random(known.shape) < share
            rows, cols = np.nonzero(known)
            parts.append((np.full(len(rows), chip), rows, cols, label[known]))
    chips, rows, cols, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return DrawnPixels(chips.astype(np.int32), rows.astype(np.int32), cols.astype(np.int32), labels)


def training_pixels(
    data: Dataset,
    split: str,
    features: Features,
    dates: Dates,
    draw_by: str,
    most: int,
    seed: int,
    copies: bool = False,
    weak: tuple[float, float] = (0.0, 1.0),
    progress: Callable[[int, int], None] = lambda done, total: None,
    scheduler: Scheduler | None = None,
) -> TrainingPixels:
    """Draws pixels of a split and computes their features.

    Args:
      data, split: whose pixels.
      features: which features.
      dates: as of which date each pixel is seen.
      draw_by, most: see `draw_pixels`.
      seed: of all draws.
      copies: where there are fewer pixels than `most`, take each again as of another date.
      weak: share of the pixels that only a land-cover map says are none of the classes, if there
        are such, and how much each counts, see `SamplingConfig.weak_share`.
      progress: called with how many pixels of how many are done.
      scheduler: whose workers compute the features; None for this process. They are the same.

    Raises:
      ValueError: no pixel of the split is annotated, or none has a value in its window; an as-of
        date before the end of a cube's first period; a worker that does not see the dataset.
    """
    rng = np.random.default_rng(seed)
    share, weak_weight = weak if data.split(split).has_weak else (0.0, 1.0)
    whole, most = most, most - round(most * share)
    drawn = draw_pixels(data, split, draw_by, most, rng)
    weights = np.ones(len(drawn.label), np.float32)
    alike = draw_by == "all" or int(data.split(split).annotated.sum()) > most
    if not alike:
        weights = draw_weights(data, split, draw_by, drawn)
    if share:
        count = max(1, round(len(drawn.label) * share / (1 - share)))
        others = draw_weak(data, split, count, rng)
        drawn, weights = _merged(drawn, weights, others, weak_weight)
        alike = alike and weak_weight == 1
    times = whole // len(drawn.label) if copies else 1
    number, as_of = _as_of_dates(data, split, drawn, dates, max(times, 1), rng)
    drawn = DrawnPixels(*(column[number] for column in drawn))
    out = np.full((len(drawn.label), len(features.names)), np.nan, np.float32)
    seen = np.zeros(len(out), bool)
    done = 0
    for own, values, there in looking.look(data, split, features, drawn, as_of, scheduler):
        out[own], seen[own] = values, there
        done += len(own)
        progress(done, len(out))
    if not seen.any():
        raise ValueError(
            f"{data.path}: expected annotated pixels with a value in their window in split "
            f"{split}, found none"
        )
    # A pixel that no image shows says nothing about its class, and is never predicted.
    return TrainingPixels(out[seen], drawn.label[seen], None if alike else weights[number][seen])


def _merged(
    drawn: DrawnPixels, weights: np.ndarray, others: DrawnPixels, weight: float
) -> tuple[DrawnPixels, np.ndarray]:
    """Two draws as one, sorted by chip, and its weights, 1 on average."""
    both = DrawnPixels(*(np.concatenate(parts) for parts in zip(drawn, others, strict=True)))
    weights = np.concatenate([weights, np.full(len(others.chip), weight, np.float32)])
    order = np.argsort(both.chip, kind="stable")
    found = (weights / weights.mean()).astype(np.float32)[order]
    return DrawnPixels(*(part[order] for part in both)), found


def _as_of_dates(
    data: Dataset,
    split: str,
    drawn: DrawnPixels,
    dates: Dates,
    times: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of pixels, each so many times, and as of which date; none twice with one window."""
    cubes = data.split(split).cube[drawn.chip]
    if times == 1:
        return np.arange(len(cubes)), dates(cubes, rng)
    found = np.stack([dates(cubes, rng) for _ in range(min(times, MOST_TIMES))], axis=1)
    found.sort(axis=1)
    ended = np.empty_like(found)
    for cube in np.unique(cubes):
        own = cubes == cube
        ended[own] = np.searchsorted(data.periods(int(cube))[:, 1], found[own], side="right")
    new = np.diff(ended, axis=1, prepend=-1) > 0
    return np.nonzero(new)[0], found[new]
