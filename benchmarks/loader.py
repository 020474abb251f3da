"""How fast training examples come from a dataset, and against TFDS's own reading of it.

    python -m benchmarks.loader --json loader.json
    python -m benchmarks.loader --data_dir DIR --dataset cubes/NAME

Each variant runs the pipeline of training (two threads unless --threads says otherwise) over the
whole split; variants alternate, so that what else the machine does hits all of them. Counted as
bytes are those of the windows that arrive: int16 S1 and S2 of all periods, and the uint8 label;
what is read and thrown away (periods outside the window, fields) does not count. "warm" has the
files in the page cache, for "cold" they are dropped from it before each run. "CPU ms" is processor
time of all threads for a window: what a busy machine does not change.

Without --data_dir a dataset is built from cubes drawn at random, in a temporary folder.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import tempfile
import time

import jax
import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from benchmarks import drawn, report
from cropmap_jax.data import augment, cube_builder, dataset, input_pipeline, sampling
from cropmap_jax.data.records import Whole
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import scaling

DROPPED = {"period_dropout": 0.1, "sensor_dropout": 0.1}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("loader", __doc__)
    parser.add_argument("--data_dir", help="folder of datasets; default: build one")
    parser.add_argument("--dataset", default="cubes", help="<kind> or <kind>/<name>, with a train")
    parser.add_argument("--cubes", type=int, default=64, help="cubes to draw, of 128 x 128 px")
    parser.add_argument("--months", type=int, default=12, help="periods of the cubes drawn")
    parser.add_argument("--periods", type=int, default=6, help="periods of a window")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7, help="of each variant")
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.runs, args.batch = 1, 1, 2
    return args


def main(argv: list[str] | None = None) -> None:
    """Measures all variants and stages, and prints both tables."""
    args = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        data_dir, name = args.data_dir, args.dataset
        if data_dir is None:
            data_dir, name = draw_dataset(scratch, args.cubes, args.months)
        data = dataset.open_dataset(data_dir, name)
        packed = compressed(data, pathlib.Path(scratch) / "packed")
        size = [sum(f.stat().st_size for f in _files(d)) for d in (data, packed)]
        found = measure(data, packed, args)
        stages = measure_stages(data, args)
    chip = args.periods * data.chip**2 * 24 + data.chip**2
    rows = [
        [what, r["windows/s"]["median"], r["windows/s"]["q1"], r["windows/s"]["q3"]]
        + [r["windows/s"]["median"] * chip / 1e9, r["ratio"], r["CPU ms"]["median"]]
        for what, r in found.items()
    ]
    header = ["variant", "windows/s", "q1", "q3", "GB/s", "x TFDS compressed", "CPU ms"]
    text = (
        f"{len(data.split('train'))} chips of {data.chip} px, {len(data.periods(0))} periods, "
        f"windows of {args.periods}; {size[0] / 1e6:,.0f} MB, compressed as TFDS would "
        f"{size[1] / 1e6:,.0f}; batch {args.batch}, {args.threads} threads, {args.runs} runs; "
        f"augmentation on {jax.devices()[0].device_kind}\n\n{report.table(header, rows)}\n\n"
        + report.table(
            ["stage (one thread)", "ms an example", "q1", "q3"],
            [[k, v["median"], v["q1"], v["q3"]] for k, v in stages.items()],
        )
    )
    figures = {"bytes_per_window": chip, "files": size, "variants": found, "stages": stages}
    report.finish("loader", args, text, figures)


def draw_dataset(scratch: str, cubes: int, months: int) -> tuple[str, str]:
    """Builds a dataset of cubes drawn at random, all of them for training.

    Args:
      scratch: folder for cubes and dataset.
      cubes: how many, of 128 x 128 pixels.
      months: periods of each.

    Returns:
      What `dataset.open_dataset` takes: folder of datasets, and name.
    """
    drawn.draw_cubes(f"{scratch}/cubes", cubes, months=months)
    cube_builder.build(drawn.Drawn, "default", f"{scratch}/cubes", f"{scratch}/data")
    return f"{scratch}/data", "drawn"


@dataclasses.dataclass(frozen=True)
class ThroughTfds(dataset.Dataset):
    """A dataset whose records TFDS reads, each of them whole."""

    def source(self, split: str) -> Whole:
        """As `Dataset.source`."""
        return Whole(
            tfds.builder_from_directory(str(self.path)).as_data_source(split),
            self.sensors,
            self.path,
        )


def through_tfds(data: dataset.Dataset, path: pathlib.Path | None = None) -> ThroughTfds:
    """The same dataset, or its copy under `path`, with records that TFDS reads."""
    fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(dataset.Dataset)}
    return ThroughTfds(**fields | {"path": path or data.path})


def compressed(data: dataset.Dataset, folder: pathlib.Path) -> ThroughTfds:
    """A copy of the training split as TFDS writes it by itself."""
    folder = folder / data.path.name
    shutil.copytree(data.path, folder, ignore=shutil.ignore_patterns("*.array_record*"))
    for file in _files(data):
        reader = array_record_module.ArrayRecordReader(str(file))
        writer = array_record_module.ArrayRecordWriter(str(folder / file.name), "group_size:1")
        for i in range(reader.num_records()):
            writer.write(reader.read([i])[0])
        writer.close()
        reader.close()
    return through_tfds(data, folder)


def _files(data: dataset.Dataset) -> list[pathlib.Path]:
    return sorted(data.path.glob("*-train.array_record*"))


def measure(data: dataset.Dataset, packed: ThroughTfds, args: argparse.Namespace) -> dict:
    """Runs all variants in turn, `args.runs` times each.

    Args:
      data: the dataset.
      packed: its copy as TFDS writes it.
      args: the flags.

    Returns:
      For each variant {"windows/s": spread, "CPU ms": spread, of a window, "ratio": of the windows
      a second to those of "TFDS compressed"}.
    """
    plain, turned = {"augment": False}, {"augment": True} | DROPPED
    passes = 1 if args.quick else max(1, round(1024 / len(data.split("train"))))
    variants = {
        "in parts": (data, plain, False, passes),
        "in parts, augmented": (data, turned, True, passes),
        "in parts, augmented, cold": (data, turned, True, 1),
        "TFDS": (through_tfds(data), plain, False, 1),
        "TFDS compressed": (packed, plain, False, 1),
        "TFDS compressed, augmented": (packed, turned, True, 1),
        "TFDS compressed, augmented, cold": (packed, turned, True, 1),
    }
    rates: dict[str, list] = {name: [] for name in variants}
    cpu: dict[str, list] = {name: [] for name in variants}
    for repeat in range(args.runs + 1):
        for name, (source, settings, applied, count) in variants.items():
            if "cold" in name:
                drop_from_cache(source)
            before = time.process_time()
            rate, seen = run(source, settings, applied, count, args)
            if repeat:  # the first one compiles and fills the cache
                rates[name].append(rate)
                cpu[name].append(1e3 * (time.process_time() - before) / seen)
    out = {
        name: {"windows/s": report.spread(rates[name]), "CPU ms": report.spread(cpu[name])}
        for name in variants
    }
    reference = np.array(rates["TFDS compressed"])
    for name, values in rates.items():
        out[name]["ratio"] = float(np.median(np.array(values) / reference))
    return out


def run(
    data: dataset.Dataset, settings: dict, applied: bool, passes: int, args
) -> tuple[float, int]:
    """Windows a second, and how many; `applied`: to the end of the last turn on the device."""
    ends = [int(end) for end in data.periods(0)[:, 1]]
    config = sampling.SamplingConfig(args.periods, as_of=(ends[args.periods - 1], ends[-1]))
    config = dataclasses.replace(config, **settings)
    made = input_pipeline.training_input(
        data, config, args.batch, passes, seed=0, num_threads=args.threads
    )
    begin, count, before = time.perf_counter(), 0, None
    for batch in made.batches:
        count += len(batch["label"])
        if applied:
            now = _AUGMENT(jax.device_put(batch))
            jax.block_until_ready(before)
            before = now
    jax.block_until_ready(before)
    return count / (time.perf_counter() - begin), count


_AUGMENT = jax.jit(augment.augment)
_SCALE = jax.jit(lambda batch: scaling.scale(batch, SENTINEL, scaling.default(SENTINEL)))
_BOTH = jax.jit(
    lambda batch: scaling.scale(augment.augment(batch), SENTINEL, scaling.default(SENTINEL))
)


def drop_from_cache(data: dataset.Dataset) -> None:
    """Has the system forget the training records, which the next run then reads from the disk."""
    for file in _files(data):
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def measure_stages(data: dataset.Dataset, args: argparse.Namespace) -> dict:
    """Spread of each stage's milliseconds an example, one after the other in one thread."""
    ends = [int(end) for end in data.periods(0)[:, 1]]
    config = sampling.SamplingConfig(
        args.periods, as_of=(ends[args.periods - 1], ends[-1]), **DROPPED
    )
    source, table, batch = data.source("train"), data.split("train"), args.batch
    numbers = range(len(table) // batch * batch)
    sampler = sampling.ExampleSampler(data, table, source, config, np.arange(len(table)), 0)
    make = sampling.MakeBatch(sampler, source, config, data.chip, batch, (0, 1))
    done = [sampler[i] for i in numbers]
    images = make.map(0)
    out = {name: values[0] for name, values in images["pixels"].items()}
    on_device = jax.device_put(images)
    batches = range(len(numbers) // batch)
    on_device_by = lambda step: jax.block_until_ready(step(on_device))  # noqa: E731
    for step in (_AUGMENT, _SCALE, _BOTH):
        on_device_by(step)  # compiles
    stages = {
        "draw (order, as-of, turn, dropout)": lambda: [sampler[i] for i in numbers],
        "read windows": lambda: [source.read_window(d.chip, d.window, out) for d in done],
        "read and decode labels": lambda: [source.label(d.chip) for d in done],
        "all of a batch, new memory": lambda: [make.map(i) for i in batches],
        "TFDS reads and decodes": None,
        "copy to the device": lambda: [
            jax.block_until_ready(jax.device_put(images)) for _ in batches
        ],
        "turn on the device, alone": lambda: [on_device_by(_AUGMENT) for _ in batches],
        "scale on the device": lambda: [on_device_by(_SCALE) for _ in batches],
        "turn and scale, as training does": lambda: [on_device_by(_BOTH) for _ in batches],
    }
    reference = through_tfds(data).source("train")
    stages["TFDS reads and decodes"] = lambda: [reference[d.chip] for d in done]
    times: dict[str, list] = {name: [] for name in stages}
    for _ in range(args.runs):
        for name, act in stages.items():
            begin = time.perf_counter()
            act()
            times[name].append(1e3 * (time.perf_counter() - begin) / len(numbers))
    return {name: report.spread(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
