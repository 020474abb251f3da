"""Composites of hand-made scenes, and pixels that encode where they are."""

import datetime as dt
import math

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.simulator.scene_files import write_cog
from cropmap_jax.sources.stac import compositing
from cropmap_jax.sources.stac.access import Access
from cropmap_jax.sources.stac.options import S1Options, S2Options
from cropmap_jax.sources.stac.reading import Reader
from cropmap_jax.sources.stac.scenes import Asset, Scene, observations

MARCH = Period(dt.date(2022, 3, 1), dt.date(2022, 4, 1))
BOX = grid.tile_geobox(32639, 192, 2776)[:4, :6]
S2 = S2Options("x", "y", assets={"B2": "B02", "B3": "B03"})
VEGETATION, CLOUD = 4, 9


def scene(name, take=None, bands=("B2", "B3", "SCL"), crs="EPSG:32639", shift=0.0, **more):
    assets = {b: Asset(f"{name}/{b}", 1.0, 0.0 if b == "SCL" else shift, math.nan) for b in bands}
    time = dt.datetime(2022, 3, 5, tzinfo=dt.UTC)
    return Scene(name, time, (take or name,), (name,), (), crs, shapely.box(0, 0, 1, 1), assets,
                 **more)  # fmt: skip


def reader(values):
    """A `Read` of {(scene, band): number or [4, 6]}."""

    def read(found, bands, box):
        def one(s, band):
            there = band in s.assets
            return np.broadcast_to(values[s.scene_id, band] if there else np.nan, box.shape)

        return {band: np.stack([one(s, band) for s in found]).astype(np.float32) for band in bands}

    return read


def optical(found, values, options=S2):
    takes = observations(found, "EPSG:32639")
    return compositing.optical(takes, BOX, options, reader(values), MARCH)


def clear(*names):
    return {(name, "SCL"): VEGETATION for name in names}


def test_the_median_of_each_band_by_itself():
    names = ("a", "b", "c")
    values = {(n, b): 1000 * (i + 1) + k for i, n in enumerate(names)
              for k, b in enumerate(("B2", "B3"))}  # fmt: skip
    found = [scene("a"), scene("b", shift=-1000.0), scene("c", bands=("B2", "SCL"))]
    out, counts = optical(found, values | clear(*names))
    assert (out[..., 0] == 1000).all()  # of 1000, 2000 - 1000 and 3000
    assert (out[..., 1] == 1001).all()  # of 1001 and 1001: c lacks it
    assert (out[..., 2:] == -32768).all() and (counts == 3).all()


def test_a_take_is_one_observation_however_it_is_cut():
    left = np.full((4, 6), VEGETATION, float)
    left[:, 3:] = np.nan  # no scene there
    values = {("a", "B2"): 100, ("b", "B2"): 200, ("a", "SCL"): left, ("b", "SCL"): VEGETATION,
              ("z", "B2"): 900, ("z", "SCL"): VEGETATION}  # fmt: skip
    bands = ("B2", "SCL")
    found = [scene("a", "t", bands), scene("b", "t", bands), scene("z", "t", bands, "EPSG:32638")]
    out, counts = optical(found, values)
    assert (out[:, :3, 0] == 100).all() and (out[:, 3:, 0] == 200).all() and (counts == 1).all()
    # A cloud in the scene that counts is not looked through by the copy in another zone.
    cloudy = values | {("a", "SCL"): np.where(np.isnan(left), np.nan, CLOUD)}
    out, counts = optical(found, cloudy)
    assert (out[:, :3, 0] == -32768).all() and (counts[:, :3] == 0).all()
    assert (out[:, 3:, 0] == 200).all()


def test_masked_ground_grows_and_the_edge_of_a_scene_does_not():
    scl = np.full((4, 6), VEGETATION, float)
    scl[1, 1], scl[:, 5] = CLOUD, 0
    values = {("a", "B2"): 100, ("a", "SCL"): scl}
    found = [scene("a", bands=("B2", "SCL"))]

    def padded(found, bands, box):
        out = reader(values)(found, bands, BOX)
        more = (box.shape[0] - 4) // 2
        return {b: np.pad(v, ((0, 0), (more, more), (more, more)), mode="edge")
                for b, v in out.items()}  # fmt: skip

    takes = observations(found, "EPSG:32639")
    options = S2Options("x", "y", assets={"B2": "B02"}, dilate_px=1)
    out, counts = compositing.optical(takes, BOX, options, padded, MARCH)
    expected = np.ones((4, 6), bool)
    expected[1, :3] = expected[0:3, 1] = expected[:, 5] = False
    np.testing.assert_array_equal(counts == 1, expected)
    np.testing.assert_array_equal(out[..., 0] == 100, expected)


def test_without_a_classification_a_scene_does_not_count():
    out, counts = optical([scene("a", bands=("B2",))], {("a", "B2"): 100})
    assert (out == -32768).all() and (counts == 0).all()
    out, counts = compositing.optical([], BOX, S2, reader({}), MARCH)
    assert (out == -32768).all() and (counts == 0).all()


