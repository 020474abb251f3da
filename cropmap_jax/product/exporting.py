"""A program as a file for another runtime: ONNX through jax2onnx, StableHLO through `jax.export`.

Both take batches and images of any size: batch, height and width are symbols, the latter two
multiples of what the network halves them by.
"""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from cropmap_jax.product.program import OUTPUT, Program

ONNX, STABLEHLO = "onnx", "stablehlo"
FORMATS = (ONNX, STABLEHLO)
FILES = {ONNX: "model.onnx", STABLEHLO: "model.stablehlo"}
OPSET = 21
"""Of ONNX: runtimes know it since 2024 (onnxruntime 1.18); jax2onnx writes 21 to 23."""
PLATFORMS = ("cpu", "cuda", "tpu")
"""What a StableHLO file runs on."""
PROPERTY = "cropmap_jax"
"""Name under which an ONNX file carries its metadata."""

Runner = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From the program's arguments to its probabilities."""


def write(program: Program, to: str, metadata: Mapping[str, Any]) -> bytes:
    """The program in a format.

    Args:
      program: what to write.
      to: one of FORMATS.
      metadata: JSON-ready; an ONNX file carries it.

    Raises:
      ValueError: an operation of the network has no counterpart in the format; names it.
    """
    shapes = program.shapes(*_symbols(program))
    try:
        if to == STABLEHLO:
            return _stablehlo(program, shapes)
        return _onnx(program, shapes, metadata)
    # Whatever these libraries raise of what they cannot express: there are many kinds.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(
            f"--to {to}: the network {program.recipe.model['name']!r} could not be converted "
            f"({type(error).__name__}: {reason})"
        ) from error


def open_runner(data: bytes, to: str, threads: int = 0) -> Runner:
    """What runs a written program on the CPU, as its users will.

    Args:
      data, to: what `write` made.
      threads: of onnxruntime; 0 for its own choice.
    """
    if to == STABLEHLO:
        exported = jax.export.deserialize(bytearray(data))
        call = jax.jit(exported.call)
        return lambda arrays: np.asarray(call(*arrays))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of what it simplifies
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(arrays: Sequence[np.ndarray]) -> np.ndarray:
        found: np.ndarray = session.run([OUTPUT], dict(zip(names, arrays, strict=True)))[0]
        return found

    return run


def _symbols(program: Program) -> tuple[Any, ...]:
    multiple = program.recipe.size_multiple
    times = f"{multiple}*" if multiple > 1 else ""
    return tuple(jax.export.symbolic_shape(f"batch, {times}height, {times}width"))


def _stablehlo(program: Program, shapes: Sequence[jax.ShapeDtypeStruct]) -> bytes:
    exported = jax.export.export(jax.jit(program), platforms=PLATFORMS)(*shapes)
    return bytes(exported.serialize())


def _onnx(
    program: Program, shapes: Sequence[jax.ShapeDtypeStruct], metadata: Mapping[str, Any]
) -> bytes:
    with _quiet():
        import jax2onnx

        model = jax2onnx.to_onnx(
            program,
            inputs=list(shapes),
            model_name=str(metadata["name"]),
            opset=OPSET,
            input_names=program.names,
            output_names=[OUTPUT],
        )
    entry = model.metadata_props.add()
    entry.key, entry.value = PROPERTY, json.dumps(metadata)
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries from printing, about parts of them that are not used here."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
