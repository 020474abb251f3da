"""Simulates all sites of a world, several at once, and goes on where an interrupted run stopped."""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib

from cropmap_jax.geo import cube_io, grid
from cropmap_jax.sources.simulator import sites


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
    cubes_dir: str | os.PathLike,
    truth_dir: str | os.PathLike,
    workers: int = 0,
    progress=lambda iterable, **_: iterable,
) -> Summary:
    """Writes every cube of the settings that is not there yet.

    Args:
      settings: what to simulate.
      cubes_dir: folder of cubes.
      truth_dir: folder for the truth, `<cube id>/truth.tif` and `parcel.tif`.
      workers: processes, each of which works on a site; 0: one per core.
      progress: wraps an iterable, called with `total` and `unit`.

    Raises:
      ValueError: a cube of that id is there, but made in another way.
    """
    everything = sites.list_sites(settings)
    check_existing(settings, everything, pathlib.Path(cubes_dir))
    ids = [sites.cube_ids(settings, site) for site in everything]
    total = sum(map(len, ids))
    # No process is started for a site that is there.
    there = [all((pathlib.Path(cubes_dir) / i).exists() for i in own) for own in ids]
    todo = [site for site, whole in zip(everything, there, strict=True) if not whole]
    workers = min(workers or os.cpu_count() or 1, len(todo))
    arguments = [(settings, site, str(cubes_dir), str(truth_dir)) for site in todo]
    written = 0
    if workers <= 1:
        for made in progress((sites.simulate_site(*a) for a in arguments), total=len(todo),
                             unit="site"):  # fmt: skip
            written += len(made)
    else:
        # Spawned, not forked: a caller may have started threads of its own.
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = [pool.submit(sites.simulate_site, *a) for a in arguments]
            try:
                for future in progress(
                    concurrent.futures.as_completed(futures), total=len(todo), unit="site"
                ):
                    written += len(future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return Summary(written, total - written, written * (grid.TILE_M / 1000) ** 2)


def check_existing(settings: sites.Settings, todo: list, cubes_dir: pathlib.Path) -> None:
    """Demands that cubes that are there were made with the same settings.

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
                f"{key}: {found.get(key)!r} there, {expected.get(key)!r} asked for"
                for key in sorted(set(found) | set(expected))
                if found.get(key) != expected.get(key)
            ]
            if info.split != site.split:
                differ.append(f"split: {info.split!r} there, {site.split!r} asked for")
            if differ:
                raise ValueError(
                    f"{folder}: expected a cube simulated with the same settings, found "
                    f"{'; '.join(differ)}"
                )
