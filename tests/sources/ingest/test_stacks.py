import datetime as dt
import shutil

import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, splits
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import netcdf_files, options, run, stacks
from tests.sources import own_stack

DAYS_S1 = ("2021-11-03", "2021-11-15", "2021-12-09")
DAYS_S2 = ("2021-11-05", "2021-12-20")


def ingest(path, tmp_path, **flags):
    """The only cube of an input."""
    run.ingest(options.Options(str(path), str(tmp_path / "cubes"), **flags))
    (info,) = cube_io.list_cubes(tmp_path / "cubes")
    return cube_io.read_cube(info.path, verify=True)


def folder_with(tmp_path, **files):
    """A folder of GeoTIFFs, with some of its rasters replaced: {"s2": (pixels, names, ...)}."""
    folder = own_stack.write_folder(tmp_path / "stack")
    for name, (pixels, names, more) in files.items():
        own_stack.write_tif(folder / f"{name}.tif", pixels, names, **more)
    return folder


# npz ----------------------------------------------------------------------------------------------


def test_an_npz_becomes_a_cube(tmp_path):
    got = ingest(own_stack.write_npz(tmp_path), tmp_path, **own_stack.EXTRA)
    own_stack.assert_pixels(got, own_stack.s1_db(), own_stack.s2())
    np.testing.assert_array_equal(got.label, own_stack.expected_label())
    info = got.info
    assert info.geobox == GeoBox(
        (own_stack.H, own_stack.W), rasterio.Affine(*own_stack.AFFINE), own_stack.CRS
    )
    assert info.periods == own_stack.PERIODS
    assert (info.cube_id, info.split, info.season) == ("stack", "train", "2021-2022")
    assert info.legend.names == ("maize", "spring_wheat")
    assert [c.code for c in info.legend.classes] == [1, 2]
    np.testing.assert_array_equal(got.fields, splits.connected_fields(got.label))


def test_bands_are_found_by_name_and_absent_ones_are_missing(tmp_path):
    file = own_stack.write_npz(
        tmp_path,
        s2=own_stack.s2()[..., [8, 0, 3, 2]],
        s2_bands=np.array(["B11", "B02", "B01", "S2-B4"]),
        s1_db=own_stack.s1_db()[..., ::-1],
        s1_bands=np.array(["vh", "vv"]),
    )
    expected = np.full_like(own_stack.s2(), np.nan)
    expected[..., [0, 2, 8]] = own_stack.s2()[..., [0, 2, 8]]
    got = ingest(file, tmp_path)
    own_stack.assert_pixels(got, own_stack.s1_db(), expected)


@pytest.mark.parametrize("key", ["s1_db", "s2"])
def test_a_sensor_may_be_absent(tmp_path, key):
    got = ingest(own_stack.write_npz(tmp_path, **{key: None}), tmp_path)
    want = {"s1_db": own_stack.s1_db(), "s2": own_stack.s2()}
    want[key] = np.full_like(want[key], np.nan)
    own_stack.assert_pixels(got, want["s1_db"], want["s2"])


def test_missing_values_stay_missing_and_0_stays_0(tmp_path):
    s1, s2 = own_stack.s1_db(), own_stack.s2()
    s1[0, 2, 3], s2[1, 4, 5, 6], s2[1, 4, 6, :9] = np.nan, np.nan, 0
    got = ingest(own_stack.write_npz(tmp_path, s1_db=s1, s2=s2), tmp_path)
    own_stack.assert_pixels(got, s1, s2)


