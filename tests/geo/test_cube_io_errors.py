"""Every fault of a cube's folder is told by file, what was found and what was expected."""

import dataclasses
import hashlib
import json
import os
import shutil

import making
import numpy as np
import pytest
import rasterio

from cropmap_jax.geo import cube_io, cube_reader
from cropmap_jax.geo.periods import Period

ASSETS = ["s1", "s2", "label", "fields", "clear"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    made = making.make_cube("a", size=(20, 30), clear=True)
    return cube_io.write_cube(made, tmp_path_factory.mktemp("cubes"))


@pytest.fixture
def path(original, tmp_path):
    """A cube to be damaged."""
    return shutil.copytree(original, tmp_path / "a")


def rewrite(file, pixels=None, **changes) -> None:
    """Writes a raster again with another profile; its band names go with it where they fit."""
    with rasterio.open(file) as raster:
        pixels = raster.read() if pixels is None else pixels
        profile, names = raster.profile, raster.descriptions
    profile |= {"dtype": pixels.dtype.name, "count": len(pixels)} | changes
    profile |= {"height": pixels.shape[1], "width": pixels.shape[2]}
    file.unlink()
    with rasterio.open(file, "w", **profile) as raster:
        raster.write(pixels)
        raster.descriptions = names[: len(pixels)]


def pixels_of(file) -> np.ndarray:
    with rasterio.open(file) as raster:
        return raster.read()


@pytest.mark.parametrize("asset", ASSETS)
def test_missing_raster(path, asset):
    (path / f"{asset}.tif").unlink()
    for verify in (False, True):
        with pytest.raises(
            ValueError, match=rf"a/{asset}\.tif: expected the cube's {asset}, .* no"
        ):
            cube_io.read_cube(path, verify)


@pytest.mark.parametrize("asset", ASSETS)
def test_one_flipped_bit_is_found_by_its_checksum(path, asset):
    file = path / f"{asset}.tif"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    message = rf"a/{asset}\.tif: damaged: expected checksum 1220[0-9a-f]{{64}}, found 1220[0-9a-f]+"
    with pytest.raises(ValueError, match=message):
        cube_io.read_cube(path, verify=True)


def test_a_raster_without_checksum_does_not_pass(path):
    edit(path, lambda item: item["assets"].pop("s1"))
    with pytest.raises(
        ValueError, match=r"item\.json: expected property 's1', found none in asset"
    ):
        cube_io.read_cube(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("asset", ASSETS)
def test_no_truncated_raster_gives_other_pixels(path, asset):
    file = path / f"{asset}.tif"
    whole, pixels, refused = file.read_bytes(), getattr(cube_io.read_raw(path), asset), 0
    lengths = [*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1]
    for length in lengths:
        file.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(getattr(cube_io.read_raw(path), asset), pixels)
        except ValueError as error:
            assert f"a/{asset}.tif: " in str(error)
            refused += 1
    # At the end of label.tif lies a description that nothing hangs on.
    assert refused > 0.9 * len(lengths) if asset == "label" else refused == len(lengths)


def test_no_geotiff_at_all(path):
    (path / "label.tif").write_text("hello")
    with pytest.raises(ValueError, match=r"a/label\.tif: damaged or not a GeoTIFF \(.*label"):
        cube_io.read_cube(path)


@pytest.mark.parametrize("asset", ASSETS)
def test_wrong_crs_and_place(path, asset):
    file = path / f"{asset}.tif"
    rewrite(file, crs="EPSG:32640")
    message = rf"a/{asset}\.tif: expected CRS EPSG:32639, found EPSG:32640"
    with pytest.raises(ValueError, match=message):
        cube_io.read_cube(path)
    rewrite(file, crs=None)
    with pytest.raises(ValueError, match=rf"{asset}\.tif: expected CRS EPSG:32639, found none"):
        cube_io.read_cube(path)
    moved = rasterio.Affine(10, 0, 512010, 0, -10, 3841280)
    rewrite(file, crs="EPSG:32639", transform=moved)
    message = rf"{asset}\.tif: expected transform .*512000.0.*, found .*512010.0"
    with pytest.raises(ValueError, match=message):
        cube_io.read_cube(path)


@pytest.mark.parametrize("asset", ASSETS)
def test_wrong_shape(path, asset):
    file = path / f"{asset}.tif"
    rewrite(file, pixels_of(file)[:, :19])
    message = rf"a/{asset}\.tif: expected shape \(\d+, 20, 30\), found \(\d+, 19, 30\)"
    with pytest.raises(ValueError, match=message):
        cube_io.read_cube(path)


def test_wrong_number_of_bands(path):
    rewrite(path / "s2.tif", pixels_of(path / "s2.tif")[:80])
    # Nine months of ten bands; eight of them are there.
    with pytest.raises(ValueError, match=r"s2\.tif: expected shape \(90, .* found \(80, "):
        cube_io.read_cube(path)


@pytest.mark.parametrize(
    ("asset", "found"),
    [
        ("s1", "uint16"),
        ("s2", "float32"),
        ("label", "int16"),
        ("fields", "uint8"),
        ("clear", "int8"),
    ],
)
def test_wrong_dtype(path, asset, found):
    file = path / f"{asset}.tif"
    expected = {"s1": "int16", "s2": "int16", "label": "uint8", "fields": "uint32"}
    expected = expected.get(asset, "uint8")
    rewrite(file, np.zeros_like(pixels_of(file), found), nodata=0)
    with pytest.raises(
        ValueError, match=rf"{asset}\.tif: expected dtype {expected}, found {found}"
    ):
        cube_io.read_cube(path)


def test_wrong_band_names(path):
    file = path / "s2.tif"
    with rasterio.open(file, "r+") as raster:
        raster.set_band_description(12, "2022-01-01/B4")
    # Band 12 is the second of the second month.
    message = r"s2\.tif: expected band 12 to be named '2022-01-01/B3', found '2022-01-01/B4'"
    with pytest.raises(ValueError, match=message):
        cube_io.read_cube(path)


def test_swapped_periods(path):
    """The right names in the wrong order are wrong too."""
    file = path / "s1.tif"
    with rasterio.open(file, "r+") as raster:
        names = raster.descriptions
        raster.descriptions = (*names[2:4], *names[:2], *names[4:])
    with pytest.raises(ValueError, match=r"band 1 to be named '2021-12-01/VV', found '2022-01"):
        cube_io.read_cube(path)


def test_label_outside_the_legend(path):
    label = pixels_of(path / "label.tif")
    label[0, 3, 4] = 3
    rewrite(path / "label.tif", label)
    with pytest.raises(ValueError, match=r"a/label\.tif: found label 3; .*'making' holds 0\.\.2"):
        cube_io.read_cube(path)


def vrt_of(file) -> str:
    """GDAL's own way to refer to another file, under any name."""
    with rasterio.open(file) as raster:
        size = f'rasterXSize="{raster.width}" rasterYSize="{raster.height}"'
        bands = "".join(
            f'<VRTRasterBand dataType="{raster.dtypes[0].title()}" band="{i}"><SimpleSource>'
            f"<SourceFilename>{file}</SourceFilename><SourceBand>{i}</SourceBand></SimpleSource>"
            f"</VRTRasterBand>"
            for i in raster.indexes
        )
    return f"<VRTDataset {size}>{bands}</VRTDataset>"


@pytest.mark.parametrize("asset", ASSETS)
@pytest.mark.parametrize("kind", ["vrt", "png"])
def test_another_format_with_the_right_checksum_is_refused(original, path, asset, kind):
    file = path / f"{asset}.tif"
    if kind == "vrt":
        file.write_text(vrt_of(original / f"{asset}.tif"))
    else:
        with rasterio.open(file, "w", driver="PNG", width=8, height=8, count=1, dtype="uint8") as p:
            p.write(np.zeros((1, 8, 8), np.uint8))
    checksum = "1220" + hashlib.sha256(file.read_bytes()).hexdigest()
    edit(path, lambda item: item["assets"][asset].update({"file:checksum": checksum}))
    for verify in (False, True):
        message = rf"a/{asset}\.tif: damaged or not a GeoTIFF \(.*{asset}\.tif"
        with pytest.raises(ValueError, match=message):
            cube_io.read_cube(path, verify)


@pytest.mark.parametrize("limit", [1, 1 << 26], ids=["read twice", "in memory"])
def test_what_is_read_has_the_checksum(path, monkeypatch, limit):
    monkeypatch.setattr(cube_reader, "_IN_MEMORY", limit)
    expected = cube_io.read_raw(path)
    with cube_io.open_cube(path, verify=True) as opened:
        part = opened.read(slice(3, 17), slice(5, 30))
    np.testing.assert_array_equal(part.s2, expected.s2[:, 3:17, 5:30])
    np.testing.assert_array_equal(part.fields, expected.fields[3:17, 5:30])
    np.testing.assert_array_equal(part.clear, expected.clear[:, 3:17, 5:30])
    with pytest.raises(ValueError, match=r"s1\.tif: changed while it was read"):
        with cube_io.open_cube(path, verify=True) as opened:
            opened.read()
            os.utime(path / "s1.tif", (0, 0))
    flipped = bytearray((path / "s1.tif").read_bytes())
    flipped[-1] ^= 1
    (path / "s1.tif").write_bytes(flipped)
    with pytest.raises(ValueError, match=r"s1\.tif: damaged: expected checksum"):
        cube_io.read_raw(path, verify=True)


def test_a_cube_larger_than_memory_is_said(path, monkeypatch):
    def read(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(cube_reader.CubeReader, "_read", read)
    with pytest.raises(
        ValueError, match=r"a: expected a cube that fits into memory, found 0\.0 GB"
    ):
        cube_io.read_raw(path)


def test_missing_folders_and_items(path, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: expected a folder of cubes, found none"):
        cube_io.list_cubes(tmp_path / "nowhere")
    (tmp_path / "empty" / "no_cube").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"empty: expected cubes \(folders with item\.json\)"):
        cube_io.list_cubes(tmp_path / "empty")
    (path / "item.json").unlink()
    for read in (cube_io.read_info, cube_io.read_raw, cube_io.read_cube):
        with pytest.raises(ValueError, match=r"a/item\.json: expected a cube's STAC item, .* no f"):
            read(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "an empty file"),
        (b" ", r"no JSON \(Expecting value"),
        (b"{", r"no JSON \("),
        (b"[]", ""),
        (b"null", ""),
        (b'{"id": "a"', r"no JSON \("),
        (b"\xff\xfe", ""),
        (b"7", ""),
    ],
)
def test_broken_json(path, text, found):
    (path / "item.json").write_bytes(text)
    with pytest.raises(
        ValueError, match=rf"a/item\.json: expected a cube's STAC item, found {found}"
    ):
        cube_io.read_info(path)


def test_folders_without_an_item_are_counted(path):
    root = path.parent
    assert cube_io.note_without_item(root) == []
    (path / "item.json").unlink()
    (root / ".b").mkdir()
    (root / ".b" / "s1.tif").touch()  # an unfinished write
    (root / "report").mkdir()
    (root / "report" / "map.png").touch()
    assert cube_io.note_without_item(root) == ["1 folder (a) without item.json: no cubes, left out"]
    (root / "c").mkdir()
    (root / "c" / "s1.tif").touch()
    assert cube_io.note_without_item(root)[0].startswith("2 folders (a, ...) without item.json")


def edit(path, change) -> None:
    file = path / "item.json"
    item = json.loads(file.read_text("utf-8"))
    change(item)
    file.write_text(json.dumps(item), "utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "cropmap:periods", "cropmap:legend", "cropmap:block", "cropmap:split", "cropmap:season",
        "cropmap:harvest", "cropmap:source", "proj:shape", "proj:transform",
    ],
)  # fmt: skip
def test_missing_property(path, name):
    edit(path, lambda item: item["properties"].pop(name))
    with pytest.raises(ValueError, match=rf"a/item\.json: expected property '{name}', found none"):
        cube_io.read_info(path)


