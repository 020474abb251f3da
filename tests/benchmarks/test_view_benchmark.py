"""The map that benchmarks.view draws is one that the viewer opens; tiles lie around its middle."""

from benchmarks import view
from cropmap_jax.viewer.shown import Shown
from cropmap_jax.viewer.view import View


def test_a_drawn_map_is_opened_with_its_cubes(tmp_path):
    folder, cubes = view.draw(tmp_path, 2)
    made = View(Shown(folder), cubes)
    assert len(made.one(0).found.cubes) == len(made.images.infos) == 4
    assert sum(made.shown.hectares[made.shown.dates[0]].values()) == 4 * view.SIDE**2 / 100
    places = view.around(made.description["bounds"], 14, 12)
    assert len(set(places)) == 12
    one = made.one(0)
    assert one.sampler.tile(one.crop, 14, *places[0]) is not None