def test_fields_of_the_input(tmp_path):
    fields = np.zeros((own_stack.H, own_stack.W), np.int64)
    fields[1:11, 2:7] = 4_000_000_000
    file = own_stack.write_npz(tmp_path, fields=fields)
    np.testing.assert_array_equal(ingest(file, tmp_path).fields, fields)
    got = ingest(file, tmp_path, fields="components", overwrite=True)
    np.testing.assert_array_equal(got.fields, splits.connected_fields(got.label))
    assert ingest(file, tmp_path, fields="none", overwrite=True).fields is None


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32])
def test_the_largest_number_is_no_field(tmp_path, dtype):
    fields = np.zeros((own_stack.H, own_stack.W), dtype)
    fields[1:3], fields[5:] = 7, np.iinfo(dtype).max
    stack = stacks.open_stack(own_stack.write_npz(tmp_path, fields=fields))
    np.testing.assert_array_equal(stack.fields, np.where(fields == 7, 7, 0))
    assert stack.notes[0].endswith(
        f"105 pixels of {np.iinfo(dtype).max} are a fill value, not a field"
    )


# GeoTIFF ------------------------------------------------------------------------------------------


def test_rasters_without_names_come_period_by_period(tmp_path):
    got = ingest(own_stack.write_folder(tmp_path / "mine"), tmp_path, legend="isrc")
    own_stack.assert_pixels(got, own_stack.s1_db(), own_stack.s2())
    assert got.info.cube_id == "mine" and (got.label == 255).all() and got.fields is None


def test_rasters_with_dated_names_come_in_any_order(tmp_path):
    order = np.random.default_rng(0).permutation(own_stack.T * 10)
    names = [f"{p.name}/{band}" for p in own_stack.PERIODS for band in SENSORS["s2"].bands]
    pixels = own_stack.bands_first(own_stack.s2())[order]
    folder = folder_with(tmp_path, s2=(pixels, [names[i] for i in order], {}))
    own_stack.assert_pixels(
        ingest(folder, tmp_path, legend="isrc"), own_stack.s1_db(), own_stack.s2()
    )


def test_rasters_with_band_names_repeat_them_for_each_period(tmp_path):
    bands = [3, 0, 9]
    pixels = own_stack.bands_first(own_stack.s2()[..., bands])
    names = ["B05", "B02", "B12"] * own_stack.T
    expected = np.full_like(own_stack.s2(), np.nan)
    expected[..., bands] = own_stack.s2()[..., bands]
    folder = folder_with(tmp_path, s2=(pixels, names, {}))
    own_stack.assert_pixels(ingest(folder, tmp_path, legend="isrc"), own_stack.s1_db(), expected)


def test_nodata_of_rasters_is_missing(tmp_path):
    s1 = own_stack.bands_first(own_stack.s1_db())
    s1[3, 4, 5] = -9999
    integers = np.rint(own_stack.bands_first(own_stack.s2()) * 10000).astype(np.uint16)
    integers[7, 2, 1] = 65535
    integers[10:20, 0, 0] = 0
    files = {"s1": (s1, None, {"nodata": -9999}), "s2": (integers, None, {})}
    want_s1, want_s2 = own_stack.s1_db(), own_stack.s2()
    want_s1[1, 4, 5, 1] = want_s2[0, 2, 1, 7] = want_s2[1, 0, 0] = np.nan
    got = ingest(folder_with(tmp_path, **files), tmp_path, legend="isrc")
    own_stack.assert_pixels(got, want_s1, want_s2)


def test_a_cube_is_an_input_too(tmp_path):
    """Scales, nodata and dated names of a cube's own rasters are understood."""
    first = ingest(own_stack.write_npz(tmp_path), tmp_path, **own_stack.EXTRA)
    folder = tmp_path / "again"
    shutil.copytree(first.info.path, folder)
    own_stack.write_dates(folder, own_stack.period_rows())
    legend = own_stack.write_legend(tmp_path)
    text = legend.read_text().replace('"code": 1', '"code": 0').replace('"code": 2', '"code": 1')
    legend.write_text(text.replace('"none_of_these": [0]', '"none_of_these": []'))
    got = ingest(folder, tmp_path / "second", legend=str(legend))
    own_stack.assert_pixels(got, first.s1, first.s2)
    np.testing.assert_array_equal(got.label, first.label)
    np.testing.assert_array_equal(got.fields, first.fields)


