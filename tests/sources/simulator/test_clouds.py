import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cropmap_jax.sources.simulator import clouds

OVERHEAD = 0.0
LOW = np.deg2rad(60.0)


def skies(count, shape, cover, zenith, seed=0):
    rng = np.random.default_rng(seed)
    return [clouds.make_sky(shape, cover, zenith, rng) for _ in range(count)]


@hypothesis.given(
    st.tuples(st.integers(4, 40), st.integers(4, 40)), st.floats(0, 4), st.integers(0, 2**32)
)
def test_noise_is_of_unit_variance_and_zero_mean(shape, slope, seed):
    noise = clouds.smooth_noise(shape, slope, np.random.default_rng(seed))
    assert noise.shape == shape and noise.dtype == np.float32
    assert abs(noise.mean()) < 1e-4 and noise.std() == pytest.approx(1.0, abs=1e-4)


def test_noise_is_periodic_and_the_smoother_the_steeper():
    steps = []
    for slope in (0.0, 1.5, 3.0):
        noise = clouds.smooth_noise((120, 150), slope, np.random.default_rng(0))
        inner = np.abs(np.diff(noise, axis=0)).mean()
        across = np.abs(noise[0] - noise[-1]).mean(), np.abs(noise[:, 0] - noise[:, -1]).mean()
        assert max(across) < 1.4 * inner
        steps.append(inner)
    assert steps[0] > 1.3 * steps[1] > 3 * steps[2]


def test_clouds_cover_their_share(monkeypatch):
    # With the sun overhead there are no shadows; without the rim and with no cloud missed, what is
    # not clear is cloud.
    monkeypatch.setattr(clouds, "EDGE_PX", 0)
    monkeypatch.setattr(clouds, "MISSED_CLOUD", 0.0)
    for cover in (0.2, 0.5, 0.8):
        clear = [sky.clear.mean() for sky in skies(600, (8, 8), cover, OVERHEAD)]
        # Standard error of 600 skies, most of them nearly all or nothing: 0.5 / sqrt(600) = 0.02.
        assert np.mean(clear) == pytest.approx(1 - cover, abs=0.05)
        # A site of some km is often wholly clear or wholly covered.
        assert np.mean([c in (0.0, 1.0) for c in clear]) > 0.2


@pytest.mark.parametrize(("cover", "clear"), [(0.0, True), (1.0, False)])
def test_a_site_wholly_clear_or_wholly_covered(cover, clear):
    for sky in skies(5, (20, 30), cover, LOW):
        assert (sky.clear == clear).all() and sky.clear.shape == (20, 30)
        assert (sky.veil == 0).all() and (sky.light == 1).all()


@pytest.fixture
def one_cloud(monkeypatch):
    """Skies with one square cloud at rows 60 to 69 and columns 50 to 59; what is missed is chosen.

    The noise of a sky is drawn twice: first the cloud field, then what the mask overlooks.
    """
    square = np.full((100, 100), 5.0, np.float32)
    square[60:70, 50:60] = -5.0

    def sky(overlooks=0.0, zenith=LOW, seed=0, depth=5.0):
        cloud = np.where(square < 0, -depth, square)
        fields = iter([cloud, np.full_like(square, overlooks)])
        monkeypatch.setattr(clouds, "smooth_noise", lambda *_: next(fields))
        # Nothing that the whole scene shares: the square is the cloud.
        monkeypatch.setattr(clouds, "LARGE_SCALE", 0.0)
        return clouds.make_sky((100, 100), 0.5, zenith, np.random.default_rng(seed))

    return sky


