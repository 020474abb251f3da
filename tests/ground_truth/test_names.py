"""Free-text names: one spelling of what looks alike, and what it stands for."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.ground_truth import names
from cropmap_jax.ground_truth.settings import NONE, UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  winter   wheat\t", "winter wheat"),
        ("winter\u00a0wheat", "winter wheat"),
        ("\u064a\u0643", "\u06cc\u06a9"),  # Arabic ye and kaf
        ("\u0649", "\u06cc"),  # alef maksura, a ye without dots
        ("\u06cc\u200c\u062c", "\u06cc\u062c"),  # a joiner that parts two letters unseen
        ("\ufeffpea\u200f\x00", "pea"),
        ("ma\u0131\u0308s", "ma\u0131\u0308s"),
        ("mai\u0308s", "ma\u00efs"),  # NFC
        (" \u200c ", ""),
        (None, ""),
        (float("nan"), ""),
        (12.0, "12"),
        (12.5, "12.5"),
        (7, "7"),
        ("Pea", "Pea"),
    ],
)  # fmt: skip
def test_normalise(text, expected):
    assert names.normalise(text) == expected


@given(st.text(max_size=12))
def test_normalise_has_nothing_left_to_do(text):
    once = names.normalise(text)
    assert names.normalise(once) == once == once.strip()
    assert "  " not in once


def test_decide():
    table = {"\u06a9\u0644\u0632\u0627": "canola", "Winter wheat": NONE, "ploughed": UNKNOWN}
    texts = ["\u0643\u0644\u0632\u0627 ", "winter  WHEAT", "ploughed", "rye", " rye", None, ""]
    crops, unlisted = names.decide(texts, table)
    assert crops == ["canola", NONE, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert unlisted == collections.Counter({"rye": 2, "": 2})


def test_no_text_may_be_listed():
    assert names.decide([None, "x"], {"": NONE}) == ([NONE, UNKNOWN], {"x": 1})


def test_two_meanings_of_one_name_are_refused():
    assert names.decide(["pea"], {"pea": "pea", " Pea": "pea"})[0] == ["pea"]
    with pytest.raises(ValueError, match="expected one meaning of ' Pea', found 'pea' and 'maize'"):
        names.decide(["pea"], {"pea": "pea", " Pea": "maize"})


@pytest.mark.parametrize(
    "spelling",
    [
        "گندم آبی",
        "\u06af\u0646\u062f\u0645 \u0622\u0628\u064a",  # an Arabic keyboard's ye
        "\u06af\u0646\u062f\u0645 \u0627\u0653\u0628\u06cc",  # alef and its sign apart
        "\u200fگندم \u200cآبی\ufeff",
        "گنـــدم آبی",
        "\ufb94\ufee8\ufeaa\ufee1 \ufe81\ufe91\ufbfd",  # letters by their forms, as of old PDFs
    ],
)
def test_spellings_of_one_name(spelling):
    assert names.decide([spelling], {"گندم آبی": "wheat"})[0] == ["wheat"]


def test_names_in_other_scripts():
    listed = {"冬小麦": "a", "Wheat": "b", "ble\u0301 TENDRE": "c"}
    found, unlisted = names.decide(["冬小麦", "ＷＨＥＡＴ", "Blé tendre", "مکه"], listed)
    assert found == ["a", "b", "c", UNKNOWN] and list(unlisted) == ["مکه"]


def test_spaces_do_not_count_unless_they_tell_names_apart():
    listed = {"چغندرقند": "beet", "plot 1": "a", "a b": "c", "ab": "d"}
    given = ["چغندر قند", "چغندر\u200cقند", "plot۱", "A B", "AB", "a  b", "plot 2"]
    found, unlisted = names.decide(given, listed)
    assert found == ["beet", "beet", "a", "c", "d", "c", UNKNOWN] and list(unlisted) == ["plot 2"]
