"""No seams: the same ground is mapped the same, however it is divided, ordered and batched."""

import datetime as dt

import making
import numpy as np
import pytest
from inference.stand_ins import StandIn
from mapping import small_maps

from cropmap_jax.geo import cube_io
from cropmap_jax.inference.engine import Engine, Request, View, parts_across
from cropmap_jax.inference.predictors import NetworkPredictor
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.inference.tiling import Box, bounds
from cropmap_jax.mapping.cubes import join
from cropmap_jax.training import checkpoints

JUNE = dt.date(2022, 6, 1)
MB = 2**20


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """Group norm looks at a whole chip: no two chips agree about the ground that they share."""
    recipe = small_maps.make_recipe(norm="group")
    return checkpoints.load(small_maps.save_checkpoint(tmp_path_factory.mktemp("run"), recipe))


@pytest.fixture(scope="module")
def network(restored):
    """With a halo of 16 pixels, whatever the network asks for."""
    return StandIn(NetworkPredictor(restored, 2, full_batches=True).predict)


@pytest.fixture(scope="module")
def whole():
    """Two tiles by two, with clouds and a corner outside the swath."""
    return making.make_cube("whole", 256, fields=False)


def make_engine(cubes_dir, predictor, limit=64 * MB, as_of=JUNE):
    """The only mosaic group of a folder, and an engine that reads it."""
    infos = cube_io.list_cubes(cubes_dir)
    (group,) = join(infos, 2, as_of, predictor.halo)
    source = RasterSource({info.cube_id: info.path for info in infos})
    return group, Engine(source, predictor, limit, limit)


def blend(cubes_dir, predictor, limit=64 * MB, turn=1, as_of=JUNE):
    """Probabilities of all ground of the only mosaic group."""
    group, engine = make_engine(cubes_dir, predictor, limit, as_of)
    view = View(group)
    numbers = list(group.ordered(9))[::turn]
    requests = [Request(view, box) for n in numbers for box in group.pieces(n)]
    for request in requests:
        engine.expect(request)
    whole = bounds(group.tiling.boxes)
    out = np.full((*whole.shape, 3), -1.0, np.float32)
    for request in requests:
        out[request.box.inside(whole)] = engine.probability(request)
        engine.pixels(request)
    # After their last use, neither probabilities nor pixels are kept.
    assert engine.size == 0
    return out


def test_one_cube_two_and_four_of_the_same_ground_are_mapped_the_same(tmp_path, whole, network):
    full, north, south = slice(0, 256), slice(0, 128), slice(128, 256)
    halves = [small_maps.piece(whole, "n", north, full), small_maps.piece(whole, "s", south, full)]
    expected = blend(small_maps.write(tmp_path / "one", whole), network)
    assert expected.shape == (256, 256, 3) and np.ptp(expected) > 0.01
    for name, cubes in (("two", halves), ("four", small_maps.quarters(whole))):
        found = blend(small_maps.write(tmp_path / name, *cubes), network)
        np.testing.assert_array_equal(found, expected)


def test_neither_order_nor_batches_nor_memory_make_a_difference(tmp_path, whole, network):
    folder = small_maps.write(tmp_path, *small_maps.quarters(whole))
    spy = StandIn(network.predict)
    expected = blend(folder, spy)
    # Every chip once, in full batches of one shape.
    assert spy.batches == [[(160, 160)] * 2] * 2
    for changes in ({"turn": -1}, {"limit": 0}):
        np.testing.assert_allclose(blend(folder, network, **changes), expected, atol=1e-6)
    one_by_one = StandIn(network.predict, batch_size=1)
    np.testing.assert_allclose(blend(folder, one_by_one), expected, atol=1e-6)


def test_deep_inside_a_part_its_own_chip_decides(tmp_path, whole, network):
    made = blend(small_maps.write(tmp_path, *small_maps.quarters(whole)), network)
    group, engine = make_engine(tmp_path, network)
    chip = Box(0, 0, 160, 160)
    example = {
        "pixels": engine.pixels(Request(View(group), chip)),
        "day_of_year": group.window.day_of_year,
        "wanted": np.ones(chip.shape, bool),
    }
    (alone,) = network.predict([example])
    np.testing.assert_array_equal(made[:112, :112], alone[:112, :112])
    assert np.abs(made[120:144, :112] - alone[120:144, :112]).max() > 1e-4


def test_chips_that_disagree_meet_without_a_jump(tmp_path):
    """The first chip says 0, the second 1: between them lies a ramp of 32 pixels."""
    answers = iter((0.0, 1.0))

    def stubborn(examples):
        return [np.full((*e["wanted"].shape, 3), next(answers), np.float32) for e in examples]

    made = making.make_cube("a", (8, 256), fields=False, missing=False)
    found = blend(small_maps.write(tmp_path, made), StandIn(stubborn))
    ramp = np.clip((np.arange(256) + 0.5 - 112) / 32, 0, 1)
    np.testing.assert_allclose(found, np.broadcast_to(ramp[None, :, None], found.shape), atol=1e-6)


