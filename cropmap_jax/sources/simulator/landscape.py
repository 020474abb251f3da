"""The geometry of a site: what covers each pixel of 10 m, and which field it belongs to.

A site is laid out in the order in which land is: water, villages and the roads between them, woods,
then tracks that bound blocks of some tens of hectares, then fields. Blocks and fields are cut from
sets of pixels along nearly straight lines, blocks along the lie of the land and fields along their
block, so that edges are straight and neighbours are nearly parallel, as parcels are.
"""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from cropmap_jax.geo.grid import PIXEL_M
from cropmap_jax.sources.simulator import ground, parcels

FIELD, ROAD, BUILT, WOOD, WATER = ground.COVERS
"""Values of `Landscape.cover`."""
PIXELS_PER_HA = 100
"""Pixels of 10 m x 10 m in a hectare."""


@dataclasses.dataclass(frozen=True)
class Style:
    """How a region's land is laid out. Defaults: an open landscape of western Europe.

    Args:
      field_ha: median area of a field, before the limits cut off the tails.
      field_spread: standard deviation of ln(area).
      min_ha, max_ha: limits of a field's area; no field of any site lies outside them.
      elongation: median ratio of a field's length to its width.
      block_ha: median area of a block of fields, which roads and tracks bound.
      track_share: share of the borders between blocks along which a track of one pixel runs.
      hedge_share: share of the borders between fields on which a hedge of one pixel stands.
      bend_m: how far the border of a field bows out from a straight line, standard deviation.
      wood_share: share of the site under trees: woods, hedges and scraps too small for a field.
        Hedges and scraps stand even where they alone exceed it.
      built_share: share of the site under villages and farmsteads.
      farmstead_share: share of the built-up ground that stands by itself next to roads and
        tracks, as far as there is room.
      village_ha: mean area of a village.
      water_share: share of the site under water, a river from 0.8 % on and ponds below.

    Raises:
      ValueError: limits that hold no field, or shares that leave no half of the site to fields.
    """

    field_ha: float = 3.0
    field_spread: float = 0.9
    min_ha: float = 0.3
    max_ha: float = 20.0
    elongation: float = 1.7
    block_ha: float = 30.0
    track_share: float = 0.7
    hedge_share: float = 0.06
    bend_m: float = 8.0
    wood_share: float = 0.10
    built_share: float = 0.04
    farmstead_share: float = 0.10
    village_ha: float = 9.0
    water_share: float = 0.012

    def __post_init__(self) -> None:
        if not 0.1 <= self.min_ha < self.field_ha < self.max_ha:
            raise ValueError(
                f"style: expected 0.1 <= min_ha < field_ha < max_ha, found {self.min_ha}, "
                f"{self.field_ha}, {self.max_ha}"
            )
        if self.max_ha < 3 * self.min_ha:
            raise ValueError(
                f"style: expected max_ha of at least three times min_ha, found {self.max_ha} and "
                f"{self.min_ha}"
            )
        shares = (self.wood_share, self.built_share, self.water_share)
        if min(shares) < 0 or sum(shares) > 0.5:
            raise ValueError(
                f"style: expected wood_share, built_share and water_share of 0 or more that add "
                f"up to 0.5 at most, found {', '.join(map(str, shares))}"
            )


