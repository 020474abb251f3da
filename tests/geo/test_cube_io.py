"""Cubes on disk: what was written is what is read, here and by any GDAL program."""

import dataclasses
import datetime as dt
import errno
import os
import subprocess
import sys
import textwrap

import making
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, cube_io, legend, periods
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS


def same_cube(found: cube.Cube, written: cube.Cube) -> None:
    """Everything but the path and half a step of the pixels."""
    assert dataclasses.replace(found.info, path=None) == written.info
    np.testing.assert_array_equal(found.label, written.label)
    assert (found.fields is None) == (written.fields is None)
    if written.fields is not None:
        np.testing.assert_array_equal(found.fields, written.fields)
        assert found.fields.dtype == np.uint32
    assert (found.clear is None) == (written.clear is None)
    if written.clear is not None:
        np.testing.assert_array_equal(found.clear, written.clear)
        assert found.clear.dtype == np.uint8
    for sensor in ("s1", "s2"):
        a, b = getattr(found, sensor), getattr(written, sensor)
        assert a.dtype == np.float32 and a.flags.c_contiguous
        # Equal NaNs, and at most half a step; 2**-21 is for a few roundings of float32.
        np.testing.assert_allclose(a, b, rtol=2.0**-21, atol=0.5 / SENSORS[sensor].scale)


def test_round_trip_of_everything(tmp_path):
    made = making.make_cube("A-1_b.2", size=(20, 40), province="Fars", seed=2)
    fields = np.where(made.fields > 0, made.fields + 4_000_000_000, 0).astype(np.uint32)
    info = dataclasses.replace(made.info, source={"é": [1, 2.5, None, {"a": "ب"}]})
    made = dataclasses.replace(made, info=info, fields=fields)
    path = cube_io.write_cube(made, tmp_path / "new" / "cubes")
    assert path == tmp_path / "new" / "cubes" / "A-1_b.2"
    assert sorted(p.name for p in path.iterdir()) == [
        "fields.tif", "item.json", "label.tif", "s1.tif", "s2.tif"]  # fmt: skip
    assert [p.name for p in path.parent.iterdir()] == ["A-1_b.2"]
    found = cube_io.read_cube(path, verify=True)
    same_cube(found, made)
    assert found.info.path == path
    assert cube_io.list_cubes(path.parent) == [found.info]
    # 800 pixels hold all three classes and both other states, and missing values in both sensors.
    assert np.isnan(found.s1).any() and np.isnan(found.s2).any() and (found.label == 255).any()


def test_without_fields(tmp_path):
    made = making.make_cube(fields=False, size=16)
    path = cube_io.write_cube(made, tmp_path)
    assert not (path / "fields.tif").exists()
    assert cube_io.read_cube(path).fields is None
    raw = cube_io.read_raw(path)
    assert raw.fields.dtype == np.uint32 and not raw.fields.any()


def test_counts_of_clear_observations(tmp_path):
    made = making.make_cube(size=(20, 40), clear=True)
    made.clear[-1, 0, :3] = 0, 254, 255
    path = cube_io.write_cube(made, tmp_path)
    same_cube(cube_io.read_cube(path, verify=True), made)
    np.testing.assert_array_equal(cube_io.read_raw(path).clear, made.clear)
    with rasterio.open(path / "clear.tif") as raster:
        assert raster.descriptions == tuple(f"{p.name}/clear" for p in making.PERIODS)
        assert raster.descriptions[0] == "2021-12-01/clear"
        # 0 says that there is none: it is not missing.
        assert raster.nodata is None and raster.dtypes[0] == "uint8"
        assert raster.profile["compress"] == "zstd" and raster.profile["interleave"] == "band"
    without = cube_io.write_cube(making.make_cube("b", size=16), tmp_path)
    assert cube_io.read_raw(without).clear is None and cube_io.read_cube(without).clear is None
    assert [info.has_clear for info in cube_io.list_cubes(tmp_path)] == [False, True]


@pytest.mark.parametrize("optional", [True, False])
def test_raw_pixels_are_written_as_they_are(tmp_path, optional):
    made = making.make_cube(size=16, fields=optional, clear=optional)
    raw = cube_io.read_raw(cube_io.write_cube(made, tmp_path / "a"))
    again = cube_io.write_cube(raw, tmp_path / "b")
    for file in (tmp_path / "a" / "cube").iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()
    with pytest.raises(ValueError, match=r"expected s1 int16 .*found float32"):
        cube_io.write_cube(dataclasses.replace(raw, pixels=made.pixels), tmp_path / "c")


