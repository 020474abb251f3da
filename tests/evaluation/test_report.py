"""The table, the JSON and the pictures."""

import errno
import json
import os

import matplotlib.image
import numpy as np
import pytest
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import report
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.geo import files
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend, make_class

LABEL = np.array([[0, 0, 1, 1], [NONE_OF_THESE, NONE_OF_THESE, IGNORE, 0]], np.uint8)


def row(**changes) -> dict:
    values = {"crop": "rye", "method": "network", "unit": "pixels", "rule": "fixed"}
    values |= {"threshold": 0.35, "lead_days": (31, 45), "accuracy": 0.75, "recall": 1.0}
    values |= {"true_negative_rate": 0.5, "precision": None, "f1": 0.12345}
    return values | {"tp": 1000, "fp": 200, "fn": 30, "tn": 4, "without_image": 5} | changes


def test_a_row_of_the_table_by_hand():
    header, first, second, third = report.score_table(
        [row(), row(lead_days=(31, 31)), row(lead_days=None, crop="a crop with a long name")]
    ).splitlines()
    names = ["crop", "method", "unit", "thr", "accuracy", "recall", "tn", "rate", "precision", "F1"]
    assert header.split() == [*names, "n", "no", "image", "lead"]
    expected = "rye network pixels 0.35 0.750 1.000 0.500 - 0.123 1,234 5".split()
    assert first.split() == [*expected, "31", "to", "45", "d"]
    assert second.split() == [*expected, "31", "d"]
    assert third.split()[-3:] == ["1,234", "5", "-"]
    assert third.startswith("a crop with a long name ")
    assert {len(line) for line in (header, first, second, third)} == {len(header)}


def test_json_is_written_whole_and_replaces_what_was_there(tmp_path):
    file = tmp_path / "evaluation" / "rye.json"
    report.write_json(file, {"scores": [1]})
    report.write_json(file, {"scores": [row()]})
    found = json.loads(file.read_text())
    assert found == {"scores": [row(lead_days=[31, 45])]}
    with pytest.raises(TypeError):
        report.write_json(file, {"scores": [{1, 2}]})
    assert json.loads(file.read_text()) == found


def test_outcomes_by_hand():
    probability = np.array([[0.9, 0.1, 0.9, 0.1], [0.35, np.nan, 0.9, 0.35]], np.float32)
    found = report._outcome(probability, LABEL, 0, np.float32(0.35))
    names = np.array([name for name, _ in report._OUTCOMES])[found]
    assert names.tolist() == [
        ["true positive", "false negative", "false positive", "true negative"],
        # Equal to the threshold is positive; what was not predicted or is unknown is neither.
        ["false positive", "not scored", "not scored", "true positive"],
    ]


def test_what_is_known_has_the_colours_of_the_legend():
    image, handles = report._known(LABEL, small_data.LEGEND)
    colours = [c.colour for c in small_data.LEGEND.classes]
    expected = {0: colours[0], 1: colours[1], NONE_OF_THESE: "#bdbdbd", IGNORE: "#f2f2f2"}
    for index, colour in expected.items():
        assert {"#" + bytes(p).hex() for p in image[LABEL == index]} == {colour}
    assert [h.get_label() for h in handles] == ["rye", "pea", "none of these", "unknown"]


def test_stretch_shows_missing_as_grey_and_all_missing_too():
    rgb = np.linspace(0, 1, 101 * 3, dtype=np.float32).reshape(101, 1, 3)
    rgb[50] = np.nan
    found = report._stretch(rgb)
    assert (found[50] == 0.85).all()
    assert (found.min(), found.max()) == (0, 1)
    assert (report._stretch(np.full((2, 2, 3), np.nan, np.float32)) == 0.85).all()


def prediction(index=0, label=LABEL) -> CubePrediction:
    height, width = label.shape
    rng = np.random.default_rng(0)
    return CubePrediction(
        index=index,
        cube_id=f"cube{index}",
        probability=rng.random((height, width, 2), np.float32),
        as_of=np.array([day("2022-06-01")] * 2),
        window_end=np.array([day("2022-06-01")] * 2),
        label=label,
        fields=np.zeros(label.shape, np.uint32),
        rgb=[rng.random((height, width, 3), np.float32)] * 2,
        seen=np.ones((height, width, 2), bool),
        sensors=[frozenset({"s1", "s2"})] * 2,
        gap=[0, 0],
    )


