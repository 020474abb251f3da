"""Simulates all sites of a world, several at once, and resumes where an interrupted run stopped."""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Generator, Iterable

from cropmap_jax import scheduling
from cropmap_jax.geo import cube_io, files, grid, processes
from cropmap_jax.sources.simulator import sites, truths
from cropmap_jax.sources.simulator.scene_catalogue import site_name


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Args:
      written, kept: cubes.
      km2: ground of the cubes written.
    """

    written: int
    kept: int
    km2: float


def simulate(
    settings: sites.Settings,
    cubes_dir: str | os.PathLike[str],
    truth_dir: str | os.PathLike[str],
    workers: int = 0,
    progress: Callable[..., Iterable[list[str]]] = lambda iterable, **_: iterable,
    scheduler: scheduling.Scheduler | None = None,
) -> Summary:
    """Writes every cube of the settings, and its truth, that is not there yet.

    Args:
      settings: what to simulate.
      cubes_dir: folder of cubes.
      truth_dir: folder for the truth, `<cube id>/truth.tif` and `parcel.tif`.
      workers: processes, each of which works on a site; 0: one per core.
      progress: wraps an iterable, called with `total` and `unit`.
      scheduler: whose workers simulate, a site each; None or one that works here: `workers` do.

    Raises:
      ValueError: a cube or a truth of that id is there, but made in another way.
      OSError: something could not be written, or a worker ended before its work did.
    """
    cubes_dir, truth_dir = pathlib.Path(cubes_dir).absolute(), pathlib.Path(truth_dir).absolute()
    everything = sites.list_sites(settings)
    check_existing(settings, everything, cubes_dir)
    ids = [list(sites.cube_ids(settings, site)) for site in everything]
    total = sum(map(len, ids))
    _tidy(cubes_dir, truth_dir, ids)
    # No process is started for a site that is there.
    todo = [
        site for site, own in zip(everything, ids, strict=True)
        if not _is_there(settings, own, cubes_dir, truth_dir)
    ]  # fmt: skip
    workers = min(workers or os.cpu_count() or 1, len(todo))
    arguments = [(settings, site, str(cubes_dir), str(truth_dir)) for site in todo]
    written = 0
    try:
        if scheduler is None or scheduler.is_here:
            each = _each(arguments, workers)
        else:
            each = _elsewhere(arguments, scheduler)
        with contextlib.closing(each) as results:
            for made in progress(results, total=len(todo), unit="site"):
                written += len(made)
    except BaseException:
        _tidy(cubes_dir, truth_dir, ids)  # workers that were ended leave their unfinished files
        raise
    return Summary(written, total - written, written * (grid.TILE_M / 1000) ** 2)


def _each(
    arguments: list[tuple[sites.Settings, sites.Site, str, str]], workers: int
) -> Generator[list[str], None, None]:
    """Ids written, site by site."""
    if workers <= 1:
        yield from (sites.simulate_site(*one) for one in arguments)
        return
    with processes.pool(workers) as pool:
        futures = [pool.submit(sites.simulate_site, *one) for one in arguments]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def _elsewhere(
    arguments: list[tuple[sites.Settings, sites.Site, str, str]], scheduler: scheduling.Scheduler
) -> Generator[list[str], None, None]:
    """As `_each`; a site that was too much for every worker is reported after the others."""
    lost: Exception | None = None
    with contextlib.closing(
        scheduler.run(sites.simulate_site, arguments, lambda task: site_name(task[1]))
    ) as ended:
        for done in ended:
            if isinstance(done.error, scheduling.WorkersLost):
                lost = lost or done.error
            else:
                yield done.result()
    if lost is not None:
        raise lost


def _is_there(
    settings: sites.Settings, ids: list[str], cubes_dir: pathlib.Path, truth_dir: pathlib.Path
) -> bool:
    source = sites.truth_source(settings)
    # Each is looked at: what is of something else is found before anything is simulated.
    truth = [truths.is_whole(truth_dir / one, source) for one in ids]
    return all(truth) and all((cubes_dir / one).exists() for one in ids)


def _tidy(cubes_dir: pathlib.Path, truth_dir: pathlib.Path, ids: list[list[str]]) -> None:
    """Removes what a run that was killed left unfinished of these tiles."""
    own = {one for site in ids for one in site}
    if cubes_dir.is_dir():
        files.tidy(cubes_dir, own)
    for one in own:
        if (truth_dir / one).is_dir():
            files.tidy(truth_dir / one)


def check_existing(
    settings: sites.Settings, todo: list[sites.Site], cubes_dir: pathlib.Path
) -> None:
    """Requires that cubes that are there were made with the same settings.

    Raises:
      ValueError: names the first cube that was not, and what differs.
    """
    expected = sites.source(settings)
    for site in todo:
        for cube_id in sites.cube_ids(settings, site):
            folder = cubes_dir / cube_id
            if not folder.exists():
                continue
            info = cube_io.read_info(folder)
            found = dict(info.source)
            differ = [
                f"{key}: {found.get(key)!r} there, {expected.get(key)!r} requested"
                for key in sorted(set(found) | set(expected))
                if found.get(key) != expected.get(key)
            ]
            if info.split != site.split:
                differ.append(f"split: {info.split!r} there, {site.split!r} requested")
            if differ:
                raise ValueError(
                    f"{folder}: expected a cube simulated with the same settings, found "
                    f"{'; '.join(differ)}"
                )
