"""Cubes as xarray Datasets, and Datasets of a user's own as cubes."""

import datetime as dt
import subprocess
import sys
import warnings

import making
import numpy as np
import odc.geo.xr  # noqa: F401
import pytest
import xarray as xr

import cropmap_jax
from cropmap_jax import Cube
from cropmap_jax.geo import cube_io, periods, sensors
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

S2 = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = making.make_cube(size=(32, 40), clear=True, province="Here")
    return cube_io.write_cube(made, tmp_path_factory.mktemp("cubes"))


@pytest.fixture
def data(folder):
    return cropmap_jax.read_cube(folder)


def same(found: Cube, expected: Cube) -> None:
    assert found.info == expected.info
    for name, values in expected.raw.pixels.items():
        np.testing.assert_array_equal(found.raw.pixels[name], values)
    for name in ("label", "fields", "clear"):
        np.testing.assert_array_equal(getattr(found.raw, name), getattr(expected.raw, name))


def test_a_cube_has_names_units_dates_and_a_grid(folder, data):
    raw = cube_io.read_raw(folder)
    assert dict(data.sizes) == {"y": 32, "x": 40, "time": 9, "nv": 2}
    assert set(data.data_vars) == {"VV", "VH", *S2, "label", "fields", "clear"}
    units = {name: data[name].attrs["units"] for name in ("VV", "B8A")}
    assert units == {"VV": "dB", "B8A": "1"}
    assert data.B4.attrs["long_name"] == "Sentinel-2 B4, reflectance"
    b4 = raw.pixels["s2"][..., 2]
    np.testing.assert_array_equal(np.isnan(data.B4), b4 == -32768)
    np.testing.assert_allclose(data.B4.values[b4 != -32768], b4[b4 != -32768] / 1e4, rtol=1e-6)
    assert (
        str(data.time.values[0])[:10] == "2021-12-01" and data.time.attrs["bounds"] == "time_bounds"
    )
    assert [str(day)[:10] for day in data.time_bounds.values[-1]] == ["2022-08-01", "2022-09-01"]
    a = raw.info.geobox.affine
    assert (float(data.x[0]), float(data.y[-1])) == (a.c + 5, a.f - 315)
    assert data.odc.geobox.affine == a and data.odc.crs.to_epsg() == making.EPSG
    assert data.label.attrs["flag_meanings"] == "wheat rapeseed maize none_of_these unknown"
    assert data.label.attrs["flag_values"].tolist() == [0, 1, 2, NONE_OF_THESE, IGNORE]


def test_rioxarray_finds_the_grid(data):
    import rioxarray  # noqa: F401

    assert data.rio.crs.to_epsg() == data.B4.rio.crs.to_epsg() == making.EPSG
    assert data.rio.transform() == data.odc.geobox.affine


def test_a_cube_comes_back_whole(folder, data, tmp_path):
    same(Cube.from_xarray(data), Cube.read(folder))
    data.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "cube.nc", engine="h5netcdf") as again:
        same(Cube.from_xarray(again), Cube.read(folder))
    written = Cube.from_xarray(data).write(tmp_path / "cubes")
    same(Cube.read(written), Cube.read(folder))


def test_a_part_of_a_cube_is_a_cube(data):
    part = data.isel(x=slice(8, 20), y=slice(None, None, -1)).sel(time=slice("2022-02", "2022-05"))
    found = Cube.from_xarray(part, cube_id="part")
    assert found.info.shape == (32, 12) and len(found.info.periods) == 4
    assert found.info.geobox.affine.c == data.odc.geobox.affine.c + 80
    whole = Cube.from_xarray(data)
    for name in ("s1", "s2"):
        expected = whole.raw.pixels[name][2:6, :, 8:20]
        np.testing.assert_array_equal(found.raw.pixels[name], expected)  # north above again


