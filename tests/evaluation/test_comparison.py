"""Paired differences hold 0 as often as they say, and the sentence says what the numbers say."""

from types import SimpleNamespace

import numpy as np
import pytest
from training import small_data
from training.small_data import Ground

from cropmap_jax.evaluation import comparison, comparison_picture, comparison_words, figures
from cropmap_jax.evaluation.comparison import Entry
from cropmap_jax.evaluation.groups import Groups
from cropmap_jax.geo.legend import IGNORE
from experiments import _evaluation_compare


def two_methods(rng, draws: int, blocks: int, crops: int = 3, gain: float = 0.0):
    """int64 [2, draws, blocks, crops, 4]: places differ, and are hard for both; methods do not.

    Each method has luck of its own in each place: its recall there is that of the place, as a beta
    of so many fields would have it, on average the same for both, but for the first `gain` more.
    """
    shape = (draws, blocks, crops)
    size = rng.lognormal(7, 0.6, (draws, blocks, 1)).astype(int)
    positive = rng.binomial(size, rng.beta(3, 12, shape))
    recall, errors = rng.beta(8, 3, shape), rng.beta(1.5, 20, shape)
    each = []
    for more in (gain, 0.0):
        own = np.minimum(rng.beta(30 * recall, 30 * (1 - recall)) + more, 1)
        tp = rng.binomial(positive, own)
        fp = rng.binomial(size - positive, rng.beta(30 * errors, 30 * (1 - errors)))
        each.append(np.stack([tp, fp, positive - tp, size - positive - fp], -1))
    return np.stack(each)


def entry(method: str, pixels: np.ndarray, fields: np.ndarray | None = None) -> Entry:
    nothing = np.zeros_like(pixels)
    return Entry(method, "", {"pixels": pixels, "fields": nothing if fields is None else fields})


def compared(first, second, group="block", names=("rye", "pea", "oats")):
    found = comparison.compare(entry("network", first), [entry("forest", second)], names, group)
    return found, comparison_words.sentence(found, "test")


@pytest.mark.parametrize("blocks", [5, 12, 40])
def test_of_200_equal_pairs_95_in_100_intervals_hold_0(blocks):
    made = two_methods(np.random.default_rng(0), 200, blocks)
    held = {"mean": 0, "crop": 0}
    for first, second in zip(*made, strict=True):
        both = figures.Resampled(np.concatenate([second, first], 1), "block")
        mean, crop = both.macro_change([0, 1, 2], [3, 4, 5]), both.change(0, 3)
        held["mean"] += mean.low <= 0 <= mean.high
        held["crop"] += crop.low <= 0 <= crop.high
    assert all(0.92 <= count / 200 <= 0.98 for count in held.values()), held


def test_what_is_hard_for_both_does_not_hide_a_difference():
    first, second = two_methods(np.random.default_rng(1), 1, 12, gain=0.1)[:, 0]
    found, sentence = compared(first, second)
    mean = comparison.difference(found, "forest")
    assert 0 < mean["low"] < mean["value"] < mean["high"] and mean["better"] == "network"
    # Apart from each other, the two intervals meet.
    each = {row["method"]: row["macro_f1"] for row in found["methods"]}
    assert each["network"]["low"] < each["forest"]["high"]
    assert mean["value"] == pytest.approx(each["network"]["value"] - each["forest"]["value"])
    assert sentence.startswith("Use the network: over the 12 blocks of test, the network has 0.")
    # The other way round it says the opposite.
    found, sentence = compared(second, first)
    assert comparison.difference(found, "forest")["better"] == "forest" == found["best"]
    assert comparison.difference(found, "forest")["value"] == pytest.approx(-mean["value"])
    assert sentence.startswith("Use the forest: over the 12 blocks of test, the forest ")
    assert f"a difference of +{mean['value']:.3f} (95 % interval +{mean['low']:.3f} " in sentence


def test_equal_methods_are_told_apart_by_nothing():
    first, second = two_methods(np.random.default_rng(2), 1, 12)[:, 0]
    found, sentence = compared(first, second)
    assert sentence.startswith("No difference between the network and the forest can be ")
    assert "told over the 12 blocks of test, so use the one that costs less" in sentence
    assert sentence.count(". ") == 0
    # One and the same: nothing varies.
    found, sentence = compared(first, first)
    row = comparison.difference(found, "forest")
    assert row["value"] == 0 and row["low"] is None and "every block says the same" in row["reason"]
    assert sentence.startswith("The network and the forest score the same, 0.")


