"""Decodes responses of the service: pixels as NPY, small values as JSON."""

import functools
import io
import json
from typing import Any

import numpy as np

from cropmap_jax.sources.earthengine.errors import Busy, Fatal

HEADER_ROOM = 2**20
"""Bytes that an NPY file may have beyond its pixels: a header names every band."""


def pixels(data: bytearray, shape: tuple[int, int], fields: np.dtype) -> np.ndarray:
    """Decodes NPY: a record per pixel with a field per band, to [H, W, bands]."""
    # numpy's own reading copies records field by field, which takes longer than receiving them.
    head = data.find(b"\n", 12) + 1
    try:
        found, fortran, dtype = _header(bytes(data[:head]))
    except (ValueError, EOFError) as error:
        raise Busy(f"a response of {len(data)} bytes that is not a whole NPY file") from error
    if dtype != fields:
        raise Fatal(
            f"the image has {_fields(dtype)}; expected {_fields(fields)}: this is a fault of the "
            f"graph, please report it"
        )
    expected = head + shape[0] * shape[1] * fields.itemsize
    if found != shape or fortran or len(data) != expected:
        raise Busy(
            f"a response of {len(data)} bytes with pixels {list(found)}; expected {expected} bytes "
            f"and {list(shape)}"
        )
    count = len(fields.names or ())
    return np.frombuffer(data, fields[0], offset=head).reshape(*shape, count)


@functools.lru_cache(maxsize=64)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype in the header of an NPY file; most responses have the same.

    Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
    """
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    else:
        read = np.lib.format.read_array_header_2_0
    # A thousand bands need a longer header than numpy reads by default.
    return read(stream, max_header_size=HEADER_ROOM)


def _fields(dtype: np.dtype) -> str:
    """A record type in few words."""
    if not dtype.names:
        return f"one unnamed band of {dtype}"
    kinds = sorted({str(dtype[name]) for name in dtype.names})
    some = ", ".join(dtype.names[:4]) + (", ..." if len(dtype.names) > 4 else "")
    return f"{len(dtype.names)} bands of {'/'.join(kinds)} ({some})"


def value(data: bytes | bytearray) -> Any:
    """The result in the JSON of `value:compute`."""
    try:
        return json.loads(data)["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise Busy(f"a response of {len(data)} bytes that is not a whole JSON value") from error