def own_stack(data: xr.Dataset) -> xr.Dataset:
    """The same ground as somebody else keeps it: other names, integers, linear power."""
    out = xr.Dataset(coords={name: data[name] for name in ("time", "x", "y", "spatial_ref")})
    for band in S2:
        numbers = np.rint(data[band].fillna(0) * 1e4 + 1000).where(data[band].notnull(), 0)
        out[f"B{band[1:]:>02}"] = numbers.astype("uint16")
        out[f"B{band[1:]:>02}"].attrs = {"nodata": 0}
    out["sigma_vv"], out["sigma_vh"] = 10 ** (data.VV / 10), 10 ** (data.VH / 10)
    crop = data.label.astype(int)
    out["crop"] = crop.where(crop < 3, 9) + 10
    return out


def test_a_stack_of_ones_own(data, folder):
    found = Cube.from_xarray(
        own_stack(data),
        bands={"VV": "sigma_vv", "VH": "sigma_vh"},
        scale={"s2": 1e-4},
        offset={"s2": -0.1},
        units={"s1": "power"},
        label="crop",
        legend={10: "wheat", 11: "rapeseed", 12: "maize"},
        harvest={"wheat": "2022-07-01", "maize": dt.date(2022, 9, 1)},
        cube_id="mine",
        split="train",
    )
    expected = Cube.read(folder).raw
    np.testing.assert_array_equal(found.raw.pixels["s2"], expected.pixels["s2"])
    ours, theirs = found.raw.pixels["s1"], expected.pixels["s1"]
    # A pixel of one polarisation alone counts for nothing, as `fetch` has it.
    both = (theirs != -32768).all(-1)
    np.testing.assert_allclose(ours[both], theirs[both], atol=1)  # 0.01 dB, twice rounded
    assert (ours[~both] == -32768).all()
    assert found.info.legend.names == ("wheat", "rapeseed", "maize")
    known = expected.label < 3
    np.testing.assert_array_equal(found.raw.label, np.where(known, expected.label, IGNORE))
    assert found.info.harvest["maize"][0].harvest_start == dt.date(2022, 9, 1)
    assert (found.info.cube_id, found.info.split, found.info.season) == (
        "mine",
        "train",
        "2021-2022",
    )


def test_what_radar_measures_is_recorded(data):
    plain = data[["VV", "VH"]].drop_attrs(deep=False)
    kinds = {
        kind: sensors.backscatter(found.info.source, found.info.sensors)
        for kind in ("sigma0", "gamma0_rtc", None)
        for found in [Cube.from_xarray(plain, backscatter=kind)]
    }
    assert kinds == {"sigma0": "sigma0", "gamma0_rtc": "gamma0_rtc", None: None}
    with pytest.raises(ValueError, match="^backscatter: expected sigma0 or gamma0_rtc, found 'dB'"):
        Cube.from_xarray(plain, backscatter="dB")


def test_observations_become_months(data):
    days = np.array(["2022-03-02", "2022-03-12", "2022-03-31", "2022-05-01"], "datetime64[ns]")
    value = np.array([0.1, 0.2, 0.6, 0.4], np.float32)
    grid = {name: data[name] for name in ("x", "y", "spatial_ref")}
    out = xr.Dataset(coords=grid | {"time": days})
    for band in S2:
        out[band] = (("time", "y", "x"), np.tile(value[:, None, None], (1, 32, 40)))
    out["SCL"] = out.B2.astype("uint8") + 4
    out["SCL"][1, 0, 0] = 9  # a cloud
    found = Cube.from_xarray(out, composite="month", mask="SCL")
    months = periods.month_periods(dt.date(2022, 3, 1), dt.date(2022, 5, 1))
    assert found.info.periods == months and [s.name for s in found.info.sensors] == ["s2"]
    b2 = found.raw.pixels["s2"][..., 0]
    assert b2[:, 5, 5].tolist() == [2000, -32768, 4000]
    assert b2[:, 0, 0].tolist() == [3500, -32768, 4000]


