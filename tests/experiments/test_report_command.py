"""`evaluate --report`, from its flags to the page; one process for all of it."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])}
RUNS = {
    "whole": (["--crop=all", "--baseline=dates"], "whole"),
    "one": (["--crop=rye", "--lead_days=200,60,30", "--max_places=0"], "whole"),
    "season": (["--crop=all", "--until=2022-04-15", "--unknown"], "whole"),
    "dated": (["--crop=all", "--as_of=2022-05-01", "--lead_days=60,30"], "whole"),
    "dark": (["--crop=all"], "dark"),
    "alone": (["--crop=all"], "alone"),
    "late": (["--crop=all", "--as_of=2999-01-01"], "whole"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("reports")
    runs = {}
    for name, (flags, data) in RUNS.items():
        common = ["--workdir=run", "--report", f"--out=out/{name}"]
        runs[name] = {
            "flags": [*common, *flags],
            "data": data,
            "trained": data if data != "alone" else None,
        }
    done = subprocess.run(
        [sys.executable, str(HERE / "evaluate_in_memory.py"), json.dumps(runs)],
        cwd=root, env=ENV, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return root, json.loads(done.stdout)


def read(finished, name):
    root, results = finished
    assert results[name]["code"] == 0, results[name]["err"]
    assert f"report: out/{name}/report.html" in results[name]["out"].replace(f"{root}/", "")
    page = (root / "out" / name / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|NaN|None|null|undefined)\b", text)
    return json.loads((root / "out" / name / "report.json").read_text()), " ".join(text.split())


def test_one_command_writes_one_page(finished):
    root, _ = finished
    found, text = read(finished, "whole")
    assert found["curve"]["axis"]["values"] == [150, 120, 90, 60, 30]
    (place,) = found["maps"]["places"]
    # The network says rye everywhere with 0.6; half of what is known is rye.
    last = place["steps"][-1]
    assert last["right"] == 0.5 and last["sure"] == pytest.approx(0.6, abs=0.01)
    assert place["crop"] == "rye" and place["annotated"] == 48
    first = place["steps"][0]
    assert (first["reason"] is None) == (first["date"] >= "2022-02-01")
    assert found["one_date"]["confusion"][0]["matrix"][0] == [24, 0, 0, 0]
    # Of the dates alone as much can be known: nothing else tells the crops apart here.
    assert "The neural network does not beat the best of the other methods" in text
    assert "calendar alone, no image" in text
    there = {p.name for p in (root / "out/whole").iterdir()}
    assert {"report.html", "report.json", "lead_time.json"} <= there
    assert "://" not in (root / "out/whole/report.html").read_text()


def test_one_crop_without_maps(finished):
    found, text = read(finished, "one")
    assert found["maps"]["places"] == [] and "No place is shown." in text
    assert "There is no such map: one crop alone was scored." in text
    assert "no image yet" in text


def test_dates_of_a_season_and_unknown_ground(finished):
    found, text = read(finished, "season")
    assert [s["as_of"] for s in found["maps"]["places"][0]["steps"]][-1] == "2022-04-01"
    assert found["one_date"]["dates"] == ["2022-04-01", "2022-04-01"]
    assert "Ground that nobody annotated" in text and "as of 1 April 2022" in text


def test_a_date_of_the_whole_legend_beside_leads(finished):
    found, _ = read(finished, "dated")
    assert found["one_date"]["dates"] == ["2022-05-01", "2022-05-01"]
    assert found["curve"]["axis"]["values"] == [60, 30]


def test_what_nobody_saw_has_words(finished):
    found, text = read(finished, "dark")
    assert "no image shows this place" in text and "nothing that is annotated was seen" in text
    assert (
        found["reliability"]["map"] is None or not found["reliability"]["map"]["before"]["weight"]
    )


def test_a_test_split_alone(finished):
    _, text = read(finished, "alone")
    assert "leakage cannot be ruled out" in text and "threshold 0.35 by default" in text


def test_a_date_without_any_image_is_refused_before_anything_is_written(finished):
    root, results = finished
    assert results["late"]["code"] == 1 and "--as_of" in results["late"]["err"]
    assert not (root / "out/late").exists()
