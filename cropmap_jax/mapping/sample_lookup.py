"""What the map shows at the points of a sample, and which share of a stratum is what."""

from typing import TYPE_CHECKING

import numpy as np

from cropmap_jax.mapping.map_folder import FinishedMap, locate
from cropmap_jax.mapping.map_strata import Counts, province_of
from cropmap_jax.mapping.sample_design import Design

if TYPE_CHECKING:  # it needs the packages of an extra
    from cropmap_jax.mapping.province_grid import Provinces

_DRAWS = 999
"""Random samples that one drawn elsewhere is compared with."""


def look_up(
    found: FinishedMap, design: Design, provinces: "Provinces | None", name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Class on the map and province of each point.

    Args:
      found: the map.
      design: of the sample.
      provinces: None for one without a name.
      name: of the file of points, for messages.

    Returns:
      int [n], position in `FinishedMap.names`; int [n], position in `Counts.provinces`.

    Raises:
      ValueError: a point outside the map, on no data that is no part of what was sampled, or on
        another class than its stratum says; names it.
    """
    located = locate(found, design.lon, design.lat)
    outside = np.flatnonzero(located.cube < 0)
    if len(outside):
        raise ValueError(
            f"{name}: expected points on the map, found {len(outside)} outside of it (id "
            f"{_some(design, outside)})"
        )
    shown = np.zeros(len(design.lon), int)
    home = np.zeros(len(design.lon), int)
    for number, own in located.by_cube():
        cube = found.cubes[number]
        at = located.row[own], located.col[own]
        shown[own] = found.classes(cube.read()[at], cube.path)
        home[own] = province_of(cube, provinces)[at]
    unseen = np.flatnonzero(shown == found.no_data)
    if len(unseen) and not design.with_no_data:
        raise ValueError(
            f"{name}: expected points where the map shows a class, found {len(unseen)} on no data "
            f"(id {_some(design, unseen)}), which is no part of what was sampled"
        )
    wanted = np.array([-1 if s.map_class is None else s.map_class for s in design.strata])
    wanted = wanted[design.stratum]
    wrong = np.flatnonzero((wanted >= 0) & (wanted != shown))
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"{name}: point {design.ids[i]}: expected class {found.names[wanted[i]]} on the map as "
            f"its stratum says, found {found.names[shown[i]]} ({len(wrong)} such points)"
        )
    return shown, home


def check_spread(found: FinishedMap, design: Design, counts: Counts) -> list[str]:
    """Whether points that were drawn elsewhere are spread over the cubes as by chance.

    Pearson's statistic of points per cube, of all strata together, against that of samples drawn
    at random; strata of provinces are passed over. Fields that were visited lie together.

    Args:
      found: the map.
      design: of the sample.
      counts: what the map holds.

    Returns:
      A note where no random sample of _DRAWS was as uneven; else none.
    """
    if design.ours:
        return []
    cube = locate(found, design.lon, design.lat).cube
    classes = found.no_data + design.with_no_data
    rng = np.random.default_rng(0)
    own, random = 0.0, np.zeros(_DRAWS)
    for h, stratum in enumerate(design.strata):
        pixels = counts.by_cube[:, :classes].sum(1)
        if stratum.map_class is not None:
            pixels = counts.by_cube[:, stratum.map_class]
        if stratum.province is not None or not pixels.any():
            continue
        share = pixels / pixels.sum()
        expected = np.maximum(share * stratum.points, np.finfo(float).tiny)[share > 0]
        drawn = np.bincount(cube[design.stratum == h], minlength=len(share))[share > 0]
        own += float(((drawn - expected) ** 2 / expected).sum())
        sets = rng.multinomial(stratum.points, share[share > 0], _DRAWS)
        random += ((sets - expected) ** 2 / expected).sum(1)
    if own <= random.max():
        return []
    return [
        f"points lie closer together than in any of {_DRAWS} random samples: were they chosen? "
        f"Then no area or interval follows from them"
    ]


def _some(design: Design, numbers: np.ndarray) -> str:
    shown = ", ".join(design.ids[i] for i in numbers[:5])
    return shown + (", ..." if len(numbers) > 5 else "")


def shares_of_strata(
    design: Design, counts: Counts, provinces: "Provinces | None"
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which share of each stratum is which class on the map, and lies in which province.

    Args:
      design: of the sample.
      counts: what the map holds.
      provinces: that the counts are of.

    Returns:
      float [H, classes and no data] and float [H, provinces]; None where strata are no classes.
    """
    classes = [stratum.map_class for stratum in design.strata]
    if any(one is None for one in classes):
        return None, None
    number = np.array([one for one in classes if one is not None])
    like_class = np.eye(counts.pixels.shape[1])[number]
    own = counts.pixels[:, number].T.astype(float)
    like_province = own / np.maximum(own.sum(1, keepdims=True), 1)
    same = provinces is not None and provinces.digest == design.provinces
    for h, stratum in enumerate(design.strata):
        if same and stratum.province in counts.provinces:
            like_province[h] = np.arange(own.shape[1]) == counts.provinces.index(stratum.province)
    return like_class, like_province


def sizes(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and hectares of each stratum, float [H]."""
    pixels = np.array([stratum.pixels for stratum in design.strata], float)
    return pixels, np.array([stratum.hectares for stratum in design.strata], float)
