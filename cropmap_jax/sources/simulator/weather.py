"""Daily rain, the moisture of the topsoil, and cloudiness of a site."""

import dataclasses

import numpy as np
from scipy import special

TOPSOIL_MM = 30.0
"""Depth of soil that the C-band radar and the eye see change, 3 cm."""
DRIEST, CAPACITY, FULL = 5.0, 32.0, 38.0
"""Volume % of the topsoil: at its driest, at field capacity and when full of water."""
PERSISTENCE = 0.75
"""Correlation of cloudiness from one day to the next."""
START = 22.0
"""Volume % on the first day; forgotten within weeks."""


@dataclasses.dataclass(frozen=True)
class Climate:
    """Monthly climate, January first; round figures of ours for a kind of climate, not a station.

    Args:
      wet_days: share of days with rain.
      rain: mm on a wet day.
      evaporation: mm a day that a moist topsoil loses.
      cloud: mean share of the sky under cloud at 10:30.
      frost: share of the days without rain on them or the day before on which the ground is frozen
        at the pass of Sentinel-1.
      rain_spread: standard deviation of ln(rain) from one year's month to another's.
    """

    wet_days: tuple[float, ...]
    rain: tuple[float, ...]
    evaporation: tuple[float, ...]
    cloud: tuple[float, ...]
    frost: tuple[float, ...]
    rain_spread: float = 0.4


OCEANIC = Climate(
    wet_days=(0.52, 0.46, 0.44, 0.40, 0.42, 0.38, 0.36, 0.36, 0.38, 0.44, 0.50, 0.52),
    rain=(4.0, 3.8, 3.8, 4.2, 4.6, 5.0, 5.2, 5.2, 4.8, 4.8, 4.6, 4.4),
    evaporation=(0.6, 1.3, 1.8, 2.5, 3.2, 3.6, 3.7, 3.1, 2.1, 1.2, 0.6, 0.4),
    cloud=(0.78, 0.72, 0.64, 0.58, 0.58, 0.54, 0.52, 0.52, 0.54, 0.64, 0.76, 0.80),
    frost=(0.5, 0.6, 0.25, 0.05, 0, 0, 0, 0, 0, 0.05, 0.2, 0.4),
)
CONTINENTAL = Climate(
    wet_days=(0.45, 0.42, 0.40, 0.36, 0.42, 0.42, 0.40, 0.36, 0.34, 0.36, 0.44, 0.46),
    rain=(2.6, 2.6, 3.0, 3.8, 5.2, 6.0, 6.2, 6.0, 4.8, 4.0, 3.4, 3.0),
    evaporation=(0.3, 0.6, 1.4, 2.5, 3.4, 4.0, 4.2, 3.6, 2.3, 1.2, 0.5, 0.3),
    cloud=(0.80, 0.74, 0.64, 0.56, 0.54, 0.52, 0.48, 0.46, 0.52, 0.62, 0.80, 0.84),
    frost=(0.9, 0.8, 0.5, 0.1, 0, 0, 0, 0, 0, 0.1, 0.4, 0.8),
)
MEDITERRANEAN = Climate(
    wet_days=(0.30, 0.28, 0.28, 0.30, 0.26, 0.16, 0.10, 0.12, 0.20, 0.28, 0.32, 0.32),
    rain=(5.0, 5.0, 5.2, 5.4, 5.4, 5.2, 5.0, 5.4, 6.2, 6.4, 6.2, 5.4),
    evaporation=(1.0, 1.5, 2.3, 3.2, 4.2, 5.2, 5.8, 5.2, 3.8, 2.3, 1.3, 0.9),
    cloud=(0.52, 0.50, 0.48, 0.46, 0.40, 0.30, 0.20, 0.22, 0.34, 0.44, 0.52, 0.54),
    frost=(0.3, 0.25, 0.1, 0, 0, 0, 0, 0, 0, 0, 0.1, 0.25),
)
SEMI_ARID = Climate(
    wet_days=(0.20, 0.22, 0.24, 0.20, 0.10, 0.03, 0.02, 0.02, 0.03, 0.08, 0.16, 0.20),
    rain=(5.5, 5.5, 6.0, 6.0, 5.0, 3.0, 3.0, 3.0, 3.0, 4.5, 5.5, 5.5),
    evaporation=(1.2, 1.7, 2.6, 3.8, 5.2, 6.6, 7.2, 6.6, 5.2, 3.4, 2.0, 1.3),
    cloud=(0.46, 0.44, 0.44, 0.38, 0.28, 0.12, 0.10, 0.08, 0.10, 0.20, 0.36, 0.44),
    frost=(0.4, 0.3, 0.1, 0, 0, 0, 0, 0, 0, 0, 0.15, 0.35),
)


