"""ESA WorldCover through the service: one more map of a cube, requested only where it is wanted."""

import catalogue
import numpy as np
import pytest
import test_ee_download as downloads
import test_ee_exact as exact

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.sources.earthengine import assembly, export, graphs, pieces, planner, service
from cropmap_jax.sources.earthengine.options import LabelOptions, Options

server, ask = exact.server, exact.ask
WITH = Options(label=LabelOptions(landcover="worldcover"))
ALONE = Options(label=LabelOptions("none", landcover="worldcover"))


@exact.both_tiles
def test_it_is_the_map(ask, tile):
    image = graphs.landcover_image(exact.TILES[tile])
    found = ask.pixels(image, ["landcover"], exact._grid(exact.TILES[tile]))[..., 0]
    (scene,) = catalogue.scenes()[service.WORLDCOVER]
    codes = exact.read(scene.bands[service.WORLDCOVER_BAND], tile)
    np.testing.assert_array_equal(found, np.nan_to_num(codes, nan=0).astype(np.int16))
    assert found.max() == 100 and (found == 0).any()


def test_options_without_it_are_as_before():
    assert "landcover" not in str(Options().to_json())
    assert WITH.to_json()["label"]["landcover"] == "worldcover"
    with pytest.raises(
        ValueError, match="^label.landcover: expected one of worldcover, found 'esa'"
    ):
        LabelOptions(landcover="esa")


def test_it_is_one_more_request_of_one_band():
    target = downloads.make_target()
    assert assembly.sensors_of(Options()) == ("s1", "s2", "label")
    assert assembly.sensors_of(WITH) == ("s1", "s2", "label", "landcover")
    assert assembly.sensors_of(ALONE) == ("s1", "s2", "landcover")
    (piece,) = pieces.pieces_of(target, {"landcover": "graph"})
    assert piece.bands == ("landcover",) and piece.nbytes == 2 * 32 * 32
    found, without = (planner.make_plan([target], o) for o in (WITH, Options()))
    assert found.requests == {**without.requests, "landcover": 1}
    assert assembly.cube_key(target, WITH) != assembly.cube_key(target, Options())


class Client(downloads.FakeClient):
    """Answers land cover with codes of its own."""

    codes = (0, 10, 50, 80)

    def fetch(self, expression, bands, where):
        if tuple(bands) != ("landcover",):
            return super().fetch(expression, bands, where)
        size = where["dimensions"]
        return np.resize(self.codes, (size["height"], size["width"], 1)).astype(np.int16)


def test_an_exported_cube_has_it_and_is_otherwise_the_same(tmp_path, guard):
    target = downloads.make_target()
    downloads.export(tmp_path / "plain", [target], Client())
    downloads.export(tmp_path / "with", [target], Client(), WITH)
    one, other = (cube_io.read_raw(tmp_path / n / target.cube_id, True) for n in ("with", "plain"))
    assert one.info.landcover == WORLDCOVER and other.info.landcover is None
    np.testing.assert_array_equal(one.landcover, np.resize(Client.codes, (32, 32)))
    for name in ("s1", "s2", "label"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.info.source["catalogue"]["landcover"] == "ESA/WorldCover/v200"
    # What is there is not exported again, nor taken for one without.
    downloads.export(tmp_path / "with", [target], downloads.NoClient(), WITH, downloads.no_graphs)
    assert "label" in assembly.what_differs(other.info, target, WITH)


def test_codes_that_the_map_does_not_have_are_named(tmp_path, guard, monkeypatch):
    monkeypatch.setattr(Client, "codes", (10, 11))
    target = downloads.make_target()
    summary, _ = downloads.export(tmp_path / "with", [target], Client(), WITH)
    assert "land cover: found code 11" in summary.failed[target.cube_id]
    assert not (tmp_path / "with" / target.cube_id).exists()


def test_the_config_names_it():
    config = {
        "kind": "regions", "anchor": "months", "num_periods": 6,
        "months": ("2018-01-01", "2018-06-01"),
        "regions": {"a": {"box": (5.0, 50.0, 5.05, 50.03), "country": "belgium",
                          "harvest": "2018-08-01", "split": "train"}},
        "label": {"kind": "none", "landcover": "worldcover"},
    }  # fmt: skip
    _, options = export.read_config(config)
    assert options.label.landcover == "worldcover"
