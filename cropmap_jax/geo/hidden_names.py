"""Hidden names under which something is written, and whose writer has ended.

Machines that share a disk, and containers above all, share process ids as well: often 1 or 7. A
hidden name therefore holds a mark of the machine, of the process on it and of the single write, and
no two writes share one. Of a process of this machine the system says whether it runs; of others
only the age of what they left tells.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import re
import secrets
import socket
import time

FORGOTTEN_S = 24 * 3600.0
"""Seconds without a change after which what another machine was writing is left over. A writer that
lives changes it every few seconds, but may be suspended: schedulers of clusters do so for hours."""
_PID_ONLY = r"\d+"
"""The mark of earlier versions."""
_MARK = r"([0-9a-f]{8})-(\d+)-([0-9a-f]+)-[0-9a-f]{8}"
_HIDDEN = re.compile(rf"\.(.+)\.(?:{_PID_ONLY}|{_MARK})\.(?:part|old)")
_NOT_TOLD = "0"


def new(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Two hidden names next to a path that nothing else has, on any machine: for what becomes it
    (.part), and for what is there meanwhile (.old)."""
    pid = os.getpid()
    mark = f"{_machine()}-{pid}-{_started(pid) or _NOT_TOLD}-{secrets.token_hex(4)}"
    part = path.parent / f".{path.name}.{mark}.part"
    return part, part.with_suffix(".old")


def of(path: pathlib.Path) -> str | None:
    """The name that `new`, also of an earlier version, gave this path for; None if it did not."""
    found = _HIDDEN.fullmatch(path.name)
    return found[1] if found else None


def is_left(path: pathlib.Path) -> bool:
    """Whether what lies under a hidden name is left over: nobody writes it any more.

    Of this machine it is where the process has ended. Of another machine, or of another container
    or an earlier start of this one, it is after `FORGOTTEN_S` without a change. What earlier
    versions wrote always is: no process of theirs takes part in the work of this version
    (`scheduling.Unfit`), and `files.Lock` keeps out the commands.
    """
    found = _HIDDEN.fullmatch(path.name)
    if found is None:
        return False
    _, machine, pid, started = found.groups()
    if machine is None:
        return True
    if machine == _machine():
        now = _started(int(pid))
        if now is None:
            return True
        if _NOT_TOLD not in (now, started):
            return now != started  # else the id is another process's by now
    return time.time() - _changed(path) > FORGOTTEN_S


@functools.cache
def _machine() -> str:
    """Eight digits for all processes whose ids are told apart: of a machine since it was started,
    or of a container on it."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # Linux only
        facts.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _started(pid: int) -> str | None:
    """When a process of this machine was started, in ticks of the kernel; "0" where the system does
    not say, None where there is none.

    Source: man7.org, proc_pid_stat(5), fields 3 (state) and 22 (starttime).
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass  # another user's
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # not Linux, or it shows each user their own processes only
        return _NOT_TOLD
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else f"{int(rest[18]):x}"


def _changed(path: pathlib.Path) -> float:
    """When a file, or anything in a folder, was last written or renamed; now where it is gone."""
    newest = 0.0
    with contextlib.suppress(FileNotFoundError):
        newest = path.lstat().st_ctime
        for folder, _, names in os.walk(path):
            for one in (folder, *(os.path.join(folder, name) for name in names)):
                newest = max(newest, os.lstat(one).st_ctime)
        return newest
    return time.time()
