"""The benchmark of exports runs, and its figures are what they say."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import export

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What --quick prints, and the figures; in a process of its own, for `ee` keeps its server."""
    file = tmp_path_factory.mktemp("benchmark") / "export.json"
    command = [sys.executable, "-m", "benchmarks.export", "--quick", "--json", str(file)]
    done = subprocess.run(
        [*command, "--latency=0.05", "--in_flight=8"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, json.loads(file.read_text())["figures"]


def test_no_share_is_above_the_ideal(quick):
    _, figures = quick
    rows = figures["answers"] + figures["exports"]
    assert len(rows) == 2 + 4
    for row in rows:
        assert 0 < row["share"] <= 1 and row["client_ms"] > 0
    # Whole rounds of answers as large as a label and seven months of S1 are.
    assert [row["bytes"] for row in figures["answers"]] == [128**2 * 2, 128**2 * 2 * 14]
    assert [row["requests"] for row in figures["answers"]] == [32, 24]
    assert all(0 < row["server"] <= 1 for row in figures["answers"])
    # Three cubes of S1, S2, label and a look-up; and small ones in many parts.
    assert [row["requests"] for row in figures["exports"]] == [12, 12, 4 * 23, 2 * 63]
    assert len(figures["resident_mib"]) == 3 and min(figures["resident_mib"]) > 50


def test_the_tables_say_what_they_hold(quick):
    text, _ = quick
    assert "| one size of answer, the client alone" in text and "| whole exports" in text
    assert "128 px, 12 months, 4 requests a cube, 0.5 s" in text
    assert "MiB resident at cube 3" in text


def test_an_answer_that_is_no_200_is_no_figure():
    assert export._length(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n") == 77
    with pytest.raises(ValueError, match=r"expected an answer 200, found 'HTTP/1.1 429 Too"):
        export._length(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")


def test_errors_in_threads_are_told():
    def ask():
        return lambda i: 1 // (i - 3)

    with pytest.raises(ZeroDivisionError):
        export.in_threads(10, 4, ask)
    assert export.in_threads(3, 4, ask) == 3
