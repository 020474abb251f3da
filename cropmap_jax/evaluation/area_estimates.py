"""Area and accuracy of a map from a stratified random sample of its pixels, with intervals.

Numbers only. A figure is a share, of ground or of a part of it: the share of a province that is
wheat, of the mapped wheat that is wheat (user's accuracy), of the wheat that is mapped as wheat
(producer's accuracy). With y and x of each point 0 or 1, y <= x, and strata h of area A_h,

    R = sum_h A_h mean_h(y) / X      X = sum_h A_h mean_h(x)      d = y - R x
    var(R) = sum_h A_h^2 (1 - n_h / N_h) var_h(d) / n_h / X^2

which is the combined ratio estimator. Where x is 1 everywhere it is the estimator of area of
Olofsson et al. 2014, equations 9 to 11; of accuracies it equals their equations 1 to 7 where the
strata are the classes of the map, and holds where they are not. 1 - n_h / N_h is taken as 1 up to a
sampling fraction of 5 %, as Olofsson et al. take it, and Cochran (1977, section 2.6) allows.

**A province** that is no stratum is a domain: how many points fall into it is chance. But the map
says which share k_h of each stratum lies in it, and that is used (`domain`):

    area = sum_h A_h (mean_h(y i) + mean_h(y) (k_h - mean_h(i)))      i = 1 in the province
    var  = sum_h A_h^2 (1 - n_h / N_h) var_h(e) / n_h                  e = (y - mean_h(y)) i

the regression estimator with the means of strata as its model. Areas of the provinces add up to
the whole, those of the classes to the province, and where provinces are strata it is as above.

**Intervals.** R ± 1.96 standard errors fails where a class is rare or left out of the map here and
there: few points carry what is left out, and a sample without them believes itself certain.
`interval` is Wilson's, of as many points as a simple random sample would need for the same
variance. For this variance each stratum gets one more point, which is like the rest of the
population, and what may hide where one point stands for most ground is added: anything between
nothing and the ground of two such points, evenly distributed, which has the variance w^2 / 3 with
w the ground of one. So no stratum claims to be certain. In a province the estimate leans on the
map and errs to both sides: there the interval is symmetric, of the same variance. docs/area.md has
the coverage.

Source: Olofsson et al., Good practices for estimating area and assessing accuracy of land change,
Remote Sensing of Environment 148 (2014) 42-57; Stehman, Estimating area and map accuracy for
stratified random sampling when the strata are different from the map classes, International Journal
of Remote Sensing 35 (2014) 4923-4939; Cochran, Sampling techniques (1977), sections 2.6, 5.3, 6.11;
Särndal, Swensson and Wretman, Model assisted survey sampling (1992), section 10.5, of domains;
Wilson, Probable inference, Journal of the American Statistical Association 22 (1927); Korn and
Graubard, Confidence intervals for proportions with small expected number of positive counts
estimated from survey data, Survey Methodology 24 (1998), of the effective number of points.
"""

import dataclasses
import math

import numpy as np

Z = 1.96
"""Standard errors to either side of an interval of 95 %, as Olofsson et al. round it."""
LARGE_FRACTION = 0.05
"""Sampling fraction from which on the correction for a finite population counts."""
FEWEST = 10
"""Points in a province below which shares of it get no interval: their variance is of large
samples."""