def test_label_and_fields_of_rasters(tmp_path):
    label = own_stack.label()
    label[label == 3] = 255
    fields = (label == 1).astype(np.uint16) * 7
    files = {
        "label": (label.astype(np.int16)[None], None, {"nodata": 255}),
        "fields": (fields[None], None, {}),
    }
    folder = folder_with(tmp_path, **files)
    got = ingest(folder, tmp_path, legend=str(own_stack.write_legend(tmp_path)))
    np.testing.assert_array_equal(got.label, own_stack.expected_label())
    np.testing.assert_array_equal(got.fields, fields)
    assert got.info.legend.name == "mine"


# netCDF -------------------------------------------------------------------------------------------


def netcdf_folder(tmp_path, northwards=False, deep=False, **attrs):
    folder = tmp_path / "scenes"
    folder.mkdir()
    names = [f"S2-L2A-{b[0]}{b[1:].zfill(2)}" for b in SENSORS["s2"].bands]
    more = {"northwards": northwards, "deep": deep}
    s1 = own_stack.s1_db(len(DAYS_S1))
    own_stack.write_netcdf(folder / "s1.nc", s1, ["X-VV", "X-VH"], DAYS_S1, **more)
    s2 = own_stack.s2(len(DAYS_S2))
    if attrs:
        s2 = np.where(np.isnan(s2), 65535, np.rint(s2 * 10000)).astype(np.uint16)
    own_stack.write_netcdf(folder / "s2.nc", s2, names, DAYS_S2, **more, **attrs)
    return folder


@pytest.mark.parametrize("northwards", [False, True], ids=["southwards", "northwards"])
@pytest.mark.parametrize("deep", [False, True], ids=["a variable per band", "one variable"])
@pytest.mark.parametrize("attrs", [{}, {"_FillValue": 65535}], ids=["float", "integer"])
def test_netcdf_keeps_its_own_dates(tmp_path, northwards, deep, attrs):
    stack = stacks.open_stack(netcdf_folder(tmp_path, northwards, deep, **attrs))
    window = slice(2, 7), slice(3, 5)
    one_day = dt.timedelta(days=1)
    for sensor, days, want in (
        ("s1", DAYS_S1, own_stack.s1_db(len(DAYS_S1))),
        ("s2", DAYS_S2, own_stack.s2(len(DAYS_S2))),
    ):
        bands = stack.bands[sensor]
        dates = [dt.date.fromisoformat(day) for day in days]
        assert bands.periods == tuple(Period(d, d + one_day) for d in dates)
        assert bands.names == SENSORS[sensor].bands
        assert bands.integer == (sensor == "s2" and bool(attrs))
        scale = 10000 if bands.integer else 1
        np.testing.assert_allclose(bands.read(*window) / scale, want[:, 2:7, 3:5], rtol=1e-5)
    assert tuple(stack.geobox.affine)[:6] == own_stack.AFFINE
    assert str(stack.geobox.crs) == own_stack.CRS


def test_dates_of_a_csv_go_before_those_of_a_netcdf(tmp_path):
    folder = netcdf_folder(tmp_path)
    rows = [("s2", "2021-11-01", "2021-12-01"), ("s2", "2021-12-01", "2022-01-01")]
    own_stack.write_dates(folder, rows)
    (folder / "s1.nc").unlink()
    got = ingest(folder, tmp_path, legend="isrc")
    assert [p.name for p in got.info.periods] == ["2021-11-01", "2021-12-01"]
    own_stack.assert_pixels(got, np.full_like(own_stack.s1_db(2), np.nan), own_stack.s2(2))


def test_a_raster_and_a_netcdf_may_meet(tmp_path):
    folder = netcdf_folder(tmp_path)
    (folder / "s1.nc").unlink()
    own_stack.write_tif(folder / "s1.tif", own_stack.bands_first(own_stack.s1_db(2)))
    own_stack.write_dates(folder, [("s1", "2021-11-30"), ("S1", "2021-12-01")], ("Sensor", "start"))
    got = ingest(folder, tmp_path, legend="isrc", months=True)
    own_stack.assert_pixels(got, own_stack.s1_db(2), own_stack.s2(2))


