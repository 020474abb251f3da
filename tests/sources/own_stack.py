"""A user's own stack, tiny: every value encodes its sensor, period, row, column and band."""

import csv
import datetime as dt
import json
import pathlib

import numpy as np
import rasterio
import xarray as xr
from affine import Affine

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import month_periods

T, H, W = 3, 12, 15
AFFINE = (10.0, 0.0, 600000.0, 0.0, -10.0, 5600000.0)
CRS = "EPSG:32631"
PERIODS = month_periods(dt.date(2021, 11, 1), dt.date(2022, 1, 31))
CLASS_NAMES = ("Other", "Maize", "Spring wheat", "Cloud")
EXTRA = {"none_of_these": ["Other"], "unknown": ["Cloud"]}
"""Flags that make two classes of the four: maize and spring_wheat."""


def _number(periods: int, bands: int) -> np.ndarray:
    return np.arange(periods * H * W * bands).reshape(periods, H, W, bands)


def s1_db(periods: int = T) -> np.ndarray:
    """float32 [T, H, W, 2]: -30 dB and up, in steps of 0.01."""
    return (-30 + 0.01 * _number(periods, 2)).astype(np.float32)


def s2(periods: int = T) -> np.ndarray:
    """float32 [T, H, W, 10]: 0.0001 and up, in steps of 0.0001."""
    return (0.0001 * (1 + _number(periods, 10))).astype(np.float32)


def label() -> np.ndarray:
    """uint8 [H, W]: 0 other; 1 maize in columns 2-6; 2 wheat in columns 8-13 of rows 1-4 and 7-10;
    3 cloud in the last row; 255 in the first column and 254 in the corner."""
    out = np.zeros((H, W), np.uint8)
    out[1:11, 2:7] = 1
    out[1:5, 8:14] = 2
    out[7:11, 8:14] = 2
    out[11] = 3
    out[:, 0] = 255
    out[0, W - 1] = 254
    return out


def expected_label() -> np.ndarray:
    """The label of the cube with EXTRA: 0 maize, 1 spring wheat, 254 other, 255 unknown."""
    return np.array([254, 0, 1, 255] + [0] * 250 + [254, 255], np.uint8)[label()]


def arrays(**changes) -> dict:
    """The arrays of an .npz; None leaves one out."""
    out = {
        "s1_db": s1_db(),
        "s2": s2(),
        "label": label(),
        "class_names": np.array(CLASS_NAMES),
        "period_start": np.array([p.start.isoformat() for p in PERIODS]),
        "period_end": np.array([p.end.isoformat() for p in PERIODS]),
        "crs": CRS,
        "transform": np.array(AFFINE),
    } | changes
    return {key: value for key, value in out.items() if value is not None}


def write_npz(folder: pathlib.Path, name: str = "stack.npz", **changes) -> pathlib.Path:
    np.savez(folder / name, **arrays(**changes))
    return folder / name


def write_tif(file: pathlib.Path, pixels: np.ndarray, names=None, crs=CRS, affine=AFFINE, **more):
    """Writes [bands, H, W] as a GeoTIFF."""
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    profile |= {"driver": "GTiff", "dtype": pixels.dtype, "crs": crs, "transform": Affine(*affine)}
    with rasterio.open(file, "w", **profile | more) as raster:
        raster.write(pixels)
        if names:
            raster.descriptions = names
    return file


def write_dates(folder: pathlib.Path, rows, header=("sensor", "start", "end")) -> pathlib.Path:
    with open(folder / "dates.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "dates.csv"


def period_rows() -> list[tuple[str, str, str]]:
    return [(sensor, str(p.start), str(p.end)) for sensor in ("s1", "s2") for p in PERIODS]


def bands_first(pixels: np.ndarray) -> np.ndarray:
    """[T, H, W, B] as [T * B, H, W], period by period."""
    return np.moveaxis(pixels, -1, 1).reshape(-1, *pixels.shape[1:3])


def write_folder(folder: pathlib.Path) -> pathlib.Path:
    """A folder of GeoTIFFs without band names: S1 in dB as float, S2 as integers times 10000."""
    folder.mkdir(exist_ok=True)
    write_tif(folder / "s1.tif", bands_first(s1_db()))
    integers = np.rint(bands_first(s2()) * 10000).astype(np.uint16)
    write_tif(folder / "s2.tif", integers)
    write_dates(folder, period_rows())
    return folder


def write_legend(folder: pathlib.Path) -> pathlib.Path:
    """A legend whose codes are the values of `label`."""
    classes = [{"code": 1, "name": "maize"}, {"code": 2, "name": "spring_wheat"}]
    value = {"name": "mine", "classes": classes, "none_of_these": [0]}
    (folder / "legend.json").write_text(json.dumps(value))
    return folder / "legend.json"


def write_netcdf(file, pixels: np.ndarray, names, times, northwards=False, deep=False, **attrs):
    """[T, H, W, B] as a variable per band [t, y, x], or as one of [t, band, y, x].

    Args:
      northwards: rows run from south to north.
      deep: one variable of four dimensions.
      **attrs: encoding of the variables.
    """
    x = AFFINE[2] + 10 * (np.arange(pixels.shape[2]) + 0.5)
    y = AFFINE[5] - 10 * (np.arange(pixels.shape[1]) + 0.5)
    if northwards:
        pixels, y = pixels[:, ::-1], y[::-1]
    coords = {"t": np.array(times, "datetime64[ns]"), "y": y, "x": x}
    if deep:
        values = np.moveaxis(pixels, -1, 1)
        variables = {"pixels": (("t", "band", "y", "x"), values)}
        coords["band"] = list(names)
    else:
        bands = zip(names, np.moveaxis(pixels, -1, 0), strict=True)
        variables = {name: (("t", "y", "x"), values) for name, values in bands}
    data = xr.Dataset(variables, coords)
    data["crs"] = ((), 0, {"crs_wkt": rasterio.CRS.from_string(CRS).to_wkt()})
    data.to_netcdf(file, engine="h5netcdf", encoding={name: attrs for name in variables})
    return file


def assert_pixels(value: cube.Cube, s1: np.ndarray, s2: np.ndarray) -> None:
    """Within half a step of the storage; NaN where NaN."""
    np.testing.assert_allclose(value.s1, s1, atol=0.0051, rtol=0)
    np.testing.assert_allclose(value.s2, s2, atol=0.000051, rtol=0)
