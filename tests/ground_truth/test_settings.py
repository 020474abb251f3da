"""A config is checked before anything is read."""

import pytest

from cropmap_jax.geo.legend import ISRC
from cropmap_jax.ground_truth import settings

PEA = {"files": "*.shp", "season": "1400-1401", "crop": "pea", "sheets": ["Pea"]}
DATES = {"pea": ("10-01", "11-01", "05-01", "06-01")}


def config(layer=None, **changes):
    return {"source": "s", "legend": "isrc", "layers": {"a": PEA | (layer or {})}} | changes


def test_a_config_becomes_settings():
    found = settings.read(config(calendar={"file": "c.xlsx", "system": "jalali"}, provinces=None))
    assert found.classes_of is ISRC and found.provinces is None
    assert found.layers["a"].sheets == ("Pea",) and found.calendar.system == "jalali"
    assert found.shrink_px == 0.5 and found.fractions["train"] == 0.7


def test_a_new_legend_has_the_classes_in_their_order():
    layer = {"files": "*.shp", "season": "2021-2022", "crop": "rye"}
    found = settings.read(config(layer, legend="mine", classes=["wheat", "rye"]))
    assert [(c.code, c.name) for c in found.classes_of.classes] == [(1, "wheat"), (2, "rye")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, r"config\.source: expected a value"),
        ({"layers": {}}, r"config\.layers: expected"),
        ({"colour": 1}, r"config: expected keys among source, .*, found 'colour'"),
        ({"layers": {"a": {"season": "2021-2022", "crop": "pea"}}}, r"config\.layers\.a\.files"),
        ({"layers": {"a": PEA | {"glob": "x"}}}, r"config\.layers\.a: .* found 'glob'"),
        ({"layers": {"a": PEA | {"crop": ""}}}, r"layers\.a: expected either 'crop' or 'names'"),
        ({"layers": {"a": PEA | {"names": {"x": "pea"}}}}, "found both"),
        ({"layers": {"a": PEA | {"crop": "peas"}}}, "found 'peas'"),
        (
            {"layers": {"a": PEA | {"crop": "", "names": {"x": "pea"}}}},
            r"config\.layers\.a\.name_column",
        ),
        (
            {"layers": {"a": PEA | {"crop": "", "names": {"x": "peas"}, "name_column": "n"}}},
            "for 'x', found 'peas'",
        ),
        ({"layers": {"a": PEA | {"sheet_column": "p"}}}, "found only sheet_column"),
        (
            {"layers": {"a": PEA | {"sheet_column": "p", "sheet_values": {"x": "Pee"}}}},
            r"sheets \('Pea',\) for 'x', found 'Pee'",
        ),
        ({"legend": "mine"}, r"config\.legend: .*found 'mine' and no classes"),
        ({"calendar": {"file": "c", "system": "julian"}}, r"calendar\.system: .*'julian'"),
        ({"calendar": {"file": "c", "columns": {"province": "p"}}}, r"calendar\.columns"),
        ({"calendar": {"system": "jalali"}}, r"either 'file' or 'dates', found neither"),
        ({"calendar": {"file": "c", "dates": DATES}}, "found both"),
        ({"calendar": {"dates": {"peas": DATES["pea"]}}}, "found 'peas'"),
        ({"calendar": {"dates": {"pea": ("10-01", "11-01")}}}, r"dates\.pea: expected planting"),
        ({"provinces": {"files": "p.shp"}}, r"config\.provinces\.column: expected a value"),
        ({"shrink_px": -1}, r"config\.shrink_px: expected 0 or more, found -1"),
        ({"lead_days": (60, 30)}, r"config\.lead_days: .* found 60, 30"),
        ({"fractions": {"train": 0.5}}, "fractions: expected shares"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        settings.read(config() | changes)


def test_classes_may_be_spelt_as_their_titles():
    layer = {"files": "*", "season": "2021-2022", "name_column": "n", "names": {"x": "Sugar Beet"}}
    dates = {"SUGAR BEET": DATES["pea"]}
    value = {"source": "s", "layers": {"a": layer}, "classes": ("Sugar beet",)}
    found = settings.read(value | {"calendar": {"dates": dates}})
    assert found.layers["a"].names == {"x": "sugar_beet"}
    assert list(found.calendar.dates) == ["sugar_beet"]


@pytest.mark.parametrize("key", ["max_field_ha", "max_tiles"])
@pytest.mark.parametrize("value", [0, float("nan")])
def test_bounds_are_numbers(key, value):
    with pytest.raises(ValueError, match=rf"config\.{key}: expected more than 0"):
        settings.read(config(**{key: value}))


def test_names_with_a_dot_come_as_pairs():
    layer = {"files": "*", "season": "2021-2022", "name_column": "n"}
    pairs = [("Pisum s.", "pea"), ("Allium c.", "onion")]
    found = settings.read(config() | {"layers": {"a": layer | {"names": pairs}}})
    assert found.layers["a"].names == dict(pairs)
    with pytest.raises(ValueError, match=r"config\.layers\.a\.names: expected a table"):
        settings.read(config() | {"layers": {"a": layer | {"names": ("pea", "onion")}}})


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("seed", "x", "a whole number"),
        ("max_tiles", "many", "a whole number"),
        ("lead_days", 30, "a list"),
        ("lead_days", (30, 60, 90), "2 values"),
        ("classes", "wheat", "a list"),
        ("strict", "yes", "True or False"),
        ("layers", [1], "a table"),
        ("calendar", "x", "a table"),
        ("fractions.train", "a", "a number"),
    ],
)
def test_a_value_of_another_type(key, value, expected):
    first, _, second = key.partition(".")
    changed = config(**{first: {second: value} if second else value})
    with pytest.raises(ValueError, match=rf"^config\.{key}: expected {expected}, found"):
        settings.read(changed)
