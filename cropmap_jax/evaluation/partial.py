"""What partial annotation leaves open: few fields are annotated, the ground around them is not.

Precision is known of annotated ground. On the whole ground that was seen, U more pixels are mapped
as the crop, and nobody knows of them: all may be wrong, or all right.

    lower = tp / (tp + fp + U)      upper = (tp + U) / (tp + fp + U)

The precision of the whole ground lies between them, whatever grows there. These bounds are exact,
no interval: see Manski, Partial identification of probability distributions (2003), chapter 1, of
means with missing data.
"""

from typing import Any

import numpy as np

from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.metrics import Counts
from cropmap_jax.geo.legend import IGNORE


class Unknown:
    """Counts ground that is not annotated, column by column.

    Args:
      thresholds: float [columns], from where on a pixel is mapped as the crop.

    Attributes:
      seen: int64 [columns], unknown pixels that some sensor has seen.
      mapped: int64 [columns], those that are mapped as the crop.
      unseen: int64 [columns], unknown pixels without any image.
    """

    def __init__(self, thresholds: np.ndarray):
        self._thresholds = np.asarray(thresholds)
        self.seen, self.mapped, self.unseen = np.zeros((3, len(self._thresholds)), np.int64)

    def add(self, prediction: CubePrediction) -> None:
        """Adds a cube of which all pixels were predicted."""
        unknown = prediction.label == IGNORE
        seen = prediction.seen[unknown]
        value = prediction.probability[unknown]
        mapped = seen & (value >= self._thresholds.astype(value.dtype))
        self.seen += seen.sum(0)
        self.mapped += mapped.sum(0)
        self.unseen += (~seen).sum(0)


def describe(counts: Counts, seen: int, mapped: int, unseen: int) -> dict[str, Any]:
    """What is known of annotated pixels, and what of the whole ground.

    Args:
      counts: of annotated pixels.
      seen, mapped, unseen: of unknown pixels, see `Unknown`.

    Returns:
      JSON-ready: recall and precision of annotated pixels; `annotated` and `unknown`, pixels that
      were seen; `annotated_share` of these; `unknown_mapped`, unknown pixels that are mapped as the
      crop, and `unknown_mapped_share` of the seen unknown ones; `unknown_without_image`;
      `precision_bounds` [lower, upper] of the whole ground that was seen. A value that there is not
      is None, and `reason` says why.
    """
    scores = counts.scores()
    annotated = counts.tp + counts.fp + counts.fn + counts.tn
    total, shown = annotated + seen, counts.tp + counts.fp + mapped
    reasons = []
    if not annotated:
        reasons.append("no annotated pixel was seen")
    elif scores["recall"] is None:
        reasons.append("no annotated pixel is of this crop")
    elif scores["precision"] is None:
        alone = "every annotated pixel is of this crop"
        nothing = "no annotated pixel is mapped as it"
        reasons.append(nothing if counts.fp + counts.tn else alone)
    if not seen:
        reasons.append("no unknown pixel was seen")
    if not shown:
        reasons.append("nothing is mapped as it")
    bounds = [counts.tp / shown, (counts.tp + mapped) / shown] if shown else None
    return {
        "recall": scores["recall"],
        "precision": scores["precision"],
        "annotated": annotated,
        "unknown": seen,
        "annotated_share": annotated / total if total else None,
        "unknown_mapped": mapped,
        "unknown_mapped_share": mapped / seen if seen else None,
        "unknown_without_image": unseen,
        "precision_bounds": bounds,
        "reason": "; ".join(reasons) or None,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Fixed-width table of rows of `describe`, each with crop and method besides.

    "-" where no value is.
    """
    wide = max([12, *(len(row["crop"]) for row in rows)]) + 1
    method = max([8, *(len(row["method"]) for row in rows)]) + 1
    head = f"{'crop':{wide}}{'method':{method}}{'recall':>8}{'precision':>11}{'annotated':>11}"
    lines = [head + f"{'unknown mapped as it':>22}{'precision of all ground':>25}"]
    for row in rows:
        recall, precision, known, share = (
            "-" if row[name] is None else f"{row[name]:{form}}"
            for name, form in (
                ("recall", ".3f"),
                ("precision", ".3f"),
                ("annotated_share", ".1%"),
                ("unknown_mapped_share", ".1%"),
            )
        )
        bounds = row["precision_bounds"]
        within = "-" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
        lines.append(
            f"{row['crop']:{wide}}{row['method']:{method}}{recall:>8}{precision:>11}{known:>11}"
            f"{share:>22}{within:>25}"
        )
    return "\n".join(lines)
