"""The land-cover map of a simulated site: right but for its errors, and it changes nothing else."""

import dataclasses
import functools

import numpy as np
import pytest

from cropmap_jax.geo import landcover
from cropmap_jax.sources.simulator import fields, land_cover, landscape, sites, worlds

CODES = dict((name, code) for code, name, _ in landcover.WORLDCOVER.classes)
IRAN = worlds.find("iran")


@functools.cache
def ground():
    return fields.plant(IRAN, IRAN.regions[0], (256, 256), np.random.default_rng(3))


def made(amount, seed=0):
    return land_cover.make_map(IRAN, ground(), amount, seed)


def keys_of(site):
    keys = np.full(site.parcel.shape, "", object)
    inside = site.parcel > 0
    names = np.array(list(IRAN.kinds), object)
    keys[inside] = names[site.kind[site.parcel[inside].astype(int) - 1]]
    return keys


def test_without_errors_it_is_what_covers_the_ground():
    codes, cover, keys = made(0.0), ground().cover, keys_of(ground())
    for value, name in (
        (landscape.BUILT, "built_up"),
        (landscape.WATER, "permanent_water"),
        (landscape.WOOD, "tree_cover"),
        (landscape.ROAD, "built_up"),
    ):
        assert (codes[cover == value] == CODES[name]).all() and (cover == value).any()
    assert (codes[keys == "orchard"] == CODES["tree_cover"]).all()
    assert (codes[keys == "fallow"] == CODES["bare_sparse_vegetation"]).all()
    crops = (ground().truth < 254) & (ground().parcel > 0)
    assert (codes[crops] == CODES["cropland"]).all()


def test_with_errors_most_of_it_is_right_and_roads_are_not_in_it():
    codes, cover = made(1.0), ground().cover
    np.testing.assert_array_equal(codes, made(1.0))
    assert (codes != made(1.0, 1)).any()
    landcover.WORLDCOVER.check_raster(codes, "x")
    crops = ground().truth < 254
    # 15 % of cropland is taken for something else, field by field: of some hundred fields
    # within a half of it; and edges wander.
    wrong = (codes[crops] != CODES["cropland"]).mean()
    assert 0.075 < wrong < 0.3
    right = {v: (codes[cover == v] == made(0.0)[cover == v]).mean() for v in np.unique(cover)}
    assert right[landscape.ROAD] < 0.6 < right[landscape.BUILT]
    # Doubled, there are more of them.
    assert (made(2.0)[crops] != CODES["cropland"]).mean() > wrong


def test_away_from_edges_it_is_more_often_right():
    unknown = np.full(ground().cover.shape, 255, np.uint8)
    shares = []
    for erosion in (0, 1):
        weak = landcover.none_by_map(made(1.0), unknown, (10, 50, 60, 80), erosion)
        shares.append((ground().truth[weak] < 254).mean())
    assert 0 < shares[1] < 0.8 * shares[0]


def test_cubes_record_it_only_where_it_is_wanted():
    plain = sites.Settings(
        world="iran", sites={"train": 1}, tiles=1, first="2022-04-01", last="2022-04-30",
        label="teams",
    )  # fmt: skip
    assert not any("landcover" in key for key in sites.source(plain))
    with_map = dataclasses.replace(plain, landcover=True)
    assert sites.source(with_map)["landcover_errors"] == 1.0
    assert sites.truth_source(plain) == sites.truth_source(with_map)
    with pytest.raises(ValueError, match="^config.landcover_errors: expected 0 or more, found -1"):
        dataclasses.replace(with_map, landcover_errors=-1)
    values = {k: v for k, v in dataclasses.asdict(plain).items()}
    with pytest.raises(ValueError, match="^config.landcover: expected bool, found 1"):
        sites.Settings.of(values | {"landcover": 1})
