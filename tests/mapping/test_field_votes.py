"""What pixels say of parcels: counted once, whatever cubes they lie in."""

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.ground_truth import polygons
from cropmap_jax.mapping import field_table, field_votes
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.mapping.field_votes import UNIT, Votes
from cropmap_jax.mapping.parcels import Parcels

CRS = "EPSG:32639"
GRID = GeoBox((6, 8), Affine(10, 0, 500_000, 0, -10, 3_800_060), CRS)
ALL = np.ones(2, bool)
CLASSES = Legend("two", (make_class(0, 1, "rye", "Rye", "#ff0000"),
                         make_class(1, 2, "pea", "Pea", "#00ff00")))  # fmt: skip
SOFTMAX, SIGMOID = Rule(True, 0.5, True), Rule(False, 0.5)


def box(left, bottom, right, top):
    """In pixels from the lower left corner of the grid."""
    return shapely.box(*(10 * np.array([left, bottom, right, top]) + [5e5, 38e5, 5e5, 38e5]))


def parcels(*shapes, crs=CRS, **columns) -> Parcels:
    frame = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=CRS)
    lonlat = polygons.project(frame.geometry.values, CRS, "EPSG:4326")
    if crs != CRS:
        frame = frame.to_crs(crs)
    return Parcels(frame, np.asarray(lonlat, object), ".gpkg")


def shares(seed=0):
    return np.random.default_rng(seed).dirichlet([1, 1, 1], (6, 8)).astype(np.float32)


def count(found, tmp_path, pieces, values, nothing=None, masked=None, possible=ALL):
    """Sums of a map that is cut into these pieces, a cube each."""
    folders = []
    for number, (rows, cols) in enumerate(pieces):
        votes = Votes(found, 2)
        off = [np.zeros((6, 8), bool) if one is None else one for one in (nothing, masked)]
        votes.add(GRID[rows, cols], values[rows, cols], *(one[rows, cols] for one in off))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / field_votes.VOTES).write_bytes(votes.to_bytes())
        folders.append((folder, possible))
    return field_votes.merge(folders, len(found), 2)


WHOLE = [(slice(0, 6), slice(0, 8))]
QUARTERS = [(rows, cols) for rows in (slice(0, 3), slice(3, 6))
            for cols in (slice(0, 5), slice(5, 8))]  # fmt: skip


