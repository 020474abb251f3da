"""The notebooks run as they are, and open as notebooks. All in one process: most of their time is
imports and compilation."""

import pathlib
import subprocess
import sys

import pytest
from started import ENV

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
# Figures that each draws.
NOTEBOOKS = {"from_a_stack_to_a_map": 2, "how_early": 2, "my_own_fields": 3}
RUN = """
import runpy, sys, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
for file in sys.argv[1:]:
    runpy.run_path(file)
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
        for axes in plt.figure(number).axes:
            assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title()
    print("figures:", len(plt.get_fignums()))
    plt.close("all")
"""


def test_all_notebooks_are_tested_and_open():
    assert {file.stem for file in (CHECKOUT / "notebooks").glob("*.py")} == set(NOTEBOOKS)
    jupytext = pytest.importorskip("jupytext")
    for name in NOTEBOOKS:
        cells = jupytext.read(CHECKOUT / "notebooks" / f"{name}.py").cells
        kinds = [cell.cell_type for cell in cells]
        assert kinds[0] == "markdown" and cells[0].source.startswith("# ")
        assert kinds.count("code") >= 6 and kinds.count("markdown") >= 5


def test_the_notebooks_run(tmp_path):
    files = [str(CHECKOUT / "notebooks" / f"{name}.py") for name in NOTEBOOKS]
    around = ENV | {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, *files],
        cwd=tmp_path,
        env=around,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [int(line.split()[1]) for line in done.stdout.splitlines() if "figures:" in line]
    assert counts == list(NOTEBOOKS.values())
    assert "WARNING" not in done.stderr, "notices of libraries stay out"
