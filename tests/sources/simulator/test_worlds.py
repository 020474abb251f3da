import datetime as dt
import math

import numpy as np
import pytest

from configs import simulate
from cropmap_jax.geo import as_of_windows, calendars, grid, periods
from cropmap_jax.geo.legend import EUCROPMAP, ISRC
from cropmap_jax.sources.simulator import phenology, sites, worlds
from cropmap_jax.sources.simulator.phenology import Annual

WORLDS = worlds.WORLDS
REGIONS = {f"{w.name}-{r.name}": (w, r) for w in WORLDS.values() for r in w.regions}


def each(table):
    return pytest.mark.parametrize(("world", "region"), table.values(), ids=table)


def defaults(world):
    return sites.Settings(**simulate.get_config(world.name).to_dict())


def grown(world, region):
    """Keys of the kinds that a region grows."""
    return [key for key in world.kinds if region.weights.get(key, 1.0) > 0]


def test_unknown_world():
    with pytest.raises(ValueError, match="config.world: expected one of europe, iran, france"):
        worlds.find("atlantis")
    assert worlds.find("iran") is worlds.IRAN


def test_legends_are_those_of_the_data():
    assert worlds.EUROPE.legend is worlds.FRANCE.legend is EUCROPMAP
    assert worlds.IRAN.legend is ISRC
    assert worlds.IRAN.season == "2021-2022"


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_every_class_grows_somewhere_and_no_other(world):
    labels = {kind.label for kind in world.kinds.values()} - {None}
    woods = {world.wood} - {None}
    assert labels | woods == set(world.legend.names)
    somewhere = {world.kinds[key].label for r in world.regions for key in grown(world, r)}
    # The French parcels lie where no rice grows.
    missing = {"rice"} if world is worlds.FRANCE else set()
    assert labels - missing == somewhere - {None}
    assert all(kind.share > 0 for kind in world.kinds.values())
    assert len({kind.crop.name for kind in world.kinds.values()}) == len(world.kinds)


@each(REGIONS)
def test_weights_are_of_kinds_that_there_are(world, region):
    assert not set(region.weights) - set(world.kinds)
    assert min(region.weights.values()) >= 0


@each(REGIONS)
def test_a_region_lies_in_its_zone(world, region):
    # The first four blocks of the first row; the sun of the place is that of its latitude.
    for block in range(4):
        site = sites.list_sites(
            sites.Settings(world.name, {"train": 4 * len(world.regions)}, 1, "2022-01-01",
                           "2022-01-31", "truth")
        )[world.regions.index(region) + block * len(world.regions)]  # fmt: skip
        assert site.region is region
        lon, lat = grid.to_lonlat(grid.tile_geobox(region.epsg, site.col, site.row))
        assert grid.utm_epsg(lon, lat) == region.epsg
        assert (25 < lat < 40) if world is worlds.IRAN else (40 < lat < 55)


@each({k: v for k, v in REGIONS.items() if v[0] is worlds.IRAN})
def test_every_crop_has_a_date_in_every_province(world, region):
    calendar = world.calendar(region)
    assert set(calendar) == set(world.legend.names)
    for crop, seasons in calendar.items():
        assert len(seasons) == sum(world.kinds[k].label == crop for k in grown(world, region))
        for season in seasons:
            assert season.planting < season.harvest_start < season.harvest_end
            assert season.season == "2021-2022"
            assert season.harvest_start.year in (2022, 2023)
    kept = calendars.from_json(calendars.to_json(calendar), "test")
    assert kept == calendar


