import numpy as np
import pytest

from cropmap_jax.geo.periods import month_periods
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import consistency, plausible
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.reading import read_window
from cropmap_jax.sources.ingest.satellites import Units
from tests.sources import own_stack

ALL = slice(0, None)
S2 = SENSORS["s2"]
SPANS = month_periods(own_stack.dt.date(2022, 1, 1), own_stack.dt.date(2022, 12, 31))


def read(pixels, sensor="s2", **units):
    """What is found in [T, h, w, B]."""
    found = Bands(
        SENSORS[sensor],
        "x",
        SPANS[: len(pixels)],
        SENSORS[sensor].bands,
        lambda r, c: pixels,
        integer=pixels.dtype.kind in "iu",
    )
    values, findings = read_window(found, Units(**units), ALL, ALL)
    return values, plausible.notes(findings, found)


def ground(dates=8, seed=0):
    """int64 numbers of S2 over vegetation, soil and water that change over the dates."""
    rng = np.random.default_rng(seed)
    soil = np.array([800, 1000, 1400, 1700, 1900, 2100, 2300, 2500, 3200, 2800])
    leaf = np.array([300, 600, 400, 1000, 2800, 3600, 4000, 4200, 2000, 1000])
    water = np.array([300, 350, 250, 220, 210, 200, 190, 180, 120, 80])
    green = np.sin(np.linspace(0.2, 2.8, dates))[:, None, None, None]
    pixels = soil + green * (leaf - soil) + rng.normal(0, 60, (dates, 20, 20, 10))
    pixels[:, :3] = water + rng.normal(0, 15, (dates, 3, 20, 10))
    return np.rint(pixels).astype(np.int64)


# Tails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32, np.float32])
def test_numbers_that_wrapped_are_refused_however_few(dtype):
    pixels = ground().astype(np.uint32 if dtype == np.uint32 else np.uint16)
    pixels[2, 5, 5] = 400
    pixels -= pixels.dtype.type(1000)
    # All but one are plausible numbers again, as the offset was off.
    pixels[pixels > 60000] = 100
    pixels[2, 5, 5, 0] -= pixels.dtype.type(700)
    with pytest.raises(ValueError, match="1 numbers .* --s2_offset -1000"):
        read(pixels.astype(dtype), s2_scale=1e4)


def test_numbers_that_wrapped_and_were_divided_are_refused():
    pixels = ground() / 1e4
    pixels[0, 0, 0, 0] = 6.5100
    with pytest.raises(ValueError, match="1 numbers of 6.51.* --s2_offset -1000"):
        read(pixels.astype(np.float32))


def test_a_few_values_beyond_a_cube_are_counted_and_missing():
    pixels = ground().astype(np.uint16)
    pixels[1, 4, 4, :3] = 40000
    values, notes = read(pixels)
    assert np.isnan(values[1, 4, 4, :3]).all() and np.isnan(values).sum() == 3
    assert notes == ["x: 3 of 32000 values beyond 3.2767 reflectance, missing"]


def test_a_date_in_another_scale_is_refused():
    pixels = (ground() / 1e4).astype(np.float32)
    pixels[3] *= 10000
    with pytest.raises(ValueError, match="--s2_scale: found .* values beyond .*one scale for"):
        read(pixels)


def test_bright_values_are_noted_by_their_share():
    pixels = ground().astype(np.uint16)
    pixels[1, 4, 4] = 18000  # 10 of 32,000: a cloud
    values, notes = read(pixels)
    assert notes == [] and values[1, 4, 4, 0] == np.float32(1.8)
    pixels[1, 4, 4:8] = 18000
    assert read(pixels)[1] == ["x: 40 of 32000 values above 1.6 reflectance, kept"]


def test_odd_backscatter_is_counted():
    pixels = np.full((2, 5, 5, 2), -14, np.float32)
    pixels[0, 0, 0], pixels[0, 0, 1, 0] = 35, -70
    values, notes = read(pixels, "s1")
    assert values[0, 0, 0, 0] == 35 and values[0, 0, 1, 0] == -70
    assert notes == [
        "x: 1 of 100 values below -60 dB, kept",
        "x: 2 of 100 values above 30 dB, kept",
    ]


