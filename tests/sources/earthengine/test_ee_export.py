"""The command, from a config to cubes, against the server that evaluates graphs over scenes."""

import pathlib

import graph_server
import numpy as np
import pytest
import test_ee_exact as exact

from cropmap_jax.geo import cube_io, grid
from cropmap_jax.geo.legend import EUCROPMAP, IGNORE
from cropmap_jax.geo.tiles import outlines

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = """
import runpy
from ml_collections import ConfigDict

def get_config():
    config = runpy.run_path({base!r})["get_config"]()
    config.regions = ConfigDict({{"here": {{
        "box": {box}, "country": "france", "harvest": "2022-08-01", "split": "train"}}}})
    config.months = ("2022-04-01", "2022-07-01")
    config.label.year = 2022
    return config
"""


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the command."""
    global export

    def export(config, cubes, *flags):
        return starter.run("export", f"--config={config}", f"--cubes={cubes}", *flags)


@pytest.fixture(scope="module")
def here(commands, tmp_path_factory):
    """A config of the two tiles that the catalogue has scenes of."""
    root = tmp_path_factory.mktemp("here")
    west, south, east, north = np.array([s.bounds for s in outlines(exact.TILES.values())]).T
    box = tuple(
        float(v)
        for v in (west.min() - 1e-4, south.min() - 1e-4, east.max() + 1e-4, north.max() + 1e-4)
    )
    base = str(CHECKOUT / "configs" / "export_eucropmap.py")
    (root / "here.py").write_text(CONFIG.format(base=base, box=box))
    return root / "here.py"


@pytest.fixture(scope="module")
def exported(here, tmp_path_factory):
    cubes = tmp_path_factory.mktemp("exported") / "cubes"
    with graph_server.GraphServer() as server:
        flags = ("--project=test", f"--endpoint={server.url}", "--credentials=anonymous")
        first = export(here, cubes, *flags)
        asked = list(server.asked)
        again = export(here, cubes, *flags)
        assert first.returncode == 0, first.stderr[-3000:]
        assert again.returncode == 0, again.stderr[-3000:]
        yield cubes, first, asked, again, server.asked[len(asked) :]


def test_cubes_are_what_composites_of_the_same_scenes_are(exported):
    cubes, *_ = exported
    infos = {info.cube_id: info for info in cube_io.list_cubes(cubes)}
    names = {
        name: f"2021-2022_{grid.tile_id(32631, *_place(box))}" for name, box in exact.TILES.items()
    }
    assert set(infos) == set(names.values())
    for tile, cube_id in names.items():
        info = infos[cube_id]
        assert info.geobox == exact.TILES[tile] and info.legend == EUCROPMAP
        raw = cube_io.read_raw(info.path, verify=True)
        options = exact.S2Options()
        s2, clear = exact.s2_direct(tile, options)
        np.testing.assert_array_equal(raw.s2, s2)
        np.testing.assert_array_equal(raw.clear, clear)
        made = info.source["facts"]["s1"]
        assert info.source["platforms"] == {"S1A": None}
        assert {name: list(own) for name, own in made["passes"].items()} == {
            p.name: ["S1A"] if p.start.month < 7 else [] for p in info.periods
        }
        expected = exact.s1_direct(
            tile, exact.S1Options(), tuple(made["orbits"]), made["direction"]
        )
        assert exact.largest(raw.s1, expected) <= 1
        codes = exact.label_direct(tile, 2022)
        label = EUCROPMAP.encode(np.ma.masked_equal(codes, 0), tile)
        np.testing.assert_array_equal(raw.label, label)
        assert (raw.label != IGNORE).any() and (raw.s2 == -32768).any()


def _place(box):
    return round(box.affine.c / grid.TILE_M), round(box.affine.f / grid.TILE_M) - 1


def test_requests_are_those_of_the_plan_and_none_is_sent_twice(here, exported):
    _, first, asked, again, asked_again = exported
    plan = export(here, "nowhere", "--plan")
    assert plan.returncode == 0, plan.stderr
    rows = {line.split()[0]: line.split() for line in plan.stdout.splitlines() if line.split()}
    planned = {kind: int(rows[kind][1]) for kind in ("orbits", "s1", "s2", "label")}
    assert planned == {"orbits": 2, "s1": 2, "s2": 2, "label": 2}
    assert asked.count("image:computePixels") == 6 and asked.count("value:compute") == 2
    assert asked_again == []
    assert rows["S1A"][1:] == ["2.5", "2.6", "2.5", "2.6"]
    assert "Sentinel-1 passes (mean)    S1A" in first.stdout
    assert "next: python -m experiments.build --dataset eucropmap --cubes" in first.stdout
    assert "2 cubes made" in first.stdout and "0 cubes made" in again.stdout
    assert not pathlib.Path("nowhere").exists()


def test_the_plan_of_a_project_counts_scenes(here, tmp_path):
    with graph_server.GraphServer() as server:
        done = export(
            here, tmp_path / "cubes", "--plan", "--project=test", f"--endpoint={server.url}",
            "--credentials=anonymous",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2022-04" in done.stdout and server.asked == ["value:compute"]
    # In April orbit 88 passes thrice, 161 and 37 twice, and 161 once the other way.
    (row,) = [line.split() for line in done.stdout.splitlines() if " S1A " in line]
    assert row[-4:] == ["8", "3", "4", "0"]


def test_a_pilot_measures_every_kind_of_request(here, tmp_path):
    with graph_server.GraphServer() as server:
        done = export(
            here, tmp_path / "cubes", "--pilot=1", "--project=test", f"--endpoint={server.url}",
            "--credentials=anonymous",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith("measured")]
    kinds = [row[0] for row in rows if row[0] != "time"]
    assert kinds == ["orbits", "s1", "s2", "label"]
    assert "seconds as a pilot measured" in done.stdout
    assert "next: the same command without --pilot" in done.stdout
    assert len(list(tmp_path.glob("cubes/*/item.json"))) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "project"),
        (
            ("--project=test", "--endpoint=http://127.0.0.1:9", "--credentials=anonymous"),
            "127.0.0.1",
        ),
        (("--project=test", "--endpoint=http://example.org"), "endpoint"),
        (("--project=test", "--credentials=/nowhere/key.json"), "/nowhere/key.json"),
        (("--project=test", "--cubes=gs://bucket/cubes"), "expected a path on this machine"),
        (("--project=test", "--cubes="), "--cubes: expected a path, found none"),
    ],
)
def test_what_stands_in_the_way_is_one_line(here, tmp_path, flags, said):
    done = export(here, tmp_path / "cubes", *flags)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and said in line
    assert not list(tmp_path.rglob("item.json"))


def test_months_that_are_added_make_the_cubes_of_a_whole_export(here, exported, tmp_path):
    cubes, short = tmp_path / "cubes", "--config.months=('2022-04-01','2022-05-31')"
    with graph_server.GraphServer() as server:
        flags = ("--project=test", f"--endpoint={server.url}", "--credentials=anonymous")
        first = export(here, cubes, *flags, short)
        asked = len(server.asked)
        plan = export(here, cubes, "--plan")
        grown = export(here, cubes, *flags)
    assert first.returncode == 0, first.stderr[-3000:]
    assert "appended to 2 of the cubes below: 4 periods are new, 4 are there" in plan.stdout
    assert "2 of them by appending" in grown.stdout, grown.stderr[-3000:]
    # Orbits, and one request for the new months of each sensor; labels are there.
    assert sorted(server.asked[asked:]) == 4 * ["image:computePixels"] + 2 * ["value:compute"]
    for file in cubes.glob("*/*.tif"):
        other = exported[0] / file.parent.name / file.name
        assert file.read_bytes() == other.read_bytes(), file
