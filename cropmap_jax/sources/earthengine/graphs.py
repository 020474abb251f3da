"""Expression graphs: what Earth Engine is to compute, pure functions of grid and options.

Nothing is evaluated and nothing requested here; `ee` must have been initialised, for it builds
graphs from the service's list of algorithms. `ALGORITHMS` names all that are used.

What holds for every image:
  * Scenes are filtered first and changed afterwards: arithmetic on an image drops its time.
  * A fully masked image is merged into every collection that is reduced. The reduction of an empty
    collection has no bands at all: a month without scenes would be an error, not a gap.
  * Nothing is reprojected: the request's grid decides, and Earth Engine takes the nearest pixel of
    every scene (its default) before anything is averaged.
  * Values are rounded as floor(x + 0.5), as nothing documents which way `Image.round` sends halves.
    `Sensor.encode` of the same float composite differs by at most 1, and only at halves (for S2
    where an even number of observations is clear).
"""

# `ee` makes most of its methods at run time, so that what they return is Any.
# mypy: disable-error-code="no-any-return"

import math
from collections.abc import Sequence

import ee
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube
from cropmap_jax.geo.landcover import LANDCOVER
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources import sentinel1
from cropmap_jax.sources.earthengine import geometry, pieces, service
from cropmap_jax.sources.earthengine import options as options_lib

ALGORITHMS = frozenset(
    """
    Collection.filter Collection.map Collection.reduceColumns Collection.size DateRange
    Dictionary.get Element.set ErrorMargin Feature Filter.and Filter.dateRangeContains Filter.equals
    Filter.intersects Filter.lessThanOrEquals Filter.listContains Filter.or Geometry.area
    Geometry.intersection GeometryConstructors.Polygon Image.add Image.clamp Image.constant
    Image.exp Image.floor Image.geometry Image.gte Image.linkCollection Image.log10 Image.multiply
    Image.reduce Image.remap Image.rename Image.select Image.toFloat Image.toInt16 Image.unmask
    Image.updateMask ImageCollection.fromImages ImageCollection.load ImageCollection.merge
    ImageCollection.mosaic ImageCollection.reduce ImageCollection.toBands Number.divide
    Reducer.count Reducer.median Reducer.min Reducer.toList reduce.mean
    """.split()
)
"""Every algorithm of Earth Engine that a graph of this module calls."""

Region = GeoBox | Sequence[float]
"""A grid, or (west, south, east, north) in degrees."""
MAX_RAW = 512
"""Observations of a period up to which the median is exact; beyond, it comes from a histogram.

A month has about 50 at most: four MGRS tiles of each of two orbits, every five days.
Source: developers.google.com/earth-engine/apidocs/ee-reducer-median.
"""
_ERROR_M = 1
_POLARISATIONS = "transmitterReceiverPolarisation"


def s2_image(geobox: GeoBox, periods: Sequence[Period], options: options_lib.S2Options) -> ee.Image:
    """Median of the clear Sentinel-2 reflectances of each period.

    An observation belongs to the period [start, end) that holds its `system:time_start`, UTC. A
    value is missing where its own band is masked, or its scene is not clear there; a scene without
    a cloud score is not clear anywhere. Both copies of a datatake that lies in two MGRS tiles (of
    one zone or two) are kept: where all observations come twice, the median is that of one copy
    each, but for differences in resampling; where only some do, those count twice.

    Args:
      geobox: the cube's grid; only its place is used (scenes that touch it).
      periods: P periods.
      options: how clouds are masked, and whether clear observations are counted.

    Returns:
      int16, bands `p00_B2` ... in the order of `periods` and of the sensor's bands: reflectance x
      10000, no-data where nothing is clear or no scene lies. With `options.count` the last band of
      each period is `p00_clear` ...: how many observations have a clear value in any band, 0 where
      none has.

    Raises:
      ValueError: no periods, or a grid across the antimeridian.
    """
    _check(periods)
    scenes = _touching(service.S2, geobox)
    if options.max_cloud < 100:
        scenes = scenes.filter(
            ee.Filter.lessThanOrEquals("CLOUDY_PIXEL_PERCENTAGE", options.max_cloud)
        )
    bands = list(service.OPTICAL.bands)
    reducer = ee.Reducer.median(maxRaw=MAX_RAW)
    blank = _blank(bands)

    def clear(image: ee.Image) -> ee.Image:
        return image.select(bands).updateMask(_clear(image, options)).toFloat()

    composites = []
    for period in periods:
        seen = blank.merge(_within(scenes, period).map(clear))
        composites.append(seen.reduce(reducer))
        if options.count:
            composites.append(_count(seen))
    names = [*bands, cube.CLEAR] if options.count else bands
    return _encoded(_stacked(composites, names, len(periods)), service.OPTICAL)


