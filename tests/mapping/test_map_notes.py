"""Notes for a map's reader, and what is refused: facts of cubes and checkpoint that differ."""

import dataclasses
import datetime as dt

import making
import numpy as np
import pytest
from affine import Affine
from mapping import small_maps
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, cube
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import pixels
from cropmap_jax.mapping import cubes as mapped
from cropmap_jax.mapping import far_ground, notes
from cropmap_jax.training import checkpoints

RECIPE = small_maps.make_recipe()
S1, S2 = SENTINEL
ALL = {sensor: list(sensor.bands) for sensor in SENTINEL}


def info(cube_id="a", pixel=10.0, **changes) -> cube.CubeInfo:
    return small_maps.changed(
        small_maps.moved(making.make_cube(cube_id, 16), pixel=pixel), **changes
    ).info


def before(*infos, as_of=dt.date(2022, 6, 1), **recipe) -> list[str]:
    return notes.before(list(infos), dataclasses.replace(RECIPE, **recipe), as_of)


def test_images_that_end_long_before_the_as_of_date():
    # Periods are months until the end of August, harvests end on 21 September.
    ends_in_may = info("b", periods=month_periods(dt.date(2021, 12, 1), dt.date(2022, 5, 31)))
    assert before(info(), as_of=dt.date(2022, 9, 10)) == []
    (note,) = before(info(), ends_in_may, as_of=dt.date(2022, 7, 15))
    assert note.startswith("images of 1 of 2 cubes (b) end 2022-06-01, 44 days before --as_of 2022")
    # June has 30 days: a period, and not more than one.
    assert before(ends_in_may, as_of=dt.date(2022, 7, 2)) == []


def test_a_season_that_is_over_is_no_forecast():
    day = dt.date(2022, 9, 21)
    assert before(info(), as_of=day) == []
    (note,) = before(info(), as_of=day + dt.timedelta(days=1))
    assert note == (
        "the season of cube a is over: the last harvest was 2022-09-21, before --as_of "
        "2022-09-22; this map is not a forecast"
    )
    # Without an end the start counts; without a calendar nothing is known.
    start = calendars.Season(dt.date(2022, 5, 20))
    assert "was 2022-05-20" in before(info(harvest={calendars.ANY_CROP: (start,)}))[0]
    assert before(info(harvest={}), as_of=day + dt.timedelta(days=1)) == []


def test_a_window_from_before_the_images():
    recipe = small_maps.make_recipe(num_periods=7)
    found = notes.before([info(), info("b")], recipe, dt.date(2022, 6, 1))
    # December to May are there.
    (note,) = found
    assert note.endswith(
        "begins before the images of both cubes: up to 1 of its periods are missing"
    )


def test_a_pixel_size_that_the_checkpoint_does_not_record():
    assert before(info(pixel=30.0), pixel_m=30.0) == []
    (note,) = before(info(pixel=30.0), pixel_m=None)
    assert note.startswith("pixels measure 30 m, and the checkpoint does not record")
    assert before(info(), pixel_m=None) == []


def test_pixels_of_another_size_are_refused(tmp_path):
    coarse = small_maps.moved(making.make_cube("b", 16), 640, pixel=20.0)
    folder = small_maps.write(tmp_path, making.make_cube("a", 16), coarse)
    day = dt.date(2022, 6, 1)
    with pytest.raises(ValueError, match="cubes a and b: .* one size, found 10 m and 20 m"):
        mapped.find_cubes(folder, RECIPE, day)
    at_60 = dataclasses.replace(RECIPE, pixel_m=60.0)
    with pytest.raises(ValueError, match="cube a: expected pixels of 60 m as in training, found 1"):
        mapped.find_cubes(folder, at_60, day)


def test_an_as_of_date_years_after_all_images_is_refused(tmp_path):
    folder = small_maps.write(tmp_path, making.make_cube("a", 16))
    for day in (dt.date(2023, 9, 3), dt.date(9999, 12, 31)):
        with pytest.raises(ValueError, match=f"--as_of {day}: .* by 2022-09-01 .cube a."):
            mapped.find_cubes(folder, RECIPE, day)
    assert mapped.find_cubes(folder, RECIPE, dt.date(2023, 9, 2))


