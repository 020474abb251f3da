"""Which folders are shown, and which are refused in one line."""

import json
import os

import numpy as np
import pytest
from viewer import made_views

from cropmap_jax.viewer.shown import Shown


def test_a_map_and_a_series_are_opened(tmp_path):
    one = Shown(made_views.write_map(tmp_path / "map"))
    assert one.dates == ["2022-06-01"] and not one.is_series
    assert [(c.value, c.name, c.title, c.colour) for c in one.classes] == [
        (0, "wheat", "Wheat", "#e6ab02"),
        (1, "sugarbeet", "Sugar beet", "#1b9e77"),
        (254, "none_of_these", "None of these", "#dddddd"),
    ]
    several = Shown(made_views.series(tmp_path / "series"))
    assert several.dates == ["2022-05-01", "2022-06-01"] and several.is_series
    side = made_views.SIDE**2 / 100
    assert [several.hectares[d]["wheat"] for d in several.dates] == [side, 0]
    assert [several.map(i).as_of for i in (0, 1)] == several.dates
    lon, lat = made_views.centre()
    west, south, east, north = several.bounds
    assert west < lon < east and south < lat < north


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def outside(root):
    (root.parent / "other").mkdir()
    edit(root / "series.json", maps={"2022-05-01": "../other", "2022-06-01": "2022-06-01"})


def unfinished(root):
    (root / "series.json").rename(root / ".predict_series.written.json")


def linked(root, name="crop.tif"):
    file = root / "2022-06-01" / "cube" / name
    file.rename(root.parent / name)
    file.symlink_to(root.parent / name)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda r: edit(r / "series.json", format="a list"), "expected format 'cropmap_jax map"),
        (lambda r: edit(r / "series.json", version=2), "expected version 1, found 2"),
        (lambda r: edit(r / "series.json", dates=[]), "expected dates and maps"),
        (lambda r: edit(r / "series.json", dates=["2022-06-01", "2022-05-01"]), "in order"),
        (lambda r: edit(r / "series.json", dates=["2022-04-01"]), "expected a folder of each date"),
        (lambda r: edit(r / "series.json", since={"1": "../../x.vrt"}), "which lies outside of it"),
        (unfinished, "expected a finished series, found no series.json; run predict --series"),
        (outside, "'../other', which lies outside of it"),
        (linked, "expected a file in the map's folder, found a link that leaves it"),
        (lambda r: linked(r, "map.json"), "found a link that leaves it"),
        (lambda r: made_views.remove(r / "2022-05-01"), "expected the map of 2022-05-01 in"),
        (lambda r: (r / "2022-05-01" / "summary.csv").unlink(), "expected a finished map"),
        (lambda r: (r / "2022-06-01" / "summary.csv").unlink(), "expected a finished map"),
        (lambda r: (r / "series.json").write_text("{"), "series.json"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_series_is_said_in_a_line(tmp_path, spoil, said):
    root = made_views.series(tmp_path / "series")
    spoil(root)
    with pytest.raises(ValueError, match=".*") as error:
        Shown(root)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_map_that_is_of_another_date_or_legend_than_listed_is_refused(tmp_path):
    root = made_views.series(tmp_path / "series")
    shown = Shown(root)
    file = root / "2022-05-01" / "cube" / "map.json"
    found = json.loads(file.read_text())
    found["settings"]["as_of"] = "2022-04-01"
    file.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="expected the map as of 2022-05-01 .* of 2022-04-01"):
        shown.map(0)
    found["settings"]["as_of"] = "2022-05-01"
    found["area"] = {"rye": found["area"].pop("wheat"), **found["area"]}
    file.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="expected the classes and colours of the series' latest"):
        Shown(root).map(0)


def test_a_link_within_the_series_is_followed(tmp_path):
    root = made_views.series(tmp_path / "series", values=(1, 1))
    old, new = (root / date / "cube" / "confidence.tif" for date in ("2022-05-01", "2022-06-01"))
    new.unlink()
    os.symlink(old, new)
    assert np.all(Shown(root).map(1).cubes[0].confidence() == 80)


def test_fields_that_a_link_leads_to_are_not_shown(tmp_path):
    pytest.importorskip("geopandas", reason="extra: fields")
    root = made_views.write_map(tmp_path / "map")
    made_views.fields(root / "fields.gpkg")
    assert made_views.view(root).outlines(0) is not None
    (root / "fields.gpkg").rename(tmp_path / "mine.gpkg")
    (root / "fields.gpkg").symlink_to(tmp_path / "mine.gpkg")
    view = made_views.view(root)
    assert view.outlines(0) is None and "found a link that leaves it" in view.notes[0]
