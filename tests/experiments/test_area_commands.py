"""`sample_points` and `area` as a user starts them, from a map to hectares with intervals."""

import json

import numpy as np
import pytest
from mapping import made_maps

from cropmap_jax.mapping import map_folder

TRUTH = made_maps.blocks((40, 60), seed=9)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("area")
    pixels = made_maps.blocks((40, 60))
    pixels[:2] = 255
    made_maps.write(
        root / "map",
        ("a", pixels[:, :30], made_maps.grid((40, 30))),
        ("b", pixels[:, 30:], made_maps.grid((40, 30), col=30)),
    )
    made_maps.provinces(root / "p.geojson", made_maps.grid((40, 60)))
    return root


def line_of(done) -> str:
    """The one line that a mistake costs."""
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and "Traceback" not in done.stderr
    return lines[0]


def answer(root, folder, name="answered.csv"):
    """Fills in what grows at each point, as somebody would who knows."""
    found = map_folder.open_map(root / "map")
    rows = made_maps.read_rows(folder / "points.csv")
    lon, lat = (np.array([float(row[key]) for row in rows]) for key in ("lon", "lat"))
    at = map_folder.locate(found, lon, lat)
    truth = TRUTH[at.row, at.col + 30 * at.cube]
    for row, value in zip(rows, truth, strict=True):
        row["reference"] = {0: "wheat", 1: "Sugar beet", 254: "none"}[int(value)]
    return made_maps.write_rows(folder / name, rows)


def test_from_a_map_to_hectares_with_intervals(world, starter):
    out = world / "sample"
    flags = [f"--map={world / 'map'}", f"--out={out}", "--format=csv", "--points=200"]
    done = starter.run("sample_points", *flags)
    assert done.returncode == 0, done.stderr
    assert "200 points; if classes are as accurate as expected" in done.stdout
    assert "1.2 ha without a prediction" in done.stdout and "next: write what grows" in done.stdout
    assert sorted(p.name for p in out.iterdir()) == ["design.json", "points.csv", "points.png"]
    rows = made_maps.read_rows(out / "points.csv")
    assert list(rows[0]) == ["id", "lon", "lat", "stratum", "reference", "note"]
    assert [row["id"] for row in rows] == [str(i + 1) for i in range(200)]

    points, design = answer(world, out), out / "design.json"
    flags = [f"--map={world / 'map'}", f"--points={points}", f"--design={design}"]
    done = starter.run("area", *flags, f"--provinces={world / 'p.geojson'}")
    assert done.returncode == 0, done.stderr
    assert "95 % interval" in done.stdout and "overall" in done.stdout
    value = json.loads((world / "map" / "area" / "area.json").read_text())
    whole = [row for row in value["areas"] if row["province"] == ""]
    truth = [(TRUTH[2:] == v).sum() / 100 for v in (0, 1, 254)]
    for row, hectares in zip(whole, truth, strict=True):
        assert row["low_ha"] < hectares < row["high_ha"]
    for name in ("West", "East"):
        own = [row for row in value["areas"] if row["province"] == name]
        assert sum(row["estimated_ha"] for row in own) == pytest.approx(11.4)
    for number, row in enumerate(whole):
        parts = [r["estimated_ha"] for r in value["areas"][3 + number :: 3]]
        assert sum(parts) == pytest.approx(row["estimated_ha"])
    table = made_maps.read_rows(world / "map" / "area" / "area.csv")
    assert len(table) == 9 and table[0]["class"] == "wheat"
    matrix = made_maps.read_rows(world / "map" / "area" / "matrix.csv")
    assert sum(float(v) for row in matrix for k, v in row.items() if k != "map") == pytest.approx(1)
    assert (world / "map" / "area" / "area.png").stat().st_size > 5000

    done = starter.run("sample_points", f"--map={world / 'map'}", f"--out={out}")
    assert "found design.json of an earlier sample, which may hold answers" in line_of(done)