def test_two_sensors_of_their_own_dates(data):
    s1 = data[["VV", "VH"]].isel(time=slice(1, 4))
    s2 = data[list(S2)].isel(time=slice(2, 6))
    found = Cube.from_xarray({"s1": s1, "s2": s2}, composite="month")
    assert len(found.info.periods) == 5
    assert (found.raw.pixels["s1"][3:] == -32768).all()
    with pytest.raises(
        ValueError, match="^data: expected the same periods of all sensors, found 3"
    ):
        Cube.from_xarray({"s1": s1, "s2": s2})


def descending(data):
    return data.isel(time=slice(None, None, -1))


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (lambda d: d.drop_vars("spatial_ref").drop_attrs(), {}, "expected a CRS"),
        (descending, {}, "expected ascending time, found 2022-08-01 before 2022-07-01"),
        (lambda d: d.drop_vars("B5"), {}, "expected bands B2, .* found no B5 among VV"),
        (lambda d: d, {"bands": {"B5": "red edge"}}, "expected a variable as B5, found 'red edge'"),
        (lambda d: d.isel(time=0, drop=True), {}, "expected a dimension time, found y, x"),
        (lambda d: d * 1e4, {"sensors": ["s2"]}, r"found a median of \d+; scale="),
        (lambda d: d, {"sensors": ["s3"]}, "sensors: expected some of s1, s2, found 's3'"),
        (lambda d: d, {"composite": "week"}, "composite: expected 'month', 'dekad' or None"),
        (lambda d: d, {"split": "all"}, "split: expected one of"),
        (lambda d: d, {"periods": [("2022-01-01", "2022-02-01")]}, "a period for each of 9 dates"),
        (lambda d: d.drop_vars("time_bounds").isel(time=[0, 3]), {}, "found 2 dates; composite="),
        (lambda d: d.drop_attrs(deep=False), {}, "expected legend={code: name} with 'label'"),
        (lambda d: d.assign_attrs(cropmap_jax="{"), {}, "attribute 'cropmap_jax': expected what"),
        (lambda d: {"s2": d, "s1": d.isel(x=slice(4))}, {}, "expected Datasets of one grid"),
        (lambda d: d.B4, {}, "expected an xarray.Dataset, or one by sensor"),
        (lambda d: d[["label"]].drop_attrs().expand_dims(time=d.time), {}, "expected bands of s1"),
    ],
)
def test_what_cannot_be_a_cube_is_refused_in_one_line(data, change, words, message):
    with pytest.raises(ValueError, match=message) as caught:
        Cube.from_xarray(change(data), **words)
    assert "\n" not in str(caught.value)


def test_degrees_are_no_metres(data):
    plain = data[["VV", "VH"]].drop_vars("spatial_ref").drop_attrs()
    own = plain.assign_coords(x=48 + np.arange(40) * 1e-4, y=34 - np.arange(32) * 1e-4)
    with pytest.raises(ValueError, match="expected a CRS with true metres"):
        Cube.from_xarray(own.odc.assign_crs("EPSG:4326"))


def test_the_package_alone_imports_neither_jax_nor_xarray():
    code = (
        "import sys, cropmap_jax; cropmap_jax.__version__, dir(cropmap_jax)\n"
        "print([name for name in ('jax', 'xarray', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="has no attribute 'read_cubes'"):
        cropmap_jax.read_cubes  # noqa: B018


def test_power_taken_for_decibels_is_told(data):
    power = data.copy()
    power["VV"], power["VH"] = 10 ** (data.VV / 10), 10 ** (data.VH / 10)
    expected = "almost all values lie above 0 dB, .* is it units={'s1': 'power'}"
    with pytest.warns(UserWarning, match=expected):
        Cube.from_xarray(power)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        Cube.from_xarray(data)
        Cube.from_xarray(power, units={"s1": "power"})
