"""How fields grow: leaf area, senescence, stems, bloom and the state of the soil, day by day.

Leaf area follows a double logistic (Zhang et al. 2003, doi:10.1016/S0034-4257(02)00135-9), with a
first step before winter for crops sown in autumn. Every field has its own dates and amounts, drawn
around those of its crop.
"""

import dataclasses
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from cropmap_jax.sources.simulator.radar import Structure

STEP_DAYS = 6.0
"""Days that a harvest or tillage takes to show: fields are worked over several days."""
AUTUMN_SHIFT = -0.5
"""Days that sowing before winter moves for each day by which a region's spring is late."""
FIRST_CUT, CUTTING_DAYS = 132.0, 155.0
"""Day of the year on which cutting begins, and days that it lasts."""


@dataclasses.dataclass(frozen=True)
class Annual:
    """Mean course of a crop that is sown and harvested; days count from 1 January of harvest.

    Args:
      sow: sowing.
      rise, rise_days: fastest growth, and the scale of the logistic.
      peak: green leaf area at its highest, m2/m2.
      fall, fall_days: fastest loss of green, and its scale.
      harvest: harvest; a crop that is not ripe by then (`fall` and `fall_days` later) is cut green.
      winter: leaf area before spring growth; 0 for crops sown in spring.
      brown: share of the lost green that stands as brown leaf until harvest.
      heading: stems, ears or pods half grown.
      dries: share of the stems' water lost by harvest.
      stubble: brown leaf area left by the harvest.
      bloom, bloom_days: day of full bloom and how long it lasts; 0 days for none that shows.
      pale: share of pale leaves.
      flooded: days from sowing under water, as rice.
      before: leaf area of weeds and regrowth before sowing.
      cover: share of fields with a cover crop before sowing (spring crops) or after harvest.
      till: days from harvest to tillage.
      spread: standard deviation of a field's dates, days.
    """

    sow: float
    rise: float
    rise_days: float
    peak: float
    fall: float
    fall_days: float
    harvest: float
    winter: float = 0.0
    brown: float = 0.5
    heading: float | None = None
    dries: float = 0.8
    stubble: float = 0.5
    bloom: float = 0.0
    bloom_days: float = 0.0
    pale: float = 0.2
    flooded: float = 0.0
    before: float = 0.5
    cover: float = 0.3
    till: float = 40.0
    spread: float = 5.0


@dataclasses.dataclass(frozen=True)
class Perennial:
    """Mean course of a crop that stays: grass, lucerne, orchards, fallow, woods.

    Args:
      base: green leaf area in winter.
      amplitude: added at the height of the season.
      middle: day of the year of that height.
      width: standard deviation of the season in days.
      cuts: mean number of cuts or grazings a year.
      regrow: days to grow half back after a cut.
      left: share of the leaves that a cut leaves.
      brown: brown leaf area among the green.
      summer_brown: added in July to September, where grass dries.
      stems: 0..1, woody or standing matter that the radar sees all year.
      pale: share of pale leaves.
      spread: standard deviation of `middle`.
    """

    base: float
    amplitude: float
    middle: float = 160.0
    width: float = 60.0
    cuts: float = 0.0
    regrow: float = 18.0
    left: float = 0.15
    brown: float = 0.3
    summer_brown: float = 0.0
    stems: float = 0.0
    pale: float = 0.3
    spread: float = 12.0


GrowthT = TypeVar("GrowthT", bound=Annual | Perennial, covariant=True)


@dataclasses.dataclass(frozen=True)
class Crop(Generic[GrowthT]):
    """A kind of crop: how it grows, how it scatters, and how it varies from field to field.

    Args:
      name: what it is called in tables.
      growth: its mean course.
      structure: how its canopy scatters radar.
      vigour: standard deviation of ln(leaf area) between fields.
      irrigated: whether fields are watered while they grow.
    """

    name: str
    growth: GrowthT
    structure: Structure
    vigour: float = 0.15
    irrigated: bool = False


AnyCrop: TypeAlias = Crop[Annual | Perennial]
"""Of either course."""


