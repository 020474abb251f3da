"""Cubes as the original system would have stored them: gaps as zeros, S1 stretched image by image.

None of this is offered by the product, so the cubes are altered and all that follows is as it is.
"""

import dataclasses
import pathlib

import numpy as np
import rasterio

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.cube_reader import RawCube
from cropmap_jax.geo.sensors import Sensor

IMAGE_PX = 64
"""Side of the original system's images, which are the chips here."""
ZEROS, STRETCHED = "zeros", "stretched"
"""What may be done to cubes: missing values become 0 (of S1 0 dB, a bright target), without a flag
that says so; S1 of each month and image is stretched to its range, jointly over its bands."""


def fill(stored: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Stored pixels with 0 where they are missing."""
    return np.where(stored == sensor.nodata, np.dtype(sensor.dtype).type(0), stored)


def stretch(stored: np.ndarray, sensor: Sensor, image_px: int = IMAGE_PX) -> np.ndarray:
    """Stretches each month of each image to the sensor's physical range, jointly over its bands.

    The lowest value of an image becomes the lower end of the range and the highest the upper one,
    so that the physical scaling to [0, 1] makes of it what a min-max of the image would.

    Args:
      stored: [T, H, W, bands] as stored; what is missing stays missing and counts as no value.
      sensor: whose.
      image_px: side of an image.

    Returns:
      Array like `stored`.
    """
    low, high = (end * sensor.scale for end in sensor.range)
    out = stored.copy()
    for month in out:
        for top in range(0, month.shape[0], image_px):
            for left in range(0, month.shape[1], image_px):
                image = month[top : top + image_px, left : left + image_px]
                there = image != sensor.nodata
                if not there.any():
                    continue
                values = image[there].astype(np.float64)
                least, most = values.min(), values.max()
                unit = (values - least) / (most - least) if most > least else 0 * values
                image[there] = np.rint(low + unit * (high - low))
    return out


def alter(cube: RawCube, ways: tuple[str, ...]) -> RawCube:
    """A cube with what `ways` name done to it: zeros first, as the original system did."""
    pixels = dict(cube.pixels)
    for sensor in cube.info.sensors:
        if ZEROS in ways:
            pixels[sensor.name] = fill(pixels[sensor.name], sensor)
        if STRETCHED in ways and sensor.name == "s1":
            pixels[sensor.name] = stretch(pixels[sensor.name], sensor)
    return dataclasses.replace(cube, pixels=pixels)


def write(
    cubes: pathlib.Path,
    out: pathlib.Path,
    ways: tuple[str, ...] = (),
    truth: pathlib.Path | None = None,
) -> None:
    """Writes altered copies of a folder of cubes; those that are there are kept.

    Args:
      cubes: the folder.
      out: the folder of the copies.
      ways: what is done to their pixels.
      truth: folder of `experiments.simulate` with the class of every pixel; test cubes then have
        these as labels. None: labels stay as they are.

    Raises:
      ValueError: a cube or a raster of the truth that is missing or damaged.
    """
    for info in cube_io.list_cubes(cubes):
        if (out / info.cube_id / cube_io.ITEM).is_file():
            continue
        cube = alter(cube_io.read_raw(cubes / info.cube_id), ways)
        if truth and info.split == "test":
            file = truth / info.cube_id / "truth.tif"
            if not file.is_file():
                raise ValueError(f"--truth: expected the raster {file}, found none")
            with rasterio.open(file) as raster:
                label = raster.read(1)
            if label.shape != cube.label.shape:
                raise ValueError(f"{file}: expected {cube.label.shape} pixels, found {label.shape}")
            cube = dataclasses.replace(cube, label=label)
        cube_io.write_cube(cube, out)
