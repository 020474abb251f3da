"""Which dates are scored, and the curve that they make."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from inference.stand_ins import StandIn
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import as_of_plan, evaluate, figure_pictures, lead_time, split_tally
from cropmap_jax.evaluation.as_of_plan import Step
from cropmap_jax.evaluation.evaluate import Chosen
from cropmap_jax.evaluation.partial import Unknown
from cropmap_jax.evaluation.scored import Scored
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import from_day

# Images from January to August 2022; rye is harvested on 1 July, pea in August, oats in September.
LABEL = np.array([[0] * 8, [0] * 8, [1] * 8, [1] * 8, [NONE_OF_THESE] * 8, *[[IGNORE] * 8] * 3])
LABEL = LABEL.astype(np.uint8)
FIELDS = np.where(LABEL < 2, LABEL + 1, 0).astype(np.uint32)


@pytest.fixture(scope="module")
def data():
    return small_data.make_dataset([Ground(s, LABEL, FIELDS) for s in ("train", "test", "test")])


def better_with_time(examples):
    """Rye with 0.9 where it grows, in so many columns as periods have passed; else 0.1."""
    answers = []
    for example in examples:
        number = example["pixels"]["s1"][-1, ..., small_data.NUMBER]
        passed = example["pixels"]["s1"][-1, ..., small_data.PERIOD] + 1
        here = (number % 64 < 16) & (number % 8 < passed)
        rye = np.where(here, 0.9, 0.1)
        answers.append(np.stack([rye, 0 * rye, 0 * rye], -1).astype(np.float32))
    return answers


def scored(data, plan, unknown=False, number=None):
    """The plan's columns, at 0.5."""
    calls = []

    def answer(examples):
        calls.append(len(examples))
        return better_with_time(examples)

    values = np.full((len(plan.columns), 2), 0.5)
    more = Unknown(values[:, 0]) if unknown else None
    method = split_tally.Method(plan.classes, values, unknown=more)
    leads, groups = split_tally.tally(StandIn(answer), "test", data, 2, plan.dates, [method])
    if number is not None:
        assert sum(calls) == number
    names = [data.legend.names[c] for c in plan.crops]
    chosen = [Chosen(0.5)] * len(plan.columns)
    return Scored("network", plan, names, method, chosen, leads, groups.unit)


def test_leads_are_checked_and_go_with_time():
    assert as_of_plan.parse_leads(["30", "150", "60"]) == [150, 60, 30]
    assert as_of_plan.parse_leads(["-20"]) == [-20]
    assert as_of_plan.Step(-20).words == "20 days after harvest has begun"
    for values, found in (
        (["30", "-1"], "expected 0 to 731 .*one alone may be negative.*found -1"),
        (["60", "30", "60"], "expected different leads, found 60 twice"),
        (["30", "9999"], "found 9999"),
        (["-9999"], "-731 to 731"),
        (["30", "x"], "whole numbers of days, found 'x'"),
        (["30", ""], "whole numbers of days, found ''"),
        ([], "found none"),
    ):
        with pytest.raises(ValueError, match=f"^--lead_days: .*{found}"):
            as_of_plan.parse_leads(values)


def test_a_lead_before_the_first_image_is_absent_and_the_others_are_not(data):
    plan = as_of_plan.for_leads(data, [0, 2], [200, 120, 30], ["test"])
    # 200 days before 1 July 2022 is in December; the first month ends on 1 February.
    assert plan.columns == ((0, 1), (1, 0), (1, 1), (2, 0), (2, 1)) and plan.classes == [
        2,
        0,
        2,
        0,
        2,
    ]
    (words,) = plan.absent.values()
    assert words.startswith("no image yet in 2 of 2 cubes (as of 2021-12-13, but") and list(
        plan.absent
    ) == [(0, 0)]
    assert "cube1 of test ends on 2022-02-01" in words
    assert [from_day(int(d)).isoformat() for d in plan.dates[1]] == [
        "2022-02-13", "2022-03-03", "2022-05-04", "2022-06-01", "2022-08-02",
    ]  # fmt: skip
    assert plan.of_step(1) == [1, 2] and plan.steps[1].words == "120 days before harvest"
    with pytest.raises(ValueError, match="--lead_days: expected a date after the first image"):
        as_of_plan.for_leads(data, [0], [300, 200], ["test"])


