"""From scores of runs to a table, an answer and a picture."""

import pytest

from cropmap_jax.evaluation import learning_curve

LABELS = {"a": "A, pretrained", "forest": "forest"}
USED = {"0": [0], "8": [8], "20": [14, 20], "all": [14, 60]}


def row(crop, tp, fp, fn, method="combined", rule="chosen", unit="pixels"):
    own = {"crop": crop, "tp": tp, "fp": fp, "fn": fn, "tn": 9, "method": method, "rule": rule}
    more = {"threshold": 0.5, "without_image": 0, "lead_days": None, "unit": unit}
    scores = {"precision": None, "recall": None, "f1": None}
    return own | more | scores


def run(method, fields, draw, pixels, parcels=0.5, rule="chosen"):
    scores = {"pixels": {rule: pixels}, "fields": {rule: parcels}}
    return {"method": method, "fields": fields, "draw": draw, "scores": scores}


def runs(*means):
    """Two draws of each number of fields, 0.01 above and below."""
    found = [run("a", "0", 0, 0.2, rule="fixed")]
    for asked, mean in zip(("8", "20", "all"), means, strict=True):
        found += [run("a", asked, 0, mean - 0.01), run("a", asked, 1, mean + 0.01)]
    return found


def test_macro_f1_is_of_each_method_unit_and_rule():
    rows = [row("x", 6, 2, 2), row("y", 1, 0, 0), row("x", 1, 1, 1, "forest"), row("z", 0, 0, 0)]
    rows += [row("x", 3, 0, 0, unit="fields"), row("x", 1, 0, 2, rule="fixed")]
    found = learning_curve.scores(rows)
    # x: 12 / (12 + 2 + 2) = 0.75, y: 1; of z there is nothing, and it has no F1.
    assert found["combined"]["pixels"] == {"chosen": 0.875, "fixed": 0.5}
    assert found["combined"]["fields"] == {"chosen": 1.0}
    assert found["forest"] == {"pixels": {"chosen": 0.5}}


def test_points_are_means_over_draws_and_say_what_failed():
    failed = {"method": "forest", "fields": "8", "draw": 1, "failed": "no space"}
    found = learning_curve.summarise(
        [*runs(0.5, 0.6, 0.62), run("forest", "8", 0, 0.4), failed], list(LABELS), USED
    )
    by = {(p["method"], p["fields"]): p for p in found}
    assert list(by) == [("a", "0"), ("a", "8"), ("a", "20"), ("a", "all"), ("forest", "8")]
    assert by["a", "20"]["scores"]["pixels"]["mean"] == pytest.approx(0.6)
    # Two values, 0.02 apart: sd = 0.02 / sqrt 2.
    assert by["a", "20"]["scores"]["pixels"]["sd"] == pytest.approx(0.01414, abs=1e-5)
    assert by["a", "20"]["per_class"] == 17 and by["a", "0"]["rule"] == "fixed"
    assert by["a", "0"]["scores"]["pixels"] == {"mean": 0.2, "sd": None, "each": [0.2]}
    assert by["forest", "8"]["draws"] == 1 and by["forest", "8"]["failed"] == ["no space"]


def test_the_table_has_a_column_for_each_number_of_fields():
    points = learning_curve.summarise(
        [*runs(0.5, 0.6, 0.62), {"method": "forest", "fields": "8", "draw": 0, "failed": "why"}],
        list(LABELS), USED,
    )  # fmt: skip
    lines = [
        " ".join(line.split()) for line in learning_curve.table(points, LABELS, USED).split("\n")
    ]
    assert lines[:4] == [
        "macro-F1 of pixels",
        "fields per class 0 fields 8 fields 20 fields all",
        "really, per crop 0 8 14-20 14-60",
        "A, pretrained 0.200 0.500 ± 0.014 0.600 ± 0.014 0.620 ± 0.014",
    ]
    assert lines[-1] == "forest, 8 fields, failed: why"
    assert not any("most probable" in line for line in lines)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        # From 8 to 17 is 1.09 doublings, from 17 to 37 1.12.
        ((0.5, 0.6, 0.7), "from 17 to 37 fields per class, twice as many gain 0.089"),
        ((0.5, 0.6, 0.61), "beyond about 17 fields per class, twice as many gain less than 0.02"),
        ((0.5, 0.51, 0.51), "beyond about 8 fields per class, twice as many gain less than 0.02"),
        ((0.5, 0.51, 0.61), "more fields still help: from 17 to 37"),
    ],
)  # fmt: skip
def test_the_answer_is_where_doubling_gains_little(means, expected):
    points = learning_curve.summarise(runs(*means), list(LABELS), USED)
    assert expected in learning_curve.answer(points, "a", "A")


def test_of_one_number_of_fields_there_is_no_answer():
    points = learning_curve.summarise([run("a", "8", 0, 0.5)], ["a"], {"8": [8]})
    assert learning_curve.answer(points, "a", "A").startswith("A: too few numbers of fields")


def test_the_picture_is_drawn_whatever_was_scored():
    for found in (runs(0.5, 0.6, 0.62), [run("a", "8", 0, 0.5, None)], runs(0.5, 0.6, 0.6)[:1]):
        points = learning_curve.summarise(found, list(LABELS), USED)
        assert learning_curve.picture(points, LABELS, "of two draws").startswith(b"\x89PNG")
