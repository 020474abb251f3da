import dataclasses
import datetime as dt
import hashlib
import os
import re
import shutil
import types

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import rasterio
from scipy import ndimage

from cropmap_jax.geo import cube, cube_io, grid, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.sources.simulator import fields, run, sites, worlds

IRAN = sites.Settings(
    world="iran", sites={"train": 1}, tiles=2, first="2022-04-01", last="2022-04-30",
    label="teams", annotated=0.1,
)  # fmt: skip
EUROPE = dataclasses.replace(IRAN, world="europe", label="map", first="2018-05-01",
                             last="2018-05-31")  # fmt: skip


def simulate(settings, root):
    done = run.simulate(settings, root / "cubes", root / "truth", workers=1)
    return done, {info.cube_id: cube_io.read_cube(info.path, verify=True)
                  for info in cube_io.list_cubes(root / "cubes")}  # fmt: skip


def read_truth(root, cube_id, name):
    with rasterio.open(root / "truth" / cube_id / f"{name}.tif") as raster:
        return raster.read(1)


def digests(root):
    """{file: checksum} of every raster below a folder."""
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*.tif"))}  # fmt: skip


def mosaic(settings, tiles):
    """The rasters of a site's tiles, side by side as they lie on the ground."""
    site, side = sites.list_sites(settings)[0], settings.tiles
    out = np.zeros((side * grid.TILE_PX, side * grid.TILE_PX), next(iter(tiles.values())).dtype)
    for cube_id, tile in tiles.items():
        col, row = map(int, cube_id.split("_")[2:])
        top, left = (site.row + side - 1 - row) * grid.TILE_PX, (col - site.col) * grid.TILE_PX
        out[top : top + grid.TILE_PX, left : left + grid.TILE_PX] = tile
    return out


@pytest.fixture(scope="module")
def iran(tmp_path_factory):
    root = tmp_path_factory.mktemp("iran")
    return root, *simulate(IRAN, root)


@pytest.fixture(scope="module")
def europe(tmp_path_factory):
    root = tmp_path_factory.mktemp("europe")
    return root, *simulate(EUROPE, root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": "mars"}, "config.world: expected one of europe, iran, france, found 'mars'"),
        ({"label": "maps"}, "config.label: expected 'map', 'teams' or 'truth', found 'maps'"),
        ({"label": "map"}, "config.label: expected 'teams' or 'truth' for 'iran'"),
        ({"sites": {"tset": 1}}, "config.sites: expected counts of .*found {'tset': 1}"),
        ({"sites": {"train": -1}}, "config.sites: expected counts of .*found {'train': -1}"),
        ({"sites": {}}, "config.sites: expected at least one site, found none"),
        ({"sites": {"train": 0}}, "config.sites: expected at least one site, found none"),
        ({"tiles": 0}, "config.tiles: expected 1 to 8 tiles, found 0"),
        ({"tiles": 9}, "config.tiles: expected 1 to 8 tiles, found 9"),
        ({"annotated": 0.0}, "config.annotated, config.negatives: .*found 0.0, 0.3"),
        ({"negatives": 1.0}, "config.annotated, config.negatives: .*found 0.1, 1.0"),
        ({"map_errors": -1.0}, "config.map_errors: expected 0 or more, found -1.0"),
        ({"map_errors": float("nan")}, "config.map_errors: expected 0 or more, found nan"),
        ({"annotated": float("nan")}, "config.annotated, config.negatives: .*found nan, 0.3"),
        ({"sites": {"train": 10**9}}, "config.sites: expected at most 10000 sites"),
        ({"seed": -1}, "config.seed: expected 0 or more, found -1"),
        ({"first": "soon"}, "config.first: expected a date like 2022-09-01, found 'soon'"),
        ({"last": "2022-03-31"}, "config.last: expected a date from 2022-04-01 on, found 2022-03"),
    ],
)
def test_a_mistake_names_its_setting(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(IRAN, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tyles": 3},
            "config.tyles: no such setting; did you mean 'tiles'.; expected one of world, ",
        ),
        ({"tiles": "2"}, "config.tiles: expected int, found '2'"),
        ({"tiles": True}, "config.tiles: expected int, found True"),
        ({"sites": {"train": 1.5}}, "config.sites: expected counts, found {'train': 1.5}"),
        ({"sites": 4}, "config.sites: expected counts, found 4"),
        ({"annotated": "all"}, "config.annotated: expected float, found 'all'"),
        ({"first": "1822-04-01"}, "config.first: expected a date from 2021 to 2023, .*1822-04-01"),
        ({"last": "9999-12-31"}, "config.last: expected a date from 2021 to 2023"),
    ],
)
def test_a_config_of_other_names_types_or_years_is_refused(change, message):
    good = dataclasses.asdict(IRAN)
    assert sites.Settings.of(good) == IRAN
    assert sites.Settings.of(good | {"annotated": 1}).annotated == 1
    with pytest.raises(ValueError, match=message):
        sites.Settings.of(good | change)
    del good["first"]
    with pytest.raises(ValueError, match="config.first: expected a value, found none"):
        sites.Settings.of(good)


