"""What is kept, for how long, and how much of it."""

import numpy as np

from cropmap_jax.inference.cache import Cache

KB = (np.zeros(1000, np.uint8),)


def test_arrays_stay_until_their_last_use():
    cache = Cache(10_000)
    cache.expect("a")
    cache.expect("a")
    assert cache.uses("a") == 2 and cache.uses("b") == 0
    cache.put("a", KB)
    cache.used("a")
    assert "a" in cache and cache.expected("a") and cache.get("a") is KB and cache.size == 1000
    cache.used("a")
    assert "a" not in cache and not cache.expected("a") and cache.get("a") is None
    assert cache.size == 0


def test_what_nobody_expects_is_not_kept():
    cache = Cache(10_000)
    cache.put("a", KB)
    cache.used("a")
    assert cache.get("a") is None and cache.size == 0


def test_the_longest_unused_goes_first_and_the_limit_holds():
    cache = Cache(2500)
    for key in "abc":
        cache.expect(key)
    cache.put("a", KB)
    cache.put("b", KB)
    cache.get("a")
    cache.put("c", KB)
    assert [key in cache for key in "abc"] == [True, False, True]
    assert cache.size == 2000 and cache.expected("b")
    cache.put("a", KB * 3)
    assert cache.size == 0  # too large by itself
