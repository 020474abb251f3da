"""What the graphs yield equals what `geo.composites` makes of the same scenes, read directly.

`graph_server` evaluates the graphs over `catalogue`, pixel by pixel at the request's grid; here the
same scenes are brought onto the grid by GDAL and composited by our own code. So this tests our
reading of Earth Engine, not Earth Engine itself. Run with -s to see the largest differences.
"""

import dataclasses
import datetime as dt
import functools
import types

import catalogue
import graph_server
import numpy as np
import pytest
from rasterio import transform, warp

from cropmap_jax.geo import composites
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources import radar_orbits
from cropmap_jax.sources.earthengine import graphs, pieces, service, templates
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.earthengine.errors import Fatal
from cropmap_jax.sources.earthengine.options import S1Options, S2Options

PERIODS = catalogue.PERIODS
TILES = {"swath": catalogue.SWATH, "border": catalogue.BORDER}
ORBITS = (161, 88)
"""Most complete first; in May only 88 passes, which sees half of SWATH."""
LIMIT = 32767

both_tiles = pytest.mark.parametrize("tile", TILES)


@pytest.fixture(scope="module")
def server():
    with graph_server.GraphServer() as server:
        yield server


@pytest.fixture
def ask(server, offline_ee, guard):
    """Our client at the server, which takes graphs instead of JSON."""
    guard.only(server.url)
    client = Client(server.url, "test", attempts=1)
    return types.SimpleNamespace(
        pixels=lambda image, bands, grid: client.fetch(templates.encode(image), bands, grid),
        value=lambda value: client.compute(templates.encode(value)),
    )


def _grid(geobox, moved=0.0) -> dict:
    """The grid of a request; `moved` metres to the east."""
    a, (height, width) = geobox.affine, geobox.shape
    affine = {"scaleX": a.a, "translateX": a.c + moved, "scaleY": a.e, "translateY": a.f}
    size = {"width": width, "height": height}
    return {
        "dimensions": size,
        "affineTransform": affine,
        "crsCode": f"EPSG:{geobox.crs.to_epsg()}",
    }


def ask_s2(ask, tile, options, **more):
    """int16 [P, H, W, 10], and the count of clear observations [P, H, W] or None."""
    image = graphs.s2_image(TILES[tile], PERIODS, options)
    names = pieces.bands_of("s2", range(len(PERIODS)), options.count)
    found = _by_period(ask.pixels(image, names, _grid(TILES[tile], **more)))
    return found[..., : len(service.OPTICAL.bands)], found[..., -1] if options.count else None


def ask_s1(ask, tile, options, orbits=ORBITS, direction="ascending", **more):
    """int16 [P, H, W, 2]."""
    image = graphs.s1_image(TILES[tile], PERIODS, orbits, direction, options)
    names = pieces.bands_of("s1", range(len(PERIODS)))
    return _by_period(ask.pixels(image, names, _grid(TILES[tile], **more)))


def ask_label(ask, tile, year, **more):
    """int16 [H, W]."""
    image = graphs.label_image(TILES[tile], year)
    return ask.pixels(image, ["label"], _grid(TILES[tile], **more))[..., 0]


def _by_period(pixels):
    height, width, _ = pixels.shape
    return pixels.reshape(height, width, len(PERIODS), -1).transpose(2, 0, 1, 3)


def read(raster, tile) -> np.ndarray:
    """A raster at the centres of the tile's pixels: float64 [H, W], NaN where masked or outside."""
    rows, cols, inside = _places(raster.geobox, tile)
    values = np.where(raster.valid, raster.values.astype(float), np.nan)[rows, cols]
    return np.where(inside, values, np.nan)


@functools.cache
def _places(source, tile):
    """Rows and columns of a raster below the tile's pixels, and which lie on it.

    By GDAL, point by point: its warping interpolates between points, and takes the wrong one of
    two pixels where a point lies a millimetre from the line between them.
    """
    target = TILES[tile]
    ys, xs = (np.asarray(target.coords[axis].values) for axis in "yx")
    xs, ys = (v.ravel() for v in np.meshgrid(xs, ys))
    xs, ys = warp.transform(str(target.crs), str(source.crs), xs, ys)
    places = np.array(transform.rowcol(source.affine, xs, ys)).reshape(2, *target.shape)
    inside = ((places >= 0) & (places < np.reshape(source.shape, (2, 1, 1)))).all(0)
    return *np.where(inside, places, 0), inside


