"""Steps of this library and of its PyTorch twin, ready to be timed side by side.

Both start from the same weights and see the same pixels. Ours is the real training step: it scales
stored int16 pixels on the device and takes a masked loss; the twin gets float32 pixels that are
scaled already, and a plain loss over the same pixels.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.models.initialise import variable_shapes
from cropmap_jax.models.torch_import import convert
from cropmap_jax.models.variables import input_shapes
from cropmap_jax.training import optim, parallel, steps
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.scaling import default

try:
    import torch

    from benchmarks import torch_twin
except ImportError:
    torch = None

LEARNING_RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a step works on: chips [batch, periods, side, side], and the network's width."""

    batch: int = 8
    periods: int = 6
    side: int = 64
    width: int = 32
    classes: int = 21


@dataclasses.dataclass
class Form:
    """One way to do a step.

    Args:
      step: does one step and waits until it is done; a training step returns its loss.
      dtype: "float32" or "bfloat16".
      program: XLA's program for it, as text; PyTorch has none.
    """

    step: Callable[[], float | None]
    dtype: str
    program: Callable[[], str] | None = None


def device() -> str:
    """Name of the device that ours runs on."""
    return f"{jax.devices()[0].device_kind} ({jax.default_backend()})"


def settle_torch() -> str:
    """Has PyTorch on CUDA choose its fastest convolutions, in JAX's precision; elsewhere nothing.

    Returns:
      A line that names the precision; "" without CUDA.
    """
    if torch is None or not torch.cuda.is_available():
        return ""
    # By default JAX takes TF32 where the card has it, for products and convolutions alike.
    precision = jax.config.jax_default_matmul_precision
    tf32 = precision in (None, "default", "high", "tensorfloat32")
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    found = "TF32" if tf32 and torch.cuda.get_device_capability() >= (8, 0) else "full"
    return f"precision of float32 products and convolutions, ours and PyTorch's: {found}"


def make_batch(sizes: Sizes) -> dict:
    """Stored pixels and labels as the input pipeline makes them, drawn at random; all known."""
    rng = np.random.default_rng(0)
    shape = (sizes.batch, sizes.periods, sizes.side, sizes.side)
    return {
        "pixels": {
            sensor.name: _stored(rng, sensor, (*shape, len(sensor.bands))) for sensor in SENTINEL
        },
        "day_of_year": np.tile(np.arange(sizes.periods, dtype=np.int32), (sizes.batch, 1)),
        "label": rng.integers(0, sizes.classes, (sizes.batch, *shape[2:])).astype(np.uint8),
        "planted": np.ones((sizes.batch, sizes.classes), np.float32),
    }


def _stored(rng: np.random.Generator, sensor: Sensor, shape: tuple[int, ...]) -> np.ndarray:
    low, high = (round(bound * sensor.scale) for bound in sensor.range)
    return rng.integers(low, high, shape).astype(sensor.dtype)


def make_recipe(sizes: Sizes, dtype: str = "float32") -> Recipe:
    """The original network: no masks, batch norm, a linear head."""
    model = {
        "name": "dual_unet3d",
        "width": sizes.width,
        "levels": 4,
        "num_periods": sizes.periods,
        "use_validity": False,
        "norm": "batch",
        "head": "linear",
        "head_width": 32,
        "dtype": dtype,
    }
    names = (make_class(i, i, f"class_{i}") for i in range(sizes.classes))
    legend = Legend("benchmark", tuple(names))
    return Recipe(model, legend, default(SENTINEL), "month", "sigmoid", 30)


def weights(sizes: Sizes) -> dict:
    """{"params", "batch_stats"}: the twin's where PyTorch is at hand, else our own."""
    if torch is None:
        return steps.init_variables(make_recipe(sizes), 0)
    state = _twin(sizes).state_dict()
    return convert({name: tensor.numpy() for name, tensor in state.items()})


