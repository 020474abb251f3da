"""The scheduler that is this process, texts that are none, and what a worker has to be."""

import subprocess
import sys

import cluster_tasks
import pytest

from cropmap_jax import scheduling
from cropmap_jax.scheduling import on_worker


def test_in_this_process_tasks_run_in_order_each_when_it_is_asked_for():
    taken = []

    def tasks():
        for n in range(5):
            taken.append(n)
            yield n

    with scheduling.open_scheduler("") as scheduler:
        scheduler.require({"--cubes": "nowhere"}, {"--data_dir": "nowhere"}, ["no_such_module"])
        assert (scheduler.workers, scheduler.is_here) == (1, True)
        ended = scheduler.run(cluster_tasks.square, tasks())
        assert taken == []
        assert next(ended) == (0, 0, None)
        assert taken == [0]
        assert [one.value for one in ended] == [1, 4, 9, 16]


def test_an_error_is_its_task_s_and_the_others_continue():
    with scheduling.open_scheduler() as scheduler:
        ended = list(scheduler.run(cluster_tasks.fail, range(4)))
    assert [one.task for one in ended] == [0, 1, 2, 3]
    assert [type(one.error) for one in ended] == [
        type(None),
        ValueError,
        OSError,
        cluster_tasks.Odd,
    ]
    assert ended[0].result() == 0
    with pytest.raises(ValueError, match="^b.tif: expected 10 bands, found 9$"):
        ended[1].result()


def test_a_tuple_is_the_arguments_of_a_task():
    with scheduling.open_scheduler() as scheduler:
        (one,) = scheduler.run(pow, [(2, 5)])
    assert one == ((2, 5), 32, None)


@pytest.mark.parametrize("text", ["local:", "local:0", "local:two", "local:-1", "local:2000"])
def test_a_number_of_processes_that_is_none(text):
    with pytest.raises(ValueError, match=f"^--scheduler: .* 1 to 1024 processes, found '{text}'$"):
        with scheduling.open_scheduler(text):
            pass


@pytest.mark.parametrize("text", ["local", "host:8786", "missing.json", " "])
def test_a_text_that_names_no_scheduler(text):
    with pytest.raises(ValueError, match=r"^--where: expected local:N, .* found '"):
        with scheduling.open_scheduler(text, "--where"):
            pass


def test_this_process_imports_nothing_of_dask():
    code = (
        "import sys\nfrom cropmap_jax import scheduling\n"
        "with scheduling.open_scheduler('') as s: print(list(s.run(abs, [-1]))[0].value)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('dask', 'distributed', 'jax')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["1", "[]"]


class Worker:
    class state:
        nthreads = 1


def test_what_a_worker_lacks(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    probe = tmp_path / ".cropmap_jax.shared-1.1.part"
    probe.touch()
    good = on_worker.Demands(
        seen=(
            on_worker.seen("--cubes", probe),
            on_worker.seen("--config.targets", tmp_path / "a.json"),
            on_worker.seen("--data_dir", tmp_path),
        ),
        modules=("json",),
    )
    assert on_worker.complaint(good, Worker) is None
    (tmp_path / "a.json").write_text("{ }")
    assert on_worker.complaint(good, Worker) == (
        f"sees another file at --config.targets {tmp_path}/a.json: expected a folder that all "
        f"machines share"
    )
    probe.unlink()
    assert on_worker.complaint(good, Worker).startswith(
        f"does not see --cubes {tmp_path}: expected"
    )
    other = on_worker.Demands(version="0.0.1")
    assert on_worker.complaint(other, Worker).startswith("expected cropmap_jax 0.0.1, as in this ")
    lost = on_worker.complaint(on_worker.Demands(modules=("no_such_module",)), Worker)
    assert lost.startswith("could not import no_such_module (ModuleNotFoundError: No module")
    Several = type("Several", (), {"state": type("State", (), {"nthreads": 8})})
    assert "expected one thread" in on_worker.complaint(on_worker.Demands(), Several)
