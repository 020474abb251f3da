"""Which fold each annotated pixel of a set of cubes is in: a map of folds per cube.

A map has one value per pixel, so no pixel is in two folds. Nothing of a field is either: with
`--by field` a field is dealt out whole, else it stays in the fold that holds most of it and is
unknown elsewhere. Pieces of a field in cubes that touch are one field, and ground that several
seasons know has one fold.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.ndimage
import scipy.sparse.csgraph
import shapely

from cropmap_jax.geo import folds, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

Read = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""Number of a cube to its label, uint8 [H, W], and its fields, uint32 [H, W], 0 none."""
_NEAR_DEGREES = 3e-4
"""Cubes so near touch: some 30 m. Of the pieces in them, only those of one id are joined."""


def fold_maps(rule: Rule, infos: Sequence[CubeInfo], read: Read) -> list[str]:
    """A map of folds for every cube, as `geo.folds.encode` writes it.

    Args:
      rule: how ground is divided.
      infos: the cubes, no two of one season on the same ground.
      read: their annotation; the fields of a cube that has none are parts of its label, or 0.

    Raises:
      ValueError: a rule that leaves a fold empty or does not suit the cubes.
    """
    groups = _same_ground(rule, infos)
    by = _by_field if rule.by == "field" else _by_place
    maps, held = [""] * len(infos), np.zeros(UNUSED + 1, np.int64)
    for number, found in by(rule, infos, read, groups):
        held += np.bincount(found.ravel(), minlength=UNUSED + 1)
        maps[number] = folds.encode(found)
    empty = np.flatnonzero(held[: rule.count] == 0)
    if len(empty):
        smaller = " or a smaller --side" if rule.side else ""
        raise ValueError(
            f"{rule}: expected annotated pixels in every fold, found none in fold {empty[0]}; "
            f"expected fewer --folds{smaller}"
        )
    return maps


