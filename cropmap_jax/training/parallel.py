"""Data parallelism over the devices of all processes: the only place that calls pmap.

The state is replicated, the batch is split along its first axis. `jax.pmap` runs on jit and
shard_map underneath; one device takes the same path, with an axis of length one. With several
processes (one per host, for example), each gives and gets the part of its own devices, and the axis
spans the devices of all.

A replicated state has no axis of devices in front: with one, XLA on the CPU copies parameters and
moments in every step instead of updating them where they are.
"""

import collections
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cropmap_jax.data.examples import Batch

AXIS = "devices"


def start(
    coordinator: str | None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins the processes of a run; to be called before anything else uses a device of jax.

    Args:
      coordinator: "HOST:PORT" on which process 0 listens; "auto" where the cluster knows (Slurm,
        Open MPI, Cloud TPU); None for a run of one process.
      num_processes: how many there are; not with "auto".
      process_id: index of this process, from 0; not with "auto".

    Raises:
      ValueError: settings that do not belong together, processes that do not find each other, or
        that have unequal numbers of devices.
    """
    given = {"--num_processes": num_processes, "--process_id": process_id}
    if coordinator in (None, "auto"):
        for flag, value in given.items():
            if value is not None:
                found = f"--coordinator {coordinator}" if coordinator else "none"
                raise ValueError(
                    f"{flag} {value}: expected --coordinator HOST:PORT with it, found {found}"
                )
        if coordinator is None:
            return
    else:
        if num_processes is None or process_id is None:
            flag = "--num_processes" if num_processes is None else "--process_id"
            raise ValueError(f"{flag}: expected a number with --coordinator, found none")
        if not 0 <= process_id < num_processes:
            raise ValueError(
                f"--process_id: expected 0 to {num_processes - 1} (--num_processes "
                f"{num_processes}), found {process_id}"
            )
        host, colon, port = coordinator.rpartition(":")
        if not (host and colon and port.isdigit()):
            raise ValueError(f"--coordinator: expected HOST:PORT or auto, found {coordinator!r}")
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0][:200]
        raise ValueError(f"--coordinator {coordinator}: {reason}") from error
    _check_devices()


def _check_devices() -> None:
    """Requires as many devices of each process as of any other: each gets an equal part of a batch.

    Every process sees the devices of all, so that all of them refuse.
    """
    counts = collections.Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{n} in process {index}" for index, n in sorted(counts.items()))
        raise ValueError(
            f"--coordinator: expected the same number of devices in every process, found {listed}"
        )


def leave_devices() -> None:
    """Keeps this process to the CPU, before it first uses a device: its workers use the others.

    A process that only opens a run would take hold of most of a GPU's memory.
    """
    jax.config.update("jax_platforms", "cpu")


def process_count() -> int:
    """Number of processes of the run."""
    return int(jax.process_count())


def process_index() -> int:
    """Index of this process, from 0; only process 0 writes and prints."""
    return int(jax.process_index())


def any_process(flag: bool) -> bool:
    """Whether any process raises a flag; each calls it once and waits for the others."""
    if process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def local_devices() -> int:
    """Number of devices of this process: its part of a batch is a multiple of it."""
    return int(jax.local_device_count())


def data_parallel(
    function: Callable[..., Any], donate: bool = False, split: bool = False
) -> Callable[..., Any]:
    """Maps `function(state, batch)` over the devices, under the axis name AXIS.

    Args:
      function: of the state and one device's share of the batch, arrays [B, ...]; uses `total` to
        agree with its peers.
      donate: give up the old state's buffers (it must not be used again).
      split: what it returns differs between devices; else it is the same on all of them.

    Returns:
      Function of a state from `replicate` and a batch from `put` or `shard`, arrays
      [devices, B, ...]. Returns arrays as `replicate` does or, if split, [devices, ...]. Devices
      are those of this process.
    """
    mapped: Callable[..., Any] = jax.pmap(
        function,
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=0 if split else None,
        donate_argnums=(0,) if donate else (),
    )
    return mapped


def axis() -> str | None:
    """The axis to average over inside a `data_parallel` function; None where there is one device.

    There XLA on the CPU would copy all that is summed up.
    """
    return AXIS if jax.device_count() > 1 else None


def total(tree: Any) -> Any:
    """Sums each leaf over the devices of all processes, inside a `data_parallel` function."""
    return jax.lax.psum(tree, AXIS) if axis() else tree


def replicate(tree: Any) -> Any:
    """Puts a copy of every leaf on each local device.

    Args:
      tree: of arrays [...], or of scalars, on the host.

    Returns:
      The same tree of jax arrays [...] of the same dtypes, a copy on each local device.
    """
    return jax.device_put(tree, _sharding())


def unreplicate(tree: Any) -> Any:
    """The first local device's copy, on the host.

    Args:
      tree: of jax arrays [...] as `replicate` or a `data_parallel` function returns them.

    Returns:
      The same tree of numpy arrays [...] of the same dtypes, which nothing else writes to.
    """
    first = jax.device_get(jax.tree.map(lambda x: x.addressable_shards[0].data, tree))
    # The copy, because on a CPU the host sees the device's own memory, which the next step may be
    # given.
    return jax.tree.map(np.array, first)


def shard(batch: Batch) -> Batch:
    """Splits the leading axis over local devices: [B, ...] to [devices, B / devices, ...].

    Raises:
      ValueError: a batch that the devices do not divide.
    """
    count = local_devices()
    size = len(jax.tree.leaves(batch)[0])
    if size % count:
        raise ValueError(
            f"config.batch_size: expected a multiple of {count} (local devices), found {size}"
        )
    parts: Batch = jax.tree.map(lambda v: v.reshape(count, size // count, *v.shape[1:]), batch)
    return parts


def put(batch: Batch) -> Batch:
    """Shards a batch and begins to copy it to the devices, without waiting for the copy.

    Args:
      batch: tree of numpy arrays [B, ...]: this process's part. They must not be written to any
        more.

    Returns:
      Jax arrays [devices, B / devices, ...] of the same dtypes, spread over the local devices.

    Raises:
      ValueError: a batch that the devices do not divide.
    """
    placed: Batch = jax.device_put(shard(batch), _sharding(AXIS))
    return placed


def _sharding(*axes: str) -> jax.sharding.NamedSharding:
    """On the local devices as the steps want it: else they compile twice."""
    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), (AXIS,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


def unshard(values: jax.Array) -> np.ndarray:
    """[devices, B / devices, ...] back to [B, ...], on the host."""
    fetched: np.ndarray = jax.device_get(values)
    return fetched.reshape(-1, *fetched.shape[2:])


class Agreement:
    """Lets processes agree: what any of them raises at a step, all see at the same later step.

    A signal reaches processes at different moments. If each stopped at a step of its own, the
    others would wait for it forever. Nothing waits for the answer: it is read `lag` steps after
    its request, when it has long come. A process that is alone sees it at once.

    Args:
      count: number of flags.
      lag: steps.
    """

    def __init__(self, count: int, lag: int):
        self._nothing, self._lag = (False,) * count, lag
        self._requests: collections.deque[jax.Array] = collections.deque()
        self._any = data_parallel(lambda _, flags: total(flags))

    def __call__(self, *flags: bool) -> tuple[bool, ...]:
        """Raises flags and returns which are up; every process calls it once a step."""
        if process_count() == 1:
            return flags
        raised = np.tile(np.asarray(flags, np.int32), (local_devices(), 1))
        self._requests.append(self._any((), raised))
        if len(self._requests) <= self._lag:
            return self._nothing
        return tuple(bool(x) for x in unreplicate(self._requests.popleft()))
