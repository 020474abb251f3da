"""What names of scenes' files say: patterns of well-known producers, and of one's own."""

import re
from collections.abc import Sequence

from cropmap_jax.geo.names import nearest
from cropmap_jax.sources.stac.options import OPTICAL, RADAR

_FIELDS = {
    "platform": r"S[12][A-D]|sentinel-?[12][a-d]",
    "date": r"\d{8}T\d{6}Z?|\d{4}-?\d{2}-?\d{2}(?:T\d{2}-?\d{2}-?\d{2}Z?)?",
    "tile": r"[A-Za-z0-9-]+",
    "band": r"[A-Za-z0-9]+",
    "size": r"\d+",
    "baseline": r"\d{4}|\d{2}\.\d{2}",
    "orbit": r"\d{1,3}",
    "direction": r"[AD]|asc(?:ending)?|desc(?:ending)?",
    "made": r"\d{8}T\d{6}Z?",
}
"""{field of a pattern: what it matches}. size is that of a pixel in metres, made the time of
processing, orbit the relative one, baseline that of processing."""
_NEEDED = ("date", "band")
_ANY = r"[^/]*"
_END = r"\.(?:tiff?|jp2)"

BUILT_IN = {
    # T31UFS_20230401T105621_B02_10m.jp2, as in Level-2A products of sen2cor and converted from
    # them; without a size in those of before 2016. sentiwiki.copernicus.eu/web/s2-products.
    "sen2cor": (
        OPTICAL.name,
        rf"T(?P<tile>\d{{2}}[A-Z]{{3}})_(?P<date>\d{{8}}T\d{{6}})_(?P<band>B\d[\dA]|SCL)"
        rf"(?:_(?P<size>10|20|60)m)?{_END}",
    ),
    # S2A_31UFS_20230401_0_L2A/B02.tif and S2A_T31UFS_20230401T105621_L2A/B02.tif, as in the
    # buckets of Earth Search (hrefs in github.com/Element84/earth-search, issues 41 and 66), and
    # with a "_" where names were made of paths.
    "earth_search": (
        OPTICAL.name,
        rf"(?P<platform>S2[A-D])_T?(?P<tile>\d{{1,2}}[A-Z]{{3}})_(?P<date>\d{{8}}(?:T\d{{6}})?)"
        rf"(?:_\d+)?_L2A[/_](?P<band>B\d[\dA]|SCL){_END}",
    ),
    # S1A_IW_20180128T161201_DVP_RTC30_G_gpuned_FD6A_VV.tif:
    # hyp3-docs.asf.alaska.edu/guides/rtc_product_guide (naming convention); d of gamma or sigma,
    # then power, decibel or amplitude.
    "hyp3": (
        RADAR.name,
        rf"(?P<platform>S1[A-D])_IW_(?P<date>\d{{8}}T\d{{6}})_[SD][VH][A-Z]_RTC\d+_G_(?P<kind>[gs])"
        rf"(?P<unit>[pda])[uw][nf][ec][dm]_(?P<id>[0-9A-F]{{4}})_(?P<band>VV|VH){_END}",
    ),
    # OPERA_L2_RTC-S1_T047-100732-IW2_20250706T231126Z_20250712T063114Z_S1A_30_v1.0_VV.tif, a
    # burst each: gamma-0, linear (product specification JPL D-108758; NASA/JPL/OPERA 2023,
    # doi:10.5067/SNWG/OPERA_L2_RTC-S1_V1).
    "opera": (
        RADAR.name,
        rf"OPERA_L2_RTC-S1_T(?P<orbit>\d{{3}})-(?P<tile>\d{{6}}-IW[123])_(?P<date>\d{{8}}T\d{{6}}Z)"
        rf"_(?P<made>\d{{8}}T\d{{6}}Z)_(?P<platform>S1[A-D])_30_v[\d.]+_(?P<band>VV|VH){_END}",
    ),
    # S1A__IW___A_20210914T191350_VV_gamma0-rtc.tif, also of SNAP through pyroSAR; with _db in dB:
    # pyrosar.readthedocs.io (filenaming, changelog of 0.13).
    "pyrosar": (
        RADAR.name,
        rf"(?P<platform>S1[A-D])__IW___(?P<direction>[AD])_(?P<date>\d{{8}}T\d{{6}})_"
        rf"(?P<band>VV|VH)_(?P<kind>gamma0|sigma0)-(?P<ground>rtc|elp)(?P<unit>_db)?{_END}",
    ),
    # S1A_IW_GRDH_1SDV_<start>_<stop>_<orbit>_<datatake>_<id>/measurement/iw-vv.rtc.tiff, as in
    # Planetary Computer's container, and S1A_IW_..._rtc_VV.tif: hrefs of its items.
    "rtc": (
        RADAR.name,
        rf"(?P<platform>S1[A-D])_IW_(?:[^/_]+_)*?(?P<date>\d{{8}}T\d{{6}})(?:_[^/_]+)*"
        rf"(?:/measurement/iw-(?P<band>vv|vh)\.rtc|_rtc_(?P<band2>VV|VH)){_END}",
    ),
}
"""{name: (sensor, regular expression of the end of a path)}."""


