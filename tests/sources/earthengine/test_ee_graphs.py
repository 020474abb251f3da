import ast
import datetime as dt
import json
import os
import pathlib
import subprocess
import sys

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, periods
from cropmap_jax.sources.earthengine import graphs, options, pieces, service, templates

TILE = grid.tile_geobox(32631, 412, 4000)
MONTHS = periods.month_periods(dt.date(2017, 12, 1), dt.date(2018, 2, 1))
S1, S2 = options.S1Options(), options.S2Options()
UNCOUNTED = options.S2Options(count=False)


@pytest.fixture(autouse=True)
def nothing_is_evaluated(offline_ee):
    """Graphs are built without a server: one that asks for a value fails."""


class Call(dict):
    """A call in a graph: its arguments, and the name of its algorithm."""

    def __init__(self, name, arguments):
        super().__init__(arguments)
        self.name = name

    def __repr__(self):
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in sorted(self.items()))})"


def read(value) -> object:
    """A graph with its references resolved: calls, lists, constants; "?" for a mapped image."""
    expression = templates.encode(value)
    nodes = expression["values"]

    def resolve(node):
        (kind, content), *rest = node.items()
        assert not rest, node
        if kind == "valueReference":
            return resolve(nodes[content])
        if kind == "functionDefinitionValue":
            return resolve(nodes[content["body"]])
        if kind == "functionInvocationValue":
            arguments = content["arguments"]
            return Call(content["functionName"], {k: resolve(v) for k, v in arguments.items()})
        if kind == "arrayValue":
            return [resolve(v) for v in content["values"]]
        return "?" if kind == "argumentReference" else content

    return resolve(nodes[expression["result"]])


def calls(value, name=None) -> list[Call]:
    """All calls in a resolved graph, outermost first; those of one algorithm if named."""
    found = []
    if isinstance(value, Call) and name in (None, value.name):
        found.append(value)
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, dict | list):
            found += calls(part, name)
    return found


def chain(value: Call, *keys: str) -> list[str]:
    """Names of the calls from the outermost inwards along the argument that holds the image."""
    names = []
    while isinstance(value, Call):
        names.append(value.name)
        value = next((value[key] for key in keys if key in value), None)
    return names


def spans(value) -> list[tuple[str, str]]:
    return [(call["start"], call["end"]) for call in calls(value, "DateRange")]


def names_of(value) -> list[str]:
    return calls(value, "Image.rename")[0]["names"]


def _collections(graph) -> set[str]:
    return {call["id"] for call in calls(graph, "ImageCollection.load")}


IMAGE = ("input", "value", "image", "image1", "collection")


def all_graphs():
    few = options.S2Options("scl", max_cloud=80)
    linear = options.S1Options(service.S1_LINEAR, "ascending")
    return {
        "s2": graphs.s2_image(TILE, MONTHS, S2),
        "s2 uncounted": graphs.s2_image(TILE, MONTHS, UNCOUNTED),
        "s2 scl": graphs.s2_image(TILE, MONTHS, few),
        "s1": graphs.s1_image(TILE, MONTHS, (37, 110), "descending", S1),
        "s1 linear": graphs.s1_image(TILE, MONTHS, (37, 110), "descending", linear),
        "label": graphs.label_image(TILE, 2018),
        "orbits": graphs.orbit_table(TILE, MONTHS, S1),
        "orbits ascending": graphs.orbit_table(TILE, MONTHS, linear),
        "counts": graphs.scene_counts(TILE, MONTHS),
        "plan": graphs.plan_table(TILE, MONTHS, S1),
    }


def test_the_list_of_algorithms_is_what_the_graphs_call():
    used = {call.name for value in all_graphs().values() for call in calls(read(value))}
    assert used == graphs.ALGORITHMS


def test_every_image_ends_in_int16_with_nodata_beyond_the_footprints():
    every = all_graphs()
    for name in ("s2", "s2 uncounted", "s2 scl", "s1", "s1 linear", "label"):
        last = read(every[name])
        assert last.name == "Image.toInt16", name
        unmask = last["value"]
        assert unmask.name == "Image.unmask" and unmask["sameFootprint"] is False, name
        nodata = pieces.NO_CODE if name == "label" else service.OPTICAL.nodata
        assert unmask["value"] == Call("Image.constant", {"value": nodata}), name


