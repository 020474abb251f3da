"""Legends: codes to labels, names to indices, and what is refused."""

import csv
import json
import re

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.geo import legend
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend, make_class

TWO = Legend("two", (make_class(0, 30, "wheat"), make_class(1, 10, "maize")), none_of_these=(99,))


def test_encode_by_hand():
    # Label indices follow the order of the classes, not of the codes: 30 -> 0, 10 -> 1.
    codes = np.array([[30, 10, 99], [10, 30, 30]], np.int16)
    np.testing.assert_array_equal(TWO.encode(codes), [[0, 1, 254], [1, 0, 0]])
    assert TWO.encode(codes).dtype == np.uint8


def test_encode_masked_and_missing_are_unknown():
    codes = np.ma.array([30, 10, 99, 7, -1], mask=[True, False, True, True, False])
    # The masked 7 is in no legend, and must not be looked at; -1 is declared missing.
    np.testing.assert_array_equal(TWO.encode(codes, missing=[-1]), [255, 1, 255, 255, 255])


def test_encode_refuses_an_unknown_code():
    with pytest.raises(ValueError, match=r"map\.tif: found code 7, 8, .*'two'.*expected.*30, 10"):
        TWO.encode(np.array([30, 8, 7]), where="map.tif")


@given(st.lists(st.sampled_from([30, 10, 99, -5]), min_size=1), st.data())
def test_encode_is_pixel_by_pixel(values, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    table = {30: 0, 10: 1, 99: NONE_OF_THESE, -5: IGNORE}
    expected = [IGNORE if m else table[v] for v, m in zip(values, mask, strict=True)]
    found = TWO.encode(np.ma.array(values, mask=mask), missing=(-5,))
    assert found.tolist() == expected


def test_index_suggests_the_nearest_name():
    assert TWO.index("maize") == 1
    with pytest.raises(ValueError, match="'wheet'.*'two'.*did you mean 'wheat'.*wheat, maize"):
        TWO.index("wheet")


@pytest.mark.parametrize(
    ("classes", "none", "message"),
    [
        ((), (), "expected 1 to 254 classes, found 0"),
        (tuple(make_class(i, i, f"c{i}") for i in range(255)), (), "1 to 254 classes, found 255"),
        ((make_class(0, 1, "a"), make_class(1, 1, "b")), (), "code 1 is repeated"),
        ((make_class(0, 1, "a"), make_class(1, 2, "a")), (), "name a is repeated"),
        ((make_class(0, 1, "a"),), (1,), "code 1 is a class and none of these"),
    ],
)
def test_inconsistent_legends_are_refused(classes, none, message):
    with pytest.raises(ValueError, match=f"legend 'bad': .*{message}"):
        Legend("bad", classes, none)


def test_largest_legend_leaves_254_and_255_free():
    full = Legend("full", tuple(make_class(i, i, f"c{i}") for i in range(254)))
    assert full.encode(np.array([253])).tolist() == [253]


def test_make_class_fills_in():
    made = make_class(1, 5, "Rape seed", colour="#ABCDEF")
    assert (made.code, made.name, made.title, made.colour) == (
        5,
        "rape_seed",
        "Rape seed",
        "#abcdef",
    )
    assert re.fullmatch("#[0-9a-f]{6}", make_class(1000, 5, "x").colour)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("a", None, "red"), "'a': expected a colour like #a57000, found 'red'"),
        (("--", None, None), "class 7: expected a name with letters, found '--'"),
    ],
)
def test_make_class_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        make_class(0, 7, *settings)


@pytest.mark.parametrize("value", [TWO, legend.EUCROPMAP, legend.ISRC])
def test_json_round_trip(value, tmp_path):
    file = tmp_path / "legend.json"
    file.write_text(json.dumps(value.to_json()))
    assert legend.load_legend(str(file)) == value


