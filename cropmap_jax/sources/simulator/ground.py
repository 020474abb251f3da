"""What lies between the fields of a site: water, villages, roads, woods.

Every function takes the raster of covers, uint8 [H, W], and writes what it adds into it.
"""

import math

import numpy as np
from scipy import ndimage
from scipy.sparse import csgraph
from scipy.spatial.distance import cdist

FIELD, ROAD, BUILT, WOOD, WATER = COVERS = range(5)
"""Values of a raster of covers."""


def noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, float [H, W], mean 0, deviation 1, correlated over `scale` pixels."""
    raw: np.ndarray = ndimage.gaussian_filter(rng.standard_normal(shape), scale, mode="reflect")
    noise: np.ndarray = (raw - raw.mean()) / raw.std()
    return noise


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Pixels to the nearest pixel of a mask, float [H, W]; far where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, float(sum(mask.shape)))
    distance: np.ndarray = ndimage.distance_transform_edt(~mask)
    return distance


def _line(shape: tuple[int, int], path: np.ndarray) -> np.ndarray:
    """Boolean [H, W] of an 8-connected line through float [n, 2] (row, column)."""
    steps = np.abs(np.diff(path, axis=0)).max(1)
    at = np.concatenate([[0], np.cumsum(steps)])
    fine = np.arange(0, at[-1], 0.5)
    rows, cols = (np.rint(np.interp(fine, at, path[:, i])).astype(int) for i in (0, 1))
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    mask = np.zeros(shape, bool)
    mask[rows[inside], cols[inside]] = True
    return mask


def _lowest(score: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Boolean mask of the `count` allowed pixels with the lowest score."""
    where = np.flatnonzero(allowed)
    count = min(count, len(where))
    mask = np.zeros(score.shape, bool)
    mask.flat[where[np.argsort(score.flat[where], kind="stable")[:count]]] = True
    return mask


def add_water(cover: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """A river with bends from edge to edge, if there is water enough for one, and ponds."""
    height, width = cover.shape
    count = round(share * cover.size)
    if share >= 0.008:
        t = np.linspace(-0.05, 1.05, 200)
        bends = sum(
            rng.normal(0, 0.09 / k) * np.sin(2 * math.pi * (k * t + rng.random()))
            for k in (1, 2, 3, 5, 8)
        )
        path = np.stack([t, rng.uniform(0.2, 0.8) + rng.normal(0, 0.25) * (t - 0.5) + bends], 1)
        path = path[:, ::-1] if rng.random() < 0.5 else path
        line = _line(cover.shape, path * (height, width))
        # Wider and narrower stretches: the noise is worth a pixel, at most half the width.
        spread = distance_to(line) + np.clip(0.5 * noise(cover.shape, 6, rng), -1, 1)
        cover[_lowest(spread, cover == FIELD, round(0.8 * count))] = WATER
    left = count - int(np.count_nonzero(cover == WATER))
    add_patches(cover, WATER, left, (4.0,), 30, rng)


def add_patches(
    cover: np.ndarray,
    value: int,
    count: int,
    scales: tuple[float, ...],
    least: int,
    rng: np.random.Generator,
) -> None:
    """Turns fields into patches with uneven outlines.

    Args:
      cover: changed in place.
      value: what the patches become.
      count: pixels to turn; somewhat fewer are, because ragged and small patches are left out.
      scales: of the outlines' bends, pixels, largest first; each counts half as much as the last.
      least: pixels of the smallest patch.
      rng: generator.
    """
    if count < least:
        return
    bends = np.zeros(cover.shape)
    for i, scale in enumerate(scales):
        bends += 0.5**i * noise(cover.shape, scale, rng)
    mask = _lowest(bends, cover == FIELD, count)
    label, _ = ndimage.label(ndimage.binary_opening(mask))
    sizes = np.bincount(label.ravel())
    sizes[0] = 0
    cover[(sizes >= least)[label]] = value


def spread_points(cover: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Places on dry land that keep apart, float [count, 2] (row, column)."""
    land = np.argwhere(distance_to(cover == WATER) > 3)
    found = land[rng.integers(len(land), size=1)]
    for _ in range(count - 1):
        # Of some candidates the one farthest from the places found: spread, but not on a lattice.
        candidates = land[rng.integers(len(land), size=6)]
        away = cdist(candidates, found).min(1)
        found = np.concatenate([found, candidates[[int(away.argmax())]]])
    return found.astype(float)


def add_roads(cover: np.ndarray, places: np.ndarray, rng: np.random.Generator) -> None:
    """Roads of one pixel between the places and to the edges of the site; bridges over water."""
    height, width = cover.shape
    exits = np.array(
        [
            (-1.0, rng.uniform(0, width)),
            (float(height), rng.uniform(0, width)),
            (rng.uniform(0, height), -1.0),
            (rng.uniform(0, height), float(width)),
        ]
    )
    lengths = cdist(places, places)
    tree = csgraph.minimum_spanning_tree(lengths).toarray() > 0
    # Some detours: a second road where it is short compared with the site.
    tree |= np.triu((lengths < 0.6 * lengths.max()) & (rng.random(lengths.shape) < 0.15), 1)
    pairs = [(places[i], places[j]) for i, j in np.argwhere(tree)]
    nearest = cdist(exits, places).argmin(1)
    pairs += [(places[i], end) for i, end in zip(nearest, exits, strict=True)]
    t = np.linspace(0, 1, 60)
    for start, end in pairs:
        way = end - start
        bow = rng.normal(0, 0.05) * np.sin(math.pi * t) + rng.normal(0, 0.03) * np.sin(
            2 * math.pi * t
        )
        path = start + t[:, None] * way + bow[:, None] * way[::-1] * (1, -1)
        cover[_line(cover.shape, path)] = ROAD


def add_villages(
    cover: np.ndarray, places: np.ndarray, count: int, rng: np.random.Generator
) -> None:
    """Built-up ground around places, which reaches out along the roads; `count` pixels in all."""
    if not count or not len(places):
        return
    sizes = rng.lognormal(0, 0.5, len(places))
    radius = np.sqrt(sizes / sizes.sum() * count / math.pi)
    grid = np.indices(cover.shape)
    score = np.full(cover.shape, np.inf)
    for place, reach in zip(places, radius, strict=True):
        away = np.hypot(grid[0] - place[0], grid[1] - place[1])
        score = np.minimum(score, away / reach)
    score += 0.06 * np.minimum(distance_to(cover == ROAD), 10) + 0.15 * noise(cover.shape, 2.5, rng)
    built = _lowest(score, cover == FIELD, count)
    cover[built] = BUILT


def add_farmsteads(cover: np.ndarray, count: int, rng: np.random.Generator) -> None:
    """Yards of 0.06 to 0.2 ha next to roads and tracks until `count` pixels are built over."""
    roadside = np.argwhere((cover == FIELD) & (distance_to(cover == ROAD) <= 2))
    for row, col in rng.permutation(roadside)[: 4 * max(count, 0)]:
        height, width = rng.integers(2, 5, 2) + (0, 1)
        yard = cover[row : row + height, col : col + width]
        if count <= 0:
            break
        if (yard == FIELD).all():
            yard[:] = BUILT
            count -= yard.size