@dataclasses.dataclass(frozen=True)
class Course:
    """State of fields, each float32 [fields, days].

    Args:
      green: green leaf area of all that grows, m2/m2.
      weeds: the part of it that is weeds, regrowth or a cover crop.
      brown: brown leaf area, standing or as residue.
      stems: moist stems, ears, pods or wood; 1 when full grown in a field of mean vigour.
      bloom: 0..1.
      rough: root mean square height of the soil, cm.
      bare_rows: 0..1, how plainly rows of soil show to the radar.
      growing: 0..1, whether the crop stands (for irrigation).
      flooded: 0..1.
    """

    green: np.ndarray
    weeds: np.ndarray
    brown: np.ndarray
    stems: np.ndarray
    bloom: np.ndarray
    rough: np.ndarray
    bare_rows: np.ndarray
    growing: np.ndarray
    flooded: np.ndarray


def _sigmoid(x: np.ndarray) -> np.ndarray:
    value: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(x, -40, 40)))
    return value


def develop(
    crop: AnyCrop, count: int, days: np.ndarray, shift: float, rng: np.random.Generator
) -> Course:
    """Grows `count` fields of a crop.

    Args:
      crop: the crop.
      count: number of fields N.
      days: float [D], days since 1 January of the harvest year (negative: the year before).
      shift: days by which the region is later than the table (colder), negative if earlier.
      rng: generator.

    Returns:
      `Course` of shape [N, D].
    """
    growth, rest = crop.growth, (crop.vigour, count, days, shift, rng)
    if isinstance(growth, Perennial):
        course = _perennial(growth, *rest)
    else:
        course = _annual(growth, *rest)
    return Course(*(np.asarray(f, np.float32) for f in dataclasses.astuple(course)))


def _annual(
    g: Annual,
    variation: float,
    count: int,
    days: np.ndarray,
    shift: float,
    rng: np.random.Generator,
) -> Course:
    n, t = (count, 1), days[None]

    def date(mean: float, own: float) -> np.ndarray:
        # A field's whole season moves together; each stage adds a little of its own.
        day: np.ndarray = mean + late + own * g.spread * rng.standard_normal(n)
        return day

    late = shift + 0.8 * g.spread * rng.standard_normal(n)
    # Autumn sowing is earlier where winters are colder: the opposite of spring.
    autumn = g.sow < 0
    sow = g.sow + g.spread * rng.standard_normal(n) + (AUTUMN_SHIFT if autumn else 1.0) * shift
    rise, fall = date(g.rise, 0.4), date(g.fall, 0.4)
    harvest = date(g.harvest, 0.3)
    if g.fall + g.fall_days <= g.harvest:
        # What is harvested ripe waits until it is; beet is lifted green.
        harvest = np.maximum(harvest, fall + g.fall_days)
    heading = (g.rise + 20.0 if g.heading is None else g.heading) + (rise - g.rise)
    vigour = rng.lognormal(0.0, variation, n)
    peak = g.peak * vigour
    winter = g.winter * rng.lognormal(0.0, 0.35, n)

    stands = _sigmoid((harvest - t) / (STEP_DAYS / 4))
    # Seedlings of autumn grow slowly in the cold.
    emerged = _sigmoid((t - sow - (32.0 if autumn else 18.0)) / (10.0 if autumn else 5.0))
    up = winter * emerged + np.maximum(peak - winter, 0) * emerged * _sigmoid(
        (t - rise) / g.rise_days
    )
    alive = _sigmoid((fall - t) / g.fall_days)
    green = up * alive * stands
    brown = g.brown * up * (1 - alive) * stands
    stem_up = _sigmoid((t - heading) / 8.0)
    stems = vigour * stem_up * (1 - g.dries * (1 - alive)) * stands
    bloom = np.zeros_like(green)
    if g.bloom_days:
        middle = g.bloom + (rise - g.rise)
        bloom = np.exp(-0.5 * ((t - middle) / (g.bloom_days / 2.5)) ** 2) * stands

    weeds, residue, seedbed, till = _between_crops(g, t, sow, harvest, 1 - stands, rng)
    green, brown = green + weeds, brown + residue

    own = rng.uniform(0.3, 0.7, n)
    # Cereals stand in cloddy autumn soil, spring crops in a fine seedbed.
    clods, lasting = (1.9, 60.0) if autumn else (0.6, 30.0)
    rough = own + clods * _after(t, seedbed, lasting) + 1.6 * _after(t, till, 60.0)
    bare = np.exp(-1.2 * (green + 0.5 * brown))
    flooded = np.zeros_like(green)
    if g.flooded:
        flooded = _sigmoid((t - sow) / 3.0) * _sigmoid((sow + g.flooded - t) / 4.0)
    growing = emerged * alive * stands
    return Course(green, weeds, brown, stems, bloom, rough, bare, growing, flooded)