def test_mapped_hectares_alone(world, starter):
    out = world / "mapped"
    done = starter.run("area", f"--map={world / 'map'}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "mapped hectares are pixels that were counted" in done.stdout
    assert "next: python -m experiments.sample_points" in done.stdout
    assert sorted(p.name for p in out.glob("[!.]*")) == ["area.csv", "area.json", "area.png"]
    rows = made_maps.read_rows(out / "area.csv")
    assert sum(float(row["mapped_ha"]) for row in rows) == pytest.approx(22.8)


def test_strata_of_provinces_and_of_no_data(world, starter):
    out = world / "by_province"
    flags = [f"--map={world / 'map'}", f"--out={out}", "--format=csv", "--by_province"]
    flags += [f"--provinces={world / 'p.geojson'}", "--no_data=stratum", "--minimum=10"]
    flags += ["--points=120", "--allocation=neyman", "--target=wheat", "--show_class"]
    done = starter.run("sample_points", *flags, "--users_accuracy=0.8")
    assert done.returncode == 0, done.stderr
    rows = made_maps.read_rows(out / "points.csv")
    assert {row["map_class"] for row in rows} == {"wheat", "sugarbeet", "none_of_these", "no_data"}
    value = json.loads((out / "design.json").read_text())
    assert {s["province"] for s in value["strata"]} == {"West", "East"}
    flags = [f"--map={world / 'map'}", f"--points={answer(world, out)}", f"--out={out / 'area'}"]
    flags += [f"--design={out / 'design.json'}", f"--provinces={world / 'p.geojson'}"]
    done = starter.run("area", *flags)
    assert done.returncode == 0, done.stderr
    assert "estimates are of all ground" in done.stdout
    found = json.loads((out / "area" / "area.json").read_text())
    whole = [row for row in found["areas"] if not row["province"]]
    assert sum(row["estimated_ha"] for row in whole) == pytest.approx(24.0)
    assert found["matrix"]["map"][-1] == "no_data"


@pytest.mark.parametrize(
    "verb, flags, message",
    [
        ("area", ["--points=POINTS"], "--points: expected --design with the design of the sample"),
        ("area", ["--design=x.json"], "--design: expected --points with it"),
        ("sample_points", ["--by_province"], "--by_province: expected --provinces with it"),
        ("sample_points", ["--target=oats"], "--target: expected a class of the map (wheat, suga"),
        ("sample_points", ["--users_accuracy=oats=0.9"], "'oats' is no class of the map"),
        ("sample_points", ["--users_accuracy=wheat=0.9"], "'sugarbeet' has no value"),
        ("sample_points", ["--users_accuracy=80"], "expected values above 0, up to 1, found '80'"),
    ],
)
def test_a_mistake_is_one_line(world, starter, verb, flags, message, tmp_path):
    made_maps.write_rows(tmp_path / "points.csv", [{"id": 1, "lon": 51, "lat": 35}])
    flags = [flag.replace("POINTS", str(tmp_path / "points.csv")) for flag in flags]
    done = starter.run(verb, f"--map={world / 'map'}", f"--out={tmp_path / 'out'}", *flags)
    assert message in line_of(done)
    assert not (tmp_path / "out").exists()


def test_a_map_of_no_data_alone(tmp_path, starter):
    made_maps.write(tmp_path / "map", ("a", np.full((8, 9), 255, np.uint8), made_maps.grid((8, 9))))
    done = starter.run("sample_points", f"--map={tmp_path / 'map'}")
    assert "expected pixels with a class, found no data alone" in line_of(done)


def test_the_benchmark_runs(world, tmp_path, capsys):
    import rasterio

    from benchmarks import area

    for name, cols in (("a", slice(0, 30)), ("b", slice(30, 60))):
        (tmp_path / name).mkdir()
        with rasterio.open(world / "map" / name / "crop.tif") as raster:
            profile = raster.profile | {"driver": "GTiff"}
        with rasterio.open(tmp_path / name / "truth.tif", "w", **profile) as raster:
            raster.write(TRUTH[:, cols], 1)
    flags = ["--map", str(world / "map"), "--truth", str(tmp_path), "--quick", "--points", "200"]
    found = area.main([*flags, "--provinces", str(world / "p.geojson")])
    assert {row[0] for row in found["rows"]} == {
        "overall", "users", "producers", "area", "area, West", "area, East"
    }  # fmt: skip
    assert "estimate ± 1.96 standard errors" in capsys.readouterr().out
