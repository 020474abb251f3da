"""The share that is right, by the date since which a class has held."""

import datetime as dt

import numpy as np

from benchmarks import series


def test_pixels_are_counted_by_the_date_their_class_has_held_since():
    dates = [dt.date(2022, 6, 1), dt.date(2022, 7, 1)]
    maps = [np.array([[0, 1, 0, 254, 254, 255]], np.uint8)]
    maps.append(np.array([[0, 0, 1, 254, 0, 255]], np.uint8))
    truth = np.array([[0, 0, 0, 254, 255, 0]], np.uint8)
    found = series.counts(maps, truth, dates)
    # Since June: one crop, right, and one none, right. Since July: two crops, one of them right;
    # what nobody knows the truth of counts nowhere.
    assert found.tolist() == [[[1, 1], [1, 1]], [[2, 1], [0, 0]]]
