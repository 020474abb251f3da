"""What of a field looks wrong, how sure that is, and why, in words."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import periods
from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.ground_truth.settings import NONE
from cropmap_jax.review import mislabelled, outlines, seasons
from cropmap_jax.review.patches import Patches
from cropmap_jax.review.reviewed import Field

LABEL, OUTLINE, SEASON = "label", "outline", "season"
KINDS = (LABEL, OUTLINE, SEASON)
_SEASON_DAYS = 30.0
"""Outside the calendar, at which a season is as suspect as not."""
Wrap = Callable[[Sequence[Any]], Iterable[Any]]


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """What is known about whether a field is annotated rightly.

    Args:
      field: the field.
      label: its class by name.
      suggested: the most probable other class by name.
      kinds: what is suspect of it, of KINDS, the most suspect first; empty for a field that looks
        right.
      scores: by kind, from 0 to 1; 0.5 is where suspicion begins, roughly.
      shift: the place where its outline fits best.
      peak: when it is greenest.
      reason: the same in words.
    """

    field: Field
    label: str
    suggested: str
    kinds: tuple[str, ...]
    scores: dict[str, float]
    shift: outlines.Shift
    peak: seasons.Peak
    reason: str

    @property
    def score(self) -> float:
        """Of its most suspect kind; of a field that looks right, of all."""
        return max(self.scores[kind] for kind in self.kinds or KINDS)


def judge(
    data: Dataset, fields: Sequence[Field], progress: Wrap = lambda fields: fields
) -> list[Suspicion]:
    """Judges every field; the most suspect first, suspects before all others.

    Args:
      data: the dataset, with all annotation in one split.
      fields: from `reviewed.gather`.
      progress: wraps the fields.
    """
    names = (*data.legend.names, NONE)
    found = mislabelled.find(fields)
    patches = Patches(data)
    spread = outlines.spread(
        (patches.read(f.pieces[0]).features(), f.pieces[0].own) for f in _spaced(fields)
    )
    shifts, peaks = [], []
    for field in progress(fields):
        piece = field.pieces[0]
        patch = patches.read(piece)
        shifts.append(outlines.judge(patch.features(), piece.own, spread))
        crop = None if piece.label == NONE_OF_THESE else piece.label
        dates = (0, 0)
        if crop is not None:
            dates = int(data.planting[piece.cube, crop]), int(data.harvest[piece.cube, crop])
        peaks.append(seasons.judge(patch, piece.own, *dates))
    limit = outlines.limit([shift.gain for shift in shifts])
    out = []
    for i, field in enumerate(fields):
        scores = {
            LABEL: _score(float(found.odds[i]), mislabelled.LIMIT),
            OUTLINE: _score(shifts[i].gain, limit),
            SEASON: _score(peaks[i].outside, _SEASON_DAYS),
        }
        suspect = {
            LABEL: bool(found.suspect[i]),
            OUTLINE: shifts[i].gain > limit,
            SEASON: peaks[i].outside > 0,
        }
        kinds = tuple(sorted((k for k in KINDS if suspect[k]), key=lambda k: -scores[k]))
        label, suggested = names[field.label], names[int(found.suggested[i])]
        one = Suspicion(field, label, suggested, kinds, scores, shifts[i], peaks[i], "")
        out.append(dataclasses.replace(one, reason=_words(one, data)))
    return sorted(out, key=lambda one: (not one.kinds, -one.score, one.field.number))


def _score(value: float, limit: float) -> float:
    """From 0 to 1, 0.5 at the limit: kinds are put in one order by it."""
    return value / (value + limit)


def _spaced(fields: Sequence[Field], most: int = 300) -> Sequence[Field]:
    """Some fields of all, evenly spread over the list."""
    return fields[:: max(1, len(fields) // most)]


def _words(one: Suspicion, data: Dataset) -> str:
    """Why a field is suspect, one clause for each kind."""
    parts = []
    for kind in one.kinds:
        if kind == LABEL:
            own = one.field.geometric[one.field.label]
            other = one.field.geometric.copy()
            other[one.field.label] = -1
            parts.append(
                f"looks like {one.suggested} ({other.max():.0%}), not {one.label} ({own:.0%})"
            )
        elif kind == OUTLINE:
            parts.append(f"outline fits better {_way(one.shift, data.pixel_m)}")
        else:
            cube, crop = one.field.pieces[0].cube, one.field.pieces[0].label
            window = [periods.from_day(int(t[cube, crop])) for t in (data.planting, data.harvest)]
            peak = periods.from_day(one.peak.day)
            parts.append(
                f"greenest about {peak}, {one.label} grows from {window[0]} to {window[1]} there"
            )
    return "; ".join(parts)


def _way(shift: outlines.Shift, pixel_m: float) -> str:
    """Where an outline should go, as "20 m north and 10 m east"."""
    south, east = shift.rows * pixel_m, shift.cols * pixel_m
    ways = [(south, "south", "north"), (east, "east", "west")]
    return " and ".join(f"{abs(by):.0f} m {to if by > 0 else back}" for by, to, back in ways if by)