# Mistakes -----------------------------------------------------------------------------------------

BAD_NPZ = [
    ({"s2": None, "s1_db": None}, "expected key s1_db or s2, found label, class_names"),
    ({"crs": None, "transform": None}, "expected key crs, transform, found s1_db, s2"),
    ({"s2": None, "S2": own_stack.s2()}, "found key 'S2', expected 's2'"),
    ({"label": None, "labels": own_stack.label()}, "found key 'labels', expected 'label'"),
    ({"s1_db": own_stack.s1_db()[:2]}, "s1_db: expected 3 periods as in period_start, found 2"),
    ({"s1_db": own_stack.s1_db()[:, :-1]}, "same rows x columns, found 11 x 15 and 12 x 15"),
    ({"s2": own_stack.s2()[0]}, "s2: expected numbers [periods, rows, columns, bands], found"),
    ({"s2": own_stack.s2()[..., :9]}, "s2: expected 10 bands (B2, B3,"),
    ({"s2": own_stack.s2().astype(str)}, "s2: expected numbers [periods, rows, columns, bands]"),
    ({"s2_bands": np.array(["B2"])}, "s2: expected 1 bands (B2; s2_bands names others), found 10"),
    ({"s2_bands": np.array(["B2"] * 10)}, "s2_bands: expected each band once, found B2 twice"),
    ({"s1_bands": np.array(["HH", "HV"])}, "s1_bands: expected bands among VV, VH, found HH, HV"),
    ({"label": own_stack.label()[:, 1:]}, "expected a label of 12 x 15 (rows x columns)"),
    ({"label": own_stack.label() + 0.5}, "label: expected uint8 (255 where unknown), found float"),
    ({"fields": own_stack.label()[1:]}, "fields: expected integers [12 x 15], found uint8 [11 x"),
    ({"fields": own_stack.label() - 1.0}, "fields: expected integers [12 x 15], found float64"),
    ({"fields": own_stack.label().astype(int) - 1}, "fields: expected field ids from 0 (none)"),
    ({"period_start": np.array(["2021-11-01"])}, "as many period_end as period_start, found 3"),
    ({"period_start": np.array(["01/11/2021"] * 3)}, "period_start[0]: expected a date like"),
    ({"period_end": np.array(["2021-11-01"] * 3)}, "[0]: period: expected an end after 2021-11-01"),
    (
        {"crs": "EPSG:4326"},
        "expected a CRS with true metres such as EPSG:32639 (UTM), found EPSG:4",
    ),
    ({"crs": "EPSG:3857"}, "ingest does not resample: warp the stack first"),
    ({"crs": "EPSG:999999"}, "crs: expected a CRS such as EPSG:32631, found 'EPSG:999999'"),
    ({"crs": np.array([1.5, 2])}, "crs: expected text such as EPSG:32631, found float64"),
    ({"transform": np.array([10.0, 0, 6e5])}, "transform: expected six numbers, found float64 [3]"),
    ({"transform": np.array([10, 0, 6e5, 0, -20, 56e5])}, "expected square north-up pixels"),
    ({"transform": np.array([10, 0, 6e5, 0, 10, 56e5])}, "expected square north-up pixels"),
    ({"transform": np.array([10, 0, np.nan, 0, -10, 56e5])}, "expected six finite coefficients"),
    ({"class_names": np.array([{}])}, "expected an .npz file of arrays, or a folder with"),
]


@pytest.mark.parametrize("changes, message", BAD_NPZ, ids=[m[:50] for _, m in BAD_NPZ])
def test_an_npz_that_does_not_fit(tmp_path, changes, message):
    file = own_stack.write_npz(tmp_path, **changes)
    check(file, tmp_path, message)


def check(path, tmp_path, message, **flags):
    with pytest.raises(ValueError) as error:
        run.ingest(options.Options(str(path), str(tmp_path / "cubes"), **flags))
    assert message in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cubes").exists()