def test_values_are_rounded_half_up_and_clipped_before_nodata_is_filled_in():
    for value in (all_graphs()["s2"], all_graphs()["s1"]):
        graph = read(value)
        expected = ["Image.toInt16", "Image.unmask", "Image.clamp", "Image.floor", "Image.add"]
        assert chain(graph, *IMAGE)[:5] == expected
        clamp = graph["value"]["input"]
        assert (clamp["low"], clamp["high"]) == (-32767, 32767)  # Sensor.encode clips to the same.
        assert clamp["input"]["value"]["image2"]["value"] == 0.5


def test_periods_are_half_open_and_in_order():
    expected = [("2017-12-01", "2018-01-01"), ("2018-01-01", "2018-02-01")]
    expected.append(("2018-02-01", "2018-03-01"))
    assert spans(read(graphs.s2_image(TILE, MONTHS, UNCOUNTED))) == expected
    # Median and count are of the same.
    twice = [span for span in expected for _ in range(2)]
    assert spans(read(graphs.s2_image(TILE, MONTHS, S2))) == twice
    assert spans(read(graphs.s1_image(TILE, MONTHS, (37,), "ascending", S1))) == expected
    assert spans(read(graphs.scene_counts(TILE, MONTHS))) == expected
    assert spans(read(graphs.orbit_table(TILE, MONTHS, S1))) == [("2017-12-01", "2018-03-01")]
    for date in calls(read(graphs.s2_image(TILE, MONTHS, S2)), "Filter.dateRangeContains"):
        assert date["rightField"] == "system:time_start"
        assert "timeZone" not in date["leftValue"]  # UTC, the default.


def test_bands_are_named_by_period_and_band():
    s2 = names_of(read(graphs.s2_image(TILE, MONTHS, UNCOUNTED)))
    assert s2 == [f"p{i:02d}_{band}" for i in range(3) for band in service.OPTICAL.bands]
    s2 = names_of(read(graphs.s2_image(TILE, MONTHS, S2)))
    assert s2 == [
        f"p{i:02d}_{band}" for i in range(3) for band in (*service.OPTICAL.bands, "clear")
    ]
    s1 = names_of(read(graphs.s1_image(TILE, MONTHS, (37,), "ascending", S1)))
    assert s1 == ["p00_VV", "p00_VH", "p01_VV", "p01_VH", "p02_VV", "p02_VH"]
    assert names_of(read(graphs.label_image(TILE, 2018))) == ["label"]


LEAST = Call("Image.reduce", {"image": "?", "reducer": Call("Reducer.min", {})})


def test_clear_observations_are_counted_once_and_none_is_zero():
    graph = read(graphs.s2_image(TILE, MONTHS, S2))
    counts = [c for c in calls(graph, "ImageCollection.reduce") if "maxRaw" not in c["reducer"]]
    medians = [c for c in calls(graph, "ImageCollection.reduce") if "maxRaw" in c["reducer"]]
    assert [c["collection"]["collection"] for c in counts] == [c["collection"] for c in medians]
    unmasked = [c for c in calls(graph, "Image.unmask") if c["input"] in counts]
    assert len(unmasked) == len(MONTHS)
    for call in unmasked:
        assert call["sameFootprint"] is False
        assert call["value"] == Call("Image.constant", {"value": 0})
    assert not calls(read(graphs.s2_image(TILE, MONTHS, UNCOUNTED)), "Reducer.count")


def test_what_is_reduced_is_never_empty_and_of_one_type():
    for name, value in all_graphs().items():
        graph = read(value)
        reduced = calls(graph, "ImageCollection.reduce") + calls(graph, "reduce.mean")
        reduced += [] if name != "label" else calls(graph, "ImageCollection.mosaic")
        assert reduced or name in ("orbits", "orbits ascending", "counts", "plan")
        for call in reduced:
            merge = call["collection"]
            if call.get("reducer") == Call("Reducer.count", {}):
                # Of what the median is of, image by image.
                assert merge.name == "Collection.map" and merge["baseAlgorithm"] == LEAST
                merge = merge["collection"]
            assert merge.name == "ImageCollection.merge"
            (blank,) = merge["collection1"]["images"]
            assert chain(blank, *IMAGE)[:2] == ["Image.updateMask", "Image.toFloat"]
            assert blank["mask"] == Call("Image.constant", {"value": 0})
            bands = blank["image"]["value"]["names"]
            mapped = merge["collection2"]
            assert mapped.name == "Collection.map"
            body = mapped["baseAlgorithm"]
            assert body.name == "Image.toFloat"
            # The bands of the blank image are those that it is merged with.
            selected = [call["bandSelectors"] for call in calls(body, "Image.select")]
            assert bands in selected


