"""Products as they are downloaded, without a catalogue."""

import datetime as dt
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from small_catalogue import local_config

from cropmap_jax.geo import grid
from cropmap_jax.sources.stac import catalogues, config, items, scenes
from cropmap_jax.sources.stac.access import Access
from cropmap_jax.sources.stac.errors import Gone
from cropmap_jax.sources.stac.reading import Reader

TILE = grid.tile_geobox(32639, 192, 2776)
OLD = "S2A_MSIL2A_20220304T072641_N0400_R049_T39SUT_20220304T103800.SAFE"
NEW = "S2A_MSIL2A_20220304T072641_N0510_R049_T39SUT_20240501T000000.SAFE"
EARLY = "S2B_MSIL2A_20211204T072641_N0301_R049_T39SUT_20211204T103800.SAFE"
XML = """<n1:Level-2A_User_Product xmlns:n1="x"><General_Info>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
<BOA_ADD_OFFSET_VALUES_LIST><BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET>
<BOA_ADD_OFFSET band_id="8">-900</BOA_ADD_OFFSET></BOA_ADD_OFFSET_VALUES_LIST>
</General_Info></n1:Level-2A_User_Product>"""


def write(file, array, size):
    file.parent.mkdir(parents=True, exist_ok=True)
    affine = Affine(size, 0, TILE.affine.c, 0, -size, TILE.affine.f)
    with rasterio.open(
        file, "w", driver="JP2OpenJPEG", dtype=array.dtype, count=1, height=array.shape[0],
        width=array.shape[1], crs="EPSG:32639", transform=affine, QUALITY="100", REVERSIBLE="YES",
    ) as raster:  # fmt: skip
        raster.write(array, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("products")
    for k, (place, name) in enumerate((("", OLD), ("2024", NEW), ("", EARLY))):
        images = root / place / name / "GRANULE" / "L2A_T39SUT_A034980" / "IMG_DATA"
        blue = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128) % 4000 + 1000 + k
        write(images / "R10m" / "T39SUT_20220304T072641_B02_10m.jp2", blue, 10)
        # The same band at 20 m, which is not the one that is asked for.
        write(images / "R20m" / "T39SUT_20220304T072641_B02_20m.jp2", blue[::2, ::2], 20)
        write(images / "R20m" / "T39SUT_20220304T072641_B8A_20m.jp2", blue[::2, ::2] + 7, 20)
        scl = np.full((64, 64), 4, np.uint8)
        write(images / "R20m" / "T39SUT_20220304T072641_SCL_20m.jp2", scl, 20)
        (root / place / name / "DATASTRIP" / "DS_2APS_x_S20220304T072958").mkdir(parents=True)
    (root / OLD / "MTD_MSIL2A.xml").write_text(XML)
    (root / "S1A_IW_GRDH_x.SAFE").mkdir()
    return root


def options(folder):
    value = local_config("", folder, "safe")
    del value["s1"], value["label"]
    table = {k: tuple(v) if isinstance(v, list) else v for k, v in value["s2"].items()}
    return config.options_lib.S2Options(**table | {"catalogue": str(folder)})


def found_in(folder):
    own = options(folder)
    finder = catalogues.open_catalogue(own, Access(own), lambda i: items.optical(i, own), 100)
    west, south, east, north = TILE.extent.to_crs("EPSG:4326").boundingbox
    return finder.find((west, south, east, north), dt.date(2021, 12, 1), dt.date(2022, 4, 1))


def test_products_are_found_and_the_newest_counts(folder):
    found, replaced = scenes.newest(found_in(folder))
    assert [f"{s.scene_id}.SAFE" for s in found] == [EARLY, NEW] and replaced == 1
    assert {s.crs for s in found} == {"EPSG:32639"}
    assert found[1].time == dt.datetime(2022, 3, 4, 7, 26, 41, tzinfo=dt.UTC)


def test_offsets_come_from_the_metadata_or_from_the_baseline(folder):
    shifts = {f"{s.scene_id}.SAFE": {b: a.shift for b, a in s.assets.items() if b != "SCL_20m"}
              for s in found_in(folder)}  # fmt: skip
    assert shifts == {
        OLD: {"B2": -1000.0, "B8A": -900.0},
        NEW: {"B2": -1000.0, "B8A": -1000.0},
        EARLY: {"B2": 0.0, "B8A": 0.0},
    }


