"""A card says what the run holds, keeps what people wrote, and says what is missing."""

import copy
import json

import pytest
from product import made_runs

from cropmap_jax.product import cards, data_facts, facts, keeping, limits, scores
from cropmap_jax.runs import combined

FIGURE = {"value": 0.81, "low": 0.7, "high": 0.9, "reason": None}
NONE = {"value": None, "low": None, "high": None, "reason": "no pixel"}
NEAR = "1 of 3 test cubes is within 1,000 m of a training cube: scores are likely higher"
SPLIT = {"cubes": 3, "blocks": 2, "provinces": ["Fars"], "pixels": [900, 0, 50]}
DATA = {
    "dataset": "cubes/made",
    "fingerprint": "f" * 64,
    "stage": "finetune",
    "fold": None,
    "fields_per_class": None,
    "fields_draw": None,
    "legend": "made",
    "classes": ["wheat", "rapeseed"],
    "period_kind": "month",
    "pixel_m": 10.0,
    "bbox": [51.0, 29.5, 52.0, 30.0],
    "first": "2021-11-01",
    "last": "2022-09-30",
    "seasons": ["2021-2022"],
    "made_by": ["cropmap_jax simulator"],
    "splits": {
        "train": SPLIT | {"fields": [12, 0, 4]},
        "test": SPLIT | {"fields": [5, 1, 2], "provinces": ["Fars", "Yazd"]},
    },
}


def score(run, split="test", **changes):
    """An evaluation's JSON of one date."""
    row = {"crop": "wheat", "method": "network", "unit": "pixels", "rule": "chosen"}
    row |= {"threshold": 0.4, "lead_days": [31, 40], "tp": 7, "fp": 1, "fn": 1, "tn": 1}
    row |= {"intervals": {"f1": FIGURE, "recall": FIGURE, "precision": NONE}, "reason": None}
    mapped = row | {"rule": "map", "threshold": None, "f1": 0.66}
    mean = {"method": "network", "unit": "pixels", "rule": "chosen", "crops": ["wheat"]}
    settings = {"method": "network", "step": 7, "digest": combined.digest(run), "split": split}
    settings |= {"dataset": "cubes/made", "lead_days": 30, "as_of": None, "calibrated": None}
    return {
        "settings": settings | changes,
        "scores": [row, row | {"rule": "fixed"}, row | {"method": "forest"}, mapped],
        "notes": [NEAR, "some other note"],
        "macro": [mean | {"f1": FIGURE, "recall": FIGURE, "precision": FIGURE}],
        "intervals": {"words": "95 % intervals: 2 blocks"},
    }


def write(workdir, name, value):
    file = workdir / "evaluation" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


@pytest.fixture
def run():
    return made_runs.make_run(made_runs.PIXELS, init_from="/far/away/europe", init_step=9)


def test_a_card_states_what_the_run_holds(tmp_path, run):
    data_facts.remember(tmp_path, [DATA | {"stage": "pretrain"}, DATA])
    write(tmp_path, "test/all.json", score(run))
    said = keeping.refresh(tmp_path, run)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert said == f"model card: {tmp_path / 'MODEL_CARD.md'}" and cards.is_ours(card)
    for line in (
        "| train | 3 | 2 | 16 | 950 | Fars |",
        "| Wheat | 0 | 11 | #e6ab02 | 12 | 900 |",
        "In maps 254 is none of these, 255 unknown.",
        "| wheat | 0.810 (0.700 to 0.900) | 0.810 (0.700 to 0.900) | - | 0.40 | 31 to 40 d "
        "| 0.660 |",
        "| macro mean | 0.810 (0.700 to 0.900) | 0.810 (0.700 to 0.900) "
        "| 0.810 (0.700 to 0.900) | - | - | - |",
        "- Began from: europe, step 9",
        "- test: 95 % intervals: 2 blocks",
        "- Never annotated in training, so not mapped: rapeseed.",
        "- Fewer than 20 fields in training: wheat (12). Another draw of fields may give other "
        "scores.",
        "- Scored in provinces without training fields: Yazd.",
        "- Simulated images and fields: scores say nothing about real ones.",
        "- Not scored: rapeseed.",
        f"- {NEAR}.",
        "- Test ground lies in 2 blocks: intervals are wide and uncertain.",
    ):
        assert line in card.splitlines()
    assert "(pretrain, finetune): between 29.500° N and 30.000° N, 51.000° E and 52.000° E" in card
    assert "/far/away" not in card, "a path of one machine is nobody's business"
    parameters = f"- Method: pixel_series, {facts.gather(tmp_path, run)['model']['parameters']:,}"
    assert parameters in card


def test_its_front_matter_is_what_hugging_face_reads(tmp_path, run):
    write(tmp_path, "test/all.json", score(run))
    card = cards.render(facts.gather(tmp_path, run, name='a "name": of\nmine'))
    _, front, _ = card.split("---\n", 2)
    found = {
        key: json.loads(value) for key, value in (x.split(": ", 1) for x in front.split("\n") if x)
    }
    assert found["library_name"] == "cropmap_jax"
    (index,) = found["model-index"]
    assert index["name"] == 'a "name": of mine'
    (result,) = index["results"]
    assert [one["value"] for one in result["metrics"]] == [0.81]
    assert result["dataset"]["type"] == "cubes/made"