def test_raw_pixels_are_scaled_integers(tmp_path):
    made = making.make_cube(size=16)
    raw = cube_io.read_raw(cube_io.write_cube(made, tmp_path))
    assert raw.s1.dtype == raw.s2.dtype == np.int16
    np.testing.assert_array_equal(raw.s1 == -32768, np.isnan(made.s1))
    np.testing.assert_array_equal(raw.s1, SENSORS["s1"].encode(made.s1))
    np.testing.assert_array_equal(raw.s2, SENSORS["s2"].encode(made.s2))


@settings(max_examples=12)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.sampled_from([legend.EUCROPMAP, legend.ISRC, making.LEGEND]),
    st.booleans(),
)
def test_any_shape_periods_and_legend(tmp_path_factory, size, lengths, classes, fields):
    edges = np.cumsum([19_000, *lengths])
    spans = periods.from_days(np.stack([edges[:-1], edges[1:]], 1))
    made = making.make_cube(size=size, periods=spans, legend=classes, fields=fields)
    path = cube_io.write_cube(made, tmp_path_factory.mktemp("cubes"))
    same_cube(cube_io.read_cube(path), made)


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:31370", 150000, 170000),
        ("EPSG:3035", 3900000, 3100000),
        # CRSs without an EPSG code, which GeoTIFF words in its own way.
        ("ESRI:102014", 0, 1200000),
        ("+proj=laea +lat_0=32 +lon_0=53 +datum=WGS84 +units=m", 1000, 2000),
        ("+proj=tmerc +lat_0=0 +lon_0=51 +k=0.9999 +x_0=500000 +ellps=intl", 500000, 3500000),
    ],
)
def test_own_grids_and_crs_come_back(tmp_path, crs, x, y):
    made = making.make_cube(size=16)
    geobox = GeoBox((16, 16), Affine(9.97, 0, x + 1 / 3, 0, -9.97, y + 1 / 7), crs)
    made = dataclasses.replace(made, info=dataclasses.replace(made.info, geobox=geobox))
    same_cube(cube_io.read_cube(cube_io.write_cube(made, tmp_path), verify=True), made)


T, H, W = 3, 21, 34
MONTHS = periods.month_periods(dt.date(2022, 1, 1), dt.date(2022, 3, 1))


def coordinates() -> cube.Cube:
    """A cube whose stored integers say where they are: 9000 t + 300 r + 9 c + b and the like."""
    made = making.make_cube("where", size=(H, W), periods=MONTHS)
    t, r, c = np.ogrid[:T, :H, :W]
    place = (9000 * t + 300 * r + 8 * c)[..., None]
    s1 = (place + np.arange(2)) / 100
    # Ten bands need more room: three periods of 21 x 34 pixels x 10 bands are below 32767.
    s2 = ((((t * H + r) * W + c)[..., None]) * 10 + np.arange(10)) / 10000
    label = ((r[0] + 2 * c[0]) % 3).astype(np.uint8)
    fields = (1000 * r[0] + c[0] + 1).astype(np.uint32)
    return dataclasses.replace(
        made, s1=s1.astype(np.float32), s2=s2.astype(np.float32), label=label, fields=fields
    )


def test_pixels_lie_where_they_say(tmp_path):
    raw = cube_io.read_raw(cube_io.write_cube(coordinates(), tmp_path))
    for t, r, c in ((0, 0, 0), (2, 0, 33), (1, 20, 0), (2, 20, 33), (1, 7, 19)):
        assert raw.s1[t, r, c].tolist() == [9000 * t + 300 * r + 8 * c + b for b in range(2)]
        assert raw.s2[t, r, c].tolist() == [((t * 21 + r) * 34 + c) * 10 + b for b in range(10)]
        assert raw.label[r, c] == (r + 2 * c) % 3
        assert raw.fields[r, c] == 1000 * r + c + 1


