"""Names of bands as people and programs write them, and which of them are no bands at all."""

import re

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.ingest import satellites
from cropmap_jax.sources.ingest.satellites import SCL

_COMMON = {
    "blue": "B2",
    "green": "B3",
    "red": "B4",
    "rededge1": "B5",
    "rededge2": "B6",
    "rededge3": "B7",
    "rededge071": "B5",
    "rededge075": "B6",
    "rededge078": "B7",
    "re1": "B5",
    "re2": "B6",
    "re3": "B7",
    "nir": "B8",
    "nir08": "B8A",
    "swir1": "B11",
    "swir2": "B12",
    "swir16": "B11",
    "swir22": "B12",
    "scl": SCL,
}
"""Common names of bands.

Source: STAC's electro-optical extension 1.1 and 2.0 and Earth Search's sentinel-2-l2a; re1 to re3
and swir1, swir2 as in FORCE and the Earth Engine community.
"""
_OPTICAL = re.compile(r"(?:s2)?b(0?[1-9]|1[0-2]|8a)")
_ALIKE = {"narrownir": "nir08", "nirnarrow": "nir08", "nearinfrared": "nir"}
"""Names of two words, which are put together before words are looked at."""
_RADAR = re.compile(r"(?:s1|sigma0?|gamma0?|beta0?|\d+)?(vv|vh|hh|hv)(?:db|lin)?")
_WORDS = frozenset(
    "s1 s1a s1b s1c s1d s2 s2a s2b s2c l1c l2a msi grd iw sentinel sentinel1 sentinel2 sigma "
    "sigma0 gamma gamma0 beta beta0 rtc db lin linear power dn amplitude intensity band bands "
    "sr boa toa refl reflectance surface asc ascending desc descending mean median nm m "
    "vegetation cog tif tiff jp2 central wavelength nought backscatter r10m r20m r60m pol mst slv "
    "cal tc spk orb".split()
)
"""Words next to a band's name that do not make it another quantity."""
_DERIVED = re.compile(
    r"ratio|index|ndvi|evi\d?|savi|msavi|ndwi|mndwi|ndre\d?|ndmi|nbr\d?|rvi|dprvi|cr|std|stdev|"
    r"stddev|sd|var|variance|cv|count|n|num|diff|difference|dif|delta|sum|slope|trend|anomaly|angle|"
    r"lia|incidence|mask|qa|quality|unc|uncertainty|error|err|min|max|range|amp|phase|coh|coherence|"
    r"landsat\d?|l[4-9]|l[cet]0[4-9]|l30|oli|etm|modis|mod\d+|myd\d+|planet\w*|sentinel3|s3|olci|alpha|"
    r"sqrt|square|squared|pow|power2|rfdi|nrpb|texture|glcm|contrast|entropy|asm|homogeneity|correlation|dissimilarity|skew|kurtosis|iqr|"
    r"p\d+|q\d+|doy|date|weight|rank|zscore|log|cos|sin|harmonic|lag\d*|shadow|cloud"
)


def known_bands(sensor: Sensor) -> tuple[str, ...]:
    """Bands of a cube, and the scene classification where the sensor's products have one."""
    classification = satellites.product(sensor).classification
    return (*sensor.bands, classification) if classification else sensor.bands


def band_of(name: str, sensor: Sensor) -> str | None:
    """Known band that a name stands for; None where it stands for none or for two.

    Of Sentinel-1 and Sentinel-2 whole words count, not endings: "S2-L2A-B04", "B04_10m",
    "Sigma0_VV_db" and "nir" are bands, "VV/VH", "B8_std" and "NDVI_B8_B4" are not. Bands of other
    sensors are known by their own names, in upper or lower case.
    """
    if satellites.product(sensor).common_names:
        band = _band_in_words(name)
        return band if band in known_bands(sensor) else None
    name = name.strip()
    alike = [band for band in sensor.bands if band.casefold() == name.casefold()]
    return name if name in alike else alike[0] if len(alike) == 1 else None


def _band_in_words(name: str) -> str | None:
    text = re.sub(r"red[^a-z0-9]*edge[^a-z0-9]*", "rededge", name.strip().lower())
    for first, second in (("narrow", "nir"), ("nir", "narrow"), ("near", "infrared")):
        text = re.sub(rf"\b{first}[^a-z0-9]*{second}\b", _ALIKE[first + second], text)
    text = re.sub(r"\bswir[^a-z0-9.]+([12])\b(?!\.\d)", r"swir\1", text)
    words = [word for word in re.split(r"[^0-9a-z]+", text) if word]
    found = _find_bands(words)
    # "B8 (NIR)" names one band twice, "VV/VV" and "B4_B8" are of two.
    both = len(found) == 2 and found[0][1] == found[1][1] and found[0][2] != found[1][2]
    if not (len(found) == 1 or both) or any(c in text for c in "+*÷^"):
        return None
    if both:
        words = [word for i, word in enumerate(words) if i != next(f[0] for f in found if f[2])]
        found = _find_bands(words)
    at, band, common = found[0]
    # A place or a product may precede a band ("field7_B04"), but not a plain word ("infra red");
    # what follows a band tells more about it than where it is from.
    for i, word in enumerate(words):
        plain = word in _WORDS or re.fullmatch(
            r"\d+m?|t?\d+t?\d*|slv\d*|\d+[a-z]{3}(19|20)\d\d", word
        )
        if i != at and (_DERIVED.fullmatch(word) or ((i > at or common) and not plain)):
            return None
    return band


def _find_bands(words: list[str]) -> list[tuple[int, str, bool]]:
    """(position, band, whether the word is a common name) of each word that is a band."""
    return [(i, *band) for i, word in enumerate(words) if (band := _band_word(word))]


def _band_word(word: str) -> tuple[str, bool] | None:
    """(band, whether the word is a common name) of one word of a name."""
    if word in _COMMON:
        return _COMMON[word], word != "scl"
    optical, radar = _OPTICAL.fullmatch(word), _RADAR.fullmatch(word)
    if optical:
        return "B" + optical[1].lstrip("0").upper(), False
    return (radar[1].upper(), False) if radar else None


def name_bands(names: list[str], sensor: Sensor, where: str) -> dict[str, int]:
    """Position of each known band in a list of names.

    Raises:
      ValueError: a band twice, or none at all.
    """
    out: dict[str, int] = {}
    for i, name in enumerate(names):
        band = band_of(name, sensor)
        if band in out:
            raise ValueError(
                f"{where}: expected each band once, found {band} twice ({names[out[band]]!r} and "
                f"{name!r})"
            )
        if band:
            out[band] = i
    if not out.keys() & set(sensor.bands):
        found = ", ".join(names[:8]) or "none"
        raise ValueError(f"{where}: expected bands among {', '.join(sensor.bands)}, found {found}")
    return out
