"""Programs are compiled quickly, and once for all workers; all commands share one start."""

import pytest
from started import ENV, Starter
from training.quick_jax import cache_dir, quick_compilation

__all__ = ["cache_dir", "quick_compilation", "starter"]


@pytest.fixture(scope="session")
def starter(tmp_path_factory):
    """What runs commands, each in a fork of a process that has imported what they need."""
    with Starter(tmp_path_factory.mktemp("printed"), ENV) as started:
        yield started