def s1_image(
    geobox: GeoBox,
    periods: Sequence[Period],
    orbits: Sequence[int],
    direction: str,
    options: options_lib.S1Options,
) -> ee.Image:
    """Mean Sentinel-1 backscatter of each period, of one pass direction in a fixed order of orbits.

    Per relative orbit the mean in linear power over the period; at a pixel, the first orbit of
    `orbits` that has data wins. An observation with a band below `options.border_db` is left out in
    both (border noise; calm water too).

    Args:
      geobox: the cube's grid; only its place is used.
      periods: P periods.
      orbits: relative orbit numbers, the most trusted first; none makes everything missing.
      direction: "ascending" or "descending".
      options: collection, satellites and border noise; its own direction is not used.

    Returns:
      int16, bands `p00_VV`, `p00_VH`, `p01_VV` ...: dB x 100, no-data where nothing is.

    Raises:
      ValueError: no periods, another direction, no satellite with images then, or a grid across
        the antimeridian.
    """
    if direction not in ("ascending", "descending"):
        raise ValueError(f"direction: expected 'ascending' or 'descending', found {direction!r}")
    _check(periods)
    scenes = _s1_scenes(geobox, periods, options).filter(
        ee.Filter.eq("orbitProperties_pass", direction.upper())
    )
    blank = _blank(service.RADAR.bands)

    def mean(orbit: int, period: Period) -> ee.Image:
        of_orbit = scenes.filter(ee.Filter.eq("relativeOrbitNumber_start", int(orbit)))
        powers = _within(of_orbit, period).map(lambda image: _power(image, options))
        return blank.merge(powers).mean()

    composites = []
    for period in periods:
        # A mosaic shows its last image on top.
        means = [mean(orbit, period) for orbit in reversed(orbits)]
        composites.append((ee.ImageCollection(means) if means else blank).mosaic())
    power = _stacked(composites, service.RADAR.bands, len(periods))
    return _encoded(power.log10().multiply(10 * service.RADAR.scale), service.RADAR)


def label_image(geobox: GeoBox, year: int) -> ee.Image:
    """Source codes of EUCROPMAP: the mosaic of the images of a year, nearest pixel.

    Args:
      geobox: the cube's grid; only its place is used.
      year: one of `service.EUCROPMAP_YEARS`.

    Returns:
      int16, one band `label`: codes of the map (100 to 800), `pieces.NO_CODE` where it has none.

    Raises:
      ValueError: another year, or a grid across the antimeridian.
    """
    options_lib.LabelOptions("eucropmap", year)  # Checks the year.
    images = _touching(service.EUCROPMAP, geobox).filterDate(f"{year}-01-01", f"{year + 1}-01-01")
    band = [service.EUCROPMAP_BAND]
    codes = images.map(lambda image: image.select(band).toFloat())
    label = _blank(band).merge(codes).mosaic().rename(["label"])
    return label.unmask(pieces.NO_CODE, False).toInt16()


