"""Maps of cubes in memory, as `predict` makes them of folders."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from cropmap_jax import runs
from cropmap_jax.api import convention
from cropmap_jax.geo import cube
from cropmap_jax.geo.cube_io import RawCube
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.inference.memory_source import MemorySource
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import cubes as cubes_lib
from cropmap_jax.mapping import decision, plan
from cropmap_jax.mapping.decision import PERCENT
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored

NONE_OF_THESE = "none_of_these"
Progress = Callable[..., Any]
"""A progress bar over an iterable: (items, total=, unit=, desc=) -> items."""


class _Shares:
    """Probabilities of a cube's pixels as they come in, part by part."""

    def __init__(self, info: cube.CubeInfo, box: Box, possible: np.ndarray, rule: decision.Rule):
        self.info, self._box, self._possible, self._rule = info, box, possible, rule
        self.found = np.zeros((*info.shape, len(possible) + 1), np.float32)
        self.nothing = np.ones(info.shape, bool)

    def add(self, box: Box, probability: np.ndarray, values: Pixels) -> None:
        """See `plan.Made`."""
        here = box.inside(self._box)
        self.found[here] = decision.shares(probability, self._possible, self._rule)
        self.nothing[here] = np.isnan(probability).any(-1)

    def shown(self) -> tuple[np.ndarray, np.ndarray]:
        """Crop and confidence, uint8 [H, W]."""
        return decision.shown(self.found, self.nothing, self._possible, self._rule)


def predict(
    restored: Restored,
    predictor: Predictor,
    cubes: Sequence[RawCube],
    as_of: dt.date,
    calibrated: Stored | None,
    threshold: float,
    smooth: int,
    progress: Progress,
) -> list[xr.Dataset]:
    """Maps cubes of one season; those that touch are predicted as one, without seams.

    Args:
      restored: the run.
      predictor: its own, without calibration.
      cubes: with names and ground that differ.
      as_of: exclusive date of the prediction.
      calibrated, threshold, smooth: see `plan.make`.
      progress: shows how far it is.

    Raises:
      ValueError: cubes that the run cannot map, or not together; or dates.
    """
    infos = [one.info for one in cubes]
    _check_names(infos)
    cubes_lib.check(infos, restored.recipe, as_of, "as_of")
    made = plan.make(restored, infos, as_of, threshold, smooth, calibrated)
    source = MemorySource({one.info.cube_id: one for one in cubes})
    found: dict[str, _Shares] = {}

    def begin(group: MosaicGroup, number: int) -> _Shares:
        own = group.cubes[number].cube_id
        box = group.tiling.boxes[number]
        return _Shares(made.infos[own], box, made.allowed[own], made.rule)

    def end(one: _Shares) -> None:
        found[one.info.cube_id] = one

    todo = made.todo()
    parts = sum(1 for view, number in todo for _ in view.mosaic_group.pieces(number))
    steps: Iterable[None] = plan.run(
        source, made.predictor(predictor), made.smoothing, todo, begin, end
    )
    for _ in progress(steps, total=parts, unit="part", desc="predict"):
        pass
    return [_to_xarray(found[info.cube_id], made, restored) for info in infos]


def _check_names(infos: Sequence[cube.CubeInfo]) -> None:
    names = [info.cube_id for info in infos]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"cubes: expected names that differ (cube_id), found {twice[0]!r} more than once"
        )
    seasons = sorted({info.season for info in infos})
    if len(seasons) > 1:
        raise ValueError(f"cubes: expected one season, found {', '.join(seasons)}")


def _to_xarray(one: _Shares, made: plan.Plan, restored: Restored) -> xr.Dataset:
    """Probabilities, crop and confidence of a cube."""
    legend, recipe = restored.recipe.legend, restored.recipe
    names = [*legend.names, *([NONE_OF_THESE] if made.rule.has_none else [])]
    shares = np.moveaxis(one.found[..., : len(names)], -1, 0).copy()
    shares[:, one.nothing] = np.nan
    crop, confidence = one.shown()
    out = xr.Dataset(coords=convention.coordinates(one.info.geobox))
    out = out.assign_coords({"class": ("class", names, {"long_name": "class of the legend"})})
    about = {"long_name": "probability of the class", "units": "1", "valid_range": [0.0, 1.0]}
    out["probability"] = ("class", "y", "x"), shares, about
    out["crop"] = ("y", "x"), crop, convention.flags(legend, "crop map")
    about = {"long_name": "probability of what the crop map shows", "units": "percent"}
    out["confidence"] = ("y", "x"), confidence, about | {"valid_range": [0, PERCENT]}
    for name in out.data_vars:
        out[name].encoding["grid_mapping"] = convention.GRID
        if name != "probability":
            out[name].encoding["_FillValue"] = np.uint8(IGNORE)
    out.attrs = {
        "Conventions": "CF-1.11",
        "title": f"crops of {one.info.cube_id} as of {made.as_of}",
        "as_of": made.as_of.isoformat(),
        "method": runs.method_of(restored),
        "step": restored.step,
        "legend": legend.name,
        "window_periods": recipe.num_periods,
        "calibrated": made.calibrated.describe() if made.calibrated else "no",
        "notes": "\n".join(made.notes),
    }
    return out
