"""Fixtures for tests that compile, which takes most of their time: quickly, and once for all."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """Folder of compiled programs, shared by the workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "jax_cache"


@pytest.fixture(scope="package", autouse=True)
def quick_compilation(cache_dir):
    settings = {
        "jax_disable_most_optimizations": True,
        "jax_compilation_cache_dir": str(cache_dir),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