@pytest.mark.parametrize("kind", ["text", "empty", "npy", "cut", "damaged"])
def test_a_file_that_is_no_npz(tmp_path, kind):
    file = own_stack.write_npz(tmp_path)
    data = file.read_bytes()
    if kind == "npy":
        np.save(tmp_path / "array.npy", np.zeros(3))
        data = (tmp_path / "array.npy").read_bytes()
    damaged = data[:400] + bytes(b ^ 255 for b in data[400:500]) + data[500:]
    contents = {"text": b"s1,s2", "empty": b"", "npy": data, "cut": data[:5000], "damaged": damaged}
    file.write_bytes(contents[kind])
    check(file, tmp_path, "expected an .npz file of arrays, or a folder with s1 and s2 as .tif")


def test_an_input_that_is_not_there(tmp_path):
    check(tmp_path / "no.npz", tmp_path, "expected an .npz file or a folder, found nothing there")
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty", tmp_path, "expected s1 or s2 as .tif or .nc in the folder, found not")


S1 = own_stack.bands_first(own_stack.s1_db())
NAMES = ["2021-11-01/VV", "2021-11-01/VH"]
BAD_TIF = [
    ({"s1": (S1[:5], None, {})}, "expected 6 bands, 2 for each of 3 rows of dates.csv, or bands"),
    ({"s1": (S1[:4], ["VV", "VH", "VV", "VH"], {})}, "same number of bands for each of 3 rows"),
    ({"s1": (S1[:2], ["2021-11-02/VV", "2021-11-01/VH"], {})}, "found bands of 2021-11-02"),
    ({"s1": (S1[:2], NAMES[:1] * 2, {})}, "(2021-11-01): expected each band once, found VV twice"),
    ({"s1": (S1, ["Band"] * 6, {})}, "expected bands among VV, VH, found Band, Band"),
    ({"s1": (S1, ["VV", "VH", None] * 2, {})}, "band 3 has no name, though others do"),
    (
        {"s1": (S1, None, {"affine": (10, 0, 600010, 0, -10, 5600000)})},
        "expected the grid of s1.tif",
    ),
    ({"s1": (S1, None, {"crs": "EPSG:32632"})}, "(CRS EPSG:32632), found EPSG:32631"),
    ({"s1": (S1, None, {"crs": None})}, "expected a CRS such as EPSG:32631, found none"),
    ({"s1": (S1[:, 1:], None, {})}, "(rows x columns 11 x 15), found 12 x 15"),
    ({"label": (S1[:1], None, {})}, "label.tif: expected one band of integers, found 1 of float32"),
    ({"label": (S1[:2].astype("int16"), None, {})}, "expected one band of integers, found 2 of"),
    ({"fields": (S1[:1].astype("int16"), None, {})}, "fields.tif: expected field ids from 0"),
]


@pytest.mark.parametrize("files, message", BAD_TIF, ids=[m[:50] for _, m in BAD_TIF])
def test_rasters_that_do_not_fit(tmp_path, files, message):
    check(folder_with(tmp_path, **files), tmp_path, message, legend="isrc")


BAD_DATES = [
    ([], None, "dates.csv: expected rows of s1 (sensor,start[,end]) for s1.tif, found no file"),
    (own_stack.period_rows()[:3], None, "expected rows of s2 (sensor,start[,end]) for s2.tif"),
    (
        own_stack.period_rows(),
        ("a", "start", "end"),
        "columns sensor,start[,end][,s2_offset], found a,start,en",
    ),
    ([("s3", "2021-11-01", "")], None, "expected sensor s1 or s2, found 's3'; a module that"),
    ([("s1", "Nov 2021", "")], None, "line 2: expected a date like 2022-09-01, found 'Nov 2021'"),
    (
        [("s1", "2021-11-01", "2021-11-01")],
        None,
        "line 2: period: expected an end after 2021-11-01",
    ),
]