def test_plain_rasterio_sees_the_same(tmp_path):
    made = coordinates()
    path = cube_io.write_cube(made, tmp_path)
    months = ("2022-01-01", "2022-02-01", "2022-03-01")
    s2_bands = "B2 B3 B4 B5 B6 B7 B8 B8A B11 B12".split()
    with rasterio.open(path / "s1.tif") as s1, rasterio.open(path / "s2.tif") as s2:
        assert s1.descriptions == tuple(f"{m}/{b}" for m in months for b in ("VV", "VH"))
        assert s2.descriptions == tuple(f"{m}/{b}" for m in months for b in s2_bands)
        # Band 4 of s1 is February's VH; band 29 of s2 is March's B11.
        assert s1.read(4)[20, 5] == 9000 + 300 * 20 + 8 * 5 + 1
        assert s2.read(29)[20, 5] == ((2 * 21 + 20) * 34 + 5) * 10 + 8
        assert s1.scales == (0.01,) * 6 and s2.scales == (0.0001,) * 30
        # The upper left pixel by its place on the ground, half a pixel from the corner.
        x, y = making.TILE[0] * 1280, (making.TILE[1] + 1) * 1280
        assert [v[0] for v in s1.sample([(x + 5, y - 5)], 1)] == [0]
        assert [v[0] for v in s1.sample([(x + 5, y - 15)], 1)] == [300]
        assert [v[0] for v in s1.sample([(x + 15, y - 5)], 1)] == [8]


@pytest.mark.parametrize(
    ("asset", "dtype", "nodata", "count"),
    [("s1", "int16", -32768, 6), ("s2", "int16", -32768, 30), ("label", "uint8", 255, 1),
     ("fields", "uint32", 0, 1)],
)  # fmt: skip
def test_geotiff_profile(tmp_path, asset, dtype, nodata, count):
    path = cube_io.write_cube(coordinates(), tmp_path)
    with rasterio.open(path / f"{asset}.tif") as raster:
        assert raster.driver == "GTiff"
        assert (raster.count, raster.height, raster.width) == (count, H, W)
        assert set(raster.dtypes) == {dtype}
        assert set(raster.nodatavals) == {nodata}
        assert raster.compression == rasterio.enums.Compression.zstd
        # One band has no interleaving to speak of; GDAL calls it "band".
        assert raster.interleaving == rasterio.enums.Interleaving.band
        assert raster.crs == rasterio.CRS.from_epsg(32639)
        assert raster.transform == Affine(10, 0, 512000, 0, -10, 3841280)
        # TIFF tiles are multiples of 16: 21 rows fit in 32, 34 columns in 48.
        assert raster.profile["tiled"] and set(raster.block_shapes) == {(32, 48)}


def test_large_rasters_have_blocks_of_128(tmp_path):
    made = making.make_cube(size=(130, 128), periods=MONTHS[:1])
    with rasterio.open(cube_io.write_cube(made, tmp_path) / "s2.tif") as raster:
        assert set(raster.block_shapes) == {(128, 128)}


def test_label_carries_its_colours(tmp_path):
    path = cube_io.write_cube(coordinates(), tmp_path)
    with rasterio.open(path / "label.tif") as raster:
        colours = raster.colormap(1)
        assert raster.descriptions == ("label, legend making",)
    # wheat is #e6ab02, maize #d95f02.
    assert colours[0][:3] == (0xE6, 0xAB, 0x02) and colours[2][:3] == (0xD9, 0x5F, 0x02)
    assert colours[254][:3] == (221, 221, 221)
    assert cube_io.colour_table(making.LEGEND)[255] == (0, 0, 0, 0)


