"""Tables of areas and accuracies of a map, per class and province, from a sample of its points."""

import dataclasses
from typing import Any

import numpy as np

from cropmap_jax.evaluation import area_estimates
from cropmap_jax.evaluation.area_estimates import Share, Strata

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Points with what the map and the ground are there.

    Args:
      pixels, hectares: float [H] of each stratum.
      stratum: int [n].
      map_class: int [n], class on the map; what is no class (no data) comes last.
      province: int [n].
      reference: int [n], class on the ground; -1 where nobody could say.
      like_class: float [H, classes and no data], share of a stratum that the map shows as each;
        None where the strata are not made of classes.
      like_province: float [H, provinces], share of a stratum in each; None as above.
    """

    pixels: np.ndarray
    hectares: np.ndarray
    stratum: np.ndarray
    map_class: np.ndarray
    province: np.ndarray
    reference: np.ndarray
    like_class: np.ndarray | None = None
    like_province: np.ndarray | None = None

    @property
    def there(self) -> np.ndarray:
        """Which points have a reference, bool [n]."""
        return self.reference >= 0

    @property
    def strata(self) -> Strata:
        """The strata with the points that have a reference."""
        points = np.bincount(self.stratum[self.there], minlength=len(self.pixels))
        return Strata(self.pixels, self.hectares, points)


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """What the map holds of the ground that was sampled.

    Args:
      classes: names of the classes, none of these among them.
      provinces: names; one without a name where there are none.
      hectares: float [provinces, classes and, where it was sampled, no data].
    """

    classes: tuple[str, ...]
    provinces: tuple[str, ...]
    hectares: np.ndarray


def areas(sample: Sample, population: Population) -> list[Row]:
    """Hectares of each class as mapped and as estimated, of all ground and of each province.

    Returns:
      Rows with province ("" for all ground), class, mapped_ha, estimated_ha, se_ha, margin_ha
      (1.96 standard errors), low_ha, high_ha, points (in the province), reason, and, where points
      have no reference, least_ha and most_ha: if none or all of these were of the class.
    """
    strata = sample.strata
    every = np.ones(len(sample.stratum), bool)
    rows = _areas_of(sample, strata, "", every, None, population.hectares.sum(0), population)
    if len(population.provinces) == 1 and not population.provinces[0]:
        return rows
    for number, name in enumerate(population.provinces):
        if population.hectares[number].sum() > 0:
            inside = sample.province == number
            like = None if sample.like_province is None else sample.like_province[:, number]
            own = population.hectares[number]
            rows += _areas_of(sample, strata, name, inside, like, own, population)
    return rows


def _areas_of(
    sample: Sample,
    strata: Strata,
    province: str,
    inside: np.ndarray,
    like: np.ndarray | None,
    mapped: np.ndarray,
    population: Population,
) -> list[Row]:
    there, whole, rows = sample.there, float(mapped.sum()), []
    stratum = sample.stratum[there]
    fewest = area_estimates.FEWEST if province else 1
    for number, name in enumerate(population.classes):
        own = sample.reference == number
        if province and like is not None:
            found = area_estimates.domain(strata, stratum, own[there], inside[there], like)
        else:
            everywhere = None if province else np.ones(len(strata.points))
            found = area_estimates.share(
                strata, stratum, own[there] & inside[there], inside[there], everywhere,
                fewest=fewest,
            )  # fmt: skip
        y = own & inside
        row = {"province": province, "class": name, "mapped_ha": float(mapped[number])}
        row |= _scaled(found, whole)
        if not there.all():
            least, most = area_estimates.bounds_of_missing(
                strata, sample.stratum, y, inside, ~there
            )
            row |= {"least_ha": least * whole, "most_ha": most * whole}
        rows.append(row)
    return rows


def _scaled(found: Share, whole: float) -> Row:
    def times(value: float | None) -> float | None:
        return None if value is None else value * whole

    margin = None if found.se is None else area_estimates.Z * found.se * whole
    return {
        "estimated_ha": times(found.value),
        "se_ha": times(found.se),
        "margin_ha": margin,
        "low_ha": times(found.low),
        "high_ha": times(found.high),
        "points": found.points,
        "reason": found.reason,
    }


def accuracies(sample: Sample, population: Population) -> list[Row]:
    """Overall accuracy, and user's and producer's accuracy of each class.

    Overall accuracy is of mapped ground: what is no data on the map is neither right nor wrong.

    Returns:
      Rows with measure ("overall", "users", "producers"), class ("" of overall), value, se, margin
      (1.96 standard errors), low, high, points, reason.
    """
    there = sample.there
    strata, stratum = sample.strata, sample.stratum[there]
    shown, truth = sample.map_class[there], sample.reference[there]
    mapped = shown < len(population.classes)
    like_class = sample.like_class
    none = len(population.classes)
    like = None
    if like_class is not None:
        like = like_class[:, :none].sum(1)
    rows = [
        _accuracy(
            "overall", "", area_estimates.share(strata, stratum, shown == truth, mapped, like)
        )
    ]
    for number, name in enumerate(population.classes):
        own = None if like_class is None else like_class[:, number]
        both = (shown == number) & (truth == number)
        users = area_estimates.share(strata, stratum, both, shown == number, like_x=own)
        producers = area_estimates.share(strata, stratum, both, truth == number, like_y=own)
        rows += [_accuracy("users", name, users), _accuracy("producers", name, producers)]
    return rows


def _accuracy(measure: str, name: str, found: Share) -> Row:
    margin = None if found.se is None else area_estimates.Z * found.se
    row = {"measure": measure, "class": name, "value": found.value, "se": found.se}
    row |= {"margin": margin, "low": found.low, "high": found.high}
    return row | {"points": found.points, "reason": found.reason}


def error_matrix(sample: Sample, population: Population) -> np.ndarray:
    """Shares of all ground by class on the map (rows) and on the ground (columns).

    Returns:
      float64 [classes, or one more where no data was sampled; classes].
    """
    there = sample.there
    shape = population.hectares.shape[1], len(population.classes)
    return area_estimates.matrix(
        sample.strata,
        sample.stratum[there],
        sample.map_class[there],
        sample.reference[there],
        shape,
    )


def check_answers(sample: Sample, titles: list[str], most_missing: float) -> list[str]:
    """Requires enough references for an estimate.

    Args:
      sample: the points.
      titles: of the strata, for messages.
      most_missing: share of the points that may be without a reference.

    Returns:
      Notes on points without a reference.

    Raises:
      ValueError: too many have none, or a stratum is left with fewer than two that have one.
    """
    missing = int((~sample.there).sum())
    if not missing:
        return []
    count = len(sample.stratum)
    if missing > most_missing * count:
        raise ValueError(
            f"--points: expected references for at least {1 - most_missing:.0%} of the points, "
            f"found none for {missing} of {count} ({missing / count:.1%}): what could not be "
            f"interpreted may differ from what could; --most_missing allows more"
        )
    for number, points in enumerate(sample.strata.points):
        if points < min(2, sample.pixels[number]):
            raise ValueError(
                f"--points: stratum {titles[number]}: expected two points with a reference, found "
                f"{points}: it has no variance"
            )
    return [
        f"{missing} of {count} points ({missing / count:.1%}) have no reference and are taken to "
        f"be like the others of their stratum; least_ha and most_ha say what the estimate would "
        f"be if none or all of them were of the class"
    ]
