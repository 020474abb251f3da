"""Reading and predicting ahead: faster, and otherwise as if it were not there."""

import shutil
import time

import making
import numpy as np
import pytest
from inference.stand_ins import StandIn
from inference.test_blending import JUNE, MB
from mapping import small_maps

from cropmap_jax.geo import cube_io
from cropmap_jax.inference import engine as engine_lib
from cropmap_jax.inference.ahead import Ahead
from cropmap_jax.inference.engine import Engine, Request, View
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.mapping.cubes import join


def test_batches_come_in_the_order_in_which_they_began():
    def read(number):
        time.sleep(0.02 if number % 2 else 0)
        return number

    ahead = Ahead(read, lambda keys, found: (keys, found * 10))
    for number in range(4):
        ahead.begin(number)
    assert [ahead.next() for _ in range(4)] == [(n, (n, n * 10)) for n in range(4)]
    assert len(ahead) == 0
    ahead.close()


@pytest.mark.parametrize("where", ["read", "make"])
def test_what_a_batch_raises_comes_with_that_batch(where):
    def step(name, number):
        if name == where and number == 1:
            raise ValueError("damaged")
        return number

    ahead = Ahead(lambda n: step("read", n), lambda n, _: step("make", n))
    for number in range(3):
        ahead.begin(number)
    assert ahead.next() == (0, 0)
    with pytest.raises(ValueError, match="damaged"):
        ahead.next()
    assert ahead.next() == (2, 2)
    ahead.close()


def test_what_has_not_begun_when_it_is_closed_never_does():
    made = []

    def make(number, _):
        time.sleep(0.05)
        made.append(number)

    ahead = Ahead(lambda number: number, make)
    for number in range(50):
        ahead.begin(number)
    time.sleep(0.02)
    ahead.close()
    count = len(made)
    assert count < 5
    time.sleep(0.1)
    assert len(made) == count


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Six tiles, and a strip that makes chips of another shape."""
    whole = making.make_cube("whole", (256, 416), fields=False)
    return small_maps.write(tmp_path_factory.mktemp("cubes"), *small_maps.quarters(whole))


def coordinates_and_shape(examples):
    """Follows from the pixels and from how much of them there is."""
    out = []
    for example in examples:
        values = example["pixels"]["s2"][-1].astype(np.float32)
        out.append((np.abs(values[..., :3]) % 97) / 97 + example["wanted"].shape[0] / 1e4)
    return out


def run(folder, halo=16, limit=64 * MB, ahead_bytes=0, pause=0.0):
    """All probabilities of the only group, how often each chip was predicted, and the batches."""
    predictor = StandIn(coordinates_and_shape, halo=halo)
    infos = cube_io.list_cubes(folder)
    (group,) = join(infos, 2, JUNE, halo)
    view, found = View(group), []
    numbers = range(len(group.cubes))
    requests = [Request(view, box) for n in numbers for box in group.pieces(n)]
    with (
        RasterSource({info.cube_id: info.path for info in infos}) as source,
        Engine(source, predictor, limit, limit, ahead_bytes) as engine,
    ):
        for request in requests:
            engine.expect(request)
        for number, request in enumerate(requests):
            found.append(engine.probability(request))
            engine.pixels(request)
            if not number and pause:
                time.sleep(pause)
                return found, predictor.batches
        assert engine.size == 0
    return found, predictor.batches


@pytest.mark.parametrize("halo", [0, 16])
@pytest.mark.parametrize("limit", [64 * MB, 0])
def test_probabilities_and_batches_are_those_without(cubes, halo, limit):
    expected, batches = run(cubes, halo, limit)
    found, ahead = run(cubes, halo, limit, ahead_bytes=64 * MB)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    if limit:  # else chips are predicted again, in whatever batches
        assert sorted(ahead) == sorted(batches)
    # Where not even one batch fits, nothing is ahead.
    found, ahead = run(cubes, halo, limit, ahead_bytes=1)
    assert ahead == batches
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_more_is_under_way_than_allowed(cubes):
    _, batches = run(cubes, halo=0, ahead_bytes=64 * MB, pause=0.5)
    assert 1 < len(batches) <= 1 + engine_lib.MOST_AHEAD
    one = 2 * 128 * 128 * 2 * 2 * 12 * 2  # chips, pixels, twice, periods, bands, bytes
    _, batches = run(cubes, halo=0, ahead_bytes=one, pause=0.5)
    assert len(batches) == 2


def test_a_file_that_cannot_be_read_is_named(cubes, tmp_path):

    folder = shutil.copytree(cubes, tmp_path / "cubes")
    (folder / "c02" / "s2.tif").unlink()
    with pytest.raises(ValueError, match=r"c02/s2.tif: expected the cube's s2, found no file"):
        run(folder, ahead_bytes=64 * MB)
