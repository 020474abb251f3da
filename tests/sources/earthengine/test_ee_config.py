"""What a config of an export may say, and what it is told otherwise."""

import pytest
import test_ee_download as stand_in

from cropmap_jax.geo import files
from cropmap_jax.sources.earthengine import export

REGION = {
    "box": (1.5, 48.0, 1.6, 48.1),
    "country": "france",
    "harvest": "2018-08-01",
    "split": "train",
}


def config(**changes):
    return {"kind": "regions", "regions": {"here": REGION}, **changes}


def test_a_config_is_targets_and_options():
    found, options = export.read_config(config(s1={"direction": "ascending"}, lead_days=[30, 60]))
    assert {t.province for t in found} == {"france"} and len(found[0].periods) == 7
    assert options.s1.direction == "ascending" and options.s2.mask == "cloud_score"


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"kind": "region"}, "config.kind: expected one of regions, tiles, found 'region'"),
        ({"ancor": "months"}, "config: expected keys .* found 'ancor'; did you mean 'anchor'"),
        ({"tiles": "t.geojson"}, "config: expected keys .* found 'tiles'"),
        ({"s1": {"platform": ()}}, "config.s1: .* 'platform'; did you mean 'platforms'"),
        ({"s2": {"treshold": 1}}, "config.s2: .* 'treshold'; did you mean 'threshold'"),
        ({"s2": "scl"}, "config.s2: expected settings, found 'scl'"),
        ({"label": {"kind": "eucropmap", "yaer": 2018}}, "config.label: .*did you mean 'year'"),
        ({"seed": -1}, "config.seed: expected a whole number of 0 or more, found -1"),
        ({"seed": 1.5}, "config.seed: .* found 1.5"),
        ({"fractions": {"train": float("nan")}}, "fractions: expected shares"),
        ({"num_periods": 10**9}, "num_periods: .* found 1000000000"),
        ({"months": ("2018-01-01", "9999-12-31")}, "months: expected 3660 days at most"),
        ({"regions": {"x": {**REGION, "harvest": "0001-01-01"}}}, "region x: expected a harvest"),
        ({"kind": "tiles", "regions": {}}, "config: expected keys among .*tiles"),
    ],
)
def test_what_is_wrong_is_one_line(changes, said):
    with pytest.raises(ValueError, match=said) as raised:
        export.read_config(config(**changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", ["s3://bucket/tiles.geojson", "/vsicurl/http://x/t.geojson"])
def test_tiles_lie_on_this_machine(path):
    with pytest.raises(ValueError, match="config.tiles .*expected a path on this machine"):
        export.read_config({"kind": "tiles", "tiles": path})


@pytest.mark.parametrize(
    "cubes, said",
    [
        ("tiles", "--cubes .*tiles: holds config.tiles .*tiles.geojson"),
        ("tiles/labels", "--cubes .*labels: is labels of config.tiles"),
        ("tiles/fields/cubes", "--cubes .*cubes: lies in fields of config.tiles"),
        (".", "--cubes .*: holds config.tiles"),
        ("tiles/cubes", None),
        ("cubes", None),
    ],
)
def test_cubes_are_not_written_into_what_is_read(tmp_path, cubes, said):
    tiles = tmp_path / "tiles"
    target = stand_in.make_target(
        label_file=tiles / "labels" / "a.tif", fields_file=tiles / "fields" / "a.tif"
    )
    inputs = export.inputs_of([target], {"kind": "tiles", "tiles": str(tiles / "tiles.geojson")})
    if said is None:
        files.check_apart({"--cubes": tmp_path / cubes}, inputs)
        return
    with pytest.raises(ValueError, match=said):
        files.check_apart({"--cubes": tmp_path / cubes}, inputs)
