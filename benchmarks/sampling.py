"""How fast batches of sampled pixels are made, and in how much memory.

    python -m benchmarks.sampling --json sampling.json

Makes batches of 512 pixels from drawn cubes: by field and by place, of the pixel alone and with 3
pixels around it; then from the same records repeated until there are 262 million annotated pixels,
as a wall-to-wall map of a continent has. Memory is what the process holds more than before, without
the page cache, after the first twenty batches and after the last.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

import numpy as np

from benchmarks import loader, report
from cropmap_jax.data import dataset, pixel_index, pixel_sampling
from cropmap_jax.data.sampling import SamplingConfig

BATCH, WARM = 512, 20


class Repeated:
    """Records of a source, again and again.

    Args:
      source: records.
      times: how often.
    """

    def __init__(self, source, times: int):
        self._source, self._count = source, len(source)
        self._length = self._count * times

    def __len__(self):
        return self._length

    def label(self, index):
        return self._source.label(index % self._count)

    def fields(self, index):
        return self._source.fields(index % self._count)

    def gather(self, chips, *others):
        self._source.gather(chips % self._count, *others)


def repeated(data: dataset.Dataset, split: str, times: int) -> dataset.Dataset:
    """The dataset with each chip so many times."""
    table = data.split(split)
    columns = [np.tile(getattr(table, name), times) for name in ("cube", "row", "col")]
    whole = dataset.Chips(*columns, np.tile(table.pixels, (times, 1)))
    return dataclasses.replace(data, chips={split: whole})


def measure(data, source, kind: str, config: SamplingConfig, batches: int) -> dict:
    """Pixels to draw from, seconds until the index is there, time of a batch, memory."""
    before, began = _anonymous_mb(), time.perf_counter()
    index = pixel_index.make(kind, data, "train", source)
    made = pixel_sampling.MakePixelBatch(data, "train", source, index, config, BATCH, 0)
    ready = time.perf_counter() - began
    for number in range(WARM):
        made.map(number)
    first, times = _anonymous_mb() - before, []
    for number in range(WARM, WARM + batches):
        began = time.perf_counter()
        made.map(number)
        times.append(1000 * (time.perf_counter() - began))
    return {
        "drawn by": kind,
        "square": f"{2 * config.context + 1} px",
        "pixels": int(data.split("train").annotated.sum()),
        "index, s": ready,
        "a batch, ms": report.spread(times)["median"],
        "MB at first": first,
        "MB in the end": _anonymous_mb() - before,
    }


def _anonymous_mb() -> float:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def main(argv: list[str]) -> dict:
    """Measures each way; prints and returns the figures."""
    parser = report.make_parser("sampling", __doc__)
    parser.add_argument("--cubes", type=int, default=64)
    parser.add_argument("--million", type=float, default=262.0, help="annotated pixels of a map")
    parser.add_argument("--batches", type=int, default=1000)
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.million, args.batches = 1, 1.0, 2
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        data = dataset.open_dataset(*loader.draw_dataset(scratch, args.cubes, 12))
        source, last = data.source("train"), int(data.periods(0)[-1, 1])
        config = SamplingConfig(
            sensors=data.sensors,
            unit="pixels",
            context=0,
            as_of=(last - 150, last),
            period_dropout=0.3,
            mixup=0.3,
        )
        for kind in pixel_index.INDEXES:
            for context in (0, 3):
                config = dataclasses.replace(config, context=context)
                found.append(measure(data, source, kind, config, args.batches))
        times = -(-int(args.million * 1e6) // int(data.split("train").annotated.sum()))
        large = repeated(data, "train", times)
        config = dataclasses.replace(config, context=0)
        found.append(measure(large, Repeated(source, times), "place", config, args.batches))
    header = list(found[0])
    text = report.table(header, [list(row.values()) for row in found])
    return report.finish("sampling", args, f"batches of {BATCH}\n\n{text}", {"ways": found})


if __name__ == "__main__":
    main(sys.argv[1:])