@pytest.mark.parametrize(
    ("world", "counts"),
    [
        # The south lies 460 km below the north in the same zone: its rows of train, three blocks
        # apart, meet those of test there.
        ("france", {"train": 300, "test": 20}),
        ("iran", {"train": 10_000}),  # beyond 84 degrees north
    ],
)
def test_no_two_sites_lie_on_the_same_ground(world, counts):
    settings = dataclasses.replace(IRAN, world=world, sites=counts)
    with pytest.raises(ValueError, match=f"config.sites: expected so few .*{world!r}"):
        sites.list_sites(settings)


def test_periods_are_whole_months():
    settings = dataclasses.replace(IRAN, first="2021-11-20", last="2022-02-03")
    assert [p.name for p in settings.periods] == [
        "2021-11-01", "2021-12-01", "2022-01-01", "2022-02-01",
    ]  # fmt: skip
    assert settings.periods[-1].end == dt.date(2022, 3, 1)


COUNT = st.integers(0, 70)


@hypothesis.given(st.sampled_from(sorted(worlds.WORLDS)), st.tuples(COUNT, COUNT, COUNT),
                  st.integers(1, 8))  # fmt: skip
def test_every_site_has_a_block_of_its_own(world, counts, tiles):
    hypothesis.assume(sum(counts))
    label = "teams" if world == "iran" else "map"
    settings = dataclasses.replace(
        IRAN, world=world, label=label, tiles=tiles,
        sites=dict(zip(splits.SPLITS, counts, strict=True)),
    )  # fmt: skip
    todo = sites.list_sites(settings)
    assert [sum(s.split == name for s in todo) for name in splits.SPLITS] == list(counts)
    blocks = set()
    for site in todo:
        # All corners of a site lie in one block; ids are those of the grid.
        own = set()
        for col in (site.col, site.col + tiles - 1):
            for row in (site.row, site.row + tiles - 1):
                box = grid.tile_geobox(site.region.epsg, col, row)
                own.add(grid.block_id(box))
        assert len(own) == 1
        blocks |= own
    assert len(blocks) == len(todo)
    # Splits are spread over the regions: no region has two sites more of one than another.
    for name in splits.SPLITS:
        per = [sum(s.split == name and s.region is r for s in todo)
               for r in worlds.find(world).regions]  # fmt: skip
        assert max(per) - min(per) <= 1


@hypothesis.given(st.sampled_from(sorted(worlds.WORLDS)), st.tuples(COUNT, COUNT, COUNT),
                  st.integers(0, 2), st.integers(1, 70))  # fmt: skip
def test_more_sites_of_a_split_leave_all_others_where_they_are(world, counts, grown, by):
    hypothesis.assume(sum(counts))
    few = dict(zip(splits.SPLITS, counts, strict=True))
    name = splits.SPLITS[grown]
    more = few | {name: few[name] + by}
    label = "teams" if world == "iran" else "map"
    settings = [dataclasses.replace(IRAN, world=world, label=label, sites=c) for c in (few, more)]
    before, after = (
        [(s.split, s.region.name, s.col, s.row) for s in sites.list_sites(one)] for one in settings
    )
    kept = [place for place in after if place in before]
    assert kept == before and len(after) == len(before) + by
    assert all(split == name for split, *_ in set(after) - set(before))
    assert sites.source(settings[0]) == sites.source(settings[1])


