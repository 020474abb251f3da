"""The benchmark of fetches runs, and what it checks is wrong where it is wrong."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("odc.stac", reason="needs odc-stac (extra: stac)")
pytest.importorskip("pystac_client", reason="needs pystac-client (extra: stac)")

from benchmarks import fetch

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def test_it_is_killed_and_ends_with_every_cube_right(tmp_path):
    file = tmp_path / "fetch.json"
    command = [sys.executable, "-m", "benchmarks.fetch", "--quick", "--json", str(file)]
    done = subprocess.run(
        [*command, "--every=60"], cwd=CHECKOUT, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(file.read_text())["figures"]
    assert figures["cubes"] == figures["expected"] == 5 and figures["kills"] == 1
    assert figures["fetched_again"] == 0
    # Rounding of what is stored: a median of two whole numbers, and 0.01 dB.
    assert figures["worst_s2_dn"] <= 0.5 and figures["worst_s1_db"] <= 0.0051


def test_what_is_expected_is_of_the_scenes():
    s2, s1 = fetch.expected(slice(2, 6), slice(3, 8))
    assert s2.shape == (2, 4, 5, 10) and s1.shape == (2, 4, 5, 2)
    days = [
        time.month for name, time, _ in fetch.scenes(slice(0, 4), slice(0, 5)) if "2-l2a" in name
    ]
    assert days == sorted(days) and set(days) == {3, 4}
    assert len(np.unique(s2[0, ..., 0])) > 15 and np.isfinite(s1).all()