def test_the_dates_of_a_season_are_the_ends_of_its_periods(data):
    plan = as_of_plan.for_season(data, [0, 1], day("2022-05-20"), "test", ["test", "train"])
    assert [step.name for step in plan.steps] == [
        "2022-02-01", "2022-03-01", "2022-04-01", "2022-05-01",
    ]  # fmt: skip
    assert plan.steps[0].words == "as of 2022-02-01" and plan.dates.shape == (3, 8)
    with pytest.raises(ValueError, match="--until: expected .*2022-02-01.*found 2022-01-31"):
        as_of_plan.for_season(data, [0], day("2022-01-31"), "test", ["test"])
    other = [row | {"season": str(2020 + i)} for i, row in enumerate(data.cubes)]
    with pytest.raises(ValueError, match="one season, found 2021, 2022; expected --lead_days"):
        two = small_data.make_dataset([Ground("train", LABEL), *[Ground("test", LABEL)] * 2])
        two.cubes[:] = other
        as_of_plan.for_season(two, [0], day("2022-05-20"), "test", ["test"])


def test_every_lead_has_the_scores_of_its_own_dates(data):
    plan = as_of_plan.for_leads(data, [0, 1], [150, 120, 90, 60, 30], ["test"])
    found = scored(data, plan)
    for k, (step, position) in enumerate(plan.columns):
        dates = small_data_dates(data, plan.crops[position], plan.steps[step].lead_days)
        (alone,), leads = evaluate.tally_split(
            StandIn(better_with_time), "test", data, 2, [plan.crops[position]], dates
        )
        assert found.found.tallies[k].pixels.counts(0.5) == alone.pixels.counts(0.5)
        assert found.found.tallies[k].fields.counts(0.5) == alone.fields.counts(0.5)
        assert found.leads[k] == leads[0]


def small_data_dates(data, crop, lead):
    return (data.harvest[:, [crop]] - lead).astype(np.int32)


def test_a_window_is_predicted_once_for_all_leads_and_crops(data):
    # Rye 150, 119, 91 and 61 days before, pea a month later: as of 1 February to 1 June.
    plan = as_of_plan.for_leads(data, [0, 1], [150, 120, 90, 60], ["test"])
    ends = {from_day(int(d)).replace(day=1) for d in plan.dates[1]}
    scored(data, plan, number=2 * len(ends))
    assert len(ends) < len(plan.columns)


def test_the_curve_says_when_f1_reaches_the_goal(data):
    plan = as_of_plan.for_leads(data, [0, 1], [180, 150, 90, 60, 30], ["test"])
    found = lead_time.curve([scored(data, plan)])
    assert json.dumps(found, allow_nan=False)
    assert found["axis"] == {"kind": "lead_days", "values": [180, 150, 90, 60, 30]}
    rye, pea = (c for c in found["curves"] if c["unit"] == "pixels")
    # As of 1 February one of 8 columns is found, on 2 April 3, on 2 May 4, on 1 June 5.
    recalls = [p["recall"]["value"] for p in rye["points"]]
    assert recalls == [None, 1 / 8, 3 / 8, 4 / 8, 5 / 8]
    first = rye["points"][0]
    assert first["reason"] == first["f1"]["reason"] and first["tp"] is first["dates"] is None
    assert rye["points"][1]["dates"] == ["2022-02-01"] * 2
    assert rye["points"][1]["change"] is None
    assert rye["points"][2]["change"]["value"] == pytest.approx(6 / 11 - 2 / 9)
    assert rye["points"][4]["effective_lead_days"] == (30, 30)
    assert rye["points"][4]["tp"] == 20 and rye["points"][4]["tn"] == 48
    assert rye["earliest"]["lead_days"] is None
    assert rye["earliest"]["words"] == "not reached: at most 0.77, 30 days before harvest"
    # Nothing is mapped as pea: no precision, and F1 0.
    last = pea["points"][-1]
    assert last["precision"]["reason"] == "nothing is mapped as it" and last["f1"]["value"] == 0
    # Both cubes are alike, so that draws do not differ.
    assert last["f1"]["reason"] == "no interval: every block says the same"
    (macro,) = (m for m in found["macro"] if m["unit"] == "pixels")
    assert (
        macro["points"][0]["lacking"] == ["rye"] and "no F1 of rye" in macro["points"][0]["reason"]
    )
    assert macro["points"][1]["lacking"] == [] and macro["points"][1]["change"] is None
    assert macro["points"][4]["f1"]["value"] == pytest.approx(10 / 13 / 2)
    table = lead_time.table(found)
    assert "no image yet" in table and all(len(line) < 125 for line in table.splitlines())
    assert any(note.startswith("rye at 180 d: no image yet") for note in lead_time.notes(found))