def test_existing_cubes_are_kept_unless_told(tmp_path):
    first, second = making.make_cube(size=16), making.make_cube(size=24, fields=False, seed=1)
    cube_io.write_cube(first, tmp_path)
    with pytest.raises(ValueError, match=r"/cube: exists already; expected a new .* or overwrite"):
        cube_io.write_cube(second, tmp_path)
    same_cube(cube_io.read_cube(tmp_path / "cube"), first)
    cube_io.write_cube(second, tmp_path, overwrite=True)
    same_cube(cube_io.read_cube(tmp_path / "cube"), second)
    # Nothing of the first is left, neither its field ids nor its folder under another name.
    assert [p.name for p in tmp_path.iterdir()] == ["cube"]
    assert not (tmp_path / "cube" / "fields.tif").exists()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda p: (p / "notes.txt").write_text("mine"), "notes.txt"),
        (lambda p: (p / "photos").mkdir(), "photos"),
        (lambda p: (p / "item.json").unlink(), "item.json: expected a cube's STAC item, found no"),
        (
            lambda p: (p / "item.json").write_text('{"id": "cube"}'),
            "expected property 'properties'",
        ),
        (lambda p: (p / "s1.tif").rename(p / "s1.tiff"), "s1.tiff"),
    ],
    ids=["file", "folder", "no item", "another item", "another name"],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_more_or_less_than_a_cube_stays(tmp_path, spoil, found, overwrite):
    path = cube_io.write_cube(making.make_cube(size=16), tmp_path)
    spoil(path)
    before = sorted((p.name, p.stat().st_mtime_ns) for p in path.iterdir())
    with pytest.raises(ValueError, match=f"{path}: expected .* found .*{found}") as caught:
        cube_io.write_cube(making.make_cube(size=16, seed=1), tmp_path, overwrite)
    assert "overwrite" not in str(caught.value)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in path.iterdir()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["cube"]


def test_a_file_or_link_in_the_place_of_a_cube_stays(tmp_path):
    elsewhere = cube_io.write_cube(making.make_cube("b", size=16), tmp_path / "elsewhere")
    (tmp_path / "cube").write_text("mine")
    (tmp_path / "b").symlink_to(elsewhere)
    for name in ("cube", "b"):
        with pytest.raises(ValueError, match=f"{name}: .* found something other than a folder"):
            cube_io.write_cube(making.make_cube(name, size=16), tmp_path, overwrite=True)
    assert (tmp_path / "cube").read_text() == "mine"
    cube_io.read_cube(elsewhere, verify=True)


def test_what_a_viewer_put_beside_the_rasters_goes_with_the_cube(tmp_path):
    path = cube_io.write_cube(making.make_cube(size=16), tmp_path)
    (path / "s2.tif.aux.xml").write_text("<PAMDataset/>")
    (path / "label.tif.ovr").write_bytes(b"overviews")
    cube_io.write_cube(making.make_cube(size=16, seed=1), tmp_path, overwrite=True)
    assert not list(path.glob("*.aux.xml")) and not list(path.glob("*.ovr"))


