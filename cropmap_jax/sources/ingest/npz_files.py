"""Arrays of an .npz file, each read only when its size is known and fits."""

import contextlib
import os
import pathlib
import resource
import zipfile
import zlib
from collections.abc import Collection, Sequence

import numpy as np

_WANTED = "expected an .npz file of arrays, or a folder with s1 and s2 as .tif or .nc"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGED = (ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile)


def load(file: pathlib.Path, keys: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads the arrays of some keys; others are neither read nor trusted.

    Args:
      file: an .npz file.
      keys: those that are wanted; a key that the file lacks is not in the result.

    Returns:
      Arrays by key (bytes decoded as text), and the names of other members.

    Raises:
      ValueError: no .npz, damaged, objects, a key twice, or an array larger than what the file
        holds of it or than this machine's memory.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members: dict[str, zipfile.ZipInfo] = {}
            unused = []
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if key not in keys or key == info.filename:
                    unused.append(key)
                elif key in members:
                    raise ValueError(f"--input {file}: expected key {key} once, found it twice")
                else:
                    members[key] = info
            size = sum(info.file_size for info in members.values())
            check_memory(size, f"--input {file}: its arrays", "cut it into several")
            arrays = {key: _read(archive, info, file) for key, info in members.items()}
        return {
            k: np.char.decode(a) if a.dtype.kind == "S" else a for k, a in arrays.items()
        }, unused
    except PermissionError as error:
        raise ValueError(f"--input {file}: no permission to read it") from error
    except (*_DAMAGED, zlib.error) as error:
        if str(error).startswith(f"--input {file}"):
            raise
        found = "objects" if "Object arrays" in str(error) else "something else or a damaged file"
        raise ValueError(f"--input {file}: {_WANTED}; found {found}") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: pathlib.Path) -> np.ndarray:
    with archive.open(info) as stream:
        read_header = _HEADERS.get(np.lib.format.read_magic(stream))
        if read_header is None:
            raise ValueError("an unknown version")
        shape, _, dtype = read_header(stream)
        left = info.file_size - stream.tell()
    # The header is only a claim: numpy would take memory for it before it reads a number.
    count = 1
    for length in shape:
        count *= length
    if not dtype.hasobject and (
        dtype.itemsize == 0 or min(shape, default=0) < 0 or count * dtype.itemsize != left
    ):
        raise ValueError(
            f"--input {file}: {info.filename}: expected {count * dtype.itemsize} bytes of "
            f"{dtype} [{size_text(shape)}], found {left}"
        )
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def check_memory(size: int, what: str, otherwise: str) -> None:
    """Requires that this process could hold that many bytes.

    Raises:
      ValueError: names how many it would take, and a way out.
    """
    memory = _memory()
    if size > memory:
        raise ValueError(
            f"{what} would take {size / 2**30:.0f} GiB of memory, this process may have "
            f"{memory / 2**30:.0f}; {otherwise}"
        )


def _memory() -> int:
    """Bytes of this machine, or what its container or `ulimit -v` leaves of them."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(pathlib.Path(file).read_text()))
    return min(limits)


def size_text(shape: Sequence[int]) -> str:
    """A shape, "12 x 15"."""
    return " x ".join(str(n) for n in shape)
