"""What training makes of unknown ground: settings, and how common each class is there.

Few fields are annotated and the ground around them is not. It can be left out ("masked"), be called
negative of every class ("negative": what the original system did, with weight 1), or count as what
it is, a sample of all ground in which classes have their shares ("pu", "pnu": see
`positive_unlabelled`).
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.training import losses

# A step is also compiled where there is nothing but jax; and who maps waits for no reader.
if TYPE_CHECKING:
    from cropmap_jax.data.dataset import Dataset

MASKED, NEGATIVE, PU, PNU = "masked", "negative", "pu", "pnu"
TREATMENTS = (MASKED, NEGATIVE, PU, PNU)
"""What `config.unknown.treatment` may name."""
ANNOTATED, BEST_BIN = "annotated", "best_bin"
"""Of `config.unknown.priors`: estimated from what is annotated, or by `class_priors`."""
_WHERE = "config.unknown"


@dataclasses.dataclass(frozen=True)
class Unknown:
    """How unknown pixels take part in the loss.

    Args:
      treatment: one of TREATMENTS.
      weight: of "negative": of an unknown pixel, where an annotated one weighs 1.
      share: of sampled pixels, those that are drawn from unknown ground instead.
      priors: of "pu" and "pnu", the share of all ground that each class has: "best_bin" or
        "annotated", or "canola=0.05,maize=0.08,...", every class once.
      cropland: share of all ground that is cultivated, for "annotated".
      eta: of "pnu", see `positive_unlabelled`.
      beta, gamma: of "pu" and "pnu", likewise.

    Raises:
      ValueError: a setting of another type, or outside of its range.
    """

    treatment: str = MASKED
    weight: float = 1.0
    share: float = 0.5
    priors: str = BEST_BIN
    cropland: float = 1.0
    eta: float = 0.5
    beta: float = 0.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        checks.choice(f"{_WHERE}.treatment", self.treatment, TREATMENTS)
        checks.real(f"{_WHERE}.weight", self.weight, 0, 1000, above=True)
        checks.real(f"{_WHERE}.share", self.share, 0, 1, above=True)
        if self.share == 1:
            raise ValueError(f"{_WHERE}.share: expected a number below 1, found 1")
        checks.text(f"{_WHERE}.priors", self.priors, 100_000)
        checks.real(f"{_WHERE}.cropland", self.cropland, 0, 1, above=True)
        checks.real(f"{_WHERE}.eta", self.eta, -1, 1)
        checks.real(f"{_WHERE}.beta", self.beta, 0, 1000)
        checks.real(f"{_WHERE}.gamma", self.gamma, 0, 1)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Unknown":
        """From `config.unknown`.

        Raises:
          ValueError: a setting that is missing, unknown or out of its range.
        """
        checks.keys(_WHERE, settings, [field.name for field in dataclasses.fields(cls)])
        return cls(**settings)

    @property
    def used(self) -> bool:
        """Whether unknown pixels have a part in the loss."""
        return self.treatment != MASKED

    @property
    def estimates_risk(self) -> bool:
        """Whether the loss is an estimate of what all ground would cost."""
        return self.treatment in (PU, PNU)

    @property
    def weight_of_unknown(self) -> float:
        """`eta` of the risk that is estimated: "pu" is "pnu" without annotated negatives."""
        return 1.0 if self.treatment == PU else self.eta

    def check(self, loss: str, class_weights: str, accumulate: int) -> None:
        """Requires a loss and settings of training that it can do with.

        Raises:
          ValueError: names the setting that does not fit.
        """
        where = f"with {_WHERE}.treatment {self.treatment!r}"
        if self.treatment == NEGATIVE and not losses.LOSSES[loss].learns_none:
            able = [name for name, one in losses.LOSSES.items() if one.learns_none]
            raise ValueError(
                f"config.loss: expected {' or '.join(able)} {where}, since {loss} has no place for "
                f"none of these; found {loss!r}"
            )
        if not self.estimates_risk:
            return
        if loss != "sigmoid":
            raise ValueError(
                f"config.loss: expected 'sigmoid' {where}, which asks of each class whether it is "
                f"there; found {loss!r}"
            )
        if class_weights != "none":
            raise ValueError(
                f"config.class_weights: expected 'none' {where}, where every class is a mean of "
                f"its own; found {class_weights!r}"
            )
        if accumulate != 1:
            raise ValueError(
                f"config.accumulate: expected 1 {where}, whose clipping needs the risk of a whole "
                f"batch; found {accumulate}"
            )

    def check_data(self, data: "Dataset") -> None:
        """Requires unknown pixels to learn from, if they are to have a part in it.

        Raises:
          ValueError: the training split has none.
        """
        if self.used and not data.unknown_pixels("train").any():
            raise ValueError(
                f"{data.path}, split train: expected unknown pixels for {_WHERE}.treatment "
                f"{self.treatment!r}, found none (everything is annotated)"
            )

    def describe(self, names: tuple[str, ...], priors: np.ndarray | None) -> str:
        """A line for people: what unknown pixels count as.

        Args:
          names: of the classes.
          priors: from `class_priors`.
        """
        if priors is None:
            return (
                f"{_WHERE}: unknown pixels are negatives of every class, of weight {self.weight:g}"
            )
        each = zip(names, priors, strict=True)
        shares = ", ".join(f"{name} {share:.3f}" for name, share in each)
        return f"{_WHERE}: {self.treatment}; shares of all ground: {shares}"

    def class_priors(self, data: "Dataset") -> np.ndarray | None:
        """float32 [classes], the share of all ground that each class has; None: not needed.

        With "best_bin" as `class_priors` estimates it. With "annotated" it is the class's share of
        annotated pixels, none of these among them, times `cropland`: as if field teams had
        annotated cultivated ground at random.

        Raises:
          ValueError: a class that there is not, is missing or never annotated; shares that are none
            or add up to more than 1.
        """
        if not self.estimates_risk:
            return None
        names = data.legend.names
        if self.priors not in (ANNOTATED, BEST_BIN):
            return _given(self.priors, names)
        pixels = data.split("train").pixels.sum(0).astype(np.float64)
        if never := data.never_annotated("train"):
            raise ValueError(
                f"{_WHERE}.priors: expected the share of every class (name=share,...), since "
                f"{never[0]} is not annotated in train and its share cannot be estimated; found "
                f"{self.priors!r}"
            )
        if self.priors == BEST_BIN:
            from cropmap_jax.training import class_priors

            return class_priors.estimate(data).astype(np.float32)
        shares = self.cropland * pixels[: len(names)] / pixels.sum()
        if shares.sum() >= 1:
            raise ValueError(
                f"{_WHERE}.cropland: expected below {self.cropland:g} with {_WHERE}.priors "
                f"{self.priors!r}, since every annotated pixel is of a class: nothing would be "
                f"left for other ground; found {self.cropland:g}"
            )
        found: np.ndarray = shares.astype(np.float32)
        return found


def _given(text: str, names: tuple[str, ...]) -> np.ndarray:
    """Shares as they are written: "canola=0.05,maize=0.08"."""
    where = f"{_WHERE}.priors"
    found: dict[str, float] = {}
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if name not in names or not equals:
            raise ValueError(
                f"{where}: expected {BEST_BIN!r}, {ANNOTATED!r}, or name=share of every class, "
                f"found {word!r}; {checks.nearest(name, names)}"
            )
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            raise ValueError(
                f"{where}: expected a share of all ground above 0 and below 1 for {name}, found "
                f"{value!r}"
            )
        if name in found:
            raise ValueError(f"{where}: expected every class once, found {name} twice")
        found[name] = share
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"{where}: expected a share of every class, found none for {', '.join(missing)}"
        )
    total = sum(found.values())
    if total > 1:
        raise ValueError(
            f"{where}: expected shares of all ground that add up to at most 1, found {total:.4g}"
        )
    return np.array([found[name] for name in names], np.float32)
