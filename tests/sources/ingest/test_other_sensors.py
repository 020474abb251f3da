"""Stacks with a sensor that ingest knows nothing of: read as plain values in its unit."""

import numpy as np
import pytest
import rasterio

from cropmap_jax.geo import cube_io, sensors
from cropmap_jax.sources.ingest import options, run, stacks
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.plausible import notes
from cropmap_jax.sources.ingest.reading import read_window
from cropmap_jax.sources.ingest.satellites import Units
from tests.sources import own_stack

ALL = slice(0, None)
TEMPERATURE = sensors.Sensor(
    name="temperature",
    title="Air temperature",
    bands=("mean",),
    unit="degC",
    scale=100.0,
    range=(-40.0, 50.0),
)
RAIN = sensors.Sensor(
    name="rain",
    title="Precipitation",
    bands=("sum",),
    unit="mm",
    scale=10.0,
    range=(0.0, 100.0),
    dtype="uint16",
    nodata=65535,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Known during a test only."""
    for sensor in (TEMPERATURE, RAIN):
        monkeypatch.setitem(sensors.SENSORS, sensor.name, sensor)


def degrees():
    """float32 [T, H, W, 1]: -5 degrees and up, in steps of 0.05; among them 0."""
    return (-5 + 0.05 * np.arange(540).reshape(3, 12, 15, 1)).astype(np.float32)


def ingest(path, tmp_path, **flags):
    text = run.ingest(options.Options(str(path), str(tmp_path / "cubes"), **flags))
    (info,) = cube_io.list_cubes(tmp_path / "cubes")
    return cube_io.read_cube(info.path, verify=True), text


def dates_of(*names):
    return [(name, str(p.start), str(p.end)) for name in names for p in own_stack.PERIODS]


def folder_of(tmp_path, kind):
    """A folder with s2 and temperature."""
    folder = own_stack.write_folder(tmp_path / "stack")
    (folder / "s1.tif").unlink()
    names = ["s2"]
    if kind == "tif":
        own_stack.write_tif(folder / "temperature.tif", own_stack.bands_first(degrees()))
        names.append("temperature")
    else:
        days = [p.start for p in own_stack.PERIODS]
        own_stack.write_netcdf(folder / "temperature.nc", degrees(), ["mean"], days)
    own_stack.write_dates(folder, dates_of(*names))
    return folder


def test_an_npz_with_temperature_becomes_a_cube_that_has_it(tmp_path):
    file = own_stack.write_npz(tmp_path, s1_db=None, temperature=degrees())
    got, text = ingest(file, tmp_path, **own_stack.EXTRA)
    assert got.info.sensors == (*sensors.SENTINEL, TEMPERATURE)
    np.testing.assert_allclose(got.pixels["temperature"], degrees(), atol=0.0051)
    own_stack.assert_pixels(got, np.full_like(own_stack.s1_db(), np.nan), own_stack.s2())
    header, row, *_ = text.splitlines()
    assert header.split("  ")[:1] == ["cube"] and "S2 missing  temperature missing" in header
    assert row.split()[7:10] == ["100%", "0%", "0%"]
    _, again = ingest(file, tmp_path, **own_stack.EXTRA)
    assert "already there" in again


@pytest.mark.parametrize("kind", ["tif", "nc"])
def test_a_folder_with_temperature_becomes_a_cube_that_has_it(tmp_path, kind):
    got, text = ingest(folder_of(tmp_path, kind), tmp_path, legend="isrc", months=True)
    assert got.info.sensors == (*sensors.SENTINEL, TEMPERATURE)
    np.testing.assert_allclose(got.pixels["temperature"], degrees(), atol=0.0051)
    own_stack.assert_pixels(got, np.full_like(own_stack.s1_db(), np.nan), own_stack.s2())
    assert list(got.info.source["clear_observations"]) == ["s2", "temperature"]
    assert "S1: all bands absent from the input" in text
    names = [path.name for path in got.info.path.iterdir()]
    assert "temperature.tif" in names and "rain.tif" not in names
    with rasterio.open(got.info.path / "temperature.tif") as raster:
        assert raster.descriptions == tuple(f"{p.name}/mean" for p in own_stack.PERIODS)


def test_observations_are_composited_as_the_sensor_says(tmp_path):
    # -10, 20 and 35 degrees have the mean 15 and the median 20.
    shape = (3, own_stack.H, own_stack.W, 1)
    values = np.broadcast_to(np.array([-10, 20, 35], np.float32)[:, None, None, None], shape)
    days = [f"2022-01-{day:02d}" for day in (3, 12, 21, 4, 13, 22)]
    file = own_stack.write_npz(
        tmp_path,
        s1_db=None,
        temperature=values.copy(),
        period_start=np.array(days[:3]),
        period_end=np.array(days[3:]),
    )
    got, _ = ingest(file, tmp_path, months=True)
    np.testing.assert_allclose(got.pixels["temperature"], 15.0, atol=0.0051)


def test_a_cube_without_a_sensor_is_not_the_same(tmp_path):
    ingest(own_stack.write_npz(tmp_path), tmp_path)
    file = own_stack.write_npz(tmp_path, temperature=degrees())
    with pytest.raises(ValueError, match="made from other input or settings"):
        ingest(file, tmp_path)
    got, _ = ingest(file, tmp_path, overwrite=True)
    assert "temperature" in got.pixels
    # It is a cube with nothing else in it for those, too, who do not know the sensor.
    del sensors.SENSORS["temperature"]
    got, _ = ingest(own_stack.write_npz(tmp_path), tmp_path, overwrite=True)
    assert got.info.sensors == sensors.SENTINEL


# What is missing, and what is odd -----------------------------------------------------------------


def read(values, sensor=TEMPERATURE, **more):
    """Values and notes of one pixel per number."""
    pixels = np.asarray(values)[None, :, None, None]
    integer = pixels.dtype.kind in "iu"
    names = sensor.bands
    bands = Bands(sensor, "x", own_stack.PERIODS[:1], names, lambda r, c: pixels, integer, **more)
    found, findings = read_window(bands, Units(), ALL, ALL)
    return found[0, :, 0, 0].tolist(), notes(findings, bands)


def test_plain_values_are_read_as_they_are():
    # None of these is fill: 0, -1, the extreme of a type, a usual fill value that can be measured.
    assert read(np.array([0, -1, 25, 99, -99, -128], np.int8)) == ([0, -1, 25, 99, -99, -128], [])
    assert read(np.zeros(100, np.float32), RAIN) == ([0.0] * 100, [])
    assert read(np.array([0, 12, 199], np.uint8), RAIN) == ([0, 12, 199], [])


def test_values_far_outside_of_the_range_are_noted_and_kept():
    # A range of 90 degrees: beyond 90 degrees below -40 and above 50 is far outside.
    values, found = read(np.array([140.0, 141, -130, -131, -132, 20]))
    assert values == [140, 141, -130, -131, -132, 20]
    assert found == [
        "x: 2 of 6 values below -130 degC (expected -40 to 50), kept",
        "x: 1 of 6 values above 140 degC (expected -40 to 50), kept",
    ]


@pytest.mark.parametrize(
    "dtype, fill",
    [
        (np.float32, -9999),
        (np.float32, 9.96921e36),
        (np.float64, 1e20),
        (np.int16, -32768),
        (np.int32, -9999),
        (np.uint16, 65535),
    ],
)
def test_fill_values_that_cannot_be_measured_are_missing(dtype, fill):
    values, found = read(np.array([20, fill], dtype))
    assert values[0] == 20 and np.isnan(values[1])
    assert "temperature: 1 of 2 values (50.00%) are undeclared fill values" in found[0]


def test_what_a_cube_cannot_hold_is_counted_and_refused_from_one_percent_on():
    # uint16 and tenths hold 0 to 6553.4 mm; 65535 is no-data.
    values, found = read(np.array([1.0] * 199 + [-3.0]), RAIN)
    assert values[:199] == [1.0] * 199 and np.isnan(values[199])
    assert found == ["x: 1 of 200 values beyond 0 to 6553.4 mm, missing"]
    with pytest.raises(ValueError, match="x: found 1 of 50 values beyond what a cube can hold"):
        read(np.array([1.0] * 49 + [7000.0]), RAIN)


def test_noise_around_0_is_held():
    assert read(np.array([-1e-9, 0.0, 0.04]), RAIN)[1] == []


def test_a_scale_of_the_file_counts():
    values, _ = read(np.array([2731, 2931], np.uint16), scale=0.1, offset=-273.15)
    np.testing.assert_allclose(values, [-0.05, 19.95], atol=1e-4)


def test_infinite_values_are_refused():
    with pytest.raises(ValueError, match="x: expected finite values, .*, found 1 infinite"):
        read(np.array([-np.inf, 1.0]))


# Names --------------------------------------------------------------------------------------------


def test_bands_are_known_by_their_own_names(tmp_path):
    more = np.concatenate([degrees() + 50, degrees()], -1)
    names = np.array(["nir", "MEAN"])
    file = own_stack.write_npz(tmp_path, temperature=more, temperature_bands=names)
    got, text = ingest(file, tmp_path)
    np.testing.assert_allclose(got.pixels["temperature"], degrees(), atol=0.0051)
    assert "temperature: not used: nir" in text
    names = np.array(["nir", "mean_t"])
    file = own_stack.write_npz(tmp_path, temperature=more, temperature_bands=names)
    with pytest.raises(ValueError, match="temperature_bands: expected bands among mean, found nir"):
        stacks.open_stack(file)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"temperature": degrees()[:, 1:]}, "s2 and temperature of the same rows x columns"),
        ({"temperature": degrees()[:2]}, "temperature: expected 3 periods as in period_start"),
        ({"temperatur": degrees()}, "found key 'temperatur', expected 'temperature'"),
        ({"s2": None}, "expected key s1_db or s2 or temperature or rain, found"),
    ],
)
def test_an_npz_that_does_not_fit(tmp_path, change, message):
    file = own_stack.write_npz(tmp_path, s1_db=None, **change)
    with pytest.raises(ValueError) as error:
        stacks.open_stack(file)
    assert message in str(error.value)


def test_dates_of_a_sensor_that_is_not_known(tmp_path):
    folder = folder_of(tmp_path, "tif")
    own_stack.write_dates(folder, dates_of("s2", "heat"))
    with pytest.raises(ValueError, match="sensor s1 or s2 or temperature or rain, found 'heat'"):
        stacks.open_stack(folder)
    header = ("sensor", "start", "end", "s2_offset")
    rows = [(*row, "-1000") for row in dates_of("s2", "temperature")]
    own_stack.write_dates(folder, rows, header)
    with pytest.raises(ValueError, match="expected no s2_offset in a row of temperature"):
        stacks.open_stack(folder)


def test_rasters_of_a_folder_that_nothing_reads_are_noted(tmp_path, monkeypatch):
    folder = folder_of(tmp_path, "tif")
    assert not any("not used" in note for note in stacks.open_stack(folder).notes)
    own_stack.write_dates(folder, dates_of("s2"))
    monkeypatch.delitem(sensors.SENSORS, "temperature")
    (folder / "S1.TIF").write_bytes(b"not read")
    (note,) = (note for note in stacks.open_stack(folder).notes if "not used" in note)
    assert note == f"{folder}: not used: S1.TIF, temperature.tif"
