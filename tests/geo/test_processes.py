"""What a process starts ends with it; every wait is for an end of file, never for a time."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

from cropmap_jax.geo import forks, processes

# A worker or a command says who it is through a pipe in the file system and keeps it open: its
# reader sees the end of the file when, and only when, that process is gone.
SAY = """
import os, signal, sys
def say(fifo):
    out = open(fifo, "w")
    print(os.getpid(), file=out, flush=True)
    signal.pause()
"""
POOL = f"""{SAY}
from cropmap_jax.geo import processes
if __name__ == "__main__":
    with processes.stoppable(), processes.pool(2) as pool:
        work = [pool.submit(say, fifo) for fifo in sys.argv[1:]]
        [one.result() for one in work]
"""
COMMAND = f"""{SAY}
from cropmap_jax.geo import forks, processes
with processes.stoppable():
    forks.call(lambda: say(sys.argv[1]), None)
"""


def fifos(tmp_path, count):
    paths = [str(tmp_path / str(i)) for i in range(count)]
    for path in paths:
        os.mkfifo(path)
    return paths


def start(tmp_path, source, *args):
    script = tmp_path / "script.py"
    script.write_text(source)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, str(script), *args], env=env, stderr=subprocess.PIPE)


def ended(file):
    """Whether what holds the pipe ends within half a minute."""
    ready, _, _ = select.select([file], [], [], 30)
    return bool(ready) and file.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_workers_end_with_whoever_started_them(tmp_path, number):
    paths = fifos(tmp_path, 2)
    parent = start(tmp_path, POOL, *paths)
    pipes = [open(path) for path in paths]
    assert len({int(pipe.readline()) for pipe in pipes} | {parent.pid}) == 3
    parent.send_signal(number)
    assert all(map(ended, pipes))
    _, error = parent.communicate(timeout=30)
    assert parent.returncode != 0
    if number == signal.SIGTERM:  # of the workers none has anything to say
        assert error.decode().splitlines()[-1] == (
            "cropmap_jax.geo.processes.Stopped: stopped by SIGTERM"
        )
        assert b"Process Spawn" not in error


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_with_whoever_runs_it(tmp_path, number):
    (path,) = fifos(tmp_path, 1)
    parent = start(tmp_path, COMMAND, path)
    pipe = open(path)
    assert int(pipe.readline()) != parent.pid
    parent.send_signal(number)
    assert ended(pipe)
    _, error = parent.communicate(timeout=30)
    said = {signal.SIGTERM: b"Stopped", signal.SIGINT: b"KeyboardInterrupt"}
    assert said.get(number, b"") in error


def fail():
    raise OSError("no space")


def end_abruptly():
    os._exit(1)


@pytest.mark.parametrize(
    ("work", "message"), [(fail, "^no space$"), (end_abruptly, "a worker process ended before its")]
)
def test_a_failure_ends_the_work_of_all_others(tmp_path, work, message):
    (path,) = fifos(tmp_path, 1)
    with pytest.raises(OSError, match=message), processes.pool(2) as pool:
        pool.submit(hold, path)
        pipe = open(path)
        assert int(pipe.readline()) != os.getpid()
        # The pool looks at the workers that it has when more work comes.
        found = [pool.submit(one) for one in (work, int)]
        found[0].result()
    assert ended(pipe)


def hold(path):
    with open(path, "w") as out:
        print(os.getpid(), file=out, flush=True)
        signal.pause()


def test_work_that_is_done_comes_back():
    with processes.pool(1) as pool:
        assert [one.result() for one in [pool.submit(pow, 2, k) for k in (3, 4)]] == [8, 16]


@pytest.mark.parametrize(("end", "code"), [(7, 7), (None, 0), ("a mistake", 1)])
def test_an_exit_code_comes_back(tmp_path, end, code):
    def work():
        os.write(1, b"said\n")  # pytest has a sys.stdout of its own
        raise SystemExit(end)

    assert forks.call(work, tmp_path / "made" / "log").code == code
    assert (tmp_path / "made" / "log").read_text().startswith("said\n")


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (processes.Stopped(signal.SIGTERM), 143)]
)
def test_a_signal_before_the_command_can_answer_it_prints_no_traceback(tmp_path, stop, code):
    def work():
        raise stop

    assert forks.call(work, tmp_path / "log").code == code
    assert (tmp_path / "log").read_text() == ""


def test_without_a_log_it_prints_where_whoever_calls_does(capfd):
    assert forks.call(lambda: os.write(1, b"said\n"), None).code == 0
    assert capfd.readouterr().out == "said\n"


def test_a_signal_is_handed_on_and_waited_for(tmp_path):
    def work():
        # The command ends its own way; trainings save a checkpoint here.
        def end(*_):
            (tmp_path / "state").write_text("saved")
            sys.exit(143)

        signal.signal(signal.SIGTERM, end)
        os.kill(os.getppid(), signal.SIGTERM)
        while True:
            signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(processes.Stopped) as stop, processes.stoppable():
        forks.call(work, None)
    assert (tmp_path / "state").read_text() == "saved" and stop.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_process_is_an_interrupt_within_the_block_only(number):
    before = signal.getsignal(number)
    cleaned = []
    with pytest.raises(KeyboardInterrupt, match=f"stopped by {number.name}") as stop:
        with processes.stoppable():
            try:
                signal.raise_signal(number)
            finally:
                cleaned.append(True)
    assert stop.value.exit_code == 128 + number and cleaned
    assert signal.getsignal(number) is before


def test_signals_stay_as_they_are_where_they_are_ignored_or_in_another_thread():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with processes.stoppable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    def enter():
        with processes.stoppable():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def in_a_finaliser(work):
    class Late:
        def __del__(self):
            work()

    Late()


def in_a_callback_of_the_collector(work):
    def callback(*_):
        gc.callbacks.remove(callback)
        work()

    gc.callbacks.append(callback)
    gc.collect()


def in_a_callback_of_a_reference(work):
    class Late:
        pass

    late = Late()
    held = weakref.ref(late, lambda _: work())
    del late
    assert held() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "where", [in_a_finaliser, in_a_callback_of_the_collector, in_a_callback_of_a_reference]
)
def test_a_signal_that_comes_where_python_loses_it_is_answered(capfd, where, number):
    def work():
        signal.raise_signal(number)

    before = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt) as stop, processes.stoppable():
        where(work)
        time.sleep(10)
    assert isinstance(stop.value, processes.Stopped) == (number == signal.SIGTERM)
    assert sys.unraisablehook is before and capfd.readouterr().err == ""


def test_another_error_that_python_loses_is_printed_as_ever(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: seen.append(lost.exc_type))
    with processes.none_lost():
        in_a_finaliser(fail)
    assert seen == [OSError]


def test_a_signal_that_comes_while_others_wait_is_answered_though_the_block_fails():
    with pytest.raises(KeyboardInterrupt), processes.deferred():
        signal.raise_signal(signal.SIGINT)
        raise OSError


def test_a_fork_that_cannot_print_ends_and_nothing_runs_twice(tmp_path):
    # What is left to print fails at the very end, as on a full disk.
    script = """
import os
from cropmap_jax.geo import forks
code = forks.call(lambda: print("said"), None).code
os.write(2, f"{code} in {os.getpid()}\\n".encode())
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", script]
        child = subprocess.Popen(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
        _, said = child.communicate(timeout=60)
    assert said == f"1 in {child.pid}\n"


def test_a_signal_that_comes_when_the_command_has_ended_is_still_answered(monkeypatch):
    wait = forks._wait

    def late(child):
        wait(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(forks, "_wait", late)
    with pytest.raises(KeyboardInterrupt):
        forks.call(lambda: None, None)
