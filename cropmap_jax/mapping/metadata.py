"""What is written about the map of a cube, and whether it still holds."""

import dataclasses
import datetime as dt
import hashlib
import json
import os
import pathlib

import jax
import jsonschema
import numpy as np

from cropmap_jax.geo import calendars, cube, periods, windows
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import tiling
from cropmap_jax.mapping import cubes
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

RECORD = "map.json"
CROP, CONFIDENCE = "crop.tif", "confidence.tif"
FORMAT = 1
"""Version of the map's layout; maps of another one are not mixed with new ones."""


def fingerprint(restored: Restored) -> str:
    """Hash of all that decides what a checkpoint says: arrays and recipe."""
    digest = hashlib.sha256(json.dumps(restored.recipe.to_json(), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored.variables):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a map is made with, apart from its cubes: one folder holds maps of one kind.

    Args:
      checkpoint: `fingerprint` of the checkpoint.
      step: training steps behind it.
      as_of: ISO date.
      threshold: of a sigmoid head; None for softmax, which has none.
      halo_px, part_px: how ground is cut.
      format: FORMAT.
    """

    checkpoint: str
    step: int
    as_of: str
    threshold: float | None
    halo_px: int
    part_px: int = tiling.PART_PX
    format: int = FORMAT


def make_record(
    info: cube.CubeInfo,
    recipe: Recipe,
    settings: Settings,
    workdir: str,
    inputs: str,
    crop: np.ndarray,
    seen: np.ndarray,
) -> dict:
    """The record of a cube's map, JSON-ready.

    Args:
      info: the cube.
      recipe: the checkpoint's.
      settings: as of when, at which threshold.
      workdir: where the checkpoint came from.
      inputs: `MosaicGroup.inputs` of the cube.
      crop: uint8 [H, W], the map.
      seen: int [T, bands], see `pixels.count_values`.
    """
    as_of = dt.date.fromisoformat(settings.as_of)
    spans = periods.to_days(info.periods)
    found = windows.as_of_window(spans, periods.to_day(as_of), recipe.num_periods)
    window = [info.periods[i] for i in found.indices[found.missing :]]
    starts = {c: calendars.harvest_start(info.harvest, c) for c in recipe.legend.names}
    excluded = cubes.unplanted(info, recipe, as_of)
    return {
        "cube": info.cube_id,
        "season": info.season,
        "settings": dataclasses.asdict(settings),
        "workdir": workdir,
        "inputs": inputs,
        "window": [f"{p.start}/{p.end}" for p in window],
        "window_end": window[-1].end.isoformat(),
        "periods_before_the_cube": found.missing,
        "lead_days": {
            name: start and windows.effective_lead(start, window[-1].end)
            for name, start in starts.items()
        },
        "excluded": {name: planting.isoformat() for name, planting in excluded.items()},
        "pixel_m": info.geobox.affine.a,
        "seen": _seen(seen, crop.size, recipe.sensors),
        "area": _area(crop, recipe.legend, info.geobox.affine.a),
    }


def _seen(counts: np.ndarray, pixels: int, sensors: tuple[Sensor, ...]) -> dict:
    """Share of pixels with a value, per sensor and period; bands without one in all periods."""
    shares, missing, start = {}, {}, 0
    for sensor in sensors:
        own = counts[:, start : start + len(sensor.bands)]
        # However few pixels were seen, that is more than none.
        shares[sensor.name] = [
            max(round(float(share), 4), 1e-4) if share else 0.0 for share in own.max(1) / pixels
        ]
        none = ~own.any(0)
        missing[sensor.name] = [b for b, lost in zip(sensor.bands, none, strict=True) if lost]
        start += len(sensor.bands)
    return shares | {"missing_bands": missing}


def _area(crop: np.ndarray, classes: Legend, pixel_m: float) -> dict:
    counts = np.bincount(crop.ravel(), minlength=256)
    return {
        name: {"pixels": int(counts[value]), "hectares": int(counts[value]) * pixel_m**2 / 1e4}
        for value, name in values(classes).items()
    }


def values(classes: Legend) -> dict[int, str]:
    """What each pixel value of a map is called, nodata included."""
    named = dict(enumerate(classes.names))
    return named | {NONE_OF_THESE: "none_of_these", IGNORE: "no_data"}


def check_names(classes: Legend) -> None:
    """Requires classes whose names are not what maps call other pixel values.

    Raises:
      ValueError: names the class.
    """
    for value in (NONE_OF_THESE, IGNORE):
        name = values(classes)[value]
        if name in classes.names:
            raise ValueError(
                f"checkpoint's legend {classes.name!r}: class {name!r} has the name of pixel value "
                f"{value} of a map; expected another name for the class"
            )


def read_record(folder: pathlib.Path) -> dict:
    """Reads the record of a finished map.

    Raises:
      ValueError: names the file if it is no record of this folder's map.
    """
    file = folder / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_ours(file, str(error) or type(error).__name__) from error
    wrong = next(_VALIDATOR.iter_errors(record), None)
    if wrong is not None:
        raise _not_ours(file, f"{wrong.json_path}: {wrong.message[:200]}")
    if record["cube"] != folder.name:
        raise _not_ours(file, f"that of cube {str(record['cube'])[:80]!r}")
    if "seen" in record and record["seen"]["missing_bands"].keys() != seen_by_sensor(record).keys():
        raise _not_ours(file, "missing bands of other sensors than those that were seen")
    count = len(record["window"]) + record["periods_before_the_cube"]
    if any(len(shares) != count for shares in seen_by_sensor(record).values()):
        raise _not_ours(file, f"shares of other than {count} periods")
    return record


def last_image(record: dict) -> dt.date | None:
    """End of the last period of the window that holds a value of any sensor; None if none does.

    Of a record that does not say what was seen, the end of the window.
    """
    spans = [dt.date.fromisoformat(span.split("/")[1]) for span in record["window"]]
    if "seen" not in record:
        return spans[-1]
    there = np.any(list(seen_by_sensor(record).values()), axis=0)
    found = np.flatnonzero(there[record["periods_before_the_cube"] :])
    return spans[found[-1]] if len(found) else None


def seen_by_sensor(record: dict) -> dict[str, list[float]]:
    """Share of pixels with a value in each period, by sensor; empty if the record has none."""
    return {k: shares for k, shares in record.get("seen", {}).items() if k != "missing_bands"}


def _not_ours(file: pathlib.Path, found: str) -> ValueError:
    return ValueError(
        f"{file}: expected the record of the map of cube {file.parent.name}, found {found}; move "
        f"that folder away, or choose another --out"
    )


def _each(values: dict) -> dict:
    return {"type": "object", "additionalProperties": values}


_COUNT = {"type": "integer", "minimum": 0}
_DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}
_SHARES = {"type": "array", "items": {"type": "number"}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_VALIDATOR = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "required": [
            "cube", "settings", "window", "window_end", "periods_before_the_cube", "lead_days",
            "excluded", "area",
        ],
        "properties": {
            "settings": {
                "type": "object",
                "required": [field.name for field in dataclasses.fields(Settings)],
                "properties": {"as_of": _DATE},
            },
            "window": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d/\d{4}-\d\d-\d\d$"},
            },
            "window_end": _DATE,
            "periods_before_the_cube": _COUNT,
            "lead_days": _each({"type": ["integer", "null"]}),
            "excluded": _each({"type": "string"}),
            "area": _each(
                {
                    "type": "object",
                    "required": ["pixels", "hectares"],
                    "properties": {"pixels": _COUNT, "hectares": {"type": "number"}},
                }
            ),
            "seen": {
                "type": "object",
                "required": ["missing_bands"],
                "minProperties": 2,
                "properties": {"missing_bands": _each(_NAMES)},
                "additionalProperties": _SHARES,
            },
        },
    }
)  # fmt: skip
"""What later code reads of a record, so that what is wrong shows where the file is opened."""


def find_finished(
    out: pathlib.Path, wanted: dict[str, str], settings: Settings, overwrite: bool
) -> tuple[set[str], set[str]]:
    """Which cubes are mapped already.

    Args:
      out: folder of the map.
      wanted: `MosaicGroup.inputs` of each cube to map, by id.
      settings: of this run.
      overwrite: whether maps made with other settings are to be made again.

    Returns:
      Ids of the cubes whose maps still hold, and of those that have a map which does not.

    Raises:
      ValueError: a map of a cube that is not wanted, one made with other settings, or a folder of
        a cube's name that holds something else.
    """
    for name in wanted:
        if os.path.lexists(out / name) and not (out / name).is_dir():
            raise ValueError(
                f"{out / name}: expected a cube's map or no folder, found a file; move it away, or "
                f"choose another --out"
            )
    good, stale = set(), set()
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        name = folder.name
        if not (folder / RECORD).is_file():
            if name in wanted:
                raise ValueError(
                    f"{folder}: expected a cube's map or no folder, found neither; move it away, "
                    f"or choose another --out"
                )
            continue
        if name not in wanted:
            if not _is_record(folder):
                continue
            raise ValueError(
                f"{folder}: found the map of a cube that is not among those to map; expected "
                f"another --out, or that folder gone"
            )
        record = read_record(folder)
        differ = _differences(record["settings"], settings)
        if differ and not overwrite:
            raise ValueError(
                f"{folder / RECORD}: made with other settings ({differ}); expected the same, "
                f"another --out, or --overwrite"
            )
        complete = (folder / CROP).is_file() and (folder / CONFIDENCE).is_file()
        if not differ and complete and record.get("inputs") == wanted[name]:
            good.add(name)
        else:
            _check_replaceable(folder)
            stale.add(name)
    return good, stale


def _is_record(folder: pathlib.Path) -> bool:
    try:
        read_record(folder)
    except ValueError:
        return False
    return True


def _check_replaceable(folder: pathlib.Path) -> None:
    """Requires a map's folder to hold a map's files only, and what GDAL writes next to a raster."""
    own = {CROP, CONFIDENCE, RECORD} | {f"{name}.aux.xml" for name in (CROP, CONFIDENCE)}
    for path in sorted(folder.iterdir()):
        if path.name not in own or path.is_dir():
            raise ValueError(
                f"{path}: found in the folder of a map that is to be replaced, and not written by "
                f"predict; move it away, or choose another --out"
            )


def _differences(was: dict, settings: Settings) -> str:
    now = dataclasses.asdict(settings)
    keys = [k for k in now if was.get(k) != now[k]]
    return ", ".join(f"{k}: was {was.get(k)}, now {now[k]}" for k in keys)
