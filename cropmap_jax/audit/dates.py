"""Calendars that cannot be right, and how much of the classes dates alone give away."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from cropmap_jax.audit.findings import Finding, named, plural
from cropmap_jax.audit.material import Material
from cropmap_jax.baselines import methods
from cropmap_jax.geo import as_of_windows, calendars

_LATE_DAYS = 62
"""Between the last image and the as-of date: two months without an image."""
_GAIN = 0.15
"""Macro-F1 from dates beyond what the place explains, from which on it counts as leakage."""
_SHUFFLES = 39
"""Of crops among the cubes of a place: chance exceeds all of them once in 40 times."""
_FOLDS = 5


def check_calendars(material: Material, num_periods: int, lead_days: int) -> list[Finding]:
    """Dates that cannot be right, or that leave no image to see.

    Args:
      material: what is audited.
      num_periods: periods of the window.
      lead_days: the as-of date is a harvest start minus this many days.
    """
    harvest, planting = material.harvest, material.planting
    if not harvest.any():
        return [
            Finding(
                "note",
                "dates",
                "no harvest date of any class",
                "give training a range of dates (config.as_of) and `evaluate` a date (--as_of)",
            )
        ]
    out = []
    never = _where(material.legend.names, ~harvest.any(0))
    if never:
        out.append(_finding(
            "note", f"no harvest date of {named(never)}", "add them to the calendar", None, material
        ))  # fmt: skip
    both = (harvest > 0) & (planting > 0)
    days = np.where(both, harvest - planting, 0)
    out.append(_finding(
        "warning", "harvest before planting ends", "correct the calendar: a crop that is not yet "
        "planted is left out of the loss", both & (days <= 0), material,
    ))  # fmt: skip
    doubt = both & (days > 0)
    doubt &= (days < calendars.SHORTEST_DAYS) | (days > calendars.LONGEST_DAYS)
    out.append(_finding(
        "note", f"fewer than {calendars.SHORTEST_DAYS} or more than {calendars.LONGEST_DAYS} days "
        f"from planting to harvest", "look at the calendar: few crops grow so fast or so slowly",
        doubt, material,
    ))  # fmt: skip
    as_of = harvest - lead_days
    count = np.zeros(harvest.shape, np.int64)
    late = np.zeros(harvest.shape, np.int64)
    for cube, place in enumerate(material.places):
        last = np.array([as_of_windows.last_period(place.periods, int(d)) for d in as_of[cube]])
        count[cube] = np.minimum(last + 1, num_periods)
        late[cube] = as_of[cube] - place.periods[np.maximum(last, 0), 1]
    dated = harvest > 0
    out.append(_finding(
        "warning", f"no image {lead_days} days before harvest",
        "export earlier periods, or correct the calendar: training refuses such dates",
        dated & (count == 0), material,
    ))  # fmt: skip
    out.append(_finding(
        "note", f"fewer than {num_periods} periods {lead_days} days before harvest",
        "export earlier periods: the window begins with missing ones",
        dated & (count > 0) & (count < num_periods), material,
    ))  # fmt: skip
    out.append(_finding(
        "warning", f"images that end more than {_LATE_DAYS} days before the as-of date",
        "export later periods, or correct the calendar: the real lead is that much longer",
        dated & (count > 0) & (late > _LATE_DAYS), material,
    ))  # fmt: skip
    return [one for one in out if one is not None]


def _finding(
    severity: str, what: str, advice: str, wrong: np.ndarray | None, material: Material
) -> Any:
    """A finding about some cubes and classes, None where it is about none of them."""
    if wrong is None:
        return Finding(severity, "dates", what, advice)
    if not wrong.any():
        return None
    classes = _where(material.legend.names, wrong.any(0))
    cubes = _where([place.cube_id for place in material.places], wrong.any(1))
    text = f"{what}: {named(classes)} in {plural(len(cubes), 'cube')} ({named(cubes)})"
    figures = {"classes": classes, "cubes": len(cubes)}
    return Finding(severity, "dates", text, advice, tuple(cubes), figures)


def _where(names: Sequence[str], chosen: Any) -> list[str]:
    return [names[int(i)] for i in np.flatnonzero(chosen)]


@dataclasses.dataclass(frozen=True)
class DateScore:
    """What the dates of windows alone say about the class.

    Args:
      score: macro-F1 of held-out blocks, each class weighing the same; None: it was not computed.
      prior: macro-F1 of guessing.
      place: macro-F1 where crops are exchanged among the cubes of a place: what dates give away
        because they say which place it is.
      beyond: whether no exchange reaches the score.
      why: why there is none, or why it is that of guessing.
    """

    score: float | None = None
    prior: float = 0.0
    place: float = 0.0
    beyond: bool = False
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def score(
    material: Material, pixels: np.ndarray, num_periods: int, lead_days: int, seed: int = 0
) -> DateScore:
    """Scores a tree that sees nothing but the days of the year of a window's periods.

    The windows are those that training draws: as of each harvest of the legend minus the lead, in
    each cube; of a cube without harvest dates, as of the end of each of its periods. Learnt from
    some blocks, scored on the others.

    Args:
      material: what is audited.
      pixels: int64 [cubes, classes], annotated pixels.
      num_periods, lead_days: as for `check_calendars`.
      seed: of the exchanges.
    """
    used = np.flatnonzero(pixels.sum(1))
    kinds = np.flatnonzero(pixels.sum(0))
    if len(kinds) < 2:
        return DateScore(why="fewer than two classes are annotated")
    windows = {int(cube): _windows(material, int(cube), num_periods, lead_days) for cube in used}
    used = np.array([cube for cube in used if len(windows[int(cube)])], int)
    blocks = [material.places[cube].block for cube in used]
    if len(set(blocks)) < 2:
        return DateScore(why="fewer than two blocks are annotated")
    shares = pixels[used][:, kinds] / pixels[:, kinds].sum(0)
    if len({windows[int(cube)].tobytes() for cube in used}) == 1:
        guess = 1 / len(kinds)
        return DateScore(guess, guess, guess, why="all cubes have the same windows")
    table = _Table([windows[int(cube)] for cube in used], np.unique(blocks, return_inverse=True)[1])
    prior = 1 / len(kinds)
    found = table.score(shares)
    groups = _groups(material, used, windows)
    if not groups:
        return DateScore(found, prior, found, False)
    rng = np.random.default_rng(seed)
    others = []
    for _ in range(_SHUFFLES):
        order = np.arange(len(used))
        for own in groups:
            order[own] = rng.permutation(own)
        others.append(table.score(shares[order]))
    return DateScore(found, prior, float(np.mean(others)), found > max(others))


def check_score(found: DateScore) -> list[Finding]:
    """Whether windows are tied to the crop."""
    if found.score is None or not found.beyond or found.score - found.place < _GAIN:
        return []
    return [
        Finding(
            "error",
            "dates",
            f"the dates of windows give the crop away: macro-F1 {found.score:.2f} without a pixel, "
            f"{found.place:.2f} from knowing the place, {found.prior:.2f} from guessing",
            "export the same periods for all cubes of a place, and give each the harvest dates of "
            "all classes, whatever grows there",
            figures=found.to_json(),
        )
    ]


def _windows(material: Material, cube: int, num_periods: int, lead_days: int) -> np.ndarray:
    """int [dates, num_periods], days of the year of the windows of a cube; 0 missing."""
    spans = material.places[cube].periods
    days = material.harvest[cube]
    dates = np.unique(days[days > 0]) - lead_days if days.any() else spans[:, 1]
    rows = [
        as_of_windows.as_of_window(spans, int(day), num_periods).day_of_year
        for day in dates
        if as_of_windows.last_period(spans, int(day)) >= 0
    ]
    return np.unique(np.array(rows, np.int32).reshape(-1, num_periods), axis=0)


def _groups(
    material: Material, used: np.ndarray, windows: dict[int, np.ndarray]
) -> list[np.ndarray]:
    """Positions of the cubes of each place and season, where these differ in their windows."""
    groups: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
    for at, cube in enumerate(used.tolist()):
        place = material.places[cube]
        groups[place.province, place.season].append(at)
    return [
        np.array(own)
        for own in groups.values()
        if len({windows[int(used[at])].tobytes() for at in own}) > 1
    ]


class _Table:
    """Windows of cubes, to score shares of classes with.

    Args:
      windows: of each cube, int [dates, periods].
      blocks: int [cubes].
    """

    def __init__(self, windows: list[np.ndarray], blocks: np.ndarray):
        self._rows = np.concatenate(windows)
        self._cube = np.repeat(np.arange(len(windows)), [len(one) for one in windows])
        self._dates = np.array([len(one) for one in windows])[self._cube]
        folds = GroupKFold(min(_FOLDS, len(np.unique(blocks))))
        self._folds = list(folds.split(self._rows, groups=blocks[self._cube]))

    def score(self, shares: np.ndarray) -> float:
        """Macro-F1 of held-out blocks.

        Args:
          shares: float [cubes, classes], how much of each class lies in each cube.
        """
        kinds = shares.shape[1]
        weights = (shares[self._cube] / self._dates[:, None]).ravel()
        rows, truth = np.repeat(self._rows, kinds, 0), np.tile(np.arange(kinds), len(self._rows))
        guess = np.zeros(len(self._rows), np.int64)
        for learnt, held_out in self._folds:
            own = (learnt[:, None] * kinds + np.arange(kinds)).ravel()
            own = own[weights[own] > 0]
            model = methods.METHODS["dates"].make({"least_in_leaf": 1}, 0)
            model.fit(rows[own], truth[own], sample_weight=weights[own])
            guess[held_out] = model.predict(self._rows[held_out])
        found = f1_score(
            truth, np.repeat(guess, kinds), labels=np.arange(kinds), average="macro",
            sample_weight=weights, zero_division=0,
        )  # fmt: skip
        return float(found)