@pytest.mark.parametrize("seed", range(6))
def test_shadows_fall_to_the_north_west(one_cloud, seed):
    sky = one_cloud(seed=seed)
    masked = ~sky.clear
    cloud = np.zeros_like(masked)
    cloud[60 - 3 : 70 + 3, 50 - 3 : 60 + 3] = True
    np.testing.assert_array_equal(masked & cloud, cloud)
    # Clouds are 0.8 to 4 km high and the sun stands 60 degrees from overhead in 145 to 165 degrees:
    # shadows lie 139 to 693 pixels away, which goes round this periodic site more than once.
    rng = np.random.default_rng(seed)
    rng.standard_normal()
    height, azimuth = rng.uniform(800, 4000), np.deg2rad(rng.uniform(145, 165))
    away = height * np.tan(LOW) / 10
    # North is up, so up and to the left.
    up, left = round(-np.cos(azimuth) * away), round(np.sin(azimuth) * away)
    assert up > left > 0
    shadow = np.zeros_like(masked)
    rows, cols = np.meshgrid(np.arange(60, 70) - up, np.arange(50, 60) - left, indexing="ij")
    shadow[rows % 100, cols % 100] = True
    np.testing.assert_array_equal(masked, cloud | shadow)


def test_shadows_of_low_clouds_under_a_high_sun_lie_close_by(one_cloud):
    # tan z = 0.05 and 0.8 to 4 km: 4 to 20 pixels.
    sky = one_cloud(zenith=np.arctan(0.05))
    rows, cols = np.nonzero(~sky.clear)
    assert 40 <= rows.min() < 60 - 3 and rows.max() == 70 + 2
    assert 40 <= cols.min() < 50 and cols.max() == 60 + 2


def test_an_overlooked_shadow_is_clear_to_the_mask_and_dark(one_cloud):
    sky = one_cloud(overlooks=3.0)
    assert (~sky.clear).sum() == 16 * 16
    assert (sky.light < 1).sum() == 100 and set(np.unique(sky.light)) == {np.float32(0.45), 1}
    assert sky.clear[sky.light < 1].all()
    assert (sky.veil == 0).all()


@pytest.mark.parametrize(
    ("depth", "veil"), [(1e-3, 0.1004), (0.25, 0.2), (0.75, 0.4), (1.0, 0.5), (5.0, 0.5)]
)
def test_cloud_of_any_depth_is_overlooked_and_veils_by_its_depth(one_cloud, depth, veil):
    # The mask takes nothing along around a cloud that it does not find; the shadow it does find.
    sky = one_cloud(overlooks=-3.0, depth=depth)
    cloud = np.zeros((100, 100), bool)
    cloud[60:70, 50:60] = True
    np.testing.assert_array_equal(sky.veil > 0, cloud)
    np.testing.assert_allclose(sky.veil[cloud], veil, rtol=1e-5)
    assert sky.clear[cloud].all() and (~sky.clear).sum() == 100 and (sky.light == 1).all()


def test_the_share_that_is_overlooked_is_a_quantile_of_the_noise(one_cloud):
    # 4 % of the standard normal lie below -1.7507, 20 % above 0.8416.
    assert (clouds.MISSED_CLOUD, clouds.MISSED_SHADOW) == (0.04, 0.20)
    for overlooks, veiled, dark in ((-1.7508, 100, 0), (-1.7506, 0, 0), (0.8415, 0, 0),
                                    (0.8417, 0, 100)):  # fmt: skip
        sky = one_cloud(overlooks=overlooks)
        assert ((sky.veil > 0).sum(), (sky.light < 1).sum()) == (veiled, dark)


def test_what_lies_next_to_cloud_that_was_found_is_masked_with_it(one_cloud):
    # Columns 50 to 54 of the cloud are overlooked, those from 55 on found, with 3 pixels around.
    blind = np.zeros((100, 100), np.float32)
    blind[:, :55] = -3.0
    sky = one_cloud(overlooks=blind)
    there = np.zeros((100, 100), bool)
    there[60:70, 50:52] = True
    np.testing.assert_array_equal(sky.clear & (sky.veil > 0), there)
    assert not sky.clear[57:73, 52:63].any()


