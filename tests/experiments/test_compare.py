"""Files that are compared are those of `evaluate`, or are refused."""

import json

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import compare

flags.FLAGS.mark_as_parsed()

ROW = {"crop": "rye", "method": "network", "rule": "best", "unit": "pixels", "f1": 0.5}


def write(path, value) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def test_scores_are_read_also_without_an_f1(tmp_path):
    rows = [ROW, ROW | {"f1": None}]
    file = write(tmp_path / "a.json", {"settings": {}, "notes": ["a"], "scores": rows})
    assert compare._read(file)["scores"] == rows


def test_scores_of_ground_trained_on_are_noted(tmp_path, capsys):
    for name, settings in (("a", {"trained_on": []}), ("b", {"trained_on": ["c00"]})):
        compare._read(write(tmp_path / f"{name}.json", {"settings": settings, "scores": [ROW]}))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("note: ") and "b.json: scored on ground" in line


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "file.settings: expected a setting, found none"),
        ([], r"file: expected settings by name, found \[\]"),
        ({"settings": {}, "scores": []}, "scores: expected at least one, found none"),
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
        compare._read(file)


@pytest.mark.parametrize("data", [b"", b"[1", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_one_line(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match="a.json: expected the JSON of `evaluate`") as raised:
        compare._read(str(tmp_path / "a.json"))
    assert "\n" not in str(raised.value)


def compared(capsys, *specs) -> list[str]:
    with flagsaver.flagsaver(scores=list(specs), unit="pixels"):
        compare.main([])
    return capsys.readouterr().out.splitlines()


def test_a_run_counts_once_in_a_group(tmp_path, capsys):
    file = write(tmp_path / "a.json", {"settings": {}, "scores": [ROW]})
    (tmp_path / "link.json").symlink_to(file)
    for specs in ([f"a={file}"] * 2, [f"a={tmp_path}/*.json"]):
        with pytest.raises(ValueError, match=r"expected each run once, found .*\.json twice.*'a'"):
            compared(capsys, *specs)
    assert len(compared(capsys, f"a={file}", f"b={file}")) == 3
    with pytest.raises(ValueError, match="expected name=files"):
        compared(capsys, f"={file}")
    with pytest.raises(ValueError, match=f"--scores {tmp_path}: expected the JSON of `evaluate`"):
        compared(capsys, f"a={tmp_path}")


def test_scores_of_different_things_are_noted_and_names_stay_on_their_line(tmp_path, capsys):
    odd = ROW | {"crop": "r\x1b[31m\nye"}
    settings = {"split": "test", "lead_days": 30, "fingerprint": "f", "step": 1}
    one = write(tmp_path / "a.json", {"settings": settings, "scores": [odd]})
    same = write(tmp_path / "b.json", {"settings": settings | {"step": 2}, "scores": [odd]})
    header, line = compared(capsys, f"a={one}", f"a={same}")
    assert line.startswith("r[31m ye ") and "\x1b" not in line
    other = {"split": "train", "lead_days": 0}
    other = write(tmp_path / "c.json", {"settings": settings | other, "scores": [odd]})
    *_, note = compared(capsys, f"a={one}", f"b={other}")
    assert note == (
        "note: not scores of one thing: they differ in split (test, train); lead_days (0, 30)"
    )
