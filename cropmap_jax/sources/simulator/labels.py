"""What a map shows of a site: its classes with a map's errors."""

import dataclasses
import math

import numpy as np
from scipy import ndimage, special

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.sources.simulator.confusion import Confusion


@dataclasses.dataclass(frozen=True)
class MapErrors:
    """How the errors of a map lie on the ground. Defaults look like EUCROPMAP 2018.

    A pixel is wrong where noise exceeds its field's margin. Margins that differ much between fields
    make whole fields right or wrong, noise within fields makes them mottled.

    Args:
      amount: factor on all errors: 0 the truth, 1 the map's own.
      between_fields: standard deviation of the fields' margins in units of the noise within fields.
      patch_px: extent of patches within fields, pixels (deviation of a Gaussian).
      speckle: share of the variance of the noise within fields that varies from pixel to pixel.
      speckle_px: extent of that part, pixels.
      blur_px: standard deviation of the shifts of borders, pixels.
      verge: share of the pixels next to a border of two fields that are taken for a verge.
      narrow_px: ground of none of the classes up to this wide is not masked but classified.
    """

    amount: float = 1.0
    between_fields: float = 1.6
    patch_px: float = 1.5
    speckle: float = 0.35
    speckle_px: float = 0.5
    blur_px: float = 0.45
    verge: float = 0.3
    narrow_px: int = 2

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 0 or (name in ("speckle", "verge") and value > 1):
                raise ValueError(
                    f"map errors: expected {name} of 0 or more, shares of 1 at most, found {value}"
                )