def panels(path) -> int:
    """How many of the four quarters of a picture hold more than white and a line or two."""
    image = matplotlib.image.imread(path)[..., :3]
    quarters = np.array_split(image, 4, axis=1)
    return sum((q.min(-1) < 0.97).mean() > 0.1 for q in quarters)


def test_an_album_draws_the_first_cubes_that_hold_a_crop(tmp_path):
    data = small_data.make_dataset([Ground("test", LABEL)] * 4, chip=4)
    album = report.Album(data, [0], [0.35], limit=2, folder=tmp_path)
    without = np.where(LABEL == 0, IGNORE, LABEL).astype(np.uint8)
    labels = (LABEL, without, LABEL, LABEL)
    wanted = [album.wants(index, label) for index, label in enumerate(labels)]
    # They are chosen in the order of the dataset, and come in another.
    for index in (3, 2, 1, 0):
        album.add(prediction(index, labels[index]))
    assert wanted == [True, False, True, False]
    # Not the second, which holds no rye; not the fourth, which is one too many.
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png"))
    assert found == ["rye/cube0.png", "rye/cube2.png"]
    assert album.drawn == 2
    assert panels(tmp_path / found[0]) == 4


def test_an_album_leaves_the_pictures_of_others(tmp_path):
    data = small_data.make_dataset([Ground("test", LABEL)], chip=4)
    theirs = tmp_path / "rye" / "cube0.png"
    theirs.parent.mkdir()
    theirs.write_bytes(b"mine")
    written = files.Written(tmp_path, "evaluate")
    album = report.Album(data, [0], [0.35], 1, tmp_path, written)
    assert album.wants(0, LABEL)
    with pytest.raises(ValueError, match="found rye/cube0.png, which evaluate did not write"):
        album.add(prediction())
    assert theirs.read_bytes() == b"mine"
    theirs.unlink()
    for _ in range(2):  # its own it draws again
        album = report.Album(data, [0], [0.35], 1, tmp_path, written)
        assert album.wants(0, LABEL)
        album.add(prediction())
    assert theirs.stat().st_size > 1000


def test_a_picture_that_cannot_be_written_names_its_file_and_leaves_none(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "rye" / "cube0.png"
    arguments = (0, 0, small_data.LEGEND, 0.35, 10.0, None, path)
    with pytest.raises(OSError, match="rye/cube0.png: could not be written .*free some space"):
        report.picture(prediction(), *arguments)
    with pytest.raises(OSError, match="all.json: could not be written"):
        report.write_json(path.with_name("all.json"), {})
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("cube_id", "expected"),
    [
        ("site_4-a.b", "site_4-a.b"),
        ("مزرعه", "مزرعه"),
        ("北京", "北京"),
        ("../../x", "_.._x-7"),
        ("a/b", "a_b-7"),
        (".hidden", "hidden-7"),
        ("=1+1|x", "_1_1_x-7"),
        ("", "-7"),
        ("x" * 300, "x" * 40 + "-7"),
        ("田" * 60, "田" * 40 + "-7"),
    ],
)
def test_a_picture_has_a_safe_name(cube_id, expected):
    assert report.file_name(cube_id, 7) == expected


def test_titles_are_shown_as_they_are_in_one_short_line(tmp_path, recwarn):
    titles = ("$x^$ \\frac", "_小麦\n\ttwo  lines", "گندم " + "long " * 20)
    classes = tuple(make_class(i, i, f"c{i}", title) for i, title in enumerate(titles))
    path = tmp_path / "one.png"
    report.picture(prediction(), 0, 0, Legend("odd", classes), 0.35, 10.0, None, path)
    assert panels(path) == 4 and not recwarn.list
    shown = [report._text(title) for title in titles]
    assert shown[:2] == ["$x^$ \\frac", "小麦 two lines"]
    assert shown[2].startswith("گندم long") and len(shown[2]) == 40


@pytest.mark.parametrize("shape", [(4, 60), (60, 4)])
def test_a_narrow_cube_without_image_or_lead_can_be_drawn(tmp_path, shape):
    label = np.zeros(shape, np.uint8)
    blank = prediction(0, label)
    blank.rgb[0][:] = np.nan
    blank.probability[:] = np.nan
    path = tmp_path / "one.png"
    report.picture(blank, 0, 0, small_data.LEGEND, 0.35, 10.0, None, path)
    image = matplotlib.image.imread(path)
    assert min(image.shape[:2]) > 150 and max(image.shape[:2]) < 4000
