"""What an export will cost: counted where it can be, and said to be a guess where not."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from cropmap_jax.geo import cube, cube_io, grid, legend
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.earthengine import client, pieces, plan_text, planner
from cropmap_jax.sources.earthengine.options import LabelOptions, Options, S2Options
from cropmap_jax.sources.earthengine.planner import Pilot
from cropmap_jax.sources.stac import options as stac_options
from cropmap_jax.sources.stac import planner as stac_planner
from cropmap_jax.sources.targets import Target

MAP, TILES = Options(), Options(label=LabelOptions("tiles"))
TILE = 128 * 128


def make_target(i=0, months=6, split="train", province="france", season="2017-2018"):
    geobox = grid.tile_geobox(32631, 300 + i, 4000)
    first = dt.date(2017, 12, 1)
    spans = month_periods(first, first + dt.timedelta(days=30 * months - 15))
    assert len(spans) == months
    return Target(
        f"{season}_{i}", geobox, spans, season, grid.block_id(geobox), split, province, {},
        legend.EUCROPMAP,
    )  # fmt: skip


def test_requests_and_bytes_are_those_of_the_pieces():
    targets = [make_target(i, months=6 + i % 3) for i in range(7)]
    limits = pieces.Limits(bytes=500_000, side=100, bands=64)
    uncounted = Options(s2=S2Options(count=False))
    maps = ("s1", "s2", "label")
    for options, sensors in ((MAP, maps), (uncounted, maps), (TILES, ("s1", "s2"))):
        for own in (None, limits):
            plan = planner.make_plan(targets, options, own)
            graphs = {sensor: "abc" for sensor in sensors}
            counted = options.s2.count
            cut = [p for t in targets for p in pieces.pieces_of(t, graphs, own, counted)]
            count = {s: sum(p.sensor == s for p in cut) for s in sensors}
            assert plan.requests == {"orbits": 7} | count
            moved = {s: sum(p.nbytes for p in cut if p.sensor == s) for s in sensors}
            assert plan.moved == moved
    assert plan.requests["s2"] > 7


def test_a_plan_by_hand():
    targets = [make_target(0), make_target(1, split="test"), make_target(2)]
    plan = planner.make_plan(targets, TILES)
    assert plan.cubes == 3 and plan.km2 == pytest.approx(3 * 1.28**2)
    assert list(plan.splits.items()) == [("train", 2), ("test", 1)]
    assert plan.periods == (6, 6) and plan.kind == "month"
    assert (plan.first, plan.last) == ("2017-12-01", "2018-05-31")
    assert plan.requests == {"orbits": 3, "s1": 3, "s2": 3}
    assert plan.moved == {"s1": 3 * TILE * 6 * 2 * 2, "s2": 3 * TILE * 6 * 11 * 2}
    # 2 s for a request, 1 s for a period of S1 and 2 s for one of S2.
    assert plan.seconds == {"orbits": 2.0, "s1": 8.0, "s2": 14.0}
    assert plan.hours == pytest.approx(3 * 24 / 40 / 3600)
    assert planner.make_plan(targets, TILES, in_flight=1).hours == pytest.approx(72 / 3600)
    # 6 months of 8 scenes in 2 bands and 12 scenes in 11.
    low, high = plan.eecu_hours
    values = 3 * TILE * (182 / (365.25 / 12)) * (8 * 2 + 12 * 11)
    assert low == pytest.approx(values / 1e6 * 0.1 / 3600) and high == pytest.approx(20 * low)


def test_periods_that_differ_are_told():
    plan = planner.make_plan([make_target(0, 6), make_target(1, 8)], TILES)
    assert plan.periods == (6, 8) and plan.last == "2018-07-31"
    assert "6 to 8 per cube (month), 2017-12-01 to 2018-07-31" in plan_text.text(plan)
    assert plan.seconds["s2"] == (14 + 18) / 2


def test_orbits_that_nobody_looks_up():
    plan = planner.make_plan([make_target()], MAP, orbits_per_cube=0)
    assert plan.requests == {"s1": 1, "s2": 1, "label": 1}
    assert "orbits" not in plan_text.text(plan)


def test_no_more_than_the_allowed_requests_a_second():
    plan = planner.make_plan([make_target()], TILES)
    plan = dataclasses.replace(plan, seconds=dict.fromkeys(plan.requests, 1e-3))
    assert plan.hours == pytest.approx(3 / 100 / 3600)


def test_no_targets():
    with pytest.raises(ValueError, match="at least one cube"):
        planner.make_plan([], MAP)


def test_a_pilot_refines_hours_but_not_eecu():
    plan = planner.make_plan([make_target(i) for i in range(100)], TILES)
    better = planner.refine(plan, Pilot({"s1": 3.0, "s2": 5.0}, 4))
    assert better.seconds == {"orbits": 2.0, "s1": 3.0, "s2": 5.0}
    assert better.hours == pytest.approx(100 * 10 / 40 / 3600)
    assert better.eecu_hours == plan.eecu_hours
    assert better.measured == {"s1", "s2"} and not plan.measured
    assert "seconds of s1, s2 measured, the rest assumed" in plan_text.text(better)
    assert "a guess" in plan_text.text(better)
    whole = planner.refine(better, Pilot({"orbits": 1.0}, 4))
    assert "seconds as a pilot measured" in plan_text.text(whole)
    # 72 EECU-seconds for 4 of 100 cubes.
    told = planner.refine(plan, Pilot({}, 4, eecu_seconds=72.0))
    assert told.eecu_hours == pytest.approx((0.5, 0.5))
    assert "EECU-hours  0.5, from what a pilot used" in plan_text.text(told)
    assert "guess" not in plan_text.text(told)


@pytest.mark.parametrize(
    "pilot", [Pilot({"label": 1.0}, 4), Pilot({"s1": 0.0}, 4), Pilot({"s1": 1.0}, 0)]
)
def test_pilots_of_nothing(pilot):
    with pytest.raises(ValueError, match="pilot: expected seconds above 0 of orbits, s1, s2"):
        planner.refine(planner.make_plan([make_target()], TILES), pilot)


def test_a_pilot_is_drawn_from_all_over():
    targets = [make_target(i) for i in range(100)]
    assert planner.choose_pilot(targets, 4) == [targets[i] for i in (12, 37, 62, 87)]
    assert planner.choose_pilot(targets[:2], 4) == targets[:2]
    assert planner.choose_pilot(targets, 0) == []


def test_the_text_of_a_plan():
    targets = [make_target(i, split="test" if i == 2 else "train") for i in range(1200)]
    assert plan_text.text(planner.make_plan(targets, MAP)).splitlines() == [
        "cubes       1,200, 1,966 km2: 1,199 train, 1 test",
        "periods     6 per cube (month), 2017-12-01 to 2018-05-31",
        "",
        "                requests   seconds each      to move",
        "  orbits           1,200            2.0            -",
        "  s1               1,200            8.0     471.9 MB",
        "  s2               1,200           14.0       2.6 GB",
        "  label            1,200            2.0      39.3 MB",
        "  all              4,800                      3.1 GB",
        "",
        "disk        1.9 GB of cubes, as simulated ones compress",
        "time        13 min, 40 requests at once; seconds assumed until a pilot has run",
        "EECU-hours  0.5 to 9.7: a guess, until a pilot is looked up in Cloud Monitoring. It",
        "            assumes 12 S2 and 8 S1 scenes a month and 0.1 to 2.0 EECU-seconds per million "
        "values read",
        "            of a month  community (150)      0.3% to 6.4%",
        "                        contributor (1,000)  0.0% to 1.0%",
        "                        partner (100,000)    0.0% to 0.0%",
        "",
        "Sentinel-1 passes of one orbit, at most: once in 12 days of each satellite",
        "       2017  2018",
        "         12    01    02    03    04    05",
        "  S1A   2.6   2.6   2.3   2.6   2.5   2.6",
        "  S1B   2.6   2.6   2.3   2.6   2.5   2.6",
    ]


def test_scenes_per_month():
    targets = [make_target(0), make_target(1), make_target(2, province="spain", months=2)]
    found = planner.places(targets)
    assert [p.name for p in found] == ["france 2017-2018", "spain 2017-2018"]
    west, south, east, north = found[0].box
    for target in targets[:2]:
        lon, lat = grid.to_lonlat(target.geobox)
        assert west < lon < east and south < lat < north
    # Two tiles side by side, of 1.28 km at 46 degrees.
    assert 0.030 < east - west < 0.036 and 0.010 < north - south < 0.013
    assert found[0].periods == targets[0].periods and found[1].periods == targets[2].periods
    counts = ((12, 0, 110, 4, 5, 6), (7, 8))
    scenes = {
        p.name: dict(zip(p.periods, own, strict=True)) for p, own in zip(found, counts, strict=True)
    }
    passes = {
        name: {p: {"S1A": 9, "S1B": i} if i != 1 else {} for i, p in enumerate(row)}
        for name, row in scenes.items()
    }
    plan = planner.make_plan(targets, TILES, scenes=scenes, passes=passes)
    assert plan_text.text(plan).splitlines()[-19:] == [
        "Sentinel-2 scenes that touch a place (0: the composite will be missing)",
        "                    2017  2018",
        "                      12    01    02    03    04    05",
        "  france 2017-2018    12     0   110     4     5     6",
        "                    2017  2018",
        "                      12    01",
        "  spain 2017-2018      7     8",
        "  no scene at all: france 2017-2018 2018-01-01",
        "",
        "Sentinel-1 passes over a place, of all its orbits (a cube takes those of one direction)",
        "                        2017  2018",
        "                          12    01    02    03    04    05",
        "  france 2017-2018 S1A     9     0     9     9     9     9",
        "  france 2017-2018 S1B     0     0     2     3     4     5",
        "                        2017  2018",
        "                          12    01",
        "  spain 2017-2018 S1A      9     0",
        "  spain 2017-2018 S1B      0     0",
        "  no pass at all: france 2017-2018 2018-01-01, spain 2017-2018 2018-01-01",
    ]


def test_places_of_cubes_with_different_periods_are_one():
    a, b = make_target(0, 6), make_target(1, 8)
    (found,) = planner.places([a, b])
    assert found.periods == b.periods


def test_the_server_counts_what_the_plan_says(fault_server):
    targets = [make_target(i, months=2) for i in range(2)]
    limits = pieces.Limits(bytes=400_000)
    plan = planner.make_plan(targets, TILES, limits, orbits_per_cube=0)
    asking = client.Client(fault_server.url, "test")
    got = 0
    for target in targets:
        for piece in pieces.pieces_of(target, {"s1": "", "s2": ""}, limits, count=True):
            where = pieces.grid_of(piece, target.geobox)
            got += asking.fetch({}, piece.bands, where).nbytes
    assert fault_server.counts()["requests"] == sum(plan.requests.values()) == 6
    assert got == sum(plan.moved.values())


def test_the_disk_is_that_of_noisy_cubes(tmp_path):
    # Noise of 50 (S1) and 100 (S2) stored steps takes about what simulated pixels do.
    target = make_target()
    rng = np.random.default_rng(0)
    s1 = rng.normal(-12, 0.5, (6, 128, 128, 2)).astype(np.float32)
    s2 = rng.normal(0.2, 0.01, (6, 128, 128, 10)).astype(np.float32)
    label = rng.integers(0, 3, (128, 128)).astype(np.uint8)
    info = cube.CubeInfo(
        target.cube_id, target.geobox, target.periods, target.legend, target.block, target.split,
        target.season,
    )  # fmt: skip
    folder = cube_io.write_cube(cube.Cube(info, {"s1": s1, "s2": s2}, label), tmp_path)
    found = sum(file.stat().st_size for file in folder.iterdir())
    plan = planner.make_plan([target], MAP)
    assert plan.disk == pytest.approx(found, rel=0.1)


def test_cubes_without_a_province_are_grouped_by_where_they_lie():
    near = [make_target(0, province=""), make_target(1, province="")]
    far = dataclasses.replace(
        make_target(2, province=""), geobox=grid.tile_geobox(32639, 300, 3000)
    )
    found = planner.places([*near, far])
    assert [place.name for place in found] == ["46N 1E 2017-2018", "34N 49E 2017-2018"]
    for place, target in zip(found, (near[0], far), strict=True):
        lon, lat = grid.to_lonlat(target.geobox)
        west, south, east, north = place.box
        assert abs((west + east) / 2 - lon) < 0.05 and abs((south + north) / 2 - lat) < 0.05
    assets = {band: band for band in SENSORS["s2"].bands}
    plan = stac_planner.make_plan(
        [*near, far],
        stac_options.Options(s2=stac_options.S2Options("x", "y", assets=assets)),
        threads=1,
        counted={"s2": {place.name: dict.fromkeys(far.periods, 3) for place in found}},
    )
    # Two groups of cubes, six months, three scenes each.
    assert plan.scenes["s2"] == 2 * 6 * 3
