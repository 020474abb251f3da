"""A map that workers make: the same to the last bit, and what goes wrong on the way in one line."""

import contextlib
import dataclasses
import os
import pathlib
import signal

import making as made_cubes
import pytest
from mapping import small_maps
from scheduling.pickling import Pickling

from cropmap_jax import scheduling
from cropmap_jax.geo import files
from cropmap_jax.mapping import crop_map, making, map_rasters, spread

SMOOTH = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A network that sees around a pixel, and four tiles in a row with clouds; their map."""
    root = tmp_path_factory.mktemp("world")
    small_maps.save_checkpoint(root / "run", small_maps.make_recipe(norm="group"))
    whole = made_cubes.make_cube("whole", (128, 512), fields=False)
    small_maps.write(root / "cubes", *small_maps.quarters(whole))
    small_maps.make_map(root / "run", root / "cubes", root / "map", smooth=SMOOTH)
    return root


@pytest.fixture
def one_a_share(monkeypatch):
    monkeypatch.setattr(spread, "most_parts", lambda *_: 1)


def options(root, out, **rest):
    where = {"workdir": str(root / "run"), "cubes": str(root / "cubes"), "out": str(out)}
    settings = {"as_of": small_maps.AS_OF, "batch_size": 2, "smooth": SMOOTH} | where | rest
    return crop_map.Options(**settings)


def content(out: pathlib.Path) -> dict[str, bytes]:
    found = [path for path in out.rglob("*") if path.is_file()]
    return {str(p.relative_to(out)): p.read_bytes() for p in found if p.name[0] != "."}


def test_each_bit_is_that_of_one_process(world, one_a_share, tmp_path, monkeypatch):
    monkeypatch.chdir(world)  # a worker may run in another folder
    relative = options(world, tmp_path / "map", workdir="run", cubes="cubes")
    scheduler = Pickling()
    with crop_map.MapMaker(relative) as maker:
        assert sum(1 for _ in maker.run(scheduler)) == maker.parts == 4
        maker.finish()
    assert len(scheduler.tasks) == 4
    assert set(scheduler.required) == {"--out", "--workdir", "--cubes"}
    assert scheduler.tasks[0].name == "cube c00"
    (first, _), *_ = scheduler.tasks[0].cubes
    assert [one.cube_id for one in first.cubes] != ["c00"]  # what lies next door decides, too
    found, expected = content(tmp_path / "map"), content(world / "map")
    assert set(found) == set(expected)
    for name in found:
        if not name.endswith("map.json"):  # it holds --workdir as it was given
            assert found[name] == expected[name], name


def test_a_map_is_resumed_with_what_is_missing(world, one_a_share, tmp_path):
    scheduler = Pickling()
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        parts = maker.run(scheduler)
        next(parts), next(parts)
        parts.close()
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        assert maker.finished == {"c00", "c01"} and maker.parts == 2
        list(maker.run(scheduler))
        maker.finish()
    assert content(tmp_path) == content(world / "map")


def test_a_worker_writes_nothing_for_a_command_that_ended(world, one_a_share, tmp_path):
    scheduler = Pickling()
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        next(maker.run(scheduler))
    (tmp_path / "c00").rename(tmp_path / ".away")
    with pytest.raises(ValueError, match="expected to work for .*, found it held by nobody$"):
        spread.map_share(scheduler.tasks[0])
    with files.Lock(tmp_path, "--out"):
        lock = tmp_path / files.Lock.NAME
        lock.write_text("predict (process 1 on elsewhere, since then)\n")
        with pytest.raises(ValueError, match="found it held by predict .process 1 on elsewhere"):
            spread.map_share(scheduler.tasks[0])
    assert not small_maps.shown(tmp_path)


def test_a_worker_that_slept_while_it_wrote_does_not_replace_what_came_after(
    world, one_a_share, tmp_path, monkeypatch
):
    scheduler = Pickling()
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        next(maker.run(scheduler))
    before = content(tmp_path)
    share, encode = scheduler.tasks[0], map_rasters.encode
    with files.Lock(tmp_path, "--out"):
        lock = tmp_path / files.Lock.NAME
        lock.write_text(share.job.holder)

        def slow(*args, **rest):
            lock.write_text("predict (process 1 on elsewhere, since then)")
            return encode(*args, **rest)

        monkeypatch.setattr(map_rasters, "encode", slow)
        with pytest.raises(ValueError, match="found it held by predict .process 1 on elsewhere"):
            spread.map_share(share)
    assert content(tmp_path) == before and not list(tmp_path.glob(".*.part"))


def test_a_worker_that_opens_another_run_says_so(world, one_a_share, tmp_path):
    scheduler = Pickling()
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        next(maker.run(scheduler))
    share = scheduler.tasks[0]
    other = dataclasses.replace(share.job.settings, checkpoint="0" * 16)
    job = dataclasses.replace(share.job, settings=other)
    with pytest.raises(ValueError, match="expected the run, mask and fields that the command"):
        spread.map_share(dataclasses.replace(share, job=job))


def test_few_parts_are_one_share_and_many_are_not_too_many():
    def parts(count, halo, workers):
        class Group:
            def pieces(self, _):
                return range(count)

        view = type("View", (), {"mosaic_group": Group()})
        return spread.most_parts(making.What([(view, 0)], {}, {}, {}), halo, workers)

    assert parts(10, 0, 4) == spread.LEAST
    assert (parts(1600, 0, 4), parts(1600, 32, 4)) == (100, 200)
    assert parts(10**5, 0, 0) == spread.MOST


# Worker processes ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("distributed", reason="extra: dask")
    with scheduling.open_scheduler("local:2") as opened:
        yield opened


def test_a_killed_worker_costs_nothing_but_time(world, one_a_share, cluster, tmp_path):
    with crop_map.MapMaker(options(world, tmp_path)) as maker:
        parts = maker.run(cluster)
        next(parts)
        for pid in list(cluster._client.run(os.getpid).values())[:1]:
            os.kill(pid, signal.SIGKILL)
        assert sum(1 for _ in parts) == 3
        maker.finish()
    assert content(tmp_path) == content(world / "map")


def test_a_folder_that_workers_do_not_see(world, cluster, tmp_path):
    with crop_map.MapMaker(options(world, tmp_path)) as maker, moved(world / "run"):
        with pytest.raises(scheduling.Unfit, match="does not see --workdir .*/run: expected a fol"):
            list(maker.run(cluster))
    assert not small_maps.shown(tmp_path)


def test_a_damaged_cube_is_the_same_line(world, one_a_share, cluster, tmp_path):
    raster = world / "cubes" / "c01" / "s2.tif"
    lines, whole = [], raster.read_bytes()
    for scheduler in (None, cluster):
        with crop_map.MapMaker(options(world, tmp_path / f"{len(lines)}")) as maker:
            raster.write_bytes(whole[: len(whole) // 2])
            try:
                with pytest.raises(ValueError) as caught:
                    list(maker.run(scheduler))
            finally:
                raster.write_bytes(whole)
        lines.append(str(caught.value))
    assert lines[0] == lines[1] and str(raster) in lines[0]


@contextlib.contextmanager
def moved(folder: pathlib.Path):
    away = folder.with_name("away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)
