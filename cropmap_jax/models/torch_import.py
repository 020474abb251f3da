"""Weights of the original PyTorch network, as variables of `DualUNet3D`.

    state_dict = torch.load("StateDict.pth", map_location="cpu", weights_only=True)
    state_dict = {name: tensor.numpy() for name, tensor in state_dict.items()}
    network = DualUNet3D(**describe(state_dict))
    variables = convert(state_dict)

PyTorch itself is not needed here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cropmap_jax.models.contract import HEAD
from cropmap_jax.models.dual_unet3d import LEVELS, DualUNet3D
from cropmap_jax.models.initialise import variable_shapes

# The original network's sensors, and their bands.
BANDS = (("s1", 2), ("s2", 10))

# A fine-tuned network holds the pretrained one under this name, next to its own head.
FINE_TUNED = "dualunet3d."
# It may still carry the pretraining head, which it does not use.
UNUSED = (f"{FINE_TUNED}final_conv.weight", f"{FINE_TUNED}final_conv.bias")

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
STATISTICS = {"mean": "running_mean", "var": "running_var"}

Path = tuple[str, ...]


def describe(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Reads off a state dict which network it belongs to.

    Args:
        state_dict: the arrays by PyTorch's names, European or fine-tuned.

    Returns:
        Keyword arguments of `DualUNet3D`: bands, num_classes, head, width, num_periods, and
        head_width where the head is "conv".

    Raises:
        ValueError: one of the arrays needed is missing or has the wrong number of axes.
    """
    arrays = _strip(state_dict)
    fine_tuned = any(name.startswith(FINE_TUNED) for name in arrays)
    prefix = FINE_TUNED if fine_tuned else ""
    time_conv = _shape(arrays, f"{prefix}unet3d_s1.conv3d.conv.3.weight", 5)
    settings: dict[str, Any] = {"bands": BANDS}
    settings |= {"width": time_conv[0], "num_periods": time_conv[2]}
    if fine_tuned:
        settings |= {"head": "conv", "head_width": _shape(arrays, "final_conv.conv.0.weight", 4)[0]}
        settings["num_classes"] = _shape(arrays, "final_conv.conv.3.weight", 4)[0]
    else:
        settings |= {"head": "linear", "num_classes": _shape(arrays, "final_conv.weight", 4)[0]}
    return settings


def convert(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Converts a state dict into the variables of `DualUNet3D(**describe(state_dict))`.

    `num_batches_tracked`, a `module.` prefix (left by PyTorch's DataParallel) and a pretraining
    head that a fine-tuned network still carries are ignored.

    Args:
        state_dict: the arrays by PyTorch's names, European or fine-tuned.

    Returns:
        {"params": ..., "batch_stats": ...}, nested dicts of float32 numpy arrays (copies).

    Raises:
        ValueError: an array is missing, unknown, or of the wrong shape; the message names it.
    """
    settings = describe(state_dict)
    arrays = _strip(state_dict)
    layers = _layers(fine_tuned=settings["head"] == "conv")
    converted: dict[Path, np.ndarray] = {}
    used = set(UNUSED) if settings["head"] == "conv" else set()
    shapes = flatten_dict(variable_shapes(DualUNet3D(**settings), dict(BANDS)))
    for path, leaf_shape in shapes.items():
        shape = leaf_shape.shape
        collection, *layer, leaf = path
        leaves = LEAVES if collection == "params" else STATISTICS
        name = f"{layers[tuple(layer)]}.{leaves[leaf]}"
        axes = _torch_axes(path, len(shape))
        array = np.asarray(_get(arrays, name))
        expected = tuple(shape[axis] for axis in axes)
        if array.shape != expected:
            raise ValueError(f"state dict: {name} has shape {array.shape}, expected {expected}")
        converted[path] = np.array(array.transpose(np.argsort(axes)), np.float32, order="C")
        used.add(name)
    if unknown := sorted(set(arrays) - used):
        raise ValueError(
            f"state dict: found unknown {unknown[0]} (of {len(unknown)} unknown), "
            f"expected the {len(converted)} arrays of DualUNet3D({settings})"
        )
    variables: dict[str, Any] = unflatten_dict(converted)
    return variables


def _strip(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Removes DataParallel's prefix and the counters that batch norm does not need here."""
    return {
        name.removeprefix("module."): array
        for name, array in state_dict.items()
        if not name.endswith(".num_batches_tracked")
    }


def _get(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        found = ", ".join(list(arrays)[:3])
        raise ValueError(
            f"state dict: {name} is missing, found {len(arrays)} arrays ({found}, ...)"
        )
    return arrays[name]


def _shape(arrays: Mapping[str, np.ndarray], name: str, ndim: int) -> tuple[int, ...]:
    shape = tuple(map(int, np.shape(_get(arrays, name))))
    if len(shape) != ndim:
        raise ValueError(f"state dict: {name} has shape {shape}, expected {ndim} axes")
    return shape


def _torch_axes(path: Path, ndim: int) -> tuple[int, ...]:
    """For each axis of PyTorch's array, the axis of ours ([*window, channels_in, features])."""
    if ndim == 1:
        return (0,)
    window = tuple(range(ndim - 2))
    # A transposed convolution has its input channels first.
    if path[-2].startswith("upsample"):
        return (ndim - 2, ndim - 1, *window)
    return (ndim - 1, ndim - 2, *window)


def _layers(fine_tuned: bool) -> dict[Path, str]:
    """PyTorch's name of each layer by our path."""
    layers: dict[Path, str] = {}

    def add_pair(first: Path, second: Path, name: str) -> None:
        # nn.Sequential counts the ReLUs (2 and 5) too.
        for path, index in ((first, 0), (second, 3)):
            layers[*path, "conv"] = f"{name}.conv.{index}"
            layers[*path, "norm"] = f"{name}.conv.{index + 1}"

    def add_double_conv(path: Path, name: str) -> None:
        add_pair((*path, "first"), (*path, "second"), name)

    for sensor, _ in BANDS:
        name = f"{FINE_TUNED if fine_tuned else ''}unet3d_{sensor}"
        add_pair((sensor, "conv3d"), (sensor, "time_conv"), f"{name}.conv3d")
        unet = (sensor, "unet")
        add_double_conv((*unet, "bottleneck"), f"{name}.unet.bottleneck")
        for level in range(LEVELS):
            add_double_conv((*unet, f"down{level}"), f"{name}.unet.downs.{level}")
            # `ups` runs from the deepest level to the shallowest.
            index = 2 * (LEVELS - 1 - level)
            layers[*unet, f"upsample{level}"] = f"{name}.unet.ups.{index}"
            add_double_conv((*unet, f"up{level}"), f"{name}.unet.ups.{index + 1}")
    if fine_tuned:
        layers[HEAD, "hidden", "conv"] = "final_conv.conv.0"
        layers[HEAD, "hidden", "norm"] = "final_conv.conv.1"
        layers[HEAD, "logits"] = "final_conv.conv.3"
    else:
        layers[HEAD, "logits"] = "final_conv"
    return layers