def test_filters_come_before_arithmetic_which_drops_the_time():
    for value in all_graphs().values():
        for call in calls(read(value), "Collection.filter"):
            assert not calls(call["collection"], "Collection.map")


def test_s2_masks_by_cloud_score_of_the_same_scene():
    chosen = options.S2Options(threshold=0.65, count=False)
    graph = read(graphs.s2_image(TILE, MONTHS, chosen))
    masks = [c["mask"] for c in calls(graph, "Image.updateMask") if c["mask"].name == "Image.gte"]
    assert len(masks) == 3
    link = masks[0]["image1"]["input"]
    assert link["imageCollection"]["id"] == service.CLOUD_SCORE
    assert link["linkedBands"] == ["cs_cdf"] == masks[0]["image1"]["bandSelectors"]
    assert link["input"] == "?" and "matchPropertyName" not in link  # system:index, the default.
    assert masks[0]["image2"]["value"] == 0.65
    assert not calls(graph, "Image.remap")


def test_s2_masks_by_the_classes_of_the_scene():
    chosen = options.S2Options("scl", scl_masked=(9, 3), count=False)
    graph = read(graphs.s2_image(TILE, MONTHS, chosen))
    remaps = calls(graph, "Image.remap")
    assert len(remaps) == 3
    assert (remaps[0]["from"], remaps[0]["to"], remaps[0]["defaultValue"]) == ([3, 9], [0, 0], 1)
    assert remaps[0]["image"]["bandSelectors"] == ["SCL"]
    assert not calls(graph, "Image.linkCollection")


def test_s2_is_an_exact_median_of_scenes_that_touch_the_tile():
    graph = read(graphs.s2_image(TILE, MONTHS, UNCOUNTED))
    for call in calls(graph, "ImageCollection.reduce"):
        assert call["reducer"] == Call("Reducer.median", {"maxRaw": graphs.MAX_RAW})
        assert _collections(call) == {service.S2, service.CLOUD_SCORE}
        (of_scenes,) = {
            load["id"]
            for found in calls(call, "Collection.filter")
            for load in calls(found, "ImageCollection.load")
        }
        assert of_scenes == service.S2
    assert len(calls(graph, "Filter.intersects")) == 3
    assert not calls(graph, "Filter.lessThanOrEquals")  # max_cloud 100 keeps scenes without it.
    fewer = read(graphs.s2_image(TILE, MONTHS, options.S2Options(max_cloud=60)))
    (call, *_) = calls(fewer, "Filter.lessThanOrEquals")
    assert (call["leftField"], call["rightValue"]) == ("CLOUDY_PIXEL_PERCENTAGE", 60)


def _equals(graph) -> list[tuple]:
    return [(c["leftField"], c["rightValue"]) for c in calls(graph, "Filter.equals")]


def test_s1_keeps_one_direction_and_a_fixed_order_of_orbits():
    graph = read(graphs.s1_image(TILE, MONTHS, (37, 110, 8), "descending", S1))
    mosaics = calls(graph, "ImageCollection.mosaic")
    assert len(mosaics) == 3
    for mosaic in mosaics:
        found = [value for key, value in _equals(mosaic) if key == "relativeOrbitNumber_start"]
        assert found == [8, 110, 37]  # The last of a mosaic is on top.
        directions = {value for key, value in _equals(mosaic) if key == "orbitProperties_pass"}
        assert directions == {"DESCENDING"}
        assert {("instrumentMode", "IW"), ("resolution", "H")} <= set(_equals(mosaic))
        lists = calls(mosaic, "Filter.listContains")
        assert {c["rightValue"] for c in lists} == {"VV", "VH"}
        assert {c["leftField"] for c in lists} == {"transmitterReceiverPolarisation"}


