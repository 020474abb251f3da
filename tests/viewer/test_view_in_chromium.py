"""The page in a browser, served by the command and as a file: what a person does with it.

One browser and one server for all; each test leaves the page as it found it.
"""

import base64
import io
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import started
from PIL import Image
from reporting import chromium
from viewer import made_views

from cropmap_jax.viewer import export, tiles

pytestmark = pytest.mark.skipif(bool(chromium.WHY_NOT), reason=chromium.WHY_NOT or "-")
pytest.importorskip("fastapi", reason="needs the extra: view")
READY = """
    for (let i = 0; i < 400; i++) {
        const { cropmap } = globalThis;
        const drawn = cropmap && document.documentElement.dataset.ready;
        if (drawn && cropmap.map.areTilesLoaded() && !cropmap.map.isMoving()) {
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
            if (cropmap.map.areTilesLoaded()) return "";
        }
        await new Promise((done) => setTimeout(done, 50));
    }
    return document.getElementById("status").textContent || "not ready";
"""
WHEAT, BEET = (0xE6, 0xAB, 0x02), (0x1B, 0x9E, 0x77)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A series of a map that is all wheat on the first date and all sugar beet on the second."""
    root = tmp_path_factory.mktemp("page")
    made_views.series(root / "series")
    made_views.write_cube(root / "cubes")
    made_views.fields(root / "f.gpkg")
    return root


@pytest.fixture(scope="module")
def address(made):
    """Where the command serves; it ends by Ctrl-C, with nothing to complain about."""
    flags = ("--map", made / "series", "--cubes", made / "cubes", "--fields", made / "f.gpkg")
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.view", *map(str, flags), "--port", "0"],
        cwd=started.CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=started.ENV | {"XDG_CACHE_HOME": str(made / "cache")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.match(r"map: (http://127\.0\.0\.1:\d+/)$", line):
            break
    else:
        raise AssertionError("".join(lines))
    yield found[1]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out.split()[-1:] == ["ended"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as found:
        found.resize(1200, 700)
        found.open("about:blank")
        found.requests()
        yield found


@pytest.fixture(scope="module")
def page(browser, address):
    browser.open(address)
    assert browser.run(READY) == ""
    return browser


def middle(browser):
    """Colour of the map, a little away from its middle, where no pin and no outline is."""
    data = browser.cdp("Page.captureScreenshot", format="png")["data"]
    if os.environ.get("KEEP_SCREENSHOTS"):
        with open(os.environ["KEEP_SCREENSHOTS"], "wb") as file:
            file.write(base64.b64decode(data))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    box = browser.run("const b = document.getElementById('map').getBoundingClientRect();"
                      "return [b.left + b.width / 2, b.top + b.height / 2];")  # fmt: skip
    return tuple(pixels[int(box[1]) + 60, int(box[0]) + 60].tolist())


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click(); return 1")
    assert browser.run(READY) == ""


def test_layers_switch_and_classes_hide(page):
    assert middle(page) == BEET
    click(page, "[data-value='1']")
    image = middle(page)
    assert image not in (BEET, WHEAT), "the image below it"
    click(page, "#on-image")
    bare = middle(page)
    assert bare not in (image, BEET)
    click(page, "#on-confidence")
    assert middle(page) == tuple(tiles.confidence_palette()[80][:3])
    click(page, "#on-confidence")
    click(page, "#all")
    assert middle(page) == BEET
    click(page, "#on-since")
    assert middle(page) == (0xFD, 0xE7, 0x25), "the east has held since the latest date"
    click(page, "#on-since")
    click(page, "#on-image")


def test_the_slider_moves_through_the_season_by_keyboard(page):
    said = "return document.querySelector('#date-text').textContent"
    assert page.run(said) == "1 June 2022"
    page.press("#date", "left")
    assert page.run(READY) == "" and page.run(said) == "1 May 2022" and middle(page) == WHEAT
    hectares = "return [...document.querySelectorAll('#legend .number')].map((o) => o.textContent)"
    assert page.run(hectares) == ["41 ha", "0 ha", "0 ha"]
    assert "date=2022-05-01" in page.run("return location.hash")
    page.press("#date", "right")
    assert page.run(READY) == "" and middle(page) == BEET
    assert page.run(hectares) == ["0 ha", "41 ha", "0 ha"]


def test_a_click_shows_a_table_and_curves_and_escape_closes_it(page):
    box = page.run("const b = document.querySelector('#map canvas').getBoundingClientRect();"
                   "return [b.left + b.width / 2, b.top + b.height / 2];")  # fmt: skip
    at = {"x": box[0] - 40, "y": box[1] + 9, "button": "left", "clickCount": 1}
    for kind in ("mousePressed", "mouseReleased"):
        page.cdp("Input.dispatchMouseEvent", type=kind, **at)
    shown = """
        for (let i = 0; i < 200; i++) {
            const text = document.getElementById("facts").innerText;
            if (text.includes("mean of Sugar beet")) return text;
            await new Promise((done) => setTimeout(done, 50));
        }
        return document.body.innerText;
    """
    text = page.run(shown)
    for said in (
        "Class",
        "Sugar beet",
        "80 %",
        "<b>A</b>",
        "NDVI",
        "VH (dB)",
        "as of",
        "this pixel",
    ):
        assert said in text
    assert page.run("return document.querySelectorAll('#facts .pixel').length") == 2
    assert page.run("return document.querySelectorAll('#facts .months tr').length") == 10
    assert "at=" in page.run("return location.hash")
    # It is of the map's date, and follows it.
    page.press("#date", "left")
    assert "mean of Wheat" in page.run(shown.replace("mean of Sugar beet", "mean of Wheat"))
    page.press("#date", "right")
    page.press("#date", "escape")
    assert page.run("return document.getElementById('here').hidden") is True
    assert "at=" not in page.run("return location.hash")


def test_the_map_moves_and_asks_by_keyboard(page):
    # The first key leads past the link to the map, the second into it.
    page.press(".skip", "tab")
    assert page.run("return document.activeElement.className").startswith("maplibregl-canvas")
    assert page.run("return getComputedStyle(document.querySelector('#cross')).display") == "block"
    before = page.run("return location.hash")
    page.press("#map canvas", "left")
    assert page.run(READY) == "" and page.run("return location.hash") != before
    page.press("#map canvas", "enter")
    page.run("for (let i = 0; i < 100 && document.getElementById('here').hidden; i++)"
             "  await new Promise((done) => setTimeout(done, 50)); return 1")  # fmt: skip
    assert page.run("return document.getElementById('here').hidden") is False
    page.press("#map canvas", "escape")
    assert page.run("return document.getElementById('here').hidden") is True
    order = page.run("return [...document.querySelectorAll('[tabindex]')].map((o) => o.tabIndex)")
    assert max(order) == 0, "in the order in which it is shown"


def test_a_link_holds_the_view(page, address):
    lon, lat = made_views.centre(row=10, col=10)
    link = f"{address}#view=15.50/{lat:.5f}/{lon:.5f}&layers=crop&date=2022-05-01"
    link += f"&image=2022-02-01&hide=1,254&opacity=crop:50&at={lat:.5f},{lon:.5f}"
    page.open("about:blank")
    page.open(link)
    assert page.run(READY) == ""
    state = page.run("""
        const { map, state } = cropmap;
        return [map.getZoom(), state.date, state.image, state.on.image, state.opacity.crop];
    """)
    assert state == [15.5, 0, 2, False, 0.5]
    assert page.run("return cropmap.map.getCenter().lat") == pytest.approx(lat, abs=1e-4)
    assert page.run("return [...cropmap.state.hidden]") == [1, 254]
    assert page.run("return document.getElementById('here').hidden") is False
    assert page.run("return location.href") == link
    # What is wrong in it is left out.
    page.open("about:blank")
    page.open(f"{address}#view=a/b/c&layers=none&date=2020-01-01&hide=x&opacity=crop:900&at=95,1")
    assert page.run(READY) == ""
    assert page.run("return [cropmap.state.date, cropmap.state.at]") == [1, None]
    page.open("about:blank")
    page.open(address)
    assert page.run(READY) == ""


def test_what_is_shown_first_is_what_go_to_names(page):
    assert page.run("return document.getElementById('places').value") == "-1"
    # Of places that would be dots on the whole map the largest is shown, and named.
    first = """
        const { Layers } = await import("/layers.js");
        const places = [{ bounds: [50, 30, 50 + %s, 30.01] }, { bounds: [59.99, 30, 60, 30.01] }];
        const view = { bounds: [50, 30, 60, 30.01], places };
        return Layers.prototype.firstPlace.call({ view });
    """
    assert page.run(first % 0.01) == 0
    assert page.run(first % 2) == -1


def test_a_phone_sees_the_map_and_a_sheet_below_it(page, address):
    page.resize(360, 700)
    page.open(address)
    assert page.run(READY) == "" and middle(page) == BEET
    wide = "const { scrollWidth, clientWidth } = document.documentElement;"
    assert page.run(f"{wide} return scrollWidth <= clientWidth && clientWidth <= 360")
    inside = "return getComputedStyle(document.getElementById('inside')).visibility"
    assert page.run(inside) == "hidden"
    click(page, "#sheet")
    assert page.run(inside) == "visible"
    # Nothing of the slider lies under the sheet.
    click(page, "#sheet")
    apart = """
        const [season, panel] = ["season", "panel"]
            .map((id) => document.getElementById(id).getBoundingClientRect());
        return season.bottom <= panel.top && season.left >= 0 && season.right <= 360;
    """
    assert page.run(apart) is True
    page.resize(1200, 700)


def test_the_file_does_the_same_without_a_server(browser, made, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "cache"))
    view = made_views.view(made / "series", made / "cubes", made / "f.gpkg")
    export.write(view, made / "map.html")
    browser.requests()
    browser.open((made / "map.html").as_uri())
    assert browser.run(READY) == "" and middle(browser) == BEET
    browser.press("#date", "left")
    assert browser.run(READY) == "" and middle(browser) == WHEAT
    click(browser, "#on-since")
    assert middle(browser) == (0xFD, 0xE7, 0x25)
    click(browser, "#on-since")
    click(browser, "#on-confidence")
    assert middle(browser) == tuple(tiles.confidence_palette()[80][:3])
    click(browser, "#on-confidence")
    click(browser, "[data-value='0']")
    assert middle(browser) not in (BEET, WHEAT), "the image below it"
    browser.run("const { map } = cropmap; const c = map.getCenter(); c.lng -= 5e-4;"
                "map.fire('click', { point: map.project(c), lngLat: c }); return 1")  # fmt: skip
    text = browser.run("""
        for (let i = 0; i < 100 && document.getElementById("here").hidden; i++)
            await new Promise((done) => setTimeout(done, 50));
        return document.getElementById("facts").innerText;
    """)
    for said in ("Wheat", "80 %", "<b>A</b>", "mean of Wheat", "This file holds means"):
        assert said in text
    asked = [one for one in browser.requests() if not one.startswith(("data:", "blob:"))]
    assert {one.partition("#")[0] for one in asked} == {(made / "map.html").as_uri()}
    errors = [one for one in browser.console() if one["level"] == "SEVERE"]
    assert errors == []


def test_nothing_left_the_machine(browser, address):
    browser.requests()
    browser.open(address)
    assert browser.run(READY) == ""
    asked = browser.requests()
    assert len([one for one in asked if "/tiles/" in one]) >= 2
    assert [one for one in asked if not one.startswith((address, "data:", "blob:"))] == []
    assert [one for one in browser.console() if one["level"] == "SEVERE"] == []
