"""Suggestions for a word that is not known."""

import pytest

from cropmap_jax.geo.names import nearest


@pytest.mark.parametrize(
    "word, suggestion",
    [("tomatoe", "Tomato"), ("PEA", "Pea"), ("گندم\u200c", "گندم"), ("xyz", ""), ("", "")],
)
def test_the_nearest_word_is_suggested_as_it_is_written(word, suggestion):
    found = nearest(word, ["Tomato", "Pea", "گندم"])
    assert found == (f"; did you mean {suggestion!r}?" if suggestion else "")
