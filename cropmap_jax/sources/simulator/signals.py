"""What the two sensors would measure over whole fields, before clouds, speckle and pixels."""

import dataclasses

import numpy as np

from cropmap_jax.sources.simulator import optics, radar
from cropmap_jax.sources.simulator.phenology import AnyCrop, Course

FLOODED_DB = (-5.0, -8.0)
"""dB by which standing water between the plants lowers the soil's VV and VH."""
FROZEN_MOISTURE = 10.0
"""Volume % of liquid water that the radar sees of frozen ground."""
GAPS = np.float32(0.06)
"""Share of a field that stays bare: tramlines, gaps, margins."""
WET_CANOPY = 0.12
"""dB that a canopy scatters more per volume % of soil moisture: plants in wet weather hold and
catch more water. Of ours, after the French grassland, which the dry February of 2023 dimmed by 2
dB."""


@dataclasses.dataclass(frozen=True)
class Soil:
    """Soils of fields.

    Args:
      brightness: float32 [N], 1 is a bright loess.
      moisture: float32 [N, D], volume % of the topsoil.
      frozen: bool [D].
      rows: float32 [N], direction of rows in radians from north, either way along.
    """

    brightness: np.ndarray
    moisture: np.ndarray
    frozen: np.ndarray
    rows: np.ndarray

    def at(self, index: np.ndarray) -> "Soil":
        """The soils on some of their days."""
        return dataclasses.replace(
            self, moisture=self.moisture[:, index], frozen=self.frozen[index]
        )


def draw_soil(
    moisture: np.ndarray, frozen: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> Soil:
    """Draws the soil of N fields: texture shifts its brightness and how much water it holds.

    Args:
      moisture: float [D] or [N, D], volume %.
      frozen: bool [D].
      rows: float [N], radians.
      rng: generator.
    """
    count = len(rows)
    brightness = np.clip(rng.normal(0.62, 0.10, count), 0.35, 0.95).astype(np.float32)
    holds = rng.normal(1.0, 0.12, (count, 1))
    own = np.clip(np.broadcast_to(moisture, (count, len(frozen))) * holds, 3.0, 42.0)
    return Soil(brightness, own.astype(np.float32), frozen, rows.astype(np.float32))


def reflectance(
    crop: AnyCrop, course: Course, soil: Soil, pale_shift: np.ndarray, more_leaf: float = 0.0
) -> np.ndarray:
    """Reflectance of fields, float32 [N, D, 10].

    Args:
      crop: what grows.
      course: its state, [N, D].
      soil: of the fields.
      pale_shift: float [N], how much paler than its crop a field is.
      more_leaf: relative change of all leaf areas, for derivatives.
    """
    bare = optics.soil_reflectance(soil.moisture, soil.brightness[:, None])
    water = course.flooded[..., None]
    bare = bare + water * (0.6 * optics.WATER - 0.6 * bare)
    pale = np.clip(crop.growth.pale + pale_shift, 0, 1)[:, None]
    bleached = np.clip(1.2 - 0.03 * soil.moisture, 0.2, 0.9)
    grow = np.float32(1.0 + more_leaf)
    canopy = optics.canopy_reflectance(
        bare, course.green * grow, course.brown * grow, pale, bleached, course.bloom
    )
    seen: np.ndarray = canopy + GAPS * (bare - canopy)
    return seen


def backscatter(
    crop: AnyCrop, course: Course, soil: Soil, incidence: float, look: float
) -> np.ndarray:
    """Linear sigma-0 of fields, float32 [N, D, 2].

    Args:
      crop: what grows.
      course: its state, [N, D].
      soil: of the fields.
      incidence: radians.
      look: azimuth in which the radar looks, radians from north.
    """
    # Ice has a permittivity like dry soil's.
    water = np.where(soil.frozen, np.minimum(soil.moisture, FROZEN_MOISTURE), soil.moisture)
    bare = radar.soil_backscatter(water, course.rough, incidence)
    across = np.sin(soil.rows - look)[:, None] ** 2
    rows_db = crop.structure.rows * across * course.bare_rows
    bare = bare * 10 ** (rows_db[..., None] * np.array([0.1, 0.05], np.float32))
    bare = bare * 10 ** (course.flooded[..., None] * np.array(FLOODED_DB, np.float32) / 10)
    # Dead leaves and residue hold little water: the radar sees through them.
    wetness = np.clip(water[..., None], 12.0, 36.0) - 25.0
    wet = 10 ** (WET_CANOPY * wetness / 10)
    plant = crop.structure
    amounts = (
        (plant.leaf, plant.leaf_depth, course.green - course.weeds),
        (radar.WEEDS, radar.WEEDS_DEPTH, course.weeds),
        (plant.stem, plant.stem_depth, course.stems),
    )
    parts = [
        (wet * np.array(sigma, np.float32), np.array(depth, np.float32) * amount[..., None])
        for sigma, depth, amount in amounts
    ]
    return radar.water_cloud(bare, parts, incidence)
