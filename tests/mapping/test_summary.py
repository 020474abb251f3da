"""Pixels and hectares, by hand."""

import csv
import warnings
import xml.etree.ElementTree as ET

import making
import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
import rasterio
from mapping import small_maps
from matplotlib.patches import Patch

from cropmap_jax.geo.legend import EUCROPMAP, Legend, make_class
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import map_rasters, metadata, mosaics, picture, summary

SETTINGS = metadata.Settings("abc", 3, small_maps.AS_OF, 0.5, halo_px=16)
RECIPE = small_maps.make_recipe()


def described(crop, cube_id="a", seen=None, **changes) -> dict:
    made = small_maps.changed(making.make_cube(cube_id, np.asarray(crop).shape), **changes)
    pixels = np.array(crop, np.uint8)
    seen = np.full((RECIPE.num_periods, 12), pixels.size) if seen is None else np.array(seen)
    return metadata.make_metadata(made.info, RECIPE, SETTINGS, "run", "inputs", pixels, seen)


def test_metadata_by_hand():
    found = described([[0, 0, 2, 254], [0, 255, 2, 254]])
    assert found["area"] == {
        "wheat": {"pixels": 3, "hectares": 0.03},
        "rapeseed": {"pixels": 0, "hectares": 0.0},
        "maize": {"pixels": 2, "hectares": 0.02},
        "none_of_these": {"pixels": 2, "hectares": 0.02},
        "no_data": {"pixels": 1, "hectares": 0.01},
    }
    # Two periods as of 1 June; harvests on 1 July, 1 August and 1 September.
    assert found["window"] == ["2022-04-01/2022-05-01", "2022-05-01/2022-06-01"]
    assert found["window_end"] == "2022-06-01" and found["periods_before_the_cube"] == 0
    assert found["lead_days"] == {"wheat": 30, "rapeseed": 61, "maize": 92}
    assert found["excluded"] == {}
    assert found["settings"] == {
        "checkpoint": "abc", "step": 3, "as_of": "2022-06-01", "threshold": 0.5,
        "part_px": 128, "halo_px": 16, "format": 1,
    }  # fmt: skip
    assert (found["cube"], found["workdir"], found["inputs"]) == ("a", "run", "inputs")


def test_without_a_calendar_there_is_no_lead():
    found = described([[0]], harvest={})
    assert found["lead_days"] == {"wheat": None, "rapeseed": None, "maize": None}


def test_rows_and_table_by_hand(tmp_path):
    total = summary.Tally.of(making.LEGEND)
    total.add(described([[0, 0, 0, 254, 255]]))
    total.add(described([[2, 2, 2, 254, 255]], "b"))
    rows = total.rows(making.LEGEND)
    assert [(r["class"], r["pixels"], r["hectares"], r["share"]) for r in rows] == [
        ("wheat", 3, 0.03, 0.375), ("rapeseed", 0, 0.0, 0.0), ("maize", 3, 0.03, 0.375),
        ("none_of_these", 2, 0.02, 0.25), ("no_data", 2, 0.02, ""),
    ]  # fmt: skip
    summary.write_csv(tmp_path / "summary.csv", rows)
    with open(tmp_path / "summary.csv", newline="") as file:
        assert [r["title"] for r in csv.DictReader(file)][:2] == ["Wheat", "Rape seed"]
    lines = summary.table(total, making.LEGEND).splitlines()
    assert lines[1].split(maxsplit=4) == ["Wheat", "3", "0.0", "37.5%", "30 days before harvest"]
    assert "Rape" not in "".join(lines) and lines[-2].split()[-1] == "-"
    assert lines[-1] == "2 cubes, images until 2022-06-01"


