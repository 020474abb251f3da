import dataclasses

import numpy as np
import pytest
import rasterio
import rasterio.warp
from scipy import ndimage

from cropmap_jax.geo.legend import EUCROPMAP, IGNORE, NONE_OF_THESE
from cropmap_jax.sources.simulator import confusion, ground, labels, landscape

EUROPE = confusion.eucropmap()
PLAIN = labels.MapErrors(blur_px=0.0, verge=0.0)
WOOD, GRASS = EUCROPMAP.index("woodland_and_shrubland"), EUCROPMAP.index("grassland")


def squares(crop, side=10):
    """Fields of `side` x `side` pixels: truth and parcels of crops given as [rows, cols]."""
    number = np.arange(1, crop.size + 1).reshape(crop.shape)
    truth, parcel = (np.kron(a, np.ones((side, side), int)) for a in (crop, number))
    return truth.astype(np.uint8), parcel.astype(np.uint32)


def test_no_errors_no_change():
    truth, parcel = squares(np.array([[0, 5], [NONE_OF_THESE, IGNORE]]))
    found = labels.map_errors(truth, parcel, EUROPE, labels.MapErrors(amount=0.0))
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_inside_fields_errors_are_those_of_the_confusion(amount):
    rng = np.random.default_rng(0)
    crop = rng.choice(21, (70, 70), p=confusion.lucas_shares()[:21])
    truth, parcel = squares(crop)
    settings = dataclasses.replace(PLAIN, amount=amount)
    found = labels.map_errors(truth, parcel, EUROPE, settings, seed=1)
    # Published: 76 % of LUCAS points right. Were each of the 4900 fields right or wrong as a whole,
    # the standard error would be sqrt(0.24 * 0.76 / 4900) = 0.006.
    assert (found == truth).mean() == pytest.approx(1 - 0.24 * amount, abs=0.02)
    for name in ("common_wheat", "barley", "grassland", "woodland_and_shrubland"):
        row = EUCROPMAP.index(name)
        taken = np.bincount(found[truth == row], minlength=21)[:21] / (truth == row).sum()
        expected = amount * EUROPE.matrix[row, :21]
        expected[row] = 1 - amount * EUROPE.errors[row]
        np.testing.assert_allclose(taken, expected, atol=0.05)


def test_margins_decide_between_whole_fields_and_pixels():
    truth, parcel = squares(np.zeros((40, 40), int))
    half = confusion.uniform(3, 0.5)
    ragged = []
    for between in (0.0, 1.6, 20.0):
        settings = dataclasses.replace(PLAIN, between_fields=between)
        found = labels.map_errors(truth, parcel, half, settings)
        wrong = (found != truth).reshape(40, 10, 40, 10).mean((1, 3))
        assert wrong.mean() == pytest.approx(0.5, abs=0.05)
        ragged.append(((wrong > 0.02) & (wrong < 0.98)).mean())
    assert ragged[0] > 0.95 > ragged[1] > 0.3 > 0.2 > ragged[2]


def test_roads_are_taken_for_their_verges_and_villages_masked():
    truth = np.full((60, 60), 5, np.uint8)
    truth[:, 20] = NONE_OF_THESE  # a road
    truth[10:30, 35:55] = NONE_OF_THESE  # a village
    truth[40:50, 35:45] = IGNORE
    parcel = np.where(truth == 5, 1, 0).astype(np.uint32)
    found = labels.map_errors(truth, parcel, EUROPE, PLAIN)
    assert set(np.unique(found[:, 20])) <= {0, WOOD, GRASS}
    assert (found[10:30, 35:55] == NONE_OF_THESE).all() and (found == NONE_OF_THESE).sum() == 400
    np.testing.assert_array_equal(found == IGNORE, truth == IGNORE)


def test_borders_shift_and_grow_verges():
    truth, parcel = squares(np.indices((8, 8)).sum(0) % 2 * 5, side=12)
    sure = confusion.Confusion(np.eye(22), EUROPE.verges)
    found = labels.map_errors(truth, parcel, sure)
    border = labels._at_border(parcel)
    wrong = found != truth
    assert not wrong[~ndimage.binary_dilation(border)].any()
    assert 0.25 < wrong[border].mean() < 0.55
    assert {0, 5, GRASS} <= set(np.unique(found))