@pytest.mark.parametrize("name", ["id", "properties", "assets"])
def test_missing_part(path, name):
    edit(path, lambda item: item.pop(name))
    with pytest.raises(ValueError, match=rf"a/item\.json: expected property '{name}', found none"):
        cube_io.read_info(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("proj:code", "EPSG:99999", "expected proj:code or proj:wkt2, found .*EPSG:99999"),
        ("proj:shape", [20], ""),
        ("proj:shape", ["a", "b"], "'a'"),
        ("proj:transform", [10, 0], ""),
        ("cropmap:periods", [], r"/cropmap:periods: expected 1 to 5000 periods .*, found \[\]"),
        ("cropmap:periods", [["2022-01-01"]], ""),
        ("cropmap:periods", [["2022-01-01", "soon"]], "expected a date like .*found 'soon'"),
        ("cropmap:periods", [["2022-02-01", "2022-01-01"]], "end after 2022-02-01, found 2022-01"),
        (
            "cropmap:periods",
            [["2022-01-01", "2022-02-01"], ["2022-03-01", "2022-04-01"]],
            r"contiguous periods, found 2022-01-01\.\.2022-02-01 followed by 2022-03-01",
        ),
        (
            "cropmap:harvest",
            {"maize": [{}]},
            "'harvest_start', found none in .*/maize/0",
        ),
        ("cropmap:harvest", {"maize": ["July"]}, ""),
        ("cropmap:harvest", [], ""),
        ("cropmap:none_of_these", [11], "code 11 is a class and none of these"),
    ],
)
def test_wrong_property(path, name, value, message):
    edit(path, lambda item: item["properties"].__setitem__(name, value))
    with pytest.raises(ValueError, match=rf"a/item\.json: .*{message}"):
        cube_io.read_info(path)
    # The file is named once.
    with pytest.raises(ValueError, match=r"^(?!.*item\.json.*item\.json)"):
        cube_io.read_info(path)


