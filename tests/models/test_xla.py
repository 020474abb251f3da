"""XLA's settings are made where they help, and nowhere else."""

import importlib.metadata

import jax
import numpy as np
import pytest

from benchmarks import plain
from cropmap_jax import xla

OFF = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("0.10.2", None, OFF),
        ("0.10.2", "--xla_dump_to=x", f"--xla_dump_to=x {OFF}"),
        ("0.10.2", f"{xla.LIBRARY}=dot", f"{xla.LIBRARY}=dot"),
        ("0.11.0", None, None),
        ("0.1.75", "", ""),
    ],
)
def test_settings_are_added_to_the_users(monkeypatch, version, before, after):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    # Set first, so that monkeypatch knows of it and takes it back in any case.
    monkeypatch.setenv("XLA_FLAGS", before or "")
    if before is None:
        monkeypatch.delenv("XLA_FLAGS")
    xla.tune()
    assert xla.os.environ.get("XLA_FLAGS") == after


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a setting of the CPU")
@pytest.mark.skipif(not jax.lib.__version__.startswith(xla.TRIED), reason="jaxlib 0.10")
def test_convolutions_stay_with_xla():
    x, kernel = np.ones((8, 64, 64, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
    assert "ynn_fusion" not in jax.jit(plain.conv2d).lower(x, kernel).compile().as_text()
