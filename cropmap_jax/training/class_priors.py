"""How common each class is on all ground, estimated from annotated and unknown pixels.

Of unknown ground a share p is the class. A classifier is trained to tell pixels annotated as the
class from unknown ones; where it is surest, nearly all unknown pixels are of the class. With P(s)
and U(s) the shares of held-out pixels that score at least s, U(s) >= p P(s), and the two are equal
where nothing else scores so high:

    p = U(s*) / P(s*),   s* = argmin_s (U(s) + (1 + gamma) slack) / P(s),
    slack = sqrt(log(4 / delta) / (2 n_U)) + sqrt(log(4 / delta) / (2 n_P))

It needs annotated pixels that are typical of their class, but not classes that are annotated as
often as they grow: field teams may look for what is rare. What cannot be told from the class by
images counts as the class.

Source: best bin estimation, Garg et al. 2021, arXiv:2111.00980, algorithm 1.
"""

import math
import warnings

import numpy as np

from cropmap_jax.data import pixel_sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.examples import Pixels
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import indices
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import Sensor

PIXELS = 24_000
"""Pixels that are drawn, half of them unknown."""
DELTA, GAMMA = 0.1, 0.01
LEAST, MOST = 1e-4, 0.99
"""Estimates lie between; and they have four digits, the same on every machine."""


def best_bin(positive: np.ndarray, unknown: np.ndarray) -> float:
    """Share of unknown pixels that are of a class.

    Args:
      positive: float [n_P], scores of held-out pixels annotated as the class.
      unknown: float [n_U], scores of held-out unknown pixels.

    Returns:
      U(s*) / P(s*), see above.
    """
    scores = np.unique(np.concatenate([positive, unknown]))
    p, u = (
        1 - np.searchsorted(np.sort(own), scores, side="left") / len(own)
        for own in (positive, unknown)
    )
    scores, p, u = scores[p > 0], p[p > 0], u[p > 0]
    slack = sum(math.sqrt(math.log(4 / DELTA) / (2 * len(own))) for own in (positive, unknown))
    best = int(np.argmin((u + (1 + GAMMA) * slack) / p))
    return float(u[best] / p[best])


def estimate(data: Dataset, pixels: int = PIXELS, seed: int = 0) -> np.ndarray:
    """The share of all ground of the training split that each class has.

    Each pixel is seen as at the end of the last cube's periods, through all of them; logistic
    regression on bands and indices tells a class from unknown pixels, in one half of the cubes for
    the other and the other way round; the share is the mean of both. Shares that add up to more
    than 1 are scaled down to 1.

    Args:
      data: the dataset.
      pixels: how many are drawn, half of them unknown.
      seed: of the draws.

    Returns:
      float64 [classes].

    Raises:
      ValueError: a class that is not annotated in either half of the cubes.
    """
    table = data.split("train")
    cubes = np.unique(table.cube)
    days = [data.periods(int(cube)) for cube in cubes]
    last = max(int(own[-1, 1]) for own in days)
    config = SamplingConfig(
        num_periods=max(map(len, days)), sensors=data.sensors, as_of=(last, last), unit="pixels",
        context=0, unknown_share=0.5, augment=False,
    )  # fmt: skip
    made = pixel_sampling.make_pixel_batches(data, "train", config, pixels, seed)
    found, drawn = made.all_pixels(pixels)
    features = _features(found, data.sensors)
    half = np.random.default_rng(seed).permutation(len(cubes)) % 2
    of = half[np.searchsorted(cubes, table.cube[drawn.chip])]
    shares = [
        np.mean([_share(features, drawn.label, index, of == k, data) for k in (0, 1)])
        for index in range(len(data.legend))
    ]
    clipped = np.clip(shares, LEAST, MOST)
    scaled = clipped / max(1.0, clipped.sum())
    rounded: np.ndarray = np.maximum(np.round(scaled, 4), LEAST)
    return rounded


def _share(
    features: np.ndarray, label: np.ndarray, index: int, trains: np.ndarray, data: Dataset
) -> float:
    """The share of one class, by a classifier that is trained on a part of the pixels."""
    from sklearn.linear_model import LogisticRegression  # it takes seconds to import

    own, unknown = label == index, label == IGNORE
    if not ((own & trains).any() and (own & ~trains).any()):
        raise ValueError(
            f"config.unknown.priors: expected 'annotated' or name=share of every class, since "
            f"{data.legend.names[index]} is annotated in too few cubes of train to compare it "
            f"with unknown ground in others; found 'best_bin'"
        )
    model = LogisticRegression(C=0.1, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged: it ranks all the same
        model.fit(features[trains & (own | unknown)], own[trains & (own | unknown)])
    scores = [model.decision_function(features[~trains & kind]) for kind in (own, unknown)]
    return best_bin(scores[0], scores[1])


def _features(pixels: Pixels, sensors: tuple[Sensor, ...]) -> np.ndarray:
    """float64 [N, periods x (bands + indices)], standardised, 0 where missing."""
    parts = []
    every = tuple(indices.INDICES.values())
    for sensor in sensors:
        values = sensor.decode(pixels[sensor.name][:, :, 0, 0])
        own = indices.compute(values, sensor, indices.of_sensor(every, sensor))
        parts.append(own.reshape(len(own), -1).astype(np.float64))
    found = np.concatenate(parts, 1)
    there = np.isfinite(found)
    count = np.maximum(there.sum(0), 1)
    mean = np.where(there, found, 0).sum(0) / count
    deviation = np.sqrt((np.where(there, found - mean, 0) ** 2).sum(0) / count)
    unit = (found - mean) / np.where(deviation > 0, deviation, 1)
    standardised: np.ndarray = np.where(there, np.clip(unit, -5, 5), 0)
    return standardised