def patterns(value: Sequence[str], sensor: str) -> list[re.Pattern[str]]:
    """The patterns that a setting names.

    Args:
      value: names of `BUILT_IN`, patterns such as "{platform}_{date}_{tile}_{band}.tif", or
        "auto" for all built-in ones.
      sensor: whose files they are of.

    Raises:
      ValueError: an unknown name or field, or a pattern without a date or band.
    """
    own = [name for name, (of, _) in BUILT_IN.items() if of == sensor]
    found = []
    for one in value:
        if "{" in one:
            found.append(_compile(one, f"{sensor}.files"))
            continue
        if one not in ("auto", *own):
            raise ValueError(
                f"{sensor}.files: expected auto, {', '.join(own)} or a pattern such as "
                f"{{platform}}_{{date}}_{{tile}}_{{band}}.tif, found {one!r}{nearest(one, own)}"
            )
        names = own if one == "auto" else [one]
        found += [re.compile(f"(?:.*/)?{BUILT_IN[name][1]}", re.IGNORECASE) for name in names]
    return found


def describe(value: str, sensor: str) -> str:
    """A setting for people: "auto" with what it stands for."""
    own = ", ".join(name for name, (of, _) in BUILT_IN.items() if of == sensor)
    return value.replace("auto", f"auto ({own})") if "{" not in value else value


def _compile(text: str, where: str) -> re.Pattern[str]:
    """A pattern of one's own; * stands for any letters but "/"."""
    out, seen = "(?:.*/)?", set()
    for part in re.split(r"(\{[^{}]*\}|\*)", text):
        name = part[1:-1]
        if part == "*":
            out += _ANY
        elif part.startswith("{"):
            if name not in _FIELDS:
                raise ValueError(
                    f"{where}: expected fields of {', '.join(_FIELDS)}, found {part!r} in "
                    f"{text!r}{nearest(name, _FIELDS)}"
                )
            out += f"(?P={name})" if name in seen else f"(?P<{name}>{_FIELDS[name]})"
            seen.add(name)
        else:
            out += re.escape(part)
    lacking = [name for name in _NEEDED if name not in seen]
    if lacking:
        raise ValueError(f"{where}: expected {{{lacking[0]}}} in the pattern {text!r}, found none")
    return re.compile(out, re.IGNORECASE)


def read(path: str, known: Sequence[re.Pattern[str]]) -> dict[str, str] | None:
    """Fields of a file, by the first pattern that its path (with "/") fits; None if none does."""
    for pattern in known:
        match = pattern.fullmatch(path)
        if match:
            fields = {name: value for name, value in match.groupdict().items() if value}
            if "band2" in fields:
                fields["band"] = fields.pop("band2")
            return fields
    return None
