"""Maps with parcels, a mask and smoothing: in one piece or several, resumed, refused."""

import json
import shutil

import geopandas
import making
import numpy as np
import pytest
import shapely
from affine import Affine
from inference.stand_ins import StandIn
from mapping import small_maps
from mapping.small_maps import make_map, read
from mapping.test_masks import write as write_mask

from cropmap_jax.mapping import metadata

WINDOW = 5


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return small_maps.save_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def ground():
    """A row of three tiles, with clouds."""
    return making.make_cube("whole", (128, 384), fields=False)


@pytest.fixture(scope="module")
def three(ground, tmp_path_factory):
    return small_maps.write(tmp_path_factory.mktemp("three"), *small_maps.quarters(ground))


@pytest.fixture(scope="module")
def one(ground, tmp_path_factory):
    whole = small_maps.piece(ground, "w", slice(0, 128), slice(0, 384))
    return small_maps.write(tmp_path_factory.mktemp("one"), whole)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Options: parcels in degrees, of which one crosses the seam and one lies elsewhere; a mask."""
    folder = tmp_path_factory.mktemp("given")
    x, y = small_maps.CORNER
    boxes = [(1100, 300, 1500, 700), (0, 0, 402, 202), (1002, 600, 1098, 800), (9e4, 0, 9.1e4, 900)]
    shapes = [shapely.box(x + a, y - d, x + c, y - b) for a, b, c, d in boxes]
    frame = geopandas.GeoDataFrame({"name": list("abcd")}, geometry=shapes, crs=making.EPSG)
    frame.to_crs(4326).to_file(folder / "mine.gpkg")
    kept = np.ones((128, 384), np.uint8)
    kept[:, 100:110] = 0
    transform = ground_transform()
    write_mask(folder / "mask.tif", kept, transform)
    return {"fields": str(folder / "mine.gpkg"), "mask": str(folder / "mask.tif"), "smooth": WINDOW}


def ground_transform():
    return Affine(10, 0, small_maps.CORNER[0], 0, -10, small_maps.CORNER[1])


def say(examples):
    """Noisy probabilities that follow from the pixels of the last period."""
    last = [e["pixels"]["s1"][-1].astype(np.float32) for e in examples]
    return [np.abs(np.sin(values[..., [0, 1, 0]] * [1, 2, 3])) / 1.1 for values in last]


class Fragile(StandIn):
    """Is interrupted after some batches."""

    def __init__(self, batches, halo=3):
        super().__init__(say, halo=halo, batch_size=1)
        self._left = batches

    def predict(self, examples, group=0):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().predict(examples, group)


@pytest.fixture(scope="module")
def whole(workdir, one, given, tmp_path_factory):
    """The map of the ground in one cube."""
    out = tmp_path_factory.mktemp("map")
    return out, *make_map(workdir, one, out, Fragile(99), **given)


def table(out, name="fields.gpkg"):
    return geopandas.read_file(out / name).sort_values("name", ignore_index=True)


def test_a_parcel_across_cubes_is_what_it_is_in_one(workdir, three, given, whole, tmp_path):
    make_map(workdir, three, tmp_path, Fragile(99), **given)
    mine, other = table(tmp_path), table(whole[0])
    assert mine.equals(other)
    for kind in ("crop", "confidence"):
        a, b = (read(folder / f"{kind}_32639.vrt") for folder in (tmp_path, whole[0]))
        np.testing.assert_array_equal(a, b)


def test_what_is_known_of_the_parcels(whole):
    out, maker, result, _ = whole
    found = table(out)
    assert result.fields == out / "fields.gpkg" and found.crs.to_epsg() == 4326
    inside = np.array([40 * 40, 40 * 20])
    unseen = inside - found.map_pixels[:2]
    np.testing.assert_allclose(found.map_unseen[:2], unseen / inside, atol=1e-4)
    assert found.map_pixels[0] > 0 and found.map_pixels.tolist()[2:] == [0, 0]
    assert found.map_remark.tolist()[2:] == ["masked", "outside the map"]
    assert found.map_crop.isna().tolist() == [False, False, True, True]
    assert set(found.map_crop[:2]) <= {*making.LEGEND.names, "none_of_these"}
    assert (found.map_confidence[:2] <= 1).all()
    np.testing.assert_allclose(found.map_mapped_hectares, found.map_pixels / 100)
    text = (out / "summary.txt").read_text()
    assert "note: --fields: 1 of 4 parcels lie outside of the map" in text
    assert "note: --fields: 1 of 4 parcels are left out by the mask" in text
    assert "overlap" not in text and "pixel centre" not in text


def test_the_mask_is_no_data_and_counts_nowhere(whole):
    out, _, result, _ = whole
    crop, confidence = (read(out / "w" / f"{kind}.tif") for kind in ("crop", "confidence"))
    assert (crop[:, 100:110] == 255).all() and (confidence[:, 100:110] == 255).all()
    described = json.loads((out / "w" / "map.json").read_text())
    assert described["masked"] == {"pixels": 1280, "hectares": 12.8}
    lost = int((np.delete(crop, np.s_[100:110], 1) == 255).sum())
    assert described["area"]["no_data"]["pixels"] == lost
    assert sum(area["pixels"] for area in described["area"].values()) == 128 * 384 - 1280
    assert "Masked" in result.table and "masked,Masked" in (out / "summary.csv").read_text()
    assert described["settings"]["smooth"] == WINDOW
    assert {"mask", "fields"} < described["settings"].keys()


def test_smoothing_removes_noise_and_moves_no_pixel_that_was_not_seen(
    workdir, one, whole, tmp_path
):
    make_map(workdir, one, tmp_path, Fragile(99))
    plain, smoothed = read(tmp_path / "w" / "crop.tif"), read(whole[0] / "w" / "crop.tif")
    smoothed = smoothed.copy()
    off = np.s_[:, 100:110]
    smoothed[off] = plain[off]
    np.testing.assert_array_equal(plain == 255, smoothed == 255)
    changes = [(np.diff(m.astype(int)) != 0).sum() for m in (plain, smoothed)]
    assert changes[1] < changes[0]
    described = metadata.read_metadata(tmp_path / "w")
    assert "masked" not in described and "smooth" not in described["settings"]


def test_an_interrupted_map_resumes_to_the_same_bytes(workdir, three, given, tmp_path):
    make_map(workdir, three, tmp_path / "whole", Fragile(99), **given)
    out = tmp_path / "map"
    with pytest.raises(KeyboardInterrupt):
        make_map(workdir, three, out, Fragile(2), **given)
    done = small_maps.shown(out)
    assert done == ["c00"]
    maker, *_ = make_map(workdir, three, out, Fragile(99), **given)
    assert maker.finished == set(done)
    # Summing up again changes nothing either, and a lost file of sums is made again.
    make_map(workdir, three, out, Fragile(0), **given)
    (out / "c01" / "fields.npz").unlink()
    maker, *_ = make_map(workdir, three, out, Fragile(99), **given)
    assert maker.stale == {"c01"}
    files = [p.relative_to(out) for p in out.rglob("*") if p.is_file() and p.name[0] != "."]
    assert len(files) == 3 * 4 + 8
    for file in files:
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_options_decide_whether_a_map_still_holds(workdir, one, given, whole, tmp_path):
    out = shutil.copytree(whole[0], tmp_path / "map")
    for name, other in (("smooth", 7), ("smooth", 0), ("mask", ""), ("fields", "")):
        with pytest.raises(ValueError, match=f"made with other settings \\({name}: was"):
            make_map(workdir, one, out, Fragile(99), **given | {name: other})
    assert (out / "fields.gpkg").read_bytes() == (whole[0] / "fields.gpkg").read_bytes()
    # Columns of the parcels are no reason to map again: their shapes are the same.
    renamed = geopandas.read_file(given["fields"]).rename(columns={"name": "map_crop"})
    renamed.to_parquet(tmp_path / "other.parquet")
    options = given | {"fields": str(tmp_path / "other.parquet")}
    maker, result, done = make_map(workdir, one, out, Fragile(0), **options)
    assert done == 0 and result.fields == out / "fields.parquet"
    assert not (out / "fields.gpkg").exists()
    assert geopandas.read_parquet(result.fields)["map_crop"].tolist() == list("abcd")
    with pytest.raises(ValueError, match="--fields_layer: expected --fields with it"):
        make_map(workdir, one, out, Fragile(0), fields_layer="a")
    with pytest.raises(ValueError, match="--smooth: expected the side of a window"):
        make_map(workdir, one, out, Fragile(0), smooth=4)
    inside = shutil.copy(given["mask"], out / "mask.tif")
    with pytest.raises(ValueError, match="--out .*holds --mask"):
        make_map(workdir, one, out, Fragile(0), mask=str(inside))