def test_s1_is_averaged_in_power_and_masked_where_either_band_is_noise():
    graph = read(graphs.s1_image(TILE, MONTHS, (37,), "ascending", S1))
    (body, *_) = [c["baseAlgorithm"] for c in calls(graph, "Collection.map")]
    masked = body["value"]
    assert chain(masked, *IMAGE) == [
        "Image.updateMask",
        "Image.exp",
        "Image.multiply",
        "Image.select",
    ]
    factor = masked["image"]["value"]["image2"]["value"]
    assert factor == pytest.approx(0.23025850929940458, rel=1e-15)  # ln(10) / 10
    gte = masked["mask"]
    assert gte.name == "Image.gte" and gte["image2"]["value"] == -30
    assert gte["image1"]["reducer"] == Call("Reducer.min", {})
    assert gte["image1"]["image"]["bandSelectors"] == ["VV", "VH"]
    # dB x 100 = 1000 log10(power), once, after the mosaic.
    (log,) = calls(graph, "Image.log10")
    assert calls(log, "ImageCollection.mosaic")
    (scaled,) = [c for c in calls(graph, "Image.multiply") if calls(c, "Image.log10")]
    assert scaled["image2"]["value"] == 1000


def test_s1_that_is_linear_already_is_left_so():
    chosen = options.S1Options(service.S1_LINEAR, border_db=-20)
    graph = read(graphs.s1_image(TILE, MONTHS, (37,), "ascending", chosen))
    assert not calls(graph, "Image.exp")
    assert _collections(graph) == {service.S1_LINEAR}
    (border, *_) = calls(graph, "Image.gte")
    assert border["image2"]["value"] == pytest.approx(0.01)


def test_s1_without_orbits_is_missing_everywhere():
    graph = read(graphs.s1_image(TILE, MONTHS, (), "ascending", S1))
    assert len(names_of(graph)) == 6
    assert not calls(graph, "ImageCollection.load")
    assert len(calls(graph, "ImageCollection.mosaic")) == 3


def test_the_label_is_the_mosaic_of_its_year():
    graph = read(graphs.label_image(TILE, 2022))
    assert spans(graph) == [("2022-01-01", "2023-01-01")]
    (mosaic,) = calls(graph, "ImageCollection.mosaic")
    assert mosaic["collection"]["collection2"]["baseAlgorithm"]["value"]["bandSelectors"] == [
        "classification"
    ]
    assert _collections(graph) == {service.EUCROPMAP}
    with pytest.raises(ValueError, match="label.year: expected one of 2018, 2022, found 2020"):
        graphs.label_image(TILE, 2020)


def test_the_outline_is_the_grid_in_degrees():
    (outline, *_) = calls(read(graphs.label_image(TILE, 2018)), "GeometryConstructors.Polygon")
    (ring,) = outline["coordinates"]
    assert ring[0] == ring[-1] and len(ring) == 5
    assert outline["geodesic"] is False and "crs" not in outline
    # Tile (412, 4000) of zone 31 begins at x = 527,360 m and y = 5,120,000 m, 27,360 m east of the
    # meridian of 3 degrees, at 46.2 degrees north, where a degree is about 77.2 x 111.2 km.
    west, south = ring[0]
    assert west == pytest.approx(3 + 27_360 / 77_200, abs=2e-3)
    assert south == pytest.approx(46.234, abs=5e-3)
    east, north = ring[2]
    assert (east - west) * 77_200 == pytest.approx(1280, rel=0.02)
    assert (north - south) * 111_200 == pytest.approx(1280, rel=0.02)
    assert all(value == round(value, 6) for place in ring for value in place)


def test_a_region_may_be_given_in_degrees():
    graph = read(graphs.scene_counts((4.0, 50.0, 4.5, 50.25), MONTHS))
    (outline, *_) = calls(graph, "GeometryConstructors.Polygon")
    assert outline["coordinates"] == [[[4, 50], [4.5, 50], [4.5, 50.25], [4, 50.25], [4, 50]]]
    assert [c.name for c in graph] == ["Collection.size"] * 3
    assert _collections(graph) == {service.S2}