def cut_components(label: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Field ids, uint32 [H, W], of connected components of a label, cut where parts meet."""
    out = np.zeros(label.shape, np.uint32)
    for part in np.unique(parts[parts != UNUSED]):
        own = splits.connected_fields(np.where(parts == part, label, np.uint8(IGNORE)))
        out[own > 0] = own[own > 0] + out.max()
    return out


def _same_ground(rule: Rule, infos: Sequence[CubeInfo]) -> list[list[int]]:
    """Numbers of the cubes on each grid: more than one where there are several seasons."""
    groups: dict[object, list[int]] = {}
    for number, info in enumerate(infos):
        groups.setdefault((str(info.geobox.crs), info.geobox.affine, info.shape), []).append(number)
    firsts = [infos[own[0]] for own in groups.values()]
    shared = splits.find_overlap([i.cube_id for i in firsts], [i.geobox for i in firsts])
    if shared:
        raise ValueError(
            f"{rule}: cubes {shared[0]} and {shared[1]} of different seasons share {shared[2]:.0f} "
            f"m² of ground; expected the same grid for both, so that it has one fold"
        )
    return list(groups.values())


# Fields, in one cube or several ---------------------------------------------------------------


@dataclasses.dataclass
class _Pieces:
    """Pieces of fields in one cube.

    Args:
      pixels: int64 [pieces, 256], pixels of each label in each.
      ids: int64 [pieces], ids of fields that were given; -1 where the label alone shows a field.
      border: int64 [N, 4], piece, row, column and label of pixels at the cube's edge, where the
        label alone shows a field; rows and columns count from the origin of the CRS.
    """

    pixels: np.ndarray
    ids: np.ndarray
    border: np.ndarray


def _describe(info: CubeInfo, label: np.ndarray, number: np.ndarray, ids: np.ndarray) -> _Pieces:
    """What joining needs of a cube's pieces.

    Args:
      info: the cube.
      label: uint8 [H, W].
      number: int64 [H, W], piece of each pixel from 0; -1 none.
      ids: of the pieces, as in `_Pieces`.
    """
    inside = number >= 0
    codes = number[inside] * 256 + label[inside]
    pixels = np.bincount(codes, minlength=len(ids) * 256).reshape(len(ids), 256)
    edge = np.ones(label.shape, bool)
    edge[1:-1, 1:-1] = False
    edge[inside] &= ids[number[inside]] < 0
    rows, cols = np.nonzero(edge & inside)
    a, _, x, _, e, y = tuple(info.geobox.affine)[:6]
    absolute = [np.floor(y / e + rows + 0.5), np.floor(x / a + cols + 0.5)]
    border = np.stack([number[rows, cols], *absolute, label[rows, cols]], 1)
    return _Pieces(pixels, ids, border.astype(np.int64))


def _given(label: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of annotated ground by field id: number int64 [H, W], -1 none, and their ids."""
    number = np.full(label.shape, -1, np.int64)
    inside = (label != IGNORE) & (fields > 0)
    ids, number[inside] = np.unique(fields[inside], return_inverse=True)
    return number, ids.astype(np.int64)


class _Fields:
    """Fields of all cubes: which pieces are one.

    Args:
      infos: the cubes.
      pieces: of each.
      same: (cube, cube, int64 [N, 2] pieces of them) that are one for another reason.
    """

    def __init__(
        self,
        infos: Sequence[CubeInfo],
        pieces: list[_Pieces],
        same: Sequence[tuple[int, int, np.ndarray]] = (),
    ):
        sizes = [len(one.ids) for one in pieces]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        links = [np.zeros((0, 2), np.int64)]
        for a, b, found in itertools.chain(_touching(infos, pieces), same):
            links.append(found + np.array([self._starts[a], self._starts[b]]))
        left, right = np.concatenate(links).T
        self.count, self._member = _components(int(self._starts[-1]), left, right)

    def of(self, cube: int) -> np.ndarray:
        """int [pieces], the field of each piece of a cube."""
        found: np.ndarray = self._member[self._starts[cube] : self._starts[cube + 1]]
        return found

    def sum(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """[fields, N] sums of tables [pieces, N], one of each cube."""
        out = np.zeros((self.count, tables[0].shape[1]), np.int64)
        for cube, table in enumerate(tables):
            np.add.at(out, self.of(cube), table)
        return out


def _components(total: int, left: np.ndarray, right: np.ndarray) -> tuple[int, np.ndarray]:
    """How many groups links make of `total` things, and which one each is in."""
    if not total:
        return 0, np.zeros(0, np.int64)
    graph = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (total, total))
    count, member = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return int(count), member


def _touching(
    infos: Sequence[CubeInfo], pieces: list[_Pieces]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields (cube, cube, int64 [N, 2] pieces of them that are one) for cubes of one season."""
    with_pieces = [i for i, one in enumerate(pieces) if len(one.ids)]
    if not with_pieces:
        return
    outlines = [infos[i].geobox.geographic_extent.geom for i in with_pieces]
    tree = shapely.STRtree(outlines)
    near = shapely.buffer(np.array(outlines, object), _NEAR_DEGREES)
    for i, j in tree.query(near, "intersects").T:
        a, b = with_pieces[i], with_pieces[j]
        if a < b and infos[a].season == infos[b].season:
            found = np.concatenate(
                [_same_id(pieces[a], pieces[b]), _adjacent(pieces[a], pieces[b])]
            )
            if len(found):
                yield a, b, found


def _same_id(one: _Pieces, other: _Pieces) -> np.ndarray:
    """Pieces of one id and one class."""
    _, i, j = np.intersect1d(one.ids, other.ids, return_indices=True)
    kept = (one.ids[i] >= 0) & (one.pixels[i].argmax(1) == other.pixels[j].argmax(1))
    return np.stack([i[kept], j[kept]], 1)


def _adjacent(one: _Pieces, other: _Pieces) -> np.ndarray:
    """Pieces without an id that meet at the cubes' edges, of one class."""
    (p, row, col, label), (q, *there) = one.border.T, other.border.T
    meet = label[:, None] == there[2]
    meet &= np.abs(row[:, None] - there[0]) <= 1
    meet &= np.abs(col[:, None] - there[1]) <= 1
    i, j = np.nonzero(meet)
    return np.unique(np.stack([p[i], q[j]], 1), axis=0)


# By place -------------------------------------------------------------------------------------


def _by_place(
    rule: Rule, infos: Sequence[CubeInfo], read: Read, groups: list[list[int]]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields number and map of every cube: folds are blocks or squares, and fields stay in one."""
    of_block = _deal_blocks(rule, infos, read, groups) if rule.by == "block" else {}

    def place(number: int) -> np.ndarray:
        info = infos[number]
        if rule.by == "block":
            return np.full(info.shape, of_block[info.block], np.uint8)
        return folds.squares(info.shape, rule.side, rule.count)

    nothing = _Pieces(np.zeros((0, 256), np.int64), np.zeros(0, np.int64), np.zeros((0, 4), int))
    pieces, shares = [], []
    for number, info in enumerate(infos):
        one, share = nothing, np.zeros((0, rule.count), np.int64)
        if info.has_fields:
            label, fields = read(number)
            piece, ids = _given(label, fields)
            one = _describe(info, label, piece, ids)
            inside = piece >= 0
            codes = piece[inside] * rule.count + place(number)[inside]
            share = np.bincount(codes, minlength=len(ids) * rule.count).reshape(-1, rule.count)
        pieces.append(one)
        shares.append(share)
    joined = _Fields(infos, pieces)
    home = joined.sum(shares).argmax(1)
    for number, info in enumerate(infos):
        label, fields = read(number)
        found = place(number)
        if info.has_fields:
            piece, _ = _given(label, fields)
            inside = piece >= 0
            own = home[joined.of(number)][piece[inside]]
            found[inside] = np.where(found[inside] == own, found[inside], UNUSED)
        found[label == IGNORE] = UNUSED
        yield number, found


def _deal_blocks(
    rule: Rule, infos: Sequence[CubeInfo], read: Read, groups: list[list[int]]
) -> dict[str, int]:
    """The fold of every block; blocks on the same ground are as one."""
    names = sorted({info.block for info in infos})
    at = [names.index(info.block) for info in infos]
    left, right = np.array([(at[own[0]], at[i]) for own in groups for i in own]).T
    count, member = _components(len(names), left, right)
    pixels = np.zeros((count, IGNORE), np.int64)
    for number in range(len(infos)):
        label, _ = read(number)
        counts = np.bincount(label.ravel(), minlength=256)[:IGNORE]
        pixels[member[at[number]]] += counts
    known = np.flatnonzero(pixels.sum(1))
    if len(known) < rule.count:
        raise ValueError(
            f"{rule}: expected at least {rule.count} blocks with annotated pixels, found "
            f"{len(known)}; expected fewer --folds or another --by"
        )
    fold = np.zeros(count, int)
    fold[known] = folds.deal(pixels[known], rule.count)
    return {name: int(fold[member[i]]) for i, name in enumerate(names)}


# By field -------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Units:
    """What is dealt out whole in one cube.

    Args:
      number: int64 [H, W], the unit of each pixel from 0; -1 none.
      ids: as in `_Pieces`.
      open: int64 [H, W], components of "none of these" without a field, from 1; 0 elsewhere.
    """

    number: np.ndarray
    ids: np.ndarray
    open: np.ndarray


def _units(info: CubeInfo, label: np.ndarray, fields: np.ndarray, most: float) -> _Units:
    """Fields; components of annotated ground without one; of "none of these", those up to `most`
    pixels."""
    number, ids = _given(label, fields)
    if not info.has_fields:
        ids = np.full(len(ids), -1, np.int64)
    rest = (label != IGNORE) & (fields == 0)
    parts = splits.connected_fields(np.where(rest, label, np.uint8(IGNORE))).astype(np.int64)
    opened, _ = scipy.ndimage.label(rest & (label == NONE_OF_THESE), np.ones((3, 3)))
    size = np.bincount(opened.ravel())
    small = (opened > 0) & (size <= most)[opened]
    parts[small] = opened[small] + parts.max()
    seen, dense = np.unique(parts[parts > 0], return_inverse=True)
    number[parts > 0] = dense + len(ids)
    ids = np.concatenate([ids, np.full(len(seen), -1, np.int64)])
    return _Units(number, ids, np.where(small, 0, opened))


def _group_units(
    own: list[int], infos: Sequence[CubeInfo], read: Read, most: float
) -> Iterator[tuple[np.ndarray, _Units]]:
    """Yields label and units of the cubes on one grid."""
    labels = [read(number) for number in own]
    found = [_units(infos[n], *both, most) for n, both in zip(own, labels, strict=True)]
    if not any(len(one.ids) for one in found):  # there is nothing that open ground could go with
        found = [_units(infos[n], *both, np.inf) for n, both in zip(own, labels, strict=True)]
    for (label, _), one in zip(labels, found, strict=True):
        yield label, one


def _by_field(
    rule: Rule, infos: Sequence[CubeInfo], read: Read, groups: list[list[int]]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields number and map of every cube: fields are dealt out whole.

    "None of these" without a field is dealt out by connected component. One that is larger than a
    fold's share of such ground is divided: each of its pixels goes where the nearest unit goes.
    """
    most = _open_pixels(infos, read) / rule.count
    pieces: dict[int, _Pieces] = {}
    same = []
    for own in groups:
        units = list(_group_units(own, infos, read, most))
        for number, (label, one) in zip(own, units, strict=True):
            pieces[number] = _describe(infos[number], label, one.number, one.ids)
        for (a, (_, one)), (b, (_, other)) in itertools.combinations(
            zip(own, units, strict=True), 2
        ):
            both = (one.number >= 0) & (other.number >= 0)
            pairs = np.unique(np.stack([one.number[both], other.number[both]], 1), axis=0)
            same.append((a, b, pairs))
    ordered = [pieces[number] for number in range(len(infos))]
    joined = _Fields(infos, ordered, same)
    if joined.count < rule.count:
        raise ValueError(
            f"{rule}: expected at least {rule.count} fields, found {joined.count}; expected fewer "
            f"--folds or another --by"
        )
    fold = folds.deal(joined.sum([one.pixels[:, :IGNORE] for one in ordered]), rule.count)
    for own in groups:
        units = list(_group_units(own, infos, read, most))
        ground = np.full(infos[own[0]].shape, UNUSED, np.uint8)
        for number, (_, one) in zip(own, units, strict=True):
            there = one.number >= 0
            ground[there] = fold[joined.of(number)][one.number[there]]
        if any(one.open.any() for _, one in units):
            nearest = scipy.ndimage.distance_transform_edt(
                ground == UNUSED, return_distances=False, return_indices=True
            )
            ground = ground[tuple(nearest)]
        for number, (label, _) in zip(own, units, strict=True):
            yield number, np.where(label == IGNORE, np.uint8(UNUSED), ground)


def _open_pixels(infos: Sequence[CubeInfo], read: Read) -> int:
    """Pixels of "none of these" without a field in all cubes."""
    total = 0
    for number in range(len(infos)):
        label, fields = read(number)
        total += int(np.count_nonzero((label == NONE_OF_THESE) & (fields == 0)))
    return total