def landcover_image(geobox: GeoBox) -> ee.Image:
    """Codes of ESA WorldCover v200, nearest pixel.

    Args:
      geobox: the cube's grid; only its place is used.

    Returns:
      int16, one band `landcover`: codes of `geo.landcover.WORLDCOVER`, `pieces.NO_CODE` where it
      has none.

    Raises:
      ValueError: a grid across the antimeridian.
    """
    band = [service.WORLDCOVER_BAND]
    images = _touching(service.WORLDCOVER, geobox)
    codes = images.map(lambda image: image.select(band).toFloat())
    cover = _blank(band).merge(codes).mosaic().rename([LANDCOVER])
    return cover.unmask(pieces.NO_CODE, False).toInt16()


def orbit_table(
    geobox: GeoBox, periods: Sequence[Period], options: options_lib.S1Options
) -> ee.List:
    """Which Sentinel-1 scenes see a cube, for `radar_orbits.choose_orbits`.

    Args:
      geobox: the cube's grid.
      periods: P periods; scenes from the start of the first to the end of the last are listed.
      options: collection, satellites, and the pass direction ("auto": both).

    Returns:
      A list, evaluated by `value:compute`, with one entry per scene: [system:time_start in
      milliseconds since 1970 UTC, relative orbit, "ASCENDING" | "DESCENDING", platform_number,
      share of the grid's area that lies in the scene's footprint].

    Raises:
      ValueError: no periods, no satellite with images then, or a grid across the antimeridian.
    """
    _check(periods)
    outline = _polygon(geobox)

    def covered(image: ee.Image) -> ee.Element:
        area = image.geometry().intersection(outline, _ERROR_M).area(_ERROR_M)
        return image.set("covered", area.divide(outline.area(_ERROR_M)))

    rows = _s1_passes(geobox, periods, options).map(covered)
    return _rows(rows, [*_PASS, "covered"])


def plan_table(
    region: Region, periods: Sequence[Period], options: options_lib.S1Options
) -> ee.List:
    """What is seen of a region: the counts of Sentinel-2, and a row per Sentinel-1 scene.

    Args:
      region: a grid, or (west, south, east, north) in degrees.
      periods: P periods.
      options: as of `orbit_table`.

    Returns:
      [what `scene_counts` is, rows as of `orbit_table` without the share], evaluated by
      `value:compute`.

    Raises:
      ValueError: as `orbit_table`.
    """
    _check(periods)
    return ee.List([
        scene_counts(region, periods),
        _rows(_s1_passes(region, periods, options), list(_PASS)),
    ])  # fmt: skip


_PASS = (
    "system:time_start",
    "relativeOrbitNumber_start",
    "orbitProperties_pass",
    "platform_number",
)
"""What `sentinel1.count_passes` and `radar_orbits.choose_orbits` know a scene by."""


def _rows(images: ee.ImageCollection, columns: list[str]) -> ee.List:
    return ee.List(images.reduceColumns(ee.Reducer.toList(len(columns)), columns).get("list"))


def _s1_passes(
    region: Region, periods: Sequence[Period], options: options_lib.S1Options
) -> ee.ImageCollection:
    """Scenes from the start of the first period to the end of the last, of the direction."""
    scenes = _s1_scenes(region, periods, options)
    if options.direction != "auto":
        scenes = scenes.filter(ee.Filter.eq("orbitProperties_pass", options.direction.upper()))
    return _within(scenes, Period(min(p.start for p in periods), max(p.end for p in periods)))


def scene_counts(region: Region, periods: Sequence[Period]) -> ee.List:
    """Number of Sentinel-2 scenes that touch a region in each period.

    A datatake that lies in two MGRS tiles counts twice.

    Args:
      region: a grid, or (west, south, east, north) in degrees.
      periods: P periods.

    Returns:
      A list of P integers, evaluated by `value:compute`.

    Raises:
      ValueError: no periods, or a region across the antimeridian.
    """
    _check(periods)
    scenes = _touching(service.S2, region)
    return ee.List([_within(scenes, period).size() for period in periods])


def _check(periods: Sequence[Period]) -> None:
    if not periods:
        raise ValueError("periods: expected at least one, found none")


