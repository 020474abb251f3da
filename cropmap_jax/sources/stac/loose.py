"""Folders of scenes without a catalogue, a file a band: items from the files' names.

What names do not say comes from the files (CRS and outline, of one band of each scene) and from
settings (scale, offset, unit, backscatter).
"""

import datetime as dt
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pystac
import shapely.geometry

from cropmap_jax.sources.stac import naming, products
from cropmap_jax.sources.stac.options import OPTICAL, RADAR, Catalogue, S1Options

BACKSCATTER, UNIT, FRAME = "cropmap:backscatter", "cropmap:unit", "cropmap:frame"
"""Properties of items: what names of files say of the numbers in them; which part of a pass."""
_UNITS = {"p": "power", "d": "db", "a": "amplitude", "_db": "db"}
_SUFFIXES = (".tif", ".tiff", ".jp2")
_NAMED = ("platform", "tile", "orbit", "direction", "date", "id", "made", "baseline", "kind",
          "ground", "unit")  # fmt: skip
"""Fields that make an item's id."""


def items(folder: pathlib.Path, options: Catalogue) -> Iterator[pystac.Item]:
    """An item per scene, with assets by band: "B02" and "SCL", or "vv" and "vh".

    Of bands in several pixel sizes the finest counts.

    Args:
      folder: with files in it and in its folders.
      options: of a sensor; `files` says how they are named.

    Raises:
      ValueError: names the folder, file or setting: no file of such a name, one scene's band twice,
        a file without a CRS.
    """
    sensor = RADAR.name if isinstance(options, S1Options) else OPTICAL.name
    known = naming.patterns(options.files.split(","), sensor)
    scenes: dict[tuple[tuple[str, str], ...], dict[str, list[tuple[int, pathlib.Path]]]] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        fields = naming.read(path.relative_to(folder).as_posix(), known)
        if fields is None:
            others.append(path)
            continue
        band, size = fields.pop("band"), int(fields.pop("size", "0"))
        band = band.lower() if isinstance(options, S1Options) else band
        own = scenes.setdefault(tuple(sorted(fields.items())), {})
        own.setdefault(band, []).append((size, path))
    if not scenes:
        products.check_no_ground_range(folder, options)
        raise ValueError(
            f"{folder}: expected files named as {naming.describe(options.files, sensor)} "
            f"({sensor}.files), found "
            f"{f'others such as {others[0].name}' if others else 'no GeoTIFF or JPEG 2000'}; for "
            f"cubes of the other sensor alone: config.{sensor}.collection ''"
        )
    for key, bands in sorted(scenes.items()):
        files = {band: _finest(band, found) for band, found in bands.items()}
        yield _item(dict(key), files, isinstance(options, S1Options))


def _finest(band: str, found: Sequence[tuple[int, pathlib.Path]]) -> pathlib.Path:
    sizes = [size for size, _ in found]
    if len(set(sizes)) < len(sizes):
        twice = [path for size, path in sorted(found) if sizes.count(size) > 1][:2]
        raise ValueError(
            f"{twice[0]} and {twice[1]}: expected one file of {band} of a scene, found two"
        )
    return min(found)[1]


def _item(fields: Mapping[str, str], files: Mapping[str, pathlib.Path], radar: bool) -> pystac.Item:
    first = next(iter(files.values()))
    time = _time(fields["date"], first)
    code, outline = products.place(first)
    satellite = re.sub(r"\W", "", fields.get("platform", ""))[-2:].lower()
    props: dict[str, Any] = {"proj:code": code}
    if satellite:
        props["platform"] = f"sentinel-{satellite}"
    if "made" in fields:
        props["processing:datetime"] = _time(fields["made"]).isoformat()
    if radar:
        props |= _radar(fields)
    else:
        props["s2:mgrs_tile"] = fields.get("tile", "").removeprefix("T")
        if "baseline" in fields:
            props["s2:processing_baseline"] = fields["baseline"]
        if time.time() != dt.time():
            props["s2:datatake_id"] = f"{satellite}_{time:%Y%m%dT%H%M%S}"
    item = pystac.Item(
        "_".join(fields[name] for name in _NAMED if name in fields),
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        time,
        props,
    )
    for band, path in files.items():
        own = {} if radar else {"bands": [{"nodata": 0}]}
        item.add_asset(band, pystac.Asset(str(path.absolute()), extra_fields=own))
    return item


def _radar(fields: Mapping[str, str]) -> dict[str, Any]:
    """Properties of a Sentinel-1 scene, as far as its names say."""
    props: dict[str, Any] = {}
    kind, ground = fields.get("kind", "").lower(), fields.get("ground", "rtc").lower()
    if kind:
        gamma = kind.startswith("g")
        # On the ellipsoid gamma-0 is neither of the two.
        rtc = "gamma0_rtc" if ground == "rtc" else "gamma0"
        props[BACKSCATTER] = rtc if gamma else "sigma0"
        props[UNIT] = _UNITS.get(fields.get("unit", "p").lower(), "power")
    if "orbit" in fields:
        props["sat:relative_orbit"] = int(fields["orbit"])
    if "direction" in fields:
        way = "ascending" if fields["direction"][0].lower() == "a" else "descending"
        props["sat:orbit_state"] = way
    # Bursts and tiles of one second are no copies of each other.
    return props | {FRAME: fields.get("tile", "")}


def _time(text: str, path: pathlib.Path | None = None) -> dt.datetime:
    digits = re.sub(r"\D", "", text)
    try:
        layout = "%Y%m%d%H%M%S" if len(digits) > 8 else "%Y%m%d"
        return dt.datetime.strptime(digits, layout).replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise ValueError(f"{path}: expected a date in its name, found {text!r}") from error
