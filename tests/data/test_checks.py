"""Checks of single settings: what passes, what does not, and the messages."""

import numpy as np
import pytest

from cropmap_jax.data import checks

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [1, 5, np.int64(3)])
def test_a_whole_number_in_its_range_passes(value):
    checks.whole("n", value, 1, 5)


@pytest.mark.parametrize("value", [0, 6, True, 1.0, "3", None, NAN, [1]])
def test_what_is_no_whole_number_in_its_range_does_not(value):
    with pytest.raises(ValueError, match="^n: expected a whole number from 1 to 5, found "):
        checks.whole("n", value, 1, 5)


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.25)])
def test_a_number_in_its_range_passes(value):
    checks.real("x", value, 0, 1, above=True)


@pytest.mark.parametrize("value", [0, -1e-9, 1.1, NAN, INF, -INF, True, "0.5", None])
def test_what_is_no_number_in_its_range_does_not(value):
    with pytest.raises(ValueError, match="^x: expected a number above 0 and at most 1, found "):
        checks.real("x", value, 0, 1, above=True)


def test_a_choice_is_of_the_same_type():
    checks.choice("c", "a", ("a", "b"))
    checks.switch("s", False)
    for value in (0, 1.0, "True", None):
        with pytest.raises(ValueError, match="^s: expected one of True, False, found "):
            checks.switch("s", value)


def test_a_key_that_is_mistyped_is_told_with_the_nearest():
    checks.keys("config", {"epochs": 1}, ("epochs",), ("keep",))
    with pytest.raises(
        ValueError, match=r"^config.epohcs: .*did you mean config.epochs\? expected"
    ):
        checks.keys("config", {"epochs": 1, "epohcs": 1}, ("epochs",), ("keep",))
    with pytest.raises(ValueError, match="^config.epochs: expected a setting, found none$"):
        checks.keys("config", {}, ("epochs",))


def test_a_long_value_is_cut():
    with pytest.raises(ValueError, match="expected text of at most 9 characters, found 'a+[.]{3}$"):
        checks.text("t", "a" * 10_000, 9)
