"""Whatever stands in an item costs one line: the file, the place in it, found and expected."""

import copy
import dataclasses
import json

import making
import pyproj
import pytest

from cropmap_jax.geo import cube_io, legend, schemas
from cropmap_jax.geo.cube import MAX_PIXELS

CLASSES = ("assets", "label", "classification:classes")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = cube_io.write_cube(making.make_cube("a", 16), tmp_path_factory.mktemp("cubes"))
    return json.loads((path / "item.json").read_text("utf-8"))


def refused(folder, item) -> str:
    """The message about an item, which names its file once and is one line."""
    file = folder / "a" / "item.json"
    file.parent.mkdir(exist_ok=True)
    if not isinstance(item, bytes):
        item = json.dumps(item).encode()
    file.write_bytes(item)
    with pytest.raises(ValueError) as caught:
        cube_io.read_info(file.parent)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and message.count("item.json") == 1
    assert message.isprintable() and len(message) < 600, message
    return message.removeprefix(f"{file}: ")


def changed(item, place: tuple, value) -> dict:
    item = copy.deepcopy(item)
    part = item
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return item


def prop(name: str, *rest) -> tuple:
    return ("properties", name, *rest)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (prop("cropmap:season"), 2022, "properties/cropmap:season: expected up to 200 characters "
         "of text on one line, found 2022"),
        (prop("cropmap:season"), "2022\n", "found '2022\\\\n'"),
        (prop("cropmap:block"), [1], "found [1]"),
        (prop("cropmap:block"), "\x1b[2Jx", "found '\\\\x1b[2Jx'"),
        (prop("cropmap:province"), "p" * 201, "cropmap:province: expected up to 200 characters"),
        (prop("cropmap:province"), "a\0b", "found 'a\\\\x00b'"),
        (prop("cropmap:split"), "dev", "expected one of train, validation, test, found 'dev'"),
        (prop("cropmap:legend"), "a/b", "expected a name of 1 to 200 characters on one line"),
        (prop("cropmap:source"), None, "cropmap:source: expected object, found None"),
        (prop("cropmap:none_of_these"), ["99"], "none_of_these/0: expected an integer code"),
        (prop("proj:shape", 0), 0, "proj:shape/0: expected 1 to 100000 pixels, found 0"),
        (prop("proj:shape", 0), -16, "found -16"),
        (prop("proj:shape", 1), 100_001, "found 100001"),
        (prop("proj:shape", 1), 1e308, "found 1e+308"),
        (prop("proj:shape", 1), True, "found True"),
        (prop("proj:shape", 1), 10**3000, "proj:shape/1: expected 1 to 100000 pixels, found 1000"),
        (prop("proj:shape"), [16, 16, 16], "expected [height, width], found [16, 16, 16]"),
        (prop("proj:shape"), [50_000, 50_000], f"at most 100,000 pixels a side and {MAX_PIXELS:,}"),
        (prop("proj:transform", 1), 0.5, "expected square north-up pixels"),
        (prop("proj:transform", 4), 10, "expected square north-up pixels"),
        (prop("proj:transform"), [1e-9, 0, 0, 0, -1e-9, 0], "found 1e-09 m"),
        (prop("proj:transform"), [10, 0, 512000, 0, -10, "x"], "transform/5: expected a number"),
        (prop("proj:code"), "EPSG:3857", "expected a CRS with true metres"),
        (prop("proj:code"), "EPSG:4978", "expected"),
        (prop("proj:code"), "EPSG:5773", "expected"),
        (prop("proj:code"), "/etc/passwd", "expected a code like EPSG:32639, found '/etc/passwd'"),
        (prop("proj:code"), None, "expected property 'proj:code' or 'proj:wkt2', found none"),
        (prop("proj:wkt2"), 7, "proj:wkt2: expected a CRS as WKT 2, found 7"),
        (prop("cropmap:periods", 0, 0), "1970-01-01", "expected a date like 2022-09-01, from 1980"),
        (prop("cropmap:periods", 0, 0), "2021-02-31", "expected a date like 2022-09-01, found"),
        (prop("cropmap:harvest"), {"rye": []}, "found a harvest date of 'rye', which legend"),
        (prop("cropmap:harvest", "maize", 0, "season"), 7, "harvest/maize/0/season: expected"),
        (prop("cropmap:harvest", "maize", 0, "planting"), "soon", "or null, found 'soon'"),
        (prop("cropmap:harvest", "maize", 0, "planting"), "2022-12-01", "expected harvest after"),
        (prop("cropmap:harvest"), {"\x1b[2J": 7}, "cropmap:harvest: expected a name of 1"),
        (("id",), "b", "expected id 'a' (the folder's name), found 'b'"),
        (("id",), "../a", "id: expected an id of letters"),
        (("id",), "a\n", "found 'a\\\\n'"),
        (("assets", "s1"), None, "assets/s1: expected an asset, found None"),
        (("assets", "s1"), "s1.tif", "assets/s1: expected an asset, found 's1.tif'"),
        (("assets", "s2", "href"), "../b/s2.tif", "s2/href: expected 's2.tif', found '../b"),
        (("assets", "s2", "href"), "https://x/s2.tif", "found 'https://x/s2.tif'"),
        (("assets", "fields"), [], "assets/fields: expected an asset, found []"),
        (("assets", "label", "file:checksum"), "1220", "expected a SHA-256 as multihash"),
        ((*CLASSES, 0, "name"), None, "classes/0/name: expected a name of 1 to 200 characters"),
        ((*CLASSES, 0, "name"), "Winter Wheat", "expected class 'winter_wheat' "),
        ((*CLASSES, 0, "name"), "Maize", "name maize is repeated"),
        ((*CLASSES, 0, "title"), "two\nlines", "classes/0/title: expected up to 200 characters"),
        ((*CLASSES, 0, "color_hint"), "zzz", "expected a colour like A57000, found 'zzz'"),
        ((*CLASSES, 0, "cropmap:code"), "11", "expected an integer code, found '11'"),
        ((*CLASSES, 0, "cropmap:code"), 22, "code 22 is repeated"),
        ((*CLASSES, 0, "value"), 1, "expected the values 0 to 2 in order, found [1, 1, 2]"),
        ((*CLASSES, 0, "value"), 254, "expected the values 0 to 1 in order, found [1, 2]"),
        (CLASSES, [], "expected 1 to 256 classes, found []"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(original, tmp_path, place, value, message):
    assert message.replace("\\\\", "\\") in refused(tmp_path, changed(original, place, value))


def test_a_crs_of_many_lines_makes_one_line(original, tmp_path):
    item = changed(original, prop("proj:code"), None)
    wkt = pyproj.CRS.from_epsg(4978).to_wkt("WKT2_2019", pretty=True)
    assert wkt.count("\n") > 9
    assert "expected a CRS with true metres" in refused(
        tmp_path, changed(item, prop("proj:wkt2"), wkt)
    )


def test_a_class_that_lost_its_code_does_not_shift_the_others(original, tmp_path):
    item = copy.deepcopy(original)
    del item["assets"]["label"]["classification:classes"][1]["cropmap:code"]
    message = (
        "expected property 'cropmap:code', found none in assets/label/classification:classes/1"
    )
    assert message in refused(tmp_path, item)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"seed": 0', "found JSON nested too deep"),
        ('"seed": NaN', "found NaN, which is not a number"),
        ('"seed": -Infinity', "found -Infinity, which is not a number"),
        ('"seed": 1e999', "found a number too large: 1e999"),
        ('"seed": ' + "9" * 5000, "found Exceeds the limit"),
        ('"seed": "\\ud800"', "surrogates not allowed"),
        ('"seed": "\xff"', "can't decode byte 0xff"),
    ],
)
def test_text_that_is_no_json_or_too_much_of_it(original, tmp_path, written, message):
    if "nested" in message:
        written = '"seed": ' + "[" * 200_000 + "]" * 200_000
    text = json.dumps(original).replace('"seed": 0', written)
    assert message in refused(tmp_path, text.encode("latin-1"))


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    file = tmp_path / "large.json"
    file.write_text("[]")
    with pytest.raises(ValueError, match=r"large\.json: expected x of at most 1 bytes, found 2"):
        schemas.read_json(file, "x", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"province": "two\nlines"},
        {"season": "s" * 201},
        {"block": "\x07"},
        {
            "legend": legend.Legend("w", (legend.LegendClass(1, "A b", "", "#00ff00"),)),
            "harvest": {},
        },
    ],
    ids=["line", "long", "control", "class"],
)  # fmt: skip
def test_a_cube_that_could_not_be_read_again_is_not_written(tmp_path, changes):
    made = making.make_cube("a", 16)
    label = made.label * 0 + legend.IGNORE
    info = dataclasses.replace(made.info, **changes)
    with pytest.raises(ValueError, match="cube a: .*expected .*found"):
        cube_io.write_cube(dataclasses.replace(made, info=info, label=label), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_any_script_is_welcome(tmp_path):
    made = making.make_cube(
        "a",
        16,
        province="\u0622\u0630\u0631\u0628\u0627\u06cc\u062c\u0627\u0646\u200c\u063a\u0631\u0628\u06cc",
    )
    info = dataclasses.replace(made.info, season="\u4e8c\u3007\u4e8c\u4e8c", block="\U0001f33e")
    found = cube_io.read_info(cube_io.write_cube(dataclasses.replace(made, info=info), tmp_path))
    assert (found.province, found.season, found.block) == (info.province, info.season, info.block)
