"""Schedulers that run already, those that do not, and signals; what is waited for is an end."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

import cluster_tasks
import pytest

import cropmap_jax
from cropmap_jax import scheduling

pytest.importorskip("distributed", reason="extra: dask")
import distributed

from cropmap_jax.scheduling import cluster as cluster_lib

# A task says through a pipe in the file system that it runs and keeps it open: its reader sees the
# end of the file when, and only when, the worker is gone.
TASK = """
import os, time
def say(fifo):
    out = open(fifo, "w")
    print(os.getpid(), file=out, flush=True)
    time.sleep(60)
"""
COMMAND = """
import sys
import long_task
from cropmap_jax import scheduling
if __name__ == "__main__":
    with scheduling.open_scheduler("local:1") as scheduler:
        list(scheduler.run(long_task.say, sys.argv[1:]))
"""


@contextlib.contextmanager
def cluster(workers=1, threads=1):
    """A scheduler and workers within this process."""
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=threads, processes=False, protocol="tcp://",
        host="127.0.0.1", scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    ) as made:  # fmt: skip
        yield made


def test_an_address_where_nobody_answers(monkeypatch):
    monkeypatch.setattr(cluster_lib, "CONNECT_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ValueError) as caught, scheduling.open_scheduler(address):
            pass
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"--scheduler {address}: expected a Dask scheduler, found none that ")


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "tcp://127.0.0.1:nine", "tls://x:1"])
def test_an_address_that_leads_nowhere(address):
    with pytest.raises(ValueError, match=f"^--scheduler {address}: expected a Dask scheduler"):
        with scheduling.open_scheduler(address):
            pass


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"address": 1}'])
def test_a_file_that_is_no_scheduler_s(tmp_path, text):
    (tmp_path / "scheduler.json").write_text(text)
    with pytest.raises(ValueError, match="scheduler.json: expected the file .* one without"):
        with scheduling.open_scheduler(str(tmp_path / "scheduler.json")):
            pass


def test_the_file_and_the_address_of_a_scheduler_that_runs(tmp_path):
    file = tmp_path / "scheduler.json"
    (tmp_path / ".cropmap_jax.shared-5eed.1.part").touch()  # of a run that was killed
    with cluster() as made:
        file.write_text(f'{{"address": "{made.scheduler_address}"}}')
        for text in (made.scheduler_address, str(file)):
            with scheduling.open_scheduler(text) as scheduler:
                assert (scheduler.text, scheduler.workers) == (f"the Dask scheduler at {text}", 1)
                scheduler.require({"--cubes": tmp_path}, {"--data_dir": file})
                assert [path.suffix for path in tmp_path.iterdir()].count(".part") == 1
                assert [one.value for one in scheduler.run(cluster_tasks.square, [3])] == [9]
            assert list(tmp_path.iterdir()) == [file]


def test_workers_of_another_version(monkeypatch):
    monkeypatch.setattr(cropmap_jax, "__version__", "0.0.1")
    with cluster() as made:
        with pytest.raises(scheduling.Unfit) as caught:
            with scheduling.open_scheduler(made.scheduler_address):
                pass
        (worker,) = made.scheduler_info["workers"]
    assert str(caught.value).startswith(f"worker {worker}: expected cropmap_jax 0.")
    assert str(caught.value).endswith("as in this process, found 0.0.1")


def test_a_worker_of_another_version_that_comes_later(monkeypatch):
    monkeypatch.setattr(cropmap_jax, "__version__", "0.0.2")
    with cluster(workers=0) as made, scheduling.open_scheduler(made.scheduler_address) as scheduler:
        assert scheduler.workers == 0
        made.scale(1)
        with pytest.raises(scheduling.Unfit, match=r"^worker tcp://.* found 0\.0\.2$"):
            list(scheduler.run(cluster_tasks.square, range(3)))


def test_workers_of_several_threads():
    with cluster(threads=2) as made:
        with pytest.raises(scheduling.Unfit, match="expected one thread a worker .* found 2$"):
            with scheduling.open_scheduler(made.scheduler_address):
                pass


def test_a_scheduler_that_goes_away(tmp_path):
    with cluster() as made, scheduling.open_scheduler(made.scheduler_address) as scheduler:
        scheduler.require({"--cubes": tmp_path})
        ended = scheduler.run(cluster_tasks.note, [(n, str(tmp_path)) for n in range(9)])
        next(ended)
        made.close()
        with pytest.raises(OSError, match="^lost the Dask scheduler at tcp://.* to resume$"):
            list(ended)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_whoever_started_them(tmp_path, number):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "long_task.py").write_text(TASK)
    script = tmp_path / "script.py"
    script.write_text(COMMAND)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, script, fifo], env=env, stderr=subprocess.PIPE, start_new_session=True
    )
    with open(fifo) as pipe:
        assert int(pipe.readline()) != parent.pid
        if number == signal.SIGINT:
            os.killpg(parent.pid, number)  # as a terminal does: to the workers too
        else:
            parent.send_signal(number)
        ready, _, _ = select.select([pipe], [], [], 30)
        assert ready and pipe.read() == ""
    _, error = parent.communicate(timeout=30)
    if number == signal.SIGKILL:
        assert parent.returncode == -number
        return
    # Of the workers and of Dask none has anything to say.
    text = error.decode()
    assert text.count("Traceback") <= 2 and "distributed -" not in text, text
    assert text.splitlines()[-1].startswith(("KeyboardInterrupt", "cropmap_jax.geo.processes.Stop"))


def test_a_signal_waits_until_what_is_closed_is_closed():
    class Opened:
        closed = False

        def close(self):
            signal.raise_signal(signal.SIGINT)
            self.closed = True

    opened = Opened()
    with pytest.raises(KeyboardInterrupt), cluster_lib._closing(opened):
        pass
    assert opened.closed
