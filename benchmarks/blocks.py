"""What each rearranged building block gains over XLA's own operation, at the network's sizes.

    python -m benchmarks.blocks --json blocks.json

Each layer is timed forward and for its gradients (to kernel and input), ours and plain in turn.
"plain / ours" above 1 is a gain. That both forms give the same values is tested. On a CPU the plain
form is timed once more with its convolutions by YNNPACK, see `cropmap_jax.xla`.
"""

import os
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import plain, report
from cropmap_jax import xla
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
    "conv2d, 2 px, 1024 > 1024": ("conv2d", 1 / 32, 1024, (3, 3, 1024, 1024)),
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
    for name, passes in figures.items():
        for pass_, forms in passes.items():
            ms = {form: 1000 * times["median"] for form, times in forms.items()}
            ratios = [ms[form] / ms["ours"] for form in ms if form != "ours"]
            rows.append([f"{name}, {pass_}", *ms.values(), *ratios])
    others = [form for form in ms if form != "ours"]
    header = ["layer", *(f"{form}, ms" for form in ms), *(f"{form} / ours" for form in others)]
    text = report.table(header, rows)
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
    for form, (module, options) in _forms().items():
        function = getattr(module, block)
        jit = partial(jax.jit, compiler_options=options)
        cotangent = jnp.ones_like(jax.eval_shape(function, *inputs))
        steps["forward", form] = partial(jit(function), *inputs)
        gradients = jit(lambda c, *i, f=function: jax.vjp(f, *i)[1](c))
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


def _forms() -> dict:
    """Modules of the blocks, with the options that XLA gets; the first one is ours."""
    forms = {"ours": (blocks, None), "plain": (plain, None)}
    if jax.default_backend() == "cpu" and xla.LIBRARY in os.environ.get("XLA_FLAGS", ""):
        # What jaxlib does with convolutions by default.
        chosen = {xla.LIBRARY: "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"}
        forms["plain by YNNPACK"] = (plain, chosen)
    return forms


if __name__ == "__main__":
    main(sys.argv[1:])
