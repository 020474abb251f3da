"""Which Sentinel-1 satellites are used: by rule, and by what the server lists and computes."""

import datetime as dt
import json

import catalogue
import graph_server
import numpy as np
import pytest
import test_ee_download as stand_in
import test_ee_exact as exact

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.periods import Period, month_periods
from cropmap_jax.sources import missing, radar_orbits, sentinel1
from cropmap_jax.sources.earthengine import (
    download,
    export,
    graphs,
    pieces,
    plan_text,
    planner,
    service,
    templates,
)
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.earthengine.options import LabelOptions, Options, S1Options
from cropmap_jax.sources.manifest import Manifest

UNLABELLED = LabelOptions("none")


def months(first: str, last: str) -> tuple[Period, ...]:
    return month_periods(dt.date.fromisoformat(first), dt.date.fromisoformat(last))


def target(spans, **more):
    place = {"geobox": catalogue.SWATH, "periods": spans, "cube_id": "c"}
    return stand_in.make_target(**{**place, **more})


@pytest.fixture(scope="module")
def listening():
    with graph_server.GraphServer() as server:
        yield server


@pytest.fixture
def server(listening, offline_ee, guard):
    guard.only(listening.url)
    listening.asked.clear()
    listening.client = Client(listening.url, "test", attempts=1)
    return listening


def ask(server, graph):
    return server.client.compute(templates.encode(graph))


# Names


@pytest.mark.parametrize("name", ["S1C", "s1c", "C", "Sentinel-1C", "sentinel 1c", " S1-C "])
def test_a_satellite_goes_by_several_names(name):
    assert S1Options(platforms=(name, "S1A")).platforms == ("S1A", "S1C")
    assert S1Options(platforms=["S1C", name]) == S1Options(platforms=("S1C",))


@pytest.mark.parametrize(
    "value, said",
    [
        (("S1A", "S1E"), "s1.platforms: expected .*S1A, S1B, S1C, S1D, found 'S1E'; did you mean"),
        (("S2A",), "found 'S2A'"),
        ((3,), "found 3"),
        ("S1A", "expected a list such as .* found 'S1A'"),
        (None, "found None"),
    ],
)
def test_an_unknown_satellite_is_one_line(value, said):
    with pytest.raises(ValueError, match=said) as raised:
        S1Options(platforms=value)
    assert "\n" not in str(raised.value)


# The rule


def test_no_satellite_at_all_is_said_before_anything_is_asked():
    config = {
        "kind": "regions",
        "months": ("2022-04-01", "2022-06-01"),
        "regions": {"here": {
            "box": (1.5, 48.0, 1.6, 48.1), "country": "france", "harvest": "2022-08-01",
        }},
        "label": {"kind": "eucropmap", "year": 2022},
        "s1": {"platforms": ("S1B", "S1C")},
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"between 2022-04-01 and 2022-07-01 .*found S1B, S1C"):
        export.read_config(config)
    found, options = export.read_config({**config, "s1": {"platforms": ["S1A", "S1B"]}})
    assert found and options.s1.platforms == ("S1A", "S1B")


# What the server lists and computes


def passes(server, spans, **options):
    table = ask(server, graphs.orbit_table(catalogue.SWATH, spans, S1Options(**options)))
    return sentinel1.count_passes(table, spans), radar_orbits.choose_orbits(table, spans)


def test_orbits_are_chosen_among_usable_scenes(server):
    may = months("2025-05-01", "2025-05-01")
    # Orbit 44 sees all of the tile, but only before 20 May and from 1C.
    assert passes(server, may) == ({"2025-05-01": {"S1A": 1, "S1C": 1}}, ("ascending", (15,)))
    found, (_, chosen) = passes(server, may, platforms=("S1C",))
    assert found == {"2025-05-01": {"S1C": 3}} and chosen == (44, 15)
    assert passes(server, months("2018-04-01", "2018-04-01"))[0]["2018-04-01"] == {
        "S1A": 2, "S1B": 1,
    }  # fmt: skip
    spring = months("2026-04-01", "2026-05-01")
    assert passes(server, spring)[0] == {"2026-04-01": {"S1A": 1, "S1D": 1}, "2026-05-01": {}}


@pytest.mark.parametrize("collection", service.S1_COLLECTIONS)
def test_pixels_are_of_usable_scenes_alone(server, collection):
    def pixels(**options):
        chosen = S1Options(collection, **options)
        image = graphs.s1_image(catalogue.SWATH, may, (15,), "ascending", chosen)
        grid = exact._grid(catalogue.SWATH)
        return server.client.fetch(templates.encode(image), ["p00_VV", "p00_VH"], grid)

    def mean(*times):
        scenes = [
            s for s in catalogue.scenes()[collection]
            if s.properties["system:time_start"] in [catalogue._milliseconds(t) for t in times]
        ]  # fmt: skip
        values = np.stack(
            [
                np.stack([exact.read(s.bands[b], "swath") for b in service.RADAR.bands], -1)
                for s in scenes
            ]
        )
        power = 10 ** (values / 10) if collection == service.S1_DB else values
        power[power.min(-1) < 10**-3.0 * (1 - 1e-6)] = np.nan
        seen = np.isfinite(power).sum(0)
        average = np.nansum(power, 0, where=seen > 0) / np.maximum(seen, 1)
        whole = np.floor(1000 * np.log10(np.where(seen, average, np.nan)) + 0.5)
        return np.where(np.isfinite(whole), whole, service.OPTICAL.nodata).astype(np.int16)

    may = months("2025-05-01", "2025-05-01")
    a, early = dt.datetime(2025, 5, 6, 5, 50), dt.datetime(2025, 5, 19, 23, 59, 59)
    late = dt.datetime(2025, 5, 20)
    assert exact.largest(pixels(), mean(a, late)) <= 1
    assert exact.largest(pixels(platforms=("S1A", "S1C")), mean(a, early, late)) <= 1
    assert exact.largest(pixels(platforms=("S1A",)), mean(a)) <= 1
    assert exact.largest(mean(a, late), mean(a, early, late)) > 100