def test_dates_by_hand():
    # Canola is harvested from day 136 on, 15 days earlier in Khuzestan: 121 days after 1 January is
    # 2 May. Maize from day 262 on, 12 days later in West Azerbaijan: 274 days after is 2 October.
    # Canola is planted before winter, by day -40, and half as many days later where spring comes
    # early: by 32 days before 1 January in Khuzestan, 30 November, and by 46 in West Azerbaijan.
    assert phenology.AUTUMN_SHIFT == -0.5
    first, last = (worlds.IRAN.calendar(worlds.IRAN.regions[i]) for i in (0, -1))
    assert first["canola"] == (
        calendars.Season(
            dt.date(2022, 5, 2), dt.date(2022, 6, 30), dt.date(2021, 11, 30), "2021-2022"
        ),
    )
    assert calendars.harvest_start(last, "maize") == dt.date(2022, 10, 2)
    assert last["canola"][0].planting == dt.date(2021, 11, 16)
    assert last["canola"][0].harvest_start == dt.date(2022, 5, 29)
    # Onions are planted in spring, by day 79, and so earlier where spring is: day 64 is 6 March.
    assert first["onion"][0].planting == dt.date(2022, 3, 6)


@pytest.mark.parametrize("world", (worlds.EUROPE, worlds.FRANCE), ids=lambda w: w.name)
def test_a_map_has_one_date_for_all(world):
    calendar = world.calendar(world.regions[0])
    assert set(calendar) == {calendars.ANY_CROP}
    assert calendar[calendars.ANY_CROP][0].harvest_start == dt.date(world.year, 8, 1)


@each(REGIONS)
def test_the_default_periods_hold_every_window_a_month_before_harvest(world, region):
    spans = periods.to_days(defaults(world).periods)
    calendar = world.calendar(region)
    for crop in world.legend.names:
        harvest = calendars.harvest_start(calendar, crop)
        as_of = periods.to_day(harvest) - 30
        indices = as_of_windows.window_indices(spans, as_of, 6)
        assert indices[-1] >= 0 and spans[indices[-1], 1] <= as_of
        # The season is not over before the cube begins: four months are there for the earliest.
        assert (indices != as_of_windows.MISSING).sum() >= 4
        lead = as_of_windows.effective_lead(harvest, periods.from_day(spans[indices[-1], 1]))
        assert 30 <= lead <= 61, (crop, harvest)


@pytest.mark.parametrize("key", worlds.IRAN.seasons)
@pytest.mark.parametrize("shift", sorted({r.shift for r in worlds.IRAN.regions}))
def test_fields_stand_when_the_calendar_says(key, shift):
    planting, start, end = worlds.IRAN.seasons[key]
    planting += shift * (phenology.AUTUMN_SHIFT if planting < 0 else 1)
    start, end = start + shift, end + shift
    crop = worlds.IRAN.kinds[key].crop
    days = np.arange(-150.0, 366.0)
    course = phenology.develop(crop, 60, days, shift, np.random.default_rng(0))
    gone = 366 - (course.stems[:, ::-1] > 0.05).argmax(1)
    # Most fields are harvested between its dates, and the few others within two weeks of them.
    assert np.mean((gone >= start) & (gone <= end)) > 0.7
    assert (gone > start - 15).all() and (gone < end + 15).all()
    # When planting ends the crop is in the ground, but has hardly come up: emergence is 18 days
    # after sowing in spring and 32 in autumn.
    emerged = days[(course.growing > 0.5).argmax(1)]
    assert np.median(emerged) < planting + 40


def test_seasons_are_of_kinds_with_a_class():
    named = {key for key, kind in worlds.IRAN.kinds.items() if kind.label}
    assert set(worlds.IRAN.seasons) == named


def test_negatives_are_like_the_crops_and_not_fallow_alone():
    others = {k: v for k, v in worlds.IRAN.kinds.items() if v.label is None}
    assert sum(isinstance(kind.crop.growth, Annual) for kind in others.values()) >= 4


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_default_settings_are_valid(world):
    settings = defaults(world)
    assert len(settings.periods) == 12 and settings.periods[-1].end == dt.date(world.year, 10, 1)
    assert math.prod((settings.tiles, settings.tiles)) == 16
