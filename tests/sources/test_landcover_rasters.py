"""A land-cover raster in any CRS and resolution on a cube's grid: each pixel has its own code."""

import json

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.landcover import WORLDCOVER, LandCover
from cropmap_jax.sources import landcover_rasters
from cropmap_jax.sources.ingest import run
from cropmap_jax.sources.ingest.options import Options
from tests.sources import own_stack

BOX = GeoBox((20, 30), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32638")
CODES = np.array([*WORLDCOVER.codes, 0], np.uint8)


def write(file, codes, affine=BOX.affine, crs="EPSG:32638", **more):
    return own_stack.write_tif(
        file, codes[None] if codes.ndim == 2 else codes, None, crs, affine, **more
    )


def test_on_the_same_grid_nothing_is_shifted(tmp_path):
    codes = np.random.default_rng(0).choice(CODES, (26, 40))
    affine = BOX.affine @ Affine.translation(-7, -3)
    file = write(tmp_path / "a.tif", codes, affine)
    found = landcover_rasters.read(file, BOX, WORLDCOVER)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, codes[3:23, 7:37])


@pytest.mark.parametrize("size", [5, 20, 8])
def test_another_resolution_is_read_where_the_middle_of_a_pixel_lies(tmp_path, size):
    # Odd multiples of 5 m are middles; no edge of a raster pixel of 20 or 8 m from there is.
    codes = np.random.default_rng(1).choice(CODES, (400 // size, 400 // size))
    affine = Affine(size, 0, 499_960, 0, -size, 4_000_040)
    found = landcover_rasters.read(write(tmp_path / "a.tif", codes, affine), BOX, WORLDCOVER)
    rows = [(45 + 10 * i) // size for i in range(20)]
    cols = [(45 + 10 * i) // size for i in range(30)]
    np.testing.assert_array_equal(found, codes[np.ix_(rows, cols)])


def test_another_crs_is_read_pixel_by_pixel(tmp_path):
    # WorldCover's own: 1 / 12,000 degree.
    step = 1 / 12_000
    affine = Affine(step, 0, 44.99, 0, -step, 36.16)
    codes = np.random.default_rng(2).choice(CODES, (300, 300))
    file = write(tmp_path / "a.tif", codes, affine, "EPSG:4326")
    found = landcover_rasters.read(file, BOX, WORLDCOVER)
    to_degrees = pyproj.Transformer.from_crs("EPSG:32638", "EPSG:4326", always_xy=True)
    for row, col in ((0, 0), (19, 29), (7, 12), (12, 3)):
        lon, lat = to_degrees.transform(500_005 + 10 * col, 3_999_995 - 10 * row)
        there = codes[int((36.16 - lat) / step), int((lon - 44.99) / step)]
        assert found[row, col] == there


def test_no_data_is_no_code(tmp_path):
    codes = np.full((20, 30), 40, np.int16)
    codes[2, 3] = -1
    found = landcover_rasters.read(write(tmp_path / "a.tif", codes, nodata=-1), BOX, WORLDCOVER)
    assert found[2, 3] == 0 and (found == 40).sum() == 599


def refused(message, file, box=BOX, table=WORLDCOVER):
    with pytest.raises(ValueError) as error:
        landcover_rasters.read(file, box, table)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(file))


def test_a_raster_that_will_not_do_is_named(tmp_path):
    codes, file = np.full((20, 30), 40, np.uint8), tmp_path / "a.tif"
    refused("expected one band of integers, found 2 of uint8", write(file, np.stack([codes] * 2)))
    refused("expected one band of integers, found 1 of float32", write(file, codes.astype("f4")))
    refused("expected a CRS such as EPSG:4326, found none", write(file, codes, crs=None))
    short = "expected a raster that covers the cubes, found 30 of 600 pixels"
    refused(short, write(file, codes[:19]))
    refused("found 600 of 600 pixels", write(file, codes, crs="EPSG:32639"))
    refused("found code 41, which land cover 'worldcover' does not hold", write(file, codes + 1))
    other = LandCover("mine", ((1, "town", "#000000"),), (1,))
    refused("found code 40, which land cover 'mine' does not hold", write(file, codes), table=other)
    (tmp_path / "b.tif").write_text("no raster")
    refused("", tmp_path / "b.tif")


# With `ingest`


def ingest(folder, tmp_path, **flags):
    options = Options(str(folder), str(tmp_path / "cubes"), **own_stack.EXTRA, **flags)
    text = run.ingest(options)
    infos = cube_io.list_cubes(tmp_path / "cubes")
    return {i.cube_id: cube_io.read_cube(i.path, verify=True) for i in infos}, text


def own_cover(tmp_path, value=50):
    codes = np.full((own_stack.H, own_stack.W), value, np.uint8)
    codes[:, 7:] = 40
    return write(tmp_path / "cover.tif", codes, Affine(*own_stack.AFFINE), own_stack.CRS)


def test_ingest_cuts_it_into_cubes_and_resumes(tmp_path):
    stack, file = own_stack.write_npz(tmp_path), own_cover(tmp_path)
    flags = {"split": "columns:train=0-6,test=7-14", "fields": "none", "landcover": str(file)}
    found, _ = ingest(stack, tmp_path, **flags)
    assert {name: set(np.unique(c.landcover)) for name, c in found.items()} == {
        "stack-train-0": {50}, "stack-test-0": {40},
    }  # fmt: skip
    for one in found.values():
        assert one.info.landcover == WORLDCOVER
        assert one.info.source["options"]["landcover"] == "cover.tif"
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cubes").rglob("*.tif")}
    _, text = ingest(stack, tmp_path, **flags)
    assert "already there" in text
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "cubes").rglob("*.tif")}
    own_cover(tmp_path, 80)
    with pytest.raises(ValueError, match="landcover_sha256 was"):
        ingest(stack, tmp_path, **flags)


def test_a_field_that_another_split_has_is_not_the_maps(tmp_path):
    # Maize lies in columns 2 to 6: cut at 5, its smaller part is unknown, and not a village.
    stack, file = own_stack.write_npz(tmp_path), own_cover(tmp_path)
    found, _ = ingest(
        stack, tmp_path, split="columns:train=0-4,test=5-14", landcover=str(file),
        fields="components",
    )  # fmt: skip
    assert set(np.unique(found["stack-test-0"].landcover[1:11, :2])) == {0}
    assert set(np.unique(found["stack-train-0"].landcover)) == {50}


def test_without_it_a_cube_is_as_before(tmp_path):
    found, _ = ingest(own_stack.write_npz(tmp_path), tmp_path)
    assert found["stack"].landcover is None
    item = json.loads((tmp_path / "cubes" / "stack" / "item.json").read_text())
    assert "landcover" not in json.dumps(item)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"landcover": "absent.tif"}, "absent.tif"),
        ({"landcover_table": "mine.json"}, "--landcover_table: expected --landcover with it"),
    ],
)
def test_flags_that_will_not_do_write_nothing(tmp_path, flags, message):
    with pytest.raises(ValueError) as error:
        ingest(own_stack.write_npz(tmp_path), tmp_path, **flags)
    assert message in str(error.value) and not (tmp_path / "cubes").exists()


def test_an_unknown_table_is_named(tmp_path):
    file = own_cover(tmp_path)
    with pytest.raises(ValueError, match="^--landcover_table globcover: found neither a file nor"):
        ingest(
            own_stack.write_npz(tmp_path),
            tmp_path,
            landcover=str(file),
            landcover_table="globcover",
        )