@dataclasses.dataclass(frozen=True, eq=False)
class Strata:
    """The strata of a sample.

    Args:
      pixels: float [H], N_h.
      hectares: float [H], A_h.
      points: int [H], n_h: points with a reference.
    """

    pixels: np.ndarray
    hectares: np.ndarray
    points: np.ndarray

    @property
    def finite(self) -> np.ndarray:
        """The correction for a finite population, float [H]; 0 where every pixel was drawn."""
        fraction = self.points / self.pixels
        return np.where(fraction > LARGE_FRACTION, 1 - fraction, 1.0).clip(0, 1)


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of some ground, from 0 to 1.

    Args:
      value: None where the sample has none.
      se: standard error as Olofsson et al. have it; None where there is none.
      low, high: interval of 95 %; None where there is none.
      points: how many the share is of: those with x = 1.
      reason: in words, why there is no value or no interval; None where there are both.
    """

    value: float | None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    points: int = 0
    reason: str | None = None


def share(
    strata: Strata,
    stratum: np.ndarray,
    y: np.ndarray,
    x: np.ndarray | None = None,
    like_x: np.ndarray | None = None,
    like_y: np.ndarray | None = None,
    fewest: int = 1,
) -> Share:
    """A share with its standard error and interval.

    Args:
      strata: the strata, each with two points or more, or with all of its pixels.
      stratum: int [n], of each point.
      y: bool [n].
      x: bool [n], true wherever y is; None for everywhere.
      like_x: float [H], chance of x at a further point of a stratum, where it is known better than
        from the sample: 0 in strata that cannot have it, 1 in those that lie within. None: the
        share of all ground.
      like_y: float [H], chance of y there, given x; None: the share itself.
      fewest: points with x below which there is no interval.
    """
    x = np.ones(len(y), bool) if x is None else x
    count = len(strata.points)
    of_y, of_x = (np.bincount(stratum[v], minlength=count).astype(float) for v in (y & x, x))
    n, area = strata.points.astype(float), strata.hectares
    total = float((area * of_x / n).sum())
    if total <= 0:
        return Share(None, reason="no point of it was drawn")
    value = float((area * of_y / n).sum()) / total
    weight = area**2 * strata.finite / total**2
    spread = _variance(value, of_y / n, of_x / n) / np.maximum(n - 1, 1)
    se = math.sqrt(float((weight * spread).sum()))
    if of_x.sum() < fewest:
        why = f"no interval: of {int(of_x.sum())} points alone"
        return Share(value, points=int(of_x.sum()), reason=why)
    like_x = np.full(count, total / area.sum()) if like_x is None else like_x
    like_y = np.full(count, value) if like_y is None else like_y
    more_x, more_y = (of_x + like_x) / (n + 1), (of_y + like_x * like_y) / (n + 1)
    wary = float((weight * _variance(value, more_y, more_x) / n).sum())
    wary += _hidden(strata, like_x > 0, total)
    if of_y.sum() == 0 or of_y.sum() == of_x.sum():
        low, high = _of_none(value, strata, like_x > 0, total)
    else:
        low, high = interval(value, wary)
    return Share(value, se, low, high, int(of_x.sum()))


def domain(
    strata: Strata, stratum: np.ndarray, y: np.ndarray, inside: np.ndarray, known: np.ndarray
) -> Share:
    """The share of a class in a province that is no stratum, with its standard error and interval.

    Args:
      strata: the strata, as for `share`.
      stratum: int [n], of each point.
      y: bool [n], whether it is of the class, wherever it lies.
      inside: bool [n], whether it lies in the province.
      known: float [H], share of each stratum's area that lies in the province.
    """
    count = len(strata.points)
    n, area = strata.points.astype(float), strata.hectares
    of_y, of_both, of_x = (
        np.bincount(stratum[v], minlength=count) / n for v in (y, y & inside, inside)
    )
    total, points = float((area * known).sum()), int(inside.sum())
    if points == 0 or total <= 0:
        return Share(None, reason="no point of it was drawn")
    value = float((area * (of_both + of_y * (known - of_x))).sum()) / total
    value = min(max(value, 0.0), 1.0)
    weight = area**2 * strata.finite / total**2
    squares = of_both * (1 - of_y) ** 2 + (of_x - of_both) * of_y**2
    mean = of_both - of_y * of_x
    spread = (squares - mean**2).clip(0) / np.maximum(n - 1, 1)
    se = math.sqrt(float((weight * spread).sum()))
    if points < FEWEST:
        return Share(value, points=points, reason=f"no interval: of {points} points alone")
    more = known * (value * (1 - of_y) ** 2 + (1 - value) * of_y**2)
    squares = (n * squares + more) / (n + 1)
    mean = (n * mean + known * (value - of_y)) / (n + 1)
    wary = float((weight * (squares - mean**2).clip(0) / n).sum())
    half = Z * math.sqrt(wary + _hidden(strata, known > 0, total))
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    if not of_y.any() or (of_y == 1).all():
        low, high = _of_none(value, strata, known > 0, total)
    return Share(value, se, low, high, points)


def _variance(value: float, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of d = y - R x within strata, from their means: float [H]."""
    mean = y - value * x
    found: np.ndarray = y * (1 - value) ** 2 + (x - y) * value**2 - mean**2
    return found.clip(0)


def _hidden(strata: Strata, possible: np.ndarray, total: float) -> float:
    """Variance of what may hide where one point stands for most ground."""
    ground = strata.hectares / strata.points * (strata.finite > 0) * possible
    return float(ground.max(initial=0.0) / total) ** 2 / 3


def interval(value: float, variance: float) -> tuple[float, float]:
    """Wilson's interval of as many points as would give that variance in a simple random sample.

    Args:
      value: strictly between 0 and 1.
      variance: of it; without any, the interval is the value.
    """
    if variance <= 0:
        return value, value
    points = value * (1 - value) / variance
    middle = (value + Z**2 / (2 * points)) / (1 + Z**2 / points)
    half = Z * math.sqrt(variance + (Z**2 / (2 * points)) ** 2 / Z**2) / (1 + Z**2 / points)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _of_none(
    value: float, strata: Strata, possible: np.ndarray, total: float
) -> tuple[float, float]:
    """Of a share of which no point was found, or nothing but points.

    Whatever is there hides in the strata. It is most where one point stands for most ground: with
    p of that stratum, none of its n points shows it with probability (1 - p)^n, which is 5 % for
    p = 1 - 0.05^(1 / n).
    """
    hidden = strata.hectares * (1 - 0.05 ** (1 / strata.points)) * (strata.finite > 0) * possible
    most = min(float(hidden.max(initial=0.0)) / total, 1.0)
    return (value, most) if value == 0 else (1 - most, value)


def matrix(
    strata: Strata,
    stratum: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """The error matrix as shares of all ground, float64 of that shape; they add up to 1.

    Args:
      strata: the strata.
      stratum: int [n], of each point.
      rows, columns: int [n], class on the map and on the ground.
      shape: how many there are of either.

    Source: Olofsson et al. 2014, equation 4.
    """
    weight = strata.hectares / strata.hectares.sum() / strata.points
    out = np.zeros(shape)
    np.add.at(out, (rows, columns), weight[stratum])
    return out


def bounds_of_missing(
    strata: Strata,
    stratum: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    missing: np.ndarray,
) -> tuple[float, float]:
    """The share if none, and if all, of the points without a reference were of the class.

    Args:
      strata: with the points that have a reference.
      stratum: int [n], of all points.
      y, x: bool [n]; y of those that have a reference.
      missing: bool [n], which have none.

    Returns:
      The least and the largest share.
    """
    count = len(strata.points)
    drawn = np.bincount(stratum, minlength=count)
    weight = (strata.hectares / np.maximum(drawn, 1))[stratum]
    total = float(weight[x].sum())
    if total <= 0:
        return 0.0, 1.0
    least = float(weight[y & x & ~missing].sum()) / total
    return least, least + float(weight[x & missing].sum()) / total
