"""Blending: where chips overlap, their probabilities pass from one to the next without a jump."""

from collections.abc import Mapping

import numpy as np

from cropmap_jax.inference.tiling import Box, Part, Tiling


def blend(tiling: Tiling, box: Box, chips: Mapping[Part, np.ndarray]) -> np.ndarray:
    """Averages the chips that count in a box, with the weights of the tiling.

    Args:
      tiling: of the mosaic group.
      box: pixels of the group.
      chips: float32 [h, w, classes] over the chip of each part, at least one.

    Returns:
      float32 [H, W, classes]; NaN where no chip counts.
    """
    whole = {part: tiling.chip(part) for part in chips}
    reach = {part: chip.common(box) for part, chip in whole.items()}
    shared = {part: found for part, found in reach.items() if found is not None}
    if len(shared) == 1:
        ((part, found),) = shared.items()
        if found == box and (tiling.weights(part, box) > 0).all():
            # All of the weight, which is exactly 1 once it is divided by itself.
            return np.array(chips[part][box.inside(whole[part])], np.float32)
    total = np.zeros(box.shape)
    for part, found in shared.items():
        total[found.inside(box)] += tiling.weights(part, found)
    classes = next(iter(chips.values())).shape[-1]
    out = np.zeros((*box.shape, classes), np.float32)
    for part, found in shared.items():
        here = found.inside(box)
        weights = tiling.weights(part, found)
        # A weight of 0 where nothing else counts either: NaN, as the total says.
        share = np.divide(weights, total[here], where=total[here] > 0, out=np.zeros_like(weights))
        out[here] += share.astype(np.float32)[..., None] * chips[part][found.inside(whole[part])]
    out[total == 0] = np.nan
    return out
