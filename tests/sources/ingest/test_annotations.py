import datetime as dt
import json

import numpy as np
import pytest

from cropmap_jax.geo import legend
from cropmap_jax.sources.ingest import annotations, stacks
from tests.sources import own_stack


@pytest.fixture
def stack(tmp_path):
    return stacks.open_stack(own_stack.write_npz(tmp_path))


def annotate(stack, flag="from_input", none=(), unknown=()):
    return annotations.annotate(stack, flag, none, unknown)


def write_json(folder, names, **more):
    classes = [{"code": 10 + i, "name": name} for i, name in enumerate(names)]
    (folder / "own.json").write_text(json.dumps({"name": "own", "classes": classes} | more))
    return str(folder / "own.json")


def test_classes_of_the_input_in_their_order(stack):
    classes, label = annotate(stack, none=["other"], unknown=["CLOUD"])
    assert classes.names == ("maize", "spring_wheat")
    np.testing.assert_array_equal(label, own_stack.expected_label())
    everything, label = annotate(stack)
    assert everything.names == ("other", "maize", "spring_wheat", "cloud")
    np.testing.assert_array_equal(label, own_stack.label())
    assert everything.name != classes.name


def test_the_same_classes_share_a_legend(stack, tmp_path):
    classes, _ = annotate(stack, none=["Other,Cloud"])
    names = np.array(["Maize", "Spring wheat"])
    label = np.zeros((own_stack.H, own_stack.W), np.uint8)
    again = own_stack.write_npz(tmp_path, "b.npz", label=label, class_names=names)
    assert annotate(stacks.open_stack(again))[0].name == classes.name


def test_another_legend_is_matched_by_name(stack, tmp_path):
    mine = write_json(tmp_path, ["rye", "spring_wheat", "maize"])
    classes, label = annotate(stack, mine, none=["Other"], unknown=["Cloud"])
    assert classes.name == "own"
    wheat, maize = own_stack.label() == 2, own_stack.label() == 1
    assert (label[wheat] == 1).all() and (label[maize] == 2).all()
    other = ~wheat & ~maize
    np.testing.assert_array_equal(label[other], own_stack.expected_label()[other])


