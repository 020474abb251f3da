"""No seams: the same ground is mapped the same, however it is divided, ordered and batched."""

import datetime as dt

import making
import numpy as np
import pytest
from mapping import small_maps

from cropmap_jax.geo.periods import to_day
from cropmap_jax.inference import mosaic_groups
from cropmap_jax.inference.blending import Blender
from cropmap_jax.inference.pixels import PixelReader
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.tiling import Box, bounds
from cropmap_jax.training import checkpoints

JUNE = dt.date(2022, 6, 1)
MB = 2**20


class Spy:
    """Passes examples on and remembers how many there were, batch by batch."""

    def __init__(self, predict):
        self._predict, self.batches = predict, []

    def __call__(self, examples):
        self.batches.append([e["label"].shape for e in examples])
        return self._predict(examples)


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """Group norm looks at a whole chip: no two chips agree about the ground that they share."""
    recipe = small_maps.make_recipe(norm="group")
    return checkpoints.load(small_maps.save_checkpoint(tmp_path_factory.mktemp("run"), recipe))


@pytest.fixture(scope="module")
def network(restored):
    return Predictor(restored, 2, full_batches=True)


@pytest.fixture(scope="module")
def whole():
    """Two tiles by two, with clouds and a corner outside the swath."""
    return making.make_cube("whole", 256, fields=False)


def blend(cubes_dir, predict, batch_size=2, limit=64 * MB, turn=1, num_periods=2):
    """Probabilities of all ground of the only sheet, and the spy on its predictor."""
    recipe = small_maps.make_recipe(num_periods=num_periods)
    grounds = mosaic_groups.survey(cubes_dir, recipe, JUNE)
    (found,) = grounds
    pieces = [(0, box) for n in list(found.ordered(9))[::turn] for box in found.pieces(n)]
    reader = PixelReader(grounds, to_day(JUNE), num_periods, limit)
    spy = Spy(predict)
    blender = Blender(grounds, pieces, reader, spy, batch_size, limit)
    all_of_it = bounds(found.sheet.boxes)
    out = np.full((*all_of_it.shape, 3), -1.0, np.float32)
    for number, box in pieces:
        out[box.inside(all_of_it)] = blender.probability(number, box)
    # After their last use, neither probabilities nor pixels are kept.
    assert blender._shelf.size == reader._shelf.size == 0
    return out, spy


def test_one_cube_two_and_four_of_the_same_ground_are_mapped_the_same(tmp_path, whole, network):
    full, north, south = slice(0, 256), slice(0, 128), slice(128, 256)
    halves = [small_maps.piece(whole, "n", north, full), small_maps.piece(whole, "s", south, full)]
    expected, _ = blend(small_maps.write(tmp_path / "one", whole), network)
    assert expected.shape == (256, 256, 3) and np.ptp(expected) > 0.01
    for name, cubes in (("two", halves), ("four", small_maps.quarters(whole))):
        found, _ = blend(small_maps.write(tmp_path / name, *cubes), network)
        np.testing.assert_array_equal(found, expected)


def test_neither_order_nor_batches_nor_memory_make_a_difference(tmp_path, whole, network):
    folder = small_maps.write(tmp_path, *small_maps.quarters(whole))
    expected, spy = blend(folder, network)
    # Every chip once, in full batches of one shape.
    assert spy.batches == [[(160, 160)] * 2] * 2
    for changes in ({"turn": -1}, {"batch_size": 1}, {"limit": 0}):
        found, _ = blend(folder, network, **changes)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_deep_inside_a_part_its_own_chip_decides(tmp_path, whole, network):
    made, _ = blend(small_maps.write(tmp_path, *small_maps.quarters(whole)), network)
    grounds = mosaic_groups.survey(tmp_path, small_maps.make_recipe(), JUNE)
    reader = PixelReader(grounds, to_day(JUNE), 2, MB)
    chip = Box(0, 0, 160, 160)
    example = reader.read(0, chip) | {"label": np.full(chip.shape, 255, np.uint8)}
    (alone,) = network([example])
    np.testing.assert_array_equal(made[:112, :112], alone[:112, :112])
    assert np.abs(made[120:144, :112] - alone[120:144, :112]).max() > 1e-4


def test_chips_that_disagree_meet_without_a_jump(tmp_path):
    """The first chip says 0, the second 1: between them lies a ramp of 32 pixels."""
    answers = iter((0.0, 1.0))

    def stubborn(examples):
        return [np.full((*e["label"].shape, 3), next(answers), np.float32) for e in examples]

    made = making.make_cube("a", (8, 256), fields=False, missing=False)
    found, _ = blend(small_maps.write(tmp_path, made), stubborn)
    ramp = np.clip((np.arange(256) + 0.5 - 112) / 32, 0, 1)
    np.testing.assert_allclose(found, np.broadcast_to(ramp[None, :, None], found.shape), atol=1e-6)


def test_ground_never_seen_is_nan_and_does_not_spread(tmp_path):
    made = making.make_cube("a", (8, 256), fields=False, missing=False)
    made.s1[-2:, 2, 100:130] = np.nan
    made.s2[-2:, 2, 100:130] = np.nan
    made.s2[:, 4] = np.nan  # S1 is still there
    made.s1[-1, 5] = made.s2[-1, 5] = np.nan  # the period before is still there

    def half(examples):
        return [np.full((*e["label"].shape, 3), 0.5, np.float32) for e in examples]

    # Two periods as of 1 September, the end of August: the last two.
    recipe = small_maps.make_recipe()
    grounds = mosaic_groups.survey(small_maps.write(tmp_path, made), recipe, dt.date(2022, 9, 1))
    reader = PixelReader(grounds, to_day(dt.date(2022, 9, 1)), 2, MB)
    box = grounds[0].sheet.boxes[0]
    pieces = [(0, piece) for piece in grounds[0].pieces(0)]
    blender = Blender(grounds, pieces, reader, half, 2, 64 * MB)
    found = np.concatenate([blender.probability(*piece) for piece in pieces], axis=1)
    lost = np.zeros(box.shape, bool)
    lost[2, 100:130] = True
    np.testing.assert_array_equal(np.isnan(found), np.repeat(lost[..., None], 3, -1))
    np.testing.assert_allclose(found[~lost], 0.5)


def test_a_neighbour_that_is_damaged_is_named(tmp_path, whole):
    folder = small_maps.write(tmp_path, *small_maps.quarters(whole)[:2])
    (folder / "c01" / "s1.tif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c01.s1\.tif: damaged"):
        blend(folder, small_maps.say_where)
