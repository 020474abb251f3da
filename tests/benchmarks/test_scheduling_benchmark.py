"""What the benchmark of schedulers compares, and which process it kills."""

import subprocess
import sys

from benchmarks import report, scheduling


def test_files_that_differ_are_named():
    made = {"": {"a": "1", "b": "2"}, "local:1": {"a": "1", "b": "2"}, "local:2": {"a": "1"}}
    rows, figures = scheduling.compare(
        [("one", "", False), ("same", "local:1", False), ("other", "local:2", True)],
        lambda text, kill: (2.0 + len(text), 1.0, int(kill), made[text]),
    )
    assert [row[3] for row in rows] == ["yes", "yes", "1 differ: b"]
    assert [row[5] for row in rows] == [1.0, 4.5, 4.5]
    assert figures["other"] == {
        "seconds": 9.0, "processor_seconds": 1.0, "killed": 1, "files": 1, "differ": ["b"],
    }  # fmt: skip


def test_digests_leave_out_what_is_hidden(tmp_path):
    for name in ("cube/item.json", ".fetch/manifest.sqlite", "missing.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(scheduling.digests(tmp_path)) == ["cube/item.json", "missing.png"]


def test_workers_are_what_a_process_spawned():
    code = "import multiprocessing as m, time\nif __name__ == '__main__':\n"
    code += " p = m.get_context('spawn').Process(target=time.sleep, args=(60,))\n p.start()\n"
    code += " print(p.pid, flush=True)\n input()\n p.kill()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        worker = int(parent.stdout.readline())
        assert worker in scheduling.children(parent.pid)
        parent.communicate("\n", timeout=60)
    assert scheduling.children(parent.pid) == []


def test_what_the_machine_lacks_is_one_line(capsys):
    def measure():
        raise OSError("no space")

    args = report.make_parser("scheduling", "").parse_args([])
    assert report.run("scheduling", args, measure) == 1
    assert capsys.readouterr() == ("", "error: no space\n")
    assert report.run("scheduling", args, lambda: ("| a table |", {})) == 0
    assert capsys.readouterr().out.endswith("\n\n| a table |\n")
