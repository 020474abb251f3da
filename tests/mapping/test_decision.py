"""What is shown, and with which confidence."""

import numpy as np
import pytest

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.mapping.decision import decide

ALL = np.ones(3, bool)


def one(probability, possible=ALL, exclusive=False, threshold=0.5, none=False) -> tuple[int, int]:
    values = np.array([[probability]], np.float32)
    crop, confidence = decide(values, np.asarray(possible), exclusive, threshold, none)
    assert crop.dtype == confidence.dtype == np.uint8 and crop.shape == (1, 1)
    return int(crop[0, 0]), int(confidence[0, 0])


def test_a_sigmoid_head_shows_the_most_probable_class_that_reaches_the_threshold():
    assert one([0.2, 0.93, 0.9]) == (1, 93)
    assert one([0.2, 0.3, 0.1]) == (NONE_OF_THESE, 70)
    assert one([0.35, 0.1, 0.0], threshold=0.35) == (0, 35)  # equal is enough
    assert one([0.0, 0.0, 0.0]) == (NONE_OF_THESE, 100)
    assert one([0.6, 0.6, 0.1]) == (0, 60)


def test_a_softmax_head_shows_the_most_probable_class_whatever_the_threshold():
    assert one([0.3, 0.4, 0.3], exclusive=True) == (1, 40)
    assert one([0.3, 0.4, 0.3], exclusive=True, threshold=0.9) == (1, 40)


def test_a_softmax_head_with_none_of_these_shows_that_where_it_is_more_probable():
    assert one([0.3, 0.4, 0.0], exclusive=True, none=True) == (1, 40)
    assert one([0.2, 0.3, 0.0], exclusive=True, none=True) == (NONE_OF_THESE, 50)
    # What is impossible is taken out, and the rest is shared.
    assert one([0.2, 0.5, 0.0], [True, False, True], True, none=True) == (NONE_OF_THESE, 60)
    assert one([0.2, 0.7, 0.0], [True, False, True], True, none=True) == (0, 67)
    assert one([0.0, 1.0, 0.0], [True, False, True], True, none=True) == (0, 0)


def test_an_impossible_class_is_never_shown():
    assert one([0.2, 0.93, 0.9], [True, False, True]) == (2, 90)
    assert one([0.2, 0.93, 0.4], [True, False, True]) == (NONE_OF_THESE, 60)
    # Training takes it out of the softmax: the others share what there is.
    assert one([0.1, 0.6, 0.3], [True, False, True], True) == (2, 75)
    assert one([0.0, 1.0, 0.0], [False, False, True], True) == (2, 0)
    assert one([0.0, 1.0, 0.0], [False, False, True], threshold=0.0) == (2, 0)


@pytest.mark.parametrize(("exclusive", "none"), [(False, False), (True, False), (True, True)])
def test_nothing_seen_is_no_data(exclusive, none):
    values = np.array([[[0.1, 0.2, 0.7]], [[np.nan] * 3]], np.float32)
    crop, confidence = decide(values, ALL, exclusive, 0.5, none)
    assert crop.ravel().tolist() == [2, IGNORE]
    assert confidence.ravel().tolist() == [70, IGNORE]
