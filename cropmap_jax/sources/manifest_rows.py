"""Rows of a manifest, one for each piece and each cube, and their states."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

PLANNED, WHOLE, FLAGGED, FAILED = "planned", "whole", "flagged", "failed"
"""States of a cube: not there yet; there; there but with much missing; given up."""
GROWING = "to be appended to"
"""State of a cube that is there with fewer periods than are requested."""
DONE, SPLIT = "done", "split"
"""States of a piece: its file is there, or was when its cube was made; requested in parts."""


@dataclasses.dataclass(frozen=True)
class PieceRow:
    """A request that was answered, or split.

    Args:
      key: of the piece: its file is `<key>.npy`.
      cube: id of its cube.
      sensor: name of the sensor, or "label".
      shape: "periods x height x width" in pixels, e.g. "12x128x128".
      state: DONE or SPLIT.
      bytes: of its pixels, uncompressed; 0 if split.
      sha256: of its file, hex; "" if split.
      seconds: from the request to the response, waits and retries included.
      at: when, ISO 8601, UTC.
    """

    key: str
    cube: str
    sensor: str
    shape: str
    state: str
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    at: str = ""


@dataclasses.dataclass(frozen=True)
class CubeRow:
    """What is known of a cube.

    Args:
      cube: its id.
      key: digest of all that decides what is in it.
      state: PLANNED, WHOLE, FLAGGED, FAILED or GROWING.
      missing: how much of it is: `missing.measure`; {} where the cube is not there.
      reason: why it was flagged or failed, one line.
      at: when, ISO 8601, UTC.
    """

    cube: str
    key: str
    state: str
    missing: Mapping[str, Any]
    reason: str = ""
    at: str = ""


def cube_row(row: tuple[Any, ...]) -> CubeRow:
    """A row as the database has it."""
    cube, key, state, missing, reason, at = row
    return CubeRow(cube, key, state, json.loads(missing), reason, at)