def test_sums_by_hand(tmp_path):
    values = np.zeros((6, 8, 3), np.float32)
    values[..., 0], values[..., 2] = 0.25, 0.75
    values[0, 0] = 0, 1, 0
    nothing, masked = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    nothing[1, 1] = masked[0, 1] = masked[1, 1] = True
    nothing[1, 0] = True
    one = parcels(box(0, 4, 3, 6))  # the two upper rows, three columns
    found, possible, narrow = count(one, tmp_path, WHOLE, values, nothing, masked)
    # Of six pixels two are masked (seen or not), one was not seen, three count.
    assert (found.pixels, found.unseen, found.masked, found.shared) == (3, 1, 2, 0)
    np.testing.assert_array_equal(found.sums, [[UNIT // 2, UNIT, UNIT * 3 // 2]])
    assert possible.all() and not narrow.any()


SHAPES = [
    box(0, 0, 8, 6),  # all
    box(2.6, 1.2, 7.2, 4.9),  # across all four quarters
    box(4, 2, 6, 4),  # overlaps both
    box(0.6, 0.6, 0.9, 0.9),  # no centre inside
    box(4.98, 2.98, 5.02, 3.02),  # a corner where four pixels meet
    box(20, 20, 30, 30),  # elsewhere
    shapely.Polygon(),
    None,
]


def same(a, b):
    for name in ("sums", "pixels", "unseen", "masked", "shared"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("order", [1, -1])
def test_parcels_across_cubes_are_counted_as_in_one(tmp_path, order):
    values, found = shares(), parcels(*SHAPES)
    nothing = np.random.default_rng(1).random((6, 8)) < 0.2
    whole, _, narrow = count(found, tmp_path, WHOLE, values, nothing)
    other = tmp_path / "other"
    other.mkdir()
    quarters, _, again = count(found, other, QUARTERS[::order], values, nothing)
    same(whole, quarters)
    np.testing.assert_array_equal(narrow, again)
    assert narrow.tolist() == [False, False, False, True, True, False, False, False]
    # Pixel centres inside, by hand: 48; columns 3 to 6, rows 2 to 4 from below; 2 x 2.
    assert whole.inside.tolist() == [48, 16, 4, 1, 1, 0, 0, 0]
    assert whole.shared.tolist() == [16, 16, 4, 0, 0, 0, 0, 0]


def test_a_narrow_parcel_across_a_seam_counts_one_pixel(tmp_path):
    """Centres of one row lie inside in the left cube, none in the right one."""
    thin = shapely.Polygon([(500_000, 3_800_026), (500_050, 3_800_024.9), (500_080, 3_800_024.9),
                            (500_000, 3_800_024)])  # fmt: skip
    found, _, narrow = count(parcels(thin), tmp_path, QUARTERS, shares())
    # At the height of the centres it is 45 m long; the pixel at a point within is not added.
    assert not narrow[0] and found.pixels[0] == 5


def test_parcels_of_another_crs_are_counted_alike(tmp_path):
    values = shares()
    # Borders lie away from centres of pixels, which move by less than a millimetre.
    mine, other = (parcels(*SHAPES[1:3], crs=crs) for crs in (CRS, "EPSG:4326"))
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir(), b.mkdir()
    same(count(mine, a, WHOLE, values)[0], count(other, b, WHOLE, values)[0])
    np.testing.assert_allclose(mine.hectares, other.hectares, rtol=1e-6)
    np.testing.assert_allclose(mine.hectares, [0.1702, 0.04], rtol=1e-3)  # UTM: 0.9996 squared
    assert mine.digest != other.digest


def judged(means, possible=ALL, rule=SOFTMAX, pixels=4):
    count = np.array([pixels])
    sums = np.rint(np.array([means]) * UNIT * pixels).astype(np.int64)
    found = field_votes.Tallies(sums, count, *(np.zeros((3, 1), np.int64)))
    return [v[0] for v in field_table.judge(found, np.array([possible]), CLASSES, rule).values()]


def test_the_class_of_a_mean_and_the_runner_up():
    assert judged([0.2, 0.5, 0.3]) == ["pea", 0.5, "none_of_these", 0.3]
    assert judged([0.2, 0.3, 0.5]) == ["none_of_these", 0.5, "pea", 0.3]
    assert judged([0.6, 0.0, 0.4], [True, False]) == ["rye", 0.6, "none_of_these", 0.4]
    # Classes that do not exclude each other answer one by one.
    assert judged([0.9, 0.7, 0.0], rule=SIGMOID) == ["rye", 0.9, "pea", 0.7]
    assert judged([0.3, 0.2, 0.0], rule=SIGMOID) == ["none_of_these", 0.7, "rye", 0.3]
    assert judged([0.9, 0.0, 0.0], [True, False], SIGMOID)[2:3] == [None]
    empty = judged([0.0, 0.0, 0.0], pixels=0)
    assert empty[::2] == [None, None] and np.isnan(empty[1]) and np.isnan(empty[3])


def test_the_table_keeps_columns_and_says_why_a_class_is_missing(tmp_path):
    values, lost = shares(), np.zeros((6, 8), bool)
    lost[2:4, 4:6] = True
    mine = parcels(*SHAPES, id=range(8), MAP_crop=["mine"] * 8)
    found, possible, narrow = count(mine, tmp_path, WHOLE, values, lost)
    made = field_table.table(
        mine, found, field_table.judge(found, possible, CLASSES, SOFTMAX), narrow, 10.0
    )
    assert list(made.columns) == [
        "id", "MAP_crop", "geometry", "map_crop_2", "map_confidence", "map_second",
        "map_second_confidence", "map_pixels", "map_hectares", "map_mapped_hectares",
        "map_unseen", "map_remark",
    ]  # fmt: skip
    assert made.crs == mine.frame.crs and list(made.MAP_crop) == ["mine"] * 8
    assert list(made.map_pixels) == [44, 12, 0, 1, 0, 0, 0, 0]
    assert list(made.map_mapped_hectares)[:3] == [0.44, 0.12, 0.0]
    assert list(made.map_unseen)[:3] == [round(4 / 48, 4), 0.25, 1.0]
    mean = values[~lost].astype(np.float64).mean(0)
    assert made.map_confidence[0] == pytest.approx(mean.max(), abs=1e-4)
    remarks = made.map_remark.astype(object)
    assert remarks.where(remarks.notna(), None).tolist() == [
        None, None, "no image", "narrow: one pixel, within it", "no image", "outside the map",
        "no polygon", "no polygon",
    ]  # fmt: skip
    assert made.map_crop_2.isna().tolist() == [False, False, True, False, *[True] * 4]
    noted = field_table.notes(found, field_table.remarks(mine, found, narrow))
    assert noted == [
        "--fields: 1 of 8 parcels lie outside of the map: no class",
        "--fields: 2 of 8 parcels are no polygons: no class",
        "--fields: 2 of 8 parcels were seen on no image: no class",
        "--fields: 1 of 8 parcels hold no pixel centre: the pixel at a point within decides",
        "--fields: 3 of 8 parcels overlap: each counts the pixels that they share",
    ]


def test_sums_that_are_not_of_these_parcels_are_refused(tmp_path):
    values = shares()
    count(parcels(*SHAPES), tmp_path, WHOLE, values)
    with pytest.raises(ValueError, match="fields.npz: expected the sums of this map's parcels"):
        field_votes.merge([(tmp_path / "0", ALL)], 2, 2)
    (tmp_path / "0" / field_votes.VOTES).write_bytes(b"PK")
    with pytest.raises(ValueError, match="fields.npz: expected the sums .* remove that folder"):
        field_votes.merge([(tmp_path / "0", ALL)], 8, 2)