def test_one_field_alone_gives_no_interval_and_the_sentence_says_so():
    first = np.array([[[8, 1, 2, 9]], [[0, 0, 0, 20]]])
    second = np.array([[[9, 1, 1, 9]], [[0, 0, 0, 20]]])
    found, sentence = compared(first, second, "field", ["rye"])
    assert comparison.difference(found, "forest")["better"] is None and found["best"] == "forest"
    assert sentence == (
        "The forest scores higher than the network, 0.900 against 0.842 (F1 of rye, pixels), but "
        "no interval can be given, as there is only one test field, and test has one block."
    )


def test_a_crop_that_is_not_there_has_words_and_no_part_in_the_mean():
    first, second = two_methods(np.random.default_rng(3), 1, 8)[:, 0]
    for one in (first, second):
        one[:, 2, 3] += one[:, 2, 0] + one[:, 2, 2]
        one[:, 2, [0, 2]] = 0
    found, _ = compared(first, second)
    oats = comparison.difference(found, "forest", crop="oats")
    assert oats["value"] is None and oats["reason"] == "no annotated pixel is of this crop"
    assert oats["reason"] in comparison_words.table(found)
    rest, _ = compared(first[:, :2], second[:, :2], names=("rye", "pea"))
    assert comparison.difference(found, "forest") == comparison.difference(rest, "forest")
    nothing, sentence = compared(first[:, 2:], second[:, 2:], names=("oats",))
    assert nothing["best"] is None and sentence.startswith("What to use cannot be told: no crop")


def test_several_others_and_fields_are_in_the_sentence_and_the_picture(tmp_path):
    rng = np.random.default_rng(4)
    first, second = two_methods(rng, 1, 12, gain=0.15)[:, 0]
    third = first.copy()
    third[0, :, 0], third[0, :, 2] = 0, third[0, :, 0] + third[0, :, 2]
    others = [entry("forest", second, second), entry("boosting", third, third)]
    names = ("rye", "pea", "oats")
    found = comparison.compare(entry("network", first, first), others, names, "block")
    sentence = comparison_words.sentence(found, "test")
    assert (
        "the strongest of the others, boosting, " in sentence and "; of fields it is " in sentence
    )
    table = comparison_words.table(found)
    assert table.count("F1 of network and ") == 2 and "macro mean" in table
    comparison_picture.draw(found, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"


def test_pixels_that_only_one_of_them_saw_are_told():
    first, second = two_methods(np.random.default_rng(5), 1, 4)[:, 0]
    less = second.copy()
    less[0, 0, 3] -= 7
    assert compared(first, second)[0]["notes"] == []
    (note,) = compared(first, less)[0]["notes"]
    assert note.startswith("forest saw ") and "each is scored on what it saw" in note


def test_groups_are_the_same_whichever_cube_comes_first():
    # One block: fields and squares are drawn. A field lies across the edge of two cubes.
    label = np.full((8, 8), 0, np.uint8)
    label[:, 2:6] = IGNORE
    label[6:] = 1
    fields = np.where(label == 0, np.arange(8)[None] // 6 + 1, 0).astype(np.uint32)
    data = small_data.make_dataset([Ground("test", label, fields)] * 3)
    for i, row in enumerate(data.cubes):
        row["transform"] = [10.0, 0.0, 500_000.0 + 80 * i, 0.0, -10.0, 6_000_000.0]
        row["block"] = "one"
    each = []
    for order in ([0, 1, 2], [2, 0, 1]):
        groups = Groups(data, "test")
        added = {i: groups.add(i, label, fields)[1] for i in order}
        member = groups.pieces.members()
        of, place = groups.members(member), np.argsort(groups.order(member))
        assert sorted(groups.order(member)) == list(range(groups.count(member)))
        known = label != IGNORE
        each.append(np.stack([place[of[added[i][known]]] for i in range(3)]))
    assert (each[0] == each[1]).all() and len(np.unique(each[0])) > 4


def test_what_chance_does_is_said_of_no_single_interval():
    run = SimpleNamespace(plan=SimpleNamespace(steps=[0]), chooser="validation")
    row = {"low": -0.1}
    mean, rye, pea = (row | {"crop": crop} for crop in (None, "rye", "pea"))
    for rows, said in (([mean, rye], False), ([mean, rye, pea, pea | {"low": None}], True)):
        found = {"intervals": {"words": "how"}, "differences": rows}
        notes = _evaluation_compare._notes(run, None, found)
        assert notes[0] == "how" and len(notes) == 1 + said
    assert "1 of 20 intervals at 95 % leaves out 0 by chance, and here are 3" in notes[1]


def test_of_one_crop_the_table_has_no_mean():
    counts = np.array([[[8, 1, 2, 9]], [[7, 0, 0, 20]]])
    found, _ = compared(counts, counts, names=["rye"])
    assert "macro mean" not in comparison_words.table(found)
    two = np.repeat(counts, 2, 1)
    found, _ = compared(two, two, names=["rye", "pea"])
    assert "macro mean" in comparison_words.table(found)
