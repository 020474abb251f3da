"""How much of the classes dates alone give away: a tree that sees no pixel."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import shapely
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from cropmap_jax.audit.findings import Finding
from cropmap_jax.audit.material import Material
from cropmap_jax.baselines import methods
from cropmap_jax.geo import as_of_windows, periods, tiles

_GAIN, _SOME = 0.1, 0.05
"""Macro-F1 from dates beyond what the place explains that is an error, or a warning."""
_MUCH = 0.25
"""Macro-F1 above guessing that is noted where the place may explain it."""
_SHUFFLES = 99
"""Exchanges of crops among the cubes of a place: by chance a score exceeds all once in 100."""
_FOLDS = 5
_MOST_CUBES = 2000
"""That are scored; of more, a sample."""
_PLACE_DEGREES = 0.5
"""Cubes without a province that are so near to each other are of one place."""


@dataclasses.dataclass(frozen=True)
class DateScore:
    """What dates alone say about the class.

    Args:
      score: macro-F1 of held-out blocks, each class weighing the same; None: it was not computed.
      prior: macro-F1 of guessing.
      place: macro-F1 where crops are exchanged among the cubes of a place: what dates give away
        because they say which place it is.
      beyond: whether no exchange reaches the score.
      of: what was seen, "windows" or "cubes": what gives away more beyond the place.
      why: why there is no score, or why it is that of guessing.
    """

    score: float | None = None
    prior: float = 0.0
    place: float = 0.0
    beyond: bool = False
    of: str = "windows"
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def score(
    material: Material, pixels: np.ndarray, num_periods: int, lead_days: int, seed: int = 0
) -> DateScore:
    """Scores trees that see nothing but days of the year, learnt on some blocks, on the others.

    One sees windows as training draws them: as of each harvest of the legend minus the lead, in
    each cube; of a cube without harvest dates, as of the end of each of its periods. The other sees
    cubes: when their periods begin and end, and their harvest dates. A window shows how a cube's
    periods end only as of late dates: the cube shows it at once.

    Args:
      material: what is audited.
      pixels: int64 [cubes, classes], annotated pixels.
      num_periods: periods of the window.
      lead_days: the as-of date is a harvest start minus this many days.
      seed: of the exchanges, and of the sample.
    """
    kinds = np.flatnonzero(pixels.sum(0))
    if len(kinds) < 2:
        return DateScore(why="fewer than two classes are annotated")
    windows = [_windows(material, cube, num_periods, lead_days) for cube in range(len(pixels))]
    used = np.array([n for n in np.flatnonzero(pixels.sum(1)) if len(windows[n])], int)
    rng = np.random.default_rng(seed)
    if len(used) > _MOST_CUBES:
        used = np.sort(rng.choice(used, _MOST_CUBES, replace=False))
    blocks = np.unique([material.places[n].block for n in used], return_inverse=True)[1]
    if len(np.unique(blocks)) < 2:
        return DateScore(why="fewer than two blocks are annotated")
    shares = pixels[used][:, kinds] / np.maximum(pixels[used][:, kinds].sum(0), 1)
    place = _place_of(material)[used]
    found = [
        _scored(of, [rows[n] for n in used], blocks, place, shares, rng)
        for of, rows in (("windows", windows), ("cubes", _descriptions(material)))
    ]
    return max(found, key=lambda one: (one.beyond, (one.score or 0) - one.place))


def check(found: DateScore) -> list[Finding]:
    """Whether dates are tied to the crop."""
    if found.score is None:
        return []
    gain = found.score - found.place
    figures = (
        f"macro-F1 {found.score:.2f} without a pixel, {found.place:.2f} from knowing the place, "
        f"{found.prior:.2f} from guessing"
    )
    advice = (
        "export the same periods for all cubes of a place, and give each the harvest dates of all "
        "classes, whatever grows there"
    )
    if found.beyond and gain >= _SOME:
        severity = "error" if gain >= _GAIN else "warning"
        what = f"the dates of {found.of} give the crop away: {figures}"
        return [Finding(severity, "dates", what, advice, figures=found.to_json())]
    if found.score - found.prior >= _MUCH:
        what = f"the dates of {found.of} tell crops apart, as far as places do: {figures}"
        return [Finding("note", "dates", what, advice, figures=found.to_json())]
    return []


def _scored(
    of: str,
    rows: Sequence[np.ndarray],
    blocks: np.ndarray,
    place: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> DateScore:
    """A score next to those with the crops of a place exchanged.

    Args:
      of: what rows are of.
      rows: of each cube, int [n, features].
      blocks, place: int [cubes].
      shares: float [cubes, classes], how much of each class lies in each cube.
      rng: of the exchanges.
    """
    prior = 1 / shares.shape[1]
    if len({own.tobytes() for own in rows}) == 1:
        return DateScore(prior, prior, prior, of=of, why="all cubes have the same dates")
    table = _Table(rows, blocks)
    found = table.score(shares)
    # Exchanges change nothing where the cubes of a place have the same dates.
    groups = [np.flatnonzero(place == one) for one in np.unique(place)]
    groups = [own for own in groups if len({rows[n].tobytes() for n in own.tolist()}) > 1]
    if not groups:
        return DateScore(found, prior, found, of=of)
    others = []
    for _ in range(_SHUFFLES):
        order = np.arange(len(rows))
        for own in groups:
            order[own] = rng.permutation(own)
        others.append(table.score(shares[order]))
    return DateScore(found, prior, float(np.mean(others)), found > max(others), of)


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


def _descriptions(material: Material) -> list[np.ndarray]:
    """Of each cube int [1, features]: days of the year that its periods begin and end, their
    number, and days of the year of its harvest dates, 0 unknown."""
    out = []
    for place, harvest in zip(material.places, material.harvest, strict=True):
        days = [int(place.periods[0, 0]), int(place.periods[-1, 1]), *harvest.tolist()]
        year = [periods.from_day(day).timetuple().tm_yday if day else 0 for day in days]
        out.append(np.array([[len(place.periods), *year]], np.int32))
    return out


def _place_of(material: Material) -> np.ndarray:
    """int [cubes], the place and season of each: its province, else all cubes near it."""
    shapes = tiles.outlines(place.geobox for place in material.places)
    left, right = shapely.STRtree(shapes).query(shapes, "dwithin", distance=_PLACE_DEGREES)
    links = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (len(shapes),) * 2)
    _, near = scipy.sparse.csgraph.connected_components(links, directed=False)
    numbers: dict[tuple[str, str], int] = collections.defaultdict(lambda: len(numbers))
    return np.array(
        [
            numbers[place.province or f"near {near[n]}", place.season]
            for n, place in enumerate(material.places)
        ]
    )


class _Table:
    """Windows of cubes, to score shares of classes with.

    Args:
      windows: of each cube, int [dates, periods].
      blocks: int [cubes].
    """

    def __init__(self, windows: Sequence[np.ndarray], blocks: np.ndarray):
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