def test_negative_power_is_counted():
    pixels = np.full((1, 5, 5, 2), 0.1, np.float32)
    pixels[0, 0, 0] = -1e-5
    values, notes = read(pixels, "s1", s1_unit="linear")
    assert np.isnan(values[0, 0, 0]).all()
    assert notes == ["x: 2 of 50 values negative power, missing"]


@pytest.mark.parametrize(
    "loud, words", [([0, 1, 2], "values lie"), ([1], "values of 1 dates (2022-02-01 first)")]
)
def test_linear_power_taken_for_db_is_worth_a_note_even_on_one_date(loud, words):
    pixels = np.full((3, 5, 5, 2), -12, np.float32)
    pixels[loud] = 0.1
    (note,) = read(pixels, "s1")[1]
    assert words in note and note.endswith("is it --s1_unit linear?")


def test_negative_reflectance_is_counted():
    pixels = ground().astype(np.int16)
    pixels[0, 3, 3, :2] = -2500
    assert read(pixels)[1] == ["x: 2 of 32000 values below -0.2 reflectance, kept"]


# A step between dates -----------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3, 7])
@pytest.mark.parametrize("size", [1000, -1000])
def test_a_step_of_every_band_is_noted_with_its_date(at, size):
    pixels = ground() + (1000 if size < 0 else 0)
    pixels[at:] += size
    (note,) = read(pixels.astype(np.uint16))[1]
    assert f"from {SPANS[at].start} on every band" in note and "s2_offset" in note
    assert ("brighter" if size > 0 else "darker") in note


def test_a_step_that_the_offset_of_each_date_takes_off_is_none():
    pixels = ground()
    pixels[3:] += 1000
    found = Bands(
        S2,
        "x",
        SPANS[:8],
        S2.bands,
        lambda r, c: pixels,
        True,
        date_offsets=(0.0,) * 3 + (-1000.0,) * 5,
    )
    values, findings = read_window(found, Units(), ALL, ALL)
    assert plausible.notes(findings, found) == []
    np.testing.assert_allclose(values, ground() / 1e4, atol=1e-6)


def snow(pixels):
    visible = np.array([9000, 8800, 8700, 8500, 8200, 8000, 7800, 7500, 900, 700])
    pixels[-2:] = visible + np.random.default_rng(1).normal(0, 50, pixels[-2:].shape)


def cloud(pixels):
    pixels[-1] += 4000


def harvest(pixels):
    pixels[4:, 3:] = np.array([800, 1000, 1400, 1700, 1900, 2100, 2300, 2500, 3200, 2800])


def haze(pixels):
    pixels[-1] += np.array([900, 800, 600, 500, 400, 350, 300, 250, 80, 40])


def dry_soil(pixels):
    pixels[4:] = pixels[4:] * 1.4


@pytest.mark.parametrize("change", [snow, cloud, harvest, haze, dry_soil])
def test_what_changes_on_the_ground_and_above_it_is_no_step(change):
    pixels = ground()
    change(pixels)
    assert not any("every band" in note for note in read(np.maximum(pixels, 1))[1])


def test_real_series_have_no_step_and_get_one_where_1000_is_added(real_dir):
    for name, at in (("belgium_2021_worldcereal", 10), ("tervuren_2022_potato", 15)):
        s2 = np.load(real_dir / "cubes" / f"{name}.npz")["s2"]
        assert consistency.find_step(consistency.count(s2, consistency.REFLECTANCE)) is None
        s2[at:] += 0.1
        assert consistency.find_step(consistency.count(s2, consistency.REFLECTANCE))[0] == at


def test_findings_of_windows_add_up():
    pixels = ground()
    pixels[4:] += 1000
    whole, halves = plausible.Findings(), plausible.Findings()
    for into, windows in ((whole, [slice(0, 20)]), (halves, [slice(0, 9), slice(9, 20)])):
        for rows in windows:
            found = Bands(S2, "x", SPANS[:8], S2.bands, lambda r, c: pixels[:, r, c], True)
            into.add(read_window(found, Units(), rows, ALL)[1])
    assert halves.total == whole.total
    step = consistency.find_step(whole.levels)
    assert step == consistency.find_step(halves.levels) and step[0] == 4