def test_tallies_add_up():
    parts = [summary.Tally.of(making.LEGEND) for _ in range(2)]
    parts[0].add(described([[0, 254]]))
    parts[1].add(
        described([[2, 254]], harvest={}, seen=[[2] * 12, [0] * 12])
        | {"excluded": {"rapeseed": "2022-07-01"}}
    )
    total = summary.merge(parts, making.LEGEND)
    assert total.cubes == 2 and total.pixels["none_of_these"] == 2 and total.leads == parts[0].leads
    assert total.excluded == {"rapeseed": 1}
    text = summary.table(total, making.LEGEND)
    assert "images until 2022-05-01 to 2022-06-01" in text and "30 days before harvest" in text
    assert "rapeseed: not mapped in 1 cube, where planting ends after this date" in text
    nowhere = summary.merge([parts[1]], making.LEGEND)
    assert "no harvest dates" in summary.describe_dates(nowhere)


def test_the_last_image_is_the_last_that_holds_a_value():
    total = summary.Tally.of(making.LEGEND)
    total.add(described([[0, 0]], seen=[[2] * 12, [0] * 12]))
    assert summary.describe_dates(total) == "images until 2022-05-01"
    # 1 May to 1 July, not the 30 days from the end of the window.
    assert total.leads["wheat"] == (61, 61)
    total.add(described([[255, 255]], "b", seen=[[0] * 12] * 2))
    assert total.leads["wheat"] == (61, 61) and total.cubes == 2
    nothing = summary.Tally.of(making.LEGEND)
    nothing.add(described([[255, 255]], seen=[[0] * 12] * 2))
    assert summary.table(nothing, making.LEGEND).splitlines()[-1] == "1 cube, no images"
    assert [h.get_label() for h in picture._handles(making.LEGEND, nothing)] == ["No data"]


def test_one_pixel_seen_of_many_is_more_than_none():
    found = described(np.zeros((256, 256)), seen=[[0] * 12, [1] * 12])
    assert found["seen"]["s1"] == [0.0, 0.0001]
    assert metadata.last_image(found).isoformat() == "2022-06-01"


def test_an_excluded_class_has_no_part_in_the_leads():
    total = summary.Tally.of(making.LEGEND)
    total.add(described([[0]]) | {"excluded": {"maize": "2022-07-01"}})
    assert total.leads == {"wheat": (30, 30), "rapeseed": (61, 61)}


def test_leads_are_said_per_class_or_once_for_all():
    one, two = summary.Tally.of(making.LEGEND), summary.Tally.of(making.LEGEND)
    one.add(described([[0, 2]]))
    late = described([[0, 2]], "b")
    late["lead_days"] = {"wheat": -14, "rapeseed": -14, "maize": -14}
    two.add(late)
    assert summary.describe_dates(two) == "images until 2022-06-01, 14 days after harvest began"
    labels = [h.get_label() for h in picture._handles(making.LEGEND, two)]
    assert labels == ["Wheat  50.0%", "Maize  50.0%"]
    both = summary.merge([one, two], making.LEGEND)
    rows = {r["class"]: r for r in both.rows(making.LEGEND)}
    words = "30 days before harvest to 14 days after it began"
    found = rows["wheat"]
    assert (found["lead_days_min"], found["lead_days_max"], found["last_image"]) == (-14, 30, words)
    assert rows["no_data"]["last_image"] == ""
    labels = [h.get_label() for h in picture._handles(making.LEGEND, both)]
    assert labels[0] == f"Wheat  50.0%\n{words}"