def seen(name="a", s1=(1, 1), s2=(1, 1), s1_missing=(), s2_missing=(), before=0) -> dict:
    """Metadata of a map; December to January, as of 1 February."""
    window = ["2021-12-01/2022-01-01", "2022-01-01/2022-02-01"][before:]
    return {
        "cube": name,
        "window": window,
        "window_end": "2022-02-01",
        "settings": {"as_of": "2022-02-01"},
        "periods_before_the_cube": before,
        "seen": {
            "s1": list(s1),
            "s2": list(s2),
            "missing_bands": {"s1": list(s1_missing), "s2": list(s2_missing)},
        },
    }


def after(*maps, trained=ALL) -> list[str]:
    return notes.after(maps, trained)


def test_a_sensor_or_a_band_without_a_value():
    no_s1 = {"s1": (0, 0), "s1_missing": S1.bands}
    assert after(seen()) == []
    (note,) = after(seen(**no_s1), seen("b", **no_s1))
    assert note.startswith("Sentinel-1: no value in the window of both cubes, although the net")
    (note,) = after(seen(**no_s1), seen("b"), seen("c"))
    assert "in the window of 1 of 3 cubes (a)," in note
    (note,) = after(seen(s2=(0, 0), s2_missing=S2.bands))
    assert note.startswith("Sentinel-2: no value in the window of cube a,")
    (note,) = after(seen(s2_missing=["B5", "B11"]))
    assert note.startswith("Sentinel-2: no value of B5, B11 in the window of cube a,")
    # What training never had is not missed.
    assert after(seen(**no_s1), trained=ALL | {S1: []}) == []
    assert after(seen(s2_missing=["B5"]), trained=ALL | {S2: ["B4", "B8"]}) == []


def test_windows_without_images_or_with_few():
    (note,) = after(seen(s1=(0, 0), s2=(0, 0)))
    assert note == "no value of any image in the window of cube a: nothing is mapped"
    (note,) = after(seen(s1=(1, 0), s2=(1, 0)))
    assert note.startswith("the last periods of cube a hold no value: the last image is up to 31 ")
    (note,) = after(seen(s2=(0.5, 0.4)))
    assert note == "Sentinel-2: less than half of the window has values in cube a"
    # What lies before the cube has a note of its own.
    assert after(seen(s1=(0, 1), s2=(0, 1), before=1)) == []
    old = seen()
    del old["seen"]
    assert after(old) == []


def test_bands_that_the_network_uses(tmp_path):
    run = small_maps.save_checkpoint(tmp_path, unseen={"s1": [0, 1], "s2": [7]})
    expected = [band for band in S2.bands if band != "B8A"]
    assert notes.trained_bands(checkpoints.load(run)) == {S1: [], S2: expected}


def test_values_are_counted_by_hand():
    found = {"s1": np.zeros((2, 3, 4, 2), np.int16), "s2": np.zeros((2, 3, 4, 10), np.int16)}
    found["s1"][0, 0, :3, 1] = -32768
    found["s2"][1] = -32768
    counts = pixels.count_values(found, SENTINEL)
    assert counts.tolist() == [[12, 9, *[12] * 10], [12, 12, *[0] * 10]]


def test_a_map_reports_what_it_lacked(tmp_path):
    """Sentinel-1 was not there, and the second of two periods of one of two cubes was empty."""
    whole = making.make_cube("whole", (16, 32), fields=False, missing=False)
    whole.s1[:] = np.nan
    whole.s2[5, :, 16:] = np.nan
    cubes = small_maps.write(tmp_path / "cubes", *small_maps.quarters(whole, 16))
    run = small_maps.save_checkpoint(tmp_path / "run")

    def even(examples):
        return [np.full((*e["wanted"].shape, 3), 0.6, np.float32) for e in examples]

    _, result, _ = small_maps.make_map(run, cubes, tmp_path / "map", even)
    assert [note.split(" in the window")[0].split(" hold")[0] for note in result.notes] == [
        "Sentinel-1: no value",
        "the last periods of 1 of 2 cubes (c01)",
    ]
    text = (tmp_path / "map" / "summary.txt").read_text()
    assert all(f"note: {note}\n" in text for note in result.notes)


def test_radar_that_measures_something_else():
    made = {"made_by": "cropmap_jax.sources.stac"}
    rtc = info("b", source=made | {"options": {"s1": {"backscatter": "gamma0_rtc"}}})
    (note,) = before(info(), rtc, backscatter="sigma0")
    assert note.startswith(
        "radar backscatter of 1 of 2 cubes (b) is gamma0_rtc, and the network was trained on sigma0"
    )
    # Not known of the network or of the cubes; the same.
    assert before(rtc) == before(info(), backscatter="sigma0") == []
    assert before(rtc, backscatter="gamma0_rtc") == []


