"""Spreads the cubes of a map over the workers of a scheduler.

A worker is given a *share*: cubes that lie together, with all that is known of them and of those
around them, so that it need not look at the rest of the folder. It opens the run once, predicts as
one process would, which is the same to the last bit whichever cubes it maps, and writes their maps,
each whole or not at all. What spans the cubes is left to the process of the command.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import absl.logging
import numpy as np

from cropmap_jax import runs, xla
from cropmap_jax.geo import files
from cropmap_jax.inference.engine import View
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.mapping import making, metadata
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.mapping.options import Options
from cropmap_jax.runs import calibration
from cropmap_jax.scheduling import Scheduler

LEAST, MOST = 16, 256
"""Parts of a share: what it takes to begin one is little next to so many; a worker that is lost
costs no more than so many."""
PER_WORKER = 4
"""Shares for each worker, so that none waits long for the last; half of them where chips have a
halo, since those at the edge of a share are predicted for both sides."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What all shares of a map have in common.

    Args:
      options: of the map, with whole paths.
      workdir: of the run, as metadata name it.
      settings: of the map.
      rule: which class is shown.
      holder: who holds the folder of the map.
    """

    options: Options
    workdir: str
    settings: metadata.Settings
    rule: Rule
    holder: str


@dataclasses.dataclass(frozen=True)
class Share:
    """Cubes for one worker.

    Args:
      job: what all shares have in common.
      cubes: ids of cubes by an excerpt of their mosaic group, in order.
      folders, allowed, inputs: see `making.What`.
    """

    job: Job
    cubes: Sequence[tuple[MosaicGroup, tuple[str, ...]]]
    folders: Mapping[str, pathlib.Path]
    allowed: Mapping[str, np.ndarray]
    inputs: Mapping[str, str]

    @property
    def name(self) -> str:
        """For people: which cubes, by the first and the last."""
        names = [name for _, own in self.cubes for name in own]
        return f"cube {names[0]}" if len(names) == 1 else f"cubes {names[0]} to {names[-1]}"


def run(
    scheduler: Scheduler, options: Options, how: making.How, what: making.What
) -> Iterator[None]:
    """Lets workers map cubes; yields once for each part, as shares end.

    Args:
      scheduler: whose workers.
      options: of the map.
      how: what all cubes have in common.
      what: which cubes.

    Raises:
      ValueError: a worker that does not see the same files, or what went wrong there.
      OSError: names what cannot be written; lost workers or scheduler.
    """
    reads = {"--workdir": options.workdir, "--cubes": options.cubes}
    more = {"--mask": options.mask, "--fields": options.fields}
    scheduler.require({"--out": how.out}, reads | {k: path for k, path in more.items() if path})
    job = Job(_absolute(options), how.workdir, how.settings, how.rule, files.holder(how.out))
    shares = split(job, what, most_parts(what, how.settings.halo_px, scheduler.workers))
    with contextlib.closing(scheduler.run(map_share, shares, lambda share: share.name)) as ended:
        for done in ended:
            yield from itertools.repeat(None, done.result())


def _absolute(options: Options) -> Options:
    """The same, for a process that runs in another folder."""
    paths = {
        name: os.path.abspath(getattr(options, name))
        for name in ("workdir", "cubes", "out", "mask", "fields")
        if getattr(options, name)
    }
    return dataclasses.replace(options, **paths)


def most_parts(what: making.What, halo: int, workers: int) -> int:
    """How many parts a share may have.

    Args:
      what: all cubes to map.
      halo: of the predictor, in pixels.
      workers: how many there are now.
    """
    parts = sum(1 for view, number in what.todo for _ in view.mosaic_group.pieces(number))
    shares = max(workers, 1) * (PER_WORKER // 2 if halo else PER_WORKER)
    return min(max(parts // shares, LEAST), MOST)


def split(job: Job, what: making.What, most: int) -> Iterator[Share]:
    """Shares of at most so many parts, or of one cube; what lies in one square comes together.

    Args:
      job: what they have in common.
      what: all cubes to map.
      most: parts.
    """
    taken: dict[View, list[int]] = {}
    size = 0
    for view, numbers in _squares(what.todo, math.isqrt(most)):
        parts = sum(1 for number in numbers for _ in view.mosaic_group.pieces(number))
        if taken and size + parts > most:
            yield _share(job, what, taken)
            taken, size = {}, 0
        taken.setdefault(view, []).extend(numbers)
        size += parts
    if taken:
        yield _share(job, what, taken)


def _squares(todo: Iterable[tuple[View, int]], side: int) -> Iterable[tuple[View, list[int]]]:
    """Cubes by the square of so many parts a side that their upper left corner lies in."""
    found: dict[tuple[View, int, int], list[int]] = {}
    for view, number in todo:
        tiling = view.mosaic_group.tiling
        box, cell = tiling.boxes[number], tiling.cell((0, 0))
        key = view, box.top // (side * cell.bottom), box.left // (side * cell.right)
        found.setdefault(key, []).append(number)
    return ((view, numbers) for (view, _, _), numbers in found.items())


def _share(job: Job, what: making.What, taken: Mapping[View, list[int]]) -> Share:
    around = (job.settings.smooth or 0) // 2
    cubes: list[tuple[MosaicGroup, tuple[str, ...]]] = []
    near: set[str] = set()
    for view, numbers in taken.items():
        group = view.mosaic_group
        excerpt = group.excerpt(numbers, around)
        cubes.append((excerpt, tuple(group.cubes[number].cube_id for number in numbers)))
        near.update(made.cube_id for made in excerpt.cubes)
    own = [name for _, names in cubes for name in names]
    return Share(
        job,
        cubes,
        {name: pathlib.Path(os.path.abspath(what.folders[name])) for name in sorted(near)},
        {name: what.allowed[name] for name in own},
        {name: what.inputs[name] for name in own},
    )


# On the worker ------------------------------------------------------------------------------------


def map_share(share: Share) -> int:
    """Maps the cubes of a share.

    Returns:
      How many parts they have.

    Raises:
      ValueError: the run is not the one that the command opened, or names a file that cannot be
        read.
      OSError: names what cannot be written.
    """
    how, predictor = _opened(share.job)
    todo = []
    for group, names in share.cubes:
        view = View(group)
        number = {made.cube_id: i for i, made in enumerate(group.cubes)}
        todo += [(view, number[name]) for name in names]
    what = making.What(todo, share.folders, share.allowed, share.inputs)
    return sum(1 for _ in making.map_cubes(how, what, predictor))


@functools.lru_cache(maxsize=1)
def _opened(job: Job) -> tuple[making.How, Predictor]:
    """The run, opened once for all shares that come to this process."""
    xla.tune()
    absl.logging.set_verbosity(absl.logging.ERROR)  # as commands do
    options, settings = job.options, job.settings
    restored = runs.open_run(options.workdir, options.checkpoint)
    calibrated = calibration.find(options.workdir, restored) if options.calibrate else None
    limits = making.open_limits(options)
    found = dataclasses.replace(
        settings,
        checkpoint=metadata.fingerprint(restored),
        mask=limits.mask.digest if limits.mask else None,
        fields=limits.parcels.digest if limits.parcels else None,
        calibration=calibrated.digest if calibrated else None,
    )
    if found != settings:
        raise ValueError(
            f"--workdir {options.workdir}: expected the run, mask and fields that the command "
            f"opened, found others; run the same command again"
        )
    predictor = runs.predictor_of(restored, options.batch_size, full_batches=True)
    classes = len(restored.recipe.legend)
    made = calibration.apply(predictor, calibrated, classes)
    out = pathlib.Path(options.out)
    how = making.How(restored, calibrated, settings, job.rule, limits, job.workdir, out, job.holder)
    return how, made
