"""How common classes are on all ground, where annotation shows another share of them.

Who annotates looks for crops: of annotated pixels more are crops than of the landscape, and a
probability that is right among the former is too high among all. Given both shares, odds are
multiplied by their ratio (see `inference.calibrated`).
"""

import csv
import os
from collections.abc import Sequence

import numpy as np

from cropmap_jax.evaluation.dated import Sample
from cropmap_jax.geo.legend import Legend

NONE = "none_of_these"
_SUM = 1e-3
"""How far shares in a file may be from 1 together: they are rounded."""
MOST_STEPS, CLOSE = 1000, 1e-6
"""Of the estimate: at most so many, and until no share changes by more than that."""
LEAST = 1e-4
"""Least share of a class in a ratio, so that it is finite."""


def annotated(sample: Sample) -> np.ndarray:
    """float64 [columns], share of each column among annotated pixels, by their weight."""
    # At a date by which the most is planted: pixels of what is not have no row before.
    dates = np.bincount(sample.group)
    own = sample.group == dates.argmax()
    count = sample.outputs.classes + 1
    counted = np.bincount(sample.truth[own], sample.weight[own], count)
    found: np.ndarray = counted[: sample.outputs.columns] / counted.sum()
    return found


def read(path: str | os.PathLike[str], legend: Legend, none: bool) -> np.ndarray:
    """Reads shares of all ground from a CSV file of `class,share`.

    Args:
      path: the file.
      legend: the classes; one that is not named has share 0.
      none: whether `none_of_these` is to be named.

    Returns:
      float64 [classes, + 1 if none], of sum 1.

    Raises:
      ValueError: names the file, and the line that is wrong.
    """
    names = [*legend.names, *([NONE] if none else [])]
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not a text file of UTF-8"
        raise ValueError(f"--prevalence {path}: expected a CSV file, found none ({reason})") from (
            error
        )
    if not rows or [cell.strip() for cell in rows[0]] != ["class", "share"]:
        found = ",".join(rows[0])[:80] if rows else "nothing"
        raise ValueError(f"--prevalence {path}: expected a first line class,share, found {found!r}")
    shares: dict[str, float] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"--prevalence {path}, line {number}"
        if len(row) != 2 or row[0].strip() not in names:
            raise ValueError(
                f"{where}: expected one of {', '.join(names)} and its share, found "
                f"{','.join(row)[:80]!r}"
            )
        name = row[0].strip()
        if name in shares:
            raise ValueError(f"{where}: expected each class once, found {name} twice")
        shares[name] = _share(row[1], where)
    total = sum(shares.values())
    if abs(total - 1) > _SUM:
        raise ValueError(
            f"--prevalence {path}: expected shares that add up to 1 ({NONE} included), found "
            f"{total:.4g}"
        )
    return np.array([shares.get(name, 0.0) for name in names]) / total


def _share(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # NaN is refused as well
        raise ValueError(f"{where}: expected a share from 0 to 1, found {text[:40]!r}")
    return value


def estimate(probability: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Shares of classes on ground that nobody has annotated, from probabilities alone.

        r_i = s_i / a_i;   q_ni = r_i p_ni / sum_j r_j p_nj;   s_i = mean over n of q_ni;   repeat

    This is the EM algorithm for the shares s that make what is seen most likely, if each class
    looks the same on all ground as on annotated ground. Where it does not (villages and woods that
    nobody annotated as none of these), the estimate is off, and nothing in it tells by how much.
    Source: Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21-41, section 2.2.

    What nobody annotated has no share a that its probabilities are of: there r stays 1.

    Args:
      probability: float [N, columns], calibrated, of sum 1.
      known: float64 [columns], shares a among annotated ground.

    Returns:
      float64 [columns], of sum 1.
    """
    share = np.maximum(known, LEAST)
    base = share = share / share.sum()
    given = probability.astype(np.float64)
    for _ in range(MOST_STEPS):
        scaled = given * np.where(known > 0, share / base, 1)
        scaled /= np.maximum(scaled.sum(1, keepdims=True), 1e-300)
        after = scaled.mean(0)
        done = np.abs(after - share).max() < CLOSE
        share = after
        if done:
            break
    found: np.ndarray = share
    return found


def ratios(wanted: np.ndarray, known: np.ndarray, exclusive: bool) -> tuple[float, ...]:
    """What odds are multiplied with, per column.

    That is 1 for what nobody annotated, whatever its share: how common the run takes it to be is
    not known then. What is nowhere, by its share of 0, gets 0 all the same.

    Args:
      wanted: float64 [columns], shares of all ground.
      known: float64 [columns], shares among annotated ground.
      exclusive: whether columns exclude each other; else each is against all others.
    """
    new, old = np.clip(wanted, 0, 1 - LEAST), np.clip(known, LEAST, 1 - LEAST)
    found = new / old if exclusive else (new / (1 - new)) / (old / (1 - old))
    return tuple(map(float, np.where((known > 0) | (new == 0), found, 1)))


def table(names: Sequence[str], known: np.ndarray, wanted: np.ndarray) -> str:
    """Lines for people: each class, its share among annotated and among all ground."""
    lines = [f"{'class':26}{'annotated':>10}{'all ground':>11}"]
    for name, a, b in zip(names, known, wanted, strict=True):
        lines.append(f"{name[:25]:26}{a:10.1%}{b:11.1%}")
    return "\n".join(lines)
