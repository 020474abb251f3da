"""The JSON next to a dataset's records, checked before anything uses it.

TFDS imports whatever class `features.json` names, so that file is compared with the one that
`experiments.build` writes before TFDS sees it. Names of files are made here, never taken from a
dataset.
"""

import contextlib
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format

from cropmap_jax.geo import files, schemas
from cropmap_jax.geo.sensors import Sensor

FORMAT = 1
"""Version of the metadata's layout; a reader refuses another."""
INFO, FEATURES, METADATA = "dataset_info.json", "features.json", "metadata.json"
FILE = r"[A-Za-z0-9_]+-(train|validation|test)\.array_record-\d{5}-of-\d{5}"
"""Regular expression of the name of a file of records."""
AGAIN = "build it again with --overwrite"
_MAX_METADATA = 1 << 31


def features(chip: int, sensors: tuple[Sensor, ...]) -> tfds.features.FeaturesDict:
    """Features of one chip of `chip` x `chip` pixels; the number of periods may vary."""
    bytes_ = {"encoding": "bytes"}
    pixels = {
        sensor.name: tfds.features.Tensor(
            shape=(None, chip, chip, len(sensor.bands)), dtype=np.dtype(sensor.dtype).type, **bytes_
        )
        for sensor in sensors
    }
    return tfds.features.FeaturesDict(
        pixels
        | {
            "label": tfds.features.Tensor(shape=(chip, chip), dtype=np.uint8),
            "fields": tfds.features.Tensor(shape=(chip, chip), dtype=np.uint32, **bytes_),
            "periods": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
            "cube": tfds.features.Text(),
            "cube_index": np.int32,
            "row": np.int32,
            "col": np.int32,
        }
    )


def check_features(folder: pathlib.Path, chip: int, sensors: tuple[Sensor, ...]) -> None:
    """Requires the `features.json` that `build` writes for such chips of these sensors.

    Raises:
      ValueError: names the file.
    """
    file = folder / FEATURES
    with advice():
        found = schemas.read_json(file, "the features of a dataset of chips")
        if found != _features_json(chip, sensors):
            raise ValueError(
                f"{file}: expected the features of chips of {chip} px as build writes them, found "
                f"others"
            )


@functools.lru_cache(maxsize=8)
def _features_json(chip: int, sensors: tuple[Sensor, ...]) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(features(chip, sensors).to_proto())
    return found


def split_files(folder: pathlib.Path) -> dict[str, tuple[list[pathlib.Path], list[int]]]:
    """Files and numbers of records of every split, from `dataset_info.json`.

    Raises:
      ValueError: names the file that is missing or wrong.
    """
    file = folder / INFO
    with advice():
        info = schemas.read_json(file, "a dataset's description")
        schemas.check(info, _schema("dataset_info"), file)
        if info["version"] != folder.name:
            raise ValueError(
                f"{file}: expected version {folder.name} (the folder's name), found "
                f"{info['version']}"
            )
        found = {}
        for split in info["splits"]:
            counts = [int(n) for n in split["shardLengths"]]
            name = f"{info['name']}-{split['name']}.array_record"
            names = [f"{name}-{i:05d}-of-{len(counts):05d}" for i in range(len(counts))]
            paths = [folder / n for n in names]
            for path in paths:
                if not path.is_file():
                    raise ValueError(f"{path}: expected a file of the dataset, found none")
            if split["name"] in found:
                raise ValueError(f"{file}: found split {split['name']} twice")
            found[split["name"]] = paths, counts
    return found


def read_metadata(folder: pathlib.Path) -> dict[str, Any]:
    """`metadata.json`, as its schema allows it; that its tables agree is not checked here.

    Raises:
      ValueError: names the file, or another format.
    """
    file = folder / METADATA
    with advice():
        meta: dict[str, Any] = schemas.read_json(file, "a dataset's metadata", _MAX_METADATA)
        found = meta.get("format") if isinstance(meta, dict) else None
        if found != FORMAT:
            raise ValueError(f"{folder}: expected format {FORMAT}, found {schemas.show(found)}")
        schemas.check(meta, _schema("metadata"), file)
    return meta


def seal(folder: pathlib.Path) -> None:
    """Adds to `metadata.json` a SHA-256 of its contents, for `check_digest`.

    Raises:
      OSError: no space or no permission.
    """
    meta = read_metadata(folder)
    text = json.dumps(meta | {"sha256": _digest(meta)})
    files.write_bytes(folder / METADATA, text.encode())


def check_digest(meta: dict[str, Any], file: pathlib.Path) -> None:
    """Compares metadata with their SHA-256; datasets of earlier versions have none.

    Raises:
      ValueError: they are not what `build` wrote; names the file.
    """
    expected, found = meta.get("sha256"), _digest(meta)
    if "sha256" in meta and found != expected:
        with advice():
            raise ValueError(
                f"{file}: damaged: expected SHA-256 {schemas.show(expected)}, found {found}"
            )


def _digest(meta: dict[str, Any]) -> str:
    contents = {name: value for name, value in meta.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def table(
    rows: Any, shape: tuple[int | None, ...], limits: tuple[int, int], where: str
) -> np.ndarray:
    """int64 array of a list of (lists of) integers; None in `shape` is any length.

    Raises:
      ValueError: names `where`, and what was found and expected.
    """
    try:
        found = np.asarray(rows)
    except ValueError:  # rows of different lengths
        found = np.empty(0, object)
    empty = [n or 0 for n in shape]
    if found.size == 0 and found.dtype != object and 0 in empty:
        # JSON has no empty table of two columns.
        found = np.zeros(empty, np.int64)
    fits = found.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, found.shape, strict=True)
    )
    low, high = limits
    if found.dtype.kind != "i" or not fits:
        size = " x ".join("N" if n is None else str(n) for n in shape)
        raise ValueError(f"{where}: expected {size} integers, found {schemas.show(rows)}")
    if found.size and not (low <= found.min() and found.max() <= high):
        raise ValueError(
            f"{where}: expected integers from {low} to {high}, found {found.min()} to {found.max()}"
        )
    return found.astype(np.int64)


@contextlib.contextmanager
def advice() -> Iterator[None]:
    """Adds to errors what helps: building the dataset again."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; {AGAIN}") from error


def _schema(name: str) -> pathlib.Path:
    return pathlib.Path(__file__).with_name(f"{name}.schema.json")
