"""What the pictures show, read back from their figures; see small_table."""

import math
import re

import geopandas
import matplotlib.colors
import matplotlib.image
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from ground_truth import small_table
from matplotlib.collections import LineCollection, PolyCollection

from cropmap_jax.geo import grid
from cropmap_jax.geo.legend import EUCROPMAP, IGNORE, NONE_OF_THESE
from cropmap_jax.ground_truth import map_axes, maps, polygons

LEGEND = small_table.SETTINGS.classes_of
FIELDS, TILES = small_table.fields(), small_table.tiles()


@pytest.fixture
def figures(monkeypatch):
    """Figures in the order in which they were saved, still whole."""
    seen, save = [], map_axes.save
    monkeypatch.setattr(map_axes, "save", lambda fig, path: (seen.append(fig), save(fig, path)))
    return seen


def provinces():
    box = shapely.box(49, 26, 52, 29)
    return geopandas.GeoDataFrame({"province": ["Qom"]}, geometry=[box], crs="EPSG:4326")


def dots(ax):
    """[(colour, places)] in the order of drawing."""
    return [
        (matplotlib.colors.to_hex(c.get_facecolor()[0]), np.asarray(c.get_offsets()))
        for c in ax.collections
        if len(c.get_offsets()) and not isinstance(c, LineCollection | PolyCollection)
    ]


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def squares(ax):
    """{colour: rings of the squares}."""
    return {
        matplotlib.colors.to_hex(c.get_facecolor()[0]): [p.vertices for p in c.get_paths()]
        for c in ax.collections
        if isinstance(c, PolyCollection) and len(c.get_paths())
    }


def metres(view, middle):
    """Width and height of a view on the ground."""
    left, right, bottom, top = view
    geod = pyproj.Geod(ellps="WGS84")
    return geod.line_length([left, right], [middle, middle]), geod.line_length(
        [left, left], [bottom, top]
    )


def test_fields_are_dots_in_the_colours_of_the_legend(figures, tmp_path):
    maps.by_crop(FIELDS, TILES, provinces(), LEGEND, tmp_path / "new" / "crops.png")
    first, second = figures[0].axes
    assert first.get_title() == "2021-2022: 5 fields, 0 points, 2 tiles"
    assert second.get_title() == "2022-2023: 0 fields, 3 points, 1 tile"
    colours = {c.name: c.colour for c in LEGEND.classes}
    # The more frequent crop is drawn first, under the other.
    (one, onions), (other, wheats) = dots(first)
    assert (one, other) == (colours["onion"], colours["wheat"])
    own = FIELDS[FIELDS.crop == "onion"].geometry.representative_point()
    np.testing.assert_allclose(onions, np.stack([own.x, own.y], 1))
    assert len(wheats) == 2
    # What is no crop lies under the crops.
    greys = maps._GREYS["unknown"], maps._GREYS["none_of_these"]
    assert [c for c, _ in dots(second)] == [*greys, colours["wheat"]]
    assert texts(first.get_legend()) == ["wheat  2", "onion  3"]
    assert texts(second.get_legend()) == ["wheat  1", "None of these  1", "Unknown  1"]
    assert matplotlib.image.imread(tmp_path / "new" / "crops.png").ndim == 3
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["crops.png"]


def test_a_degree_is_as_long_on_the_picture_as_on_the_ground(figures, tmp_path):
    maps.by_crop(FIELDS, TILES, None, LEGEND, tmp_path / "a.png")
    ax = figures[0].axes[0]
    view = (*ax.get_xlim(), *ax.get_ylim())
    figures[0].canvas.draw()
    box = ax.get_window_extent()
    width, height = metres(view, sum(view[2:]) / 2)
    assert box.width / box.height == pytest.approx(width / height, rel=0.01)
    (bar,) = [line for line in ax.lines if line.get_linewidth() == 4]
    label = next(t.get_text() for t in ax.texts if t.get_text().endswith("m"))
    number, unit = re.fullmatch(r"(\d+) (k?m)", label).groups()
    ends = bar.get_xdata()
    found = metres((*ends, *view[2:]), sum(view[2:]) / 2)[0]
    assert found == pytest.approx(int(number) * {"km": 1000, "m": 1}[unit], rel=0.01)
    assert ends[1] - ends[0] <= (view[1] - view[0]) / 5