def test_load_legend_built_in_and_short_form(tmp_path):
    assert legend.load_legend("eucropmap") is legend.EUCROPMAP
    file = tmp_path / "short.json"
    file.write_text(
        json.dumps({"name": "short", "classes": [{"code": 3, "name": "Blé dur"}]}), "utf-8"
    )
    (made,) = legend.load_legend(str(file)).classes
    assert (made.code, made.name, made.title) == (3, "ble_dur", "Blé dur")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON, found"),
        ("[]", "expected {'name', 'classes'.* found list"),
        ('{"name": "a"}', "problem at 'classes'"),
        ('{"name": "a", "classes": [{"code": 1}]}', "problem at 'name'"),
        ('{"name": "a", "classes": [{"code": "x", "name": "b"}]}', "'x'"),
        ('{"name": "a", "classes": [{"code": 1, "name": "b", "colour": "red"}]}', "found 'red'"),
        ('{"name": "a", "classes": []}', "expected 1 to 254 classes"),
    ],
)
def test_load_legend_names_the_file(tmp_path, text, message):
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"mine\.json: .*{message}"):
        legend.load_legend(str(file))


def test_load_legend_of_nothing():
    with pytest.raises(ValueError, match="'nothing'.*neither a file nor.*eucropmap, isrc"):
        legend.load_legend("nothing")


def test_eucropmap_has_21_classes_and_4_negatives():
    codes = np.array([211, 290, 300, 500, 100, 600, 700, 800])
    # 211 is the first class, 290, 300 and 500 the last three of 21; the rest are negatives.
    assert legend.EUCROPMAP.encode(codes).tolist() == [0, 18, 19, 20, 254, 254, 254, 254]
    assert len(legend.EUCROPMAP) == 21
    assert len({c.colour for c in legend.EUCROPMAP.classes}) == 21
    with pytest.raises(ValueError, match="found code 0"):
        legend.EUCROPMAP.encode(np.array([0]))


def test_isrc_codes_are_the_label_indices():
    assert [c.code for c in legend.ISRC.classes] == list(range(8))
    assert legend.ISRC.index("tomato") == 7


@pytest.mark.parametrize("value", [legend.EUCROPMAP, legend.ISRC])
def test_names_fit_a_command_line_and_stac(value):
    assert all(re.fullmatch("[0-9A-Za-z_-]+", name) for name in value.names)


def test_eucropmap_agrees_with_the_published_legend(real_dir):
    with open(real_dir / "eucropmap" / "eucropmap_legend.csv", newline="") as file:
        published = {int(row["code"]): row["name"] for row in csv.DictReader(file)}
    ours = {c.code: c.title for c in legend.EUCROPMAP.classes}
    assert set(published) - set(ours) == set(legend.EUCROPMAP.none_of_these)
    # The CSV adds a remark in brackets to one name.
    assert ours == {k: re.sub(r" \(incl.*\)", "", published[k]) for k in ours}


def test_eucropmap_encodes_a_real_map(real_dir):
    with rasterio.open(real_dir / "eucropmap" / "eucropmap_2018_denmark.tif") as raster:
        codes = raster.read(1)
    label = legend.EUCROPMAP.encode(codes)
    for name, code in (("common_wheat", 211), ("maize", 216), ("grassland", 500)):
        np.testing.assert_array_equal(label == legend.EUCROPMAP.index(name), codes == code)
    np.testing.assert_array_equal(label == NONE_OF_THESE, np.isin(codes, [100, 600, 700, 800]))
    assert not (label == IGNORE).any()


# Names in any script ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Spring wheat", "spring_wheat"),
        ("Blé dur", "ble_dur"),
        ("Weißkohl", "weisskohl"),
        ("Żyto", "zyto"),
        ("Rød kløver", "rod_klover"),
        ("İncir", "incir"),
        ("ｗｈｅａｔ", "wheat"),
        ("Maize ۱", "maize_1"),
        ("?", ""),
    ],
)
def test_latin_names_fold_to_ascii(title, expected):
    assert legend.slug(title) == expected


NAMES = [
    "گندم",
    "ذرت",
    "小麦",
    "玉米",
    "пшеница",
    "рожь",
    "ガ",
    "カ",
    "अंगूर",
    "अगर",
    "μ",
    "сой",
    "сои",
]


