"""Annotated pixels: each is listed once, fields weigh by the square root of their pixels."""

import numpy as np
import pytest
from training import small_data
from training.small_data import Ground

from cropmap_jax.data import pixel_index
from cropmap_jax.data.pixel_index import FieldIndex, PlaceIndex
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

DRAWS = 40_000


def ground(overlap: int = 0):
    """A field of 64 pixels over two chips, one of 4, and 16 pixels of none-of-these."""
    label = np.full((8, 24), IGNORE, np.uint8)
    fields = np.zeros((8, 24), np.uint32)
    label[:, 4:12], fields[:, 4:12] = 0, 7
    label[:2, 14:16], fields[:2, 14:16] = 1, 9
    label[:, 20:22] = NONE_OF_THESE
    return label, small_data.make_dataset([Ground("train", label, fields)], overlap=overlap)


@pytest.mark.parametrize("overlap", [0, 4])
def test_each_annotated_pixel_is_listed_once_whatever_chips_hold_it(overlap):
    label, data = ground(overlap)
    index = FieldIndex(data, "train", data.source("train"))
    assert len(index) == (label != IGNORE).sum()
    assert sorted(index.sizes.tolist()) == [4, 16, 64]


@pytest.mark.parametrize("kind", [FieldIndex, PlaceIndex])
def test_what_is_drawn_is_what_lies_there(kind):
    label, data = ground(overlap=4)
    drawn = kind(data, "train", data.source("train")).draw(np.random.default_rng(0), 1000)
    table = data.split("train")
    row, col = table.row[drawn.chip] + drawn.row, table.col[drawn.chip] + drawn.col
    np.testing.assert_array_equal(label[row, col], drawn.label)
    assert (drawn.label != IGNORE).all() and len(drawn.label) == 1000


def test_a_field_is_drawn_by_the_square_root_of_its_pixels():
    _, data = ground()
    drawn = FieldIndex(data, "train", data.source("train")).draw(np.random.default_rng(1), DRAWS)
    shares = [(drawn.label == one).mean() for one in (0, 1, NONE_OF_THESE)]
    expected = np.array([8, 2, 4]) / 14
    # Five standard errors of a share.
    np.testing.assert_allclose(shares, expected, atol=5 * 0.5 / DRAWS**0.5)
    # Within a field, any pixel alike.
    of_field = drawn.col[drawn.label == 1] + 2 * drawn.row[drawn.label == 1]
    counts = np.unique(of_field, return_counts=True)[1]
    assert len(counts) == 4 and counts.min() > 0.9 * counts.mean()


def test_a_place_is_drawn_by_the_square_root_of_its_annotation():
    _, data = ground()
    drawn = PlaceIndex(data, "train", data.source("train")).draw(np.random.default_rng(1), DRAWS)
    shares = np.bincount(drawn.chip) / DRAWS
    annotated = data.split("train").annotated
    expected = np.sqrt(annotated) / np.sqrt(annotated).sum()
    np.testing.assert_allclose(
        shares, expected, atol=5 * 0.5 / (DRAWS / pixel_index.PER_PLACE) ** 0.5
    )


def test_without_annotation_or_with_too_much_there_is_no_index(monkeypatch):
    empty = small_data.make_dataset([Ground("train", np.full((8, 8), IGNORE, np.uint8))])
    for kind in pixel_index.INDEXES:
        with pytest.raises(ValueError, match="small, split train: expected annotated pixels"):
            pixel_index.make(kind, empty, "train", empty.source("train"))
    monkeypatch.setattr(pixel_index, "MOST_LISTED", 10)
    _, data = ground()
    with pytest.raises(ValueError, match="config.draw_by: expected 'place' .* 84 annotated"):
        pixel_index.make("field", data, "train", data.source("train"))
    pixel_index.make("place", data, "train", data.source("train"))