def test_the_orbit_table_lists_scenes_of_the_direction_asked_for():
    both = read(graphs.orbit_table(TILE, MONTHS, S1))
    columns = calls(both, "Collection.reduceColumns")[0]
    assert columns["reducer"] == Call("Reducer.toList", {"tupleSize": 5})
    assert columns["selectors"] == [
        "system:time_start",
        "relativeOrbitNumber_start",
        "orbitProperties_pass",
        "platform_number",
        "covered",
    ]
    assert "orbitProperties_pass" not in dict(_equals(both))
    one = read(graphs.orbit_table(TILE, MONTHS, options.S1Options(direction="descending")))
    assert dict(_equals(one))["orbitProperties_pass"] == "DESCENDING"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: graphs.s2_image(TILE, (), S2), "periods: expected at least one, found none"),
        (lambda: graphs.s1_image(TILE, (), (37,), "ascending", S1), "periods: expected at least"),
        (lambda: graphs.orbit_table(TILE, (), S1), "periods: expected at least one"),
        (lambda: graphs.scene_counts(TILE, ()), "periods: expected at least one"),
        (lambda: graphs.s1_image(TILE, MONTHS, (37,), "auto", S1), "direction: .* found 'auto'"),
        (lambda: graphs.scene_counts((179.0, 1.0, -179.0, 2.0), MONTHS), "antimeridian"),
        (lambda: graphs.scene_counts((179.0, 1.0, 181.0, 2.0), MONTHS), "antimeridian"),
        (lambda: graphs.scene_counts((4.0, 51.0, 5.0, 50.0), MONTHS), "south < north"),
        # On the equator zone 60 ends 333,958 m east of its meridian, in column 651.
        (lambda: graphs.s2_image(grid.tile_geobox(32660, 651, 0), MONTHS, S2), "antimeridian"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_digest_follows_every_part_of_a_graph():
    other = grid.tile_geobox(32631, 413, 4000)
    digests = [templates.graph_digest(value) for value in all_graphs().values()]
    digests += [
        templates.graph_digest(value)
        for value in (
            graphs.s2_image(other, MONTHS, S2),
            graphs.s2_image(TILE, MONTHS[:2], S2),
            graphs.s2_image(TILE, MONTHS, options.S2Options(threshold=0.61)),
            graphs.s2_image(TILE, MONTHS, options.S2Options("scl")),
            graphs.s1_image(TILE, MONTHS, (110, 37), "descending", S1),
            graphs.s1_image(TILE, MONTHS, (37, 110), "ascending", S1),
            graphs.s1_image(TILE, MONTHS, (37,), "ascending", options.S1Options(border_db=-25)),
            graphs.label_image(TILE, 2022),
        )
    ]
    assert len(set(digests)) == len(digests)
    again = [templates.graph_digest(value) for value in all_graphs().values()]
    assert again == digests[: len(again)]


def test_a_template_is_the_graph_of_every_place():
    def make(geobox):
        return graphs.s1_image(geobox, MONTHS, (37, 110), "ascending", S1)

    template = templates.Template(make)
    # The tile that templates are made for, its neighbour (they share two corners), another zone
    # and hemisphere, and another grid.
    european = GeoBox((100, 200), Affine(10, 0, 3_900_000, 0, -10, 3_100_000), "EPSG:3035")
    tiles = [grid.tile_geobox(32631, col, 4000) for col in (412, 413)]
    for geobox in [*tiles, grid.tile_geobox(32721, 300, 5000), european]:
        expression, digest = template.at(geobox)
        assert json.loads(expression) == templates.encode(make(geobox))
        assert digest == templates.graph_digest(make(geobox))
    with pytest.raises(ValueError, match="antimeridian"):
        template.at(grid.tile_geobox(32660, 651, 0))


def test_a_template_refuses_what_depends_on_more_than_the_place():
    with pytest.raises(ValueError, match="template: expected a graph that depends on"):
        templates.Template(
            lambda geobox: graphs.label_image(geobox, 2018 if geobox == TILE else 2022)
        )


_DIGESTS = """
import ee, ee.apitestcase, test_ee_graphs as tests
ee.apitestcase.ApiTestCase().InitializeApi()  # Offline, with the list of algorithms of the wheel.
print([tests.templates.graph_digest(value) for value in tests.all_graphs().values()])
"""


def test_the_digest_is_the_same_in_another_process():
    here = [templates.graph_digest(value) for value in all_graphs().values()]
    root, folder = pathlib.Path(__file__).parents[3], pathlib.Path(__file__).parent
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": f"{root}{os.pathsep}{folder}"}
    done = subprocess.run(
        [sys.executable, "-c", _DIGESTS], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == here


def test_nineteen_months_of_a_cube_are_a_small_request():
    months = periods.month_periods(dt.date(2017, 1, 1), dt.date(2018, 7, 1))
    assert len(months) == 19
    s2 = graphs.s2_image(TILE, months, S2)
    s1 = graphs.s1_image(TILE, months, (8, 37, 110, 139), "ascending", S1)
    sizes = [len(json.dumps(templates.encode(value))) for value in (s2, s1)]
    assert max(sizes) < 200_000, sizes
