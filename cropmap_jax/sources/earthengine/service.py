"""What Earth Engine offers and allows: assets, bands, scales, limits, quotas. Facts only.

Assets: the Earth Engine data catalogue, developers.google.com/earth-engine/datasets/catalog/<id>
with "/" written "_". Limits and quotas as read in November 2026.
"""

import dataclasses
import datetime as dt

STANDARD = "https://earthengine.googleapis.com"
HIGH_VOLUME = "https://earthengine-highvolume.googleapis.com"
"""For many automated requests; it caches less, so that a complex request costs more there.

Source: developers.google.com/earth-engine/cloud/highvolume.
"""
ENDPOINTS = {"standard": STANDARD, "high-volume": HIGH_VOLUME}

# Pixels. Source: developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels
MAX_BYTES = 48 * 2**20
"""Uncompressed bytes of one answer: pixels x bands x bytes per value."""
MAX_SIDE_PX = 32_768
MAX_BANDS = 1024
# Requests. Source: developers.google.com/earth-engine/guides/usage
MAX_IN_FLIGHT = 40
"""Concurrent requests of a project, at either endpoint, unless more was granted."""
MAX_PER_SECOND = 100


@dataclasses.dataclass(frozen=True)
class Tier:
    """A noncommercial quota: EECU-hours a month, free, per project.

    An EECU-hour is an hour of one of Earth Engine's processors; what runs on many counts for each.
    """

    name: str
    eecu_hours: float


# Since 27 April 2026. Source: developers.google.com/earth-engine/guides/noncommercial_tiers
TIERS = (Tier("community", 150), Tier("contributor", 1000), Tier("partner", 100_000))

S2 = "COPERNICUS/S2_SR_HARMONIZED"
"""Sentinel-2 Level-2A, reflectance x 10000, processing baseline 04.00 and later shifted back by
1000. Its Level-2A of 2017 and 2018 is not global."""
S2_SCALE = 10_000.0
SCL = "SCL"
SCL_CLASSES = {
    0: "no data",
    1: "saturated or defective",
    2: "dark area",
    3: "cloud shadow",
    4: "vegetation",
    5: "bare soil",
    6: "water",
    7: "unclassified",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
    11: "snow or ice",
}
SCL_MASKED = (0, 1, 3, 8, 9, 10, 11)
"""Masked by default: shadow and cirrus too, which the original system kept."""
CLOUD_SCORE = "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
CLOUD_SCORE_BAND = "cs_cdf"
CLOUD_SCORE_THRESHOLD = 0.60
"""Of `cs_cdf`, 0 occluded to 1 clear: the catalogue's example masks below 0.60."""

S1_DB = "COPERNICUS/S1_GRD"
"""Sentinel-1 ground range detected, sigma-0 in dB, terrain-corrected."""
S1_LINEAR = "COPERNICUS/S1_GRD_FLOAT"
"""The same in linear power."""
S1_COLLECTIONS = {S1_DB: "dB", S1_LINEAR: "linear"}
S1_REPEAT_DAYS = 12
"""After so many days each satellite passes over the same ground track.

Source: hyp3-docs.asf.alaska.edu/sentinel1.
"""


@dataclasses.dataclass(frozen=True)
class Platform:
    """A Sentinel-1 satellite.

    Args:
      name: e.g. "S1A".
      number: what its images have as `platform_number`.
      launched: day of its launch.
      calibrated: first whole day whose IW images are calibrated; None while no source says so.
      ended: last day of images; None while it is in service.
    """

    name: str
    number: str
    launched: dt.date
    calibrated: dt.date | None
    ended: dt.date | None = None


S1_PLATFORMS = (
    # Operational data from the beginning of October 2014, the collection's first day:
    # esa.int, "First Copernicus satellite exceeds design working life", and the catalogue. Its end:
    # dataspace.copernicus.eu/news/2026-5-28-sentinel-1-orbital-reconfiguration-dates and
    # .../2026-6-30-copernicus-sentinel-1a-satellite-end-operations-after-12-years-service.
    Platform("S1A", "A", dt.date(2014, 4, 3), dt.date(2014, 10, 3), dt.date(2026, 6, 29)),
    # In-orbit commissioning review passed: sentinel.esa.int/web/success-stories/-/
    # flying-colours-for-sentinel-1b. Its end: esa.int, "Mission ends for Copernicus Sentinel-1B".
    Platform("S1B", "B", dt.date(2016, 4, 25), dt.date(2016, 9, 14), dt.date(2021, 12, 23)),
    # IW images are calibrated since the afternoon of 19 May: sar-mpc.eu/about/news, and
    # sentinels.copernicus.eu/-/sentinel-1c-products-are-now-calibrated.
    Platform("S1C", "C", dt.date(2024, 12, 5), dt.date(2025, 5, 20)),
    # Calibrated data are available from 17 April: hyp3-docs.asf.alaska.edu/sentinel1, after
    # sentinels.copernicus.eu/-/sentinel-1d-user-data-opening-from-17-april-2026.
    Platform("S1D", "D", dt.date(2025, 11, 4), dt.date(2026, 4, 17)),
)
"""Launches: hyp3-docs.asf.alaska.edu/sentinel1. All as read in November 2026."""

EUCROPMAP = "JRC/D5/EUCROPMAP/V1"
EUCROPMAP_BAND = "classification"
EUCROPMAP_YEARS = (2018, 2022)
"""2022 is two images: a mosaic of both is the map."""
