"""Numbers that stand for "no data" though nobody declared them, per type, storage and sensor."""

import numpy as np
import pytest
import xarray as xr

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import options, run
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.reading import read_window
from cropmap_jax.sources.ingest.satellites import Units
from tests.sources import own_stack

ALL = slice(0, None)
S2_BANDS = SENSORS["s2"].bands
MIN32 = float(np.finfo(np.float32).min)


def made(values, sensor, dtype, **more):
    """Bands of one pixel for each row of values [n, B]."""
    pixels = np.asarray(values).astype(dtype)[None, :, None]
    sensor = SENSORS[sensor]
    names = sensor.bands[: pixels.shape[-1]]
    integer = pixels.dtype.kind in "iu" and not more
    return Bands(sensor, "x", (), names, lambda r, c: pixels, integer, **more)


def read(found, **units):
    values, findings = read_window(found, Units(**units), ALL, ALL)
    return values[0, :, 0], findings


def s2_pixels(fill, scale, bands):
    """One pixel of ground and one with a fill value in its first bands."""
    ground = np.linspace(300, 3900, 10) / scale
    return [ground, np.concatenate([np.full(bands, float(fill)), ground[bands:]])]


@pytest.mark.parametrize("bands", [1, 10])
@pytest.mark.parametrize(
    "dtype, scale, fill",
    [
        (np.int16, 1, -9999),
        (np.int16, 1, -32768),
        (np.int16, 1, -32767),
        (np.int16, 1, 32767),
        (np.int16, 1, -1000),  # 0 from which 1000 was taken off
        (np.int32, 1, -99999),
        (np.int32, 1, 65535),
        (np.int32, 1, -(2**31)),
        (np.int64, 1, -9999),
        (np.uint16, 1, 65535),
        (np.uint16, 1, 55537),  # -9999 cast to uint16
        (np.uint16, 1, 64536),  # 0 less 1000
        (np.uint32, 1, 2**32 - 1),
        (np.float16, 1e4, -9999),
        (np.float32, 1e4, -9999),
        (np.float32, 1e4, -999),
        (np.float32, 1e4, 65535),
        (np.float32, 1e4, -0.9999),
        (np.float32, 1e4, -3.2768),
        (np.float32, 1e4, 6.5535),
        (np.float32, 1e4, -1.0999),
        (np.float32, 1e4, -0.1),
        (np.float32, 1e4, MIN32),
        (np.float32, 1e4, 9.96921e36),
        (np.float64, 1e4, 1e20),
        (np.float64, 1e4, -1.797e308),
        (np.float64, 1e4, -3.2768),
    ],
)
def test_fill_of_reflectance(dtype, scale, fill, bands):
    values, findings = read(made(s2_pixels(fill, scale, bands), "s2", dtype))
    assert np.isnan(values[1, :bands]).all() and np.isfinite(values[1, bands:]).all()
    np.testing.assert_allclose(values[0], np.linspace(0.03, 0.39, 10), rtol=2e-3)
    assert findings.fills.total() == bands and findings.total == 20


@pytest.mark.parametrize(
    "dtype, scale, fill",
    [(np.int16, 1, 0), (np.float32, 1e4, 0), (np.int16, 1, -1), (np.float32, 1e4, -1)],
)
def test_what_is_a_value_in_one_band_is_fill_in_all(dtype, scale, fill):
    values, findings = read(made(s2_pixels(fill, scale, 10), "s2", dtype))
    assert np.isnan(values[1]).all()
    assert findings.fills == {f"{fill} in all bands": 10}
    if fill == 0 or dtype == np.int16:
        values, findings = read(made(s2_pixels(fill, scale, 9), "s2", dtype))
        np.testing.assert_allclose(values[1, :9], fill / 1e4, atol=1e-9)
        assert not findings.fills


@pytest.mark.parametrize(
    "dtype, fill", [(np.int16, -999), (np.int16, 9999), (np.uint8, 254), (np.int32, 255)]
)
def test_a_usual_fill_value_that_can_be_measured_is_a_value(dtype, fill):
    scale = 255.0 if dtype == np.uint8 else None
    pixels = [[fill] * 2 + [100] * 8]
    values, findings = read(made(pixels, "s2", dtype), s2_scale=scale)
    np.testing.assert_allclose(values[0, 0], fill / (scale or 1e4), rtol=1e-6)
    assert not findings.fills


