"""Training in float64: parameters, network and gradients.

    JAX_ENABLE_X64=1 python tests/in_float64.py pretrain --config ...

runs a command of `experiments` so; `float64()` does it for a test or a script.

Rounding grows as a network trains: in float32 runs part that do the same arithmetic in another
order, by how much depends on the processor. In float64 it stays far below what a chip lost, doubled
or out of order would do.
"""

import contextlib
import runpy
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.training import recipe, steps


def doubled(tree):
    single = {np.dtype(np.float32), jnp.dtype(np.float32)}
    return jax.tree.map(lambda x: x.astype(np.float64) if x.dtype in single else x, tree)


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Doubles what is initialised, scaled and computed inside, in every thread."""
    was = jax.config.jax_enable_x64
    init_variables, scale, network = steps.init_variables, steps.scale, recipe.Recipe.network
    jax.config.update("jax_enable_x64", True)
    steps.init_variables = lambda *args: doubled(init_variables(*args))
    steps.scale = lambda *args: doubled(scale(*args))
    recipe.Recipe.network = lambda *args: network(*args).clone(dtype=jnp.float64)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", was)
        steps.init_variables, steps.scale, recipe.Recipe.network = init_variables, scale, network


def main() -> None:
    del sys.argv[0]
    sys.argv[0] = f"experiments.{sys.argv[0]}"
    with float64():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
