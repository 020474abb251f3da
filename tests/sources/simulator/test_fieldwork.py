import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.sources.simulator import fieldwork, landscape

CROPS = np.array([0, 1, 2, 3, NONE_OF_THESE])
SHARES = np.array([0.25, 0.12, 0.08, 0.03, 0.52])


@pytest.fixture(scope="module")
def site():
    """A large site of small fields, its crops and its roads."""
    made = landscape.make_landscape((400, 400), landscape.IRRIGATED, seed=5)
    crop = np.random.default_rng(5).choice(CROPS, int(made.parcel.max()) + 1, p=SHARES)
    return made, crop, np.isin(made.cover, (landscape.ROAD, landscape.BUILT))


def squares(rows, cols, side):
    """Square fields, uint32 [rows * side, cols * side]."""
    number = np.arange(1, rows * cols + 1).reshape(rows, cols)
    return np.kron(number, np.ones((side, side), int)).astype(np.uint32)


@pytest.mark.parametrize("share", [0.02, 0.04, 0.1])
def test_asked_share_and_negatives(site, share):
    made, crop, roads = site
    found = fieldwork.annotate(made.parcel, crop, range(4), share, 0, roads)
    known = found.label != IGNORE
    assert known.mean() == pytest.approx(share, rel=0.15)
    assert (found.label[known] == NONE_OF_THESE).mean() == pytest.approx(0.3, abs=0.05)
    assert found.label.dtype == np.uint8 and found.fields.dtype == np.uint32


def test_labels_are_those_of_the_fields(site):
    made, crop, roads = site
    found = fieldwork.annotate(made.parcel, crop, range(4), 0.05, 1, roads)
    known = found.label != IGNORE
    np.testing.assert_array_equal(known, found.fields > 0)
    np.testing.assert_array_equal(found.fields[known], made.parcel[known])
    np.testing.assert_array_equal(found.label[known], crop[found.fields[known]])


def test_rare_crops_are_sought_out(site):
    made, crop, roads = site

    def rarest(balance):
        team = fieldwork.Team(balance=balance)
        label = fieldwork.annotate(made.parcel, crop, range(4), 0.05, 2, roads, team).label
        return (label == 3).sum() / (label < NONE_OF_THESE).sum()

    # About a sixteenth of the ground under these crops; annotated all alike it is a quarter.
    grown = np.where(made.parcel > 0, crop[made.parcel], IGNORE)
    assert rarest(0.0) == pytest.approx((grown == 3).sum() / (grown < 4).sum(), abs=0.03)
    assert rarest(1.0) == pytest.approx(0.25, abs=0.04)


def test_other_classes_are_passed_by(site):
    made, crop, roads = site
    found = fieldwork.annotate(made.parcel, crop, (1, 3), 0.04, 0, roads)
    assert set(np.unique(found.label)) == {1, 3, NONE_OF_THESE, IGNORE}


def test_fields_lie_in_clusters_near_roads(site):
    made, crop, roads = site
    chosen = np.unique(fieldwork.annotate(made.parcel, crop, range(4), 0.04, 3, roads).fields)[1:]
    everywhere = np.random.default_rng(3).choice(made.parcel.max(), len(chosen), False) + 1

    def nearest(numbers):
        centres = np.array(ndimage.center_of_mass(np.ones(roads.shape), made.parcel, numbers))
        away = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
        return np.median(np.sort(away, 1)[:, 1])

    assert nearest(chosen) < 0.6 * nearest(everywhere)


def test_stops_are_made_by_the_road():
    parcel = squares(20, 20, 10)
    roads = np.zeros(parcel.shape, bool)
    roads[:, 0] = True
    team = fieldwork.Team(reach_m=1.0, roadside_m=50.0)
    crop = np.zeros(401, int)
    found = fieldwork.annotate(parcel, crop, (0,), 0.03, 0, roads, team)
    # Fields are 100 m wide: e^-2 for every column; beyond the fourth less than one in 2000.
    assert found.label[:, 40:].min() == IGNORE and found.label[:, :10].min() == 0


def test_drawn_inside_the_border():
    parcel = squares(3, 3, 8)
    crop = np.zeros(10, int)
    exact, half, whole = (
        fieldwork.annotate(parcel, crop, (0,), 1.0, team=fieldwork.Team(inset_m=inset))
        for inset in ((0.0, 0.0), (5.0, 5.0), (15.0, 15.0))
    )
    # 0, 1 and 2 pixels lost on each side of 8; the middle of a pixel on the border counts as out.
    for found, side in ((exact, 8), (half, 6), (whole, 4)):
        assert (np.bincount(found.fields.ravel())[1:] == side**2).all()


@hypothesis.given(seed=st.integers(0, 2**32), share=st.floats(0, 1), negatives=st.floats(0, 0.9))
def test_fields_are_never_cut(seed, share, negatives):
    rng = np.random.default_rng(seed)
    parcel = squares(5, 6, 6)
    crop = rng.choice([0, 1, NONE_OF_THESE, IGNORE], 31)
    team = fieldwork.Team(negatives=negatives, inset_m=(0.0, 0.0))
    found = fieldwork.annotate(parcel, crop, (0, 1), share, seed, None, team)
    sizes = np.bincount(found.fields.ravel(), minlength=31)[1:]
    assert set(sizes) <= {0, 36}
    assert not (sizes[crop[1:] == IGNORE]).any()


def test_nothing_there_to_annotate():
    parcel = squares(2, 2, 10)
    found = fieldwork.annotate(parcel, np.full(5, IGNORE), (0,), 0.5)
    assert (found.label == IGNORE).all() and not found.fields.any()


def test_a_seed_gives_one_annotation(site):
    made, crop, roads = site
    one, two, other = (fieldwork.annotate(made.parcel, crop, range(4), 0.04, s) for s in (7, 7, 8))
    np.testing.assert_array_equal(one.label, two.label)
    assert (one.label != other.label).any()


def test_wrong_arguments():
    parcel = squares(2, 2, 10)
    with pytest.raises(ValueError, match="crop for each of 4 parcels, found 0.1 and 4 entries"):
        fieldwork.annotate(parcel, np.zeros(4, int), (0,), 0.1)
    with pytest.raises(ValueError, match="found 1.5 and 5"):
        fieldwork.annotate(parcel, np.zeros(5, int), (0,), 1.5)
    with pytest.raises(ValueError, match="found 1.0 and 0.7"):
        fieldwork.Team(negatives=1.0)
