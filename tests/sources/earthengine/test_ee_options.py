import dataclasses
import json
import math

import pytest

from cropmap_jax.sources.earthengine import options, service


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: options.S2Options(mask="fmask"), "s2.mask: expected one of cloud_score, scl,"),
        (lambda: options.S2Options(threshold=1.01), "s2.threshold: expected 0 to 1, found 1.01"),
        (lambda: options.S2Options(threshold=math.nan), "s2.threshold: .* found nan"),
        (lambda: options.S2Options(threshold=True), "s2.threshold: .* found True"),
        (lambda: options.S2Options(threshold="0.6"), "s2.threshold: .* found '0.6'"),
        (lambda: options.S2Options(max_cloud=-1), "s2.max_cloud: expected 0 to 100, found -1"),
        (lambda: options.S2Options(count=1), "s2.count: expected True or False, found 1"),
        (lambda: options.S2Options(scl_masked=(3, 12)), "s2.scl_masked: .* found 12"),
        (lambda: options.S2Options(scl_masked=(3.5,)), "s2.scl_masked: .* found 3.5"),
        (lambda: options.S2Options(scl_masked=(True,)), "s2.scl_masked: .* found True"),
        (lambda: options.S2Options(scl_masked=()), "s2.scl_masked: expected at least one"),
        (lambda: options.S2Options(scl_masked=3), "s2.scl_masked: expected at least one"),
        (lambda: options.S2Options(scl_masked="3"), "s2.scl_masked: expected at least one"),
        (lambda: options.S1Options(collection="COPERNICUS/S1"), "s1.collection: .*S1_GRD_FLOAT"),
        (lambda: options.S1Options(direction="ASCENDING"), "s1.direction: .* found 'ASCENDING'"),
        (lambda: options.S1Options(border_db=30.0), "s1.border_db: expected -100 to 0, found 30"),
        (lambda: options.S1Options(border_db=None), "s1.border_db: .* found None"),
        (lambda: options.LabelOptions("worldcover"), "label.kind: .* found 'worldcover'"),
        (lambda: options.LabelOptions(year=2020), "label.year: expected one of 2018, 2022, found"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_found_and_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_limits_belong_to_the_range():
    assert options.S2Options(threshold=0, max_cloud=0).max_cloud == 0
    assert options.S2Options(threshold=1, max_cloud=100).threshold == 1


def test_the_year_is_unused_without_eucropmap():
    assert options.LabelOptions("tiles", year=0).kind == "tiles"


def test_defaults_mask_shadow_and_cirrus_and_are_those_of_the_service():
    chosen = options.S2Options()
    assert {3, 10} <= set(chosen.scl_masked) <= set(service.SCL_CLASSES)
    assert (chosen.mask, chosen.threshold) == ("cloud_score", service.CLOUD_SCORE_THRESHOLD)
    assert options.S1Options().collection == service.S1_DB


def test_classes_are_kept_sorted_and_once():
    assert options.S2Options(scl_masked=[9, 3, 9]) == options.S2Options(scl_masked=(3, 9))


def test_json_is_ready_and_sorted_and_holds_what_changes_pixels():
    value = options.Options().to_json()
    assert json.dumps(value) == json.dumps(value, sort_keys=True)
    assert value == {
        "label": {"kind": "eucropmap", "year": 2018},
        "s1": {
            "border_db": -30.0,
            "collection": "COPERNICUS/S1_GRD",
            "direction": "auto",
            "platforms": "calibrated",
        },
        "s2": {"count": True, "mask": "cloud_score", "max_cloud": 100.0, "threshold": 0.6},
    }
    scl = options.Options(s2=options.S2Options("scl"), label=options.LabelOptions("none"))
    assert scl.to_json()["s2"] == {
        "count": True,
        "mask": "scl",
        "max_cloud": 100.0,
        "scl_masked": [0, 1, 3, 8, 9, 10, 11],
    }
    assert scl.to_json()["label"] == {"kind": "none"}


def _digest(**changes) -> str:
    return options.digest(dataclasses.replace(options.Options(), **changes).to_json())


def test_the_digest_tells_apart_what_changes_pixels():
    changed = [
        {"s2": options.S2Options("scl")},
        {"s2": options.S2Options("scl", scl_masked=(3, 9))},
        {"s2": options.S2Options(threshold=0.5)},
        {"s2": options.S2Options(max_cloud=60)},
        {"s2": options.S2Options(count=False)},
        {"s1": options.S1Options(service.S1_LINEAR)},
        {"s1": options.S1Options(direction="descending")},
        {"s1": options.S1Options(border_db=-25)},
        {"s1": options.S1Options(platforms=("S1A", "S1B"))},
        {"s1": options.S1Options(platforms=("S1A",))},
        {"label": options.LabelOptions(year=2022)},
        {"label": options.LabelOptions("none")},
        {},
    ]
    assert len({_digest(**change) for change in changed}) == len(changed)


def test_the_digest_is_blind_to_what_changes_no_pixel():
    assert _digest(s2=options.S2Options(scl_masked=(3,), max_cloud=100)) == _digest()
    assert _digest(s2=options.S2Options("scl", threshold=0.9)) == _digest(
        s2=options.S2Options("scl")
    )
    assert _digest(s1=options.S1Options(border_db=-30)) == _digest()  # An int, equal.
    assert options.digest({"a": 1, "b": [2]}) == options.digest({"b": [2], "a": 1})


def test_the_digest_is_that_of_compact_sorted_json():
    # printf '{"a":[1],"b":null}' | sha256sum
    golden = "ed5c7dc2684fea0cb32578f8fe59a4aba8851b5dd7c38abcda3c1e2d9f4abaaa"
    assert options.digest({"b": None, "a": [1]}) == golden


def test_the_digest_refuses_what_json_does_not_hold():
    with pytest.raises(ValueError, match="JSON"):
        options.digest({"a": math.nan})