def test_titles_of_users_stay_texts(tmp_path):
    """A formula, markup, mathematics, a line's end, and scripts that the font cannot write."""
    titles = ['=HYPERLINK("http://x","W")', "<b>a & b</b>", "$x$ \n_a", "_a", "小麦", "گندم"]
    classes = Legend("odd\x00<name>", tuple(
        make_class(i, i, f"crop_{i}", title) for i, title in enumerate(titles)
    ))  # fmt: skip
    total = summary.Tally.of(classes)
    total.last_images = ("2022-06-01",) * 2
    for name in classes.names:
        total.pixels[name], total.hectares[name] = 10, 0.1
    summary.write_csv(tmp_path / "summary.csv", total.rows(classes))
    with open(tmp_path / "summary.csv", newline="", encoding="utf-8") as file:
        cells = [row["title"] for row in csv.DictReader(file)]
    assert cells[0] == f"'{titles[0]}" and cells[4:6] == ["小麦", "گندم"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    entries = ET.fromstring(mosaics.style(classes).decode()).iter("paletteEntry")
    labels = [entry.get("label") for entry in entries]
    assert labels[:6] == [*titles[:2], "$x$ _a", *titles[3:]]
    lines = summary.table(total, classes).splitlines()
    assert len(lines) == 8 and lines[3].startswith("$x$ _a ")
    lattice = mosaics.Lattice(making.make_cube("a", 16).info.geobox.crs, 10.0, 5e5, 4e6)
    one, vrt = mosaics.Mosaic("32639", lattice, (), Box(0, 0, 4, 4)), tmp_path / "crop.vrt"
    mosaics.write_vrt(vrt, one, "crop.tif", map_rasters.crop_name(classes, "2022-06-01"), classes)
    with rasterio.open(vrt) as raster:
        assert raster.descriptions == ("crop, legend odd <name>, as of 2022-06-01",)
    shown = [h.get_label().split("  ")[0] for h in picture._handles(classes, total)]
    assert shown[2:] == [r"\$x\$ _a", " _a", "crop_4", "crop_5"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        picture.draw(tmp_path / "crop.png", vrt, classes, total, "2022-06-01")


@pytest.mark.parametrize(
    ("metres", "length"), [(1, 1), (1.99, 1), (2, 2), (426, 200), (1000, 1000), (51_200, 50_000)]
)
def test_lengths_of_scale_bars_are_round(metres, length):
    assert picture._round_length(metres) == length


@pytest.mark.parametrize("shape", [(40, 40), (4, 60), (60, 4), (1, 1)])
def test_ground_of_any_shape_can_be_drawn(tmp_path, shape):
    lattice = mosaics.Lattice(making.make_cube("a", 16).info.geobox.crs, 10.0, 5e5, 4e6)
    one = mosaics.Mosaic("32639", lattice, (), Box(0, 0, *shape))
    vrt = tmp_path / "crop.vrt"
    mosaics.write_vrt(vrt, one, "crop.tif", "empty", EUCROPMAP)
    total = summary.Tally.of(EUCROPMAP)
    total.last_images = ("2022-06-01",) * 2
    for name in EUCROPMAP.names:
        total.pixels[name], total.hectares[name] = 10, 0.1
    picture.draw(tmp_path / "crop.png", vrt, EUCROPMAP, total, "2022-06-01")
    image = matplotlib.image.imread(tmp_path / "crop.png")
    assert min(image.shape[:2]) > 250 and max(image.shape[:2]) < 2200


def test_a_picture_shows_the_colours_of_the_map_and_reads_no_more_than_it_needs(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(picture, "MAX_PX", 20)
    crs = making.make_cube("a", 16).info.geobox.crs
    lattice = mosaics.Lattice(crs, 10.0, *small_maps.CORNER)
    vrt = tmp_path / "crop.vrt"
    one = mosaics.Mosaic("32639", lattice, (), Box(0, 0, 40, 80))
    mosaics.write_vrt(vrt, one, "crop.tif", "empty", making.LEGEND)
    image, extent, crs = picture.read_mosaic(vrt)
    x, y = small_maps.CORNER
    assert image.shape == (10, 20) and crs == "EPSG:32639"
    assert extent == (x, x + 800, y - 400, y)
    colours = picture._colours(np.array([[0, 2, 254, 255]], np.uint8), making.LEGEND)[0]
    assert colours[:3].tolist() == [[230, 171, 2, 255], [217, 95, 2, 255], [221, 221, 221, 255]]
    assert colours[3, 3] == 0
    total = summary.Tally.of(making.LEGEND)
    total.add(described([[0, 0, 1, 255]]))
    labels = [h.get_label() for h in picture._handles(making.LEGEND, total)]
    assert labels == [
        "Wheat  66.7%\n30 days before harvest",
        "Rape seed  33.3%\n61 days before harvest",
        "No data",
    ]


def test_pieces_far_apart_are_drawn_one_by_one(tmp_path):
    lattice = mosaics.Lattice(making.make_cube("a", 16).info.geobox.crs, 10.0, 5e5, 4e6)
    one = mosaics.Mosaic("32639", lattice, (), Box(0, 0, 400, 400))
    vrt = tmp_path / "crop.vrt"
    mosaics.write_vrt(vrt, one, "crop.tif", "empty", making.LEGEND)
    near, far = Box(0, 0, 40, 40), Box(380, 360, 400, 400)
    # 1,600 and 800 of 160,000 pixels; an area of half the mosaic is no dot.
    assert picture._sparse(vrt, [near, far])
    assert not picture._sparse(vrt, [near]) and not picture._sparse(vrt, [])
    assert not picture._sparse(vrt, [Box(0, 0, 200, 400), far])
    image, extent, _ = picture.read_mosaic(vrt, far)
    assert image.shape == (20, 40) and extent == (503600, 504000, 3996000, 3996200)
    total = summary.Tally.of(making.LEGEND)
    total.add(described([[0, 0, 1, 255]]))
    picture.draw(tmp_path / "a.png", vrt, making.LEGEND, total, "2022-06-01", [near, far])
    picture.draw(tmp_path / "b.png", vrt, making.LEGEND, total, "2022-06-01")
    a, b = (matplotlib.image.imread(tmp_path / f"{n}.png").shape for n in "ab")
    assert a != b and min(a[:2]) > 300


def test_a_picture_of_few_areas_is_not_mostly_white(tmp_path):
    lattice = mosaics.Lattice(making.make_cube("a", 16).info.geobox.crs, 10.0, 5e5, 4e6)
    vrt, red = tmp_path / "crop.vrt", np.array([255, 0, 0, 255], np.uint8)
    one = mosaics.Mosaic("32639", lattice, (), Box(0, 0, 240, 140))
    mosaics.write_vrt(vrt, one, "crop.tif", "empty", making.LEGEND)
    # Of the rectangle 14 %; the same in more areas than there are panels stay one map.
    three = [Box(0, 0, 40, 40), Box(200, 0, 240, 40), Box(200, 100, 240, 140)]
    assert picture._sparse(vrt, three)
    assert not picture._sparse(vrt, [Box(r, 0, r + 16, 16) for r in range(0, 208, 11)])
    picture.save(
        tmp_path / "a.png", vrt, lambda image, _: np.broadcast_to(red, (*image.shape, 4)),
        [Patch(label="a class with a long name\n30 days before harvest")], "Crops", three,
    )  # fmt: skip
    drawn = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    # Three squares of 2.3 inches, with a legend of about two at their side.
    assert (drawn == red[:3] / 255).all(-1).mean() > 0.4


@pytest.mark.parametrize(("small", "scales"), [(10, [400, 100]), (20, [400, 400])])
def test_areas_share_a_scale_unless_some_would_be_dots(tmp_path, small, scales):
    lattice = mosaics.Lattice(making.make_cube("a", 16).info.geobox.crs, 10.0, 5e5, 4e6)
    one = mosaics.Mosaic("32639", lattice, (), Box(0, 0, 900, 900))
    vrt = tmp_path / "crop.vrt"
    mosaics.write_vrt(vrt, one, "crop.tif", "empty", making.LEGEND)
    areas = [Box(0, 0, 40, 40), Box(400, 400, 400 + small, 400 + small)]
    fig = picture._panels(vrt, lambda image, _: np.zeros((*image.shape, 4), np.uint8), areas)
    widths = [right - left for left, right in (ax.get_xlim() for ax in fig.axes)]
    plt.close(fig)
    assert widths == scales
    assert ("scales differ" in fig.get_supxlabel()) == (scales[0] != scales[1])
