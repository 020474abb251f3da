"""What a workdir holds: a network, a baseline, or several of these combined."""

from cropmap_jax.runs.opening import (
    COMBINED,
    NETWORK,
    check_free,
    folders,
    method_of,
    open_run,
    parts_of,
    predictor_of,
    unused_bands,
)

__all__ = [
    "COMBINED",
    "NETWORK",
    "check_free",
    "folders",
    "method_of",
    "open_run",
    "parts_of",
    "predictor_of",
    "unused_bands",
]
