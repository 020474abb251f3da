"""The page in a browser: the slider moves, nothing is logged, nothing leaves the page."""

import http.server
import threading

import chromium
import pytest
from made_reports import make

from cropmap_jax.reporting import render

pytestmark = pytest.mark.skipif(bool(chromium.WHY_NOT), reason=chromium.WHY_NOT or "-")
SHOWN = """
    const shown = [...document.querySelectorAll(".place:first-of-type .step")]
        .filter((one) => one.checkVisibility());
    return shown.map((one) => [one.dataset.name, one.querySelector(".prediction").src,
        one.querySelector(".confidence").src]);
"""
SAID = "return document.querySelector('.place output').textContent"


@pytest.fixture(scope="module")
def address():
    """A server that nobody is to ask, and what was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.fixture(scope="module")
def page(tmp_path_factory, address):
    folder = tmp_path_factory.mktemp("page")
    title = f"<img src={address[0]}/title><script src={address[0]}/script></script>"
    file = folder / "report.html"
    file.write_text(render.render(make(titles={"wheat": title})), encoding="utf-8")
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as browser:
        browser.open(file.as_uri())
        yield browser, file.as_uri()


def test_the_slider_changes_prediction_and_confidence_by_keyboard(page):
    browser, _ = page
    (last,) = browser.run(SHOWN)
    assert browser.run(SAID) == last[0] and last[0].startswith("30 days before the harvest of ")
    browser.press("#slide1", "left")
    (before,) = browser.run(SHOWN)
    assert before[0].startswith("60 days") and before[0] == browser.run(SAID)
    assert before[1] != last[1] and before[2] != last[2]
    browser.press("#slide1", "home")
    assert browser.run(SHOWN)[0][0].startswith("90 days")
    text = "return document.querySelector('#slide1').getAttribute('aria-valuetext')"
    assert browser.run(text) == browser.run(SAID)
    # Places have sliders of their own.
    assert browser.run("return document.querySelector('#slide2').value") == "2"


def test_nothing_is_logged_and_nothing_leaves_the_page(page, address):
    browser, uri = page
    browser.requests()
    browser.open(uri)
    assert browser.console() == []
    assert {one for one in browser.requests() if not one.startswith("data:")} == {uri}
    assert browser.run("return [...document.images].every((one) => one.naturalWidth > 0)")
    # What got into the page all the same could not ask, either.
    tried = f"""
        const image = new Image();
        image.src = "{address[0]}/image";
        const failed = new Promise((done) => {{ image.onerror = () => done("no image"); }});
        return [await failed, await fetch("{address[0]}/fetch").catch(() => "no answer")];
    """
    assert browser.run(tried) == ["no image", "no answer"]
    assert address[1] == []


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_a_page_is_as_wide_as_the_screen(page, width):
    browser, uri = page
    browser.resize(width)
    browser.open(uri)
    # A scroll bar takes some of it.
    script = "const { scrollWidth, clientWidth } = document.documentElement;"
    wanted, there = browser.run(f"{script} return [scrollWidth, clientWidth]")
    assert wanted <= there <= width


def test_letters_stand_out_in_light_and_dark(page):
    """Contrast of 4.5 and more, as WCAG 2.1 asks for: on paper, boxes and the darkest cells."""
    browser, uri = page
    script = """
        const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
        const over = (top, below) => top.slice(0, 3).map(
            (v, i) => v * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
        const light = (rgb) => rgb.map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const paper = (one) => {
            const own = parse(getComputedStyle(one).backgroundColor);
            const below = one.parentElement ? paper(one.parentElement) : [255, 255, 255];
            return own.length ? over(own, below) : below;
        };
        const found = [];
        const texts = "p, li, td, th, a, summary, dd, output, code";
        for (const one of document.querySelectorAll(texts)) {
            if (!one.checkVisibility()) continue;
            const ink = parse(getComputedStyle(one).color).slice(0, 3);
            const [a, b] = [light(ink), light(paper(one))];
            found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.className]);
        }
        return found.sort((a, b) => a[0] - b[0])[0];
    """
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.cdp("Emulation.setEmulatedMedia", features=features)
        browser.open(uri)
        least, where = browser.run(script)
        assert least >= 4.5, (scheme, where)


def test_on_paper_every_step_is_there_and_all_is_unfolded(page):
    browser, uri = page
    browser.open(uri)
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    assert len(browser.run(SHOWN)) == 3
    assert browser.run("return document.querySelector('.slider').checkVisibility()") is False
    opened = """
        dispatchEvent(new Event("beforeprint"));
        const shut = document.querySelectorAll("details:not([open])").length;
        dispatchEvent(new Event("afterprint"));
        return [shut, document.querySelectorAll("details[open]").length];
    """
    assert browser.run(opened) == [0, 0]
    browser.cdp("Emulation.setEmulatedMedia", media="")


def test_without_a_script_all_steps_are_shown(page):
    browser, uri = page
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(uri)
    browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
    assert len(browser.run(SHOWN)) == 3
    assert browser.run("return document.querySelector('.slider').checkVisibility()") is False