def test_what_only_looks_like_a_killed_run_stays(tmp_path):
    for name, file in ((".cube.7.part", "thesis.doc"), (".cube.8.old", "s1.tif")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("x")
    cube_io.write_cube(making.make_cube(size=16), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".cube.7.part", "cube"]


def test_the_folder_is_listed_once_however_many_cubes_go_into_it(tmp_path, monkeypatch):
    real, listed = type(tmp_path).iterdir, []

    def iterdir(self):
        listed.append(self)
        return real(self)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    for i in range(3):
        cube_io.write_cube(making.make_cube(f"c{i}", size=16), tmp_path)
    assert listed.count(tmp_path) == 1


def test_ctrl_c_between_the_two_renames_puts_the_old_cube_back(tmp_path, monkeypatch):
    # As where the system has no exchange of two names in one step.
    monkeypatch.setattr(cube_io.files, "_exchange", lambda *_: False)
    first = making.make_cube(size=16)
    cube_io.write_cube(first, tmp_path)
    real = type(tmp_path).rename

    def rename(self, target):
        if self.suffix == ".part":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        cube_io.write_cube(making.make_cube(size=16, seed=1), tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["cube"]
    same_cube(cube_io.read_cube(tmp_path / "cube", verify=True), first)


def full_disk_at(monkeypatch, nth: int) -> None:
    real, calls = cube_io.files.write_synced, []

    def write(path, data):
        calls.append(path)
        if len(calls) == nth:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(cube_io.files, "write_synced", write)


NO_SPACE = r"/cube: could not be written \(No space left on device\); nothing was kept"


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])  # s1, s2, label, fields, item
def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, nth):
    full_disk_at(monkeypatch, nth)
    with pytest.raises(OSError, match=NO_SPACE) as caught:
        cube_io.write_cube(making.make_cube(size=16), tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nth", [1, 5])
def test_full_disk_keeps_the_cube_it_would_replace(tmp_path, monkeypatch, nth):
    first = making.make_cube(size=16)
    cube_io.write_cube(first, tmp_path)
    full_disk_at(monkeypatch, nth)
    with pytest.raises(OSError, match=NO_SPACE):
        cube_io.write_cube(making.make_cube(size=16, seed=1), tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["cube"]
    same_cube(cube_io.read_cube(tmp_path / "cube", verify=True), first)


def test_a_failed_swap_puts_the_old_cube_back(tmp_path, monkeypatch):
    # As where the system has no exchange of two names in one step.
    monkeypatch.setattr(cube_io.files, "_exchange", lambda *_: False)
    first = making.make_cube(size=16)
    cube_io.write_cube(first, tmp_path)
    real = type(tmp_path).rename

    def rename(self, target):
        if self.suffix == ".part":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", rename)
    with pytest.raises(OSError, match="Input/output error"):
        cube_io.write_cube(making.make_cube(size=16, seed=1), tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["cube"]
    same_cube(cube_io.read_cube(tmp_path / "cube", verify=True), first)


def test_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def write(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(cube_io.files, "write_synced", write)
    with pytest.raises(KeyboardInterrupt):
        cube_io.write_cube(making.make_cube(size=16), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_process_do_no_harm(tmp_path):
    for number in (os.getpid(), 1):
        remains = tmp_path / f".cube.{number}.part"
        remains.mkdir()
        (remains / "item.json").write_text("{}")
        (remains / "fields.tif").write_text("half")
    (tmp_path / "notes").mkdir()
    made = making.make_cube(size=16, fields=False)
    with pytest.raises(ValueError, match="expected cubes .* found none"):
        cube_io.list_cubes(tmp_path)
    path = cube_io.write_cube(made, tmp_path)
    assert not (path / "fields.tif").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cube", "notes"]


def test_other_cubes_in_the_making_are_left_alone(tmp_path):
    # `cube.2` is another cube, although `.cube.2.77.part` begins as the parts of `cube` do.
    for name in (".cube.2.77.part", ".other.1.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "item.json").write_text("{}")
    cube_io.write_cube(making.make_cube(size=16), tmp_path)
    assert [i.cube_id for i in cube_io.list_cubes(tmp_path)] == ["cube"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".cube.2.77.part",
        ".other.1.part",
        "cube",
    ]


def test_a_real_limit_on_file_size(tmp_path):
    """The kernel, not a patch, stops the writing: EFBIG, as on a full quota."""
    script = f"""
        import resource, signal, sys
        sys.path[:0] = {[p for p in sys.path if p]!r}
        import making
        from cropmap_jax.geo import cube_io
        made = making.make_cube(size=32)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            cube_io.write_cube(made, {str(tmp_path)!r})
        except OSError as error:
            sys.exit(f"caught {{error}}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "caught [Errno 27]" in done.stderr
    assert "cube: could not be written (File too large); nothing was kept" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_items_do_not_depend_on_the_locale(tmp_path):
    made = making.make_cube(size=16, fields=False)
    info = dataclasses.replace(made.info, province="فارس")
    path = cube_io.write_cube(dataclasses.replace(made, info=info), tmp_path)
    script = f"""
        import sys
        sys.path[:0] = {[p for p in sys.path if p]!r}
        from cropmap_jax.geo import cube_io
        print(ascii(cube_io.read_info({str(path)!r}).province))
    """
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == ascii("فارس"), done.stderr


def test_real_belgian_cube(real_dir, tmp_path):
    classes = legend.Legend(
        "worldcereal",
        tuple(legend.make_class(i, i, f"class {i}") for i in range(5)),
    )
    with np.load(real_dir / "cubes" / "belgium_2021_worldcereal.npz") as file:
        dates = [
            [dt.date.fromisoformat(d) for d in file[key].tolist()]
            for key in ("period_start", "period_end")
        ]
        geobox = GeoBox(file["label"].shape, Affine(*file["transform"]), str(file["crs"]))
        info = cube.CubeInfo(
            cube_id="belgium",
            geobox=geobox,
            periods=tuple(Period(a, b) for a, b in zip(*dates, strict=True)),
            legend=classes,
            block="belgium",
            split="train",
            season="2020-2021",
        )
        made = cube.Cube(info, {"s1": file["s1_db"], "s2": file["s2"]}, file["label"])
    same_cube(cube_io.read_cube(cube_io.write_cube(made, tmp_path), verify=True), made)
    # B8A is missing throughout: it must come back missing, not 0.
    assert np.isnan(cube_io.read_cube(tmp_path / "belgium").s2[..., 7]).all()
