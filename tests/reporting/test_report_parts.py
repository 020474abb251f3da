"""What pages are made of: words, dates, colours, charts, places."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from training import small_data
from training.small_data import Ground

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.reporting import by_block, charts, one_date, pictures, places, tables, words


@pytest.mark.parametrize(
    "value, text",
    [(None, "–"), (0.0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.996, "over 99 %"),
     (1.0, "100 %")],
)  # fmt: skip
def test_percent_rounds_neither_up_to_all_nor_down_to_nothing(value, text):
    assert words.percent(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_words():
    assert words.step({"lead_days": 1}) == "1 day before harvest"
    assert words.step({"lead_days": 0}) == "on the day that harvest begins"
    assert words.step({"lead_days": -5}) == "5 days after harvest has begun"
    assert words.dates(["2022-05-04", "2022-06-01"]) == "4 May 2022 to 1 June 2022"
    assert words.figure({"value": -0.093, "low": -0.2, "high": 1}) == "−0.09 (−0.20 to 1.00)"
    assert words.listed(["a"]) == "a" and words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(list("abcde"), 3) == "a, b, c and 2 more"


def test_equal_reasons_share_a_footnote_and_others_do_not():
    table = tables.Table("t", ["a"])
    none = {"value": None, "low": None, "high": None}
    marks = [table.figure(none | {"reason": why}).mark for why in ("x", "y", "x", None)]
    assert marks == ["a", "b", "a", ""] and table.notes == [("a", "x"), ("b", "y")]
    for number in range(30):
        table.mark(f"further {number}")
    assert len({mark for mark, _ in table.notes}) == 32


def test_a_chart_breaks_its_lines_where_there_is_no_value():
    axis = charts.Axis("days", 90, 30, [(90, "90"), (30, "30")])
    points = [(90.0, 1.0), (60.0, None), (40.0, 0.0), (30.0, 0.5)]
    spans = [(90.0, 0.9, 1.0), (40.0, 0.0, 0.2), (30.0, 0.4, 0.6)]
    series = [charts.Series("one", points, 0, spans)]
    found = charts.chart("t", "w", axis, charts.UNIT, series, goal=0.5)
    (one,) = found["series"]
    left, top, right, bottom = found["frame"]
    # Time runs to the right, although days before harvest count down; 1 is above 0.
    assert one["points"] == [(left, top), (pytest.approx(279.0, abs=0.1), bottom), (right, 103.0)]
    assert len(one["lines"]) == 1 and one["lines"][0].startswith("M279")
    assert len(one["bands"]) == 1 and len(one["bars"]) == 1
    assert found["goal"] == (top + bottom) / 2


def pixels(url):
    head, data = url.split(",")
    return head, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def rgb(colour):
    return tuple(bytes.fromhex(colour[1:]))


def test_classes_have_colours_and_patterns_of_their_own():
    looks = [pictures.look(i) for i in range(28)]
    assert len(set(looks)) == 28 and looks[7] == (pictures.COLOURS[0], "stripes")
    shown = np.full((8, 8), IGNORE, np.uint8)
    shown[0], shown[1:4], shown[4:] = NONE_OF_THESE, 1, 8
    head, found = pixels(pictures.classes(shown, 9, NONE_OF_THESE))
    assert head == "data:image/png;base64"
    assert (found[0] == rgb(pictures.NONE_COLOUR)).all()
    assert (found[1:4] == rgb(pictures.COLOURS[1])).all()
    striped = (found[4:] == rgb(pictures.COLOURS[1])).all(-1)
    assert striped.mean() == 0.5 and (found[4:][~striped] == 255).all()


def test_confidence_runs_from_the_first_colour_to_the_last():
    palette = [f"#0000{i:02x}" for i in range(pictures.LEVELS)]
    percent = np.array([[0, 50, 100, IGNORE]], np.uint8)
    _, found = pixels(pictures.confidence(percent, palette, IGNORE))
    assert found[0].tolist() == [[0, 0, 0], [0, 0, 10], [0, 0, 20], [255, 255, 255]]


def test_what_was_not_seen_is_grey_in_an_image():
    light = np.full((16, 16, 3), 0.3)
    light[:, 8:] = np.nan
    _, found = pixels(pictures.photograph(light, 0.0, 0.3))
    assert found[:, :7].min() > 245 and abs(found[:, 10:].astype(int) - 217).max() < 10


def test_the_date_of_the_whole_legend():
    # A winter crop to day 100, two summer crops sown on day 90 and 120, harvested on 200 and 220.
    harvest, planting = np.array([[100, 200, 220]]), np.array([[10, 90, 120]])
    assert one_date.choose(harvest, planting, 0).tolist() == [200]
    # 30 days before: both summer crops until day 170.
    assert one_date.choose(harvest, planting, 30).tolist() == [170]
    # Sown later, they do not meet: the latest date of as many crops wins.
    assert one_date.choose(harvest, np.array([[10, 90, 210]]), 0).tolist() == [100]
    assert one_date.choose(np.array([[100]]), np.array([[0]]), 30).tolist() == [70]


LABEL = np.full((8, 8), IGNORE, np.uint8)
LABEL[:3, :], LABEL[5:, :4] = 0, 1


def test_places_are_of_different_blocks_and_those_of_most_classes_come_first():
    grounds = [
        Ground("test", label, np.zeros((8, 8), np.uint32))
        for label in (np.where(LABEL == 1, IGNORE, LABEL), LABEL, LABEL, np.full_like(LABEL, 255))
    ]
    data = small_data.make_dataset(grounds)
    for row, block in zip(data.cubes, ("a", "a", "b", "b"), strict=True):
        row["block"] = block
    chosen, left = places.choose(data, "test", 2)
    assert [one.cube for one in chosen] == [1, 2] and chosen[0].crop == 0
    assert left == "1 further place with known fields"
    assert places.choose(data, "test", 9)[1] is None


def test_numbers_stand_in_the_middle_of_fields():
    marks = places._marks(LABEL, 2)
    assert {mark["class"] for mark in marks} == {0, 1}
    for mark in marks:
        assert LABEL[int(mark["y"]), int(mark["x"])] == mark["class"]


def test_a_block_without_known_ground_on_the_map_is_not_one_without_a_map():
    counts = np.array([[3, 1, 1, 5]])
    for matrix, why in (
        (None, "there is no one map of all classes"),
        (np.zeros((2, 2), np.int64), "nothing known was seen as of its date"),
        (np.eye(2, dtype=np.int64), None),
    ):
        assert by_block._scores(["rye"], counts, matrix)["accuracy"]["reason"] == why