def _day(scene) -> Period:
    date = dt.datetime.fromtimestamp(scene.properties["system:time_start"] / 1000, dt.UTC).date()
    return Period(date, date + dt.timedelta(days=1))


def s2_values(tile, options) -> tuple[np.ndarray, list[Period]]:
    """float32 [T, H, W, 10], DN of what is clear, and the days."""
    scores = {s.index: s.bands["cs_cdf"] for s in catalogue.scenes()[service.CLOUD_SCORE]}
    values, days = [], []
    for scene in catalogue.scenes()[service.S2]:
        if scene.properties["CLOUDY_PIXEL_PERCENTAGE"] > options.max_cloud:
            continue
        if options.mask == "scl":
            classes = read(scene.bands["SCL"], tile)
            clear = np.isfinite(classes) & ~np.isin(classes, options.scl_masked)
        elif scene.index in scores:
            clear = read(scores[scene.index], tile) >= options.threshold
        else:
            continue
        bands = np.stack([read(scene.bands[b], tile) for b in service.OPTICAL.bands], -1)
        values.append(np.where(clear[..., None], bands, np.nan).astype(np.float32))
        days.append(_day(scene))
    return np.stack(values), days


@functools.cache
def s2_direct(tile, options) -> tuple[np.ndarray, np.ndarray]:
    """int16 [P, H, W, 10], halves rounded up, as the graph says it does; and counts [P, H, W]."""
    median, counts = composites.composite(*s2_values(tile, options), PERIODS, SENSORS["s2"])
    whole = np.clip(np.floor(median + 0.5), -LIMIT, LIMIT)
    return np.where(np.isfinite(median), whole, service.OPTICAL.nodata).astype(np.int16), counts


@functools.cache
def s1_direct(tile, options, orbits=ORBITS, direction="ascending") -> np.ndarray:
    """int16 [P, H, W, 2]: per orbit the composite, then the first orbit that has data."""
    found = np.full(
        (len(PERIODS), *TILES[tile].shape, len(service.RADAR.bands)), np.nan, np.float32
    )
    for orbit in orbits:
        seen = (orbit, direction.upper(), "IW", "H", ["VV", "VH"])
        names = ("relativeOrbitNumber_start", "orbitProperties_pass", "instrumentMode")
        names += ("resolution", "transmitterReceiverPolarisation")
        scenes = [
            s
            for s in catalogue.scenes()[options.collection]
            if tuple(s.properties[n] for n in names) == seen
        ]
        values = np.stack(
            [np.stack([read(s.bands[b], tile) for b in service.RADAR.bands], -1) for s in scenes]
        )
        if options.collection == service.S1_LINEAR:
            values = composites.linear_to_db(values)
        # In linear power -30 dB comes back as -30 but for the rounding of float32.
        values[values.min(-1) < options.border_db - 1e-5] = np.nan
        mean, _ = composites.composite(values, [_day(s) for s in scenes], PERIODS, SENSORS["s1"])
        found = np.where(np.isnan(found), mean, found)
    return service.RADAR.encode(found)


@functools.cache
def label_direct(tile, year) -> np.ndarray:
    """int16 [H, W]: the image whose index comes last is on top."""
    label = np.zeros(TILES[tile].shape)
    for scene in catalogue.scenes()[service.EUCROPMAP]:
        if scene.index.startswith(str(year)):
            codes = read(scene.bands[service.EUCROPMAP_BAND], tile)
            label = np.where(np.isnan(codes), label, codes)
    return label.astype(np.int16)


def largest(found, expected) -> int:
    """Largest difference; what only one of the two lacks differs by more than any value."""
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


def differing(found, expected) -> float:
    return float((found != expected).mean())


