"""Files that are compared are those of `evaluate`, or are refused."""

import json

import pytest

from experiments import compare

ROW = {"crop": "rye", "method": "network", "rule": "best", "unit": "pixels", "f1": 0.5}


def write(path, value) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def test_scores_are_read_also_without_an_f1(tmp_path):
    rows = [ROW, ROW | {"f1": None}]
    file = write(tmp_path / "a.json", {"settings": {}, "notes": ["a"], "scores": rows})
    assert compare._rows(file) == rows


def test_scores_of_ground_trained_on_are_noted(tmp_path, capsys):
    for name, settings in (("a", {"trained_on": []}), ("b", {"trained_on": ["c00"]})):
        compare._rows(write(tmp_path / f"{name}.json", {"settings": settings, "scores": [ROW]}))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("note: ") and "b.json: scored on ground" in line


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "file.settings: expected a setting, found none"),
        ([], r"file: expected settings by name, found \[\]"),
        ({"settings": {}, "scores": {}}, "scores: expected a list of values, found {}"),
        ({"settings": {}, "scores": [3]}, r"scores\[0\]: expected a score, found 3"),
        ({"settings": {}, "scores": [ROW, ROW | {"f1": "-"}]}, r"scores\[1\].f1: .* found '-'"),
        ({"settings": {}, "scores": [ROW | {"f1": float("nan")}]}, r"scores\[0\].f1: .* found nan"),
        ({"settings": {}, "scores": [{"f1": 0.5}]}, r"scores\[0\].crop: .* found None"),
    ],
)
def test_json_that_is_no_scores_is_one_line(tmp_path, value, message):
    file = write(tmp_path / "a.json", value)
    with pytest.raises(ValueError, match=f"^--scores {file}: .*JSON of `evaluate`.*{message}"):
        compare._rows(file)


@pytest.mark.parametrize("data", [b"", b"[1", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_one_line(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match="a.json: expected the JSON of `evaluate`") as raised:
        compare._rows(str(tmp_path / "a.json"))
    assert "\n" not in str(raised.value)
