"""What `evaluate` prints, refuses and writes; one process for all of it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from cropmap_jax.geo import files

HERE = pathlib.Path(__file__).parent
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])}

# name: (flags, dataset, dataset trained on, parts of the one line of an error)
MISTAKES = {
    "trained": ([], "swapped", "whole", ["1 of 1 test cubes (cube0", "cube0 (train)"]),
    "validated": ([], "alone", "other", ["cube0 (validation)", "validated on during training"]),
    "pixels": ([], "coarse", "coarse", ["expected pixels of 10 m", "found 20 m"]),
    "url": (["--out=s3://bucket/out"], "whole", "whole", ["--out 's3://bucket/out'", "machine"]),
    "data url": (["--data_dir=gs://b/d"], "whole", "whole", ["--data_dir 'gs://b/d'"]),
    "workdir url": (["--workdir=http://h/w"], "whole", "whole", ["--workdir 'http://h/w'"]),
    "lead": (["--lead_days=100000"], "whole", "whole", ["--lead_days", "-731 to 731", "100000"]),
    "no number": (["--lead_days=30,x"], "whole", "whole", ["--lead_days", "'x'"]),
    "repeated": (["--lead_days=30,60,30"], "whole", "whole", ["--lead_days", "found 30 twice"]),
    "negative": (["--lead_days=30,-5"], "whole", "whole", ["--lead_days", "0 to 731", "-5"]),
    "never": (["--lead_days=700,600"], "whole", "whole", ["--lead_days", "no image yet in 2 of 2"]),
    "both": (["--lead_days=30", "--until=2022-06-01"], "whole", "whole", ["beside --until", "30"]),
    "date": (["--as_of=2022-06-01", "--until=2022-06-01"], "whole", "whole", ["beside --until"]),
    "curve": (["--as_of=2022-06-01", "--lead_days=60,30"], "whole", "whole", ["beside --as_of"]),
    "soon": (["--until=2022-01-31"], "whole", "whole", ["--until", "2022-02-01", "2022-01-31"]),
    "late": (["--as_of=2999-01-01"], "whole", "whole", ["--as_of", "2022-09-01", "2999-01-01"]),
    "early": (["--as_of=1000-01-01"], "whole", "whole", ["1000-01-01", "2022-02-01 or later"]),
    "nan": (["--as_of=nan"], "whole", "whole", ["--as_of", "'nan'"]),
    "split": (["--split=Test"], "whole", "whole", ["'Test'", "train, validation, test"]),
    "chooser": (["--threshold_split=x"], "whole", "whole", ["'x'", "train, validation, test"]),
    "crop": (["--crop=../ry"], "whole", "whole", ["'../ry'", "rye, pea, oats"]),
    "baseline": (["--baseline=forrest"], "whole", "whole", ["--baseline", "did you mean forest?"]),
    "twice": (["--baseline=dates,dates"], "whole", "whole", ["--baseline", "each baseline once"]),
    "into data": (["--out=data"], "whole", "whole", ["--out data: holds the dataset"]),
    "into run": (["--out=run"], "whole", "whole", ["--out run: holds the checkpoints"]),
    "theirs": (["--out=theirs"], "whole", "whole", ["all.json, which evaluate did not write"]),
    "their curve": (
        ["--out=curve", "--lead_days=60,30"],
        "whole",
        "whole",
        ["--out curve: found lead_time-fields.png, which evaluate did not write"],
    ),
    "their map": (
        ["--out=map", "--as_of=2022-06-01"],
        "whole",
        "whole",
        ["--out map: found confusion.png, which"],
    ),
    "their page": (
        ["--out=map", "--report"],
        "whole",
        "whole",
        ["--out map: found confusion.png, which"],
    ),
    "no method": (["--compare=forrest"], "whole", "whole", ["--compare", "mean forest?"]),
    "itself": (["--compare=copy"], "whole", "whole", ["--compare copy", "another run", "found it"]),
    "method twice": (["--compare=dates,dates"], "whole", "whole", ["each method once"]),
    "as baseline": (
        ["--compare=dates", "--baseline=dates"],
        "whole",
        "whole",
        ["--compare", "compared anyway", "'dates'"],
    ),
    "foreign": (["--compare=foreign"], "whole", "whole", ["--compare foreign:", "legend", "ryes"]),
    "longer": (["--compare=longer"], "whole", "whole", ["--compare longer:", "2 periods", "3"]),
    "learnt": (["--compare=learnt"], "whole", "whole", ["--compare learnt:", "trained on"]),
    "no train": (["--compare=dates"], "alone", None, ["--compare", "train split", "dates"]),
    "into other": (
        ["--compare=better", "--out=better/checkpoints"],
        "whole",
        "whole",
        ["--out", "checkpoints"],
    ),
    "busy": (["--out=busy"], "whole", "whole", ["--out busy: in use by"]),
}
SCORED = {
    "whole": (["--max_pictures=1"], "whole", "whole"),
    "again": (["--max_pictures=1"], "whole", "whole"),
    "half": (["--baseline=forest,dates", "--trees=2"], "half", "whole"),
    "dark": ([], "dark", "whole"),
    "one": (["--crop=rye"], "one", "whole"),
    "train": (["--split=train"], "whole", "whole"),
    "allowed": (["--allow_training_ground"], "swapped", "whole"),
    "alone": ([], "alone", None),
    "leads": (["--lead_days=200,60,30", "--baseline=dates"], "whole", "whole"),
    "season": (["--until=2022-03-15", "--unknown", "--crop=rye"], "whole", "whole"),
    "unseen": (["--lead_days=60,30"], "dark", "whole"),
    "blank": (["--as_of=2022-06-01", "--unknown"], "blank", "whole"),
    "blank leads": (["--lead_days=60,30", "--unknown", "--crop=rye"], "blank", "whole"),
    "compared": (["--compare=dates,better"], "whole", "whole"),
    "compared blank": (["--compare=better"], "blank", "whole"),
    "compared curve": (["--compare=better", "--lead_days=60,30"], "whole", "whole"),
    "one date": (["--as_of=2022-06-01", "--unknown"], "whole", "whole"),
}
# Folders that hold a file of somebody else's.
THEIRS = {"theirs": "all.json", "curve": "lead_time-fields.png", "map": "confusion.png"}
# Folders of runs that --compare may name, see evaluate_in_memory.
RUNS = ("copy", "foreign", "longer", "learnt", "better")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluating")
    for folder, file in THEIRS.items():
        (root / folder).mkdir()
        (root / folder / file).write_text("mine")
    for name in RUNS:
        (root / name).mkdir()
    runs = {}
    for name, (flags, data, trained, *_) in (MISTAKES | SCORED).items():
        out = "whole" if name == "again" else name
        common = ["--workdir=run", "--crop=all", "--max_pictures=0", f"--out=out/{out}"]
        runs[name] = {"flags": [*common, *flags], "data": data, "trained": trained}
    with files.Lock(root / "busy", "a test"):
        done = subprocess.run(
            [sys.executable, str(HERE / "evaluate_in_memory.py"), json.dumps(runs)],
            cwd=root, env=ENV, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return root, json.loads(done.stdout)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(finished, name):
    root, results = finished
    found = results[name]
    assert found["code"] == 1 and found["out"] == "", found
    (line,) = (line for line in found["err"].splitlines() if line.startswith("error: "))
    assert all(part in line for part in MISTAKES[name][3]), line
    assert not (root / "out" / name).exists()


def test_the_folders_of_others_stay_as_they_were(finished):
    root, _ = finished
    for folder, file in THEIRS.items():
        assert (root / folder / file).read_text() == "mine"
        assert [p.name for p in (root / folder).iterdir()] == [file]
    assert sorted(p.name for p in root.iterdir()) == sorted(["busy", "out", *THEIRS, *RUNS])
    assert not any(any((root / name).iterdir()) for name in RUNS)


def scores(finished, name, file="all.json"):
    root, results = finished
    assert results[name]["code"] == 0, results[name]["err"]
    return json.loads((root / "out" / name / file).read_text()), results[name]["out"]


def test_scores_of_a_run_and_of_the_run_after_it(finished):
    root, results = finished
    found, out = scores(finished, "whole")
    assert results["again"]["code"] == 0 and results["again"]["out"] == out
    # One field of each crop is little ground, and all cubes touch; nothing else needs a note.
    near, *noted = found["notes"]
    assert "1 of 1 test cubes is within 1,000 m of a training cube" in near
    assert all("so few fields" in n or "no annotated pixel" in n for n in noted[:2])
    assert found["settings"]["trained_on"] == []
    rows = [r for r in found["scores"] if r["unit"] == "pixels" and r["crop"] != "oats"]
    # Of two classes of 24 pixels each, at a threshold all are taken for one of them, or none.
    assert [r["f1"] for r in rows] == [2 / 3, 2 / 3, 0, 2 / 3]
    for row in rows:
        assert row["tp"] + row["fn"] == row["fp"] + row["tn"] == 24
        assert row["without_image"] == 0 and row["reason"] is None
    # Of the third class, nothing is there to find.
    oats = next(r for r in found["scores"] if r["crop"] == "oats")
    assert oats["f1"] is None and oats["accuracy"] is not None
    there = {str(p.relative_to(root / "out/whole")) for p in (root / "out/whole").rglob("*.*")}
    assert there == {".evaluate.written.json", "all.json", "rye/cube2.png", "pea/cube2.png"}


def test_unseen_ground_is_counted_apart_in_table_and_json(finished):
    found, out = scores(finished, "half")
    assert {r["method"] for r in found["scores"]} == {"network", "forest", "dates"}
    assert "note: oats: no annotated pixel in train: baselines give it probability 0" in out
    for row in found["scores"]:
        counted = row["tp"] + row["fp"] + row["fn"] + row["tn"]
        expected = (24, 24) if row["unit"] == "pixels" else (2, 0)
        assert (counted, row["without_image"]) == expected
    assert "note: rye, pea, oats: 24 of 48 annotated pixels and 0 of 2 fields of test are " in out


def test_a_split_of_which_nothing_was_seen_has_no_scores(finished):
    found, out = scores(finished, "dark")
    for row in found["scores"]:
        assert row["accuracy"] is row["recall"] is row["f1"] is None
        assert row["without_image"] in (48, 2) and "with an image" in row["reason"]
    assert "there are no scores" in out


def test_without_negatives_there_is_recall_alone(finished):
    found, out = scores(finished, "one", "rye.json")
    for row in found["scores"]:
        nothing = {k for k, v in row.items() if v is None}
        lost = {"accuracy", "true_negative_rate", "precision", "f1"}
        assert nothing - {"threshold_reason"} == lost and "every annotated" in row["reason"]
        assert row["threshold"] == 0.35
    assert "threshold by default; only" in out and "chosen on validation" not in out


def test_ground_trained_on_is_scored_on_request(finished):
    for name, cube in (("train", "cube0"), ("allowed", "cube0")):
        found, out = scores(finished, name)
        assert found["settings"]["trained_on"] == [cube]
        assert found["settings"]["hectares_trained_on"] == 0.64
        assert "note: 1 of 1 t" in out and "these are not scores of held-out ground" in out


def test_a_test_split_alone_is_scored_at_the_default_threshold(finished):
    found, out = scores(finished, "alone")
    assert found["settings"]["trained_on"] is found["settings"]["threshold_split"] is None
    assert "note: the checkpoint does not record where it was trained" in out
    assert "threshold by default" in out


def finite(value):
    """Every number of a JSON value, and the paths of those that are null without a reason."""
    if isinstance(value, dict):
        if value.get("value", 0) is None or value.get("f1", 0) is None:
            assert value["reason"], value
        for own in value.values():
            finite(own)
    elif isinstance(value, list):
        for own in value:
            finite(own)


def test_several_leads_make_a_curve(finished):
    root, _ = finished
    found, out = scores(finished, "leads", "lead_time.json")
    finite(found)
    assert found["settings"]["lead_days"] == [200, 60, 30] == found["axis"]["values"]
    assert {c["method"] for c in found["curves"]} == {"network", "dates"}
    assert found["intervals"]["unit"] == "field" and "other fields of this place" in out
    assert "rye at 200 d: no image yet in 3 of 3 cubes (as of 2021-12-13" in out
    there = {p.name for p in (root / "out/leads").iterdir()}
    assert there == {
        ".evaluate.written.json", "lead_time.json", "lead_time.png", "lead_time-fields.png",
    }  # fmt: skip
    # Each crop has its own date, so that there is no one map.
    assert "--crop all --as_of DATE scores the map of one date" in out
    assert "threshold chosen on validation for each point by itself" in out


def test_a_curve_by_date_bounds_what_is_unknown(finished):
    found, out = scores(finished, "season", "lead_time-rye.json")
    finite(found)
    assert found["axis"]["values"] == ["2022-02-01", "2022-03-01"]
    partial = found["curves"][0]["points"][-1]["partial"]
    assert partial["unknown"] == 16 and partial["annotated"] == 48
    assert "rye" in out and "2022-03-01" in out


def test_a_curve_of_what_nobody_saw_has_words(finished):
    found, out = scores(finished, "unseen", "lead_time.json")
    finite(found)
    assert "no F1: no annotated pixel with an image" in out


def test_one_date_for_all_has_a_confusion_matrix(finished):
    root, _ = finished
    found, out = scores(finished, "one date")
    finite(found)
    pixels, fields = found["confusion"]
    # Rye has 0.6 everywhere, of networks whose classes do not exclude each other.
    assert pixels["matrix"][:2] == [[24, 0, 0, 0], [24, 0, 0, 0]]
    assert fields["unit"] == "fields" and pixels["as_of"] == "2022-06-01"
    assert pixels["overall_accuracy"]["value"] == 0.5
    assert "rows are the truth" in out and "overall accuracy 0.500" in out
    rye = found["partial"][0]
    assert rye["precision_bounds"] == [24 / 64, 40 / 64] and rye["annotated_share"] == 0.75
    assert "unknown mapped as it" in out and "0.375 to 0.625" in out
    assert (root / "out/one date/confusion.png").is_file()


def test_a_split_that_is_all_unknown_has_words_and_no_scores(finished):
    found, out = scores(finished, "blank")
    finite(found)
    assert found["confusion"][0]["reason"] == "nothing that is annotated was seen"
    rye = found["partial"][0]
    assert rye["precision"] is None and rye["unknown"] == 64 and rye["precision_bounds"] == [0, 1]
    assert "note: rye, pea, oats: no annotated pixel in test: there are no scores" in out
    found, out = scores(finished, "blank leads", "lead_time-rye.json")
    finite(found)
    assert "rye  no F1: no annotated pixel" in out and "nan" not in out.lower()


def test_a_comparison_says_what_to_use(finished):
    root, _ = finished
    found, out = scores(finished, "compared", "compare.json")
    finite(found)
    compared = found["compare"]
    assert compared["schema"] == "compare/1" and compared["reference"] == "network"
    assert compared["lead_days"] == 30 and compared["as_of"] is None
    pixels = {r["method"]: r for r in compared["methods"] if r["unit"] == "pixels"}
    assert list(pixels) == ["network", "dates", "better"] and compared["best"] == "better"
    assert pixels["better"]["macro_f1"]["value"] == 1
    # Of two classes in equal shares, all that is known without an image is either's F1 of 2 / 3.
    assert pixels["network"]["macro_f1"]["value"] == pytest.approx(2 / 3)
    assert pixels["dates"]["crops"]["rye"]["value"] == pytest.approx(2 / 3)
    # Crops that are not there have no difference, in words.
    oats = [row for row in compared["differences"] if row["crop"] == "oats"]
    assert all(row["value"] is None and "is of this crop" in row["reason"] for row in oats)
    assert compared["sentence"] in out and "better, scores higher than" in out
    assert "dates: one model for all dates" in out and "note: 95 % intervals" in out
    # Nothing is said of chance where hardly any interval is there.
    count = sum(r["low"] is not None and r["crop"] is not None for r in compared["differences"])
    assert ("by chance" in out) is (count > 1) and "about 1 would" not in out
    there = {p.name for p in (root / "out/compared").iterdir()}
    assert there == {".evaluate.written.json", "all.json", "compare.json", "compare.png"}
    # What is said of the run itself does not change.
    alone, _ = scores(finished, "train", "all.json")
    assert alone.keys() == scores(finished, "compared")[0].keys()
    assert {r["method"] for r in scores(finished, "compared")[0]["scores"]} == {"network"}


def test_of_a_curve_the_point_of_the_run_is_compared(finished):
    found, out = scores(finished, "compared curve", "compare.json")
    finite(found)
    assert found["compare"]["lead_days"] == 30 and found["settings"]["lead_days"] == [60, 30]
    assert "compared 30 days before harvest, one point of the curve" in out


def test_where_nothing_is_annotated_there_is_nothing_to_compare(finished):
    found, out = scores(finished, "compared blank", "compare.json")
    finite(found)
    assert found["compare"]["best"] is None and "nan" not in out.lower()
    assert "What to use cannot be told: no crop of test has an F1 of both methods." in out
