"""Edits of a review go through `prepare` and give the labels asked for; bad ones are one line."""

import runpy
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from cropmap_jax.geo import grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.ground_truth import prepare, reviews, settings
from cropmap_jax.ground_truth.audit_log import AuditLog

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "prepare_own.py"
EPSG, COL, ROW = 32631, 400, 4400


def square(col, row, side):
    """Lower left corner in pixels from the tile's, side in pixels, in metres of the zone."""
    left, bottom = COL * grid.TILE_M + 10 * col, ROW * grid.TILE_M + 10 * row
    return shapely.box(left, bottom, left + 10 * side, bottom + 10 * side)


@pytest.fixture
def mine(tmp_path):
    """Four fields: wheat 1, maize 2, none of these 3, maize 4."""
    names = ["winter wheat", "maize", "grassland", "maize"]
    shapes = [square(10, 20, 8), square(40, 20, 6), square(60, 60, 5), square(80, 80, 9)]
    table = geopandas.GeoDataFrame({"crop": names}, geometry=shapes, crs=EPSG)
    (tmp_path / "mine").mkdir()
    table.to_file(tmp_path / "mine" / "fields.gpkg")
    return tmp_path


def run(root, out, review=""):
    config = runpy.run_path(str(CONFIG))["get_config"]()
    with config.unlocked():
        config.update({"source": str(root / "mine"), "shrink_px": 0.0, "reviews": str(review)})
    log = AuditLog()
    prepare.prepare(settings.read(config.to_dict()), root / out, log)
    (label,) = (root / out / "labels").glob("*.tif")
    with rasterio.open(label) as raster:
        return raster.read(1), log


def table_of(root, actions):
    """The fields that prepare wrote, as a review of them that somebody has edited.

    Args:
      root: where `run` wrote into "out".
      actions: by field, (action, label_new).
    """
    found = geopandas.read_file(root / "out" / "fields.gpkg")
    rows = [actions.get(int(n), ("", "")) for n in found.field]
    return found.assign(
        label=found.crop, action=[a for a, _ in rows], label_new=[n for _, n in rows]
    )[["field", "label", "action", "label_new", "geometry"]]


def write(root, table):
    file = root / "review.gpkg"
    file.unlink(missing_ok=True)
    table.to_file(file, layer=reviews.LAYER, driver="GPKG")
    return file


def test_edits_give_the_labels_that_were_asked_for(mine):
    before, _ = run(mine, "out")
    assert (before[100:108, 10:18] == 0).all() and (before[102:108, 40:46] == 1).all()
    edits = {1: ("relabel", "Maize"), 2: ("drop", ""), 3: ("", "wheat"), 4: ("Reshape ", "")}
    table = table_of(mine, edits)
    # The fourth is drawn anew: one pixel farther east, and as high.
    moved = geopandas.GeoSeries([square(81, 80, 9)], crs=EPSG).to_crs(table.crs).iloc[0]
    table.loc[table.field == 4, "geometry"] = moved
    after, log = run(mine, "again", write(mine, table))
    expected = np.full((128, 128), IGNORE, np.uint8)
    expected[100:108, 10:18] = 1
    expected[63:68, 60:65] = 0
    expected[39:48, 81:90] = 1
    np.testing.assert_array_equal(after, expected)
    assert {k: v for k, v in log.counts.items() if "reviewed" in k} == {
        "fields reviewed: drop": 1,
        "fields reviewed: relabel": 2,
        "fields reviewed: reshape": 1,
    }


def test_a_review_without_edits_changes_nothing(mine):
    before, _ = run(mine, "out")
    table = table_of(mine, {1: ("keep", ""), 2: ("keep", "maize")})
    after, _ = run(mine, "again", write(mine, table.iloc[:3]))  # and a row may be lost
    np.testing.assert_array_equal(after, before)
    assert (before == NONE_OF_THESE).sum() == 25


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda t: t.drop(columns="label_new"), "expected a column 'label_new'"),
        (lambda t: t.rename(columns={"action": "actoin"}), "expected a column 'action'"),
        (lambda t: t.assign(action="remove"), "action: expected keep, drop, relabel, reshape"),
        (lambda t: t.assign(label_new="whaet"), "did you mean 'wheat'?"),
        (lambda t: t.assign(action="relabel"), "expected the new label for action relabel"),
        (lambda t: t.assign(action="keep", label_new="unknown"), "expected action relabel"),
        (lambda t: t.assign(field=t.field + 40, action="drop"), "found none of that number"),
        (lambda t: t.assign(label="maize"), "expected label 'maize', as reviewed, found 'wheat'"),
        (lambda t: t.assign(field=1, action="drop"), "expected each field once"),
        (lambda t: t.assign(field="one"), "expected the number of a field, found 'one'"),
        (
            lambda t: t.assign(action="drop", geometry=t.geometry.translate(1.0)),
            "expected the outline that was reviewed",
        ),
        (
            lambda t: t.assign(action="reshape", geometry=t.geometry.centroid),
            "expected one polygon for action reshape, found Point",
        ),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_file(mine, change, expected):
    run(mine, "out")
    file = write(mine, change(table_of(mine, {})))
    with pytest.raises(ValueError) as error:
        run(mine, "again", file)
    text = str(error.value)
    assert text.startswith(str(file)) and expected in text and "\n" not in text
    assert not (mine / "again").exists()


def test_a_lost_file_and_one_in_the_output_are_named(mine):
    with pytest.raises(ValueError, match=r"config.reviews: expected the file of a review"):
        run(mine, "out", mine / "lost.gpkg")
    run(mine, "out")
    with pytest.raises(ValueError, match="--out"):
        run(mine, "out", mine / "out" / "fields.gpkg")


def test_a_file_that_is_no_table_is_named(mine):
    (mine / "review.gpkg").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"review.gpkg: expected a review with a layer 'fields'"):
        run(mine, "out", mine / "review.gpkg")