def test_id_is_the_name_of_the_folder(path):
    moved = path.rename(path.with_name("b"))
    message = r"b/item\.json: expected id 'b' \(the folder's name\), found 'a'"
    with pytest.raises(ValueError, match=message):
        cube_io.read_info(moved)


def test_item_that_tells_another_story_than_its_rasters(path):
    def drop_a_month(item):
        item["properties"]["cropmap:periods"].pop(0)

    edit(path, drop_a_month)
    with pytest.raises(ValueError, match=r"s1\.tif: expected shape \(16, .* found \(18, "):
        cube_io.read_cube(path)


def test_nothing_is_written_of_an_inconsistent_cube(tmp_path):
    made = making.make_cube("a", size=16)
    gap = (made.info.periods[0], *made.info.periods[2:])
    wrong = dataclasses.replace(made, info=dataclasses.replace(made.info, periods=gap))
    with pytest.raises(ValueError, match="cube a: expected contiguous periods"):
        cube_io.write_cube(wrong, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("source", [{"path": object()}, {"mean": float("nan")}])
def test_a_source_that_json_cannot_hold(tmp_path, source):
    made = making.make_cube("a", size=16)
    wrong = dataclasses.replace(made, info=dataclasses.replace(made.info, source=source))
    with pytest.raises(ValueError, match="cube a: expected a source that JSON can hold, found"):
        cube_io.write_cube(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_path_in_the_way(tmp_path):
    (tmp_path / "cubes").write_text("a file")
    with pytest.raises(OSError, match="cubes"):
        cube_io.write_cube(making.make_cube("a", size=16), tmp_path / "cubes")
    assert (tmp_path / "cubes").read_text() == "a file"


def test_periods_come_back_as_periods(original):
    info = cube_io.read_info(original)
    assert all(isinstance(p, Period) for p in info.periods)
    assert info.periods == making.PERIODS
