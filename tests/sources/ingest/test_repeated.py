import numpy as np
import pytest

from cropmap_jax.sources.ingest import plausible
from tests.sources.ingest.test_plausible import SPANS, ground, read


def backscatter(dates=4, seed=0):
    """float32 dB [T, 20, 20, 2]: VV near -11 and VH near -17, each number once or twice."""
    rng = np.random.default_rng(seed)
    return rng.normal([-11, -17], 2, (dates, 20, 20, 2)).astype(np.float32)


def about(notes, words):
    return [note for note in notes if words in note]


@pytest.mark.parametrize("fill", [0.0, -25.0, -50.0, 1.0])
def test_a_fill_inside_the_plausible_range_of_db_is_noted(fill):
    pixels = backscatter()
    pixels[2, :, :5, 1] = fill
    values, notes = read(pixels, "s1")
    assert (values[2, :, :5, 1] == np.float32(fill)).all()  # reported, not removed
    assert f"25.0% of VH at {SPANS[2].start} are {fill:g};" in about(notes, "again and again")[0]


@pytest.mark.parametrize("fill, shown", [(1, "0.0001"), (10000, "1"), (0, "0")])
def test_a_fill_inside_the_plausible_range_of_reflectance_is_noted(fill, shown):
    pixels = ground()
    pixels[2, :, :5, 3] = fill
    (note,) = read(pixels.astype(np.uint16))[1]
    assert f"25.0% of B5 at {SPANS[2].start} are {shown};" in note


def test_a_band_that_is_one_number_throughout_a_date_is_noted():
    pixels = backscatter()
    pixels[1, ..., 1] = -20
    assert "100.0% of VH at 2022-02-01 are -20" in read(pixels, "s1")[1][0]


def test_coarse_numbers_and_constant_inputs_are_no_fill():
    coarse = np.round(backscatter(), 0)
    assert read(coarse, "s1")[1] == []
    assert read(np.full((2, 20, 20, 2), -14, np.float32), "s1")[1] == []
    assert read(np.maximum(ground(), 1).astype(np.uint16))[1] == []


# Units and scales that a median in range does not give away ---------------------------------------


def test_polarisations_that_are_swapped_are_noted():
    assert read(backscatter(), "s1")[1] == []
    assert "are the two swapped?" in read(backscatter()[..., ::-1], "s1")[1][0]


def test_amplitude_taken_for_power_is_noted():
    power = 10 ** (backscatter() / 10)
    assert read(power, "s1", s1_unit="linear")[1] == []
    assert "is it amplitude" in read(np.sqrt(power), "s1", s1_unit="linear")[1][0]


def test_hundredths_of_a_db_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="below -100.*hundredths of a dB need a scale"):
        read(np.rint(100 * backscatter()).astype(np.int16), "s1")


@pytest.mark.parametrize(
    "stored, scale",
    [((ground() / 1e4).astype(np.float32), 1e4), (ground(), 1e300), (ground(), 1e8)],
)
def test_reflectance_that_is_scaled_twice_is_refused(stored, scale):
    with pytest.raises(ValueError, match="--s2_scale: "):
        read(stored, s2_scale=scale)


def test_a_date_in_a_smaller_scale_is_noted():
    pixels = ground()
    pixels[3] //= 100
    (note,) = about(read(pixels.astype(np.uint16))[1], "one scale for all dates")
    assert f"1 of 8 dates ({SPANS[3].start} first)" in note


def test_percent_is_not_taken_for_numbers_that_wrapped():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="--s2_scale: found a median of"):
        read(rng.uniform(3, 45, (2, 30, 30, 10)).astype(np.float32))


# Offsets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifted", [[3], [0, 2, 4, 6], [2, 3, 6]])
def test_dates_here_and_there_that_keep_their_offset_are_noted(lifted):
    pixels = ground()
    pixels[lifted] += 1000
    (note,) = read(pixels.astype(np.uint16))[1]
    more = f" and {len(lifted) - 1} more dates" if len(lifted) > 1 else ""
    assert f"at {SPANS[lifted[0]].start}{more} every band of S2 is 0.10 brighter" in note


def test_an_offset_of_the_wrong_sign_is_noted():
    pixels = ground()
    pixels[4:] += 2000
    assert f"from {SPANS[4].start} on every band of S2 is 0.20 brighter" in str(read(pixels)[1])


def test_an_offset_that_all_dates_keep_or_lost_twice_is_noted():
    pixels = np.maximum(ground(), 50)
    assert read(pixels)[1] == []
    assert "--s2_offset -1000 subtracts it" in read(pixels + 1000)[1][0]
    assert "subtracted twice" in read(pixels - 1000)[1][0]


@pytest.mark.parametrize("offset", [-0.1, 4.0, -1.0])
def test_an_offset_of_integers_in_reflectance_is_refused(offset):
    with pytest.raises(ValueError, match="--s2_offset: expected an offset of stored numbers"):
        read(ground(), s2_offset=offset)
    read((ground() / 1e4).astype(np.float32), s2_offset=-0.01)


def test_counts_of_two_windows_add_up():
    one, two = (plausible.Findings(10), plausible.Findings(20))
    one.spikes[0, 0, 1.0], two.spikes[0, 0, 1.0] = 2, 3
    one.add(two)
    assert (one.total, one.spikes[0, 0, 1.0]) == (30, 5)
