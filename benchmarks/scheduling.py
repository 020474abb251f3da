"""The same work in one process, in several, and with a worker that is killed.

    python -m benchmarks.scheduling fetch     200 cubes from a loopback catalogue
    python -m benchmarks.scheduling cost      what the scheduler itself costs, to 10,000 tasks

fetch runs the command itself, with --scheduler local:N, and compares every file that it wrote with
that of one process. The server of the catalogue runs on the same cores.
"""

import hashlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from odc.geo.geobox import GeoBox

from benchmarks import fetch, report
from cropmap_jax import scheduling

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
ONE = "one process"


def digests(folder: pathlib.Path) -> dict[str, str]:
    """{path: sha256} of all files but hidden ones, such as the manifest with its times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def children(process: int) -> list[int]:
    """Worker processes that a process started."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except (OSError, ValueError):  # it has ended
            continue
        if parent == process and b"spawn_main" in command:
            found.append(int(stat.parent.name))
    return sorted(found)


def run_command(verb: str, flags: list[str], kill_when) -> tuple[float, float, int]:
    """Runs a command; a worker is killed with SIGKILL once `kill_when()` holds.

    Args:
      verb: of `experiments`.
      flags: its flags.
      kill_when: called now and then; None to kill none.

    Returns:
      Its seconds, starts included, those of processors, its workers' among them, and how many
      workers were killed.

    Raises:
      ValueError: it failed; its last lines.
    """
    began, before, killed = time.monotonic(), _of_processors(), 0
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", f"experiments.{verb}", *flags],
            cwd=CHECKOUT, stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip
        while process.poll() is None:
            if kill_when is not None and not killed and kill_when():
                workers = children(process.pid)
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    killed = 1
            time.sleep(0.05)
        if process.returncode:
            printed.seek(0)
            raise ValueError(f"{verb} ended with {process.returncode}: {printed.read()[-1000:]}")
    return time.monotonic() - began, _of_processors() - before, killed


def _of_processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(cases: list[tuple[str, str, bool]], run) -> tuple[list[list], dict]:
    """Runs the same work in several ways, the first of which is compared with.

    Args:
      cases: (title, text of --scheduler, whether a worker is killed).
      run: does it, given the text and whether to kill; (seconds, of processors, workers killed,
        digests).

    Returns:
      Rows for `report.table`, and figures.
    """
    rows: list[list] = []
    figures: dict = {}
    expected: dict[str, str] = {}
    base = 0.0
    for title, text, kill in cases:
        print(f"{title} ...", flush=True)
        seconds, processors, killed, found = run(text, kill)
        base, expected = base or seconds, expected or found
        other = [
            name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)
        ]
        same = "yes" if not other else f"{len(other)} differ: {', '.join(other[:3])}"
        rows.append([title, killed, len(found), same, seconds, seconds / base, processors])
        print(f"  {seconds:.0f} s, {len(found)} files, same bytes: {same}", flush=True)
        figures[title] = {
            "seconds": seconds, "processor_seconds": processors, "killed": killed,
            "files": len(found), "differ": other,
        }  # fmt: skip
    return rows, figures


HEADER = ["", "workers killed", "files", "same bytes", "seconds", "of one process",
          "processor seconds"]  # fmt: skip


def measure_fetch(tiles: tuple[int, int], counts: list[int]) -> tuple[str, dict]:
    """Text and figures of `fetch`."""
    sys.path.insert(0, str(CHECKOUT / "tests" / "sources" / "stac"))
    from range_server import RangeServer

    box, degrees = fetch.area(tiles)
    total = tiles[0] * tiles[1]
    cases = [(ONE, "", False), *((f"{n} worker processes", f"local:{n}", False) for n in counts)]
    cases.append((f"{counts[-1]} worker processes, one killed", f"local:{counts[-1]}", True))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fetch.write_catalogue(folder / "scenes", box)
        checked: list[int] = []
        with RangeServer(folder / "scenes") as server:
            config = folder / "config.py"
            config.write_text(fetch.CONFIG.format(
                base=str(CHECKOUT / "configs" / "fetch_local.py"), url=f"{server.url}/api",
                box=tuple(degrees),
            ))  # fmt: skip

            def run(text: str, kill: bool) -> tuple[float, float, int, dict[str, str]]:
                cubes = folder / "cubes"

                def half() -> bool:
                    return cubes.is_dir() and len(fetch.finished(cubes)) >= total // 2

                flags = ["--config", str(config), "--cubes", str(cubes), "--threads", "4"]
                flags += ["--scheduler", text] if text else []
                ran = run_command("fetch", flags, half if kill else None)
                if not checked:  # all others are compared with it
                    checked.append(_check(cubes, box, total))
                found = digests(cubes)
                shutil.rmtree(cubes)
                return (*ran, found)

            rows, figures = compare(cases, run)
    text = report.table([f"{total} cubes fetched", *HEADER[1:]], rows)
    return text, {"cubes": total, "cases": figures}


def _check(cubes: pathlib.Path, box: GeoBox, total: int) -> int:
    """How many cubes there are, all of them as numpy composites the scenes."""
    made, worst_s2, worst_s1 = fetch.check(cubes, box)
    if made != total or worst_s2 > 1 or worst_s1 > 0.02:
        raise ValueError(
            f"expected {total} cubes as numpy makes them, found {made} that differ by "
            f"{worst_s2:.2f} DN and {worst_s1:.3f} dB"
        )
    return made


def nothing(n: int) -> int:
    """A task that does nothing."""
    return n


def wait(n: int) -> int:
    """A task that waits 20 ms and needs no processor."""
    time.sleep(0.02)
    return n


def measure_cost(counts: list[int], sleeping: int) -> tuple[str, dict]:
    """Text and figures of `cost`: milliseconds a task that does nothing."""
    rows, figures = [], {}
    for text in ("", "local:1", "local:2"):
        began = time.monotonic()
        with scheduling.open_scheduler(text) as scheduler:
            opened = time.monotonic() - began
            ms = []
            for count in counts:
                began = time.monotonic()
                done = sum(1 for _ in scheduler.run(nothing, range(count)))
                ms.append((time.monotonic() - began) / done * 1e3)
                print(f"{text or ONE}: {ms[-1]:.3g} ms a task of {count:,}", flush=True)
            began = time.monotonic()
            for _ in scheduler.run(wait, range(sleeping)):
                pass
            waiting = (time.monotonic() - began) / sleeping * 1e3
        rows.append([text or ONE, opened, *ms, waiting])
        figures[text or ONE] = {
            "open_s": opened, "ms": dict(zip(counts, ms, strict=True)), "waiting_ms": waiting,
        }  # fmt: skip
    header = ["ms a task", "seconds to open", *(f"{n:,} of nothing" for n in counts),
              f"{sleeping:,} of 20 ms"]  # fmt: skip
    return report.table(header, rows), figures


def main(argv: list[str] | None = None) -> int:
    parser = report.make_parser("scheduling", __doc__)
    parser.add_argument("what", choices=("fetch", "cost"))
    parser.add_argument("--tiles", type=int, nargs=2, default=(20, 10), help="across and up")
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2, 4), help="processes")
    args = parser.parse_args(argv)
    tiles, counts = ((5, 1), [2]) if args.quick else (tuple(args.tiles), [*args.workers])
    tasks, sleeping = ([20], 5) if args.quick else ([100, 1000, 10_000], 500)
    measure = {
        "fetch": lambda: measure_fetch(tiles, counts),
        "cost": lambda: measure_cost(tasks, sleeping),
    }
    return report.run("scheduling", args, measure[args.what])


if __name__ == "__main__":
    sys.exit(main())
