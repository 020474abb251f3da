"""Files that are not what their name promises, or that claim more than they hold."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr

from cropmap_jax.sources.ingest import npz_files, options, run, stacks
from tests.sources import own_stack


def refuses(path, tmp_path, message, **flags):
    with pytest.raises(ValueError) as error:
        run.ingest(options.Options(str(path), str(tmp_path / "cubes"), **flags))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "cubes").exists()


# npz ----------------------------------------------------------------------------------------------


def header(shape, descr="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    "data, found",
    [
        (header((4, 10**6, 10**6, 10)), "expected 160000000000000 bytes of float32"),
        (header((3, 12, 15, 10)), "expected 21600 bytes of float32 [3 x 12 x 15 x 10], found 0"),
        (header((3, 12, 15, 1)) + bytes(5000), "expected 2160 bytes"),
        (header((-1, 12)), "bytes of float32 [-1 x 12], found 0"),
        (header((10**15,), "<U0"), "expected 0 bytes of <U0"),
        (b"\x93NUMPY\x09\x00", "something else or a damaged file"),
        (b"PK", "something else or a damaged file"),
    ],
)
def test_an_array_that_says_more_than_it_holds(tmp_path, data, found):
    file = own_stack.write_npz(tmp_path, s2=None)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("s2.npy", data)
    refuses(file, tmp_path, found)


def test_other_members_are_not_read_and_are_said(tmp_path):
    file = own_stack.write_npz(tmp_path, big=np.zeros(3))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README.txt", "hello")
        archive.writestr("huge.npy", header((10**9, 10**9)))
    text = run.ingest(options.Options(str(file), str(tmp_path / "cubes")))
    assert "not used: big, README.txt, huge" in text


def test_a_key_twice(tmp_path):
    file = own_stack.write_npz(tmp_path)
    with (
        zipfile.ZipFile(file, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("s2.npy", header((0,)))
    refuses(file, tmp_path, "expected key s2 once, found it twice")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"class_names": np.array([["a", "b"], ["c", "d"]])}, "class_names: expected a list"),
        ({"period_start": np.zeros((3, 2))}, "period_start: expected a list, found [3 x 2]"),
        ({"class_names": np.array(["x" * 201] * 4)}, "class_names: expected names of at most 200"),
        ({"s2_bands": np.array("B2\n")}, "s2: expected 1 bands (B2; s2_bands names others)"),
        ({"s2_offset": np.array([0.0])}, "s2_offset: expected 3 numbers, one per period"),
        ({"s2_offset": np.array([0, 0, np.inf])}, "s2_offset: expected 3 numbers"),
        ({"s2": own_stack.s2().astype(complex)}, "s2: expected numbers [periods, rows"),
    ],
)
def test_arrays_of_another_form(tmp_path, changes, message):
    refuses(own_stack.write_npz(tmp_path, **changes), tmp_path, message)


def test_more_than_this_machine_can_hold(tmp_path, monkeypatch):
    file = own_stack.write_npz(tmp_path)
    monkeypatch.setattr(npz_files, "_memory", lambda: 10_000)
    refuses(
        file, tmp_path, "its arrays would take 0 GiB of memory, this process may have 0; cut it"
    )
    monkeypatch.undo()

    def full(*_):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(run, "read_window", full)
    refuses(file, tmp_path, "memory does not hold it (Unable to allocate 9 TiB); smaller parts")


def test_what_a_container_or_a_limit_leaves_of_the_memory(monkeypatch):
    whole = npz_files._memory()
    monkeypatch.setattr(npz_files.resource, "getrlimit", lambda _: (2**20, 2**30))
    assert npz_files._memory() == 2**20 < whole


# GeoTIFF ------------------------------------------------------------------------------------------


def test_a_sparse_raster_of_a_continent(tmp_path):
    folder = tmp_path / "stack"
    folder.mkdir()
    own_stack.write_dates(folder, [("s1", "2021-11-01", "2021-12-01")])
    profile = {"driver": "GTiff", "count": 2, "dtype": "float32", "crs": own_stack.CRS}
    profile |= {"width": 400_000, "height": 400_000, "sparse_ok": True, "bigtiff": "yes"}
    profile |= {"transform": own_stack.Affine(*own_stack.AFFINE), "tiled": True}
    profile |= {"blockxsize": 16384, "blockysize": 16384}
    with own_stack.rasterio.open(folder / "s1.tif", "w", **profile):
        pass
    refuses(folder, tmp_path, "400000 x 400000 (rows x columns) pixels would take", legend="isrc")


@pytest.mark.parametrize("name", ["s1", "label", "fields"])
def test_another_format_of_the_same_name(tmp_path, name):
    folder = own_stack.write_folder(tmp_path / "stack")
    pixels = own_stack.label()[None].astype(np.uint8)
    (folder / f"{name}.tif").unlink(missing_ok=True)
    own_stack.write_tif(tmp_path / "x.png", pixels, driver="PNG", crs=None)
    (tmp_path / "x.png").rename(folder / f"{name}.tif")
    refuses(folder, tmp_path, f"{name}.tif: damaged or not a GeoTIFF", legend="isrc")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(own_stack.H * own_stack.W))
    (folder / f"{name}.tif").write_text(
        f'<VRTDataset rasterXSize="15" rasterYSize="12"><VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{secret}</SourceFilename>'
        f"<PixelOffset>1</PixelOffset><LineOffset>15</LineOffset></VRTRasterBand></VRTDataset>"
    )
    refuses(folder, tmp_path, f"{name}.tif: damaged or not a GeoTIFF", legend="isrc")


def test_complex_numbers_are_no_backscatter(tmp_path):
    folder = own_stack.write_folder(tmp_path / "stack")
    own_stack.write_tif(folder / "s1.tif", np.ones((6, 12, 15), np.complex64))
    refuses(folder, tmp_path, "s1.tif: expected real numbers, found complex64", legend="isrc")


@pytest.mark.parametrize("form", ["S1_{:%Y%m%d}_{}", "{1}_{0:%Y-%m-%d}", "{:%Y-%m-%d}/{}"])
def test_dates_anywhere_in_names_of_bands(tmp_path, form):
    folder, order = own_stack.write_folder(tmp_path / "stack"), [2, 0, 1]
    starts = [own_stack.PERIODS[i].start for i in order]
    names = [form.format(day, band) for day in starts for band in ("VH", "VV")]
    s1 = own_stack.bands_first(own_stack.s1_db()[order][..., ::-1])
    own_stack.write_tif(folder / "s1.tif", s1, names)
    got = stacks.open_stack(folder).bands["s1"].read(slice(0, 12), slice(0, 15))
    np.testing.assert_array_equal(got, own_stack.s1_db())


# netCDF -------------------------------------------------------------------------------------------


def scenes(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    days = ("2021-11-05", "2021-12-20", "2022-01-04")
    own_stack.write_netcdf(folder / "s1.nc", own_stack.s1_db(), ["VV", "VH"], days)
    return folder


@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_numbers_that_lie_in_another_file(tmp_path, kind):
    folder = scenes(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(10_000))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["VH"] = np.zeros((3, 12, 15), np.float32)
    with h5py.File(folder / "s1.nc", "r+") as data:
        del data["VH"]
        if kind == "link":
            data["VH"] = h5py.ExternalLink("../other.h5", "VH")
        elif kind == "external":
            where = [(str(tmp_path / "secret"), 0, 2160)]
            data.create_dataset("VH", (3, 12, 15), np.float32, external=where)
        else:
            layout = h5py.VirtualLayout((3, 12, 15), np.float32)
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "VH", (3, 12, 15))
            data.create_virtual_dataset("VH", layout)
    refuses(folder, tmp_path, "variable 'VH' refers to another file", legend="isrc", months=True)


def test_classic_netcdf_is_read_and_anything_else_is_not(tmp_path):
    folder = scenes(tmp_path)
    with xr.open_dataset(folder / "s1.nc", mask_and_scale=False) as data:
        data = data.load()
    data.to_netcdf(folder / "s1.nc", engine="scipy", format="NETCDF3_64BIT")
    stack = stacks.open_stack(folder)
    np.testing.assert_array_equal(
        stack.bands["s1"].read(slice(0, 12), slice(0, 15)), own_stack.s1_db()
    )
    (folder / "s1.nc").write_text("<VRTDataset/>")
    refuses(folder, tmp_path, "s1.nc: damaged or not a netCDF file", legend="isrc")


@pytest.mark.parametrize(
    "attribute, value, message",
    [
        ("scale_factor", "x", "VH: expected a number as scale_factor, found 'x'"),
        ("scale_factor", 0.0, "VH: expected a number as scale_factor"),
        ("missing_value", "x", "VH: expected a number as missing_value"),
    ],
)
def test_attributes_that_are_no_numbers(tmp_path, attribute, value, message):
    folder = scenes(tmp_path)
    with h5py.File(folder / "s1.nc", "r+") as data:
        data["VH"].attrs[attribute] = value
    refuses(folder, tmp_path, message, legend="isrc", months=True)


# dates.csv ----------------------------------------------------------------------------------------


def rows_with_offsets(*offsets):
    spans = own_stack.period_rows()
    return [(*span, "" if span[0] == "s1" else offsets[i % 3]) for i, span in enumerate(spans)]


HEADER = ("sensor", "start", "end", "s2_offset")


def test_offsets_of_dates(tmp_path):
    folder = own_stack.write_folder(tmp_path / "stack")
    integers = np.rint(own_stack.bands_first(own_stack.s2()) * 10000).astype(np.uint16)
    integers[20:] += 1000
    own_stack.write_tif(folder / "s2.tif", integers)
    own_stack.write_dates(folder, rows_with_offsets("0", "", "-1000"), HEADER)
    assert stacks.open_stack(folder).bands["s2"].date_offsets[2] == -1000
    run.ingest(options.Options(str(folder), str(tmp_path / "cubes"), legend="isrc"))
    got = run.cube_io.read_cube(tmp_path / "cubes" / "stack")
    own_stack.assert_pixels(got, own_stack.s1_db(), own_stack.s2())
    file = own_stack.write_npz(
        tmp_path,
        s2=np.moveaxis(integers.reshape(3, 10, 12, 15), 1, -1),
        s2_offset=np.array([0, np.nan, -1000]),
    )
    run.ingest(options.Options(str(file), str(tmp_path / "again")))
    got = run.cube_io.read_cube(tmp_path / "again" / "stack")
    own_stack.assert_pixels(got, own_stack.s1_db(), own_stack.s2())


@pytest.mark.parametrize("offset", ["x", "nan", "inf", "1e999"])
def test_offsets_that_are_no_numbers(tmp_path, offset):
    folder = own_stack.write_folder(tmp_path / "stack")
    own_stack.write_dates(folder, rows_with_offsets("0", offset, "0"), HEADER)
    refuses(
        folder, tmp_path, "line 6: expected a number as s2_offset, such as -1000", legend="isrc"
    )


def test_an_offset_of_s1(tmp_path):
    folder = own_stack.write_folder(tmp_path / "stack")
    rows = [(*row, "-1000") for row in own_stack.period_rows()]
    own_stack.write_dates(folder, rows, HEADER)
    refuses(folder, tmp_path, "line 2: expected no s2_offset in a row of s1", legend="isrc")
