"""What is kept, for how long, and how much of it."""

import numpy as np

from cropmap_jax.inference.cache import Cache

KB = (np.zeros(1000, np.uint8),)


def test_arrays_stay_until_their_last_use():
    shelf = Cache(10_000)
    shelf.expect("a")
    shelf.expect("a")
    shelf.put("a", KB)
    shelf.used("a")
    assert "a" in shelf and shelf.expected("a") and shelf.get("a") is KB and shelf.size == 1000
    shelf.used("a")
    assert "a" not in shelf and not shelf.expected("a") and shelf.get("a") is None
    assert shelf.size == 0


def test_what_nobody_expects_is_not_kept():
    shelf = Cache(10_000)
    shelf.put("a", KB)
    shelf.used("a")
    assert shelf.get("a") is None and shelf.size == 0


def test_the_longest_unused_goes_first_and_the_limit_holds():
    shelf = Cache(2500)
    for key in "abc":
        shelf.expect(key)
    shelf.put("a", KB)
    shelf.put("b", KB)
    shelf.get("a")
    shelf.put("c", KB)
    assert [key in shelf for key in "abc"] == [True, False, True]
    assert shelf.size == 2000 and shelf.expected("b")
    shelf.put("a", KB * 3)
    assert shelf.size == 0  # too large by itself
