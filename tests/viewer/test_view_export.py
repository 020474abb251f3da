"""One file that needs no server: all of the map lies in it, and nothing outside of it is named."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
from viewer import made_views

from cropmap_jax.viewer import export, pieces, tiles


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_file_holds_the_pixels_of_tiles_and_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made_views.series(tmp_path / "series", values=(0, 1))
    made_views.write_cube(tmp_path / "cubes")
    made_views.fields(tmp_path / "f.gpkg")
    view = made_views.view(tmp_path / "series", tmp_path / "cubes", tmp_path / "f.gpkg")
    size = export.write(view, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert len(page.encode()) == size
    data = data_of(page)
    assert data["view"]["dates"] == ["2022-05-01", "2022-06-01"] and data["zoom"] == 14
    (place,) = data["rectangles"]
    for number, (date, one) in enumerate(zip(data["dates"], map(view.one, (0, 1)), strict=True)):
        packed = zlib.decompress(base64.b64decode(date["crop"][0]))
        pixels = np.frombuffer(packed, np.uint8).reshape(place["height"], place["width"])
        assert set(np.unique(pixels)) == {number, 255}
        x, y = place["left"] // 256, place["top"] // 256
        tile = one.sampler.tile(one.crop, 14, x, y)[..., 0]
        left, top = place["left"] - 256 * x, place["top"] - 256 * y
        seen = tile[top : top + place["height"], left : left + place["width"]]
        np.testing.assert_array_equal(pixels[: seen.shape[0], : seen.shape[1]], seen)
        assert date["means"]["pixels"][str(number)] == 4096
    held = np.frombuffer(zlib.decompress(base64.b64decode(data["since"][0])), np.uint8)
    assert set(np.unique(held)) == {0, 1, 255}
    assert data["view"]["image"]["periods"] == [["2022-05-01", "2022-06-01"]]
    assert base64.b64decode(data["images"][0])[8:12] == b"WEBP"
    rows = [f["properties"]["rows"] for f in data["outlines"]["features"]]
    assert rows == [[["owner", "<b>A</b>"]], [["owner", "B"]]] and "<b>A" not in page
    # The zoom whose pixels are no larger than the map's.
    assert pieces.metres(14, 0.4) < 10 < pieces.metres(13, 0.4) and tiles.SIZE == 256


def test_nothing_is_fetched_and_only_its_own_scripts_run(tmp_path):
    made_views.write_map(tmp_path / "map")
    page = export.render(made_views.view(tmp_path / "map"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(scripts) == len(styles) == 2
    for text in (*scripts, *styles):
        assert export._hash(text) in policy
    assert not re.findall(r"^import |^export ", scripts[1], re.MULTILINE)
    assert not re.findall(r'(?:src|href)="(?!data:,|#map)[^"]*"', re.sub(
        r"<(script|style).*?</\1>", "", page, flags=re.DOTALL))  # fmt: skip
    assert "Copyright (c) 2023, MapLibre contributors" in page


def test_a_map_that_is_too_large_is_refused_with_what_fits(tmp_path, monkeypatch):
    made_views.write_map(tmp_path / "map")
    view = made_views.view(tmp_path / "map")
    monkeypatch.setattr(export, "LIMIT_MB", 2.8)
    with pytest.raises(ValueError, match=r"fits into 2.8 MB, .* about 71 km² \(0.7 million") as no:
        monkeypatch.setattr(export, "render", lambda _: " " * 2_900_000)
        export.write(view, tmp_path / "map.html")
    assert "\n" not in str(no.value) and not (tmp_path / "map.html").exists()
    # What is far too large is not even read.
    monkeypatch.setattr(export, "render", lambda _: pytest.fail("was read"))
    monkeypatch.setattr(export, "_pixels", lambda _: 10_000_000)
    with pytest.raises(ValueError, match="found one of about 14 MB"):
        export.write(view, tmp_path / "map.html")


def test_only_a_page_of_its_own_is_replaced(tmp_path):
    view = made_views.view(made_views.write_map(tmp_path / "map"))
    out = tmp_path / "map.html"
    out.write_text("<html>mine</html>")
    with pytest.raises(ValueError, match="found a file that experiments.view did not write"):
        export.write(view, out)
    assert out.read_text() == "<html>mine</html>"
    out.unlink()
    assert export.write(view, out) == export.write(view, out) == out.stat().st_size
    with pytest.raises(ValueError, match="expected a folder to write into, found none"):
        export.write(view, tmp_path / "no" / "map.html")


def test_scripts_cannot_be_ended_early():
    assert export._in_script("a</SCRIPT>b<!--") == "a<\\/SCRIPT>b<\\!--"
    with pytest.raises(ValueError, match="expected its exports at the end"):
        export._as_global("nothing")
    assert export._as_global("var e;export{e as Map,t};") == (
        "var e;globalThis.maplibregl={Map:e,t:t};"
    )
