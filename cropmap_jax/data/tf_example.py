"""Where the values of a tf.train.Example are stored, and integers read from it.

Source: the message tf.train.Example, in which TFDS stores a record, and the encoding of protocol
buffers, https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

import numpy as np

from cropmap_jax.data.shards import Shard, varint

_HEAD = 96
"""Bytes that surely hold the names and lengths before a feature's values."""


def features(shard: Shard, i: int) -> Iterator[tuple[str, int, int]]:
    """(name, place, bytes) of the values of every feature of a record.

    Raises:
      ValueError: the record is damaged; names its file.
    """
    try:
        head = _head(shard, i, 0)
        size, at = varint(head, _tag(head, 0, 0x0A))
        if at + size != shard.length(i):
            raise ValueError(f"expected features of {shard.length(i) - at} bytes, found {size}")
        while at < shard.length(i):
            head = _head(shard, i, at)
            size, p = varint(head, _tag(head, 0, 0x0A))
            end = p + size
            length, p = varint(head, _tag(head, p, 0x0A))
            name, p = head[p : p + length].decode(), p + length
            size, p = varint(head, _tag(head, p, 0x12))
            # A list of bytes, floats or integers, of one bytes value or packed.
            size, p = varint(head, _tag(head, p, 0x0A, 0x12, 0x1A))
            if size:
                size, p = varint(head, _tag(head, p, 0x0A))
            if p + size != end:
                raise ValueError(f"expected one value in {name!r}")
            yield name, at + p, size
            at += end
    except (IndexError, ValueError) as error:
        raise shard.damaged(i, f"it is no tf.train.Example ({error})") from error


def _head(shard: Shard, i: int, at: int) -> bytes:
    out = np.empty(min(_HEAD, shard.length(i) - at), np.uint8)
    shard.read(i, at, out)
    return out.tobytes()


def _tag(data: bytes, at: int, *expected: int) -> int:
    if data[at] not in expected:
        raise ValueError(f"expected tag {expected[0]}, found {data[at]}")
    return at + 1


def integer(data: np.ndarray) -> int:
    """The only value of a packed list of integers.

    Raises:
      ValueError: there are none, or several.
    """
    values = integers(data)
    if len(values) != 1:
        raise ValueError(f"expected one integer, found {len(values)}")
    return int(values[0])


def integers(data: np.ndarray) -> np.ndarray:
    """int64 values of a packed list of integers."""
    encoded, values, at = data.tobytes(), [], 0
    while at < len(encoded):
        value, at = varint(encoded, at)
        values.append(value)
    return np.array(values, np.uint64).astype(np.int64)


def small_integers(data: np.ndarray) -> np.ndarray:
    """uint8 values of a packed list of integers from 0 to 255.

    One below 128 is a byte; one from 128 on is the same byte, whose upper bit says that more
    follows, and a 1.
    """
    keep = np.ones(len(data), bool)
    keep[1:] = data[:-1] < 128
    return data[keep]