@pytest.mark.parametrize("rows, header, message", BAD_DATES, ids=[m[:50] for *_, m in BAD_DATES])
def test_dates_that_do_not_fit(tmp_path, rows, header, message):
    folder = own_stack.write_folder(tmp_path / "stack")
    (folder / "dates.csv").unlink()
    if rows:
        own_stack.write_dates(folder, rows, header or ("sensor", "start", "end"))
    check(folder, tmp_path, message, legend="isrc")


def test_folders_that_do_not_fit(tmp_path):
    folder = own_stack.write_folder(tmp_path / "stack")
    (folder / "s2.nc").write_text("not netCDF")
    check(folder, tmp_path, "expected s2 once, found s2.tif and s2.nc", legend="isrc")
    (folder / "s2.tif").unlink()
    check(folder, tmp_path, "s2.nc: damaged or not a netCDF file", legend="isrc")
    (folder / "s2.nc").unlink()
    check(folder, tmp_path, "dates.csv: has rows of s2, but there is no s2", legend="isrc")
    data = (folder / "s1.tif").read_bytes()
    (folder / "s1.tif").write_bytes(data[: len(data) // 2])
    own_stack.write_dates(folder, own_stack.period_rows()[:3])
    check(folder, tmp_path, "s1.tif: damaged", legend="isrc")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d.rename(t="date"), "expected a dimension t or time, found"),
        (lambda d: d.rename(x="lon"), "expected a dimension x, found"),
        (lambda d: d.drop_vars("x"), "expected coordinates of two or more pixels along 'x'"),
        (lambda d: d.isel(x=[0, 1, 3, 4]), "expected evenly spaced coordinates along 'x'"),
        (
            lambda d: d.assign_coords(t=[1, 2, 3]),
            "expected dates along 't', or a dates.csv next to",
        ),
        (lambda d: d.drop_vars("crs"), "expected a CRS such as EPSG:32631, found none"),
        (lambda d: d.rename({"X-VV": "a", "X-VH": "b"}), "expected bands among VV, VH, found a, b"),
        (lambda d: d.isel(t=0), "expected a dimension t or time, found"),
        (
            lambda d: d.drop_vars(["X-VV", "X-VH"]),
            "expected variables with dimensions t, x, y, found",
        ),
    ],
)
def test_netcdf_that_does_not_fit(tmp_path, change, message):
    folder = netcdf_folder(tmp_path)
    file = folder / "s1.nc"
    with xr.open_dataset(file) as data:
        changed = change(data.load())
    changed.to_netcdf(file, engine="h5netcdf")
    check(folder, tmp_path, message, legend="isrc", months=True)


@pytest.mark.parametrize(
    "valid, missing",
    [
        ({"valid_range": np.array([1, 16000], np.uint16)}, [0, 20000]),
        ({"valid_max": np.uint16(16000)}, [20000]),
        # meant in reflectance, perhaps: they count for nothing among stored numbers
        ({"valid_range": np.array([0.0, 1.0]), "scale_factor": 1e-4}, []),
        ({}, []),
    ],
)
def test_a_netcdf_declares_which_numbers_are_valid(valid, missing):
    variable = xr.DataArray(np.array([[0, 5, 20000]], np.uint16), dims=("y", "x"), attrs=valid)
    every = slice(None)
    read = netcdf_files._read_variable("x.nc", variable, {}, ["y", "x"], every, every)
    assert read.data[read.mask].tolist() == missing


@pytest.mark.parametrize(
    "scale, offset, message", [(0, 0, "scales .* found 0 for"), (1, np.nan, "offsets .* found nan")]
)
def test_a_scale_of_a_geotiff_that_is_none_is_refused(tmp_path, scale, offset, message):
    folder = own_stack.write_folder(tmp_path)
    with rasterio.open(folder / "s2.tif", "r+") as raster:
        raster.scales, raster.offsets = [scale] * raster.count, [offset] * raster.count
    with pytest.raises(ValueError, match=f"s2.tif: expected usable {message}"):
        stacks.open_stack(folder)