@hypothesis.given(st.floats(0, 1), st.floats(0, 1.5), st.integers(0, 2**32))
def test_a_sky_is_sane(cover, zenith, seed):
    sky = clouds.make_sky((48, 40), cover, zenith, np.random.default_rng(seed))
    assert sky.clear.dtype == bool and sky.veil.dtype == sky.light.dtype == np.float32
    assert {sky.clear.shape, sky.veil.shape, sky.light.shape} == {(48, 40)}
    assert ((sky.veil == 0) | ((sky.veil >= 0.1) & (sky.veil <= 0.5))).all()
    assert set(np.unique(sky.light)) <= {np.float32(0.45), np.float32(1)}
    # A pixel is cloud or in shadow, not both.
    assert not ((sky.veil > 0) & (sky.light < 1)).any()


def veiled_and_cloud(monkeypatch, count, side):
    """What is clear and veiled, and what of it and of all cloud there is, of broken skies.

    With the sun overhead and without the rim, cloud is what is masked or veiled.
    """
    whole = skies(count, (side, side), 0.5, OVERHEAD)
    monkeypatch.setattr(clouds, "EDGE_PX", 0)
    bare = skies(count, (side, side), 0.5, OVERHEAD)
    clear, rimless = (np.stack([s.clear for s in some]) for some in (whole, bare))
    veil = np.stack([s.veil for s in whole])
    np.testing.assert_array_equal(veil, np.stack([s.veil for s in bare]))
    cloud = ~rimless | (veil > 0)
    broken = cloud.any((1, 2)) & ~cloud.all((1, 2))
    return clear[broken] & (veil[broken] > 0), veil[broken], cloud[broken]


def test_as_much_cloud_is_overlooked_as_it_should_be(monkeypatch):
    # The site of the default settings.
    kept, veil, cloud = veiled_and_cloud(monkeypatch, 24, 512)
    assert len(kept) > 15 and (veil[~cloud] == 0).all()
    assert veil[veil > 0].min() >= 0.1 and veil.max() == 0.5
    assert (veil > 0).sum() / cloud.sum() == pytest.approx(clouds.MISSED_CLOUD, rel=0.25)
    # What lies next to cloud that was found goes with it: about half.
    assert clouds.MISSED_CLOUD / 3 < kept.sum() / cloud.sum() < clouds.MISSED_CLOUD
    # Whole patches, deep as well as thin, and not in every sky.
    assert 0.3 < (veil[kept] == 0.5).mean() < 0.9
    ahead, behind = kept[:, :, 1:], kept[:, :, :-1]
    assert (ahead & behind).sum() / (behind & cloud[:, :, 1:]).sum() > 0.85
    assert 0.4 < kept.any((1, 2)).mean() < 1


def test_masks_are_coherent_and_little_shadow_is_overlooked():
    broken = [s for s in skies(150, (96, 96), 0.5, 0.7) if s.clear.any() and not s.clear.all()]
    clear, light = (np.stack([getattr(s, name) for s in broken]) for name in ("clear", "light"))
    assert len(broken) > 40
    # 20 % of the shadow.
    assert 0.01 < (light < 1).mean() < 0.08
    neighbours = (
        (clear[:, 1:] == clear[:, :-1]).mean(),
        (clear[:, :, 1:] == clear[:, :, :-1]).mean(),
    )
    assert min(neighbours) > 0.93


def test_growing_a_mask():
    mask = np.zeros((9, 11), bool)
    mask[4, 0] = mask[0, 8] = True
    expected = np.zeros_like(mask)
    expected[2:7, :3] = expected[:3, 6:] = True
    np.testing.assert_array_equal(clouds._grow(mask, 2), expected)
    np.testing.assert_array_equal(clouds._grow(mask, 0), mask)


def test_a_seed_gives_one_sky():
    first, again, other = (skies(1, (64, 64), 0.5, 0.8, seed)[0] for seed in (1, 1, 2))
    for name in ("clear", "veil", "light"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.clear != other.clear).any()