def ours(sizes: Sizes, dtype: str, train: bool, accumulate: int = 1, remat: bool = False) -> Form:
    """Our step, on all local devices.

    Args:
      sizes: of chips and network.
      dtype: the network computes in.
      train: a training step, else inference.
      accumulate: parts that a training step takes its batch in.
      remat: whether it recomputes the inside of the levels for the gradient.
    """
    recipe, variables = make_recipe(sizes, dtype), weights(sizes)
    batch = parallel.put(make_batch(sizes))
    if not train:
        variables = parallel.replicate(variables)
        predict = parallel.data_parallel(steps.make_predict_step(recipe), split=True)

        def predict_step() -> None:
            jax.block_until_ready(predict(variables, batch))

        return Form(predict_step, dtype, lambda: _text(predict, variables, batch))
    optimizer = optim.make_optimizer("adam", *2 * [lambda _: LEARNING_RATE])
    state = {"step": np.zeros((), np.int32), **variables}
    state["opt_state"] = jax.device_get(optimizer.init(variables["params"]))
    state = parallel.replicate(state)
    make = steps.make_train_step(recipe, optimizer, None, False, accumulate, remat)
    function = parallel.data_parallel(make, donate=True)

    def step() -> float:
        nonlocal state
        state, metrics = function(state, batch)
        return float(parallel.unreplicate(metrics["loss"]))

    return Form(step, dtype, lambda: _text(function, state, batch))


def _text(function, *arguments) -> str:
    return function.lower(*arguments).compile().as_text()


def kept_for_gradient(sizes: Sizes, dtype: str, accumulate: int = 1, remat: bool = False) -> int:
    """Bytes of activations that our forward pass keeps for the gradient.

    Args: as `ours`, whose training step it is.
    """
    recipe = make_recipe(sizes, dtype)
    network = recipe.network(remat=remat).clone(axis_name=None)
    variables = variable_shapes(network, recipe.bands)

    def kept(batch: int) -> int:
        shapes = input_shapes(network, recipe.bands, sizes.side, sizes.side, batch)
        inputs = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def gradient(params, batch_stats):
            def logits(params):
                state = {"params": params, "batch_stats": batch_stats}
                return network.apply(state, *inputs, train=True, mutable=["batch_stats"])[0]

            return jax.vjp(logits, params)[1]  # a tree, whose leaves are what it keeps

        leaves = jax.tree.leaves(
            jax.eval_shape(gradient, variables["params"], variables["batch_stats"])
        )
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    # The difference, because parameters are kept as well, whatever the batch.
    part = sizes.batch // accumulate
    return kept(2 * part) - kept(part)


def theirs(sizes: Sizes, dtype: str, train: bool, channels_last: bool, compiled: bool) -> Form:
    """The twin's step.

    Args:
      sizes: of chips and network.
      dtype: bfloat16 by autocast.
      train: a training step, else inference.
      channels_last: whether pixels lie together with their channels.
      compiled: by torch.compile.
    """
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = _twin(sizes).to(where).train(train)
    scaled = steps.inputs(jax.tree.map(jnp.asarray, make_batch(sizes)), make_recipe(sizes))
    pixels = [
        torch.tensor(np.asarray(scaled["pixels"][sensor.name]).copy()).permute(0, 4, 1, 2, 3)
        for sensor in SENTINEL
    ]
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    pixels = [x.to(where).contiguous(memory_format=layout) for x in pixels]
    if channels_last:
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)
            elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.to(memory_format=torch.channels_last)
    label = torch.tensor(np.asarray(scaled["label"]), dtype=torch.int64).to(where)
    target = torch.nn.functional.one_hot(label, sizes.classes).permute(0, 3, 1, 2).float()
    forward = torch.compile(network) if compiled else network
    half = dtype == "bfloat16"
    cast = torch.autocast(where.type, torch.bfloat16) if half else contextlib.nullcontext()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def train_step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with cast:
            logits = forward(*pixels)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def predict_step() -> None:
        with torch.inference_mode(), cast:
            forward(*pixels).float().sigmoid()
        if where.type == "cuda":
            torch.cuda.synchronize()

    return Form(train_step if train else predict_step, dtype)


def matrix_peak(dtype: str, side: int) -> float:
    """FLOP/s of a square matrix product, the best of ours and PyTorch's."""
    import time

    rates = []
    a = jnp.asarray(np.random.default_rng(0).random((side, side), np.float32), dtype)
    product = jax.jit(jnp.dot)
    forms = [lambda: product(a, a).block_until_ready()]
    if torch is not None:
        where = "cuda" if torch.cuda.is_available() else "cpu"
        b = torch.rand(side, side).to(where, getattr(torch, dtype))
        wait = torch.cuda.synchronize if where == "cuda" else lambda: None
        forms.append(lambda: (b @ b, wait()))
    for form in forms:
        form()
        for _ in range(10):
            began = time.perf_counter()
            form()
            rates.append(2 * side**3 / (time.perf_counter() - began))
    return max(rates)


def _twin(sizes: Sizes):
    torch.manual_seed(0)
    return torch_twin.DualUNet3D(sizes.classes, sizes.width, sizes.periods)
