import http.client
import io
import json
import socket
import subprocess
import sys
import threading
import urllib.request

import fault_server
import numpy as np
import pytest
from fault_server import Fault, Settings, expected, key_of

BANDS = ("p00_B2", "p00_B3", "p01_B2")


def grid_at(x=500_000.0, y=5_600_000.0, height=16, width=24, crs="EPSG:32631", step=10.0):
    affine = {"scaleX": step, "shearX": 0.0, "translateX": x}
    affine |= {"shearY": 0.0, "scaleY": -step, "translateY": y}
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": affine,
        "crsCode": crs,
    }


def ask(server, grid=None, bands=BANDS, timeout=5, headers=(), **more):
    """(status, headers, body) of one computePixels request."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=timeout)
    body = {"expression": {}, "fileFormat": "NPY", "bandIds": bands, "grid": grid or grid_at()}
    try:
        connection.request(
            "POST",
            "/v1/projects/a-project/image:computePixels",
            json.dumps(body | more),
            dict(headers),
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def pixels(server, **options):
    status, _, body = ask(server, **options)
    assert status == 200, body
    return np.load(io.BytesIO(body))


def message(body):
    return json.loads(body)["error"]["message"]


# What it answers


def test_it_answers_what_is_expected(fault_server):
    answer = pixels(fault_server)
    assert answer.dtype == [(name, "<i2") for name in BANDS]
    assert answer.shape == (16, 24)
    np.testing.assert_array_equal(answer, expected(grid_at(), BANDS))


@pytest.mark.parametrize(
    "other",
    [
        dict(x=500_005.0),  # half a pixel
        dict(x=500_010.0),
        dict(y=5_600_005.0),
        dict(y=5_600_010.0),
        dict(crs="EPSG:32632"),
        dict(step=20.0),
    ],
)
def test_another_place_has_other_values(other):
    here, there = expected(grid_at(), BANDS), expected(grid_at(**other), BANDS)
    for name in BANDS:
        assert np.mean(here[name] == there[name]) < 0.01


def test_values_belong_to_places_and_not_to_rows_and_columns():
    whole = expected(grid_at(), BANDS)
    part = expected(grid_at(x=500_030.0, y=5_599_980.0, height=5, width=4), BANDS)
    np.testing.assert_array_equal(part, whole[2:7, 3:7])
    for flipped in (whole[::-1], whole[:, ::-1], whole[::-1, ::-1]):
        assert np.mean(flipped["p00_B2"] == whole["p00_B2"]) < 0.01
    square = expected(grid_at(width=16), BANDS)["p00_B2"]
    assert np.mean(square.T == square) < 0.1  # the diagonal


def test_every_band_differs_from_every_other():
    bands = [f"p{i:02d}_B{j}" for i in range(12) for j in range(10)]
    answer = expected(grid_at(), bands)
    values = np.stack([answer[name].ravel() for name in bands])
    assert len(np.unique(values, axis=0)) == len(bands)
    assert values.min() >= 0 and values.max() < fault_server.VALUES
    assert max(np.mean(values[0] == other) for other in values[1:]) < 0.02


def test_labels_are_of_the_type_and_the_values_that_were_asked_for(fault_server):
    assert pixels(fault_server, bands=["label"]).dtype == [("label", "u1")]
    fault_server.set(label_dtype="uint16", label_values=[100, 211, 800])
    answer = pixels(fault_server, bands=["label", "p00_B2"])
    assert answer.dtype == [("label", "<u2"), ("p00_B2", "<i2")]
    assert sorted(np.unique(answer["label"])) == [100, 211, 800]
    np.testing.assert_array_equal(answer["p00_B2"], expected(grid_at(), BANDS)["p00_B2"])


def test_bands_may_be_missing(fault_server):
    fault_server.set(missing=["p00_"])
    answer = pixels(fault_server)
    assert (answer["p00_B2"] == -32768).all() and (answer["p00_B3"] == -32768).all()
    np.testing.assert_array_equal(answer["p01_B2"], expected(grid_at(), BANDS)["p01_B2"])


# What it does wrong


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("429", 429, "Too many concurrent aggregations."),
        ("500", 500, "internal error"),
        ("503", 503, "unavailable"),
        ("memory", 400, "User memory limit exceeded."),
        ("timeout", 400, "Computation timed out."),
        ("asset", 400, "not found"),
        ("404", 404, "not found"),
        ("401", 401, "invalid authentication credentials"),
        ("403", 403, "permission to use project a-project."),
        ("not_registered", 403, "Project a-project is not registered"),
        ("api_disabled", 403, "has not been used in project a-project"),
        ("quota", 429, "Quota exceeded"),
        ("bad_expression", 400, "Band pattern"),
    ],
)
def test_errors_are_worded_as_the_service_words_them(fault_server, kind, status, words):
    fault_server.set(faults=[Fault(kind, retry_after=7 if kind == "429" else None)])
    found, headers, body = ask(fault_server)
    assert (found, headers["Retry-After"]) == (status, "7" if kind == "429" else None)
    assert words in message(body)
    counts = fault_server.counts()
    assert counts["outcomes"] == {kind: 1} and counts["whole"] == {}


def test_broken_answers(fault_server):
    right = ask(fault_server)[2]
    fault_server.set(faults=[Fault("truncated")])
    with pytest.raises(http.client.IncompleteRead) as error:
        ask(fault_server)
    assert error.value.partial == right[: len(right) // 2]
    fault_server.set(faults=[Fault("short")])
    assert ask(fault_server)[2] == right[: len(right) // 2]
    fault_server.set(faults=[Fault("wrong_size")])
    assert pixels(fault_server).shape == (15, 24)
    fault_server.set(faults=[Fault("restricted")])
    _, headers, body = ask(fault_server)
    assert headers["x-earth-engine-quota-status"] == "parallelism_restricted=true"
    assert body == right
    fault_server.set(faults=[Fault("redirect")])
    assert ask(fault_server)[0] == 302


def test_lost_and_slow_connections(fault_server):
    right = ask(fault_server)[2]
    for fault in (Fault("dropped"), Fault("hang", seconds=0.05)):
        fault_server.set(faults=[fault])
        with pytest.raises(ConnectionError):
            ask(fault_server)
    fault_server.set(faults=[Fault("slow", seconds=0.3)])
    assert ask(fault_server)[2] == right
    assert list(fault_server.counts()["whole"].values()) == [2]
    with pytest.raises(TimeoutError):
        fault_server.set(faults=[Fault("hang", seconds=0.5)])
        ask(fault_server, timeout=0.1)


def test_faults_choose_their_requests(fault_server):
    near, far = grid_at(), grid_at(x=600_000.0)

    def statuses(faults, grids):
        fault_server.reset()
        fault_server.set(faults=faults)
        return [ask(fault_server, grid)[0] for grid in grids]

    assert statuses([Fault("500", numbers=(2, 4))], [near] * 5) == [200, 500, 200, 500, 200]
    assert statuses([Fault("500", first=1)], [near, near, far, far]) == [500, 200, 500, 200]
    assert statuses([Fault("500", match="|600000,")], [near, far, far]) == [200, 500, 500]
    values = 16 * 24 * len(BANDS)
    assert statuses([Fault("memory", above=values - 1)], [near]) == [400]
    assert statuses([Fault("memory", above=values)], [near]) == [200]
    # The first fault that applies, and together: only far ones, only their first attempt.
    both = [Fault("503", match="|600000,", first=1), Fault("500", numbers=(1,))]
    assert statuses(both, [near, far, far]) == [500, 503, 200]


def test_shares_are_drawn_from_the_seed_whatever_the_order():
    settings = Settings().changed(faults=[Fault("500", share=0.1)], seed=3)
    fault = settings.faults[0]

    def hit(seed, attempt=1):
        asks = [fault_server.Ask("pixels", f"k{i}", 1, i, attempt) for i in range(2000)]
        return [fault.applies(ask, seed, 0) for ask in asks]

    assert 150 < sum(hit(3)) < 250
    assert hit(3) == hit(3)
    assert hit(3) != hit(4)
    assert hit(3) != hit(3, attempt=2)


def test_unknown_faults_are_refused():
    with pytest.raises(ValueError, match="expected one of .*found '42'"):
        Fault("42")


def test_the_limits_of_the_service_hold(fault_server):
    bands = [f"p00_{i}" for i in range(1024)]
    status, _, body = ask(fault_server, grid_at(height=256, width=97), bands)
    assert status == 400
    assert message(body) == (
        "Total request size (50855936 bytes) must be less than or equal to 50331648 bytes."
    )
    assert ask(fault_server, grid_at(height=1, width=2), [*bands, "p01_0"])[0] == 400
    assert ask(fault_server, grid_at(height=1, width=32_769), ["label"])[0] == 400
    assert ask(fault_server, grid_at(height=1, width=32_768), ["label"])[0] == 200
    assert ask(fault_server, fileFormat="GEO_TIFF")[0] == 400
    assert ask(fault_server, bandIds=[])[0] == 400


# What it remembers


def test_it_counts_by_key(fault_server):
    near, far = grid_at(), grid_at(x=600_000.0)
    fault_server.set(faults=[Fault("500", numbers=(1,)), Fault("truncated", numbers=(4,))])
    ask(fault_server, near)
    pixels(fault_server, grid=near)
    pixels(fault_server, grid=far)
    with pytest.raises(http.client.IncompleteRead):
        ask(fault_server, far)
    counts = fault_server.counts()
    keys = key_of(near, BANDS), key_of(far, BANDS)
    assert counts["requests"] == 4
    assert counts["by_key"] == dict.fromkeys(keys, 2)
    assert counts["whole"] == dict.fromkeys(keys, 1)
    assert counts["outcomes"] == {"500": 1, "whole": 2, "truncated": 1}
    assert counts["values"] == 2 * 16 * 24 * len(BANDS)
    assert [entry[3] for entry in fault_server.log()] == ["500", "whole", "whole", "truncated"]
    assert key_of(near, BANDS) != key_of(near, BANDS[::-1])


def test_many_at_once_wait_together_and_too_many_are_refused(fault_server):
    fault_server.set(latency_s=0.3)
    found = []

    def some(n):
        threads = [
            threading.Thread(target=lambda: found.append(ask(fault_server)[0])) for _ in range(n)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    some(8)
    assert found == [200] * 8
    assert fault_server.counts()["most_in_flight"] == 8
    found.clear()
    fault_server.set(max_in_flight=4)
    some(8)
    assert sorted(found) == [200] * 4 + [429] * 4


def test_a_token_may_be_wanted(fault_server):
    fault_server.set(token="right")
    assert ask(fault_server)[0] == 401
    assert ask(fault_server, headers={"Authorization": "Bearer wrong"})[0] == 401
    right = {"Authorization": "Bearer right", "X-Goog-User-Project": "a-project"}
    assert ask(fault_server, headers=right)[0] == 200
    counts = fault_server.counts()
    assert counts["authorised"] == 2
    assert counts["projects"] == [["pixels", "a-project"]]


def test_the_process_can_be_told_and_asked(fault_process, tmp_path):
    fault_process.set(faults=[Fault("500", first=1)], label_values=[7], missing=["p01_"])
    assert ask(fault_process)[0] == 500
    answer = pixels(fault_process)
    np.testing.assert_array_equal(answer, expected(grid_at(), BANDS, fault_process.settings))
    assert fault_process.counts()["outcomes"] == {"500": 1, "whole": 1}
    assert [entry[3] for entry in fault_process.log()] == ["500", "whole"]
    fault_process.reset()
    ask(fault_process)
    fault_process.process.terminate()
    assert fault_process.process.wait(10) == 0
    state = json.loads((tmp_path / "fault_server.json").read_text())
    assert state["counts"]["requests"] == 1


# The guard of conftest


def test_connections_and_look_ups_out_of_this_machine_are_refused(guard):
    with pytest.raises(AssertionError, match="a look-up of storage.googleapis.com"):
        urllib.request.urlopen("https://storage.googleapis.com/x", timeout=1)
    with pytest.raises(AssertionError, match="192.0.2.1:80"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    with (
        pytest.raises(AssertionError, match="192.0.2.1:53"),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.sendto(b"", ("192.0.2.1", 53))
    with pytest.raises(AssertionError, match="192.0.2.1:81"), socket.socket() as tcp:
        tcp.connect_ex(("192.0.2.1", 81))
    found = [("storage.googleapis.com", None), *(("192.0.2.1", port) for port in (80, 53, 81))]
    assert guard.refused == found
    guard.refused.clear()


def test_the_guard_can_be_narrowed_to_one_server(guard, fault_server):
    guard.only(fault_server.url)
    assert ask(fault_server)[0] == 200
    with pytest.raises(AssertionError, match="a connection to 127.0.0.1:1;"):
        socket.create_connection(("127.0.0.1", 1), timeout=0.1)
    assert guard.refused == [("127.0.0.1", 1)]
    guard.refused.clear()


def test_a_process_that_nobody_asks_any_more_ends(tmp_path):
    state = tmp_path / "state.json"
    command = [sys.executable, fault_server.__file__, "--state", str(state), "--idle_s", "0.1"]
    assert subprocess.run(command, timeout=30).returncode == 0
    assert json.loads(state.read_text())["counts"]["requests"] == 0