def _between_crops(
    g: Annual,
    t: np.ndarray,
    sow: np.ndarray,
    harvest: np.ndarray,
    gone: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Before sowing and after harvest: leaf area of weeds and cover crops, residue, two dates.

    Returns:
      Green and brown leaf area [N, D], and the days of the seedbed and of tillage [N, 1].
    """
    n, autumn = sow.shape, g.sow < 0
    season = 0.55 + 0.45 * np.cos(2 * np.pi * (t - 130) / 365)
    low = g.before * rng.lognormal(0.0, 0.6, n) * season
    cover = (rng.random(n) < g.cover) * rng.uniform(1.2, 3.2, n)
    seedbed = sow - rng.uniform(5, 35, n)
    untilled = _sigmoid((seedbed - t) / (STEP_DAYS / 4))
    weeds = (low if autumn else low + cover * _sigmoid((t + 85) / 12.0)) * untilled
    till = harvest + g.till * rng.lognormal(0.0, 0.5, n)
    lies = gone * _sigmoid((till - t) / (STEP_DAYS / 4))
    regrown = _sigmoid((t - np.maximum(till, harvest + 25) - 20) / 8.0)
    weeds = weeds + (low + 0.7 * cover) * regrown
    return weeds, g.stubble * (lies + 0.25 * untilled), seedbed, till


def _after(t: np.ndarray, when: np.ndarray, decay: float) -> np.ndarray:
    """1 at `when`, fading over `decay` days as rain smooths what the plough left; 0 before."""
    return np.where(t >= when, np.exp(-np.maximum(t - when, 0) / decay), 0.0)


def _perennial(
    g: Perennial,
    variation: float,
    count: int,
    days: np.ndarray,
    shift: float,
    rng: np.random.Generator,
) -> Course:
    n, t = (count, 1), days[None]
    middle = g.middle + shift + g.spread * rng.standard_normal(n)
    around = (t - middle + 182.5) % 365.0 - 182.5
    vigour = rng.lognormal(0.0, variation, n)
    season = np.exp(-0.5 * (around / g.width) ** 2)
    green = vigour * (g.base + g.amplitude * season)
    if g.cuts:
        number = rng.poisson(g.cuts, count)
        for cut in range(int(number.max(initial=0))):
            # From mid May to mid October, each in its turn, as the growth allows.
            turn = (cut + rng.uniform(0.1, 0.9, count)) / np.maximum(number, 1)
            when = (FIRST_CUT + shift + turn * CUTTING_DAYS)[:, None]
            grown = _sigmoid((t - when - g.regrow) / (g.regrow / 3.0))
            left = np.where(t < when, 1.0, g.left + (1 - g.left) * grown)
            green = green * np.where((cut < number)[:, None], left, 1.0)
    summer = np.exp(-0.5 * (((t - 225 + 182.5) % 365.0 - 182.5) / 35.0) ** 2)
    dry = np.clip(g.summer_brown * rng.uniform(0.3, 1.5, n), 0, 1) * summer
    brown = g.brown * rng.lognormal(0.0, 0.3, n) + green * dry
    green = green * (1 - dry)
    stems = g.stems * rng.lognormal(0.0, 0.15, n) * np.ones_like(green)
    rough = rng.uniform(0.7, 1.2, n) * np.ones_like(green)
    zero = np.zeros_like(green)
    growing = season * np.ones_like(green)
    return Course(green, zero, brown, stems, zero, rough, zero, growing, zero)