# Along a zone's middle meridian the geodesic is 1 / 0.9996 of the northing.
MIDDLE, SCALE = 500_000.0, 0.9996
EQUATOR = 6378.137
"""Radius in km; on the equator the zones' middle meridians are six degrees apart."""


def place(north_km: float = 0.0, epsg: int = 32639, **more) -> dict:
    """Where a run says that it was trained: the centre lies so far north of the equator."""
    corner = [MIDDLE - 80, north_km * 1000 * SCALE + 80]
    return {
        "id": "t", "split": "train", "season": "2022", "crs": f"EPSG:{epsg}", "shape": [16, 16],
        "transform": [10.0, 0.0, corner[0], 0.0, -10.0, corner[1]],
    } | more  # fmt: skip


def at(cube_id: str, north_km: float = 0.0, epsg: int = 32639) -> cube.CubeInfo:
    there = place(north_km, epsg)["transform"]
    geobox = GeoBox((16, 16), Affine(*there), f"EPSG:{epsg}")
    return small_maps.changed(making.make_cube(cube_id, 16), geobox=geobox).info


def trained(*cubes) -> checkpoints.Restored:
    return checkpoints.Restored({}, {}, RECIPE, {}, 3, "finetune", "", cubes)


def test_distances_along_the_meridian_and_the_equator():
    infos = [at("a", 100), at("b", 700), at("c", 0, 32640)]
    found = far_ground.kilometres(infos, trained(place(0), place(800)))
    np.testing.assert_allclose(found, [100, 100, EQUATOR * np.pi / 30], rtol=1e-6)
    # Across the antimeridian, where degrees jump.
    found = far_ground.kilometres([at("a", 0, 32660)], trained(place(0, 32601)))
    np.testing.assert_allclose(found, [EQUATOR * np.pi / 30], rtol=1e-6)


def test_only_ground_that_taught_the_classes_counts():
    own, one = place(100), [at("a")]
    others = (place(0, split="validation"), place(0, split="test"), place(0, stage="pretrain"))
    assert far_ground.kilometres(one, trained(own, *others)) == pytest.approx([100])
    # Runs together that share no cube each say whose it is.
    members = (place(100, stage="a"), place(50, stage="b"))
    assert far_ground.kilometres(one, trained(*members)) == pytest.approx([50])
    assert far_ground.kilometres(one, trained()) is None
    assert notes.elsewhere(one, trained()) == []


def test_ground_far_from_where_the_model_was_trained():
    near, far = far_ground.FAR_KM - 0.1, far_ground.FAR_KM + 0.1
    assert notes.elsewhere([at("a", near), at("b")], trained(place())) == []
    (note,) = notes.elsewhere([at("a", far), at("b")], trained(place()))
    assert note == (
        "1 of 2 cubes (a) lies more than 300 km from the ground that the model learnt from (300 "
        "km): seasons and varieties may differ from those that it knows"
    )
    (note,) = notes.elsewhere([at("a", 1234), at("b", 400), at("c")], trained(place()))
    assert note.startswith("2 of 3 cubes (a, b) lie more than 300 km from the ground that the ")
    assert "(nearest 400 km, farthest 1,234 km): " in note


def test_a_checkpoint_that_says_something_else_is_one_line():
    for wrong in ({"crs": "nowhere"}, {"transform": [1]}, {"transform": [1e9] * 6}):
        with pytest.raises(ValueError, match="^checkpoint of step 3: expected split, crs") as said:
            notes.elsewhere([at("a")], trained(place() | wrong))
        assert "\n" not in str(said.value)


def test_a_map_far_away_says_so(tmp_path):
    cubes = small_maps.write(tmp_path / "cubes", making.make_cube("a", 16, fields=False))
    run = small_maps.save_checkpoint(tmp_path / "run", cubes=[place(0)])

    def even(examples):
        return [np.full((*e["wanted"].shape, 3), 0.6, np.float32) for e in examples]

    maker, _, _ = small_maps.make_map(run, cubes, tmp_path / "map", even)
    (note,) = maker.notes
    assert note.startswith("cube a lies more than 300 km from the ground that the model learnt")
    assert f"note: {note}\n" in (tmp_path / "map" / "summary.txt").read_text()
