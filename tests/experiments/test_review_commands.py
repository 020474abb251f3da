"""`review_labels` names what was planted, `visit` lists parcels; bad input is one line."""

import dataclasses
import sqlite3

import geopandas
import making
import numpy as np
import pytest
import shapely

from cropmap_jax.geo import cube_io

NAMES = ("train", "train", "validation", "test")
QUICK = ("--config.arguments.trees=20", "--config.most_pixels=3000", "--max_pictures=2")


@pytest.fixture(scope="module")
def world(tmp_path_factory, starter):
    """Four cubes in blocks of their own; in the first, a field of maize is labelled wheat."""
    root = tmp_path_factory.mktemp("review")
    folders = making.make_cubes(root / "cubes", NAMES, size=48)
    raw = cube_io.read_raw(folders[0])
    planted = int(raw.fields[raw.label == 2][0])
    label = np.where(raw.fields == planted, np.uint8(0), raw.label)
    cube_io.write_cube(dataclasses.replace(raw, label=label), root / "cubes", overwrite=True)
    flags = ("--cubes", root / "cubes", "--data_dir", root / "data", "--name", "a")
    done = starter.run("build", *flags, "--chip", 16)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, planted, starter


def review(world, out, *flags):
    root, _, starter = world
    given = (f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/a", *QUICK)
    return starter.run(
        "review_labels", "--config", "configs/review.py", "--out", root / out, *given, *flags
    )


def line_of(done) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    return line


def test_a_field_of_another_class_comes_first_and_a_second_run_predicts_nothing(world):
    root, planted, _ = world
    done = review(world, "out")
    assert done.returncode == 0, done.stderr[-3000:]
    file = root / "out" / "review.gpkg"
    table = geopandas.read_file(file, layer="fields")
    first = table.iloc[0]
    assert (first.cube, first.field, first["rank"]) == ("train_0", planted, 1)
    assert (first.label, first.suggested) == ("wheat", "maize") and "label" in first.suspect
    assert "looks like maize" in first.reason and first.p_maize > 4 * first.p_wheat
    # Every field is there, where it lies, with columns to be filled in.
    assert first.pixels == making.FIELD_PX**2 and (table.action == "").all()
    metres = table.geometry.to_crs(making.EPSG)
    assert metres.iloc[0].area == pytest.approx(first.pixels * 100, rel=1e-3)
    assert set(table.block) == {row for row in table.block} and table.block.nunique() == 4
    assert (root / "out" / first.picture).is_file()
    assert len(list((root / "out" / "pictures").iterdir())) <= 2
    with sqlite3.connect(file) as base:
        ((style,),) = base.execute("SELECT styleQML FROM layer_styles").fetchall()
    assert "relabel" in style and "maize" in style
    shapely.get_coordinates(table.geometry.values)  # whole
    before = file.read_bytes()
    again = review(world, "out")
    assert again.returncode == 0 and "fold" not in again.stderr and file.read_bytes() == before
    line = line_of(review(world, "out", "--config.seed=5"))
    assert "holds a review of other settings" in line and file.read_bytes() == before


def test_what_cannot_be_reviewed_is_one_line(world):
    root, _, _ = world
    assert "--config.folds: expected" in line_of(review(world, "b", "--config.folds=1"))
    assert "config.method: found 'wood'" in line_of(review(world, "b", "--config.method=wood"))
    line = line_of(review(world, "b", "--prepared", root / "cubes"))
    assert "--prepared: expected the folder that prepare wrote" in line
    assert not (root / "b").exists()


def test_a_map_lists_parcels_to_visit(world):
    root, _, starter = world
    named = (f"--config.data_dir={root / 'data'}", "--config.dataset=cubes/a")
    flags = ("--config.arguments.trees=8", "--config.most_pixels=2000")
    done = starter.run("baseline", "--config", "configs/baselines/forest.py", "--workdir",
                       root / "kept", *named, *flags)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    info = cube_io.list_cubes(root / "cubes")[0]
    left, bottom, right, top = info.geobox.extent.boundingbox
    shapes = [
        shapely.box(x, y, x + 80, y + 80)
        for x in np.arange(left, right, 80) for y in np.arange(bottom, top, 80)
    ]  # fmt: skip
    parcels = geopandas.GeoDataFrame({"name": range(len(shapes))}, geometry=shapes, crs=info.crs)
    parcels.to_file(root / "parcels.gpkg")
    parcels.iloc[:12].to_file(root / "known.gpkg")
    common = ("--workdir", root / "kept", "--cubes", root / "cubes", "--as_of", "2022-06-01")
    done = starter.run("predict", *common, "--out", root / "map", "--fields", root / "parcels.gpkg")
    assert done.returncode == 0, done.stderr[-3000:]
    asked = ("--map", root / "map", "--out", root / "visits", "--count", 5)
    done = starter.run("visit", *asked, "--known", root / "known.gpkg", "--least_ha", 0.1)
    assert done.returncode == 0, done.stderr[-3000:]
    found = geopandas.read_file(root / "visits" / "visits.gpkg")
    assert found.visit.tolist() == [1, 2, 3, 4, 5] and (found.name >= 12).all()
    assert (found.visit_days_left >= 7).all() and found.visit_ha.to_numpy() == pytest.approx(
        0.64, rel=0.01
    )
    assert "12 of 36 parcels are annotated already: left out" in done.stdout
    assert (root / "visits" / "visits.png").is_file()
    assert (root / "visits" / "visits.csv").read_text().startswith("visit,visit_crop,visit_p,")
    line = line_of(starter.run("visit", *asked, "--least_ha", 9))
    assert "expected parcels to visit, found none" in line
    line = line_of(starter.run("visit", "--map", root / "cubes", "--out", root / "c"))
    assert "expected a map with fields.gpkg (predict --fields), found none" in line
