"""Worker processes of this machine: errors, workers that are lost, and what they have to be."""

import signal
import time
from multiprocessing import resource_tracker

import cluster_tasks
import pytest

from cropmap_jax import scheduling

pytest.importorskip("distributed", reason="extra: dask")


@pytest.fixture(scope="module")
def scheduler():
    # As in a command, which is the first in its process to start another one.
    resource_tracker._resource_tracker._stop()
    with scheduling.open_scheduler("local:2") as opened:
        yield opened


def test_it_says_what_it_is(scheduler):
    assert (scheduler.workers, scheduler.text) == (2, "local:2, processes of this machine")
    assert not scheduler.is_here


def test_only_who_started_them_answers_ctrl_c(scheduler):
    found = scheduler._client.run(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    assert len(found) == 2 and all(signal.SIGINT in blocked for blocked in found.values())


def test_every_task_comes_back_once_with_its_value(scheduler):
    ended = list(scheduler.run(cluster_tasks.square, range(40)))
    assert sorted(one.task for one in ended) == list(range(40))
    assert all(one.value == one.task**2 and one.error is None for one in ended)


def test_an_error_is_its_task_s_and_the_others_continue(scheduler):
    ended = {one.task: one.error for one in scheduler.run(cluster_tasks.fail, range(6))}
    assert sorted(n for n, error in ended.items() if error is None) == [0, 4, 5]
    assert repr(ended[1]) == "ValueError('b.tif: expected 10 bands, found 9')"
    assert (type(ended[2]), ended[2].errno, ended[2].filename) == (OSError, 28, "c.tif")
    # Of a class that cannot be read again what it said is left, and where.
    assert repr(ended[3]) == "RuntimeError('Odd: one and two')"
    assert "cluster_tasks.py" in ended[3].__notes__[0]


def test_a_lost_worker_costs_its_tasks_only(scheduler, tmp_path):
    tasks = [(n, str(tmp_path)) for n in range(12)]
    name = "cube {0[0]}".format
    ended = {one.task[0]: one for one in scheduler.run(cluster_tasks.die, tasks, name)}
    assert sorted(ended) == list(range(12))
    lost = ended.pop(2).error
    assert isinstance(lost, scheduling.WorkersLost)
    assert str(lost).startswith("cube 2: given up: 4 workers ended while they were at it, the last")
    assert {n: (one.value, one.error) for n, one in ended.items()} == {n: (n, None) for n in ended}


def test_few_tasks_are_taken_ahead_and_what_is_left_is_dropped(scheduler, tmp_path):
    taken = []

    def tasks():
        for n in range(10_000):
            taken.append(n)
            yield n, str(tmp_path)

    ended = scheduler.run(cluster_tasks.note, tasks())
    next(ended)
    assert len(taken) <= 4  # two a worker
    ended.close()
    list(scheduler.run(cluster_tasks.square, range(4)))  # behind those that were dropped
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == begun <= len(taken)


def test_folders_that_workers_do_not_see(scheduler, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(scheduling.Unfit) as caught:
        scheduler.require(reads={"--data_dir": missing})
    assert str(caught.value).startswith("worker tls://127.0.0.1:")
    assert f"does not see --data_dir {missing}: expected a folder that all" in str(caught.value)


def test_a_module_that_workers_lack(scheduler):
    with pytest.raises(scheduling.Unfit, match="could not import no_such_module"):
        scheduler.require(modules=["no_such_module"])