IRRIGATED = Style(
    field_ha=1.2,
    field_spread=0.8,
    max_ha=10.0,
    elongation=2.6,
    block_ha=16.0,
    track_share=0.6,
    hedge_share=0.0,
    bend_m=4.0,
    wood_share=0.02,
    built_share=0.05,
    farmstead_share=0.02,
    village_ha=14.0,
    water_share=0.003,
)
"""Small irrigated fields between compact villages, as on the plains of Iran. Figures are ours."""


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A laid-out site.

    Args:
      cover: uint8 [H, W], one of FIELD, ROAD, BUILT, WOOD, WATER.
      parcel: uint32 [H, W], field parcel from 1 to n where cover is FIELD, 0 elsewhere. A parcel is
        one 4-connected piece.
      row_direction: float32 [n + 1], azimuth of a parcel's crop rows in radians from north towards
        east, in [0, pi); entry 0 stands for no parcel and is 0.
    """

    cover: np.ndarray
    parcel: np.ndarray
    row_direction: np.ndarray


def make_landscape(shape: tuple[int, int], style: Style | None = None, seed: int = 0) -> Landscape:
    """Lays out a site.

    Args:
      shape: (height, width) in pixels of 10 m, each 64 or more.
      style: of the region; the default `Style()` if None.
      seed: sites of one shape, style and seed are equal.

    Returns:
      The site; every pixel of cover FIELD belongs to a parcel within the style's limits.

    Raises:
      ValueError: a site too small to hold a landscape.
    """
    if min(shape) < 64:
        raise ValueError(f"landscape: expected a shape of 64 x 64 or more, found {shape}")
    style = style or Style()
    rng = np.random.default_rng(seed)
    cover = np.full(shape, FIELD, np.uint8)
    ground.add_water(cover, style.water_share, rng)
    places = ground.spread_points(cover, _count_villages(cover.size, style, rng), rng)
    ground.add_roads(cover, places, rng)
    built, wood = (round(share * cover.size) for share in (style.built_share, style.wood_share))
    ground.add_villages(cover, places, round((1 - style.farmstead_share) * built), rng)
    # Half of the woods have outlines of their own, half stand on what were parcels.
    ground.add_patches(cover, WOOD, wood // 2, (12.0, 4.0), 100, rng)
    blocks = _cut_blocks(cover, style, rng)
    ground.add_farmsteads(cover, built - int(np.count_nonzero(cover == BUILT)), rng)
    parcel, azimuths = _cut_fields(cover, blocks, style, rng)
    _add_hedges(cover, parcel, style.hedge_share, rng)
    azimuths += _number_pieces(parcel, azimuths)
    _settle(cover, parcel, style)
    _plant(cover, parcel, wood - int(np.count_nonzero(cover == WOOD)), rng)
    ids, parcel = np.unique(np.append(parcel, 0), return_inverse=True)
    row_direction = np.asarray(azimuths, np.float32)[ids]
    return Landscape(cover, parcel[:-1].reshape(shape).astype(np.uint32), row_direction)


def _count_villages(pixels: int, style: Style, rng: np.random.Generator) -> int:
    built = (1 - style.farmstead_share) * style.built_share * pixels / PIXELS_PER_HA
    # Two places at least, for a road to run between them; they need not be villages.
    return max(2, math.floor(built / style.village_ha + rng.random()))


def _cut_blocks(cover: np.ndarray, style: Style, rng: np.random.Generator) -> list[parcels.Piece]:
    """Blocks between roads, water, villages and woods; draws the tracks between them."""
    width = cover.shape[1]
    lie = rng.uniform(0, math.pi) + 0.35 * ground.noise(cover.shape, 40, rng)
    label, count = ndimage.label(cover == FIELD)
    order = np.argsort(label, axis=None, kind="stable")
    regions = np.split(order, np.cumsum(np.bincount(label.ravel())))[1 : count + 1]
    stack = [parcels.Piece(cells, float(lie.flat[cells].mean())) for cells in regions]
    bend = style.bend_m / PIXEL_M
    blocks = []
    while stack:
        piece = stack.pop()
        most = 1.6 * style.block_ha * PIXELS_PER_HA * math.exp(0.4 * rng.standard_normal())
        if len(piece.cells) <= max(most, style.min_ha * PIXELS_PER_HA):
            blocks.append(piece)
            continue
        share = rng.uniform(0.35, 0.65)
        first, second = parcels.cut(piece, width, share, 1.3, 2 * bend, 0.12, rng)
        if rng.random() < style.track_share:
            track = parcels.border(first.cells, second.cells, cover.shape)
            cover.flat[first.cells[track]] = ROAD
            parts = parcels.connected(first.cells[~track], width)
            stack += [dataclasses.replace(first, cells=part) for part in parts]
        else:
            stack.append(first)
        stack.append(second)
    return blocks


def _cut_fields(
    cover: np.ndarray, blocks: list[parcels.Piece], style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, list[float]]:
    """Cuts blocks into fields.

    Returns:
      Raster of field numbers from 1, 0 elsewhere, int64 [H, W], and the azimuth by number.
    """
    height, width = cover.shape
    parcel = np.zeros(cover.shape, np.int64)
    azimuths = [0.0]
    most = round(style.max_ha * PIXELS_PER_HA)
    law = (style.field_ha, style.field_spread, style.min_ha, style.max_ha)
    for block in blocks:
        # Farmsteads have been built since the block was cut.
        for cells in parcels.connected(block.cells[cover.flat[block.cells] == FIELD], width):
            rows, cols = np.divmod(cells, width)
            inner = min(rows.min(), cols.min(), height - 1 - rows.max(), width - 1 - cols.max()) > 0
            # Inside, fields follow the sides of their block; the frame of a site is no such side.
            angle = parcels.squarest_angle(cells, width) if inner else block.angle
            piece = parcels.Piece(cells, angle + rng.integers(2) * math.pi / 2)
            areas = parcels.draw_areas(len(cells) / PIXELS_PER_HA, *law, rng)
            elongation = style.elongation * math.exp(0.35 * rng.standard_normal())
            bend = style.bend_m / PIXEL_M
            for field in parcels.subdivide(piece, areas, width, elongation, bend, most, rng):
                parcel.flat[field.cells] = len(azimuths)
                azimuths.append(parcels.azimuth(field, width))
    return parcel, azimuths


def _neighbours(parcel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of unlike neighbours among 4: (flat index, flat index), each int64 [n]."""
    index = np.arange(parcel.size).reshape(parcel.shape)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    unlike = parcel.flat[first] != parcel.flat[second]
    return first[unlike], second[unlike]


