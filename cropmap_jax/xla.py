"""Settings of XLA, to be made before jax first looks for a device."""

import importlib.metadata
import os

LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
"""XLA's flag for what it hands to YNNPACK."""
TRIED = ("0.10.",)
"""Versions of jaxlib that were tried; one that does not know a flag ends the process."""


def tune() -> None:
    """Keeps XLA on the CPU from handing convolutions to YNNPACK, as jaxlib 0.10 does by default.

    There its gradients to kernels take up to three times as long as with XLA's own convolutions
    (`python -m benchmarks.blocks`). Other devices ignore this setting, and an XLA_FLAGS that
    mentions it already stays as it is.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if LIBRARY not in flags and importlib.metadata.version("jaxlib").startswith(TRIED):
        os.environ["XLA_FLAGS"] = f"{flags} --{LIBRARY}=-individual_convolution".strip()
