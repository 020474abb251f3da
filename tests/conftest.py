"""What every test may use: the real data where it is there, and one hypothesis profile."""

import gc
import os
import pathlib
import signal

import hypothesis
import pytest

from cropmap_jax import xla

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]

# Compiling is most of what the tests of the networks do: once per change is enough. The commands
# that tests start inherit it.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CHECKOUT / ".pytest_cache" / "compiled"))

# As the commands do.
xla.tune()

# A shell starts what runs in its background with Ctrl-C ignored; here it is asked for and answered.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run and on every machine: a red test stays red until it is fixed.
hypothesis.settings.register_profile("tests", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("tests")


def pytest_configure(config):
    # odc-geo 0.5.3 calls a shapely function that shapely 2.2 replaces; nothing of ours does.
    config.addinivalue_line(
        "filterwarnings", "ignore:The 'shapely.ops.transform:DeprecationWarning"
    )


def pytest_collection_finish():
    # What is imported stays: looking through it for garbage, again and again, takes seconds.
    gc.freeze()


def pytest_sessionfinish():
    gc.freeze()  # pytest looks five times through what is left


# No test cuts the power, and that alone is what waiting for the disk is for. Tests of what happens
# when the disk is full replace this.
os.fsync = lambda number: None


@pytest.fixture
def float64():
    """Networks, losses and gradients in float64, for a bound that hangs on rounding.

    In float32 the error of a sum hangs on its order, and that on the processor.
    """
    import in_float64

    with in_float64.float64():
        yield


@pytest.fixture(scope="session")
def starter(tmp_path_factory):
    """What runs commands, each in a fork of a process that has imported what they need."""
    import started

    with started.Starter(tmp_path_factory.mktemp("printed"), started.ENV) as one:
        yield one


@pytest.fixture(scope="session")
def real_dir() -> pathlib.Path:
    """Folder of real data, which is not part of the project; tests that need it skip without it."""
    named = os.environ.get("CROPMAP_REAL")
    folder = pathlib.Path(named) if named else CHECKOUT.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CROPMAP_REAL to the folder that holds it")
    return folder
