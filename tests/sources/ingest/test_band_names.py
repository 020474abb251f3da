import pytest

from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import band_names

BANDS = [
    ("S2-L2A-B04", "B4"),
    ("B4", "B4"),
    ("0_B8A", "B8A"),
    ("b11", "B11"),
    ("B02_10m", "B2"),
    ("B8A_20m", "B8A"),
    ("T31UFS_20220301T105031_B02_10m", "B2"),
    ("S2_B04_2022", "B4"),
    ("S2B_B04", "B4"),
    ("median_B08", "B8"),
    ("B4 (665 nm)", "B4"),
    ("NIR", "B8"),
    ("nir08", "B8A"),
    ("Red", "B4"),
    ("red_edge_1", "B5"),
    ("rededge3", "B7"),
    ("swir16", "B11"),
    ("swir22", "B12"),
    ("S2-L2A-SCL", "SCL"),
    ("S1-SIGMA0-VV", None),
    ("S2-L2A-B01", None),
    ("AOB4", None),
    ("VV", None),
    # ratios, indices and statistics, and words that hold another
    ("NDVI_B8_B4", None),
    ("B8/B4", None),
    ("B4_B8", None),
    ("NDVI B8", None),
    ("B8_std", None),
    ("B8_p90", None),
    ("near_red", None),
    ("infra red", None),
    ("red edge", None),
    ("Band 4", None),
    # one band named twice, and of two words
    ("B8 (NIR)", "B8"),
    ("B02 blue", "B2"),
    ("B8A - Narrow NIR", "B8A"),
    ("B05 Red edge 1", "B5"),
    ("B4, central wavelength 665 nm", "B4"),
    ("Near-Infrared", "B8"),
    ("nir_narrow", "B8A"),
    ("SWIR 1", "B11"),
    ("swir_2", "B12"),
    ("SWIR1.6", "B11"),
    ("B04_R10m", "B4"),
    ("B4 (NIR)", None),
    ("B8-B8", None),
    # other satellites number their bands otherwise
    ("LC08_B5", None),
    ("L8_B4", None),
    ("Landsat B4", None),
    ("HLS_L30_B05", None),
    ("MODIS_B2", None),
]
POLARISATIONS = [
    ("S1-SIGMA0-VV", "VV"),
    ("Gamma0VH", "VH"),
    ("Sigma0_VV_db", "VV"),
    ("VV_dB", "VV"),
    ("vh_asc", "VH"),
    ("X-VV", "VV"),
    ("VV/VH", None),
    ("VV_VH", None),
    ("VH-VV", None),
    ("VV+VH", None),
    ("VVVHratio", None),
    ("VV_ratio", None),
    ("RVI_VV", None),
    ("VV_std", None),
    ("VV_angle", None),
    ("VV^2", None),
    ("sqrt_VV", None),
    ("RFDI_VV", None),
    ("Sigma0_VV_db_mst_22Mar2022", "VV"),
    ("Sigma0_VH_slv2_03Apr2022", "VH"),
    ("VV_gamma_nought", "VV"),
    ("HH", None),
    ("SCL", None),
]


@pytest.mark.parametrize(
    "name, sensor, expected",
    [(n, "s2", b) for n, b in BANDS] + [(n, "s1", b) for n, b in POLARISATIONS],
)
def test_whole_words_name_a_band(name, sensor, expected):
    assert band_names.band_of(name, SENSORS[sensor]) == expected


def test_two_spellings_of_one_band_are_refused_with_both():
    with pytest.raises(ValueError, match=r"x: .*found B8 twice \('B08' and 'nir'\)"):
        band_names.name_bands(["B08", "red", "nir"], SENSORS["s2"], "x")
