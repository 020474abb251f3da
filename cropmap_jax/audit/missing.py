"""What is missing, by period, sensor and class, and whether that gives a class away."""

import collections
from typing import Any

import numpy as np
import scipy.stats

from cropmap_jax.audit.findings import Finding, named
from cropmap_jax.audit.material import Material, Patch, class_of
from cropmap_jax.geo import periods

_MUCH = 0.6
"""Share missing of a sensor, from which on that is noted; as sources flag cubes."""
_GIVES_AWAY = 0.15
"""Share of images that a class lacks more than what else is annotated in the same cubes."""
_CHANCE, _LEAST_CUBES = 0.01, 5
"""Of one such finding in all where there is none, by a t-test over cubes, of so many at least."""
_FLOOR = 0.05
"""Standard deviation over cubes, at least: a few that are the same say little of how they vary."""
_ABSENT, _PRESENT = 0.999, 0.5


class Missing:
    """Shares of pixels without a value of a sensor, per cube, class and period.

    Args:
      material: what is audited.
    """

    def __init__(self, material: Material):
        self._material = material
        self._kinds = len(material.legend) + 2
        sensors = len(material.sensors)
        self.lacking = [
            np.zeros((self._kinds, sensors, len(place.periods)), np.int64)
            for place in material.places
        ]
        """int64 [classes + 2, sensors, T] of each cube: pixels without any band."""
        days = {int(day) for place in material.places for day in place.periods[:, 0]}
        self._tests = (self._kinds - 1) * sensors * len(days)
        self.pixels = np.zeros((len(material.places), self._kinds), np.int64)

    def add(self, patch: Patch) -> None:
        """Counts the new pixels of a patch."""
        rows = np.flatnonzero(patch.new)
        if not len(rows):
            return
        kind = class_of(patch.label.ravel()[rows], len(self._material.legend))
        self.pixels[patch.cube] += np.bincount(kind, minlength=self._kinds)
        for s, sensor in enumerate(self._material.sensors):
            stored = patch.pixels[sensor.name]
            gone = (stored == sensor.nodata).all(-1).reshape(len(stored), -1)
            if gone.any():
                for t, row in enumerate(gone[:, rows]):
                    self.lacking[patch.cube][:, s, t] += np.bincount(
                        kind[row], minlength=self._kinds
                    )

    def shares(self) -> dict[str, dict[str, dict[str, float]]]:
        """{sensor: {class, "unknown" or "all": {"2021-10": share of pixels without it}}}."""
        names = (*self._material.classes, "unknown")
        out: dict[str, dict[str, dict[str, float]]] = {}
        for s, sensor in enumerate(self._material.sensors):
            rows: dict[str, dict[str, float]] = {}
            lacking, pixels = self._by_month(s)
            for k, name in [*enumerate(names), (None, "all")]:
                own = lacking.sum(0) if k is None else lacking[k]
                of = pixels.sum(0) if k is None else pixels[k]
                rows[name] = {
                    month: float(a / n)
                    for month, a, n in zip(self.months, own, of, strict=True)
                    if n
                }
            out[sensor.name] = {name: row for name, row in rows.items() if row}
        return out

    @property
    def months(self) -> list[str]:
        """First days of all periods, "2021-10" where periods are months."""
        days = sorted({int(d) for place in self._material.places for d in place.periods[:, 0]})
        long = self._material.period_kind != "month"
        return [periods.from_day(day).isoformat()[: 10 if long else 7] for day in days]

    def _by_month(
        self, sensor: int, cubes: list[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """int64 [classes + 2, periods of all cubes], pixels without the sensor, and all pixels."""
        places = self._material.places
        days = sorted({int(d) for place in places for d in place.periods[:, 0]})
        lacking = np.zeros((self._kinds, len(days)), np.int64)
        pixels = np.zeros_like(lacking)
        for cube in range(len(places)) if cubes is None else cubes:
            at = np.searchsorted(days, places[cube].periods[:, 0])
            lacking[:, at] += self.lacking[cube][:, sensor]
            pixels[:, at] += self.pixels[cube][:, None]
        return lacking, pixels

    def check(self) -> list[Finding]:
        """What of it matters."""
        return self._much() + self._given_away() + self._other_splits()

    def _much(self) -> list[Finding]:
        out = []
        for s, sensor in enumerate(self._material.sensors):
            lacking, pixels = self._by_month(s)
            share = lacking.sum() / max(pixels.sum(), 1)
            if share > _MUCH:
                out.append(Finding(
                    "warning", "missing",
                    f"{share:.0%} of {sensor.title} is missing over all periods",
                    "look at what `export` or `ingest` reported, or leave the sensor out "
                    "(config.sensors)",
                    figures={"sensor": sensor.name, "share": float(share)},
                ))  # fmt: skip
        return out

    def _given_away(self) -> list[Finding]:
        """Classes whose pixels lack images more, or less, than others in the same cubes."""
        out = []
        known = self._kinds - 1
        for s, sensor in enumerate(self._material.sensors):
            for k in range(known):
                found: dict[int, list[tuple[float, float]]] = collections.defaultdict(list)
                for cube, place in enumerate(self._material.places):
                    own = self.pixels[cube, k]
                    rest = self.pixels[cube, :known].sum() - own
                    if not own or not rest:
                        continue
                    lacking = self.lacking[cube][:known, s]
                    other = (lacking.sum(0) - lacking[k]) / rest
                    for day, d in zip(
                        place.periods[:, 0].tolist(), lacking[k] / own - other, strict=True
                    ):
                        found[day].append((float(d), float(min(own, rest))))
                out += self._of_class(sensor.title, k, found)
        return out

    def _of_class(
        self, sensor: str, k: int, found: dict[int, list[tuple[float, float]]]
    ) -> list[Finding]:
        worst = (0.0, 0.0, 0, 0)
        for day, rows in found.items():
            if len(rows) < _LEAST_CUBES:
                continue
            differences = np.array([d for d, _ in rows])
            mean = float(differences.mean())
            error = max(float(differences.std(ddof=1)), _FLOOR) / np.sqrt(len(rows))
            sure = scipy.stats.t.isf(_CHANCE / 2 / self._tests, len(rows) - 1) * error
            if abs(mean) > max(_GIVES_AWAY, sure, worst[0]):
                worst = (abs(mean), mean, day, len(rows))
        if not worst[0]:
            return []
        name = self._material.classes[k]
        way = "more" if worst[1] > 0 else "less"
        when = periods.from_day(worst[2]).isoformat()
        return [
            Finding(
                "warning",
                "missing",
                f"{name} lacks {sensor} {worst[0]:.0%} {way} often than what else is annotated in "
                f"the same {worst[3]} cubes (worst: the period from {when})",
                "what is missing gives the class away: look for a mask that depends on the crop, "
                "such as one for water, snow or cloud",
                figures={"class": name, "sensor": sensor, "difference": worst[1]},
            )
        ]

    def _other_splits(self) -> list[Finding]:
        """Periods of a sensor that one split lacks throughout and another has."""
        material = self._material
        out: list[Finding] = []
        if material.rule is not None:
            return out
        names = [p for p in material.parts if any(one.split == p for one in material.places)]
        for s, sensor in enumerate(material.sensors):
            shares = {}
            for name in names:
                own = [i for i, place in enumerate(material.places) if place.split == name]
                lacking, pixels = self._by_month(s, own)
                with np.errstate(invalid="ignore"):
                    shares[name] = lacking.sum(0) / pixels.sum(0)
            for name in names[1:]:
                one, other = shares[names[0]], shares[name]
                odd = (one >= _ABSENT) & (other <= _PRESENT) | (other >= _ABSENT) & (
                    one <= _PRESENT
                )
                if odd.any():
                    months = [month for month, o in zip(self.months, odd, strict=True) if o]
                    out.append(Finding(
                        "warning", "missing",
                        f"{sensor.title} is missing throughout in one of {names[0]} and {name} and "
                        f"not in the other at {named(months)}",
                        "export what is missing, or leave these periods out of both",
                        figures={"sensor": sensor.name, "periods": months},
                    ))  # fmt: skip
        return out

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: shares of pixels without a sensor."""
        return self.shares()