def point(value, low=None, high=None):
    return {"f1": {"value": value, "low": low, "high": high, "reason": None if low else "why"}}


@pytest.mark.parametrize(
    ("values", "expected", "words"),
    [
        (
            [(0.5,), (0.8,), (0.9,)],
            (60, True, None),
            "60 days before harvest; no whole interval lies",
        ),
        ([(0.8, 0.7, 0.9), (0.9, 0.8, 1)], (90, True, 60), "with its whole interval 60 days"),
        ([(0.9, 0.85, 1), (0.7,)], (90, False, 90), "before harvest, but not at all later points;"),
        ([(None,), (0.79,)], (None, None, None), "not reached: at most 0.79, 60 days"),
        ([(None,), (None,)], (None, None, None), "no F1: why"),
    ],
)
def test_the_earliest_lead_in_words(values, expected, words):
    steps = [Step(90), Step(60), Step(30)][: len(values)]
    found = lead_time._earliest(steps, [point(*own) for own in values])
    assert (found["lead_days"], found["holds"], found["surely"]) == expected
    assert words in found["words"]


def test_a_curve_by_date_with_unknown_ground(data, tmp_path):
    plan = as_of_plan.for_season(data, [0], day("2022-06-30"), "test", ["test"])
    found = lead_time.curve([scored(data, plan, unknown=True)])
    assert found["axis"]["kind"] == "as_of" and found["macro"] == []
    last = found["curves"][0]["points"][-1]
    assert last["as_of"] == "2022-06-01" and last["partial"]["unknown"] == 48
    assert last["partial"]["unknown_mapped"] == 0
    assert last["partial"]["annotated_share"] == 80 / 128
    assert found["curves"][0]["earliest"]["as_of"] is None
    for unit in ("pixels", "fields"):
        figure_pictures.lead_time(found, unit, tmp_path / f"{unit}.png")
        assert (tmp_path / f"{unit}.png").stat().st_size > 5000


@pytest.mark.parametrize("method", ["forest", "a combination of many runs with a long name"])
def test_the_legend_lies_within_the_picture(data, method):
    found = lead_time.curve([scored(data, as_of_plan.for_leads(data, [0], [60, 30], ["test"]))])
    assert len(found["crops"]) == 1
    for one in found["curves"]:
        one["method"] = method
    fig = figure_pictures._curves(found, "pixels")
    fig.draw_without_rendering()
    box, (ax,) = fig.legends[0].get_window_extent(), fig.axes
    assert 0 <= box.x0 and box.x1 <= fig.bbox.width
    assert ax.get_tightbbox().y1 <= box.y0 and box.y1 <= fig.bbox.height
    plt.close(fig)


def test_where_later_is_surely_worse_there_is_a_note(data):
    plan = as_of_plan.for_leads(data, [0], [60, 30], ["test"])
    found = lead_time.curve([scored(data, plan)])
    for one in found["curves"]:
        one["points"][1]["change"] = {"value": -0.2, "low": -0.3, "high": -0.1, "reason": None}
    assert "rye at 30 d: F1 of pixels is surely lower than at the point before" in lead_time.notes(
        found
    )