def test_without_a_halo_each_part_stands_alone(tmp_path):
    answers = iter((0.0, 1.0))

    def stubborn(examples):
        return [np.full((*e["wanted"].shape, 3), next(answers), np.float32) for e in examples]

    made = making.make_cube("a", (8, 256), fields=False, missing=False)
    spy = StandIn(stubborn, halo=0)
    found = blend(small_maps.write(tmp_path, made), spy)
    assert (found[:, :128] == 0).all() and (found[:, 128:] == 1).all()
    assert spy.batches == [[(8, 128)] * 2] and spy.wanted == [8 * 128] * 2


def test_ground_never_seen_is_nan_and_does_not_spread(tmp_path):
    made = making.make_cube("a", (8, 256), fields=False, missing=False)
    made.s1[-2:, 2, 100:130] = np.nan
    made.s2[-2:, 2, 100:130] = np.nan
    made.s2[:, 4] = np.nan  # S1 is still there
    made.s1[-1, 5] = made.s2[-1, 5] = np.nan  # the period before is still there

    def half(examples):
        return [np.full((*e["wanted"].shape, 3), 0.5, np.float32) for e in examples]

    # Two periods as of 1 September, the end of August: the last two.
    folder = small_maps.write(tmp_path, made)
    found = blend(folder, StandIn(half), as_of=dt.date(2022, 9, 1))
    lost = np.zeros(made.label.shape, bool)
    lost[2, 100:130] = True
    np.testing.assert_array_equal(np.isnan(found), np.repeat(lost[..., None], 3, -1))
    np.testing.assert_allclose(found[~lost], 0.5)


def test_a_neighbour_that_is_damaged_is_named(tmp_path, whole):
    folder = small_maps.write(tmp_path, *small_maps.quarters(whole)[:2])
    (folder / "c01" / "s1.tif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c01.s1\.tif: damaged"):
        blend(folder, StandIn(small_maps.say_where))


def wanted_at(box, *pixels):
    """A mask of a box with some pixels of the group, packed."""
    mask = np.zeros(box.shape, bool)
    for row, col in pixels:
        mask[row - box.top, col - box.left] = True
    return np.packbits(mask)


def test_only_chips_that_count_in_a_wanted_pixel_are_predicted(tmp_path, whole, network):
    folder = small_maps.write(tmp_path, *small_maps.quarters(whole))
    expected = blend(folder, network)
    # Deep inside the first part; 16 pixels from its right edge; at the corner of all four.
    for pixel, chips in (((5, 5), 1), ((5, 112), 2), ((127, 127), 4)):
        spy = StandIn(network.predict)
        group, engine = make_engine(folder, spy)
        request = Request(View(group), Box(0, 0, 128, 128), wanted_at(Box(0, 0, 128, 128), pixel))
        engine.expect(request)
        found = engine.probability(request)
        engine.pixels(request)
        np.testing.assert_array_equal(found[pixel], expected[pixel])
        assert np.isfinite(found).any(-1).sum() == 1
        assert engine.predicted == chips and spy.wanted == [1] * chips
        assert engine.size == 0


def test_classes_that_nobody_asks_for_are_not_kept(tmp_path):
    def classes(examples):
        return [np.tile(np.float32([0.1, 0.2, 0.3]), (*e["wanted"].shape, 1)) for e in examples]

    folder = small_maps.write(tmp_path, making.make_cube("a", (8, 128), missing=False))
    group, engine = make_engine(folder, StandIn(classes))
    request = Request(View(group, classes=(2, 0)), Box(0, 0, 8, 128))
    engine.expect(request)
    found = engine.probability(request)
    assert found.shape == (8, 128, 2)
    np.testing.assert_allclose(found[0, 0], [0.3, 0.1], rtol=1e-6)


def test_groups_of_dates_do_not_share_a_batch_and_dates_reach_the_predictor(tmp_path):
    dates = []

    def note(examples):
        dates.append([e["day_of_year"].tolist() for e in examples])
        return [np.zeros((*e["wanted"].shape, 3), np.float32) for e in examples]

    folder = small_maps.write(tmp_path, making.make_cube("a", (8, 256), missing=False))
    spy = StandIn(note, batch_size=4, per_group=True)
    group, engine = make_engine(folder, spy)
    views = View(group, 1), View(group, 3)
    requests = [Request(view, box) for view in views for box in group.pieces(0)]
    for request in requests:
        engine.expect(request)
    for request in requests:
        engine.probability(request)
    assert spy.groups == [1, 3] and [len(batch) for batch in spy.batches] == [2, 2]
    # The middles of April and of May: 16 April and 16 May, days 106 and 136.
    assert dates == [[[106, 136]] * 2] * 2


def test_strips_are_as_wide_as_memory_allows():
    # 256 MiB hold 124 chips of 160 x 160 x 21 float32, 2,150,400 bytes each: four rows of 31.
    assert parts_across(21, 1, 12, 16) == 31 - 4
    # 113 parts of 128 x 128 pixels of six periods of twelve int16, 2,359,296 bytes each.
    assert parts_across(3, 6, 12, 16) == 28 - 4
    assert parts_across(250, 36, 12, 16) == 1
