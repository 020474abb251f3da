import dataclasses
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from cropmap_jax.sources.simulator import landscape, parcels

EUROPE, IRRIGATED = landscape.Style(), landscape.IRRIGATED


def areas_of(site):
    """Hectares of every parcel."""
    return np.bincount(site.parcel.ravel())[1:] / landscape.PIXELS_PER_HA


def check(site, style):
    """What holds for every site."""
    areas = areas_of(site)
    assert site.cover.dtype == np.uint8 and site.parcel.dtype == np.uint32
    assert site.row_direction.dtype == np.float32 and len(site.row_direction) == len(areas) + 1
    assert ((site.row_direction >= 0) & (site.row_direction < math.pi)).all()
    np.testing.assert_array_equal(site.parcel > 0, site.cover == landscape.FIELD)
    assert (areas >= style.min_ha).all() and (areas <= style.max_ha).all()
    for number, box in enumerate(ndimage.find_objects(site.parcel.astype(np.int64)), 1):
        assert ndimage.label(site.parcel[box] == number)[1] == 1


@pytest.mark.parametrize("style", [EUROPE, IRRIGATED])
def test_large_site_follows_its_style(style):
    site = landscape.make_landscape((512, 512), style, seed=1)
    check(site, style)
    areas = areas_of(site)
    assert abs(np.median(areas) / style.field_ha - 1) < 0.25
    # The limits cut off the tails of the log-normal law, so its spread is somewhat smaller.
    assert 0.75 * style.field_spread < np.log(areas).std() < 1.05 * style.field_spread
    for cover, share in (
        (landscape.WOOD, style.wood_share),
        (landscape.BUILT, style.built_share),
        (landscape.WATER, style.water_share),
    ):
        assert abs((site.cover == cover).mean() - share) < 0.003 + 0.1 * share
    assert 0.01 < (site.cover == landscape.ROAD).mean() < 0.06


@hypothesis.given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(64, 110), st.integers(64, 110)),
    field_ha=st.floats(0.4, 9),
    spread=st.floats(0, 1.5),
    hedges=st.floats(0, 1),
    shares=st.tuples(*[st.floats(0, 0.15)] * 3),
)
@hypothesis.settings(max_examples=25)
def test_no_field_outside_the_limits_and_none_in_pieces(
    seed, shape, field_ha, spread, hedges, shares
):
    style = landscape.Style(
        field_ha=field_ha,
        field_spread=spread,
        max_ha=10.0,
        hedge_share=hedges,
        wood_share=shares[0],
        built_share=shares[1],
        water_share=shares[2],
    )
    site = landscape.make_landscape(shape, style, seed)
    assert site.cover.shape == site.parcel.shape == shape
    check(site, style)


def test_a_seed_gives_one_site():
    first, again, other = (landscape.make_landscape((96, 80), EUROPE, s) for s in (5, 5, 6))
    for field in dataclasses.fields(landscape.Landscape):
        one, two = (getattr(site, field.name) for site in (first, again))
        np.testing.assert_array_equal(one, two)
    assert (first.cover != other.cover).any()


def test_a_site_of_fields_alone():
    style = dataclasses.replace(
        EUROPE, wood_share=0.0, built_share=0.0, water_share=0.0, hedge_share=0.0
    )
    site = landscape.make_landscape((128, 128), style, seed=0)
    present = {int(value) for value in np.unique(site.cover)}
    # Scraps between roads become trees whatever the style says.
    assert {landscape.FIELD, landscape.ROAD} <= present <= {0, landscape.ROAD, landscape.WOOD}
    assert (site.cover == landscape.WOOD).mean() < 0.01


def test_fields_are_as_long_as_the_style_says():
    long = dataclasses.replace(EUROPE, elongation=5.0)
    ratios = []
    for style in (dataclasses.replace(EUROPE, elongation=1.0), long):
        site = landscape.make_landscape((256, 256), style, seed=2)
        ratios.append(np.median([aspect(site, i) for i in range(1, int(site.parcel.max()) + 1)]))
    assert ratios[0] < 1.8 and ratios[1] > 3


def aspect(site, number):
    """Length along the rows over width across them."""
    rows, cols = np.nonzero(site.parcel == number)
    east, north = np.sin(site.row_direction[number]), np.cos(site.row_direction[number])
    along, across = cols * east - rows * north, cols * north + rows * east
    return (np.ptp(along) + 1) / (np.ptp(across) + 1)


def test_rows_run_along_their_field():
    site = landscape.make_landscape((256, 256), IRRIGATED, seed=3)
    ratios = [aspect(site, i) for i in range(1, int(site.parcel.max()) + 1)]
    # Not all: hedges and mergers change a few fields after their rows were set.
    assert np.mean(np.array(ratios) >= 1) > 0.97


def test_azimuth_counts_from_north_towards_east():
    # A row of pixels from west to east, worked along it: rows run east, a quarter turn from north.
    west_east = parcels.Piece(np.arange(10), 0.0)
    assert parcels.azimuth(west_east, width=20) == pytest.approx(math.pi / 2)
    # The same angle, but the piece is one column: the longer side runs north.
    north_south = parcels.Piece(np.arange(10) * 20, 0.0)
    assert parcels.azimuth(north_south, width=20) == pytest.approx(0.0)
    # South-east in a raster (rows grow southwards) is 135 degrees.
    diagonal = parcels.Piece(np.arange(10) * 21, math.pi / 4)
    assert parcels.azimuth(diagonal, width=20) == pytest.approx(math.pi * 3 / 4)


@hypothesis.given(seed=st.integers(0, 2**32), share=st.floats(0.05, 0.95), angle=st.floats(0, 3.2))
def test_a_cut_leaves_two_connected_parts(seed, share, angle):
    rng = np.random.default_rng(seed)
    # An L of ground: lines across it leave scraps.
    mask = np.ones((24, 30), bool)
    mask[:16, 10:22] = False
    cells = np.flatnonzero(mask)
    first, second = parcels.cut(parcels.Piece(cells, angle), 30, share, 1.5, 1.0, 0.1, rng)
    both = np.concatenate([first.cells, second.cells])
    np.testing.assert_array_equal(np.sort(both), cells)
    for part in (first, second):
        assert len(part.cells) and len(parcels.connected(part.cells, 30)) == 1


@hypothesis.given(seed=st.integers(0, 2**32), total=st.floats(0.3, 200))
def test_areas_add_up(seed, total):
    areas = parcels.draw_areas(total, 3.0, 0.9, 0.3, 20.0, np.random.default_rng(seed))
    assert sum(areas) == pytest.approx(total)


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"field_ha": 30.0}, "0.3, 30.0, 20.0"),
        ({"min_ha": 0.01}, "0.01"),
        ({"min_ha": 2.0, "max_ha": 4.0}, "4.0 and 2.0"),
        ({"wood_share": 0.6}, "0.6, 0.04"),
        ({"water_share": -0.1}, "-0.1"),
    ],
)
def test_impossible_styles(settings, found):
    with pytest.raises(ValueError, match=found):
        landscape.Style(**settings)


def test_too_small_a_site():
    with pytest.raises(ValueError, match=r"64 x 64 or more, found \(32, 200\)"):
        landscape.make_landscape((32, 200))
