"""How a baseline learns: method, features, pixels; and the settings that go by a name."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cropmap_jax.baselines import features as features_lib
from cropmap_jax.baselines import methods
from cropmap_jax.baselines.drawing import DRAWN_BY
from cropmap_jax.baselines.features import Features
from cropmap_jax.data import checks
from cropmap_jax.geo.sensors import Sensor

MOST_PIXELS = 10_000_000
"""Pixels that may be learnt from: a thousand bytes of features each, and more."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a baseline learns.

    Args:
      method: a name in `methods.METHODS`.
      indices: names of indices; None for all whose bands are there.
      means: sides in pixels of the neighbourhoods that are averaged.
      dates: whether the date of the window is a feature.
      draw_by: "field" (a field's pixels count as the square root of their number), "place" (of
        chips, likewise) or "all" (each pixel alike).
      most_pixels: pixels to learn from, at most.
      weak_share, weak_weight: of pixels that only a land-cover map says are none of the classes,
        as those of a network's config.
      arguments: of the method; what is left out is at its default.

    Raises:
      ValueError: names the setting that cannot be, as config.NAME.
    """

    method: str = "forest"
    indices: tuple[str, ...] | None = None
    means: tuple[int, ...] = (3, 7)
    dates: bool = True
    draw_by: str = "field"
    most_pixels: int = 100_000
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    weak_share: float = 0.0
    weak_weight: float = 1.0

    def __post_init__(self) -> None:
        methods.find(self.method, "config.method")
        if self.indices is not None:
            checks.values("config.indices", self.indices)
        features_lib.check_means(self.means, "config.means")
        checks.switch("config.dates", self.dates)
        checks.choice("config.draw_by", self.draw_by, DRAWN_BY)
        checks.whole("config.most_pixels", self.most_pixels, 1, MOST_PIXELS)
        checks.real("config.weak_share", self.weak_share, 0, 0.99)
        checks.real("config.weak_weight", self.weak_weight, 0, 1000, above=True)
        completed = methods.complete(self.method, self.arguments, "config.arguments")
        object.__setattr__(self, "arguments", completed)

    def features(self, sensors: Sequence[Sensor], num_periods: int) -> Features:
        """The features that the method takes of these sensors.

        Raises:
          ValueError: an index that is not known, or whose bands are missing.
        """
        if not methods.METHODS[self.method].sees_pixels:
            return Features((), num_periods)
        found = features_lib.choose_indices(self.indices, sensors, "config.indices")
        return Features(tuple(sensors), num_periods, found, self.means, self.dates)


NAMED: dict[str, Settings] = {name: Settings(name) for name in methods.METHODS} | {
    # One is trained for every as-of date: fewer pixels, where more cost minutes each.
    "boosting": Settings("boosting", most_pixels=50_000),
    "logistic": Settings("logistic", most_pixels=30_000),
    # The forest of bands alone, as it is often compared with.
    "raw_forest": Settings(
        "forest",
        indices=(),
        means=(),
        dates=False,
        draw_by="all",
        most_pixels=200_000,
        arguments={"least_in_leaf": 1, "share_of_features": 0.0},
    ),
}
"""What `evaluate --baseline` may name."""


def find(
    names: Iterable[str], where: str, arguments: Mapping[str, Any] | None = None
) -> dict[str, Settings]:
    """Settings by name, in the order given; none for "none" alone.

    Args:
      names: in NAMED.
      where: what to name in an error.
      arguments: of methods that have them, instead of their own.

    Raises:
      ValueError: begins with `where`; suggests the nearest name, or names one that is there twice.
    """
    names = [name.strip() for name in names]
    if names == ["none"]:
        return {}
    for name in names:
        if name not in NAMED:
            raise ValueError(
                f"{where}: found {checks.shown(name)}; {checks.nearest(name, [*NAMED, 'none'])}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: expected each baseline once, found {', '.join(names)}")
    out = {}
    for name in names:
        found = NAMED[name]
        other = {k: v for k, v in (arguments or {}).items() if k in found.arguments}
        out[name] = dataclasses.replace(found, arguments=found.arguments | other)
    return out
