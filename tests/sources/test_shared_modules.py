"""What providers of pixels share knows none of them and needs no package of theirs."""

import pathlib
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SHARED = sorted(path.stem for path in (CHECKOUT / "cropmap_jax" / "sources").glob("*.py"))
EARTH_ENGINE = "cropmap_jax.sources.earthengine"
# The modules of Earth Engine's extra cannot be imported, as where it is not installed.
RUN = """
import importlib, sys
for name in ("ee", "google.auth", "googleapiclient"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted(name for name in sys.modules if name.startswith("cropmap_jax.sources.")))
"""


def imported(*modules):
    """Modules of cropmap_jax.sources that are there after importing some, without Earth Engine."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *modules], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_providers_share_needs_no_earth_engine():
    assert {"targets", "regions", "timing", "manifest", "missing_report"} <= set(SHARED)
    names = [f"cropmap_jax.sources.{name}" for name in SHARED if name != "__init__"]
    found = imported(*names)
    assert set(names) <= set(found)
    assert not [name for name in found if name.startswith(EARTH_ENGINE)]


def test_the_rest_of_the_library_needs_no_earth_engine():
    paths = [path.relative_to(CHECKOUT) for path in (CHECKOUT / "cropmap_jax").rglob("*.py")]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    rest = sorted(name for name in names if not name.startswith(EARTH_ENGINE))
    assert len(rest) > 80
    assert not [name for name in imported(*rest) if name.startswith(EARTH_ENGINE)]


@pytest.mark.parametrize("tree", ["cropmap_jax", "experiments", "datasets", "configs"])
def test_only_its_own_command_imports_earth_engine(tree):
    # What items of cubes say is no import.
    allowed = (
        "cropmap_jax/sources/earthengine/",
        "experiments/export.py",
        "cropmap_jax/geo/sensors.py",
    )
    paths = [path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / tree).rglob("*.py")]
    found = [
        path for path in paths
        if not path.startswith(allowed) and EARTH_ENGINE in (CHECKOUT / path).read_text()
    ]  # fmt: skip
    assert found == []