def test_all_panels_show_the_same_ground_with_all_places_in_it(figures, tmp_path):
    maps.by_crop(FIELDS, TILES, None, LEGEND, tmp_path / "a.png")
    views = [(ax.get_xlim(), ax.get_ylim()) for ax in figures[0].axes]
    assert views[0] == views[1]
    (left, right), (bottom, top) = views[0]
    box = FIELDS.total_bounds
    assert left < box[0] and bottom < box[1] and box[2] < right and box[3] < top


def test_blocks_are_squares_in_the_colours_of_their_splits(figures, tmp_path):
    maps.by_split(FIELDS, TILES, provinces(), LEGEND, tmp_path / "splits.png")
    (ax,) = figures[0].axes
    found = squares(ax)
    assert set(found) == {maps._SPLIT_COLOURS["train"], maps._SPLIT_COLOURS["test"]}
    # Both seasons of the western tile are one block.
    (ring,) = found[maps._SPLIT_COLOURS["train"]]
    back = polygons.project(np.array([shapely.Polygon(ring)]), 4326, small_table.EPSG)[0]
    # 400 = 50 x 8 tiles is the block's western edge, and 3000 = 375 x 8 its southern.
    corner = np.array([400, 3000]) * grid.TILE_M
    np.testing.assert_allclose(back.bounds, [*corner, *(corner + grid.BLOCK_M)], atol=0.1)
    train, validation, test = texts(ax.get_legend())
    assert train == "train: 1 block, 2 tiles, 6 fields and points, 161 px of crops"
    assert validation.startswith("validation: 0 blocks")
    assert test == "test: 1 block, 1 tile, 1 fields and points, 64 px of crops"


def write_labels(out, tile):
    """Labels of the table's polygons, wherever their pixel centres lie inside, and returns them."""
    own = FIELDS[(FIELDS.season == tile.season) & (FIELDS.kind == "polygon")]
    shapes = polygons.project(own.geometry.values, 4326, small_table.EPSG)
    values = np.array([LEGEND.names.index(c) for c in own.crop], np.uint8)
    label = np.full(tile.geobox.shape, IGNORE, np.uint8)
    for i in range(len(values)):
        inside = polygons.rasterise(shapes[i : i + 1], np.array([1], np.uint8), tile.geobox)
        label[inside > 0] = values[i]
    label[120:, :8] = NONE_OF_THESE
    (out / "labels").mkdir(exist_ok=True)
    with rasterio.open(
        out / tile.label, "w", driver="GTiff", dtype="uint8", count=1, height=128, width=128,
        crs=f"EPSG:{small_table.EPSG}", transform=tile.geobox.affine,
    ) as raster:  # fmt: skip
        raster.write(label, 1)
    return label


def test_labels_lie_under_the_outlines_of_their_fields(figures, tmp_path):
    labels = [write_labels(tmp_path, tile) for tile in TILES]
    maps.detail(FIELDS, TILES, tmp_path, LEGEND, tmp_path / "detail.png")
    shown = [ax for ax in figures[0].axes if ax.axison]
    assert [ax.get_title() for ax in shown] == [
        f"{TILES[0].tile_id}\nQom, train",  # two classes, 152 pixels
        f"{TILES[2].tile_id}\nQom, train",  # two classes, 18 pixels
        f"{TILES[1].tile_id}\nYazd, test",
    ]
    (image,) = shown[0].get_images()
    corner = np.array([400, 3000]) * grid.TILE_M
    assert image.get_extent() == [corner[0], corner[0] + 1280, corner[1], corner[1] + 1280]
    pixels = image.get_array()
    colour = np.array([int(LEGEND.classes[0].colour[i : i + 2], 16) for i in (1, 3, 5)])
    np.testing.assert_array_equal((pixels == colour).all(2), labels[0] == 0)
    # 200 m east and 300 m north of the corner, 120 m long: rows run southwards.
    assert (labels[0] == 0).sum() == 144 and (labels[0][86:98, 20:32] == 0).all()
    lines = [np.array(s) for c in shown[0].collections if isinstance(c, LineCollection)
             for s in c.get_segments()]  # fmt: skip
    assert len(lines) == 4
    starts = sorted(tuple(np.round(line.min(0) - corner, 1).tolist()) for line in lines)
    assert starts == [(200.0, 300.0), (506.0, 106.0), (700.0, 700.0), (900.0, 700.0)]
    # The other season's points, and no outline of this one's fields.
    assert sum(len(at) for _, at in dots(shown[1])) == 3
    names = texts(figures[0].legends[0])
    assert names[:4] == ["wheat", "onion", "None of these", "Unknown"]


