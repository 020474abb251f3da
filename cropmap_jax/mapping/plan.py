"""What decides a map before any pixel is read, and the loop that predicts it.

`predict` writes files and the Python API returns arrays: both are made here, from the same checks,
mosaic groups, notes and order of parts.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.inference import engine, smoothing
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.pixels import Pixels, PixelSource
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Smoothing
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import cubes, notes
from cropmap_jax.mapping.decision import THRESHOLD, Rule
from cropmap_jax.runs import calibration
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Cubes that are mapped together, and how.

    Args:
      restored: the run.
      as_of: exclusive date of the prediction.
      rule: which class is shown.
      calibrated: how probabilities are rescaled; None: not.
      smoothing: how they are smoothed; None: not.
      halo: pixels around a part that the predictor sees.
      infos: by id.
      allowed: by id, bool [classes], which can be there on the date.
      groups: cubes that are predicted as one.
      notes: for people, a line each.
    """

    restored: Restored
    as_of: dt.date
    rule: Rule
    calibrated: Stored | None
    smoothing: Smoothing | None
    halo: int
    infos: dict[str, cube.CubeInfo]
    allowed: dict[str, np.ndarray]
    groups: list[MosaicGroup]
    notes: list[str]

    def predictor(self, bare: Predictor) -> Predictor:
        """The run's own predictor with its calibration, if it has one."""
        return calibration.apply(bare, self.calibrated, len(self.restored.recipe.legend))

    def todo(self) -> list["Task"]:
        """All cubes, in an order in which neighbours follow each other."""
        recipe = self.restored.recipe
        bands = sum(len(sensor.bands) for sensor in recipe.sensors)
        across = engine.parts_across(len(recipe.legend), recipe.num_periods, bands, self.halo)
        # One view a group: what cubes share is predicted once.
        return [
            (view, number)
            for view in map(engine.View, self.groups)
            for number in view.mosaic_group.ordered(across)
        ]


Task = tuple[engine.View, int]
"""A group as the predictor sees it, and the number of one of its cubes."""


class Made(Protocol):
    """What the pieces of a cube are gathered in, such as `cube_maps.CubeMap`."""

    def add(self, box: Box, probability: np.ndarray, values: Pixels) -> None:
        """Adds a piece.

        Args:
          box: pixels of the mosaic group, within the cube's.
          probability: float32 [H, W, classes], NaN where nothing was seen.
          values: what was seen there.
        """


_M = TypeVar("_M", bound=Made)


def make(
    restored: Restored,
    infos: Sequence[cube.CubeInfo],
    as_of: dt.date,
    threshold: float = THRESHOLD,
    smooth: int = 0,
    calibrated: Stored | None = None,
    halo: int | None = None,
) -> Plan:
    """Plans the map of cubes that `cubes.check` allowed.

    Args:
      restored: the run.
      infos: at least one cube.
      as_of: exclusive date of the prediction.
      threshold: at which a class is shown that does not exclude others.
      smooth: side in pixels of the window that probabilities are smoothed over; 0 for none.
      calibrated: how probabilities are rescaled; None: not.
      halo: of a predictor that stands in for the run's own; None: the run's.

    Raises:
      ValueError: a window that cannot be smoothed over, cubes without a period by the date, or a
        run that records something else than where it was trained.
    """
    recipe = restored.recipe
    smoothed = smoothing.find(smooth, recipe.sensors)
    halo = recipe.halo if halo is None else halo
    noted = notes.before(list(infos), recipe, as_of) + notes.elsewhere(infos, restored)
    if calibrated:
        noted.append(f"probabilities are calibrated: {calibrated.describe()}")
    if recipe.exclusive and threshold != THRESHOLD:
        noted.append("--threshold has no effect: classes exclude each other")
    allowed = {}
    for info in infos:
        excluded = cubes.unplanted(info, recipe, as_of)
        allowed[info.cube_id] = np.array([name not in excluded for name in recipe.legend.names])
    return Plan(
        restored=restored,
        as_of=as_of,
        rule=Rule(recipe.exclusive, threshold, recipe.none_of_these),
        calibrated=calibrated,
        smoothing=smoothed,
        halo=halo,
        infos={info.cube_id: info for info in infos},
        allowed=allowed,
        groups=cubes.join(list(infos), recipe.num_periods, as_of, halo),
        notes=noted,
    )


def run(
    source: PixelSource,
    predictor: Predictor,
    smoothed: Smoothing | None,
    todo: Sequence[Task],
    begin: Callable[[MosaicGroup, int], _M],
    end: Callable[[_M], None],
) -> Iterator[None]:
    """Predicts cubes part by part, and yields after each part.

    Reading and predicting overlap: the source must allow several threads.

    Args:
      source: pixels of the cubes.
      predictor: of the run, with its calibration.
      smoothed: how probabilities are smoothed; None: not.
      todo: which cubes, in which order.
      begin: what the pieces of a cube are gathered in, called before its first part.
      end: called with it after the last.

    Raises:
      ValueError: names a file of a cube that cannot be read.
    """
    requests = [
        [engine.Request(view, box) for box in view.mosaic_group.pieces(number)]
        for view, number in todo
    ]
    with engine.Engine(source, predictor, ahead_bytes=engine.AHEAD_BYTES) as bare:
        running = smoothing.over(bare, smoothed, predictor.sensors)
        for own in requests:
            for request in own:
                running.expect(request)
        for (view, number), own in zip(todo, requests, strict=True):
            made = begin(view.mosaic_group, number)
            for request in own:
                made.add(request.box, running.probability(request), running.pixels(request))
                yield
            end(made)
