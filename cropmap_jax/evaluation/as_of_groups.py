"""In which mosaic groups the cubes of a dataset are predicted, as of the dates of the crops.

Windows count, not dates: crops and cubes with other dates but the same window share what is
predicted.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import as_of_windows
from cropmap_jax.inference import mosaic_groups
from cropmap_jax.inference.engine import View
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.predictors import Predictor

_Ends = tuple[int, ...]
"""Per list of periods of a season, the last one that has ended; -1 for none."""


def window_groups(data: Dataset, dates: np.ndarray) -> list[np.ndarray]:
    """Positions of the crops that share their windows in every cube.

    Args:
      data: the dataset.
      dates: int [cubes, crops], as-of dates in days since 1970-01-01.
    """
    spans = [data.periods(index) for index in range(len(data.cubes))]
    last = [
        [as_of_windows.last_period(own, int(date)) for date in row]
        for own, row in zip(spans, dates, strict=True)
    ]
    columns, member = np.unique(np.array(last), axis=1, return_inverse=True)
    return [np.flatnonzero(member.ravel() == group) for group in range(columns.shape[1])]


@dataclasses.dataclass(frozen=True)
class Job:
    """A cube as some crops see it.

    Args:
      view: in which it is predicted.
      number: of the cube in the view's mosaic group.
      window: of the cube.
      crops: positions of the crops.
    """

    view: View
    number: int
    window: as_of_windows.Window
    crops: tuple[int, ...]

    def columns(self, crops: Sequence[int]) -> list[int]:
        """Where the view keeps the probabilities of its crops, given class indices of all."""
        kept = self.view.classes or ()
        return [kept.index(crops[position]) for position in self.crops]


class Views:
    """The views of some cubes.

    Cubes of a season that touch are seen together, whatever their split; seasons are kept apart.

    Args:
      data: the dataset.
      predictor: its halo, and whether groups of crops have models of their own, decide.
      num_periods: periods of the window.
      crops: class indices.
      dates: int [cubes, crops], as-of dates.
      indices: numbers of the cubes.

    Raises:
      ValueError: names a cube without a period that has ended by its date.
    """

    def __init__(
        self,
        data: Dataset,
        predictor: Predictor,
        num_periods: int,
        crops: Sequence[int],
        dates: np.ndarray,
        indices: Sequence[int],
    ):
        self._data, self._num_periods, self._halo = data, num_periods, predictor.halo
        self._grids = [mosaic_groups.describe_row(data, i) for i in range(len(data.cubes))]
        self._ends = functools.cache(self._find_ends)
        self._mosaic_groups = functools.cache(self._find_mosaic_groups)
        self._dates: dict[tuple[str, _Ends], int] = {}
        self._crops: dict[int, dict[tuple[str, _Ends, int], list[int]]] = {}
        classes: dict[tuple[str, _Ends, int], set[int]] = {}
        groups = window_groups(data, dates)
        for index in indices:
            season = data.cubes[index]["season"]
            own = self._crops.setdefault(index, {})
            for group, positions in enumerate(groups):
                date = int(dates[index, positions[0]])
                self._window(index, date)
                ends = self._ends(season, date)
                self._dates.setdefault((season, ends), date)
                key = (season, ends, group if predictor.per_group else 0)
                own.setdefault(key, []).extend(int(i) for i in positions)
                classes.setdefault(key, set()).update(crops[i] for i in positions)
        self._classes = {key: tuple(sorted(found)) for key, found in classes.items()}
        self._views: dict[tuple[MosaicGroup, int], View] = {}

    def jobs(self, index: int) -> list[Job]:
        """What is to be predicted of a cube; no crop is in two of them."""
        jobs = []
        for (season, ends, group), positions in self._crops[index].items():
            found, number = self._mosaic_groups(season, ends)[self._data.cubes[index]["id"]]
            kept = self._classes[season, ends, group]
            view = self._views.setdefault((found, group), View(found, group, kept))
            window = self._window(index, self._dates[season, ends])
            jobs.append(Job(view, number, window, tuple(positions)))
        return jobs

    def _window(self, index: int, date: int) -> as_of_windows.Window:
        where = f"cube {self._data.cubes[index]['id']}"
        return as_of_windows.as_of_window(self._data.periods(index), date, self._num_periods, where)

    def _find_ends(self, season: str, date: int) -> _Ends:
        rows = zip(self._data.cubes, self._grids, strict=True)
        known = dict.fromkeys(grid.periods for row, grid in rows if row["season"] == season)
        return tuple(as_of_windows.last_period(np.array(spans), date) for spans in known)

    def _find_mosaic_groups(self, season: str, ends: _Ends) -> dict[str, tuple[MosaicGroup, int]]:
        """The mosaic group of every cube of a season that has something to see, and its number."""
        date = self._dates[season, ends]
        cubes = [
            grid
            for row, grid in zip(self._data.cubes, self._grids, strict=True)
            if row["season"] == season and grid.periods[0][1] <= date
        ]
        found = mosaic_groups.join(cubes, self._num_periods, date, self._halo)
        return {
            one.cube_id: (group, number)
            for group in found
            for number, one in enumerate(group.cubes)
        }
