"""Cubes of a catalogue that grow by the newest month are those that a fetch makes whole."""

import dataclasses
import datetime as dt
import shutil

import pytest
from small_catalogue import NO_RADAR, read

from cropmap_jax.geo import cube_io
from cropmap_jax.sources import appending, survey
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import FLAGGED, GROWING, WHOLE
from cropmap_jax.sources.stac import compositing, fetch
from cropmap_jax.sources.stac.source import Source


def fetch_months(folder, world, months, count=None, max_gb=None, **tables):
    """Fetches the first months of the world's cubes."""
    found, options = read(world.cubes, world.scenes, **tables)
    short = [dataclasses.replace(t, periods=t.periods[:months]) for t in found[:count]]
    with Manifest(folder) as book:
        done = fetch.run(short, options, Source(options, 4), book, folder, max_gb=max_gb)
        return done, {row.cube: row for row in book.cubes()}


def rasters(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.glob("*/*.tif")}


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    fetch_months(folder, world, 2)
    return folder


@pytest.fixture(scope="module")
def december(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("december")
    done, _ = fetch_months(folder, world, 1)
    assert done.appended == 0 and "appending" not in done.text()
    return folder


@pytest.fixture
def growing(december, tmp_path):
    shutil.copytree(december, tmp_path / "cubes")
    return tmp_path / "cubes"


def test_appended_rasters_have_the_bytes_of_whole_ones(world, whole, growing, monkeypatch):
    asked, real = set(), compositing.optical
    monkeypatch.setattr(
        compositing, "optical", lambda *args: asked.add(args[-1].name) or real(*args)
    )
    done, rows = fetch_months(growing, world, 2)
    assert (done.whole + done.flagged, done.appended, done.kept, done.failed) == (3, 3, 0, {})
    assert "3 cubes made" in done.text() and "3 of them by appending" in done.text()
    assert asked == {"2022-01-01"}
    assert rasters(growing) == rasters(whole)
    for info in cube_io.list_cubes(growing):
        source, other = info.source, cube_io.read_info(whole / info.cube_id).source
        assert source["key"] == other["key"] and source["facts"] == other["facts"]
        today = dt.datetime.now(dt.UTC).date().isoformat()
        assert source["parts"] == [["2021-12-01", today], ["2022-01-01", today]]
        assert "parts" not in other and rows[info.cube_id].state in (WHOLE, FLAGGED)
        assert set(rows[info.cube_id].missing["s2"]) == {"2021-12-01", "2022-01-01"}
    again, _ = fetch_months(growing, world, 2)
    assert (again.kept, again.files, again.appended) == (3, 0, 0)


def test_what_was_not_appended_in_one_run_is_in_the_next(world, whole, growing):
    done, rows = fetch_months(growing, world, 2, max_gb=1e-4)
    assert (done.appended, done.left) == (1, 2)
    waiting = [row for row in rows.values() if row.state == GROWING]
    assert len(waiting) == 2 and all(set(r.missing["s2"]) == {"2021-12-01"} for r in waiting)
    done, _ = fetch_months(growing, world, 2)
    assert (done.appended, done.kept) == (2, 1)
    assert rasters(growing) == rasters(whole)


def test_interrupted_while_it_writes_a_cube_is_the_old_or_the_new_one(
    world, whole, growing, monkeypatch
):
    before, real = rasters(growing), cube_io.write_cube
    calls = []

    def write(value, folder, *rest):
        calls.append(value.info.cube_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(value, folder, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(cube_io, "write_cube", write)
        with pytest.raises(KeyboardInterrupt):
            fetch_months(growing, world, 2)
    after, new = rasters(growing), rasters(whole)
    for name, data in after.items():
        assert data == (new if name.startswith(calls[0]) else before)[name]
    done, _ = fetch_months(growing, world, 2)
    assert (done.appended, done.kept) == (2, 1)
    assert rasters(growing) == new


def test_other_orbits_bring_all_of_the_radar_again(world, whole, growing):
    name = cube_io.list_cubes(growing)[0].cube_id
    raw = cube_io.read_raw(growing / name)
    source = dict(raw.info.source)
    facts = dict(source["facts"])
    facts["s1"] = facts["s1"] | {"orbits": [7, *facts["s1"]["orbits"]]}
    raw.pixels["s1"][:] = -1234
    info = dataclasses.replace(raw.info, source=source | {"facts": facts})
    cube_io.write_cube(dataclasses.replace(raw, info=info), growing, overwrite=True)
    fetch_months(growing, world, 2, 1)
    for file in (growing / name).glob("*.tif"):
        assert file.read_bytes() == (whole / name / file.name).read_bytes()


def test_orbits_that_come_in_with_new_months_change_nothing(growing):
    info = cube_io.list_cubes(growing)[0]
    was = info.source["facts"]["s1"]
    more = was | {"orbits": [1, *was["orbits"], 2]}
    assert appending.same_orbits(info, "s1", was) and appending.same_orbits(info, "s1", more)
    assert not appending.same_orbits(info, "s1", was | {"orbits": []})
    other = {"ascending": "descending", "descending": "ascending"}[was["direction"]]
    assert not appending.same_orbits(info, "s1", was | {"direction": other})


def test_a_month_that_had_not_ended_is_fetched_again(world, whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "cubes", ignore=shutil.ignore_patterns(".export"))
    monkeypatch.setattr(appending, "made_on", lambda source: dt.date(2022, 1, 31))
    done, _ = fetch_months(tmp_path / "cubes", world, 2)
    assert done.appended == 3 and done.files > 0
    assert rasters(tmp_path / "cubes") == rasters(whole)
    source = {"fetched": "2022-02-01"}
    monkeypatch.undo()
    assert appending.made_on(source) == dt.date(2022, 2, 1)
    assert appending.made_on({"exported": "2022-02-03"}) == dt.date(2022, 2, 3)
    assert appending.made_on({}) == dt.date.max


@pytest.mark.parametrize(
    ("months", "tables", "said"),
    [
        (2, {"s1": {"orbits": "mean"}}, r"1: s1: .*'orbits': 'first'.* there, .*'mean'.* req"),
        (2, {"s2": {"dilate_px": 3}}, "2: s2: .*'dilate_px': 0.* there, .*'dilate_px': 3"),
        (0, {}, "periods: 1 from 2021-12-01 to 2022-01-01 there, 1 from 2022-01-01"),
    ],
    ids=["orbits", "mask", "another_month"],
)
def test_only_the_end_of_the_periods_may_differ(world, growing, months, tables, said):
    found, options = read(world.cubes, world.scenes, **tables)
    target = found[0]
    if not months:
        target = dataclasses.replace(target, periods=target.periods[1:])
    with Manifest(growing) as book, pytest.raises(ValueError, match=said[said.find("s") :]) as e:
        fetch.run([target], options, Source(options, 4), book, growing)
    assert "expected cubes made of the same as is requested now" in str(e.value)
    assert ("periods:" in str(e.value)) == (not months)


def test_fewer_months_than_are_there_are_refused(world, whole):
    with pytest.raises(ValueError, match="2 from .* there, 1 from .* requested"):
        fetch_months(whole, world, 1)


def test_a_plan_counts_what_is_appended_and_changes_nothing(world, growing):
    shutil.rmtree(cube_io.list_cubes(growing)[0].folder)
    before = sorted(growing.rglob("*"))
    found, options = read(world.cubes, world.scenes)
    todo, there = fetch.survey(found, options, None, growing)
    rest, said = survey.to_plan(todo, there, "fetch")
    assert sorted(len(t.periods) for t in rest) == [1, 1, 2] and there == 0
    assert said == "appended to 2 of the cubes below: 2 periods are new, 2 are there\n"
    todo, there = fetch.survey(
        [dataclasses.replace(t, periods=t.periods[:1]) for t in found[1:]], options, None, growing
    )
    rest, said = survey.to_plan(todo, there, "fetch")
    assert rest == [] and "there       2 cubes, which are not fetched again" in said
    assert "nothing is left to be fetched" in said
    assert sorted(growing.rglob("*")) == before


def test_a_damaged_cube_is_not_appended_to(world, growing):
    name = cube_io.list_cubes(growing)[0].cube_id
    file = growing / name / "s2.tif"
    file.write_bytes(file.read_bytes()[:-9])
    done, _ = fetch_months(growing, world, 2)
    assert f"{file}: damaged" in done.failed[name] and "delete" in done.failed[name]
    assert len(done.failed) == 1 and done.appended == 2


def test_cubes_of_one_sensor_grow_too(world, tmp_path):
    for months in (1, 2):
        done, _ = fetch_months(tmp_path / "cubes", world, months, 1, **NO_RADAR)
    fetch_months(tmp_path / "whole", world, 2, 1, **NO_RADAR)
    assert done.appended == 1 and rasters(tmp_path / "cubes") == rasters(tmp_path / "whole")