def test_pixels_are_the_files(folder):
    (old,) = [s for s in found_in(folder) if f"{s.scene_id}.SAFE" == OLD]
    out = Reader(Access(options(folder)), 2).read([old], ["B2", "B8A", "SCL_20m"], TILE)
    blue = np.arange(128 * 128).reshape(128, 128) % 4000 + 1000
    np.testing.assert_array_equal(out["B2"][0], blue)
    np.testing.assert_array_equal(out["B8A"][0], np.kron(blue[::2, ::2] + 7, np.ones((2, 2))))
    assert (out["SCL_20m"] == 4).all()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_read_as_it_is(folder, tmp_path, method):
    place = tmp_path / "with spaces {and} braces"
    place.mkdir()
    for name, inside in ((f"{OLD}.zip", OLD), (f"{EARLY.removesuffix('.SAFE')}.zip", EARLY)):
        with zipfile.ZipFile(place / name, "w", method) as archive:
            for file in sorted((folder / inside).rglob("*")):
                archive.write(file, f"{inside}/{file.relative_to(folder / inside).as_posix()}")
    (place / f"{NEW}.zip").mkdir()  # a folder by that name is no product
    unpacked = {s.scene_id: s for s in found_in(folder)}
    found = found_in(place)
    assert [f"{s.scene_id}.SAFE" for s in found] == [OLD, EARLY]
    reader = Reader(Access(options(place)), 2)
    for scene in found:
        other = unpacked[scene.scene_id]
        assert (scene.copy, scene.rank, scene.crs) == (other.copy, other.rank, other.crs)
        bands = sorted(scene.assets)
        assert all(scene.assets[b].shift == other.assets[b].shift for b in bands)
        a, b = (reader.read([one], bands, TILE) for one in (scene, other))
        assert len(bands) == 3 and all(np.array_equal(a[x], b[x]) for x in bands)
    (place / f"{EARLY.removesuffix('.SAFE')}.zip").rename(tmp_path / "gone")
    with pytest.raises(Gone, match=EARLY.removesuffix(".SAFE")):
        Reader(Access(options(place)), 2).read(found[1:], ["B2"], TILE.pad(1))
    (tmp_path / "gone").rename(place / f"{EARLY}.zip")
    # Unpacked as well: the folder counts, once.
    (place / OLD).symlink_to(folder / OLD)
    assert [s.assets["B2"].href.startswith("/vsizip/") for s in found_in(place)] == [False, True]


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / f"{OLD}.zip").write_bytes(b"PK no archive")
    with pytest.raises(
        ValueError, match="SAFE.zip: expected an archive of a product, found one th"
    ):
        found_in(tmp_path)
    with zipfile.ZipFile(tmp_path / f"{OLD}.zip", "w") as archive:
        archive.writestr(f"{OLD}/MTD_MSIL2A.xml", XML)
    with pytest.raises(ValueError, match="expected images in GRANULE/./IMG_DATA, found none"):
        found_in(tmp_path)


def test_what_is_wrong_is_one_line(folder, tmp_path):
    (tmp_path / EARLY).mkdir()
    with pytest.raises(ValueError, match="expected images in GRANULE/./IMG_DATA, found none"):
        found_in(tmp_path)
    (tmp_path / EARLY).rmdir()
    with pytest.raises(ValueError, match="config.catalogue: expected the address of a STAC"):
        found_in(tmp_path)
    images = tmp_path / OLD / "GRANULE" / "x" / "IMG_DATA" / "R10m"
    write(images / "T_B02_10m.jp2", np.ones((128, 128), np.uint16), 10)
    (tmp_path / OLD / "MTD_MSIL2A.xml").write_text("<a><b>")
    with pytest.raises(ValueError, match="MTD_MSIL2A.xml: expected BOA_QUANT.*cannot be read"):
        found_in(tmp_path)
    (images / "T_B02_10m.jp2").write_bytes(b"no image")
    with pytest.raises(ValueError, match="T_B02_10m.jp2: expected an image with a CRS"):
        found_in(tmp_path)


def test_it_holds_one_collection(folder):
    own = config.options_lib.S2Options(str(folder), "sentinel-2", assets={"B2": "B02_10m"})
    with pytest.raises(ValueError, match="expected a collection of sentinel-2-l2a, found 'sentin"):
        catalogues.open_catalogue(own, Access(own), lambda i: None, 100)
