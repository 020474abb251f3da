"""Tasks on the workers of a Dask cluster: one on this machine, or one that runs already."""

import asyncio
import contextlib
import dataclasses
import gc
import itertools
import json
import logging
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

import dask
import distributed

from cropmap_jax.geo import files, processes
from cropmap_jax.scheduling import on_worker
from cropmap_jax.scheduling.schedulers import Done, Scheduler

CONNECT_S = 10
"""Seconds in which a scheduler has to answer."""
ALLOWED_DEATHS = 3
"""So many workers may end while they are at a task; with the next one the task is given up. Dask's
own default, `distributed.scheduler.allowed-failures`, which the scheduler of a cluster reads."""
_AHEAD = 2
"""Tasks a worker: the one that it is at, and the next."""
_COUNT_S = 5.0
"""Seconds after which workers are counted again."""
_PROBE = "cropmap_jax.shared"


@contextlib.contextmanager
def on_this_machine(count: int, flag: str) -> Iterator[Scheduler]:
    """Worker processes of one thread each, which only this machine can reach, encrypted.

    They end with the block and with this process, however that ends.
    """
    _quiet()
    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        # A worker is given no second task before it needs one: when it ends, one task is suspect.
        "distributed.scheduler.worker-saturation": 1.0,
        # Dask lets workers give memory back at once: what works with large arrays then takes half
        # as much processor time again, to be given the same pages anew (docs/clusters.md).
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
        # Pages about tasks, which any user of the machine could read.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with contextlib.ExitStack() as held:
        held.enter_context(processes.stoppable())
        held.enter_context(dask.config.set(settings))
        # Whoever starts it has SIGINT unblocked afterwards: not the thread that starts a worker.
        resource_tracker.ensure_running()
        # Workers are started by threads that inherit what is blocked here: Ctrl-C reaches only this
        # process. It is answered when they are there, and closed with all else.
        with processes.deferred():
            local = _local_cluster(count, flag)
            held.enter_context(_closing(local))
            held.enter_context(_dropping(local))
            client = distributed.Client(local, set_as_default=False)
            held.enter_context(_closing(client))
        yield held.enter_context(Cluster(client, f"local:{count}, processes of this machine"))


def _local_cluster(count: int, flag: str) -> distributed.LocalCluster:
    try:
        return distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            security=True,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            # As of any process: with a limit, one that needs more would be killed while the others
            # need less.
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, OSError) as error:
        raise OSError(f"{flag}: worker processes could not be started ({error})") from error


@contextlib.contextmanager
def _closing(opened: distributed.LocalCluster | distributed.Client) -> Iterator[None]:
    """Closes it with the block, whole: a signal waits for that. What is half closed Dask would
    close again as Python ends, which takes ten seconds."""
    try:
        yield
    finally:
        with processes.deferred():
            opened.close()


@contextlib.contextmanager
def _dropping(local: distributed.LocalCluster) -> Iterator[None]:
    """When the block raises, work is dropped where it is; Dask would wait four seconds for it."""

    async def drop() -> None:
        nannies = list(local.workers.values())
        await asyncio.gather(*(one.close(timeout=0.2) for one in nannies), return_exceptions=True)

    try:
        yield
    except BaseException:
        with processes.deferred(), contextlib.suppress(Exception):
            local.sync(drop)
        raise


@contextlib.contextmanager
def connected(text: str, file: bool, flag: str) -> Iterator[Scheduler]:
    """A scheduler that runs already; `text` is its address or, if `file`, its file."""
    _quiet()
    address = _address_in(text, flag) if file else text
    with contextlib.ExitStack() as held:
        held.enter_context(processes.stoppable())
        client = _client(address, f"{flag} {text}")
        held.enter_context(client)
        yield held.enter_context(Cluster(client, f"the Dask scheduler at {text}"))


def _client(address: str, where: str) -> distributed.Client:
    try:
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
    # Half a client is left, which closes itself when it is found to be garbage: now, since Dask
    # would wait for itself for ever if that were while another one is opened.
    gc.collect()
    raise ValueError(
        f"{where}: expected a Dask scheduler, found none that answers within {CONNECT_S} s ({why})"
    )


def _address_in(file: str, flag: str) -> str:
    try:
        value = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    except ValueError:
        value = None
    address = value.get("address") if isinstance(value, dict) else None
    if not isinstance(address, str):
        raise ValueError(
            f"{flag} {file}: expected the file that `dask scheduler --scheduler-file` writes, "
            f"found one without an address"
        )
    return address