def test_a_seed_gives_one_map():
    truth, parcel = squares(np.arange(16).reshape(4, 4))
    first, again, other = (labels.map_errors(truth, parcel, EUROPE, None, s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_class_that_the_confusion_lacks():
    truth, parcel = squares(np.array([[0, 30]]))
    with pytest.raises(ValueError, match=r"classes 0\.\.20 and one shape, found class 30"):
        labels.map_errors(truth, parcel, EUROPE)


def test_impossible_settings():
    with pytest.raises(ValueError, match="blur_px of 0 or more.*found -1"):
        labels.MapErrors(blur_px=-1.0)


def texture(label, valid):
    """How a map looks close up: {name: share or number}."""
    pairs = [(label[:, 1:] != label[:, :-1])[valid[:, 1:] & valid[:, :-1]]]
    pairs += [(label[1:] != label[:-1])[valid[1:] & valid[:-1]]]
    sizes, most, prevailing = [], np.zeros(label.shape, np.float32), label.copy()
    for value in np.unique(label[valid]):
        own = (label == value) & valid
        share = ndimage.uniform_filter(own.astype(np.float32), 5)
        prevailing[share > most] = value
        most = np.maximum(share, most)
        sizes.append(np.bincount(ndimage.label(own)[0].ravel())[1:])
    inner = ndimage.binary_erosion(valid, np.ones((5, 5)))
    size = np.concatenate(sizes)
    return {
        "unlike neighbours": np.concatenate(pairs).mean(),
        "unlike most of 5 x 5": (prevailing != label)[inner].mean(),
        "patches per km2": 1e4 * len(size) / size.sum(),
        "in patches of 1 to 4": size[size <= 4].sum() / size.sum(),
        "in patches of 5 to 30": size[(size > 4) & (size <= 30)].sum() / size.sum(),
    }


def danish_truth(shape, seed):
    """Crops in about the shares that the real map shows, grassland in clusters."""
    style = dataclasses.replace(
        landscape.Style(), field_ha=4.0, built_share=0.015, water_share=0.006
    )
    site = landscape.make_landscape(shape, style, seed)
    rng = np.random.default_rng(seed)
    count = int(site.parcel.max()) + 1
    names = ("common_wheat", "barley", "maize", "rye", "rapeseed", "dry_pulses", "fodder_crops")
    crops = np.array([EUCROPMAP.index(name) for name in names])
    shares = np.array([17, 16, 19, 5, 5, 2, 2]) / 66
    crop = rng.choice(crops, count, p=shares)
    area = np.bincount(site.parcel.ravel(), minlength=count)
    wet = np.bincount(site.parcel.ravel(), ground.noise(shape, 30, rng).ravel()) / area
    order = np.argsort(wet[1:] + 0.7 * rng.standard_normal(count - 1)) + 1
    crop[order[np.cumsum(area[order]) < 0.34 * area[1:].sum()]] = GRASS
    truth = np.where(site.cover == landscape.FIELD, crop[site.parcel], NONE_OF_THESE)
    truth[site.cover == landscape.WOOD] = WOOD
    truth[site.cover == landscape.WATER] = IGNORE
    return truth.astype(np.uint8), site.parcel


def test_texture_of_the_real_map(real_dir):
    path = real_dir / "eucropmap" / "eucropmap_2018_denmark.tif"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with rasterio.open(path) as source:
        # Stored in degrees, so columns are 5.7 m wide: back to true pixels of 10 m.
        codes, _ = rasterio.warp.reproject(
            source.read(1), src_transform=source.transform, src_crs=source.crs,
            dst_crs="EPSG:32632", dst_resolution=10.0, dst_nodata=0,
        )  # fmt: skip
    real = texture(np.squeeze(codes), np.squeeze(codes) > 0)
    made = []
    for seed in range(3):
        truth, parcel = danish_truth((470, 309), seed)
        found = labels.map_errors(truth, parcel, EUROPE, None, seed)
        made.append(texture(found, found != IGNORE))
    for name, value in real.items():
        mean = np.mean([one[name] for one in made])
        assert mean == pytest.approx(value, rel=0.25), name
