"""The server without a network: what it answers, and what it refuses."""

import asyncio
import io
import json

import numpy as np
import pytest
from PIL import Image
from viewer import made_views

pytest.importorskip("fastapi", reason="needs the extra: view")

from cropmap_jax.viewer import app, pieces, serving


def get(server, path, query="", host="127.0.0.1:8750"):
    """Status, headers and body of a request as it is, nothing in the path resolved."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8750),
        "headers": [(b"host", host.encode())] if host is not None else [],
    }  # fmt: skip
    asyncio.run(server(scope, receive, send))
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:])


def load(server, path, query=""):
    status, _, body = get(server, path, query)
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    made_views.series(folder / "series")
    made_views.write_map(folder / "map")
    made_views.write_cube(folder / "cubes")
    made_views.fields(folder / "f.gpkg")
    return folder


@pytest.fixture(scope="module")
def server(root):
    return app.make_app(made_views.view(root / "map", root / "cubes", root / "f.gpkg"))


def test_every_file_of_the_page_is_there_and_no_other(server):
    for address, name in app.FILES.items():
        status, headers, body = get(server, f"/{address}")
        assert status == 200 and body == (app.STATIC / name).read_bytes()
        kind = "javascript" if name.endswith(("js", "mjs")) else name.rpartition(".")[2]
        assert kind.replace("txt", "plain") in headers["content-type"]
    listed = {app.STATIC / name for name in app.FILES.values()} | {app.STATIC / "embedded.js"}
    there = {path for path in app.STATIC.rglob("*") if path.is_file()}
    assert there - listed == {app.STATIC / "vendor/README.md"}


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..", "//etc/passwd", "/app.py",
        "/vendor/README.md", "/static/app.js", "/cube/crop.tif", "/openapi.json", "/docs",
        "/tiles/../0/1/0/0.png", "/tiles/other/0/1/0/0.png", "/tiles/crop/1/1/0/0.png",
        "/tiles/crop/0/25/0/0.png", "/tiles/crop/0/1/2/0.png", "/tiles/crop/0/1/0/-1.png",
        "/tiles/image/99/1/0/0.png", "/tiles/found/0/1/0/0.png", "/tiles/since/0/1/0/0.png",
        "/pixel/1.json", "/means/7.json",
    ],
)  # fmt: skip
def test_nothing_else_is_there(server, path):
    status, headers, body = get(server, path, "lon=1&lat=1")
    assert status in (404, 422) and b"root:" not in body
    assert headers["content-security-policy"] == app.POLICY


@pytest.mark.parametrize(
    "query", ["hide=../x", "hide=1;2", "hide=" + ",".join("1" * 300), "lon=x&lat=1", "lon=1&lat=91"]
)
def test_what_is_asked_for_is_checked(server, query):
    path = "/tiles/crop/0/1/0/0.png" if "hide" in query else "/pixel/0.json"
    assert get(server, path, query)[0] == 422


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8750", "127.0.0.1.evil.example",
                                  "", None, "[::2]:8750"])  # fmt: skip
def test_a_request_for_another_host_is_refused(server, host):
    status, headers, body = get(server, "/view.json", host=host)
    assert status == 421 and b"made" not in body and headers["content-security-policy"]


def test_a_request_for_this_machine_is_answered_and_may_load_nothing_from_elsewhere(server):
    for host in ("localhost", "LOCALHOST:1", "[::1]:8750", "127.0.0.1"):
        status, headers, _ = get(server, "/", host=host)
        assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "*" not in policy and "http" not in policy
    assert "unsafe" not in policy and headers["cross-origin-resource-policy"] == "same-origin"


def test_names_of_the_server():
    assert serving.names("127.0.0.1") and set(serving.names("")) == set(app.LOOPBACK)
    assert serving.names("0.0.0.0") == serving.names("::") == ()
    assert set(serving.names("Map.Local")) == {*app.LOOPBACK, "map.local"}
    assert "[fe80::1]" in serving.names("fe80::1")
    loopback = [h for h in ("127.0.0.2", "::1", "localhost", "0.0.0.0", "10.0.0.1", "a.b")
                if serving.is_loopback(h)]  # fmt: skip
    assert loopback == ["127.0.0.2", "::1", "localhost"]


def tile(server, layer, number, z, query=""):
    u, v = pieces.to_square(*(np.array([x]) for x in made_views.centre()))
    x, y = int(u[0] * 2**z), int(v[0] * 2**z)
    status, headers, body = get(server, f"/tiles/{layer}/{number}/{z}/{x}/{y}.png", query)
    assert status == 200 and headers["content-type"] == "image/png"
    row, col = int(v[0] * 2**z % 1 * 256), int(u[0] * 2**z % 1 * 256)
    image = Image.open(io.BytesIO(body)).convert("RGBA").resize((256, 256))
    return np.asarray(image), row, col


def test_tiles_of_each_layer(server, root):
    value = made_views.coded(made_views.SIDE, made_views.SIDE)[32, 32]
    shown = {0: "e6ab02ff", 1: "1b9e77ff", 254: "ddddddff", 255: "00000000"}[value]
    pixels, row, col = tile(server, "crop", 0, 17)
    assert bytes(pixels[row, col]).hex() == shown
    assert not tile(server, "crop", 0, 17, "hide=0,1,254")[0].any()
    # 80 % everywhere but where there is no class.
    pixels, *_ = tile(server, "confidence", 0, 17)
    assert len(np.unique(pixels[pixels[..., 3] > 0], axis=0)) == 1
    made = made_views.view(root / "map", root / "cubes").images
    wanted = made.layer(5).read(pieces.Piece(0, 32, 32, 1, 1))[0, 0]
    pixels, row, col = tile(server, "image", 5, 17)
    assert pixels[row, col].tolist() == wanted.tolist() and wanted[3] == 255


def test_a_place_its_class_curves_and_field(server, root):
    made = made_views.write_cube(root / "cubes")
    pixels = made_views.coded(made_views.SIDE, made_views.SIDE)
    for row, col in ((3, 5), (40, 63), (20, 21)):
        lon, lat = made_views.centre(row=row, col=col)
        found = load(server, "/pixel/0.json", f"lon={lon}&lat={lat}")
        assert found["value"] == pixels[row, col]
        assert found["confidence"] == (None if pixels[row, col] == 255 else 80)
        s2, vh = made.s2[:, row, col], made.s1[:, row, col, 1]
        ndvi = (s2[:, 6] - s2[:, 2]) / (s2[:, 6] + s2[:, 2])
        for key, wanted, least in (("ndvi", ndvi, 0.002), ("VH", vh, 0.006)):
            values = np.array([np.nan if v is None else v for v in found["curves"][key]])
            np.testing.assert_allclose(values, wanted, atol=least)
        assert ["owner", "<b>A</b>" if col < 32 else "B"] in found["field"]["rows"]
    nothing = load(server, "/pixel/0.json", "lon=1&lat=1")
    assert nothing["value"] is None and nothing["field"] is None and nothing["curves"] == {}


def test_since_when_a_class_has_held(root):
    made = app.make_app(made_views.view(root / "series"))
    assert load(made, "/view.json")["since"] == ["#440154", "#fde725"]
    for (row, col), since in {(20, 10): "2022-05-01", (20, 50): "2022-06-01"}.items():
        lon, lat = made_views.centre(row=row, col=col)
        assert load(made, "/pixel/1.json", f"lon={lon}&lat={lat}")["since"] == since
        assert "since" not in load(made, "/pixel/0.json", f"lon={lon}&lat={lat}")
    lon, lat = made_views.centre(row=2, col=2)
    assert load(made, "/pixel/1.json", f"lon={lon}&lat={lat}")["since"] is None
    pixels, *_ = tile(made, "since", 0, 14)
    seen = {bytes(p).hex() for p in np.unique(pixels.reshape(-1, 4), axis=0)}
    assert seen == {"00000000", "440154ff", "fde725ff"}
    assert get(made, "/tiles/since/1/1/0/0.png")[0] == 404


def test_the_page_is_told_what_there_is(server, root):
    told = load(server, "/view.json")
    assert told["dates"] == ["2022-06-01"] and [c["value"] for c in told["classes"]] == [0, 1, 254]
    assert [(c["title"], c["unit"]) for c in told["curves"]] == [("NDVI", ""), ("VH", "dB")]
    assert told["image"]["periods"][0] == ["2021-12-01", "2022-01-01"] and told["fields"]
    assert len(told["places"]) == 1
    # 64 x 64 pixels of 100 m², grown by some metres.
    assert told["places"][0]["hectares"] == pytest.approx(40.96, rel=0.15)
    bare = load(app.make_app(made_views.view(root / "series")), "/view.json")
    assert bare["image"] is None and bare["curves"] == [] and not bare["fields"]
    assert told["since"] is None and bare["token"] != told["token"] and len(bare["dates"]) == 2
    assert load(app.make_app(made_views.view(root / "map")), "/means/0.json") == {"state": "none"}


def test_outlines_in_view(server):
    lon, lat = made_views.centre()
    near = f"west={lon - 0.1}&south={lat - 0.1}&east={lon + 0.1}&north={lat + 0.1}"
    found = load(server, "/fields/0.json", near)
    assert [f["id"] for f in found["features"]] == [0, 1] and found["found"] == 2
    far = load(server, "/fields/0.json", "west=0&south=0&east=1&north=1")
    assert far["features"] == [] and far["found"] == 0


def test_a_damaged_raster_is_named_in_the_answer(tmp_path):
    made_views.write_map(tmp_path / "map")
    made = made_views.view(tmp_path / "map")
    (tmp_path / "map" / "cube" / "confidence.tif").write_bytes(b"no raster")
    lon, lat = made_views.centre()
    status, _, body = get(app.make_app(made), "/pixel/0.json", f"lon={lon}&lat={lat}")
    assert status == 500 and "confidence.tif: damaged" in json.loads(body)["error"]
