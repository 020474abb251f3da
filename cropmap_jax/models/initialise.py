"""A network's variables: their shapes, and what its `init` draws with numpy as the source of bits.

XLA compiles a generator for every array, which takes longer than the first training step. So the
keys that `init` gets are of a generator of our own, whose bits come from numpy on the host; what
the initializers make of them, XLA does. It serves any network and any initializer.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cropmap_jax.models import contract
from cropmap_jax.models.variables import cpu, input_shapes

Array = jax.Array

# Run once: compiling takes longer than it runs.
_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# Odd, so that no two numbers give the same key. Of MurmurHash3 and of the golden ratio.
_FACTORS = np.array([0x85EBCA6B, 0xC2B2AE35], np.uint32)
_TERMS = np.array([0x9E3779B9, 0x7F4A7C15], np.uint32)


def initial_variables(network: nn.Module, bands: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Draws a network's first variables, on the CPU whatever the default device is.

    Flax derives an array's key from the seed and the array's path, so networks that differ in
    their heads start from the same trunk.

    Args:
        network: the network.
        bands: number of bands by sensor.
        seed: 0 to 2**64 - 1.

    Returns:
        {"params": ..., "batch_stats": ...}, nested dicts of numpy arrays; no "batch_stats" where
        no layer has any.

    Raises:
        BrokenNetwork: the network raises, or returns what it should not.
    """
    words = np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)
    with jax.default_device(cpu()), contract.running(network):
        drawn = jax.device_get(_init(network, tuple(bands.items()), words))
    # Arrays of jax's cannot be written to.
    variables: dict[str, Any] = jax.tree.map(np.array, drawn)
    return variables


def variable_shapes(network: nn.Module, bands: Mapping[str, int]) -> dict[str, Any]:
    """Shapes of a network's variables, computed without allocating them.

    Tracing a U-Net takes a second: once drawn, or asked for, its shapes are known.

    Args:
        network: the network.
        bands: number of bands by sensor.

    Returns:
        {"params": ..., "batch_stats": ...}, nested dicts of `jax.ShapeDtypeStruct`; no
        "batch_stats" where no layer has any.

    Raises:
        BrokenNetwork: the network raises, or returns what it should not.
    """
    words = np.zeros(2, np.uint32)
    with jax.default_device(cpu()), contract.running(network):
        shapes: dict[str, Any] = _init.eval_shape(network, tuple(bands.items()), words)
    return shapes


@functools.partial(jax.jit, static_argnums=(0, 1), compiler_options=_QUICK)
def _init(network: nn.Module, bands: tuple[tuple[str, int], ...], words: Array) -> Any:
    shapes = input_shapes(network, dict(bands))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    key = jax.random.wrap_key_data(words, impl=_HOST)
    logits, variables = network.init_with_output(key, *zeros)
    contract.check(network, logits, variables, shapes)
    return variables


def _random_bits(key: Array, width: int, shape: Sequence[int]) -> Array:
    dtype = np.dtype(f"uint{width}")

    def draw(key: Array) -> np.ndarray:
        rng = np.random.default_rng(np.asarray(key))
        return rng.integers(0, 2**width - 1, shape, dtype, endpoint=True)

    result = jax.ShapeDtypeStruct(tuple(shape), dtype)
    bits: Array = jax.pure_callback(draw, result, key, vmap_method="sequential")
    return bits


def _fold_in(key: Array, data: Array | int) -> Array:
    # Cheap to compile, and enough to keep keys apart: numpy hashes what comes of it.
    return (key ^ jnp.asarray(data).astype(jnp.uint32)) * _FACTORS + _TERMS


def _split(key: Array, shape: Sequence[int]) -> Array:
    keys = jax.vmap(lambda i: _fold_in(key, i))(jnp.arange(np.prod(shape), dtype=jnp.uint32))
    return keys.reshape(*shape, 2)


def _seed(seed: Array) -> Array:
    return jnp.stack([jnp.zeros((), jnp.uint32), jnp.asarray(seed).astype(jnp.uint32)])


_HOST = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="host",
    tag="host",
)