def with_rain(climate: Climate, months: tuple[float, ...]) -> Climate:
    """A climate with the rain of one known year: mm in January to December, without spread."""
    chance = [min(max(mm / 30.4 / rain, 0.08), 0.6) for mm, rain in
              zip(months, climate.rain, strict=True)]  # fmt: skip
    amount = [mm / 30.4 / p for mm, p in zip(months, chance, strict=True)]
    return dataclasses.replace(climate, wet_days=tuple(chance), rain=tuple(amount), rain_spread=0.0)


@dataclasses.dataclass(frozen=True)
class Weather:
    """Daily weather of a site.

    Args:
      days: int64 [D], days since 1970-01-01, contiguous.
      rain: float32 [D], mm.
      moisture: float32 [D], volume % of a bare topsoil that nobody waters.
      cloud: float32 [D], share of the sky under cloud over the wider scene.
      frozen: bool [D], whether the ground is frozen.
    """

    days: np.ndarray
    rain: np.ndarray
    moisture: np.ndarray
    cloud: np.ndarray
    frozen: np.ndarray


def month_of(days: np.ndarray) -> np.ndarray:
    """Month 0..11 of days since 1970-01-01."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12


def make_weather(climate: Climate, first: int, last: int, rng: np.random.Generator) -> Weather:
    """Draws weather from `first` to `last` inclusive, days since 1970-01-01.

    Wet days follow a two-state Markov chain and their rain a gamma distribution (Richardson 1981,
    doi:10.1029/WR017i001p00182); a dry month comes by chance now and then. Rain fills the topsoil,
    evaporation empties it the slower the drier it is.
    """
    days = np.arange(first, last + 1)
    month = month_of(days)
    # Some months are wet, some dry, as a whole: a factor of their own for each.
    factor = rng.lognormal(-(climate.rain_spread**2) / 2, climate.rain_spread, len(days) // 30 + 1)
    factor = factor[(days - first) // 30]
    chance = np.clip(np.take(climate.wet_days, month) * factor, 0.0, 0.9)
    draws, wet = rng.random(len(days)), np.zeros(len(days), bool)
    for i in range(1, len(days)):
        # Persistence 0.3: a wet day follows a wet one more often, the mean share stays.
        p = chance[i] + 0.3 * (wet[i - 1] - chance[i])
        wet[i] = draws[i] < p
    amount = rng.gamma(0.75, 1 / 0.75, len(days)) * np.take(climate.rain, month)
    rain = np.where(wet, amount, 0.0)
    moisture = soil_moisture(rain, np.take(climate.evaporation, month))
    # Rain comes with cloud; the sky is mostly clear or mostly covered.
    mean, often = np.take(climate.cloud, month), np.take(climate.wet_days, month)
    rainy = np.minimum(mean + 0.2, 0.95)
    mean = np.where(wet, rainy, np.clip((mean - often * rainy) / (1 - often), 0.03, 0.95))
    cover = special.betaincinv(0.6 * mean, 0.6 * (1 - mean), special.ndtr(_spells(len(days), rng)))
    dry = ~wet & ~np.append(False, wet[:-1])
    frozen = dry & (rng.random(len(days)) < np.take(climate.frost, month))
    return Weather(days, rain.astype(np.float32), moisture, cover.astype(np.float32), frozen)


def _spells(days: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal, correlated from day to day: clear and dull weather come in spells."""
    out = rng.standard_normal(days)
    for i in range(1, days):
        out[i] = PERSISTENCE * out[i - 1] + np.sqrt(1 - PERSISTENCE**2) * out[i]
    return out


def soil_moisture(water: np.ndarray, evaporation: np.ndarray) -> np.ndarray:
    """Volume % of the topsoil, day by day, from mm of water and of potential evaporation.

    Args:
      water: float [..., D].
      evaporation: float [D].

    Returns:
      float32 [..., D].
    """
    out = np.empty(water.shape, np.float32)
    level = np.full(water.shape[:-1], START)
    for i in range(water.shape[-1]):
        level = next_moisture(level, water[..., i], evaporation[i])
        out[..., i] = level
    return out


def next_moisture(level: np.ndarray, water: np.ndarray, evaporation: float) -> np.ndarray:
    """Volume % a day later, after mm of water and of potential evaporation."""
    dryness = (level - DRIEST) / (FULL - DRIEST)
    level = level + (water - evaporation * dryness) * 100 / TOPSOIL_MM
    # What is beyond field capacity drains in about two days.
    level = np.where(level > CAPACITY, CAPACITY + (level - CAPACITY) * 0.5, level)
    moisture: np.ndarray = np.clip(level, DRIEST, FULL)
    return moisture
