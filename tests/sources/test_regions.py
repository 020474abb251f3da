"""Boxes of longitude and latitude that are taken and refused."""

import datetime as dt

import pytest

from cropmap_jax.sources import regions

BOX = (2.0, 48.0, 2.27, 48.2)
ROW = {"box": BOX, "country": "france", "harvest": "2018-08-01"}


def region(box=BOX, split=""):
    return regions.Region("a", box, "france", dt.date(2018, 8, 1), split)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((179.5, 60.0, -179.5, 60.5), "antimeridian"),
        ((179.5, 60.0, 180.5, 60.5), "antimeridian"),
        ((2.0, 48.0, 8.9, 48.2), "at most 500 km from side to side, found 515 km by 22 km"),
        ((2.0, 48.0, 2.2, 52.6), "at most 500 km"),
        # The short way round is 222 km.
        ((-179.0, 0.0, 179.0, 1.0), "at most 500 km"),
        ((2.0, 48.0, 2.0, 48.2), "west < east"),
        ((2.0, 48.2, 2.2, 48.0), "south < north"),
        ((2.0, 83.9, 2.2, 84.1), "latitudes of UTM"),
        ((2.0, -80.5, 2.2, -79.9), "latitudes of UTM"),
        ((2.0, 48.0, float("nan"), 48.2), "degrees"),
        ((2.0, 48.0, 2.2), "degrees"),
    ],
)
def test_boxes_that_are_refused(box, message):
    with pytest.raises(ValueError, match=f"region a: .*{message}"):
        region(box)


def test_a_region_just_below_500_km_is_taken():
    assert region((2.0, 48.0, 8.69, 48.2)).epsg == 32631


def test_regions_are_read_from_a_config():
    assert regions.read_regions({"a": ROW}) == [region()]
    assert regions.read_regions({"a": ROW | {"split": "test"}}) == [region(split="test")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"harvest": "01/08/2018"}, "config.regions.a.harvest: expected a date like"),
        ({"harvest": "2018-08"}, "config.regions.a.harvest: expected a date like"),
        ({"box": "2 48 3 49"}, "config.regions.a.box: expected"),
        ({"box": 3}, "config.regions.a.box: expected"),
        ({"split": "valid"}, "region a: expected a split of train, validation, test"),
        ({"splits": "test"}, "config.regions.a: expected box, country, harvest and split"),
    ],
)
def test_wrong_configs_of_regions(change, message):
    with pytest.raises(ValueError, match=message):
        regions.read_regions({"a": ROW | change})


def test_missing_regions_and_keys():
    with pytest.raises(ValueError, match="at least one region"):
        regions.read_regions({})
    with pytest.raises(ValueError, match="config.regions.a: expected box"):
        regions.read_regions({"a": {"box": BOX, "country": "france"}})