@pytest.mark.parametrize(
    ("mask", "hidden", "clear"),
    [("score", 0.59, 0.6), ("score", -1, 60), ("probability", 0.4, 0.39), ("probability", 100, 0)],
)
def test_a_score_or_a_probability_tells_what_is_clear(mask, hidden, clear):
    numbers = np.full((4, 6), clear, float)
    numbers[0], numbers[1], numbers[2, 0] = hidden, np.nan, hidden
    limit = 0.4 if mask == "probability" else min(60, 0.6 if clear < 1 else 60)
    own = S2Options("x", "y", assets={"B2": "B02"}, mask=mask, mask_asset="cs", clear=limit)
    # Of an asset for which nothing is known a take's other scene counts.
    bands = ("B2", "cs")
    found = [scene("a", "t", bands), scene("b", "t", bands)]
    values = {("a", "B2"): 100, ("b", "B2"): 200, ("a", "cs"): numbers, ("b", "cs"): clear}
    out, counts = optical(found, values, own)
    expected = np.full((4, 6), 100)
    expected[0], expected[1], expected[2, 0] = -32768, 200, -32768
    np.testing.assert_array_equal(out[..., 0], expected)
    np.testing.assert_array_equal(counts, expected > 0)


def test_a_mask_needs_an_asset_and_a_number():
    for more, message in (
        ({"mask": "score", "clear": 0.6}, "s2.mask_asset: expected an asset with mask 'score'"),
        ({"mask": "score", "mask_asset": "cs"}, "s2.clear: expected a number with mask 'score'"),
        ({"clear": 0.6}, "s2.clear: expected a number .* and None with 'classes', found 0.6"),
        ({"mask": "cloud"}, "s2.mask: expected one of classes, score, probability, found 'cloud'"),
    ):
        with pytest.raises(ValueError, match=message):
            S2Options("x", "y", assets={"B2": "B02"}, **more)


def test_stored_numbers_are_rounded_and_never_become_no_data():
    sensor = compositing.OPTICAL
    values = np.array([np.nan, 0.5, 1.5, -40000.0, 40000.0, -999.6])
    assert sensor.store(values).tolist() == [-32768, 0, 2, -32767, 32767, -1000]


# Radar --------------------------------------------------------------------------------------------

S1 = S1Options("x", "y", assets={"VV": "vv", "VH": "vh"})


def passes(*rows):
    """Scenes and their power, of (name, take, orbit, linear power of VV [4, 6] or a number)."""
    found = [scene(name, take, ("VV", "VH"), orbit=orbit, direction="ascending")
             for name, take, orbit, _ in rows]  # fmt: skip
    values = {(name, "VV"): value for name, _, _, value in rows}
    values |= {(name, "VH"): np.multiply(value, 0.1) for name, _, _, value in rows}
    return found, compositing.powers(found, BOX, S1, reader(values))


@pytest.mark.parametrize(("unit", "stored"), [("power", 0.25), ("amplitude", 0.5), ("db", -6.0206)])
def test_units_of_radar(unit, stored):
    own = S1Options("x", "y", assets=S1.assets, unit=unit)
    values = np.full((4, 6), stored)
    values[0] = np.nan if unit == "db" else -stored  # of what cannot be nothing counts
    found = [scene("a", "a", ("VV", "VH"), orbit=28, direction="ascending")]
    power = compositing.powers(found, BOX, own, reader({("a", b): values for b in ("VV", "VH")}))
    np.testing.assert_allclose(power[0, 1:], 0.25, rtol=1e-5)
    assert np.isnan(power[0, 0]).all()


def test_the_first_orbit_that_has_data_counts_or_the_mean_of_all():
    part = np.full((4, 6), 0.1)
    part[:, 4:] = np.nan
    found, power = passes(("a", "a", 28, part), ("b", "b", 28, part * 3), ("c", "c", 101, 1.0))
    out = compositing.radar(found, power, (28, 101), "EPSG:32639", S1)
    assert (out[:, :4, 0] == round(1000 * math.log10(0.2))).all()
    assert (out[:, 4:, 0] == 0).all() and (out[..., 1] == out[..., 0] - 1000).all()
    other = compositing.radar(found, power, (101, 28), "EPSG:32639", S1)
    assert (other[..., 0] == 0).all()
    mean = S1Options("x", "y", assets=S1.assets, orbits="mean")
    out = compositing.radar(found, power, (28, 101), "EPSG:32639", mean)
    assert (out[:, :4, 0] == round(1000 * math.log10(1.4 / 3))).all()
    assert (compositing.radar(found, power, (), "EPSG:32639", S1) == -32768).all()


def test_slices_that_overlap_are_one_pass():
    top, bottom = np.full((4, 6), 0.1), np.full((4, 6), 0.1)
    top[3:], bottom[:2] = np.nan, np.nan
    found, power = passes(("a", "t", 28, top), ("b", "t", 28, bottom), ("c", "u", 28, 0.4))
    out = compositing.radar(found, power, (28,), "EPSG:32639", S1)
    assert (out[..., 0] == round(1000 * math.log10(0.25))).all()


