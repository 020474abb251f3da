"""Sentinel-1 backscatter (C band, sigma-0) of soil under vegetation, and speckle.

Vegetation is a water cloud (Attema & Ulaby 1978, doi:10.1029/RS013i002p00357): the soil's
backscatter is attenuated twice by the canopy, which adds its own. The soil follows the empirical
model of Baghdadi et al. (2016, doi:10.3390/rs8110920), fitted to C- and other band observations of
bare fields.
"""

import dataclasses

import numpy as np

WAVENUMBER = 2 * np.pi / 5.547
"""Radians per cm at Sentinel-1's 5.405 GHz."""


@dataclasses.dataclass(frozen=True)
class Structure:
    """How a crop's canopy scatters, each as (VV, VH).

    Leaves and stems (with ears and pods) are two constituents of one cloud.

    Args:
      leaf: linear sigma-0 of a deep canopy of leaves.
      leaf_depth: one-way optical depth per green leaf area.
      stem: linear sigma-0 of a deep canopy of full-grown stems.
      stem_depth: one-way optical depth of full-grown, moist stems.
      rows: dB added to VV where the radar looks straight across bare rows.
    """

    leaf: tuple[float, float]
    leaf_depth: tuple[float, float]
    stem: tuple[float, float]
    stem_depth: tuple[float, float]
    rows: float = 1.0


SOIL_VH_DB = 1.5
"""dB added to the model's cross term: without it winter fields of the French parcels (see `crops`)
come out that much too dark in VH."""


WEEDS, WEEDS_DEPTH = (0.095, 0.025), (0.14, 0.16)
"""Leaves of weeds and cover crops, as in `Structure`."""


def soil_backscatter(moisture: np.ndarray, roughness: np.ndarray, incidence: float) -> np.ndarray:
    """Linear sigma-0 of bare soil.

    Source: Baghdadi et al. (2016), doi:10.3390/rs8110920, equations for VV and HV.

    Args:
      moisture: volume %.
      roughness: root mean square height in cm, same shape.
      incidence: angle in radians.

    Returns:
      float32 [..., 2], VV and VH.
    """
    cot, sin, cos = 1 / np.tan(incidence), np.sin(incidence), np.cos(incidence)
    height = WAVENUMBER * roughness
    vv = 10 ** (-1.138 + 0.008 * cot * moisture) * cos**1.528 * height ** (0.71 * sin)
    vh = (
        10 ** (SOIL_VH_DB / 10 - 2.325 + 0.011 * cot * moisture)
        * cos**-0.01
        * height ** (0.44 * sin)
    )
    return np.stack([vv, vh], -1).astype(np.float32)


def water_cloud(
    soil: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]], incidence: float
) -> np.ndarray:
    """Linear sigma-0 of vegetation over soil.

    `sigma = A cos(i) (1 - T2) + sigma_soil T2`, `T2 = exp(-2 tau / cos(i))`, where A is the mean of
    the constituents' weighted by their share of the optical depth tau.

    Source: Attema & Ulaby (1978), doi:10.1029/RS013i002p00357.

    Args:
      soil: [..., 2], linear.
      parts: of each constituent, sigma-0 of a deep cloud and one-way optical depth, [..., 2].
      incidence: angle in radians.

    Returns:
      float32 [..., 2].
    """
    cos = np.cos(incidence)
    depth = sum(tau for _, tau in parts)
    deep = sum(sigma * tau for sigma, tau in parts) / np.maximum(depth, 1e-6)
    through = np.exp(-2 * depth / cos)
    power: np.ndarray = deep * cos * (1 - through) + soil * through
    return power.astype(np.float32)


# A 1-2-1 average along each axis: neighbours then correlate by 2/3 and second neighbours by 1/6, as
# in Sentinel-1's 10 m pixels, which over-sample a resolution of about 20 m.
_TAPS = (0.25, 0.5, 0.25)
LOOKS = 4.4
"""Equivalent number of looks of one IW GRD image at high resolution.

Source: ESA, Sentinel-1 product specification (S1-RS-MDA-52-7441), IW GRD HD.
"""


def speckle(shape: tuple[int, ...], rng: np.random.Generator, looks: float = LOOKS) -> np.ndarray:
    """Multiplicative speckle of mean 1 over uniform ground.

    Args:
      shape: (..., height, width).
      rng: generator.
      looks: equivalent number of looks, mean^2 / variance.

    Returns:
      float32 of that shape.
    """
    ground = np.ones((*shape[:-2], shape[-2] + 2, shape[-1] + 2), np.float32)
    return sense(ground, rng, looks)


def sense(power: np.ndarray, rng: np.random.Generator, looks: float = LOOKS) -> np.ndarray:
    """One image of the ground: gamma noise on its backscatter, blurred to the radar's resolution.

    Args:
      power: linear sigma-0, float32 [..., height, width].
      rng: generator.
      looks: equivalent number of looks over uniform ground.

    Returns:
      float32 [..., height - 2, width - 2]: the outermost pixels only feed their neighbours.
    """
    kept = sum(w * w for w in _TAPS) ** 2  # variance that the average leaves
    noise: np.ndarray = rng.standard_gamma(looks * kept, power.shape, np.float32)
    noise /= np.float32(looks * kept)
    noise *= power
    a, b, c = np.array(_TAPS, np.float32)
    noise = a * noise[..., :-2, :] + b * noise[..., 1:-1, :] + c * noise[..., 2:, :]
    noise = a * noise[..., :-2] + b * noise[..., 1:-1] + c * noise[..., 2:]
    return noise
