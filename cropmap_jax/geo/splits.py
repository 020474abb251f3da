"""Splits are disjoint spatial blocks, fixed before chips are cut: no pixel is in two of them.

Nor is a field that was annotated: `ground_truth` places each in one split (`placement`) and leaves
its pixels in others unknown (`labels`), `sources.ingest` does so with `confine_fields`, and `build`
refuses cubes that contradict it (`data.cube_set`). Parcels that a wall-to-wall map shows are cut at
blocks: each part is a field of its own.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.ndimage
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

SPLITS = ("train", "validation", "test")
FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def assign_split(block: str, fractions: Mapping[str, float] = FRACTIONS, seed: int = 0) -> str:
    """Split of a block, from a hash of its name: the same on every machine and in every run.

    Args:
      block: block id.
      fractions: share of each split; they add up to 1.
      seed: another seed draws another assignment.

    Raises:
      ValueError: an unknown split, or shares that are negative or do not add up to 1.
    """
    shares = fractions.values()
    # NaN is near nothing.
    whole = abs(sum(shares) - 1) <= 1e-6
    if set(fractions) - set(SPLITS) or min(shares, default=0) < 0 or not whole:
        raise ValueError(f"fractions: expected shares of {SPLITS} that add to 1, found {fractions}")
    digest = hashlib.sha256(f"{seed}:{block}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for split in SPLITS:
        edge += fractions.get(split, 0.0)
        if draw < edge:
            return split
    return max(fractions, key=lambda split: fractions[split])


def connected_fields(label: np.ndarray) -> np.ndarray:
    """Field ids where none were given: connected components (8 neighbours) of each class.

    Ground labelled "none of these" forms no fields: it has no crop of its own to be right about.

    Args:
      label: uint8 [H, W].

    Returns:
      uint32 [H, W], 0 where there is no field.
    """
    fields = np.zeros(label.shape, np.uint32)
    for index in np.unique(label[label < NONE_OF_THESE]):
        parts, count = scipy.ndimage.label(label == index, structure=np.ones((3, 3)))
        fields[parts > 0] = parts[parts > 0] + fields.max()
    return fields


def confine_fields(label: np.ndarray, fields: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Makes a field that crosses into another part unknown there.

    The field stays in the part that holds its larger share (the first one on a tie).

    Args:
      label: uint8 [H, W].
      fields: uint32 [H, W], 0 none.
      part: int [H, W], which split a pixel belongs to, negative where none.

    Returns:
      uint8 [H, W], the label with crossing remainders set to IGNORE.
    """
    inside = (fields > 0) & (part >= 0)
    ids, dense = np.unique(fields[inside], return_inverse=True)
    table = np.zeros((len(ids), int(part.max(initial=0)) + 1), np.int64)
    np.add.at(table, (dense, part[inside]), 1)
    home = table.argmax(1)
    out = label.copy()
    pixels = out[inside]
    pixels[home[dense] != part[inside]] = IGNORE
    out[inside] = pixels
    return out


def check_blocks(blocks: Sequence[tuple[str, str, str]]) -> None:
    """Requires that no block is in two splits.

    Args:
      blocks: (cube id, block, split) of every cube.

    Raises:
      ValueError: an unknown split, or names two cubes of one block in different splits.
    """
    seen: dict[str, tuple[str, str]] = {}
    for cube, block, split in blocks:
        if split not in SPLITS:
            raise ValueError(f"cube {cube}: expected a split of {', '.join(SPLITS)}, found {split}")
        other, known = seen.setdefault(block, (cube, split))
        if known != split:
            raise ValueError(
                f"cubes {other} and {cube}: one block {block} is in two splits, {known} and {split}"
            )


def find_overlap(
    ids: Sequence[str], geoboxes: Sequence[GeoBox], first: int | None = None
) -> tuple[str, str, float] | None:
    """First pair of cubes that share ground, and by how many square metres.

    Cubes of one CRS are compared exactly; across UTM zones a strip of one pixel is forgiven,
    because edges that touch in one zone are not straight in the other.

    Args:
      ids: cube ids, to name the pair.
      geoboxes: their grids.
      first: only pairs with one of that many first cubes count; None counts them all.

    Returns:
      (id, id, shared square metres) or None.
    """
    by_crs: dict[str, list[int]] = {}
    for i, geobox in enumerate(geoboxes):
        by_crs.setdefault(str(geobox.crs), []).append(i)
    for crs, own in by_crs.items():
        shapes = []
        for geobox in geoboxes:
            same = str(geobox.crs) == crs
            outline = geobox.extent if same else geobox.extent.to_crs(crs, resolution=100.0)
            shrink = 0.01 if same else geobox.resolution.x
            # A place far outside the zone has no finite image there, and cannot overlap either.
            finite = np.isfinite(outline.geom.bounds).all()
            near = outline.geom.buffer(-shrink, join_style="mitre") if finite else shapely.Polygon()
            shapes.append(near)
        tree = shapely.STRtree(shapes)
        left, right = tree.query([shapes[i] for i in own], predicate="intersects")
        for a, j in zip(left, right, strict=True):
            i = own[a]
            if i != j and (first is None or min(i, j) < first):
                area = shapes[i].intersection(shapes[j]).area
                return ids[min(i, j)], ids[max(i, j)], float(area)
    return None