def test_a_card_that_was_changed_is_kept(tmp_path, run):
    keeping.refresh(tmp_path, run)
    file = tmp_path / "MODEL_CARD.md"
    file.write_text(file.read_text().replace("# ", "# Our own, ", 1))
    mine = file.read_text()
    said = keeping.refresh(tmp_path, run)
    assert file.read_text() == mine
    assert "MODEL_CARD.new.md" in said and "kept" in said
    assert cards.is_ours((tmp_path / "MODEL_CARD.new.md").read_text())
    file.write_bytes(b"\xff no card of ours")
    assert "kept" in keeping.refresh(tmp_path, run)
    file.unlink()
    assert keeping.refresh(tmp_path, run) == f"model card: {file}"


def test_without_facts_it_says_what_is_not_known(tmp_path, run):
    keeping.refresh(tmp_path, run)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "Not recorded: this run is of a version that did not keep it." in card
    assert "- Not scored yet: run evaluate --crop all." in card


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 9, "datasets": []}', "\x00"])
def test_damaged_facts_are_named_and_cost_the_card_alone(tmp_path, run, text):
    (tmp_path / "training_data.json").write_text(text)
    said = keeping.refresh(tmp_path, run)
    assert said.startswith(f"note: no model card was written: {tmp_path / 'training_data.json'}: ")
    assert "\n" not in said and not (tmp_path / "MODEL_CARD.md").exists()


def test_scores_of_another_state_or_of_something_else_are_left_out(tmp_path, run):
    write(tmp_path, "test/all.json", score(run, digest="other"))
    write(tmp_path, "test/compare.json", {"settings": {"digest": combined.digest(run)}})
    write(tmp_path, "test/list.json", [1])
    (tmp_path / "evaluation/test/broken.json").write_text("{")
    assert scores.find(tmp_path, run.step, combined.digest(run)) == ([], {})
    write(tmp_path, "validation/all.json", score(run, split="validation"))
    rows, words = scores.find(tmp_path, run.step, combined.digest(run))
    assert [(row["crop"], row["n"]) for row in rows] == [("wheat", 10), ("macro mean", None)]
    assert words == {"validation": ["95 % intervals: 2 blocks"]}
    assert "Scored on validation and not on test: run evaluate" in " ".join(
        facts.gather(tmp_path, run)["limits"]
    )


def test_a_curve_gives_a_row_for_each_lead(tmp_path, run):
    figures = {"f1": FIGURE, "recall": FIGURE, "precision": FIGURE}
    counts = {"tp": 1, "fp": 1, "fn": 1, "tn": 1, "threshold": 0.5}
    points = [
        {"lead_days": lead, "as_of": None, "effective_lead_days": [lead, lead + 9]}
        | figures
        | counts
        for lead in (90, 30)
    ]
    curve = {"method": "network", "unit": "pixels", "crop": "wheat", "points": points}
    made = score(run, lead_days=[90, 30]) | {"axis": {}, "curves": [curve], "macro": []}
    del made["scores"]
    write(tmp_path, "test/lead_time.json", made)
    rows, _ = scores.find(tmp_path, run.step, combined.digest(run))
    assert [(row["lead_days"], row["ahead"]) for row in rows] == [(90, [90, 99]), (30, [30, 39])]
    assert "Scored 30, 90 days before harvest" in " ".join(facts.gather(tmp_path, run)["limits"])
    points[0]["f1"] = FIGURE | {"value": 0.31}
    write(tmp_path, "test/lead_time.json", made)
    low = "F1 of pixels below 0.5: wheat (0.31, 90 days before harvest)."
    assert low in facts.gather(tmp_path, run)["limits"]


def test_limits_of_other_data():
    known = {"data": [copy.deepcopy(DATA)], "scores": [], "calibrated": "temperature 1.00"}
    known |= {"legend": {"classes": []}, "trained": {"settings": {}}}
    sensor = {"name": "s1", "title": "Sentinel-1", "bands": ["VV", "VH"]}
    radar = sensor | {"compositing": "mean_power"}
    known |= {"inputs": {"sensors": [radar], "backscatter": "sigma0"}}
    train = known["data"][0]["splits"]["train"]
    train["pixels"], train["fields"] = [900, 800, 0], None
    known["data"][0]["seasons"] = ["2020-2021", "2021-2022"]
    found = " ".join(limits.of(known, {"s1": [1]}))
    assert "No ground that is none of the classes" in found
    assert "Never seen in training: VH of Sentinel-1." in found
    assert "Backscatter of Sentinel-1 in training is sigma0; other kinds (gamma0_rtc)" in found
    assert not [word for word in ("One season", "calibrated", "Fewer") if word in found]


def test_a_box_across_180_degrees_keeps_its_sides():
    """Cubes of 1 km in UTM zones 60 and 1, on either side of the antimeridian."""
    row = {"transform": [10.0, 0, 700_000.0, 0, -10.0, 8_000_000.0], "shape": [100, 100]}
    west = row | {"crs": "EPSG:32760"}
    east = row | {"crs": "EPSG:32701", "transform": [10.0, 0, 300_000.0, 0, -10.0, 8_000_000.0]}
    left, south, right, north = data_facts.bbox([west, east])
    assert 178 < left < 180 and -180 < right < -178 and -19 < south < north < -17
    assert data_facts.bbox([west])[0] < data_facts.bbox([west])[2]