def _quiet() -> None:
    """Dask logs every worker that ends, over several lines; what costs a task is an error of it."""
    for name in ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Cluster(Scheduler):
    """The workers of a Dask cluster; a context manager that removes what it wrote.

    Args:
      client: connected to the scheduler.
      text: what it is, for people.

    Raises:
      Unfit: a worker that is there has another version of cropmap_jax, or several threads.
    """

    def __init__(self, client: distributed.Client, text: str):
        self._client, self._text = client, text
        self._demands = on_worker.Demands(folder=os.getcwd())
        self._probes: list[pathlib.Path] = []
        self._workers, self._counted = 0, 0.0

    def __enter__(self) -> "Cluster":
        self._check(self._demands)
        return self

    def __exit__(self, *_: object) -> None:
        for probe in self._probes:
            probe.unlink(missing_ok=True)

    @property
    def workers(self) -> int:
        now = time.monotonic()
        if not self._counted or now - self._counted > _COUNT_S:
            with self._errors():
                self._workers = sum(self._client.nthreads().values())
            self._counted = now
        return self._workers

    @property
    def text(self) -> str:
        return self._text

    @property
    def is_here(self) -> bool:
        return False

    def require(
        self,
        writes: Mapping[str, str | os.PathLike[str]] | None = None,
        reads: Mapping[str, str | os.PathLike[str]] | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        seen = list(self._demands.seen)
        for flag, folder in (writes or {}).items():
            seen.append(on_worker.seen(flag, self._probe(pathlib.Path(folder))))
        seen += [on_worker.seen(flag, path) for flag, path in (reads or {}).items()]
        named = (*self._demands.modules, *modules)
        demands = dataclasses.replace(self._demands, seen=tuple(seen), modules=named)
        self._check(demands)
        self._demands = demands

    def _probe(self, folder: pathlib.Path) -> pathlib.Path:
        """A file that only this folder holds: on another machine a path may lead elsewhere."""
        for left in folder.glob(f".{_PROBE}*.part"):
            files.remove_left(left)
        probe, _ = files.hidden(folder / _PROBE)
        probe.touch()
        self._probes.append(probe)
        return probe

    def _check(self, demands: on_worker.Demands) -> None:
        with self._errors():
            found = self._client.run(on_worker.complaint, demands, on_error="return")
        for address, lacks in sorted(found.items()):
            if isinstance(lacks, ImportError):
                lacks = (
                    f"expected cropmap_jax {demands.version}, as in this process, found none "
                    f"or an older one ({lacks})"
                )
            elif isinstance(lacks, Exception):
                lacks = f"{type(lacks).__name__}: {lacks}"
            if lacks:
                raise on_worker.Unfit(f"worker {address}: {lacks}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, distributed.CancelledError) as error:
            raise self._gone() from error

    def _gone(self) -> OSError:
        return OSError(
            f"lost {self._text}: expected it to run until the command has ended; start it and run "
            f"the same command again to resume"
        )

    def run(
        self,
        function: Callable[..., Any],
        tasks: Iterable[Any],
        name: Callable[[Any], str] = str,
    ) -> Generator[Done, None, None]:
        left = iter(tasks)
        given: dict[Any, Any] = {}
        ended = distributed.as_completed(loop=self._client.loop)
        kind = f"{getattr(function, '__name__', 'task')}"
        try:
            while True:
                room = max(_AHEAD * self.workers, 1) - len(given)  # fewer workers: below 0
                for task in itertools.islice(left, max(room, 0)):
                    key = f"{kind}-{uuid.uuid4().hex}"
                    with self._errors():
                        future = self._client.submit(
                            on_worker.call, self._demands, function, task, key=key, pure=False
                        )
                    given[key] = (task, future)
                    ended.add(future)
                if not given:
                    return
                future = next(ended)
                if future.status in ("lost", "pending"):
                    # Its value was on a worker that ended before it was fetched: it is run again.
                    ended.add(future)
                    continue
                task, _ = given.pop(future.key)
                done = self._done(future, task, name)
                del future
                yield done
        finally:
            if given:
                # Those that run on workers elsewhere come to their end there.
                with contextlib.suppress(Exception):
                    self._client.cancel([future for _, future in given.values()])

    def _done(self, future: distributed.Future[Any], task: Any, name: Callable[[Any], str]) -> Done:
        if future.status == "cancelled":
            raise self._gone()
        error = future.exception() if future.status == "error" else None
        if error is None:
            with self._errors():
                outcome: on_worker.Outcome = future.result()
            if outcome.unfit:
                raise on_worker.Unfit(outcome.unfit)
            return Done(task, outcome.value, outcome.error)
        if isinstance(error, distributed.KilledWorker):
            return Done(task, None, on_worker.WorkersLost(
                f"{name(task)}: given up: {error.allowed_failures + 1} workers ended while they "
                f"were at it, the last at {error.last_worker.address}; often for lack of memory"
            ))  # fmt: skip
        if isinstance(error, ImportError):
            self._check(self._demands)  # names the worker that lacks the package, if one does
        return Done(task, None, error)