def test_values_without_names_are_codes_of_the_legend(tmp_path):
    label = own_stack.label().astype(np.uint16)
    codes = np.array([216, 100, 211])[np.minimum(label, 2)]
    codes[label >= 254] = label[label >= 254]
    file = own_stack.write_npz(tmp_path, class_names=None, label=codes)
    _, got = annotate(stacks.open_stack(file), "eucropmap")
    index = legend.EUCROPMAP.names.index
    assert (got[label == 0] == index("maize")).all()
    assert (got[label == 1] == 254).all()
    assert (got[label == 2] == index("common_wheat")).all()
    np.testing.assert_array_equal(got[label >= 254], label[label >= 254])


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            {"none": ["Othre"]},
            "--none_of_these Othre: no class of the input; did you mean 'other'?",
        ),
        (
            {"unknown": ["zebra"]},
            "--unknown zebra: no class of the input; expected one of Other, M",
        ),
        ({"none": ["Maize"], "unknown": ["maize"]}, "--unknown Maize: is in --none_of_these too"),
        (
            {"none": list(own_stack.CLASS_NAMES)},
            "expected a class to map, found all of class_names",
        ),
        (
            {"flag": "isrc", "none": ["maize"]},
            "--none_of_these Maize: expected a class that legend",
        ),
        ({"flag": "isrc", "none": ["other"]}, "found pixels of class 'Spring wheat', which legend"),
        (
            {"flag": "nowhere.json"},
            "legend 'nowhere.json': found neither a file nor a built-in name",
        ),
    ],
)
def test_classes_that_do_not_fit(stack, flags, message):
    with pytest.raises(ValueError) as error:
        annotate(stack, **flags)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "changes, flags, message",
    [
        ({"label": own_stack.label() * 2}, {}, "label: found value 4, which has no name"),
        ({"label": own_stack.label().astype(int) - 1}, {}, "label: found value -1, which has no"),
        ({"class_names": None}, {}, "--legend from_input: expected label and class_names in"),
        ({"label": None}, {}, "found no label; expected --legend with eucropmap, isrc or a JSON"),
        ({"label": None}, {"flag": "isrc", "none": ["x"]}, "--none_of_these x: expected an input"),
        ({"class_names": None}, {"flag": "eucropmap"}, "found code 0, 1, 2, 3, which legend"),
        (
            {"class_names": np.array(["a", "b", "A ", "c"])},
            {},
            "found 'a' (0) and 'A' (2), both of",
        ),
        ({"class_names": np.array(["a", "b", "?", "c"])}, {}, "expected a name with letters"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, changes, flags, message):
    opened = stacks.open_stack(own_stack.write_npz(tmp_path, **changes))
    with pytest.raises(ValueError) as error:
        annotate(opened, **flags)
    assert message in str(error.value)


def test_harvest_dates(stack):
    classes, _ = annotate(stack, none=["other"], unknown=["cloud"])
    words = [
        "Maize=2022-06-01:2022-09-15,spring wheat=2022-07-20",
        "maize=2022-10-01",
        "*=2022-08-01",
    ]
    got = annotations.parse_harvest(words, classes, own_stack.PERIODS)
    assert list(got) == ["maize", "spring_wheat", "*"]
    first, second = got["maize"]
    assert (first.planting, first.harvest_start) == (dt.date(2022, 6, 1), dt.date(2022, 9, 15))
    assert (second.planting, second.harvest_start) == (None, dt.date(2022, 10, 1))


@pytest.mark.parametrize(
    "word, message",
    [
        ("maize", "expected crop=DATE or crop=PLANTING:HARVEST"),
        ("maiz=2022-09-01", "crop 'maiz' is not in legend"),
        ("maize=1 Sept", "expected a date like 2022-09-01, found '1 Sept'"),
        ("maize=2022-09-01:2022-06-01", "expected harvest after planting 2022-09-01"),
        ("maize=2012-09-01", "expected a date from 2021-12-01"),
        ("*=2032-09-01", "expected a date from 2021-12-01"),
    ],
)
def test_harvests_that_do_not_fit(stack, word, message):
    classes, _ = annotate(stack)
    with pytest.raises(ValueError) as error:
        annotations.parse_harvest([word], classes, own_stack.PERIODS)
    assert str(error.value).startswith(f"--harvest {word}: ") and message in str(error.value)
    assert str(error.value).count("--harvest") == 1


def test_fields_that_there_are_not(stack):
    label = own_stack.expected_label()
    with pytest.raises(ValueError, match="--fields from_input: expected fields in .*found none"):
        annotations.choose_fields(stack, label, "from_input")
    with pytest.raises(ValueError, match="--fields: expected from_input, components, none, found"):
        annotations.choose_fields(stack, label, "component")


# Values that collide ------------------------------------------------------------------------------


def label_folder(tmp_path, label, nodata, classes, none=()):
    folder = own_stack.write_folder(tmp_path / "stack")
    own_stack.write_tif(folder / "label.tif", label[None], nodata=nodata)
    rows = [{"code": code, "name": name} for code, name in classes.items()]
    value = {"name": "own", "classes": rows, "none_of_these": list(none)}
    (tmp_path / "own.json").write_text(json.dumps(value))
    return stacks.open_stack(folder), str(tmp_path / "own.json")


@pytest.mark.parametrize("value, name", [(254, "potato"), (255, "silage maize")])
def test_a_named_class_that_a_sentinel_has_the_value_of(tmp_path, value, name):
    names = [f"crop {i}" for i in range(300)]
    names[254:256] = "potato", "silage maize"
    label = np.full((own_stack.H, own_stack.W), 20, np.uint16)
    label[3, 4] = value
    flags = {"flag": write_json(tmp_path, ["crop 20", "potato", "silage maize"])}
    opened = stacks.open_stack(
        own_stack.write_npz(tmp_path, class_names=np.array(names), label=label)
    )
    with pytest.raises(ValueError, match=f"found value {value}, which is class '{name}'"):
        annotate(opened, **flags)
    # Names without pixels are no harm.
    label[3, 4] = 20
    opened = stacks.open_stack(
        own_stack.write_npz(tmp_path, class_names=np.array(names), label=label)
    )
    assert (annotate(opened, **flags)[1] == 0).all()


@pytest.mark.parametrize(
    "nodata, classes, none, message",
    [
        (0, {0: "wheat", 1: "maize", 2: "rye"}, (), "pixels of 0 are class 'wheat'"),
        (2, {0: "wheat", 1: "maize", 2: "rye"}, (), "75 pixels of 2 are class 'rye' of legend"),
        (0, {1: "maize", 2: "rye"}, (0,), "pixels of 0 are none of these of legend 'own'"),
    ],
)
def test_a_declared_no_data_that_is_a_class(tmp_path, nodata, classes, none, message):
    # 2 x 4 x 6 pixels of 2, and 15 + 12 + 1 - 1 of what is more.
    label = own_stack.label()
    label[label > 2] = nodata
    opened, legend_file = label_folder(tmp_path, label, nodata, classes, none)
    with pytest.raises(ValueError, match=f"label: .*{message}.*declared no-data") as error:
        annotate(opened, legend_file)
    assert "-a_nodata 255" in str(error.value)


def test_a_legend_may_give_254_and_255_a_meaning_and_it_is_said(tmp_path):
    label = np.array([0, 254, 255] * 60, np.uint8).reshape(12, 15)
    opened, file = label_folder(tmp_path, label, None, {0: "wheat", 254: "maize", 255: "rye"})
    classes, got = annotate(opened, file)
    np.testing.assert_array_equal(got, np.array([0, 1, 2] * 60).reshape(12, 15))
    assert annotations.sentinel_notes(opened, classes) == [
        "label: 254 is class 'maize' here, as legend 'own' says, and not none of these",
        "label: 255 is class 'rye' here, as legend 'own' says, and not unknown",
    ]
    opened, file = label_folder(tmp_path, label, None, {0: "wheat"}, none=(254, 255))
    classes, got = annotate(opened, file)
    np.testing.assert_array_equal(got, np.array([0, 254, 254] * 60).reshape(12, 15))
    assert len(annotations.sentinel_notes(opened, classes)) == 1


@pytest.mark.parametrize(
    "name, way",
    [("Unknown", "--unknown"), ("none-of-these", "--none_of_these"), ("All", "another")],
)
def test_a_class_called_as_what_is_no_class(tmp_path, name, way):
    names = np.array([name, "maize", "rye", "oats"])
    opened = stacks.open_stack(own_stack.write_npz(tmp_path, class_names=names))
    with pytest.raises(ValueError, match=f"found a class '{name}' .*expected {way}"):
        annotate(opened)
    assert annotate(opened, unknown=[name])[0].names == ("maize", "rye", "oats")


# Names in any script ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("گندم", "ذرت", "سیب‌زمینی", "یونجه"),
        ("小麦", "玉米", "大豆", "水稻"),
        ("пшеница", "кукуруза", "соя", "рожь"),
        ("قمح", "ذرة", "شعير", "فول"),
    ],
)
def test_classes_of_another_script_are_said_by_title_or_id(tmp_path, names):
    opened = stacks.open_stack(own_stack.write_npz(tmp_path, class_names=np.array(names)))
    classes, label = annotate(opened, none=[names[0]], unknown=[legend.slug(names[3])])
    assert [c.title for c in classes.classes] == list(names[1:3])
    assert len(set(classes.names)) == 2
    np.testing.assert_array_equal(label, own_stack.expected_label())
    words = [f"{names[1]}=2022-09-15", f"{classes.names[1]}=2022-07-20"]
    assert list(annotations.parse_harvest(words, classes, own_stack.PERIODS)) == [*classes.names]


def test_a_legend_is_matched_by_title_too(tmp_path):
    rows = [{"code": 5, "name": "maize", "title": "ذرت"}, {"code": 6, "name": "wheat"}]
    (tmp_path / "own.json").write_text(json.dumps({"name": "own", "classes": rows}))
    label = np.array([0, 1, 255] * 60, np.uint8).reshape(12, 15)
    names = np.array(["Wheat", "ذرت"])
    opened = stacks.open_stack(own_stack.write_npz(tmp_path, class_names=names, label=label))
    _, got = annotate(opened, str(tmp_path / "own.json"))
    np.testing.assert_array_equal(got, np.array([1, 0, 255] * 60).reshape(12, 15))


@pytest.mark.parametrize("names", [("Blé", "Ble"), ("C", "C++"), ("يونجه", "یونجه"), ("x", "X")])
def test_names_that_come_to_one_are_refused_with_both(tmp_path, names):
    names = np.array([*names, "rye", "oats"])
    opened = stacks.open_stack(own_stack.write_npz(tmp_path, class_names=names))
    with pytest.raises(ValueError, match="expected different names") as error:
        annotate(opened)
    assert repr(str(names[0])) in str(error.value) and repr(str(names[1])) in str(error.value)
