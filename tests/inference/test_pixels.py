"""Windows of pixels, from one cube or several, and files that are not what they should be."""

import datetime as dt
import shutil

import making
import matplotlib.image
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from mapping import small_maps
from rasterio.vrt import WarpedVRT

from cropmap_jax.geo import as_of_windows, cube_io
from cropmap_jax.geo.periods import month_periods, to_day, to_days
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import pixels
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping.cubes import join

DATE = dt.date(2022, 3, 15)


class Reader:
    """Reads boxes of the only group of a folder."""

    def __init__(self, cubes_dir, num_periods=4, limit=2**20):
        infos = cube_io.list_cubes(cubes_dir)
        (self._group,) = join(infos, num_periods, DATE, 16)
        source = RasterSource({info.cube_id: info.path for info in infos})
        self._reader = pixels.PixelReader(source, SENTINEL, limit)

    def expect(self, box):
        self._reader.expect(self._group, box)

    def read(self, box):
        return self._reader.read(self._group, box)


def expected(path, num_periods=4) -> dict[str, np.ndarray]:
    raw = cube_io.read_raw(path)
    window = as_of_windows.as_of_window(to_days(raw.info.periods), to_day(DATE), num_periods)
    return {
        s.name: as_of_windows.take_window(raw.pixels[s.name], window.indices, s.nodata)
        for s in SENTINEL
    }