def _noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of mean 0 and deviation 1, smoothed over `scale` pixels, float [H, W]."""
    noise: np.ndarray = ndimage.gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    # Divided by the deviation to expect, not by that of this site, which may be a small one.
    impulse = np.zeros(16 * math.ceil(scale + 1) + 1)
    impulse[len(impulse) // 2] = 1
    noise /= np.sum(ndimage.gaussian_filter1d(impulse, scale) ** 2)
    return noise


def map_errors(
    truth: np.ndarray,
    parcel: np.ndarray,
    confusion: Confusion,
    settings: MapErrors | None = None,
    seed: int = 0,
) -> np.ndarray:
    """What a classified map shows of a site.

    Inside fields, a share of pixels is wrong that the confusion gives, on average over many fields:
    margins of fields are normal with the mean that leads to it. A field is mistaken for two classes
    at most. Borders come on top: they are shifted, and pixels next to them are taken for verges.

    Args:
      truth: uint8 [H, W], class index, NONE_OF_THESE or IGNORE (kept).
      parcel: uint32 [H, W], field parcel, 0 none; connected ground of one class is taken as a field
        where there is none.
      confusion: who is taken for whom.
      settings: how errors lie; `MapErrors()` if None.
      seed: maps of one seed are equal.

    Returns:
      uint8 [H, W], class index, NONE_OF_THESE or IGNORE.

    Raises:
      ValueError: a class that the confusion does not hold, or shapes that differ.
    """
    settings = settings or MapErrors()
    classes = len(confusion.verges) - 1
    wrong = np.unique(truth[(truth >= classes) & (truth < NONE_OF_THESE)])
    if len(wrong) or truth.shape != parcel.shape:
        raise ValueError(
            f"map errors: expected classes 0..{classes - 1} and one shape, found class "
            f"{', '.join(map(str, wrong)) or 'none'} and shapes {truth.shape}, {parcel.shape}"
        )
    if settings.amount == 0:
        return truth.copy()
    rng = np.random.default_rng(seed)
    code = np.where(truth == NONE_OF_THESE, classes, truth).astype(np.int64)
    known = truth != IGNORE
    code[~known] = classes
    unit = _units(code, parcel)
    found = _classify(code, unit, confusion, settings, rng)
    found = _blur_borders(found, code, unit, confusion, settings, rng)
    found = np.where(found == classes, NONE_OF_THESE, found)
    return np.where(known, found, IGNORE).astype(np.uint8)


def _units(code: np.ndarray, parcel: np.ndarray) -> np.ndarray:
    """Numbers of fields and, outside fields, of connected ground of one class, int64 [H, W]."""
    unit = parcel.astype(np.int64)
    for value in np.unique(code[parcel == 0]):
        label, count = ndimage.label((parcel == 0) & (code == value))
        unit = np.where(label > 0, unit.max() + label, unit)
    return np.unique(unit, return_inverse=True)[1].reshape(code.shape)


def _classify(
    code: np.ndarray,
    unit: np.ndarray,
    confusion: Confusion,
    settings: MapErrors,
    rng: np.random.Generator,
) -> np.ndarray:
    """The class that each pixel inside its field is taken for, int64 [H, W]."""
    count = unit.max() + 1
    of_unit = np.zeros(count, np.int64)
    of_unit[unit.ravel()] = code.ravel()
    error = np.clip(settings.amount * confusion.errors, 0, 0.98)
    # With margins m ~ N(mu, b^2) and noise N(0, 1), P(noise > m) = Phi(-mu / sqrt(1 + b^2)).
    mean = -math.hypot(1, settings.between_fields) * special.ndtri(error)
    margin = mean[of_unit] + settings.between_fields * rng.standard_normal(count)
    patches = _noise(code.shape, settings.patch_px, rng)
    speckle = _noise(code.shape, settings.speckle_px, rng)
    noise = math.sqrt(1 - settings.speckle) * patches + math.sqrt(settings.speckle) * speckle
    mistaken = noise > margin[unit]
    others = np.cumsum(confusion.mistakes, 1)
    picks = [(others[of_unit] < rng.random((count, 1))).sum(1) for _ in range(2)]
    # One of the two classes that a field is taken for prevails, more or less.
    prevails = settings.between_fields * rng.standard_normal(count)
    either = _noise(code.shape, settings.patch_px, rng) > prevails[unit]
    instead = np.where(either, picks[0][unit], picks[1][unit])
    return np.where(mistaken, np.minimum(instead, len(error) - 1), code)


def _blur_borders(
    found: np.ndarray,
    code: np.ndarray,
    unit: np.ndarray,
    confusion: Confusion,
    settings: MapErrors,
    rng: np.random.Generator,
) -> np.ndarray:
    """Shifts borders, and classifies verges and what is too narrow to be masked, int64 [H, W]."""
    shape, none = code.shape, len(confusion.verges) - 1
    shift = [settings.amount * settings.blur_px * _noise(shape, 1.2, rng) for _ in range(2)]
    rows, cols = (
        np.clip(np.rint(at + by).astype(int), 0, length - 1)
        for at, by, length in zip(np.indices(shape), shift, shape, strict=True)
    )
    shifted = found[rows, cols]
    masked = code == none
    # What other maps mask has their borders.
    found = np.where(masked | (shifted == none), found, shifted)
    # Noise along the border, so that verges are stretches and not dots.
    stretch = special.ndtr(_noise(shape, 1.0, rng))
    verge = ~masked & _at_border(unit) & (stretch < settings.amount * settings.verge)
    verge |= _narrow(masked, settings.narrow_px) & (rng.random(shape) < settings.amount)
    like = np.searchsorted(np.cumsum(confusion.verges), special.ndtr(_noise(shape, 2.0, rng)))
    return np.where(verge, np.minimum(like, none - 1), found)


def _at_border(unit: np.ndarray) -> np.ndarray:
    """Which pixels have an unlike one among 4 neighbours, boolean [H, W]."""
    found = np.zeros(unit.shape, bool)
    rows, cols = unit[1:] != unit[:-1], unit[:, 1:] != unit[:, :-1]
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= cols
    found[:, :-1] |= cols
    return found


def _narrow(mask: np.ndarray, most: int) -> np.ndarray:
    """Parts of a mask, continued past its edges, at most `most` pixels wide, boolean [H, W]."""
    padded = np.pad(mask, most + 1, mode="edge")
    wide = ndimage.binary_opening(padded, np.ones((most + 1, most + 1), bool))
    inner = slice(most + 1, -most - 1)
    narrow: np.ndarray = mask & ~wide[inner, inner]
    return narrow
