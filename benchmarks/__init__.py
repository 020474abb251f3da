"""What is believable, hard and fast: scripts that measure, run as `python -m benchmarks.<name>`."""

import os

from cropmap_jax import xla

xla.tune()
# PyTorch runs beside JAX, which would take three quarters of a GPU before PyTorch gets any.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
