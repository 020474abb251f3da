"""Metadata of the map of one cube, its `map.json`: made, read and checked."""

import dataclasses
import datetime as dt
import hashlib
import json
import pathlib
from typing import Any, NotRequired, TypedDict, cast

import jax
import jsonschema
import numpy as np

from cropmap_jax.geo import as_of_windows, calendars, cube, periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import tiling
from cropmap_jax.mapping import cubes
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

METADATA = "map.json"
"""File next to the rasters in the folder of a cube's map."""
CROP, CONFIDENCE = "crop.tif", "confidence.tif"
FORMAT = 1
"""Version of the map's layout; maps of another one are not mixed with new ones."""


def fingerprint(restored: Restored) -> str:
    """Hash of all that decides what a checkpoint predicts: arrays and recipe; 16 hex digits."""
    digest = hashlib.sha256(json.dumps(restored.recipe.to_json(), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(restored.variables):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


_LATER = ("smooth", "mask", "fields", "calibration")
"""Settings that are only there where a map was made with them."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a map is made with, apart from its cubes: one folder holds maps of one kind.

    Args:
      checkpoint: `fingerprint` of the checkpoint.
      step: training steps behind it.
      as_of: exclusive ISO date of the prediction.
      threshold: probability of a sigmoid head; None for softmax, which has none.
      halo_px, part_px: how a mosaic group is cut, in pixels, see `tiling.Tiling`.
      format: FORMAT.
      smooth: side in pixels of the window that probabilities are smoothed over, see
        `inference.smoothing`; None for none.
      mask: hash of the raster whose 0 and nodata are left out; None for none.
      fields: hash of the parcels whose sums are kept; None for none.
      calibration: hash of how probabilities are rescaled, `Stored.digest`; None for not at all.
    """

    checkpoint: str
    step: int
    as_of: str
    threshold: float | None
    halo_px: int
    part_px: int = tiling.PART_PX
    format: int = FORMAT
    smooth: int | None = None
    mask: str | None = None
    fields: str | None = None
    calibration: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As `map.json` holds them."""
        found = dataclasses.asdict(self)
        return {k: v for k, v in found.items() if k not in _LATER or v is not None}


class Area(TypedDict):
    """How much of a cube's map has one value."""

    pixels: int
    hectares: float


class MapMetadata(TypedDict):
    """What `map.json` holds; dates are ISO dates, and "/" separates the two of a period.

    Attributes:
      cube, season: the cube's.
      settings: `Settings.to_json`.
      workdir: where the checkpoint came from.
      inputs: `MosaicGroup.inputs` of the cube.
      window: the cube's periods that were used, oldest first.
      window_end: end of the last of them.
      periods_before_the_cube: how many periods of the window are missing at its beginning.
      lead_days: days from the end of the window to harvest, by class; None without a harvest date.
      excluded: date of planting of each class that was not planted by the as-of date.
      pixel_m: side of a pixel in metres.
      seen: by sensor the share of pixels with a value in each period of the window, and under
        "missing_bands" by sensor the bands without any value; absent from older files.
      area: by name of each pixel value; no data is what no image shows.
      masked: pixels that the mask leaves out; they hold no data and count nowhere else. Absent
        where there was no mask.
      calibrated: how probabilities were rescaled, in words; absent where they were not.
    """

    cube: str
    season: str
    settings: dict[str, Any]
    workdir: str
    inputs: NotRequired[str]
    window: list[str]
    window_end: str
    periods_before_the_cube: int
    lead_days: dict[str, int | None]
    excluded: dict[str, str]
    pixel_m: float
    seen: NotRequired[dict[str, Any]]
    area: dict[str, Area]
    masked: NotRequired[Area]
    calibrated: NotRequired[str]


def make_metadata(
    info: cube.CubeInfo,
    recipe: Recipe,
    settings: Settings,
    workdir: str,
    inputs: str,
    crop: np.ndarray,
    seen: np.ndarray,
    masked: int | None = None,
    calibrated: str | None = None,
) -> MapMetadata:
    """The metadata of a cube's map, JSON-ready.

    Args:
      info: the cube.
      recipe: the checkpoint's.
      settings: as of when, at which threshold.
      workdir: where the checkpoint came from.
      inputs: `MosaicGroup.inputs` of the cube.
      crop: uint8 [H, W], the map.
      seen: int [T, bands of all sensors], see `pixels.count_values`.
      masked: how many pixels a mask leaves out; None where there is none.
      calibrated: how probabilities were rescaled, in words; None where they were not.

    Raises:
      ValueError: no period of the cube has ended by the as-of date.
    """
    as_of = dt.date.fromisoformat(settings.as_of)
    spans = periods.to_days(info.periods)
    found = as_of_windows.as_of_window(spans, periods.to_day(as_of), recipe.num_periods)
    window = [info.periods[i] for i in found.indices[found.missing :]]
    starts = {c: calendars.harvest_start(info.harvest, c) for c in recipe.legend.names}
    excluded = cubes.unplanted(info, recipe, as_of)
    pixel_m = info.geobox.affine.a
    described: MapMetadata = {
        "cube": info.cube_id,
        "season": info.season,
        "settings": settings.to_json(),
        "workdir": workdir,
        "inputs": inputs,
        "window": [f"{p.start}/{p.end}" for p in window],
        "window_end": window[-1].end.isoformat(),
        "periods_before_the_cube": found.missing,
        "lead_days": {
            name: as_of_windows.effective_lead(start, window[-1].end) if start else None
            for name, start in starts.items()
        },
        "excluded": {name: planting.isoformat() for name, planting in excluded.items()},
        "pixel_m": pixel_m,
        "seen": _seen(seen, crop.size, recipe.sensors),
        "area": _area(crop, recipe.legend, pixel_m, masked or 0),
    }
    if masked is not None:
        described["masked"] = _hectares(masked, pixel_m)
    if calibrated is not None:
        described["calibrated"] = calibrated
    return described


def _seen(counts: np.ndarray, pixels: int, sensors: tuple[Sensor, ...]) -> dict[str, Any]:
    """Share of pixels with a value, per sensor and period; bands without one in all periods."""
    shares: dict[str, list[float]] = {}
    missing: dict[str, list[str]] = {}
    start = 0
    for sensor in sensors:
        own = counts[:, start : start + len(sensor.bands)]
        # However few pixels were seen, that is more than none.
        shares[sensor.name] = [
            max(round(float(share), 4), 1e-4) if share else 0.0 for share in own.max(1) / pixels
        ]
        missing[sensor.name] = [b for i, b in enumerate(sensor.bands) if not own[:, i].any()]
        start += len(sensor.bands)
    return shares | {"missing_bands": missing}


def _area(crop: np.ndarray, classes: Legend, pixel_m: float, masked: int) -> dict[str, Area]:
    counts = np.bincount(crop.ravel(), minlength=256)
    counts[IGNORE] -= masked
    return {name: _hectares(int(counts[value]), pixel_m) for value, name in values(classes).items()}


def _hectares(pixels: int, pixel_m: float) -> Area:
    return {"pixels": pixels, "hectares": pixels * pixel_m**2 / 1e4}


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


def read_metadata(folder: pathlib.Path) -> MapMetadata:
    """Reads the metadata of a finished map.

    Args:
      folder: of the cube's map.

    Raises:
      ValueError: names the file if it does not hold the metadata of this folder's map.
    """
    file = folder / METADATA
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_ours(file, str(error) or type(error).__name__) from error
    wrong = next(_VALIDATOR.iter_errors(found), None)
    if wrong is not None:
        raise _not_ours(file, f"{wrong.json_path}: {wrong.message[:200]}")
    metadata = cast(MapMetadata, found)
    if metadata["cube"] != folder.name:
        raise _not_ours(file, f"that of cube {str(metadata['cube'])[:80]!r}")
    shares = seen_by_sensor(metadata)
    if "seen" in metadata and metadata["seen"]["missing_bands"].keys() != shares.keys():
        raise _not_ours(file, "missing bands of other sensors than those that were seen")
    count = len(metadata["window"]) + metadata["periods_before_the_cube"]
    if any(len(share) != count for share in shares.values()):
        raise _not_ours(file, f"shares of other than {count} periods")
    return metadata


def last_image(metadata: MapMetadata) -> dt.date | None:
    """End of the last period of the window that holds a value of any sensor; None if none does.

    The end of the window where older metadata does not say what was seen.
    """
    spans = [dt.date.fromisoformat(span.split("/")[1]) for span in metadata["window"]]
    if "seen" not in metadata:
        return spans[-1]
    there = np.any(list(seen_by_sensor(metadata).values()), axis=0)
    found = np.flatnonzero(there[metadata["periods_before_the_cube"] :])
    return spans[found[-1]] if len(found) else None


def seen_by_sensor(metadata: MapMetadata) -> dict[str, list[float]]:
    """Share of pixels with a value in each period, by sensor; empty in older metadata."""
    seen = metadata.get("seen", {})
    return {name: shares for name, shares in seen.items() if name != "missing_bands"}


def _not_ours(file: pathlib.Path, found: str) -> ValueError:
    return ValueError(
        f"{file}: expected the metadata of the map of cube {file.parent.name}, found {found}; "
        f"move that folder away, or choose another --out"
    )


def _each(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


_COUNT = {"type": "integer", "minimum": 0}
_DATE = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}
_SHARES = {"type": "array", "items": {"type": "number"}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_AREA = {
    "type": "object",
    "required": ["pixels", "hectares"],
    "properties": {"pixels": _COUNT, "hectares": {"type": "number"}},
}
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
                "required": [
                    field.name
                    for field in dataclasses.fields(Settings)
                    if field.name not in _LATER
                ],
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
            "area": _each(_AREA),
            "masked": _AREA,
            "calibrated": {"type": "string"},
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
"""What later code reads of the metadata, so that what is wrong shows where the file is opened."""
