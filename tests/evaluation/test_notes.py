"""What is reported with the scores, crop by crop."""

import numpy as np

from cropmap_jax.evaluation import notes
from cropmap_jax.evaluation.evaluate import Chosen
from cropmap_jax.evaluation.metrics import CropTally
from cropmap_jax.geo.sensors import SENTINEL, Sensor


def tally(label, seen=None, fields=True) -> CropTally:
    """Of class 0, from pixels in a row that are a field each."""
    made = CropTally()
    numbers = np.arange(1, len(label) + 1) * fields
    made.add(
        np.full((1, len(label)), 0.5, np.float32),
        np.array([label], np.uint8),
        numbers[None].astype(np.uint32),
        0,
        None if seen is None else np.array([seen]),
    )
    made.sensors = {"s1", "s2"}
    return made


def noted(*tallies, leads=None, chosen=None, sensors=SENTINEL):
    names = [f"c{i}" for i in range(len(tallies))]
    leads = leads or [(30, 30)] * len(tallies)
    return notes.score_notes(
        "test", names, list(tallies), leads, chosen or [Chosen(0.5)] * len(tallies), sensors
    )


def test_scores_as_they_should_be_have_no_notes():
    assert noted(tally([0, 0, 1]), tally([0, 0, 1, 1])) == []


def test_unseen_pixels_and_fields_are_counted():
    (note,) = noted(tally([0, 0, 1, 1], [True, True, True, False]))
    assert note == (
        "c0: 1 of 4 annotated pixels and 1 of 4 fields of test are without any image in the "
        "window and not scored"
    )
    first, second = noted(tally([0, 0, 1], [False] * 3))
    assert "3 of 3" in first
    assert second == 'c0: no annotated pixel with an image in test: there are no scores ("-")'


def test_what_cannot_be_wrong_is_noted_once_for_all_crops_alike():
    (note,) = noted(tally([0, 0]), tally([0, 0, 0]))
    assert note.startswith("c0, c1: every annotated pixel is of this crop in test: accuracy,")
    (note,) = noted(tally([1, 1]))
    assert note.startswith("c0: no annotated pixel is of this crop in test: recall,")
    # Pixels of something else that are no field: of fields alone nothing can be wrong.
    mixed = tally([0, 0])
    mixed.add(np.zeros((1, 1), np.float32), np.ones((1, 1), np.uint8), np.zeros((1, 1), int), 0)
    (note,) = noted(mixed)
    assert note.startswith("c0: every annotated field is of this crop in test: accuracy,")


def test_a_default_threshold_a_lacking_sensor_and_a_late_date_are_noted():
    (note,) = noted(tally([0, 0, 1]), chosen=[Chosen(0.35, "no reason")])
    assert note == "c0: threshold 0.35 by default, not chosen (no reason)"
    radar = tally([0, 0, 1])
    radar.sensors = {"s1"}
    assert noted(radar) == ["c0: no Sentinel-2 value in the window anywhere in test"]
    radar.sensors, radar.lacking = {"s1", "s2"}, {"s2": ["a", "b", "c", "d"]}
    assert noted(radar) == [
        "c0: no Sentinel-2 value in the window of 4 cubes (a, b, c, ...) of test"
    ]
    old = tally([0, 0, 1])
    old.gaps = {"a": 61, "b": 30}
    assert noted(old) == [
        "c0: the last periods of 2 cubes (a, b) of test hold no value: the last image is up to 61 "
        "days older than its lead says"
    ]
    (note,) = noted(tally([0, 0, 1]), leads=[(-12, 3)])
    assert note == "c0: as of up to 12 days after its harvest began"


def test_a_sensor_is_lacking_only_if_the_network_takes_it():
    made = tally([0, 0, 1])
    thermal = Sensor("thermal", "Thermal", ("T",), "K", 100.0, (200.0, 350.0))
    (note,) = noted(made, sensors=(SENTINEL[0], thermal))
    assert note == "c0: no Thermal value in the window anywhere in test"
    assert noted(made, sensors=SENTINEL[1:]) == []


def test_few_fields_are_noted():
    (note,) = noted(tally([0, 1, 1]))
    assert note == "c0: 1 field of it in test was seen; scores of so few fields mean little"
    (note,) = noted(tally([0, 0, 1], fields=False))
    assert note.startswith("c0: no field of it in test was seen")


def test_a_long_list_of_crops_is_cut():
    (note,) = noted(*[tally([1])] * 20)
    assert note.startswith("c0, c1, c2, c3, c4, c5, c6, c7 and 12 more: no annotated pixel")
