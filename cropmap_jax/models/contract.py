"""What a network has to keep to, see `registry`, and one line about one that does not."""

import contextlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

HEAD = "head"
"""The top-level name of the head's parameters and statistics; all others are the trunk's."""

_OWN = __name__.partition(".")[0]


class BrokenNetwork(ValueError):
    """A network that raises, or that returns what it should not."""


@contextlib.contextmanager
def running(network: nn.Module) -> Iterator[None]:
    """Reports what a network from outside this package raises as one line, with file and line.

    Raises:
        BrokenNetwork: names the network, the place and what was raised there.
    """
    try:
        yield
    except BrokenNetwork:
        raise
    except Exception as error:  # a network of a user's may raise anything
        kind = type(network)
        if kind.__module__.partition(".")[0] == _OWN:
            raise  # ours: it keeps its traceback
        reason = (str(error).splitlines() or [""])[0][:200]
        raise BrokenNetwork(
            f"network {kind.__name__}: {_place(kind, error)}{type(error).__name__}: {reason}"
        ) from error


def _place(kind: type, error: Exception) -> str:
    """Where in the network's file an error came from."""
    try:
        file = inspect.getfile(kind)
    except (TypeError, OSError):
        return ""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{file}, line {lines[-1]}: " if lines else ""


def check(network: nn.Module, logits: Any, variables: Mapping[str, Any], inputs: Any) -> None:
    """Requires the logits and the parameters that `registry` describes.

    Args:
        network: the network.
        logits: what it returned for the inputs, or its shape.
        variables: of the network, or their shapes.
        inputs: `variables.Inputs`, or their shapes.

    Raises:
        BrokenNetwork: names the network, what was found and what was expected.
    """
    where = f"network {type(network).__name__}"
    batch, _, height, width, _ = next(iter(inputs.pixels.values())).shape
    shape, dtype = getattr(logits, "shape", None), getattr(logits, "dtype", None)
    # A network that is no registered one may have classes of its own.
    classes = getattr(network, "num_classes", shape[-1] if shape else None)
    expected = (batch, height, width, classes)
    if shape != expected or dtype is None:
        found = shape if shape is not None else type(logits).__name__
        raise BrokenNetwork(
            f"{where}: expected logits [B, H, W, num_classes] of shape {expected}, found {found}"
        )
    if not jnp.issubdtype(dtype, jnp.floating) or jnp.finfo(dtype).bits < 32:
        raise BrokenNetwork(f"{where}: expected logits of float32 or wider, found {dtype}")
    params = variables.get("params", {})
    if HEAD not in params:
        listed = ", ".join(sorted(params)) or "none"
        raise BrokenNetwork(f"{where}: expected parameters under {HEAD!r}, found {listed}")