def test_border_noise_and_what_is_no_power_is_missing():
    noisy = np.full((4, 6), 0.1)
    noisy[0], noisy[1, 0], noisy[2, 0] = 1e-4, 0.0, -0.5
    found = [scene("a", bands=("VV", "VH"))]
    values = {("a", "VV"): noisy, ("a", "VH"): 0.01}
    power = compositing.powers(found, BOX, S1, reader(values))[0]
    assert (
        np.isnan(power[1, 0]).all() and np.isnan(power[2, 0]).all() and np.isfinite(power[0, 0, 0])
    )
    options = S1Options("x", "y", assets=S1.assets, border_db=-30.0)
    assert np.isnan(compositing.powers(found, BOX, options, reader(values))[0][0]).all()
    with pytest.raises(ValueError, match="item a: .* found a median of 300: digital numbers"):
        compositing.powers(found, BOX, S1, reader({("a", "VV"): 300, ("a", "VH"): 300}))


def test_decibels_become_power():
    options = S1Options("x", "y", assets=S1.assets, unit="db")
    values = {("a", "VV"): -10, ("a", "VH"): -20}
    power = compositing.powers([scene("a", bands=("VV", "VH"))], BOX, options, reader(values))
    np.testing.assert_allclose(power[0, 0, 0], [0.1, 0.01], rtol=1e-6)


# Where pixels are ---------------------------------------------------------------------------------

TILE = grid.tile_geobox(32639, 192, 2776)


def whole(name, **files):
    outline = shapely.box(*TILE.extent.to_crs("EPSG:4326").boundingbox)
    assets = {band: Asset(str(path)) for band, path in files.items()}
    time = dt.datetime(2022, 3, 5, tzinfo=dt.UTC)
    return Scene(name, time, (name,), (name,), (), "", outline, assets)


def centres(box):
    x = box.affine.c + box.affine.a * (np.arange(box.shape[1]) + 0.5)
    y = box.affine.f + box.affine.e * (np.arange(box.shape[0]) + 0.5)
    return np.meshgrid(x, y)


@pytest.fixture
def read():
    return Reader(Access(S2), 2).read


def test_pixels_of_the_same_grid_lie_where_they_are(tmp_path, read):
    large = GeoBox(
        (300, 300), Affine(10, 0, TILE.affine.c - 370, 0, -10, TILE.affine.f + 520), TILE.crs
    )
    x, y = centres(large)
    write_cog(tmp_path / "e.tif", x - 245_000, large, -1)
    write_cog(tmp_path / "n.tif", y - 3_550_000, large, -1)
    out = read([whole("a", e=tmp_path / "e.tif", n=tmp_path / "n.tif")], ["e", "n"], TILE)
    expected = centres(TILE)
    np.testing.assert_array_equal(out["e"][0], expected[0] - 245_000)
    np.testing.assert_array_equal(out["n"][0], expected[1] - 3_550_000)


def test_pixels_of_20_m_are_repeated(tmp_path, read):
    coarse = GeoBox((64, 64), Affine(20, 0, TILE.affine.c, 0, -20, TILE.affine.f), TILE.crs)
    values = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    write_cog(tmp_path / "v.tif", values, coarse, -1)
    out = read([whole("a", v=tmp_path / "v.tif")], ["v"], TILE)
    np.testing.assert_array_equal(out["v"][0], np.kron(values, np.ones((2, 2))))


def test_pixels_of_another_zone_are_the_nearest(tmp_path, read):
    """Each value is a place in the tile's own zone; it may be half a diagonal of a pixel away."""
    to_other = pyproj.Transformer.from_crs(32639, 32638, always_xy=True)
    x, y = to_other.transform(*(v.ravel() for v in centres(TILE)))
    left, top = (math.floor(min(x) / 10) - 5) * 10, (math.ceil(max(y) / 10) + 5) * 10
    size = (int(top - min(y)) // 10 + 10, int(max(x) - left) // 10 + 10)
    other = GeoBox(size, Affine(10, 0, left, 0, -10, top), "EPSG:32638")
    back = to_other.transform(*centres(other), direction="INVERSE")
    for name, v, origin in (("e", back[0], 245_000), ("n", back[1], 3_550_000)):
        write_cog(tmp_path / f"{name}.tif", (v - origin).astype(np.float32), other, -99999)
    out = read([whole("a", e=tmp_path / "e.tif", n=tmp_path / "n.tif")], ["e", "n"], TILE)
    expected = centres(TILE)
    off = np.hypot(out["e"][0] + 245_000 - expected[0], out["n"][0] + 3_550_000 - expected[1])
    # 7.07 m, a little more where the next zone stretches what it shows (by 0.1 %); 0.1 for GDAL's
    # approximate transformation.
    assert off.max() < 7.3 and np.median(off) < 5


def test_what_a_scene_lacks_is_missing(tmp_path, read):
    write_cog(tmp_path / "v.tif", np.ones((128, 128), np.uint16), TILE, 0)
    full, lacking = whole("a", v=tmp_path / "v.tif"), whole("b")
    out = read([lacking, full], ["v", "w"], TILE)
    assert np.isnan(out["v"][0]).all() and (out["v"][1] == 1).all() and np.isnan(out["w"]).all()
