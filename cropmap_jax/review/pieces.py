"""Pieces of fields with what was predicted in and around them, and their file."""

import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import IGNORE


@dataclasses.dataclass(frozen=True)
class Piece:
    """The part of a field that lies in one cube, or all of it.

    Args:
      cube: number of the cube.
      field: its id in the cube.
      label: what it is annotated as.
      fold: whose model, which has seen nothing of the fold, predicted it.
      top, left: upper left corner of the patch in the cube, in pixels.
      own: bool [h, w], the field's pixels in the patch.
      probability: float32 [h, w, classes + 1], none of these last; NaN where nothing was seen.
    """

    cube: int
    field: int
    label: int
    fold: int
    top: int
    left: int
    own: np.ndarray
    probability: np.ndarray


def cut(
    cube: int, fold: int, label: np.ndarray, fields: np.ndarray, found: np.ndarray, near: int
) -> list[Piece]:
    """The pieces of a cube.

    Args:
      cube, fold: as of `Piece`.
      label: uint8 [H, W], as the fold sees it.
      fields: uint32 [H, W], 0 none.
      found: float32 [H, W, classes + 1].
      near: pixels around a field's box that its patch holds, as far as the cube goes.
    """
    out = []
    inside = np.where(label != IGNORE, fields, 0)
    for field in np.unique(inside[inside > 0]).tolist():
        rows, cols = np.nonzero(inside == field)
        top, left = max(rows.min() - near, 0), max(cols.min() - near, 0)
        here = slice(top, rows.max() + 1 + near), slice(left, cols.max() + 1 + near)
        kinds = np.bincount(label[rows, cols], minlength=256)
        own = inside[here] == field
        out.append(
            Piece(cube, field, int(kinds.argmax()), fold, int(top), int(left), own, found[here])
        )
    return out


def save(path: pathlib.Path, pieces: Sequence[Piece], classes: int) -> None:
    """Writes pieces of a fold, whole or not at all."""
    rows = [(p.cube, p.field, p.label, p.fold, p.top, p.left, *p.own.shape) for p in pieces]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        rows=np.array(rows, np.int64).reshape(-1, 8),
        own=np.concatenate([p.own.ravel() for p in pieces] or [np.zeros(0, bool)]),
        probability=np.concatenate(
            [p.probability.reshape(-1, classes + 1) for p in pieces]
            or [np.zeros((0, classes + 1), np.float32)]
        ).astype(np.float16),
    )
    files.write_bytes(path, buffer.getbuffer())


def load(path: pathlib.Path) -> list[Piece]:
    """Reads what `save` wrote.

    Raises:
      ValueError: names a file that is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            return _split(found["rows"], found["own"], found["probability"])
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise ValueError(
            f"{path}: expected predictions of this command ({error}); remove the file"
        ) from error


def _split(rows: np.ndarray, own: np.ndarray, probability: np.ndarray) -> list[Piece]:
    out, start = [], 0
    for cube, field, label, fold, top, left, height, width in rows.tolist():
        end = start + height * width
        patch: Any = probability[start:end].astype(np.float32).reshape(height, width, -1)
        mask = own[start:end].reshape(height, width)
        out.append(Piece(cube, field, label, fold, top, left, mask, patch))
        start = end
    return out
