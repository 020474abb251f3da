"""The page: what it says of small reports, and that it is well-formed, escaped and accessible."""

import base64
import hashlib
import html.parser
import json
import re

import made_reports
import pytest
from made_reports import make

from cropmap_jax.reporting import render

VOID = {"meta", "br", "img", "input", "link", "hr"}
EVIL = "<script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>\"'&"


class Page(html.parser.HTMLParser):
    """Reads a page and fails where a tag is not closed by its own."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag} says something twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def read(report):
    return Page(render.render(report))


def test_a_page_is_well_formed_and_can_be_found_ones_way_in():
    page = read(make())
    assert page.tags[0][0] == "html" and page.tags[0][1] == {"lang": "en"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    for _, attrs in page.tags:
        for name in ("aria-labelledby", "for"):
            assert set(attrs.get(name, "").split()) <= set(ids)
        if attrs.get("href", "").startswith("#"):
            assert attrs["href"][1:] in ids
    assert page.all("a")[0]["class"] == "skip"
    assert all(attrs["alt"] for attrs in page.all("img"))
    charts = [attrs for attrs in page.all("svg") if attrs.get("class") == "chart"]
    assert len(charts) == 4 and all(attrs["role"] == "img" for attrs in charts)
    assert len(page.all("desc")) == 4 <= len(page.all("details"))
    assert all(attrs["scope"] for attrs in page.all("th"))


def test_nothing_but_its_own_style_and_script_may_run_or_be_fetched():
    text = render.render(make())
    page = Page(text)
    (policy,) = (a["content"] for a in page.all("meta") if "http-equiv" in a)
    for tag in ("style", "script"):
        (part,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        source = attrs.get("src", attrs.get("href", "#"))
        assert source.startswith(("#", "data:image/"))
    assert "url(" not in text and "@import" not in text


def evil(value):
    """The same JSON with every text in it spoilt, but for what the page computes with."""
    keep = {"schema", "created", "harvest", "date", "dates", "kind", "axis", "as_of", "window_end"}
    keep |= {"method", "unit", "image", "prediction", "confidence", "known", "colour", "pattern"}
    if isinstance(value, dict):
        return {k: v if k in keep else evil(v) for k, v in value.items()}
    if isinstance(value, list):
        return [evil(one) for one in value]
    return EVIL if isinstance(value, str) else value


def test_texts_of_users_are_shown_and_never_obeyed():
    clean, spoilt = make(), evil(make(titles={"wheat": EVIL}))
    spoilt["schema"] = clean["schema"]
    page, before = read(spoilt), read(clean)
    assert [tag for tag, _ in page.tags if tag in ("script", "img")] == [
        tag for tag, _ in before.tags if tag in ("script", "img")
    ]
    assert page.text.count("<script>alert(1)</script>") > 20
    inside = [a for tag, a in page.tags if any("evil" in str(v) for v in a.values())]
    assert inside, "attributes hold such texts, too"
    assert not [a for _, a in page.tags if "onerror" in a]


def test_the_summary_says_how_early_how_surely_and_compared_with_what():
    text = read(make()).text
    assert "1 of 2 crops is mapped well, with an F1 score of 0.8 or more: Wheat (30 days" in text
    assert "On a map of all crops, as of 1 June 2022, 82 % (70 % to 90 %) of the labelled" in text
    assert "mean confidence is 70 % and accuracy 60 %: it is too sure (calib" in text
    assert "Nothing else was scored on the same ground" in text
    assert "never 0.8; at most 0.40, 30 days before harvest" in text
    assert "0.90 (0.80 to 1.00)" in text
    assert "annotated pixel" not in text and "None" not in text.replace("None.", "")


@pytest.mark.parametrize(
    "theirs, words, warned",
    [
        ((0.9, 0.5), "The neural network does not beat the best of the other methods, the random"
         " forest: mean F1 0.65 (0.55 to 0.75) against 0.70 (0.60 to 0.80)", True),
        ((0.85, 0.4), "scores higher than the best of the other methods, the random forest, but"
         " it is not shown to be better", False),
        ((0.3, 0.2), "The neural network is better than the best of the other methods, the random"
         " forest: mean F1 0.65 (0.55 to 0.75) against 0.25 (0.15 to 0.35)", False),
    ],
)  # fmt: skip
def test_one_honest_sentence_about_other_methods(theirs, words, warned):
    rivals = {"forest": {"wheat": (0.1, 0.2, theirs[0]), "rice": (0.1, 0.2, theirs[1])}}
    page = read(make(rivals=rivals))
    assert words in page.text
    assert bool([a for _, a in page.tags if a.get("class") == "warn"]) is warned
    assert "F1 of random forest" in page.text


def compared():
    row = {"unit": "pixels", "score": "f1", "value": -0.012, "low": -0.03, "high": 0.006}
    return {
        "schema": "compare/1", "reference": "network", "lead_days": 30, "as_of": None,
        "intervals": {"words": "paired, by block"}, "best": "forest",
        "sentence": "Use <the> forest.",
        "methods": [
            {"method": "network", "words": None, "unit": "pixels", "crops": {},
             "macro_f1": made_reports.figure(0.7, 0.6, 0.8)},
        ],
        "differences": [
            row | {"method": "forest", "crop": None, "reason": None, "better": None},
            row | {"method": "forest", "crop": "wheat", "low": None, "high": None,
                   "reason": "one block", "better": None},
        ],
        "notes": ["of 12 blocks"],
    }  # fmt: skip


def test_a_paired_comparison_is_shown_where_there_is_one():
    report = make() | {"compare": compared()}
    page = read(report)
    assert page.text.count("Use <the> forest.") == 2
    assert "−0.012 (−0.030 to +0.006)" in page.text and "not shown" in page.text
    assert "of 12 blocks" in page.text and "paired, by block" in page.text
    assert [a for _, a in page.tags if a.get("class") == "warn"]


def test_it_is_said_where_calibration_and_sets_keep_no_promise():
    report, after = make(), made_reports.reliability() | {"ece": 0.2}
    level = {"stated": 0.9, "threshold": 0.5, "covered": 0.8, "size": 1.2, "empty": 0.0}
    after["sets"] = [level, level | {"stated": 0.8}]
    report["reliability"] |= {"calibration": "temperature 2", "crops": None}
    report["reliability"]["map"]["after"] = after
    text = read(report).text
    assert "calibration makes the error larger: 0.100 before, 0.200 after" in text
    assert "less often here than they state: 80 % for 90 %." in text
    assert "The run is calibrated: temperature 2." in text


def test_one_crop_one_block_no_map_no_places():
    report = make({"wheat": (0.1, 0.2, 0.3)})
    report["one_date"] = {"dates": None, "rule": None, "reason": "one crop", "confusion": []}
    report["reliability"] = {"calibration": None, "map": None, "crops": None}
    report["maps"] |= {"places": [], "left_out": "3 further places"}
    report["blocks"]["blocks"] = report["blocks"]["blocks"][:1]
    report["curve"]["intervals"] |= {"unit": "field", "groups": 3}
    report["settings"] |= {"threshold_split": "train", "trained_on": ["a"]}
    report["notes"] = []
    text = read(report).text
    assert "Wheat does not reach an F1 score of 0.8 at any point" in text
    assert "There is no such map: one crop." in text
    assert "All scored ground lies in one block" in text and "in one place" in text
    assert "Some of this ground was trained on" in text
    assert "Not shown, to keep this file small: 3 further places" in text


def test_what_has_no_value_has_a_footnote():
    report = make({"wheat": (None, None, None)})
    page = read(report)
    assert "a no image yet" in page.text and "–" in page.text
    assert not re.search(r"\b(nan|NaN|None|null|undefined)\b", page.text.replace("None.", ""))


def test_a_curve_by_date_has_dates():
    report = make({"wheat": (0.5, 0.7, 0.9)})
    days = ["2022-03-01", "2022-04-01", "2022-05-01"]
    report["curve"]["axis"] = {"kind": "as_of", "values": days}
    (one,) = report["curve"]["curves"]
    one["earliest"] = {"as_of": days[2], "holds": True, "surely": days[2], "words": ""}
    for rows in (one["points"], *(p["steps"] for p in report["maps"]["places"])):
        for row, day in zip(rows, days, strict=True):
            row |= {"lead_days": None, "as_of": day}
    report["blocks"]["step"] = {"lead_days": None, "as_of": days[2]}
    text = read(report).text
    assert "Wheat is mapped well, with an F1 score of 0.8 or more, from 1 May 2022 on." in text
    assert "sure as of 1 May 2022" in text and "as of, 2022" in text


def test_another_schema_is_refused():
    with pytest.raises(ValueError, match="expected schema 'report/1', found 'report/9'"):
        render.render(make() | {"schema": "report/9"})


def test_a_report_survives_json():
    report = make()
    again = json.loads(json.dumps(report, allow_nan=False))
    assert render.render(again) == render.render(report)


def test_that_fields_were_held_out_is_said_only_where_it_is_known():
    held = "The known fields were not used to make it."
    for trained_on, said in (([], True), (None, False), (["a"], False)):
        report = make()
        report["settings"]["trained_on"] = trained_on
        assert (held in read(report).text) is said


@pytest.mark.parametrize(
    "why, found, words",
    [
        ("one crop alone was scored", None, "one crop alone was scored"),
        (None, None, "the classes of this run do not exclude each other"),
        (None, {"before": made_reports.reliability() | {"diagram": []}},
         "no known ground was seen"),
    ],
)  # fmt: skip
def test_why_there_is_no_reliability_is_said_and_nothing_else(why, found, words):
    report = make()
    report["one_date"]["reason"] = why
    report["reliability"]["map"] = found
    assert f"There is no reliability of a map: {words}." in read(report).text


def test_pictures_of_large_cubes_say_how_many_pixels_they_show():
    report = make()
    report["maps"]["places"][0]["every"] = 2
    assert "pictures show one of 2 pixels along each side" in read(report).text


def test_without_any_score_no_crop_is_said_to_be_bad():
    text = read(make({"wheat": (None,) * 3, "rice": (None,) * 3})).text
    assert "Not one of 2 crops has an F1 score here: no image yet." in text
    assert "reaches an F1" not in text
    text = read(make({"wheat": (None,) * 3})).text
    assert "Wheat has no F1 score here: no image yet." in text and "does not reach" not in text
    text = read(make({"wheat": (0.1,) * 3, "rice": (None,) * 3})).text
    assert "Not one of 2 crops reaches an F1 score of 0.8" in text


def test_a_map_of_which_nothing_known_was_seen_is_not_one_that_is_not_there():
    report = make()
    for row in report["one_date"]["confusion"]:
        row["reason"] = "nothing that is annotated was seen"
    assert "no one map of all crops to score: nothing that is annotated was seen." in (
        read(report).text
    )


def test_members_of_combined_runs_are_called_by_their_own_names():
    rivals = {"pixel_series-0": {"wheat": (0.1, 0.2, 0.95), "rice": (0.1, 0.2, 0.9)}}
    report = make(rivals=rivals)
    report["settings"]["method"] = "combined"
    for one in (*report["curve"]["curves"], *report["curve"]["macro"]):
        if one["method"] == "network":
            one["method"] = "combined"
    text = read(report).text
    assert "Scored: the combination of several runs on the test ground" in text
    assert "The combination of several runs does not beat the best of the other methods, " in text
    assert "the other methods, pixel_series-0: mean" in text and "pixel series" not in text
