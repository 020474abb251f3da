"""Marks of ground: the same for the same ground, wherever a patch begins."""

import making
import numpy as np
import pytest

from cropmap_jax.audit import signatures, textures
from cropmap_jax.audit.material import Patch
from cropmap_jax.data.chips import cut
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import SENTINEL

SIZE = 64


@pytest.fixture(scope="module")
def stored():
    one = making.make_cube("one", 96, seed=2)
    return {s.name: s.encode(one.pixels[s.name]) for s in SENTINEL}


def patch_of(stored, row=0, col=0, size=SIZE, new=None):
    pixels = {s.name: cut(stored[s.name], row, col, size, s.nodata, axis=1) for s in SENTINEL}
    label = np.full((size, size), IGNORE, np.uint8)
    new = np.ones((size, size), bool) if new is None else new
    return Patch((), 0, row, col, pixels, label, label.astype(np.uint32), label, new)


def test_the_same_pixels_are_kept_wherever_a_patch_begins(stored):
    whole = set(signatures.fingerprints(patch_of(stored), SENTINEL, 8).tolist())
    moved = set(signatures.fingerprints(patch_of(stored, 16, 24), SENTINEL, 8).tolist())
    both = patch_of(stored, 16, 24, 40)  # rows 16 to 56, columns 24 to 64: within both
    shared = set(signatures.fingerprints(both, SENTINEL, 8).tolist())
    assert shared == {h for h in shared if h in whole and h in moved}
    # One in eight of 1,600 pixels, all different: 200, five standard deviations of 13 either way.
    assert 130 < len(shared) < 270
    assert len(whole & moved) >= len(shared)


def test_pixels_that_are_not_new_or_hold_too_few_numbers_are_left_out(stored):
    none = np.zeros((SIZE, SIZE), bool)
    assert not len(signatures.fingerprints(patch_of(stored, new=none), SENTINEL, 1))
    some = none.copy()
    some[10:12, 20:23] = True
    assert len(signatures.fingerprints(patch_of(stored, new=some), SENTINEL, 1)) == 6
    flat = {name: np.full_like(values, 7) for name, values in stored.items()}
    flat["s2"][:] = np.arange(10, dtype=np.int16)
    assert len(signatures.fingerprints(patch_of(flat), SENTINEL, 1)) == SIZE**2
    flat["s2"][..., 8:] = 0  # eight numbers, and one of the other sensor
    assert not len(signatures.fingerprints(patch_of(flat), SENTINEL, 1))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_squares_are_means_of_what_is_there(stored, step):
    patch, inside = patch_of(stored), np.ones((SIZE, SIZE), bool)
    inside[:, 44:] = False  # the cube ends here
    means, rows, cols = signatures.squares(patch, inside, SENTINEL, step)
    # A quarter of a square may lie beyond: columns up to 44 of 32 + 16.
    expected = [(r, c) for r in range(0, 33, 8 * step) for c in range(0, 33, 8 * step) if c <= 16]
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == expected
    for sensor, mean in zip(SENTINEL, means, strict=True):
        low, high = sensor.range
        values = (sensor.decode(patch.pixels[sensor.name]) - low) / (high - low)
        for got, row, col in zip(mean, rows, cols, strict=True):
            part = values[:, row : row + 32, col : col + 32]
            there = np.isfinite(part).mean((1, 2)) >= 0.5
            with np.errstate(invalid="ignore"):
                whole = np.nansum(part, (1, 2)) / np.isfinite(part).sum((1, 2))
            np.testing.assert_allclose(got, np.where(there, whole, np.nan), rtol=1e-5)


def test_textures_of_the_same_ground_agree_at_its_shift():
    rng = np.random.default_rng(0)
    ground = rng.standard_normal((textures.COMPONENTS, 48, 48)).astype(np.float32)
    one = ground[:, 8:40, 8:40]
    assert textures.likeness(one, one) == pytest.approx((1, 1), abs=1e-4)
    coarse, fine = textures.likeness(one, ground[:, 3:35, 14:46])
    assert coarse > 0.95 and fine > 0.9
    # Half a pixel, bilinear: the mean of four.
    halves = (ground[:, :-1] + ground[:, 1:]) / 2
    halves = (halves[:, :, :-1] + halves[:, :, 1:]) / 2
    coarse, fine = textures.likeness(one, halves[:, 8:40, 8:40])
    assert coarse > textures.ALIKE and fine > textures.FINE


def test_textures_of_fields_of_the_same_shape_do_not_agree():
    # The same edges, as of a coast, and noise of their own.
    rng = np.random.default_rng(1)
    edge = np.where(np.arange(32) < 16, 0.0, 20.0)

    def place():
        noise = rng.standard_normal((textures.COMPONENTS, 32, 32))
        return (noise + edge).astype(np.float32)

    coarse, fine = textures.likeness(place(), place())
    assert coarse > textures.ALIKE  # they look alike
    assert fine < textures.FINE
    flat = np.zeros((textures.COMPONENTS, 32, 32), np.float32)
    assert textures.likeness(flat, flat) == (0, 0)