def test_places_by_hand():
    # Khuzestan begins at 250 and 3560 km: block 24, 347 of 10.24 km, whose first tile is 8 times
    # that. Its ninth site of a split begins a row of its own, above one row of each split.
    settings = dataclasses.replace(IRAN, sites={"train": 41, "validation": 6, "test": 1})
    todo = [s for s in sites.list_sites(settings) if s.region.name == "Khuzestan"]
    places = {name: [(s.col // 8, s.row // 8) for s in todo if s.split == name]
              for name in splits.SPLITS}  # fmt: skip
    assert places == {
        "train": [*((24 + i, 347) for i in range(8)), (24, 350)],
        "validation": [(24, 348), (25, 348)],
        "test": [(24, 349)],
    }
    assert all(s.col % 8 == s.row % 8 == 0 for s in todo)


def test_cubes_are_whole_and_know_what_they_are(iran):
    root, done, cubes = iran
    assert (done.written, done.kept) == (4, 0) and done.km2 == pytest.approx(4 * 1.28**2)
    site = sites.list_sites(IRAN)[0]
    expected = {
        f"iran_{grid.tile_id(site.region.epsg, site.col + i, site.row + j)}"
        for i in range(2) for j in range(2)
    }  # fmt: skip
    assert set(cubes) == expected
    for cube_id, one in cubes.items():
        cube.validate(one)
        col, row = map(int, cube_id.split("_")[2:])
        assert one.info.geobox == grid.tile_geobox(site.region.epsg, col, row)
        assert one.info.block == grid.block_id(one.info.geobox)
        assert one.info.periods == IRAN.periods and one.info.has_fields
        assert (one.info.split, one.info.season) == ("train", "2021-2022")
        assert one.info.province == site.region.name
        assert one.info.legend == worlds.IRAN.legend
        assert one.info.harvest == worlds.IRAN.calendar(site.region)
        source = one.info.source
        assert source["made_by"] == "cropmap_jax simulator" and source["seed"] == 0
        assert "sites" not in source
    boxes = [one.info.geobox for one in cubes.values()]
    assert splits.find_overlap(list(cubes), boxes) is None


def test_pixels_are_there_but_for_cloud(iran):
    _, _, cubes = iran
    s1, s2 = (np.concatenate([c.pixels[s] for c in cubes.values()]) for s in ("s1", "s2"))
    assert np.isfinite(s1).all() and 0.2 < np.isfinite(s2).mean() <= 1
    # All bands of a pixel are there, or none.
    there = np.isfinite(s2)
    np.testing.assert_array_equal(there.any(-1), there.all(-1))
    assert (s2[there] > 0).all() and (s2[there] < 1).all()
    assert (s1 > -45).all() and (s1 < 15).all()


def test_tiles_of_a_site_fit_together(iran):
    # A parcel of a site is one piece of ground, and so it is in the mosaic of its tiles; some cross
    # from tile to tile, with one number on both sides.
    root, _, cubes = iran
    parcel = mosaic(IRAN, {k: read_truth(root, k, "parcel") for k in cubes})
    for number, box in enumerate(ndimage.find_objects(parcel.astype(int)), 1):
        assert ndimage.label(parcel[box] == number)[1] == 1
    middle = grid.TILE_PX
    seams = (parcel[middle - 1], parcel[middle]), (parcel[:, middle - 1], parcel[:, middle])
    for one, other in seams:
        assert ((one == other) & (one > 0)).mean() > 0.3
    # Reflectance is continuous across as within: no seam.
    means = {k: np.nanmean(c.pixels["s2"][:, ..., 6], 0) for k, c in cubes.items()}
    image = mosaic(IRAN, means)
    step = np.abs(np.diff(image, axis=0)).mean(1), np.abs(np.diff(image, axis=1)).mean(0)
    for steps in step:
        if np.isfinite(steps[middle - 1]):
            assert steps[middle - 1] < 1.7 * np.nanmedian(steps)


def test_a_site_is_seen_from_its_first_day_to_its_last(tmp_path, monkeypatch):
    settings = dataclasses.replace(EUROPE, tiles=1, first="2018-01-10", last="2018-02-01")
    seen = []

    def grow(world, region, ground, air, new_year, rng):
        seen.append((int(air.days[0]), int(air.days[-1]), new_year))
        return fields.grow(world, region, ground, air, new_year, rng)

    def observe(ground, growth, air, latitude, first, last, rng):
        seen.append((latitude, first, last))
        raise KeyboardInterrupt

    monkeypatch.setattr(sites, "fields", types.SimpleNamespace(plant=fields.plant, grow=grow))
    monkeypatch.setattr(sites.pixels, "observe", observe)
    with pytest.raises(KeyboardInterrupt):
        run.simulate(settings, tmp_path / "cubes", tmp_path / "truth", workers=1)
    # January and February 2018 are days 17532 to 17590; the weather begins 60 days before.
    assert seen[0] == (17532 - 60, 17590, 17532) and seen[1][1:] == (17532, 17590)
    # Flanders: 5650 km north of the equator at 10002 km to the pole.
    assert seen[1][0] == pytest.approx(5650 / 10002 * 90, abs=0.3)


def test_teams_know_some_whole_fields_and_what_they_say_is_true(iran):
    root, _, cubes = iran
    label = mosaic(IRAN, {k: c.label for k, c in cubes.items()})
    ids = mosaic(IRAN, {k: c.fields for k, c in cubes.items()})
    truth, parcel = (
        mosaic(IRAN, {k: read_truth(root, k, name) for k in cubes}) for name in ("truth", "parcel")
    )
    known = label != IGNORE
    np.testing.assert_array_equal(known, ids > 0)
    np.testing.assert_array_equal(label[known], truth[known])
    np.testing.assert_array_equal(ids[known], parcel[known])
    assert known.mean() == pytest.approx(IRAN.annotated, rel=0.25)
    assert (label[known] == NONE_OF_THESE).mean() == pytest.approx(IRAN.negatives, abs=0.12)
    # A field that two tiles share is annotated in both: seen from either side, the same number.
    middle = grid.TILE_PX
    across = ids[:, middle - 1][ids[:, middle - 1] == ids[:, middle]]
    down = ids[middle - 1][ids[middle - 1] == ids[middle]]
    assert (across > 0).any() or (down > 0).any()


def test_truth_is_georeferenced_as_its_cube(iran):
    root, _, cubes = iran
    for cube_id, one in cubes.items():
        for name, dtype, nodata in (("truth", "uint8", IGNORE), ("parcel", "uint32", 0)):
            with rasterio.open(root / "truth" / cube_id / f"{name}.tif") as raster:
                assert raster.dtypes == (dtype,) and raster.nodata == nodata
                assert tuple(raster.transform)[:6] == tuple(one.info.geobox.affine)[:6]
                assert raster.crs.to_epsg() == one.info.geobox.crs.to_epsg()
        assert not [p.name for p in (root / "truth" / cube_id).iterdir() if "part" in p.name]


def test_what_is_missing_is_made_again_and_nothing_else(iran, tmp_path, monkeypatch):
    root, _, cubes = iran
    shutil.copytree(root, tmp_path / "copy")
    before = digests(tmp_path / "copy")
    gone = sorted(cubes)[2]
    shutil.rmtree(tmp_path / "copy" / "cubes" / gone)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy" / "cubes").rglob("*.tif")}
    done, _ = simulate(IRAN, tmp_path / "copy")
    assert (done.written, done.kept) == (1, 3)
    assert digests(tmp_path / "copy") == before
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    # No site is laid out again that is there.
    monkeypatch.setattr(sites, "simulate_site", None)
    done, _ = simulate(IRAN, tmp_path / "copy")
    assert (done.written, done.kept, done.km2) == (0, 4, 0.0)


def test_a_seed_gives_one_world_whatever_else_is_simulated(iran, tmp_path):
    # The same place among other sites, and not the first of them.
    root, _, cubes = iran
    settings = dataclasses.replace(IRAN, sites={"train": 1, "test": 1})
    site = dataclasses.replace(sites.list_sites(settings)[0], number=3)
    made = sites.simulate_site(settings, site, tmp_path / "cubes", tmp_path / "truth")
    assert set(made) == set(cubes)
    assert digests(tmp_path) == digests(root)


def test_another_seed_is_another_world_in_the_same_places(tmp_path):
    one, two = (simulate(dataclasses.replace(IRAN, seed=seed, tiles=1), tmp_path / str(seed))[1]
                for seed in (0, 1))  # fmt: skip
    assert set(one) == set(two)
    (cube_id,) = one
    for name in ("s1", "label"):
        assert (getattr(one[cube_id], name) != getattr(two[cube_id], name)).any()
    truth = [read_truth(tmp_path / seed, cube_id, "truth") for seed in "01"]
    assert (truth[0] != truth[1]).mean() > 0.3


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"seed": 5}, ("seed: 0 there, 5 requested",)),
        ({"annotated": 0.2, "last": "2022-06-30"},
         ("annotated: 0.1 there, 0.2 requested",
          "last: '2022-04-30' there, '2022-06-30' requested")),
    ],
)  # fmt: skip
def test_other_settings_are_refused_and_the_difference_named(iran, change, parts):
    root, _, cubes = iran
    before = digests(root)
    with pytest.raises(ValueError) as error:
        simulate(dataclasses.replace(IRAN, **change), root)
    assert all(part in str(error.value) for part in parts), error.value
    assert re.match(f"{root}/cubes/iran_[0-9_]+: expected a cube", str(error.value))
    assert digests(root) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {}}, "made_by: None there, 'cropmap_jax simulator' requested"),
        ({"split": "validation"}, "found split: 'validation' there, 'train' requested$"),
    ],
)
def test_a_cube_that_is_no_simulated_one_is_refused(iran, tmp_path, change, message):
    _, _, cubes = iran
    one = next(iter(cubes.values()))
    info = dataclasses.replace(one.info, **change)
    cube_io.write_cube(dataclasses.replace(one, info=info), tmp_path / "cubes")
    with pytest.raises(ValueError, match=message):
        simulate(IRAN, tmp_path)


