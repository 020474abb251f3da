"""The networks: flax modules over time series of Sentinel-1 and Sentinel-2."""

from cropmap_jax.models.dual_unet3d import HEAD, TRUNK, DualUNet3D, count_parameters
from cropmap_jax.models.initialise import initial_variables, variable_shapes

__all__ = [
    "HEAD",
    "TRUNK",
    "DualUNet3D",
    "count_parameters",
    "initial_variables",
    "variable_shapes",
]
