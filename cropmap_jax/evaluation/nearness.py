"""How near the ground that is scored lies to the ground that was learnt from.

`held_out` refuses ground that was trained on. Ground next to it is held out, and still looks more
like it than a map's ground does: same soil, weather, fieldwork. This is said, not refused.
"""

from collections.abc import Sequence

import numpy as np
import shapely

from cropmap_jax.data.dataset import Dataset

NEAR_PX = 100
"""Cubes nearer to each other than this are neighbours: 1 km of 10 m pixels."""


def notes(data: Dataset, split: str, learnt: Sequence[str] = ("train",)) -> list[str]:
    """Notes on test ground in blocks that were trained on, or next to cubes that were.

    Args:
      data: the dataset.
      split: which is scored.
      learnt: splits that were learnt from.
    """
    learnt = [one for one in learnt if one in data.chips and one != split]
    if not learnt:
        return []
    used = np.unique(np.concatenate([_annotated(data, one) for one in learnt]))
    own = _annotated(data, split)
    blocks = {data.cubes[i]["block"] for i in own}
    both = sorted(blocks & {data.cubes[i]["block"] for i in used})
    where = " and ".join(learnt)
    if both:
        return [
            f"{len(both)} of {len(blocks)} blocks of {split} hold ground of {where} as well "
            f"({', '.join(both[:3])}{', ...' if len(both) > 3 else ''}): scores are of other "
            f"fields of the same places, and likely higher than elsewhere"
        ]
    near = _near(data, own, used)
    if near:
        metres = NEAR_PX * data.pixel_m
        other = " or ".join("training" if one == "train" else one for one in learnt)
        return [
            f"{near} of {len(own)} {split} cubes {'is' if near == 1 else 'are'} within "
            f"{metres:,.0f} m of a {other} cube: their scores are likely higher than farther away"
        ]
    return []


def _annotated(data: Dataset, split: str) -> np.ndarray:
    table = data.split(split)
    return np.unique(table.cube[table.annotated > 0])


def _near(data: Dataset, own: np.ndarray, used: np.ndarray) -> int:
    """How many cubes lie near some others of their zone."""
    count = 0
    for crs in sorted({data.cubes[i]["crs"] for i in own}):
        others = [_box(data, i) for i in used if data.cubes[i]["crs"] == crs]
        if others:
            tree = shapely.STRtree(others)
            mine = [_box(data, i) for i in own if data.cubes[i]["crs"] == crs]
            found = tree.query(mine, "dwithin", distance=NEAR_PX * data.pixel_m)
            count += len(np.unique(found[0]))
    return count


def _box(data: Dataset, index: int) -> shapely.Polygon:
    row = data.cubes[index]
    a, _, x, _, e, y = row["transform"][:6]
    height, width = row["shape"]
    return shapely.box(x, y + e * height, x + a * width, y)
