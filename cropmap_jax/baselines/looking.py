"""Features of drawn pixels, each as of its date: computed here, or on the workers of a scheduler.

What is looked at together are the pixels of one chip that see one window: a *glance*. Its features
depend on the pixels of its cube alone, not on who looks, nor when.
"""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from cropmap_jax.baselines.features import Features
from cropmap_jax.data import dataset
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.pixel_index import DrawnPixels
from cropmap_jax.geo import as_of_windows
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.tiling import Box
from cropmap_jax.scheduling import Scheduler

TOGETHER = 64
"""Glances of a task: some 64 chips are read, a second's work or two."""

Seen = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Numbers of pixels, int [N]; their features, float32 [N, features]; whether they have any value,
bool [N]."""


@dataclasses.dataclass(frozen=True)
class Glance:
    """Pixels of one chip that see one window.

    Args:
      numbers: of the pixels among all that are drawn, int [N].
      cube: number of their cube.
      window: what they see of it.
      rows, cols: int [N], where they lie in the cube.
    """

    numbers: np.ndarray
    cube: int
    window: as_of_windows.Window
    rows: np.ndarray
    cols: np.ndarray


@dataclasses.dataclass(frozen=True)
class Task:
    """Glances for one worker.

    Args:
      path: folder of the dataset.
      fingerprint: of the dataset.
      features: which features.
      glances: where to look.
    """

    path: pathlib.Path
    fingerprint: str
    features: Features
    glances: Sequence[Glance]


def look(
    data: Dataset,
    split: str,
    features: Features,
    drawn: DrawnPixels,
    as_of: np.ndarray,
    scheduler: Scheduler | None = None,
) -> Iterator[Seen]:
    """Features of drawn pixels, some at a time; on workers in any order.

    Args:
      data, split: whose pixels.
      features: which features.
      drawn: the pixels, sorted by chip.
      as_of: int [N], as of which date each is seen.
      scheduler: whose workers look; None for this process.

    Raises:
      ValueError: an as-of date before the end of a cube's first period; a worker that does not see
        the dataset; names a file that is damaged.
    """
    glances = _glances(data, split, features, drawn, as_of)
    if scheduler is None or scheduler.is_here:
        source = DatasetSource(data)
        for one in glances:
            yield _look_at(data, source, features, one)
        return
    folder = pathlib.Path(data.path).absolute()
    scheduler.require(reads={"--data_dir": folder})
    together = iter(lambda: tuple(itertools.islice(glances, TOGETHER)), ())
    tasks = (Task(folder, data.fingerprint, features, own) for own in together)
    with contextlib.closing(scheduler.run(look_at_all, tasks, _name)) as ended:
        for done in ended:
            yield done.result()


def _name(task: Task) -> str:
    return f"{task.path}: chips of cube {task.glances[0].cube} and after"


def look_at_all(task: Task) -> Seen:
    """Features of all pixels of a task; runs on a worker.

    Raises:
      ValueError: another dataset lies there by now, or names a file that is damaged.
    """
    data, source = _opened(task.path)
    if data.fingerprint != task.fingerprint:
        _opened.cache_clear()
        data, source = _opened(task.path)
        if data.fingerprint != task.fingerprint:
            raise ValueError(
                f"{task.path}: expected the dataset that the command opened, found another; run "
                f"the same command again"
            )
    parts = [_look_at(data, source, task.features, one) for one in task.glances]
    numbers, values, there = (np.concatenate(column) for column in zip(*parts, strict=True))
    return numbers, values, there


@functools.lru_cache(maxsize=1)
def _opened(path: pathlib.Path) -> tuple[Dataset, DatasetSource]:
    """A dataset, opened once for all tasks that come to this process.

    Views of it, with folds or few fields, differ in what is annotated and not in pixels.
    """
    data = dataset.open_folder(path)
    return data, DatasetSource(data)


def _glances(
    data: Dataset, split: str, features: Features, drawn: DrawnPixels, as_of: np.ndarray
) -> Iterator[Glance]:
    table = data.split(split)
    starts = np.flatnonzero(np.diff(drawn.chip, prepend=-1))
    for own in np.split(np.arange(len(drawn.chip)), starts[1:]):
        chip = int(drawn.chip[own[0]])
        cube = int(table.cube[chip])
        where, spans = f"cube {data.cubes[cube]['id']}", data.periods(cube)
        ends: dict[int, list[int]] = {}
        for number in own.tolist():
            last = as_of_windows.last_period(spans, int(as_of[number]))
            ends.setdefault(last, []).append(number)
        for numbers in map(np.array, ends.values()):
            date = int(as_of[numbers[0]])
            window = as_of_windows.as_of_window(spans, date, features.num_periods, where)
            rows = drawn.row[numbers] + int(table.row[chip])
            cols = drawn.col[numbers] + int(table.col[chip])
            yield Glance(numbers, cube, window, rows, cols)


def _look_at(data: Dataset, source: DatasetSource, features: Features, one: Glance) -> Seen:
    row, (rows, cols) = data.cubes[one.cube], (one.rows, one.cols)
    extent = Box(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
    box = extent.grow(features.halo).common(Box(0, 0, *row["shape"]))
    if box is None:
        raise ValueError(f"{data.path}: cube {row['id']}: a drawn pixel lies outside of it")
    # Those that see no pixels, dates alone, learn from the same ones as the others.
    sensors = features.sensors or data.sensors
    pixels = source.read(row["id"], one.window.indices, box, sensors)
    wanted = np.zeros(box.shape, bool)
    at = rows - box.top, cols - box.left
    wanted[at] = True
    values = features.compute(pixels, one.window.day_of_year, wanted)
    # `compute` goes row by row.
    order = np.argsort(np.argsort(at[0] * box.shape[1] + at[1]))
    there = np.zeros(len(rows), bool)
    for sensor in sensors:
        there |= (pixels[sensor.name][:, at[0], at[1]] != sensor.nodata).any(axis=(0, 2))
    return one.numbers, values[order], there