@both_tiles
@pytest.mark.parametrize(
    "options",
    [S2Options(), S2Options(mask="scl"), S2Options(max_cloud=40), S2Options(count=False)],
    ids=["cloud score", "scl", "few clouds", "not counted"],
)
def test_s2_is_the_local_composite(ask, tile, options):
    (found, counts), (expected, seen) = ask_s2(ask, tile, options), s2_direct(tile, options)
    print(f"\nS2, {tile}: largest difference {largest(found, expected)} DN")
    np.testing.assert_array_equal(found, expected)
    assert (counts is None) == (not options.count)
    if options.count:
        print(f"S2, {tile}: largest difference {largest(counts, seen)} of {seen.max()} clear ones")
        np.testing.assert_array_equal(counts, seen)
        # Pixels masked in some bands only count where any band is left.
        np.testing.assert_array_equal(counts == 0, (found == service.OPTICAL.nodata).all(-1))
        assert seen.max() > 2 and ((found == service.OPTICAL.nodata).any(-1) & (counts > 0)).any()
    missing = (found == service.OPTICAL.nodata).mean((1, 2, 3))
    # Clouds leave gaps, June has one orbit only, and July nothing.
    assert 0 < missing[0] < 0.6 and missing[2] > missing[0] and missing[3] == 1
    assert (found == LIMIT).any()


@both_tiles
def test_s2_is_within_one_of_what_a_cube_would_store(ask, tile):
    # Where an even number is clear the median may be a half, which `encode` rounds to even, after
    # float32 has moved it.
    values, days = s2_values(tile, S2Options())
    median, _ = composites.composite(values / np.float32(10_000), days, PERIODS, SENSORS["s2"])
    (found, _), stored = ask_s2(ask, tile, S2Options()), service.OPTICAL.encode(median)
    print(f"\nS2, {tile}: {differing(found, stored):.2%} differ from encode(composite)")
    assert largest(found, stored) == 1
    exact, _ = composites.composite(values, days, PERIODS, SENSORS["s2"])
    assert (exact[found != stored] % 1 == 0.5).all()


@both_tiles
@pytest.mark.parametrize("collection", service.S1_COLLECTIONS)
@pytest.mark.parametrize("direction, orbits", [("ascending", ORBITS), ("descending", (161, 37))])
def test_s1_is_the_local_composite(ask, tile, collection, direction, orbits):
    options = S1Options(collection)
    found = ask_s1(ask, tile, options, orbits, direction)
    expected = s1_direct(tile, options, orbits, direction)
    print(
        f"\nS1, {tile}, {collection}, {direction}: largest difference "
        f"{largest(found, expected) / 100} dB, in {differing(found, expected):.3%}"
    )
    assert largest(found, expected) <= 1
    missing = (found == service.OPTICAL.nodata).mean((1, 2, 3))
    assert missing[0] < 0.1 and missing[3] == 1
    assert tile == "border" or 0.4 < missing[1] < 0.6


@both_tiles
@pytest.mark.parametrize("year", service.EUCROPMAP_YEARS)
def test_the_label_is_the_map(ask, tile, year):
    found = ask_label(ask, tile, year)
    np.testing.assert_array_equal(found, label_direct(tile, year))
    # Codes beyond a byte, and holes.
    assert found.max() == 800 and (found == 0).any()


def test_pieces_make_up_the_whole(ask):
    whole = pieces.Piece("cube", "s2", 0, len(PERIODS) - 1, 0, 0, 128, 128, "source", True)
    parts = [whole]
    while parts[0].width > 64:
        parts = [part for piece in parts for part in pieces.split(piece)]
    assert len(parts) == 4 * len(PERIODS)
    image = graphs.s2_image(catalogue.BORDER, PERIODS, S2Options())
    found = np.zeros((len(PERIODS), 128, 128, len(service.OPTICAL.bands) + 1), np.int16)
    for part in parts:
        pixels = ask.pixels(image, part.bands, pieces.grid_of(part, catalogue.BORDER))
        found[(part.first, *part.window)] = pixels
    expected, counts = s2_direct("border", S2Options())
    np.testing.assert_array_equal(found[..., :-1], expected)
    np.testing.assert_array_equal(found[..., -1], counts)


