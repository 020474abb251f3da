"""The networks: flax modules over time series of the sensors' pixels, found by name.

`registry` says what a network has to be, and finds it: `register` adds one from outside.
"""

from cropmap_jax.models.contract import HEAD, BrokenNetwork
from cropmap_jax.models.dual_unet3d import DualUNet3D
from cropmap_jax.models.initialise import initial_variables, variable_shapes
from cropmap_jax.models.pixel_series import PixelSeries
from cropmap_jax.models.registry import (
    UnknownNetwork,
    check,
    complete,
    find,
    halo,
    make,
    names,
    neighbourhood,
    register,
    size_multiple,
    trunk_arguments,
)
from cropmap_jax.models.variables import count_parameters

__all__ = [
    "HEAD",
    "BrokenNetwork",
    "DualUNet3D",
    "PixelSeries",
    "UnknownNetwork",
    "check",
    "complete",
    "neighbourhood",
    "count_parameters",
    "find",
    "halo",
    "initial_variables",
    "make",
    "names",
    "register",
    "size_multiple",
    "trunk_arguments",
    "variable_shapes",
]
