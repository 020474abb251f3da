"""Cubes that workers fetched and simulated are those of one process, to the byte."""

import dataclasses
import datetime as dt
import hashlib
import pathlib

import pytest
from small_catalogue import SETTINGS, read

from cropmap_jax import scheduling
from cropmap_jax.sources import appending
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import FAILED, FLAGGED, WHOLE
from cropmap_jax.sources.simulator import run
from cropmap_jax.sources.stac import assembly, fetch, groups, spread
from cropmap_jax.sources.stac.errors import Refused
from cropmap_jax.sources.stac.source import Source
from cropmap_jax.sources.survey import Todo

pytest.importorskip("distributed", reason="extra: dask")


@pytest.fixture(scope="module")
def scheduler():
    with scheduling.open_scheduler("local:2") as opened:
        yield opened


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def fetch_into(folder, world, scheduler, max_gb=None):
    found, options = read(world.cubes, world.scenes)
    with Manifest(folder) as book:
        done = fetch.run(
            found, options, Source(options, 4), book, folder, max_gb=max_gb, scheduler=scheduler,
            threads=2,
        )  # fmt: skip
        return done, [dataclasses.replace(row, at="") for row in book.cubes()], book.timings()


def test_fetched_cubes_are_the_same_bytes(world, scheduler, tmp_path):
    here, rows, timings = fetch_into(tmp_path / "here", world, None)
    there, rows_there, timings_there = fetch_into(tmp_path / "there", world, scheduler)
    assert digests(tmp_path / "there") == digests(tmp_path / "here") != {}
    # And the manifest's process notes what the workers did.
    assert (there.whole, there.flagged, there.failed) == (here.whole, here.flagged, {})
    assert (there.files, there.bytes, there.gone) == (here.files, here.bytes, here.gone)
    assert rows_there == rows
    assert {k: (n, b) for k, (n, _, b) in timings_there.items()} == {
        k: (n, b) for k, (n, _, b) in timings.items()
    }
    again, _, _ = fetch_into(tmp_path / "there", world, scheduler)
    assert (again.kept, again.whole + again.flagged, again.files) == (3, 0, 0)


def test_max_gb_begins_no_further_group(world, scheduler, tmp_path):
    done, _, _ = fetch_into(tmp_path / "cubes", world, scheduler, max_gb=0)
    assert (done.whole + done.flagged, done.left) == (0, 3)


class Losing(scheduling.Scheduler):
    """Loses the workers of one group, and is refused or interrupted where it is asked to be."""

    is_here = False

    def __init__(self, error):
        self.error = error

    def run(self, function, tasks, name=str):
        for n, done in enumerate(super().run(function, tasks, name)):
            if n == 1:
                (one,) = done.task[0].todo
                yield scheduling.Done(done.task, None, self.error(f"{name(done.task)}: given up"))
                (done.task[3] / f".{one.target.cube_id}.1.part").touch()  # of a killed worker
            else:
                yield done


def test_a_group_that_loses_its_workers_fails_and_the_others_are_made(world, tmp_path):
    done, rows, _ = fetch_into(tmp_path / "cubes", world, Losing(scheduling.WorkersLost))
    assert done.whole + done.flagged == 2
    ((cube_id, reason),) = done.failed.items()
    assert reason == f"{cube_id}: given up"
    assert [row.cube for row in rows if row.state == FAILED] == [cube_id]
    assert not list((tmp_path / "cubes").glob(".*.part"))


def test_a_task_that_is_run_again_makes_the_same(world, tmp_path):
    found, options = read(world.cubes, world.scenes)
    first = Todo(found[0], assembly.cube_key(found[0], options))
    (own,) = groups.group([first])
    once = spread.fetch_group(own, options, 2, tmp_path)
    made = digests(tmp_path)
    again = spread.fetch_group(own, options, 2, tmp_path)
    assert (again.cubes, digests(tmp_path)) == (once.cubes, made)
    assert again.files == once.files > 0


def test_a_worker_writes_nothing_for_a_command_that_ended(world, tmp_path):
    found, options = read(world.cubes, world.scenes)
    (own,) = groups.group([Todo(found[0], assembly.cube_key(found[0], options))])
    made = spread.fetch_group(own, options, 2, tmp_path, "fetch (process 1)")
    assert [row.state for row in made.cubes] == [FAILED] and not list(tmp_path.iterdir())
    assert "expected to work for fetch (process 1), found it held by nobody" in made.cubes[0].reason


def test_what_no_repetition_changes_ends_the_run(world, tmp_path):
    with pytest.raises(Refused, match="given up"):
        fetch_into(tmp_path / "cubes", world, Losing(Refused))
    with Manifest(tmp_path / "cubes") as book:
        assert len([row for row in book.cubes() if row.state in (WHOLE, FLAGGED)]) == 1


def test_simulated_cubes_are_the_same_bytes(world, scheduler, tmp_path):
    run.simulate(SETTINGS, tmp_path / "cubes", tmp_path / "truth", scheduler=scheduler)
    assert digests(tmp_path / "cubes") == digests(world.cubes)
    assert digests(tmp_path / "truth") == digests(world.cubes.parent / "truth")


def months(folder, world, count, scheduler=None):
    found, options = read(world.cubes, world.scenes)
    short = [dataclasses.replace(one, periods=one.periods[:count]) for one in found]
    with Manifest(folder) as book:
        return fetch.run(short, options, Source(options, 4), book, folder, scheduler=scheduler)


class Killing(scheduling.Scheduler):
    """Its first worker is killed between moving a cube aside and putting the new one there."""

    is_here = False

    def __init__(self, given_up=False):
        self.given_up = given_up
        self.killed = None

    def run(self, function, tasks, name=str):
        for task in tasks:
            if self.killed is None:
                self.killed = task[0].todo[0].target.cube_id
                folder = task[3]
                (folder / self.killed).rename(folder / f".{self.killed}.1.old")
                if self.given_up:
                    yield scheduling.Done(task, None, scheduling.WorkersLost("given up"))
                    continue
            yield scheduling.Done(task, function(*task), None)


@pytest.mark.parametrize("given_up", [False, True], ids=["again", "given_up"])
def test_a_worker_that_is_lost_in_a_replacement_loses_no_cube(world, tmp_path, given_up):
    folder = tmp_path / "cubes"
    months(folder, world, 1)
    before = digests(folder)
    lost = Killing(given_up)
    done = months(folder, world, 2, lost)
    assert len(done.failed) == given_up and done.appended == 3 - given_up
    after = digests(folder)
    assert set(after) == set(before) and not list(folder.glob(".*.old"))
    assert all(
        (after[name] == before[name]) == given_up
        for name in after
        if name == f"{lost.killed}/item.json"
    )


def test_workers_fetch_a_month_again_that_had_not_ended(world, tmp_path, monkeypatch):
    folder = tmp_path / "cubes"
    months(folder, world, 2)
    (folder / ".export/manifest.sqlite").unlink()
    monkeypatch.setattr(appending, "made_on", lambda source: dt.date(2022, 1, 31))
    done = months(folder, world, 2, Elsewhere())
    assert done.appended == 3 and done.files > 0


class Elsewhere(scheduling.Scheduler):
    """Runs what workers would, in this process."""

    is_here = False