def test_0_is_fill_in_a_band_whose_offset_makes_it_negative():
    pixels = s2_pixels(0, 1, 1)
    for found, units in (
        (made(pixels, "s2", np.uint16), {"s2_offset": -1000}),
        (made(pixels, "s2", np.uint16, scale=1e-4, offset=-0.1), {}),
        (made(pixels, "s2", np.float32), {"s2_offset": -1000, "s2_scale": 1e4}),
    ):
        values, findings = read(found, **units)
        assert np.isnan(values[1, 0]) and np.isfinite(values[1, 1:]).all()
        assert findings.fills == {"0": 1}


def test_0_in_the_middle_of_packed_numbers_is_a_value():
    # 5e-6 * 0 + 0.19: packed so as to use all of int16.
    values, findings = read(
        made([[0] + [1000] * 9, [-9999] + [0] * 9], "s2", np.int16, scale=5e-6, offset=0.19)
    )
    np.testing.assert_allclose(values[:, 0], [0.19, 0.19 - 9999 * 5e-6], rtol=1e-6)
    assert not findings.fills


def test_an_offset_of_each_date():
    pixels = np.full((2, 1, 1, 10), 2000, np.uint16)
    pixels[:, 0, 0, 0] = 0
    sensor, offsets = SENSORS["s2"], (float("nan"), -1000.0)
    found = Bands(sensor, "x", (), sensor.bands, lambda r, c: pixels, True, date_offsets=offsets)
    values, _ = read_window(found, Units(), ALL, ALL)
    # Before the offset 0 in one band is dark ground; with it, nothing was seen.
    np.testing.assert_allclose(values[:, 0, 0, :2], [[0, 0.2], [np.nan, 0.1]], rtol=1e-6)


@pytest.mark.parametrize(
    "dtype, fill",
    [
        (np.float32, -9999),
        (np.float32, -99),
        (np.float32, -99.99),  # -9999 / 100
        (np.float32, -327.68),
        (np.float64, 1e20),
        (np.float32, MIN32),
        (np.float32, -np.inf),
        (np.int16, -9999),
    ],
)
def test_fill_of_db(dtype, fill):
    values, findings = read(made([[-12, -19], [fill, -19]], "s1", dtype))
    np.testing.assert_allclose(values, [[-12, -19], [np.nan, -19]])
    assert findings.fills.total() == 1


def test_0_db_in_both_polarisations_is_fill_and_in_one_is_not():
    values, findings = read(made([[0, 0], [0, -6], [-12, -19]], "s1", np.float32))
    np.testing.assert_array_equal(values, [[np.nan, np.nan], [0, -6], [-12, -19]])
    assert findings.fills == {"0 in all bands": 2}


@pytest.mark.parametrize(
    "unit, dtype, good, fill",
    [
        ("linear", np.float32, 0.1, 0),
        ("linear", np.float32, 0.1, -9999),
        ("linear", np.float32, 0.1, 3.4e38),
        ("dn", np.uint16, 4000, 0),
        ("dn", np.uint16, 4000, 65535),
    ],
)
def test_fill_of_power_and_amplitude(unit, dtype, good, fill):
    values, findings = read(made([[good, good], [fill, good]], "s1", dtype), s1_unit=unit)
    assert np.isnan(values[1, 0]) and np.isfinite(np.delete(values, 2)).all()
    assert findings.fills.total() == 1


def test_db_packed_as_unsigned_numbers_start_at_fill():
    # dB = 0.001 DN - 50: 0 is the lowest number, not a measured -50 dB.
    values, _ = read(made([[0, 35000], [38000, 0]], "s1", np.uint16, scale=1e-3, offset=-50))
    np.testing.assert_allclose(values, [[np.nan, -15], [-12, np.nan]], atol=1e-5)
    # Signed numbers are packed around their middle: 0 is -20 dB.
    values, _ = read(made([[0, 5000]], "s1", np.int16, scale=1e-3, offset=-20))
    np.testing.assert_allclose(values, [[-20, -15]], atol=1e-5)


# Through files ------------------------------------------------------------------------------------


def ingest(path, tmp_path, **flags):
    text = run.ingest(options.Options(str(path), str(tmp_path / "cubes"), **flags))
    (info,) = cube_io.list_cubes(tmp_path / "cubes")
    return cube_io.read_cube(info.path), text


def integers():
    return np.rint(own_stack.s2() * 10000).astype(np.int16)