def _add_hedges(
    cover: np.ndarray, parcel: np.ndarray, share: float, rng: np.random.Generator
) -> None:
    """Plants a hedge of one pixel on `share` of the borders between fields."""
    first, second = _neighbours(parcel)
    between = (parcel.flat[first] > 0) & (parcel.flat[second] > 0)
    first, second = first[between], second[between]
    pairs = np.stack([parcel.flat[first], parcel.flat[second]], 1)
    # The hedge stands on the field of the lower number, whichever side that is on.
    owner = np.where(pairs[:, 0] < pairs[:, 1], first, second)
    pairs.sort(1)
    _, which = np.unique(pairs[:, 0] * (parcel.max() + 1) + pairs[:, 1], return_inverse=True)
    hedged = rng.random(which.max(initial=-1) + 1) < share
    planted = owner[hedged[which]]
    cover.flat[planted] = WOOD
    parcel.flat[planted] = 0


def _number_pieces(parcel: np.ndarray, azimuths: list[float]) -> list[float]:
    """Gives every piece of a field but its largest a number of its own; returns their azimuths."""
    more: list[float] = []
    for number, box in enumerate(ndimage.find_objects(parcel), 1):
        if box is None:
            continue
        label, count = ndimage.label(parcel[box] == number)
        if count > 1:
            largest = np.bincount(label.ravel())[1:].argmax() + 1
            for piece in range(1, count + 1):
                if piece != largest:
                    parcel[box][label == piece] = len(azimuths) + len(more)
                    more.append(azimuths[number])
    return more


def _settle(cover: np.ndarray, parcel: np.ndarray, style: Style) -> None:
    """Gives fields below the minimum to a neighbour, or to the trees where none has room."""
    least, most = round(style.min_ha * PIXELS_PER_HA), round(style.max_ha * PIXELS_PER_HA)
    sizes = np.bincount(parcel.ravel())
    small = np.flatnonzero((sizes > 0) & (sizes < least))
    for number in small[np.argsort(sizes[small], kind="stable")]:
        if sizes[number] >= least:  # a smaller one has joined it
            continue
        own = parcel == number
        around = parcel[ndimage.binary_dilation(own) & ~own]
        shared = np.bincount(around, minlength=len(sizes))
        shared[0] = 0
        shared[sizes + sizes[number] > most] = 0
        to = int(shared.argmax()) if shared.any() else 0
        parcel[own] = to
        cover[own] = FIELD if to else WOOD
        sizes[to] += sizes[number]
        sizes[number] = 0


def _plant(cover: np.ndarray, parcel: np.ndarray, count: int, rng: np.random.Generator) -> None:
    """Turns about `count` pixels of whole fields into woods, in clusters."""
    sizes = np.bincount(parcel.ravel())
    wildness = ground.noise(cover.shape, 16, rng)
    mean = np.bincount(parcel.ravel(), wildness.ravel()) / np.maximum(sizes, 1)
    mean += 0.15 * rng.standard_normal(len(mean))
    for number in np.argsort(-mean):
        if number and 0 < sizes[number] <= 1.2 * count:
            cover[parcel == number] = WOOD
            parcel[parcel == number] = 0
            count -= sizes[number]
