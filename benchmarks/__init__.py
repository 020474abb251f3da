"""What is believable, hard and fast: scripts that measure, run as `python -m benchmarks.<name>`."""

from cropmap_jax import xla

xla.tune()