def test_a_window_is_what_training_sees(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", (20, 30)), tmp_path)
    # December to February and a period from before the cube begins.
    whole = expected(path)
    assert (whole["s1"][0] == -32768).all() and (whole["s1"][1:] != -32768).any()
    box = Box(3, 5, 17, 29)
    found = Reader(tmp_path).read(box)
    for sensor, values in whole.items():
        assert found[sensor].dtype == np.int16
        np.testing.assert_array_equal(found[sensor], values[:, 3:17, 5:29])


@pytest.mark.parametrize("limit", [0, 2**20])
def test_a_box_across_cubes_is_put_together(tmp_path, limit):
    whole = making.make_cube("whole", (20, 30), fields=False)
    path = cube_io.write_cube(whole, tmp_path / "whole")
    cuts = (slice(0, 9), slice(9, 20)), (slice(0, 11), slice(11, 30))
    parts = [
        small_maps.piece(whole, f"r{i}c{j}", rows, cols)
        for i, rows in enumerate(cuts[0])
        for j, cols in enumerate(cuts[1])
    ]
    # One of the four is not there.
    small_maps.write(tmp_path / "parts", *parts[:3])
    found = Reader(tmp_path / "parts", limit=limit)
    box = Box(2, 3, 19, 28)
    for _ in range(2):
        found.expect(box)
    for _ in range(2):
        again = found.read(box)
        for sensor, values in expected(path).items():
            values[:, 9:, 11:] = -32768
            np.testing.assert_array_equal(again[sensor], values[:, 2:19, 3:28])


class Counting:
    """A source that counts the pixels it gives away."""

    def __init__(self, source):
        self._source, self.read_pixels = source, 0

    def read(self, cube_id, indices, box, sensors):
        self.read_pixels += box.shape[0] * box.shape[1]
        return self._source.read(cube_id, indices, box, sensors)


def test_what_nobody_will_look_at_again_is_not_read(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", (128, 256), missing=False), tmp_path)
    (group,) = join([cube_io.read_info(path)], 2, DATE, 16)
    source = Counting(RasterSource({"a": path}))
    reader = pixels.PixelReader(source, SENTINEL[:1], 2**30)
    box = Box(10, 100, 40, 140)
    reader.expect(group, box)
    assert list(reader.read(group, box)) == ["s1"]
    assert source.read_pixels == 30 * 40 and reader.size == 0
    # What two boxes share of a part is reason enough to read all of the part, once.
    for _ in range(2):
        reader.expect(group, box)
    for _ in range(2):
        reader.read(group, box)
    assert source.read_pixels == 30 * 40 + 128 * 256 and reader.size == 0


def test_a_cube_that_begins_later_has_no_early_periods(tmp_path):
    late = month_periods(dt.date(2022, 2, 1), dt.date(2022, 8, 1))
    cube_io.write_cube(making.make_cube("a", 16, late, missing=False), tmp_path)
    found = Reader(tmp_path, num_periods=3).read(Box(0, 0, 16, 16))
    for values in found.values():
        assert (values[:2] == -32768).all() and (values[2] != -32768).all()


def test_damage_names_the_file(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path)
    box = Box(0, 0, 16, 16)
    stack = path / "s2.tif"
    whole = stack.read_bytes()
    stack.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{stack}: damaged or not a GeoTIFF"):
        Reader(tmp_path).read(box)
    stack.unlink()
    with pytest.raises(ValueError, match=f"{stack}: expected the cube's s2, found no file"):
        Reader(tmp_path).read(box)


@pytest.mark.parametrize("kind", ["vrt", "png"])
def test_what_is_only_called_a_geotiff_is_refused(tmp_path, kind):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path / "cubes")
    stack, elsewhere = path / "s2.tif", tmp_path / "elsewhere.tif"
    stack.rename(elsewhere)
    if kind == "vrt":
        with rasterio.open(elsewhere) as raster, WarpedVRT(raster) as other:
            rasterio.shutil.copy(other, stack, driver="VRT")
    else:
        matplotlib.image.imsave(stack, np.zeros((16, 16)), format="png")
    with pytest.raises(ValueError, match=r"s2\.tif: damaged or not a GeoTIFF"):
        Reader(tmp_path / "cubes").read(Box(0, 0, 16, 16))


def test_a_sidecar_changes_nothing(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path)
    box = Box(0, 0, 16, 16)
    before = Reader(tmp_path).read(box)
    band = '<PAMRasterBand band="{}"><NoDataValue>{}</NoDataValue></PAMRasterBand>'
    text = "".join(band.format(i, 1) for i in range(1, 91))
    (path / "s2.tif.aux.xml").write_text(f"<PAMDataset><SRS>EPSG:32640</SRS>{text}</PAMDataset>")
    after = Reader(tmp_path).read(box)
    for sensor, values in before.items():
        np.testing.assert_array_equal(after[sensor], values)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"size": 32}, "shape"),
        ({"tile": (401, 3000)}, "transform"),
        ({"periods": month_periods(dt.date(2020, 12, 1), dt.date(2021, 8, 1))}, "bands"),
    ],
)
def test_a_raster_of_another_cube_is_noticed(tmp_path, other, what):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path / "cubes")
    strange = cube_io.write_cube(making.make_cube("b", **({"size": 16} | other)), tmp_path)
    shutil.copy(strange / "s1.tif", path / "s1.tif")
    with pytest.raises(ValueError, match=f"{path / 's1.tif'}: expected {what} .*, found"):
        Reader(tmp_path / "cubes").read(Box(0, 0, 16, 16))


def test_a_raster_in_another_crs_is_noticed(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path)
    with rasterio.open(path / "s1.tif", "r+") as raster:
        raster.crs = "EPSG:32640"
    with pytest.raises(ValueError, match="expected CRS EPSG:32639, found EPSG:32640"):
        Reader(tmp_path).read(Box(0, 0, 16, 16))


def test_another_value_for_no_data_is_noticed(tmp_path):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path)
    box = Box(0, 0, 16, 16)
    with rasterio.open(path / "s1.tif", "r+") as raster:
        raster.nodata = None
    assert (Reader(tmp_path).read(box)["s1"][0, :2, :2] == -32768).all()
    # Its pixels of -1 would be taken for values.
    with rasterio.open(path / "s1.tif", "r+") as raster:
        raster.nodata = -1
    for read in (lambda: Reader(tmp_path).read(box), lambda: cube_io.read_cube(path)):
        with pytest.raises(ValueError, match=r"s1.tif: expected nodata -32768, found -1.0$"):
            read()
