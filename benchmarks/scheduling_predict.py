"""What `experiments.predict --scheduler local:N` costs and gains, against one process.

    python -m benchmarks.scheduling_predict
    python -m benchmarks.scheduling_predict --network "the demo's" --workers 2,4
    python -m benchmarks.scheduling_predict --workdir W --cubes DIR --as_of 2022-06-01

Draws 400 cubes of a tile each, side by side, and a network that was never trained; both of your own
may stand in. One process maps them, then worker processes of this machine do, and at last as many
as the most of them of which one is killed (-9) once half of the maps are there. Each run is a
process as a user starts it, from its start to the picture. All maps have to be the same: a digest
of every file says whether they are. On a machine with fewer cores than workers, what is shown is
what the scheduler costs, not what it can gain.
"""

import argparse
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from odc.geo.geobox import GeoBox

from benchmarks import drawn, predict, report
from cropmap_jax.geo import cube, cube_io, grid

DRAWS = 8
"""Different cubes; the others repeat them elsewhere."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("scheduling_predict", __doc__)
    parser.add_argument("--workdir", help="of a run; default: a network is drawn")
    parser.add_argument("--network", default="per pixel", help='"per pixel" or "the demo\'s"')
    parser.add_argument("--cubes", help="folder of cubes; default: tiles are drawn")
    parser.add_argument("--as_of", default="2022-05-01")
    parser.add_argument("--side", type=int, default=20, help="of the drawn square, in tiles")
    parser.add_argument("--workers", default="1,2,4", help="worker processes, separated by commas")
    args = parser.parse_args(argv)
    args.workers = [int(word) for word in args.workers.split(",")]
    if args.quick:
        args.side, args.workers = 2, [1]
    return args


def main(argv: list[str] | None = None) -> dict:
    """Prints a table; returns the figures.

    Raises:
      SystemExit: a run failed, or maps differ.
    """
    args = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        cubes = pathlib.Path(args.cubes) if args.cubes else draw_tiles(root / "cubes", args.side)
        count = len(cube_io.list_cubes(cubes))
        workdir = args.workdir or predict.draw_networks(root)[args.network]
        flags = ["--workdir", workdir, "--as_of", args.as_of, "--cubes"]
        few = cubes if args.cubes else draw_tiles(root / "few", min(args.side, 3))
        measure(root, [*flags, str(few)], 0, 0)  # what it compiles is kept for the others
        plan = [(0, 0), *((n, 0) for n in args.workers), (max(args.workers), count // 2)]
        runs = []
        for workers, kill in plan:
            runs.append(measure(root, [*flags, str(cubes)], workers, kill))
            print(runs[-1], flush=True)
    text = f"{count} cubes\n\n{_table(runs, count)}"
    found = report.finish("scheduling_predict", args, text, {"cubes": count, "runs": runs})
    if len({run["digest"] for run in runs}) > 1:
        raise SystemExit("error: maps differ")
    return found


def draw_tiles(folder: pathlib.Path, side: int) -> pathlib.Path:
    """A square of so many tiles a side, a cube each."""
    draws = [drawn.draw_cube(i, grid.TILE_PX, predict.PERIODS + 1) for i in range(DRAWS)]
    first = draws[0].info.geobox
    step = grid.TILE_PX * float(first.affine.a)
    for row in range(side):
        for col in range(side):
            one = draws[(3 * row + col) % DRAWS]
            affine = first.affine.translation(col * step, -row * step) * first.affine
            info = dataclasses.replace(
                one.info,
                cube_id=f"tile_{row:03d}_{col:03d}",
                geobox=GeoBox(first.shape, affine, first.crs),
            )
            cube_io.write_cube(cube.Cube(info, one.pixels, one.label), folder)
    return folder


def measure(root: pathlib.Path, flags: list[str], workers: int, kill: int) -> dict:
    """One `experiments.predict`.

    Args:
      root: scratch folder.
      flags: of the command.
      workers: processes; 0 for none but the command's own.
      kill: kill a worker once so many cubes are mapped; 0 for none.

    Returns:
      {"workers", "killed", "wall", "cpu" (seconds), "digest"}.
    """
    out = root / "map"
    words = [sys.executable, "-m", "experiments.predict", *flags, "--out", str(out)]
    words += ["--scheduler", f"local:{workers}"] if workers else []
    with open(root / "log", "w") as log:
        began = time.perf_counter()
        child = subprocess.Popen(words, cwd=predict.CHECKOUT, stdout=log, stderr=log)
        killed = bool(kill) and _kill_one(child, out, kill)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or killed != bool(kill):
        raise SystemExit(f"error: exit {child.returncode}: {(root / 'log').read_text()[-2000:]}")
    found = {
        "workers": workers,
        "killed": killed,
        "wall": time.perf_counter() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "digest": digest(out),
    }
    shutil.rmtree(out)
    return found


def _kill_one(child: subprocess.Popen, out: pathlib.Path, after: int) -> bool:
    """Kills a worker of a command when so many cubes are mapped; whether there was one."""
    while len(list(out.glob("*/map.json"))) < after:
        if _ended(child.pid):
            return False
        time.sleep(0.1)
    for pid in _workers(child.pid):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _ended(pid: int) -> bool:
    """Whether a child has ended, which is then still waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _workers(parent: int) -> list[int]:
    """Worker processes that a command has started."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            own = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(own[1]) == parent and b"spawn_main" in words:
            found.append(int(folder.name))
    return sorted(found)


def digest(out: pathlib.Path) -> str:
    """Of all files of a map that a person sees, with their names."""
    found = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        if not path.name.startswith("."):
            found.update(f"{path.relative_to(out)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _table(runs: list[dict], count: int) -> str:
    one = runs[0]["wall"]
    rows = [
        [
            f"{run['workers'] or 'none'}{', one killed' if run['killed'] else ''}",
            run["wall"],
            run["wall"] / one,
            count / run["wall"],
            run["cpu"],
            run["digest"],
        ]
        for run in runs
    ]
    header = ["workers", "s", "x one process", "cubes/s", "processor s", "digest of the map"]
    return report.table(header, rows)


if __name__ == "__main__":
    main()