def test_a_plan_counts_both_sensors_in_one_request(server):
    spans = months("2025-05-01", "2025-06-01")
    found = [target(spans)]
    scenes, seen = export.count_scenes(found, S1Options(), server.client)
    assert server.asked == ["value:compute"]
    (place,) = planner.places(found)
    assert scenes == {place.name: dict.fromkeys(spans, 0)}
    assert seen == {place.name: {spans[0]: {"S1A": 1, "S1C": 1}, spans[1]: {}}}
    options = Options(label=UNLABELLED)
    text = plan_text.text(planner.make_plan(found, options, scenes=scenes, passes=seen))
    assert "S1C" in text and f"no pass at all: {place.name} 2025-06-01" in text
    assert text.endswith("note: images of S1C are not calibrated before 2025-05-20; left out")


# The record


def make(server, folder, options, spans):
    """Exports a cube whose orbits are asked of the server, its pixels of a stand-in."""
    pixels = stand_in.FakeClient()
    with Manifest(folder) as book:
        source = export.GraphSource(options, server.client, book)
        summary = download.run([target(spans)], options, source, pixels, book, folder, in_flight=2)
        return summary, missing.table(list(book.cubes()), service.SENSORS), pixels


def test_a_cube_records_which_satellites_made_each_composite(server, tmp_path):
    spans = months("2025-05-01", "2025-06-01")
    options = Options(label=UNLABELLED)
    summary, report, _ = make(server, tmp_path, options, spans)
    assert summary.whole == 1 and server.asked == ["value:compute"]
    source = json.loads((tmp_path / "c" / "item.json").read_text())["properties"]["cropmap:source"]
    assert source["platforms"] == {"S1A": None, "S1C": "2025-05-20"}
    assert source["options"]["s1"]["platforms"] == "calibrated"
    assert source["facts"]["s1"] == {
        "direction": "ascending", "orbits": [15],
        "passes": {"2025-05-01": {"S1A": 1, "S1C": 1}, "2025-06-01": {}},
    }  # fmt: skip
    assert report.splitlines()[-3:] == [
        "Sentinel-1 passes (mean)    S1A    S1C",
        "2025-05                     1.0    1.0",
        "2025-06                     0.0    0.0",
    ]
    again, _, pixels = make(server, tmp_path, options, spans)
    assert again.kept == 1 and not pixels.asked and server.asked == ["value:compute"]


def test_other_satellites_are_another_cube(server, tmp_path):
    spans = months("2025-05-01", "2025-05-01")
    default, both = Options(label=UNLABELLED), Options(S1Options(platforms=("S1A", "S1C")),
                                                       label=UNLABELLED)  # fmt: skip
    make(server, tmp_path / "default", default, spans)
    with pytest.raises(ValueError, match=r"'platforms': 'calibrated'.* there, .*'S1A', 'S1C'"):
        make(server, tmp_path / "default", both, spans)
    make(server, tmp_path / "both", both, spans)
    facts = cube_io.read_info(tmp_path / "both" / "c").source["facts"]["s1"]
    assert facts["orbits"] == [44, 15] and facts["passes"] == {"2025-05-01": {"S1A": 1, "S1C": 3}}
    assert facts["uncalibrated"] == {"2025-05-01": {"S1C": 2}}


def test_pieces_of_other_satellites_are_never_used(server, tmp_path):
    spans = months("2025-05-01", "2025-05-01")
    keys = []
    for chosen in ((), ("S1A",), ("S1A", "S1C"), ("S1C",)):
        with Manifest(tmp_path) as book:
            options = Options(S1Options(platforms=chosen), label=UNLABELLED)
            source = export.GraphSource(options, server.client, book)
            _, digest, *_ = source(target(spans), "s1")
            keys += [p.key for p in pieces.pieces_of(target(spans), {"s1": digest})]
    assert len(set(keys)) == 4 and server.asked == ["value:compute"] * 4


def test_a_rule_of_another_date_is_another_cube(server, tmp_path, monkeypatch):
    spans = months("2025-05-01", "2025-05-01")
    make(server, tmp_path, Options(label=UNLABELLED), spans)
    later = sentinel1.Platform("S1C", "C", dt.date(2024, 12, 5), dt.date(2025, 5, 21))
    moved = tuple(later if p.name == "S1C" else p for p in sentinel1.PLATFORMS)
    monkeypatch.setattr(sentinel1, "PLATFORMS", moved)
    with pytest.raises(ValueError, match=r"s1.platforms: .*2025-05-20.* there, .*2025-05-21"):
        make(server, tmp_path, Options(label=UNLABELLED), spans)


def test_nothing_seen_is_recorded_as_nothing(server, tmp_path):
    spans = months("2023-04-01", "2023-04-01")
    make(server, tmp_path, Options(label=UNLABELLED), spans)
    facts = cube_io.read_info(tmp_path / "c").source["facts"]["s1"]
    assert facts == {"direction": "ascending", "orbits": [], "passes": {"2023-04-01": {}}}
