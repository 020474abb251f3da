"""The script that comes with a converted network; it needs numpy and the runtime alone."""

from cropmap_jax.product.exporting import ONNX, STABLEHLO

NAME = "example.py"
_IMPORT = {ONNX: "import onnxruntime", STABLEHLO: "import jax.export"}
_OPEN = {
    ONNX: 'session = onnxruntime.InferenceSession(str(here / about["file"]))',
    STABLEHLO: 'network = jax.export.deserialize(bytearray((here / about["file"]).read_bytes()))',
}
_RUN = {
    ONNX: "(probability,) = session.run(None, arrays)",
    STABLEHLO: "probability = np.asarray(network.call(*arrays.values()))",
}
_TEXT = '''"""Predicts with {file}, on made-up pixels or on yours: python {name} [PIXELS.npz]"""

import json
import pathlib
import sys

import numpy as np
{imported}

here = pathlib.Path(__file__).resolve().parent
about = json.loads((here / "metadata.json").read_text(encoding="utf-8"))
{opened}

if len(sys.argv) > 1:  # arrays named as below
    given = np.load(sys.argv[1])
    arrays = {{one["name"]: given[one["name"]].astype(one["dtype"]) for one in about["inputs"]}}
else:
    *sensors, days = about["inputs"]
    side = 4 * about["size_multiple"]
    arrays = {{}}
    for one in sensors:  # [batch, time, height, width, bands], in one["unit"], NaN where missing
        shape = (1, about["periods"]["count"], side, side, len(one["bands"]))
        values = np.random.default_rng(0).uniform(*one["range"], shape)
        arrays[one["name"]] = values.astype(np.float32)
    arrays[days["name"]] = np.array([days["example"]], np.int32)

{run}  # [batch, height, width, classes]
for number, one in enumerate(about["output"]["classes"]):
    print(f"{{one['name']}}: mean probability {{np.nanmean(probability[..., number]):.3f}}")
'''


def script(to: str, file: str) -> str:
    """The script of a format.

    Args:
      to: one of `exporting.FORMATS`.
      file: name of the network's file, which lies next to it.
    """
    parts = {"imported": _IMPORT[to], "opened": _OPEN[to], "run": _RUN[to]}
    return _TEXT.format(file=file, name=NAME, **parts)