def test_the_table_counts_fill_by_value_and_again_when_the_cube_is_there(tmp_path):
    s2, s1 = integers(), own_stack.s1_db()
    s2[0, 2:4], s2[1, 5, 5, 3], s1[2, 0] = -9999, -32768, 0
    file = own_stack.write_npz(tmp_path, s2=s2, s1_db=s1)
    got, text = ingest(file, tmp_path)
    assert np.isnan(got.s2[0, 2:4]).all() and np.isnan(got.s1[2, 0]).all()
    assert np.isnan(got.s2).sum() == 301
    # 2 rows x 15 columns x 10 bands and one value, of 3 x 12 x 15 x 10; 15 x 2 of 3 x 12 x 15 x 2.
    assert "S2: 301 of 5400 values (5.57%) are undeclared fill values" in text
    assert "-9999 (300), -32768 (1)" in text
    assert "S1: 30 of 1080 values (2.78%)" in text and "0 in all bands (30)" in text
    assert "6% (input: 5.6% fill)" in text.splitlines()[1]
    assert got.info.source["fill_values"]["s2"] == {"of": 5400, "-32768": 1, "-9999": 300}
    _, again = ingest(file, tmp_path)
    assert "6% (input: 5.6% fill)" in again.splitlines()[1] and "already there" in again


@pytest.mark.parametrize("nodata", [None, -32768], ids=["undeclared", "another one declared"])
def test_fill_of_a_geotiff_with_a_scale_of_its_own(tmp_path, nodata):
    folder = own_stack.write_folder(tmp_path / "stack")
    pixels = own_stack.bands_first(integers())
    pixels[:10, 2], pixels[13, 4] = -9999, 0
    file = own_stack.write_tif(folder / "s2.tif", pixels, nodata=nodata)
    with own_stack.rasterio.open(file, "r+") as raster:
        raster.scales, raster.offsets = [1e-4] * 30, [-0.0001] * 30
    got, _ = ingest(folder, tmp_path, legend="isrc")
    want = own_stack.s2() - np.float32(1e-4)
    want[0, 2], want[1, 4, :, 3] = np.nan, np.nan
    own_stack.assert_pixels(got, own_stack.s1_db(), want)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_fill_of_netcdf_is_found_before_it_is_unpacked(tmp_path, packed):
    folder = tmp_path / "scenes"
    folder.mkdir()
    days = ("2021-11-05", "2021-12-20", "2022-01-04")
    own_stack.write_netcdf(folder / "s1.nc", own_stack.s1_db(), ["VV", "VH"], days)
    s2 = integers() + np.int16(1000)
    s2[0, 2], s2[1, 3], s2[2, 4, :, 0] = -9999, 0, -32768
    file = own_stack.write_netcdf(folder / "s2.nc", s2, S2_BANDS, days)
    with xr.open_dataset(file, mask_and_scale=False) as data:
        data = data.load()
    if packed:
        for band in S2_BANDS:
            data[band].attrs |= {"scale_factor": 1e-4, "add_offset": -0.1}
    data.to_netcdf(file, engine="h5netcdf")
    got, text = ingest(
        folder, tmp_path, legend="isrc", months=True, s2_offset=0.0 if packed else -1000.0
    )
    want = own_stack.s2()
    want[0, 2], want[1, 3], want[2, 4, :, 0] = np.nan, np.nan, np.nan
    own_stack.assert_pixels(got, own_stack.s1_db(), want)
    assert "-9999 (150), 0 (150), -32768 (15)" in text


def test_unsigned_numbers_of_netcdf_that_are_stored_as_signed_ones(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    days = ("2021-11-05", "2021-12-20", "2022-01-04")
    pixels = np.full((3, 12, 15, 2), 40000, np.uint16)
    pixels[0, 0] = 65535
    file = own_stack.write_netcdf(folder / "s1.nc", pixels.view(np.int16), ["VV", "VH"], days)
    with xr.open_dataset(file, mask_and_scale=False) as data:
        data = data.load()
    for band in ("VV", "VH"):
        data[band].attrs["_Unsigned"] = "true"
    data.to_netcdf(file, engine="h5netcdf")
    got, _ = ingest(folder, tmp_path, legend="isrc", months=True, s1_unit="dn")
    # 20 log10(40000) - 83 = 9.0412
    np.testing.assert_allclose(got.s1[1], 9.0412, atol=0.0051)
    assert np.isnan(got.s1[0, 0]).all() and np.isfinite(got.s1[0, 1:]).all()
