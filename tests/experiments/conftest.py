"""Programs are compiled quickly, and once for all workers."""

from training.quick_jax import cache_dir, quick_compilation

__all__ = ["cache_dir", "quick_compilation"]
