"""Fields put together from their pieces, and what the models say of each as a whole."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import whole_fields
from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.review.pieces import Piece

LEAST = 0.01
"""A probability is taken for no less: a forest of a hundred trees knows no smaller one, and a
single pixel would decide."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A field that was annotated and predicted.

    Args:
      number: its position in the list of fields.
      pieces: at least one; the largest first.
      label: column of its class in probabilities; the last one is none of these.
      pixels: how many were predicted.
      mean: float64 [classes + 1], mean probability.
      geometric: float64 [classes + 1], the field's probability: the geometric mean of its pixels'
        probabilities, which adds up to 1.
    """

    number: int
    pieces: tuple[Piece, ...]
    label: int
    pixels: int
    mean: np.ndarray
    geometric: np.ndarray

    @property
    def block_fold(self) -> int:
        """The fold whose model predicted it."""
        return self.pieces[0].fold


def gather(data: Dataset, pieces: Sequence[Piece], by_id: bool = False) -> list[Field]:
    """The fields that pieces are of, those of neighbouring cubes as one.

    Args:
      data: the dataset that they were cut from, with all annotation in one split.
      pieces: of all folds.
      by_id: ids are unique throughout, as those of `prepare`: pieces of one id are one field,
        whether or not they touch.
    """
    member = {(p.cube, p.field): p.field for p in pieces} if by_id else _members(data, pieces)
    groups: dict[int, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(member[piece.cube, piece.field], []).append(piece)
    found: list[Field] = []
    for own in groups.values():
        own.sort(key=lambda piece: (-int(piece.own.sum()), piece.cube))
        values = np.concatenate([piece.probability[piece.own] for piece in own])
        values = values[~np.isnan(values).any(-1)].astype(np.float64)
        if len(values):
            label = own[0].label
            column = values.shape[1] - 1 if label == NONE_OF_THESE else label
            logs = np.log(np.maximum(values, LEAST)).mean(0)
            whole = np.exp(logs - logs.max())
            parts = len(found), tuple(own), column, len(values), values.mean(0)
            found.append(Field(*parts, whole / whole.sum()))
    return found


def _members(data: Dataset, pieces: Sequence[Piece]) -> dict[tuple[int, int], int]:
    """The field of each (cube, id)."""
    source, joined = DatasetSource(data), whole_fields.Pieces(data.cubes)
    numbers: dict[tuple[int, int], int] = {}
    for cube in sorted({piece.cube for piece in pieces}):
        fields = source.fields(cube)
        number = joined.add(cube, source.label(cube), fields)
        first = np.unique(number[number >= 0], return_index=True)
        ids = fields[number >= 0][first[1]]
        numbers |= {(cube, int(i)): int(n) for i, n in zip(ids, first[0], strict=True)}
    member = joined.members()
    return {key: int(member[number]) for key, number in numbers.items()}