def test_a_map_has_errors_and_no_fields(europe):
    root, _, cubes = europe
    assert len(cubes) == 4
    label = mosaic(EUROPE, {k: c.label for k, c in cubes.items()})
    truth = mosaic(EUROPE, {k: read_truth(root, k, "truth") for k in cubes})
    for one in cubes.values():
        cube.validate(one)
        assert one.fields is None and not one.info.has_fields
        assert not (one.info.path / "fields.tif").exists()
        assert one.info.harvest["*"][0].harvest_start == dt.date(2018, 8, 1)
    # Every pixel is mapped; some are wrong, most are right.
    assert not (label == IGNORE).any()
    assert 0.1 < (label != truth).mean() < 0.6
    # The map masks what is no class with other maps, but for what is narrow.
    assert (label[truth != NONE_OF_THESE] != NONE_OF_THESE).all()


def test_no_errors_and_the_truth_itself(europe, tmp_path):
    root, _, _ = europe
    small = dataclasses.replace(EUROPE, tiles=1)
    for name, settings in (
        ("none", dataclasses.replace(small, map_errors=0.0)),
        ("truth", dataclasses.replace(small, label="truth")),
    ):
        _, cubes = simulate(settings, tmp_path / name)
        (one,) = cubes.values()
        truth = read_truth(tmp_path / name, one.info.cube_id, "truth")
        np.testing.assert_array_equal(one.label, truth)
        if name == "truth":
            parcel = read_truth(tmp_path / name, one.info.cube_id, "parcel")
            np.testing.assert_array_equal(one.fields, parcel)
    # What is requested of the label does not touch the ground: the same tile under either.
    one, two = (digests(tmp_path / name) for name in ("none", "truth"))
    for file in one:
        if "label" not in file:
            assert one[file] == two[file]


def test_an_interrupted_cube_leaves_its_truth_alone(tmp_path, monkeypatch):
    # The truth comes first, so a cube that is there has its truth.
    def stop(value, folder):
        assert (tmp_path / "truth" / value.info.cube_id / "parcel.tif").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(sites.cube_io, "write_cube", stop)
    settings = dataclasses.replace(IRAN, tiles=1)
    with pytest.raises(KeyboardInterrupt):
        run.simulate(settings, tmp_path / "cubes", tmp_path / "truth", workers=1)
    assert not os.path.exists(tmp_path / "cubes")