def test_no_more_than_four_tiles_are_drawn(figures, tmp_path):
    many = [small_table.tile(f"{year}-{year + 1}", small_table.WEST, {}, wheat=year)
            for year in range(2001, 2007)]  # fmt: skip
    for tile in many[2:]:
        write_labels(tmp_path, tile)
    maps.detail(FIELDS, many, tmp_path, LEGEND, tmp_path / "detail.png")
    assert len(figures[0].axes) == 4
    assert [ax.get_title()[:4] for ax in figures[0].axes] == ["2006", "2005", "2004", "2003"]


def test_nothing_to_show_is_an_empty_picture(figures, tmp_path):
    none = FIELDS[:0]
    maps.by_crop(none, [], None, LEGEND, tmp_path / "a.png")
    maps.by_split(none, [], provinces(), LEGEND, tmp_path / "b.png")
    maps.detail(none, [], tmp_path, LEGEND, tmp_path / "c.png")
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize("latitude", [-60.0, 0.0, 52.0, 70.0])
def test_views_are_never_strips_nor_mere_points(latitude):
    squeeze = math.cos(math.radians(latitude))
    for spread in ([0, 0], [5, 0], [0, 5], [1e-6, 1e-6]):
        places = np.array([[10.0, latitude], [10.0 + spread[0], latitude + spread[1]]])
        left, right, bottom, top = map_axes.view(places)
        wide, high = (right - left) * squeeze, top - bottom
        assert 0.4 <= wide / high <= 2.5
        assert min(wide, high) > 0.08  # degrees of latitude, 9 km
        assert left < places[:, 0].min() and places[:, 0].max() < right


def test_degrees_of_the_axes():
    east, north = map_axes.degrees("E", "W"), map_axes.degrees("N", "S")
    assert [east(v, 0) for v in (-4.5, 0, 51)] == ["4.5°W", "0°", "51°E"]
    assert [north(v, 0) for v in (-1, 33.25)] == ["1°S", "33.25°N"]


def test_the_bar_lies_where_the_fewest_places_are():
    ax = map_axes.plt.figure().add_subplot()
    places = np.array([[0.1, 0.05], [0.9, 0.05], [0.1, 0.95]])
    map_axes.bar(ax, (0.0, 1.0, 0.0, 1.0), 100_000.0, places)
    (line,) = ax.lines
    assert min(line.get_xdata()) > 0.7 and min(line.get_ydata()) > 0.88
    assert line.get_xdata()[1] - line.get_xdata()[0] == pytest.approx(0.2)
    map_axes.plt.close(ax.figure)


def test_a_long_legend_of_another_country_fits(figures, tmp_path):
    rows = FIELDS.iloc[np.arange(2 * len(EUCROPMAP)) % len(FIELDS)].reset_index(drop=True)
    rows["crop"] = EUCROPMAP.names * 2
    rows["season"] = np.repeat(["a", "b"], len(EUCROPMAP))
    maps.by_crop(rows, TILES, None, EUCROPMAP, tmp_path / "a.png")
    fig = figures[0]
    fig.canvas.draw()
    boxes = [t.get_window_extent() for ax in fig.axes for t in ax.get_legend().get_texts()]
    assert len(boxes) == 42
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[i + 1 :])