def test_the_orbits_are_chosen_from_what_the_server_lists(ask):
    tile = catalogue.SWATH
    table = ask.value(graphs.orbit_table(tile, PERIODS, S1Options()))
    # EAST covers half of the tile; of the scenes in the catalogue three are of other modes.
    shares = {(orbit, direction): share for _, orbit, direction, _, share in table}
    assert shares[88, "ASCENDING"] == pytest.approx(0.5, abs=0.01)
    assert shares[161, "ASCENDING"] == pytest.approx(1, abs=0.001)
    counted = {key: sum(tuple(row[1:3]) == key for row in table) for key in shares}
    assert counted == {(o, d): len(days) for o, d, _, _, days in catalogue.S1_PASSES}
    # Only orbit 161 sees all of the tile, in two months; 88 sees half of it in three.
    assert radar_orbits.choose_orbits(table, PERIODS) == ("ascending", (161, 88))


def test_scenes_are_counted_by_half_open_months(ask):
    # April: 3 of one orbit, 4 of the other, in two zones each; May: 3 and 4 (one at its very
    # start); 31 May too; June: 2 of one orbit.
    counts = ask.value(graphs.scene_counts(catalogue.BORDER, PERIODS))
    assert counts == [2 * (3 + 4), 2 * (4 + 4), 2 * 2, 0]


def _first_on_top(collection):
    return graph_server.mosaic(collection[::-1])


def _without(field):
    """`Filter.equals` that lets everything pass where it should look at `field`."""
    honest = graph_server.ALGORITHMS["Filter.equals"]

    def algorithm(leftField, rightValue):
        return (lambda image: True) if leftField == field else honest(leftField, rightValue)

    return algorithm


def _closed(leftValue, rightField):
    """A period that holds its end, too."""
    return lambda image: leftValue[0] <= image.get(rightField) <= leftValue[1]


def _one_zone(id):
    images = graph_server._collection(id)
    return tuple(i for i in images if not i.get("system:index").endswith("T32ULV"))


def _any_image(input, imageCollection, linkedBands):
    bands = graph_server.select(imageCollection[0], linkedBands).bands
    return dataclasses.replace(input, bands={**input.bands, **bands})


def _first_band(image, reducer):
    return graph_server.rename(graph_server.select(image, list(image.bands)[:1]), [reducer.name])


def _always(*_, **__):
    return graph_server.constant(1)


def _middle(stack):
    return np.nanmedian(stack, axis=0)


MUTANTS = {
    "s2": {
        "clouds stay": ("Image.gte", _always),
        "cloud score of another scene": ("Image.linkCollection", _any_image),
        "periods hold their end": ("Filter.dateRangeContains", _closed),
        "one zone only": ("ImageCollection.load", _one_zone),
        "footprints ignored": ("Image.updateMask", lambda image, mask: image),
    },
    "s2 by scl": {"clouds stay": ("Image.remap", _always)},
    "clear": {
        "clouds stay": ("Image.gte", _always),
        "one zone only": ("ImageCollection.load", _one_zone),
        "one band is counted": ("Image.reduce", _first_band),
    },
    "s1": {
        "border noise stays": ("Image.gte", _always),
        "orbits in one mean": ("Filter.equals", _without("relativeOrbitNumber_start")),
        "passes in one mean": ("Filter.equals", _without("orbitProperties_pass")),
        "last orbit wins": ("ImageCollection.mosaic", _first_on_top),
        "median": (
            "reduce.mean",
            lambda collection: graph_server.reduce_collection(collection, compute=_middle),
        ),
    },
    "label": {"first image wins": ("ImageCollection.mosaic", _first_on_top)},
}


def _both(ask, sensor, tile, **more):
    """What the server yields and what we compute."""
    scl = S2Options(mask="scl")
    if sensor == "s2":
        return ask_s2(ask, tile, S2Options(), **more)[0], s2_direct(tile, S2Options())[0]
    if sensor == "clear":
        return ask_s2(ask, tile, S2Options(), **more)[1], s2_direct(tile, S2Options())[1]
    if sensor == "s2 by scl":
        return ask_s2(ask, tile, scl, **more)[0], s2_direct(tile, scl)[0]
    if sensor == "s1":
        return ask_s1(ask, tile, S1Options(), **more), s1_direct(tile, S1Options())
    return ask_label(ask, tile, 2022, **more), label_direct(tile, 2022)


