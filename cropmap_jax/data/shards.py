"""Bytes of the records of an ArrayRecord file that is not compressed, without reading the rest.

Source: the Riegeli/records file format, https://github.com/google/riegeli. A file consists of
blocks of 64 KiB, each begins with a header of 24 bytes, which may interrupt anything. A chunk has a
header of 40 bytes: hash, size and hash of its data, type and number of records, size of the
records. Ours hold one record each: compression type, length of the list of lengths, list of
lengths, record.

Ours, because no library reads parts of what TFDS writes and no other storage that keeps the records
of a dataset whole is as fast: `python -m benchmarks.storage`, benchmarks/performance.md.
"""

import os
import pathlib
import weakref

import numpy as np

BLOCK = 1 << 16
_BLOCK_HEADER, _CHUNK_HEADER = 24, 40
_DATA = BLOCK - _BLOCK_HEADER
_VECTORS = 512
"""Parts of one read: the system allows 1024."""


class Compressed(Exception):
    """The records of a file are compressed."""


class Shard:
    """One file: where its records lie, and bytes of them.

    Args:
      file: an ArrayRecord file.
      count: records in it.

    Raises:
      ValueError: it cannot be read, ends early or is something else.
      Compressed: its records are compressed.
    """

    def __init__(self, file: pathlib.Path, count: int):
        self._file, self._count = file, count
        try:
            self._fd = os.open(file, os.O_RDONLY)
        except OSError as error:
            raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
        weakref.finalize(self, os.close, self._fd)
        self._content: np.ndarray | None = None
        self._starts, self._lengths = np.zeros((2, count), np.int64)
        self._walk(os.fstat(self._fd).st_size)

    def __len__(self) -> int:
        return self._count

    def length(self, i: int) -> int:
        """Bytes of record `i`."""
        return int(self._lengths[i])

    def damaged(self, i: int, what: str) -> ValueError:
        """An error about record `i`."""
        return ValueError(
            f"{self._file}: record {i} is damaged: {what}; build it again with --overwrite"
        )

    def read(self, i: int, at: int, out: np.ndarray) -> None:
        """Fills a C-contiguous array with bytes of record `i` from `at` on."""
        if at + out.nbytes > self._lengths[i]:
            raise self.damaged(
                i, f"expected {at + out.nbytes} bytes, found a record of {self._lengths[i]}"
            )
        self._read(_forward(int(self._starts[i]), at), out.reshape(-1).data.cast("B"), i)

    def gather(self, records: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
        """Bytes from many places at once, through the system's page cache.

        Args:
          records: int [N], numbers of records.
          at: int64 [N], where in its record each begins.
          size: bytes of each, at most a block.

        Returns:
          uint8 [N, size].
        """
        over = at + size > self._lengths[records]
        if over.any():
            i = int(records[over.argmax()])
            raise self.damaged(i, f"expected more bytes, found a record of {self._lengths[i]}")
        content = self._mapped(int(records[0]) if len(records) else 0)
        first = _forward_all(self._starts[records], at)
        # As elements of `size` bytes that may begin anywhere: one index each, not one a byte.
        anywhere = np.ndarray(
            (max(len(content) - size + 1, 0),), np.dtype((np.void, size)), content, strides=(1,)
        )
        # Also of those that a block's header breaks, which are few: masks of such types are slow.
        out = anywhere[np.minimum(first, len(anywhere) - 1)]
        broken = np.flatnonzero(first % BLOCK + size > BLOCK)
        if len(broken):
            which = at[broken, None] + np.arange(size)
            places = _forward_all(self._starts[records[broken], None], which)
            out[broken] = content[places].view(out.dtype)[:, 0]
        bytes_: np.ndarray = out.view(np.uint8).reshape(-1, size)
        return bytes_

    def _mapped(self, i: int) -> np.ndarray:
        """The whole file, uint8, paged in as it is read; `i`: a record to name in an error."""
        if self._content is None:
            self._content = np.memmap(self._file, np.uint8, "r")
        # A page that the file has lost would end the process.
        if os.fstat(self._fd).st_size < len(self._content):
            raise self.damaged(i, "the file became shorter while it was read")
        return self._content

    def _read(self, position: int, out: memoryview, i: int) -> None:
        # Straight to where it belongs; the headers of blocks in between go elsewhere.
        header, done = bytearray(_BLOCK_HEADER), 0
        while done < len(out):
            begin, wanted = position, 0
            parts: list[memoryview | bytearray] = []
            while done < len(out) and len(parts) < _VECTORS:
                size = min(BLOCK - position % BLOCK, len(out) - done)
                parts.append(out[done : done + size])
                done, position, wanted = done + size, position + size, wanted + size
                if done < len(out):
                    parts.append(header)
                    position, wanted = position + _BLOCK_HEADER, wanted + _BLOCK_HEADER
            try:
                got = os.preadv(self._fd, parts, begin)
            except OSError as error:
                raise self.damaged(i, str(error.strerror)) from error
            if got != wanted:
                raise self.damaged(i, f"expected {wanted} bytes at {begin}, found {got}")

    def _walk(self, file_size: int) -> None:
        """Finds the beginning of every record: a chunk's header holds the way to the next."""
        header = np.empty(_CHUNK_HEADER, np.uint8)
        position, i = 0, 0
        while i < self._count:
            begin = _forward(position, 0)
            self._read(begin, header.data, i)
            size, kind, records = (int(header[a:b].view(t)[0]) for a, b, t in _CHUNK_FIELDS)
            data = _forward(begin, _CHUNK_HEADER)
            position = _forward(data, size)
            if position > file_size + _BLOCK_HEADER:
                raise self.damaged(i, f"it should end at {position}, the file ends at {file_size}")
            if kind == ord("r"):
                if records >> 8 != 1:
                    raise self.damaged(i, f"expected 1 record in its chunk, found {records >> 8}")
                self._starts[i], self._lengths[i] = self._record(data, size, i)
                i += 1
            elif kind not in b"smp":  # signature, metadata, padding
                raise self.damaged(i, f"expected a chunk at {begin}, found kind {kind}")

    def _record(self, data: int, size: int, i: int) -> tuple[int, int]:
        """Where the record of a chunk's data begins, and its length."""
        head = bytearray(min(size, 24))
        self._read(data, memoryview(head), i)
        if head[:1] != b"\0":
            raise Compressed
        try:
            lengths, at = varint(head, 1)
            length, end = varint(head, at)
        except IndexError as error:
            raise self.damaged(i, "its chunk ends early") from error
        if end - at != lengths or end + length != size:
            raise self.damaged(i, f"expected {size - end} bytes, found a length of {length}")
        return _forward(data, end), length


_CHUNK_FIELDS = ((8, 16, np.uint64), (24, 25, np.uint8), (24, 32, np.uint64))
"""Size of the data, kind, and number of records in the upper seven bytes: (from, to, type)."""


def _forward(position: int, size: int) -> int:
    """The place in a file `size` bytes of content after `position`, never within a header."""
    block, within = divmod(position, BLOCK)
    blocks, rest = divmod(max(within - _BLOCK_HEADER, 0) + size, _DATA)
    return (block + blocks) * BLOCK + _BLOCK_HEADER + rest


def _forward_all(positions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`_forward` of many positions, int64."""
    block, within = np.divmod(positions, BLOCK)
    blocks, rest = np.divmod(np.maximum(within - _BLOCK_HEADER, 0) + sizes, _DATA)
    places: np.ndarray = (block + blocks) * BLOCK + _BLOCK_HEADER + rest
    return places


def varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
