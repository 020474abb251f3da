"""What a land-cover map like ESA WorldCover shows of a site, with its errors.

Of WorldCover v200 an overall accuracy of 76.7 % is published (worldcover2021.esa.int), over the
whole globe and eleven classes. How often cropland, villages, woods and water of an irrigated plain
are taken for something else, and for what, are assumptions of ours: 10 to 20 %, shrubs and grass
taken for fallow and bare ground before anything else. Roads of 10 m, and whatever else is as
narrow, are not in the map; its edges wander by a pixel.
"""

import numpy as np
from scipy import ndimage

from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.sources.simulator import fields, labels, landscape
from cropmap_jax.sources.simulator.confusion import Confusion
from cropmap_jax.sources.simulator.worlds import World

_TREES, _SHRUBS, _GRASS, _CROPS, _BUILT, _BARE, _WATER, _WETLAND = range(8)
_NAMES = (
    "tree_cover",
    "shrubland",
    "grassland",
    "cropland",
    "built_up",
    "bare_sparse_vegetation",
    "permanent_water",
    "herbaceous_wetland",
)
_OF_COVER = {
    landscape.FIELD: _CROPS,
    landscape.ROAD: _BUILT,
    landscape.BUILT: _BUILT,
    landscape.WOOD: _TREES,
    landscape.WATER: _WATER,
}
_OF_KIND = {"orchard": _TREES, "fallow": _BARE, "grass": _GRASS}
"""Fields that are not cropland by WorldCover's definition: sown and harvested within the year."""
# Share of the ground that is taken for another class, and for which, in parts of that share.
_MISTAKES: dict[int, tuple[float, dict[int, float]]] = {
    _TREES: (0.10, {_SHRUBS: 0.4, _GRASS: 0.4, _CROPS: 0.2}),
    _SHRUBS: (0.20, {_GRASS: 1.0}),
    _GRASS: (0.20, {_CROPS: 0.5, _SHRUBS: 0.3, _BARE: 0.2}),
    _CROPS: (0.15, {_GRASS: 0.50, _BARE: 0.25, _SHRUBS: 0.13, _TREES: 0.08, _BUILT: 0.04}),
    _BUILT: (0.20, {_BARE: 0.4, _CROPS: 0.3, _GRASS: 0.2, _TREES: 0.1}),
    _BARE: (0.50, {_GRASS: 0.6, _CROPS: 0.4}),
    _WATER: (0.10, {_BARE: 0.5, _WETLAND: 0.3, _GRASS: 0.2}),
    _WETLAND: (0.20, {_GRASS: 1.0}),
}
_VERGES = {_GRASS: 0.7, _TREES: 0.2, _BARE: 0.1}
_COARSE_PX = 3
"""What is narrower than half of this has no pixel of its own in the map."""


def make_map(world: World, ground: fields.Ground, amount: float, seed: int) -> np.ndarray:
    """Codes of ESA WorldCover as they might be mapped of a site.

    Args:
      world, ground: the site.
      amount: factor on all errors: 0 the truth (with roads), 1 as assumed above.
      seed: maps of one seed are equal.

    Returns:
      uint8 [H, W], codes of `geo.landcover.WORLDCOVER`.
    """
    true = np.zeros(ground.cover.shape, np.uint8)
    for cover, index in _OF_COVER.items():
        true[ground.cover == cover] = index
    of_kind = np.array([_OF_KIND.get(key, _CROPS) for key in world.kinds], np.uint8)
    inside = ground.parcel > 0
    true[inside] = of_kind[ground.kind[ground.parcel[inside].astype(int) - 1]]
    if amount > 0:
        errors = labels.MapErrors(amount=amount, verge=0.05, blur_px=0.7)
        true = _coarse(labels.map_errors(true, ground.parcel, _confusion(), errors, seed))
    codes = {name: code for code, name, _ in WORLDCOVER.classes}
    found: np.ndarray = np.array([codes[name] for name in _NAMES], np.uint8)[true]
    return found


def _coarse(true: np.ndarray) -> np.ndarray:
    """Each pixel as most of its neighbourhood is; as it was where several are as many."""
    count = np.stack(
        [
            ndimage.uniform_filter((true == index).astype(np.float32), _COARSE_PX, mode="nearest")
            for index in range(len(_NAMES))
        ]
    )
    own = np.take_along_axis(count, true[None].astype(np.int64), 0)[0]
    most = count.max(0)
    return np.where(most > own + 1e-3, count.argmax(0), true).astype(np.uint8)


def _confusion() -> Confusion:
    matrix = np.eye(len(_NAMES) + 1)  # the last row, what a map masks, is not used
    for index, (share, others) in _MISTAKES.items():
        matrix[index, index] = 1 - share
        matrix[index, list(others)] = share * np.array(list(others.values()))
    verges = np.zeros(len(_NAMES) + 1)
    verges[list(_VERGES)] = list(_VERGES.values())
    return Confusion(matrix, verges)
