"""What each rearranged building block gains over XLA's own operation, at the network's sizes.

    python -m benchmarks.blocks --json blocks.json

Each layer is timed forward and for its gradients (to kernel and input), ours and plain in turn.
"plain / ours" above 1 is a gain. That both forms give the same values is tested.
"""

import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import plain, report
from cropmap_jax.models import blocks

# name -> (block, side relative to the chip's, channels in, kernel)
LAYERS = {
    "conv3d, S2": ("conv3d", 1, 10, (3, 3, 3, 10, 32)),
    "time_conv": ("time_conv", 1, 32, (6, 1, 1, 32, 32)),
    "conv2d, 64 px, 64 > 64": ("conv2d", 1, 64, (3, 3, 64, 64)),
    "conv2d, 64 px, 128 > 64": ("conv2d", 1, 128, (3, 3, 128, 64)),
    "conv2d, 32 px, 128 > 128": ("conv2d", 1 / 2, 128, (3, 3, 128, 128)),
    "conv2d, 32 px, 256 > 128": ("conv2d", 1 / 2, 256, (3, 3, 256, 128)),
    "conv2d, 16 px, 256 > 256": ("conv2d", 1 / 4, 256, (3, 3, 256, 256)),
    "conv2d, 8 px, 1024 > 512": ("conv2d", 1 / 8, 1024, (3, 3, 1024, 512)),
    "conv2d, 4 px, 1024 > 1024": ("conv2d", 1 / 16, 1024, (3, 3, 1024, 1024)),
    "upsample, 32 > 64 px": ("upsample", 1 / 2, 128, (2, 2, 128, 64)),
    "max_pool, 64 px": ("max_pool", 1, 64, None),
}


def main(argv: list[str]) -> dict:
    """Times all layers; prints and returns the figures, in seconds."""
    parser = report.make_parser("blocks", __doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args(argv)
    layers, side = LAYERS, 64
    if args.quick:
        layers, side = {"max_pool, 64 px": LAYERS["max_pool, 64 px"]}, 16
        args.batch = args.rounds = 1
    figures = {name: measure(args, side, *layer) for name, layer in layers.items()}
    rows = []
    for name, times in figures.items():
        for pass_ in ("forward", "gradients"):
            fast, slow = (1000 * times[pass_][form]["median"] for form in ("ours", "plain"))
            rows.append([f"{name}, {pass_}", fast, slow, slow / fast])
    text = report.table(["layer", "ours, ms", "plain, ms", "plain / ours"], rows)
    title = f"{jax.devices()[0].device_kind}, batch {args.batch}, {args.dtype}, medians\n\n"
    return report.finish("blocks", args, title + text, figures)


def measure(args, side: int, block: str, scale: float, channels: int, kernel) -> dict:
    """Times one layer, in both forms.

    Args:
      args: the flags.
      side: of a chip, in pixels.
      block: name of the function in `blocks` and `plain`.
      scale: side of the layer's input, relative to the chip's.
      channels: of that input.
      kernel: shape, or None.

    Returns:
      {"forward" or "gradients": {"ours" or "plain": spread of seconds}}.
    """
    rng = np.random.default_rng(0)
    size = int(side * scale)
    periods = (6,) if block in ("conv3d", "time_conv") else ()
    shapes = [(args.batch, *periods, size, size, channels), *([kernel] if kernel else [])]
    inputs = [jnp.asarray(rng.standard_normal(s, np.float32), args.dtype) for s in shapes]
    found = {"forward": {}, "gradients": {}}
    steps = {}
    for form, module in (("ours", blocks), ("plain", plain)):
        function = getattr(module, block)
        cotangent = jnp.ones_like(jax.eval_shape(function, *inputs))
        steps["forward", form] = partial(jax.jit(function), *inputs)
        gradients = jax.jit(lambda c, *i, f=function: jax.vjp(f, *i)[1](c))
        steps["gradients", form] = partial(gradients, cotangent, *inputs)
    times = {key: [] for key in steps}
    for step in steps.values():
        jax.block_until_ready(step())
    for _ in range(args.rounds):
        for key, step in steps.items():
            began = time.perf_counter()
            jax.block_until_ready(step())
            times[key].append(time.perf_counter() - began)
    for (pass_, form), values in times.items():
        found[pass_][form] = report.spread(values)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