def _touching(collection: str, region: Region) -> ee.ImageCollection:
    return ee.ImageCollection(collection).filterBounds(_polygon(region))


def _within(images: ee.ImageCollection, period: Period) -> ee.ImageCollection:
    """The images of the half-open period; a date without an hour is midnight UTC."""
    return images.filterDate(period.start.isoformat(), period.end.isoformat())


def _polygon(region: Region) -> ee.Geometry:
    """Outline in degrees, edges straight in longitude and latitude."""
    ring = geometry.ring(region)
    return ee.Geometry.Polygon([[*ring, ring[0]]], None, False)


def _blank(bands: Sequence[str]) -> ee.ImageCollection:
    """One image that is masked everywhere; its type is that of the images it is merged with."""
    image = ee.Image.constant([0] * len(bands)).rename(list(bands)).toFloat().updateMask(0)
    return ee.ImageCollection([image])


def _clear(image: ee.Image, options: options_lib.S2Options) -> ee.Image:
    """1 where a Sentinel-2 scene is clear, else 0 or masked."""
    if options.mask == "scl":
        masked = sorted(options.scl_masked)
        return image.select([service.SCL]).remap(masked, [0] * len(masked), 1)
    scores = ee.ImageCollection(service.CLOUD_SCORE)
    score = image.linkCollection(scores, [service.CLOUD_SCORE_BAND])
    return score.select([service.CLOUD_SCORE_BAND]).gte(options.threshold)


def _s1_scenes(
    region: Region, periods: Sequence[Period], options: options_lib.S1Options
) -> ee.ImageCollection:
    """Interferometric wide swath, high resolution (10 m), both polarisations, usable satellites."""
    end = max(p.end for p in periods).isoformat()
    usable = []
    for platform, since in sentinel1.usable(options.platforms, periods).items():
        own = ee.Filter.eq("platform_number", platform.number)
        dated = ee.Filter.date(since.isoformat(), end) if since else None
        usable.append(ee.Filter.And(own, dated) if dated else own)
    wanted = [
        ee.Filter.eq("instrumentMode", "IW"),
        ee.Filter.eq("resolution", "H"),
        *(
            ee.Filter.listContains("transmitterReceiverPolarisation", b)
            for b in service.RADAR.bands
        ),
        usable[0] if len(usable) == 1 else ee.Filter.Or(*usable),
    ]
    return _touching(options.collection, region).filter(ee.Filter.And(*wanted))


def _power(image: ee.Image, options: options_lib.S1Options) -> ee.Image:
    """Linear power of a Sentinel-1 scene, border noise masked."""
    bands = image.select(service.RADAR.bands)
    lowest = bands.reduce(ee.Reducer.min())
    if service.S1_COLLECTIONS[options.collection] == "linear":
        power, border = bands, 10 ** (options.border_db / 10)
    else:
        power, border = bands.multiply(math.log(10) / 10).exp(), options.border_db
    return power.updateMask(lowest.gte(border)).toFloat()


def _count(images: ee.ImageCollection) -> ee.Image:
    """How many images have a valid value in any of their bands; 0, not masked, where none has."""
    # The least of a pixel's bands is masked only where all of them are.
    return (
        images.map(lambda image: image.reduce(ee.Reducer.min()))
        .reduce(ee.Reducer.count())
        .unmask(0, False)
    )


def _stacked(composites: Sequence[ee.Image], bands: Sequence[str], periods: int) -> ee.Image:
    """One image of all periods, bands named by period and band."""
    names = [f"p{i:02d}_{band}" for i in range(periods) for band in bands]
    return ee.ImageCollection(list(composites)).toBands().rename(names)


def _encoded(image: ee.Image, sensor: Sensor) -> ee.Image:
    """Whole numbers in int16, no-data wherever the image is masked or does not reach."""
    nodata = int(sensor.nodata)
    whole = image.add(0.5).floor().clamp(nodata + 1, -nodata - 1)
    return whole.unmask(nodata, False).toInt16()