@pytest.mark.parametrize(
    "sensor, mutant", [(sensor, mutant) for sensor, all_ in MUTANTS.items() for mutant in all_]
)
def test_a_wrong_reading_shows(ask, monkeypatch, sensor, mutant):
    monkeypatch.setitem(graph_server.ALGORITHMS, *MUTANTS[sensor][mutant])
    found, expected = _both(ask, sensor, "border")
    print(f"\n{sensor}, {mutant}: {differing(found, expected):.1%} differ")
    least = 0 if sensor == "clear" else 1  # a count may be wrong by one only
    assert largest(found, expected) > least and differing(found, expected) > 0.01


@both_tiles
@pytest.mark.parametrize("sensor", ["s2", "clear", "s1", "label"])
def test_half_a_pixel_shows(ask, sensor, tile):
    found, expected = _both(ask, sensor, tile, moved=5.0)
    print(f"\n{sensor}, {tile}, half a pixel: {differing(found, expected):.1%} differ")
    # Counts change at the edges of clouds only.
    least = 0.03 if sensor == "clear" else 0.1
    assert largest(found, expected) > 1 and differing(found, expected) > least


def test_what_is_not_known_is_refused(ask, offline_ee):
    ee, grid = offline_ee, _grid(catalogue.SWATH)
    with pytest.raises(Fatal, match="Image.sqrt"):
        ask.pixels(ee.Image(1).sqrt().toInt16(), ["constant"], grid)
    with pytest.raises(Fatal, match="not found"):
        ask.pixels(ee.ImageCollection("NO/SUCH").mosaic(), ["B2"], grid)
    # The reduction of nothing has no bands.
    nothing = ee.ImageCollection(service.S2).filterDate("2022-07-01", "2022-08-01").mosaic()
    with pytest.raises(Fatal, match="did not match any bands"):
        ask.pixels(nothing, ["B2"], grid)
    # A known one with an argument that is not.
    with pytest.raises(Fatal, match="minBucketWidth"):
        reducer = ee.Reducer.median(maxRaw=512, minBucketWidth=1)
        ask.pixels(ee.ImageCollection(service.S2).reduce(reducer), ["B2_median"], grid)


def test_every_algorithm_of_the_graphs_is_known_and_no_other():
    assert set(graph_server.ALGORITHMS) == graphs.ALGORITHMS


def test_unmask_ends_at_the_footprint_unless_told_otherwise(ask, offline_ee):
    ee, grid = offline_ee, _grid(catalogue.SWATH)
    scenes = ee.ImageCollection(service.S2).filterDate("2022-04-01", "2022-04-02")
    scene = scenes.select(["B2"]).mosaic()
    kept, widened = (
        ask.pixels(scene.unmask(7, same).toInt16(), ["B2"], grid)[..., 0] for same in (True, False)
    )
    # EAST begins in the middle of the tile; masked pixels come as 0.
    assert (kept[:, :40] == 0).all() and (widened[:, :40] == 7).all()
    np.testing.assert_array_equal(kept[:, -40:], widened[:, -40:])


def test_ee_itself_is_answered(server, offline_ee, guard, monkeypatch):
    from ee import deprecation

    ee = offline_ee
    guard.only(server.url)
    # Else Initialize looks up an address outside.
    monkeypatch.setattr(deprecation, "_FetchDataCatalogStac", dict)
    ee.Reset()
    ee.Initialize(credentials=None, url=server.url, project="test")
    deprecation.deprecated_assets = {"": None}
    image = graphs.label_image(catalogue.SWATH, 2018)
    asked = {"fileFormat": "NUMPY_NDARRAY", "grid": _grid(catalogue.SWATH)}
    found = ee.data.computePixels({"expression": image, **asked})
    np.testing.assert_array_equal(found["label"], label_direct("swath", 2018))
    assert graphs.scene_counts(catalogue.SWATH, PERIODS[3:]).getInfo() == [0]
