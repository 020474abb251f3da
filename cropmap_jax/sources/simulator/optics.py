"""Surface reflectance of the ten Sentinel-2 bands from soil, green and brown canopy.

A canopy over soil reflects `R = Rc + (Rs - Rc) exp(-K L)`: the soil Rs shines through leaves of
area L and fades into the reflectance Rc of an infinitely deep canopy (Baret & Guyot 1991,
doi:10.1016/0034-4257(91)90009-U). Rc and K of each band and leaf kind were fitted to PROSAIL
(PROSPECT-D, Feret et al. 2017, doi:10.1016/j.rse.2017.03.004; 4SAIL, Verhoef et al. 2007,
doi:10.1109/TGRS.2007.895844; the `prosail` package 2.0.5) over leaf areas of 0.1 to 7 and three
soils, with a sun at 35 degrees, a view at 3 degrees and a mean leaf angle of 57 degrees; the fit
is within 0.012 of reflectance (root mean square) in every band.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One kind of leaf: reflectance of a deep canopy and extinction per leaf area, by band."""

    deep: np.ndarray
    extinction: np.ndarray


def _row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# PROSPECT-D's N, chlorophyll and carotenoids (ug/cm2), brown pigment, water and dry matter (g/cm2).
GREEN = Leaf(  # 1.5, 45, 9, 0, 0.014, 0.006
    _row(0.018, 0.043, 0.012, 0.065, 0.345, 0.531, 0.528, 0.525, 0.177, 0.061),
    _row(1.11, 1.03, 1.12, 0.96, 0.45, 0.30, 0.30, 0.30, 0.69, 0.90),
)
PALE = Leaf(  # 1.6, 25, 7, 0.05, 0.012, 0.006
    _row(0.024, 0.070, 0.018, 0.110, 0.384, 0.505, 0.514, 0.518, 0.196, 0.072),
    _row(1.10, 0.97, 1.10, 0.88, 0.42, 0.32, 0.32, 0.32, 0.67, 0.88),
)
BROWN = Leaf(  # 2.2, 3, 4, 0.7, 0.003, 0.006
    _row(0.042, 0.093, 0.106, 0.198, 0.272, 0.331, 0.393, 0.432, 0.329, 0.158),
    _row(1.08, 0.98, 0.94, 0.76, 0.62, 0.53, 0.46, 0.42, 0.53, 0.77),
)
STRAW = Leaf(  # 2.5, 0, 2, 0.3, 0.001, 0.008
    _row(0.087, 0.162, 0.286, 0.326, 0.364, 0.404, 0.440, 0.460, 0.346, 0.166),
    _row(1.01, 0.85, 0.62, 0.56, 0.51, 0.46, 0.43, 0.41, 0.53, 0.77),
)

# The dry and the wet soil spectrum that come with PROSAIL, averaged over Sentinel-2A's bands.
SOIL_DRY = _row(0.232, 0.263, 0.318, 0.338, 0.359, 0.379, 0.400, 0.413, 0.509, 0.493)
SOIL_WET = _row(0.025, 0.029, 0.038, 0.043, 0.051, 0.057, 0.067, 0.072, 0.158, 0.114)
# Round figures of ours for ground that no crop grows on; rapeseed's petals reflect green and red
# alike and absorb blue.
PETALS = _row(0.06, 0.22, 0.24, 0.27, 0.42, 0.46, 0.48, 0.48, 0.24, 0.12)
WATER = _row(0.045, 0.045, 0.030, 0.028, 0.022, 0.020, 0.018, 0.016, 0.010, 0.008)
ASPHALT = _row(0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.16, 0.18, 0.17)
ROOFS = _row(0.12, 0.14, 0.17, 0.18, 0.20, 0.21, 0.23, 0.23, 0.26, 0.25)
CLOUD = _row(0.55, 0.54, 0.53, 0.53, 0.54, 0.54, 0.55, 0.55, 0.42, 0.35)
PETAL_COVER = 0.35
"""Share of the view that petals fill in full bloom."""


def soil_reflectance(moisture: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Reflectance of bare soil, darker when wet.

    Args:
      moisture: float, volume %, any shape.
      brightness: float, same shape; 1 is PROSAIL's own soil.

    Returns:
      float32 [..., 10].
    """
    dry = np.clip((35.0 - moisture) / 30.0, 0.0, 1.0)[..., None].astype(np.float32)
    soil: np.ndarray = SOIL_WET + (SOIL_DRY - SOIL_WET) * dry
    return soil * brightness[..., None].astype(np.float32)


def canopy_reflectance(
    soil: np.ndarray,
    green: np.ndarray,
    brown: np.ndarray,
    pale: np.ndarray,
    straw: np.ndarray,
    bloom: np.ndarray,
) -> np.ndarray:
    """Reflectance of a canopy of green and brown leaves over soil.

    Args:
      soil: float [..., 10].
      green: green leaf area, m2/m2, shape [...].
      brown: leaf area of senescent leaves and residue.
      pale: 0..1, share of green leaves with little chlorophyll.
      straw: 0..1, share of brown leaves bleached to straw.
      bloom: 0..1, how much of the canopy is in yellow bloom.

    Returns:
      float32 [..., 10].
    """
    parts = (
        (GREEN, green * (1 - pale)),
        (PALE, green * pale),
        (BROWN, brown * (1 - straw)),
        (STRAW, brown * straw),
    )
    depth = np.zeros(soil.shape, np.float32)
    deep = np.zeros(soil.shape, np.float32)
    for leaf, area in parts:
        own = leaf.extinction * np.asarray(area, np.float32)[..., None]
        depth += own
        deep += own * leaf.deep
    deep /= np.maximum(depth, 1e-6)
    seen = deep + (soil - deep) * np.exp(-depth)
    cover = (PETAL_COVER * np.asarray(bloom, np.float32))[..., None]
    bloomed: np.ndarray = seen + cover * (PETALS - seen)
    return bloomed
