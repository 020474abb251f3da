"""The Python API: cubes as xarray Datasets, models that are loaded, applied, scored and trained.

`import cropmap_jax` offers all of it and imports none of it until it is used.
"""

from cropmap_jax import xla
from cropmap_jax.geo import extras

extras.require("xarray", "the Python API of cropmap_jax")
xla.tune()  # as the commands do; without effect where jax has looked for a device before

from cropmap_jax.api.cubes import Cube, read_cube  # noqa: E402
from cropmap_jax.api.datasets import Dataset  # noqa: E402
from cropmap_jax.api.fitting import fit  # noqa: E402
from cropmap_jax.api.model import Model, load  # noqa: E402

__all__ = ["Cube", "Dataset", "Model", "fit", "load", "read_cube"]
