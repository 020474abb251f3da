"""What Earth Engine offers and allows: assets, bands, scales, limits, quotas. Facts only.

Assets: the Earth Engine data catalogue, developers.google.com/earth-engine/datasets/catalog/<id>
with "/" written "_". Limits and quotas as read in November 2026.
"""

import dataclasses
import datetime as dt

from cropmap_jax.geo.sensors import SENSORS as KNOWN
from cropmap_jax.sources.missing import Thresholds
from cropmap_jax.sources.timing import Archive

STANDARD = "https://earthengine.googleapis.com"
HIGH_VOLUME = "https://earthengine-highvolume.googleapis.com"
"""For many automated requests; it caches less, so that a complex request costs more there.

Source: developers.google.com/earth-engine/cloud/highvolume.
"""
ENDPOINTS = {"standard": STANDARD, "high-volume": HIGH_VOLUME}

# Pixels. Source: developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels
MAX_BYTES = 48 * 2**20
"""Uncompressed bytes of one response: pixels x bands x bytes per value."""
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

RADAR, OPTICAL = SENSORS = (KNOWN["s1"], KNOWN["s2"])
"""What an exported cube has, in order."""
ARCHIVE = Archive(
    "Earth Engine", {RADAR.name: dt.date(2014, 10, 3), OPTICAL.name: dt.date(2017, 3, 28)}
)
"""First day of `S1_DB` and of `S2`. Source: dataset availability in the catalogue."""
THRESHOLDS = Thresholds(continuous=(RADAR.name,))
"""What flags an exported cube: clouds do not hide anything from radar."""

WORLDCOVER = "ESA/WorldCover/v200"
"""One image, of 2021. Source: the catalogue."""
WORLDCOVER_BAND = "Map"

EUCROPMAP = "JRC/D5/EUCROPMAP/V1"
EUCROPMAP_BAND = "classification"
EUCROPMAP_YEARS = (2018, 2022)
"""2022 is two images: a mosaic of both is the map."""
