"""How fast windows are read from disk: our parts of ArrayRecord files beside other storages.

    python -m benchmarks.storage --json storage.json
    python -m benchmarks.storage --chips 512 --periods 12 19

The same random pixels, S1 and S2 as they are stored, are written once for each storage, and windows
of `--window` contiguous periods are read at random from all of them in turn, so that what else the
machine does hits all of them. The files are in the page cache. Each reader fills arrays of a batch
that are there, as the input pipeline does; labels are not read. Writing is not measured.

"x ours" is the fastest round of a storage over the fastest of ours: above 1 is slower. "files" is
how many there would be for a hundred thousand chips.
"""

import argparse
import concurrent.futures
import functools
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tensorstore as ts
from array_record.python import array_record_module

from benchmarks import report
from cropmap_jax.data import shards
from cropmap_jax.geo.sensors import SENTINEL

PER_SHARD = 64
"""Chips in a file, where a storage has files of many."""
MANY = 100_000
Pixels = dict[str, np.ndarray]
Spec = dict[str, Any]
Read = Callable[[np.ndarray, Pixels], None]
"""Fills {sensor: int16 [B, window, H, W, C]} with windows, int [B, 2]: chip and first period."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("storage", __doc__)
    parser.add_argument("--chips", type=int, default=256)
    parser.add_argument("--side", type=int, default=64, help="pixels of a chip")
    parser.add_argument("--periods", type=int, nargs="+", default=[12, 19])
    parser.add_argument("--window", type=int, default=6)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=15, help="of each storage")
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    args = parser.parse_args(argv)
    if args.quick:
        args.chips, args.side, args.periods, args.runs, args.batch = 4, 16, [7], 1, 2
    return args


def main(argv: list[str] | None = None) -> None:
    """Measures all storages and prints a table for each number of periods."""
    args = parse(argv)
    texts, figures = [], {}
    for periods in args.periods:
        with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
            chips = draw(args.chips, periods, args.side)
            made = {name: make(chips, pathlib.Path(scratch)) for name, make in STORAGES.items()}
            check(made, chips, args.window)
            found = {threads: measure(made, args, periods, threads) for threads in args.threads}
        header = ["storage", "files"]
        for threads in args.threads:
            header += [f"{threads} thread{'s' * (threads > 1)}: us a window", "x ours"]
        rows = []
        for name in made:
            row = [name, _files(name, periods)]
            for times in found.values():
                row += [1e6 * min(times[name]), min(times[name]) / min(times[OURS])]
            rows.append(row)
        texts.append(
            f"windows of {args.window} of {periods} periods, {args.chips} chips of {args.side} px, "
            f"fastest of {args.runs} rounds\n\n{report.table(header, rows)}"
        )
        figures[periods] = {
            threads: {name: report.spread(values) for name, values in times.items()}
            for threads, times in found.items()
        }
    report.finish("storage", args, "\n\n".join(texts), figures)


def draw(chips: int, periods: int, side: int) -> Pixels:
    """{sensor: int16 [chips, periods, side, side, C]} that no codec would make smaller."""
    rng = np.random.default_rng(0)
    return {
        s.name: rng.integers(-2000, 9000, (chips, periods, side, side, len(s.bands)), np.int16)
        for s in SENTINEL
    }


def one_by_one(read: Callable[[int, int, Pixels], None]) -> Read:
    """Reads a batch window by window: `read(chip, first, {sensor: [window, H, W, C]})`."""

    def read_batch(chosen: np.ndarray, out: Pixels) -> None:
        for i, (chip, first) in enumerate(chosen.tolist()):
            read(chip, first, {name: values[i] for name, values in out.items()})

    return read_batch


def in_parts(chips: Pixels, folder: pathlib.Path) -> Read:
    """A record a chip, of which `cropmap_jax.data.shards` reads the bytes of a window."""
    files, counts = _write_records(chips, folder / "whole", per_period=False)
    found = [shards.Shard(f, n) for f, n in zip(files, counts, strict=True)]
    sizes = {name: array[0].nbytes for name, array in chips.items()}

    def read(chip: int, first: int, out: Pixels) -> None:
        shard, at = found[chip // PER_SHARD], 0
        for name, size in sizes.items():
            shard.read(chip % PER_SHARD, at + first * out[name][0].nbytes, out[name])
            at += size

    return one_by_one(read)


def record_a_chip(chips: Pixels, folder: pathlib.Path) -> Read:
    """The same files, read whole by array_record."""
    readers = _readers(sorted((folder / "whole").glob("*")))
    shapes = {name: array.shape[1:] for name, array in chips.items()}

    def read(chip: int, first: int, out: Pixels) -> None:
        data, at = readers[chip // PER_SHARD].read([chip % PER_SHARD])[0], 0
        for name, shape in shapes.items():
            count = int(np.prod(shape))
            values = np.frombuffer(data, np.int16, count, at).reshape(shape)
            out[name][...] = values[first : first + len(out[name])]
            at += 2 * count

    return one_by_one(read)


def record_a_period(chips: Pixels, folder: pathlib.Path) -> Read:
    """A record for each period of a chip, read by array_record."""
    files, _ = _write_records(chips, folder / "periods", per_period=True)
    readers, periods = _readers(files), next(iter(chips.values())).shape[1]
    shapes = {name: array.shape[2:] for name, array in chips.items()}

    def read(chip: int, first: int, out: Pixels) -> None:
        start = chip % PER_SHARD * periods + first
        window = len(next(iter(out.values())))
        for i, data in enumerate(readers[chip // PER_SHARD].read(range(start, start + window))):
            at = 0
            for name, shape in shapes.items():
                count = int(np.prod(shape))
                out[name][i] = np.frombuffer(data, np.int16, count, at).reshape(shape)
                at += 2 * count

    return one_by_one(read)


def example_a_period(chips: Pixels, folder: pathlib.Path) -> Read:
    """The same as TFDS would keep it: an example for each period, which TFDS decodes."""
    features = tfds.features.FeaturesDict(
        {
            name: tfds.features.Tensor(shape=array.shape[2:], dtype=np.int16, encoding="bytes")
            for name, array in chips.items()
        }
    )
    count, periods = next(iter(chips.values())).shape[:2]
    files = []
    (folder / "examples").mkdir()
    for begin in range(0, count, PER_SHARD):
        files.append(folder / "examples" / f"{begin:08d}")
        writer = array_record_module.ArrayRecordWriter(str(files[-1]), "group_size:1,uncompressed")
        for chip in range(begin, min(begin + PER_SHARD, count)):
            for period in range(periods):
                one = {name: array[chip, period] for name, array in chips.items()}
                writer.write(features.serialize_example(one))
        writer.close()
    readers = _readers(files)

    def read(chip: int, first: int, out: Pixels) -> None:
        start = chip % PER_SHARD * periods + first
        window = len(next(iter(out.values())))
        for i, data in enumerate(readers[chip // PER_SHARD].read(range(start, start + window))):
            for name, values in features.deserialize_example_np(data).items():
                out[name][i] = values

    return one_by_one(read)


def zarr2(chips: Pixels, folder: pathlib.Path, at_once: int = 1) -> Read:
    """Zarr 2 through tensorstore: a file for each period of a chip."""

    def spec(array: np.ndarray) -> Spec:
        chunks = [1, 1, *array.shape[2:]]
        metadata = {"shape": list(array.shape), "chunks": chunks, "dtype": "<i2"}
        return {"driver": "zarr", "metadata": metadata | {"compressor": None}}

    return _zarr(chips, folder / "zarr2", spec, at_once)


def zarr3(chips: Pixels, folder: pathlib.Path, at_once: int = 1) -> Read:
    """Zarr 3 through tensorstore: files of many chips, a chunk for each period of a chip."""

    def spec(array: np.ndarray) -> Spec:
        shard = [min(PER_SHARD, len(array)), *array.shape[1:]]
        inner = [{"name": "bytes", "configuration": {"endian": "little"}}]
        sharding = {"chunk_shape": [1, 1, *array.shape[2:]], "codecs": inner}
        grid = {"name": "regular", "configuration": {"chunk_shape": shard}}
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        metadata = {"shape": list(array.shape), "chunk_grid": grid, "data_type": "int16"}
        return {"driver": "zarr3", "metadata": metadata | {"codecs": codecs}}

    return _zarr(chips, folder / "zarr3", spec, at_once)


def npy_map(chips: Pixels, folder: pathlib.Path) -> Read:
    """A .npy of many chips for each sensor, mapped into memory by numpy."""
    maps = {
        name: [np.load(f, mmap_mode="r") for f in files]
        for name, files in _write_npy(chips, folder / "npy").items()
    }

    def read(chip: int, first: int, out: Pixels) -> None:
        for name, values in out.items():
            whole = maps[name][chip // PER_SHARD]
            values[...] = whole[chip % PER_SHARD, first : first + len(values)]

    return one_by_one(read)


OURS = "ours: parts of a record"
STORAGES: dict[str, Callable[[Pixels, pathlib.Path], Read]] = {
    OURS: in_parts,
    "array_record, a record a chip, whole": record_a_chip,
    "array_record, a record a period": record_a_period,
    "TFDS, an example a period": example_a_period,
    "tensorstore, zarr 2": zarr2,
    "tensorstore, zarr 3 sharded": zarr3,
    "the same, 16 windows at once": functools.partial(zarr3, at_once=16),
    ".npy, mapped": npy_map,
}


def _write_records(
    chips: Pixels, folder: pathlib.Path, per_period: bool
) -> tuple[list[pathlib.Path], list[int]]:
    """ArrayRecord files as `build` writes them: not compressed, a record in each chunk."""
    folder.mkdir()
    count, periods = next(iter(chips.values())).shape[:2]
    files, counts = [], []
    for begin in range(0, count, PER_SHARD):
        file, own = folder / f"{begin:08d}", range(begin, min(begin + PER_SHARD, count))
        writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1,uncompressed")
        for chip in own:
            if per_period:
                for i in range(periods):
                    writer.write(b"".join(array[chip, i].tobytes() for array in chips.values()))
            else:
                writer.write(b"".join(array[chip].tobytes() for array in chips.values()))
        writer.close()
        files.append(file)
        counts.append(len(own) * (periods if per_period else 1))
    return files, counts


def _readers(files: list[pathlib.Path]) -> list[Any]:
    # Without reading ahead, which random access would pay for and throw away.
    options = "readahead_buffer_size:0"
    return [array_record_module.ArrayRecordReader(str(f), options) for f in files]


def _zarr(
    chips: Pixels, folder: pathlib.Path, spec: Callable[[np.ndarray], Spec], at_once: int
) -> Read:
    """Writes the chips if they are not there; reads so many windows at the same time."""
    # Its own pools of threads as they are by default; no cache, as for the others.
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    stores, there = {}, folder.is_dir()
    for name, array in chips.items():
        kvstore = {"driver": "file", "path": f"{folder / name}/"}
        stores[name] = ts.open(
            spec(array) | {"kvstore": kvstore}, open=True, create=True, context=context,
            recheck_cached_data=False, recheck_cached_metadata=False,
        ).result()  # fmt: skip
        for begin in range(0, 0 if there else len(array), PER_SHARD):
            some = array[begin : begin + PER_SHARD]
            stores[name][begin : begin + len(some)].write(some).result()

    def read(chosen: np.ndarray, out: Pixels) -> None:
        waiting = []
        for i, (chip, first) in enumerate(chosen.tolist()):
            for name, values in out.items():
                source = stores[name][chip, first : first + values.shape[1]].translate_to[0]
                waiting.append(ts.array(values[i]).write(source))
            if (i + 1) % at_once == 0 or i + 1 == len(chosen):
                for one in waiting:
                    one.result()
                waiting = []

    return read


def _write_npy(chips: Pixels, folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    folder.mkdir()
    out: dict[str, list[pathlib.Path]] = {name: [] for name in chips}
    for name, array in chips.items():
        for begin in range(0, len(array), PER_SHARD):
            out[name].append(folder / f"{name}-{begin:08d}.npy")
            np.save(out[name][-1], array[begin : begin + PER_SHARD])
    return out


def _files(name: str, periods: int) -> int:
    """Files for MANY chips."""
    if "zarr 2" in name:
        return MANY * periods * len(SENTINEL)
    one_for_all = "record" in name or "TFDS" in name
    return -(-MANY // PER_SHARD) * (1 if one_for_all else len(SENTINEL))


def check(made: dict[str, Read], chips: Pixels, window: int) -> None:
    """Requires every storage to return what was written.

    Raises:
      ValueError: names the storage that does not.
    """
    for name, read in made.items():
        chosen = np.array([(0, 0), (len(next(iter(chips.values()))) - 1, 1)])
        out = {s: np.empty((2, window, *array.shape[2:]), np.int16) for s, array in chips.items()}
        read(chosen, out)
        for sensor, values in out.items():
            for found, (chip, first) in zip(values, chosen, strict=True):
                if not np.array_equal(found, chips[sensor][chip, first : first + window]):
                    raise ValueError(f"{name}: {sensor} of chip {chip} is not what was written")


def measure(
    made: dict[str, Read], args: argparse.Namespace, periods: int, threads: int
) -> dict[str, list[float]]:
    """Seconds a window of every storage, one number for each round.

    Args:
      made: storages.
      args: the flags.
      periods: of each chip.
      threads: that read batches at the same time.
    """
    rng = np.random.default_rng(1)
    lengths = {s.name: (args.window, args.side, args.side, len(s.bands)) for s in SENTINEL}
    batches = [
        {name: np.empty((args.batch, *shape), np.int16) for name, shape in lengths.items()}
        for _ in range(threads)
    ]
    times: dict[str, list[float]] = {name: [] for name in made}

    def fill(read: Read, chosen: np.ndarray, batch: Pixels) -> None:
        for begin in range(0, len(chosen), args.batch):
            some = chosen[begin : begin + args.batch]
            read(some, {name: values[: len(some)] for name, values in batch.items()})

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for turn in range(args.runs + 1):
            order = rng.permutation(args.chips)
            chosen = np.stack([order, rng.integers(0, periods - args.window + 1, args.chips)], 1)
            parts = np.array_split(chosen, threads)
            for name, read in made.items():
                begin = time.perf_counter()
                list(pool.map(fill, [read] * threads, parts, batches))
                if turn:  # the first one warms up
                    times[name].append((time.perf_counter() - begin) / args.chips)
    return times


if __name__ == "__main__":
    main()