def test_names_of_other_scripts_stay_apart_and_fit_stac():
    slugs = [legend.slug(name) for name in NAMES]
    assert len(set(slugs)) == len(NAMES)
    assert all(re.fullmatch("[0-9A-Za-z_-]+", name) for name in slugs)
    # Written down in cubes: it must never change.
    assert legend.slug("گندم") == "name_ebef1739"
    assert legend.slug("maïs — گندم").startswith("mais_")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("يونجه", "یونجه"),  # Arabic and Persian ye
        ("كنجد", "کنجد"),  # and kaf
        ("سیب‌زمینی", "سیب زمینی"),  # joined without a join, and spaced
        ("سیب‌زمینی", "سیبزمینی"),
        ("مزرعه ۱۲", "مزرعه 12"),
        ("گنـــدم", "گندم"),
        ("Пшеница", "пшеница"),
        ("Ble\u0301", "Bl\u00e9"),
        ("\ufeffگندم \u200f", "گندم"),
        ("ｶﾞ", "ガ"),
    ],
)
def test_one_name_typed_two_ways_is_one_id(one, other):
    assert legend.slug(one) == legend.slug(other)


def test_a_class_is_found_by_id_and_by_title():
    rows = [(0, 1, "گندم", None), (1, 2, "maize", "ذرت"), (2, 3, "Rape seed", None)]
    classes = Legend("fa", tuple(make_class(*row) for row in rows))
    assert [classes.index(name) for name in classes.names] == [0, 1, 2]
    assert [classes.index(name) for name in ("گندم ", "ذرت", "Rape seed")] == [0, 1, 2]
    with pytest.raises(ValueError, match="did you mean 'گندم'.*expected one of name_.* \\(گندم\\)"):
        classes.index("گندمم")
    twice = Legend("t", (make_class(0, 1, "a", "Same"), make_class(1, 2, "b", "Same")))
    with pytest.raises(ValueError, match="'Same' is the title of several.*expected one of a, b"):
        twice.index("Same")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": 1.5}, "whole number as code, found 1.5"),
        ({"code": True}, "whole number as code, found True"),
        ({"code": float("inf")}, "problem at cannot convert"),
        ({"code": 2**60}, "whole number as code"),
        ({"name": ["a"]}, "expected text as the name"),
        ({"colour": 5}, "expected a colour"),
        ({"name": "x" * 201}, "at most 200 characters"),
    ],
)
def test_json_of_other_types_is_refused(changes, message):
    value = {"name": "x", "classes": [{"code": 1, "name": "a"} | changes]}
    with pytest.raises(ValueError, match=f"^file: .*{message}"):
        Legend.from_json(value, "file")


def test_a_title_is_one_line():
    assert make_class(0, 1, "a", "Rape\x00\nseed ").title == "Rape seed"


def test_two_titles_that_come_to_one_name_are_both_named():
    rows = [{"code": 1, "name": "Blé"}, {"code": 2, "name": "Ble"}]
    with pytest.raises(ValueError, match=r"name ble is repeated: classes 1 \('Blé'\) and 2 \('Ble"):
        Legend.from_json({"name": "x", "classes": rows})
    with pytest.raises(ValueError, match="expected a list as none_of_these, found '100'"):
        Legend.from_json({"name": "x", "classes": rows[:1], "none_of_these": "100"})


def test_ids_that_cannot_be_read_are_listed_with_their_titles():
    titles = ("rye", "Blé dur", "گندم", "maïs 小麦", "deadbeef")
    classes = tuple(legend.make_class(i, i, title, title) for i, title in enumerate(titles))
    mixed = classes[3].name
    assert mixed.startswith("mais_")
    found = legend.Legend("mine", classes).describe_ids()
    assert found == f"name_ebef1739 is گندم, {mixed} is maïs 小麦"
    assert legend.Legend("mine", classes[:2]).describe_ids() == ""
