"""Digests of all that decides what is in a cube, by which a run finds what an earlier one made."""

import hashlib
import json
import pathlib
from typing import Any

from cropmap_jax.geo import calendars
from cropmap_jax.sources.targets import Target


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-ready value; the order of a mapping's keys does not matter.

    Raises:
      ValueError: NaN or infinity, which JSON does not have.
      TypeError: something that is not JSON-ready.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(target: Target) -> dict[str, Any]:
    """All of a target that decides what is in its cube, JSON-ready, but for its files."""
    geobox = target.geobox
    harvest = calendars.to_json(target.harvest)
    return {
        "cube": target.cube_id,
        "grid": [list(geobox.shape), list(geobox.affine)[:6], str(geobox.crs)],
        "periods": [[p.start.isoformat(), p.end.isoformat()] for p in target.periods],
        "legend": target.legend.to_json(),
        "place": [target.season, target.block, target.split, target.province, harvest],
    }


def file_digests(target: Target) -> list[str]:
    """SHA-256 (hex) of a target's files of labels and field ids.

    Raises:
      ValueError: a file is missing.
    """
    if target.label_file is None:
        raise ValueError(f"{target.cube_id}: expected a file of labels, found none")
    out = []
    for file in (target.label_file, target.fields_file):
        if file is not None:
            try:
                out.append(hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest())
            except FileNotFoundError:
                raise ValueError(f"{target.cube_id}: expected {file}, found no file") from None
    return out
