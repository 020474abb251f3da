"""The map of one cube as it comes in, piece by piece: rasters, counts and votes."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixels
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import decision, field_votes
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.mapping.mask import Mask

if TYPE_CHECKING:  # it needs the packages of an extra
    from cropmap_jax.mapping.parcels import Parcels


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a map counts and leaves out.

    Args:
      mask: pixels that are left out.
      parcels: that get a class each.
    """

    mask: Mask | None = None
    parcels: "Parcels | None" = None


class CubeMap:
    """Class and confidence of a cube's pixels, and what was counted on the way.

    Args:
      info: the cube.
      box: where it lies in its mosaic group.
      possible: bool [classes], which can be there.
      rule: which class is shown.
      sensors, num_periods: of the window.
      limits: what is counted and left out.

    Attributes:
      info: the cube.
      crop, confidence: uint8 [H, W].
      seen: int64 [T, bands of all sensors], see `pixels.count_values`.
      masked: how many pixels the mask leaves out.
      votes: of the parcels; None where there are none.
    """

    def __init__(
        self,
        info: cube.CubeInfo,
        box: Box,
        possible: np.ndarray,
        rule: Rule,
        sensors: tuple[Sensor, ...],
        num_periods: int,
        limits: Limits,
    ):
        self.info, self._box, self._possible, self._rule = info, box, possible, rule
        self._sensors, self._limits = sensors, limits
        self.crop, self.confidence = (np.full(info.shape, IGNORE, np.uint8) for _ in range(2))
        bands = sum(len(sensor.bands) for sensor in sensors)
        self.seen = np.zeros((num_periods, bands), np.int64)
        self.masked = 0
        self.votes = None
        if limits.parcels is not None:
            self.votes = field_votes.Votes(limits.parcels, len(possible))

    @property
    def nbytes(self) -> int:
        """Of the rasters."""
        return int(self.crop.nbytes + self.confidence.nbytes)

    def add(self, box: Box, probability: np.ndarray, values: Pixels) -> None:
        """Adds a piece of the cube.

        Args:
          box: pixels of the mosaic group, within the cube's.
          probability: float32 [H, W, classes], NaN where nothing was seen.
          values: what was seen there.

        Raises:
          ValueError: names the mask if it is damaged.
        """
        here = box.inside(self._box)
        geobox = self.info.geobox[here]
        nothing = np.isnan(probability).any(-1)
        masked = np.zeros(nothing.shape, bool)
        if self._limits.mask is not None:
            masked = self._limits.mask.left_out(geobox)
        found = decision.shares(probability, self._possible, self._rule)
        self.crop[here], self.confidence[here] = decision.shown(
            found, nothing | masked, self._possible, self._rule
        )
        self.seen += pixels.count_values(values, self._sensors)
        self.masked += int(masked.sum())
        if self.votes is not None:
            self.votes.add(geobox, found, nothing, masked)

    def more_files(self) -> dict[str, bytes]:
        """What lies next to the rasters and is not one."""
        return {} if self.votes is None else {field_votes.VOTES: self.votes.to_bytes()}
