"""How many pixels a second `experiments.predict` maps, end to end, and where its time goes.

    python -m benchmarks.predict
    python -m benchmarks.predict --against CHECKOUT
    python -m benchmarks.predict --workdir W --cubes DIR --as_of 2022-06-01 --json predict.json

Draws one large cube and two networks, that of configs/pixel_series and the demo's small U-Net. Both
were never trained, and take as long as trained ones. Each run is a process as a user starts it:
from its start to the picture. With --against, another checkout (`git worktree add CHECKOUT main`)
runs the same in turn, and the maps of both are compared. Stages are measured apart from each other,
in processor time: in `predict` they overlap.
"""

import argparse
import datetime as dt
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from odc.geo.geobox import GeoBox

from benchmarks import drawn, report
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.indices import INDICES
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import engine, pixels, predictors
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.mapping import cubes, decision, map_rasters
from cropmap_jax.models.flops import count_flops
from cropmap_jax.training import checkpoints, scaling, steps
from cropmap_jax.training.recipe import Recipe

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
PERIODS = 6
_CONFIG = CHECKOUT / "configs" / "pixel_series" / "pretrain.py"
SERIES = runpy.run_path(str(_CONFIG))["get_config"]().model.to_dict()
DEMO = {"name": "dual_unet3d", "num_periods": PERIODS, "width": 16, "levels": 1, "norm": "batch"}
DEMO |= {"use_validity": True, "head": "conv", "head_width": 16}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("predict", __doc__)
    parser.add_argument("--workdir", help="of a run; default: two networks are drawn")
    parser.add_argument("--cubes", help="folder of cubes; default: one is drawn")
    parser.add_argument("--as_of", default="2022-05-01")
    parser.add_argument("--side", type=int, default=2048, help="of the drawn cube, in pixels")
    parser.add_argument("--against", help="another checkout, which runs in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=64, help="to measure stages on")
    args = parser.parse_args(argv)
    if args.quick:
        args.side, args.rounds, args.parts = 160, 1, 4
    return args


def main(argv: list[str] | None = None) -> dict:
    """Prints pixels a second and the stages; returns the figures."""
    args = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        folder = pathlib.Path(args.cubes) if args.cubes else draw_region(root / "cubes", args.side)
        total = sum(i.shape[0] * i.shape[1] for i in cube_io.list_cubes(folder))
        workdirs = {"--workdir": args.workdir} if args.workdir else draw_networks(root)
        trees = {"this checkout": CHECKOUT}
        if args.against:
            trees["the other one"] = pathlib.Path(args.against).resolve()
        runs = time_runs(args, root, workdirs, folder, trees)
        stages = {
            name: time_stages(workdir, folder, args.as_of, args.parts)
            for name, workdir in workdirs.items()
        }
    text = f"{total:,d} pixels; {args.rounds} runs of each in turn, medians\n\n"
    text += _table(runs, total)
    for name, found in stages.items():
        text += f"\n\n{name}: processor time of each stage, on its own\n\n{_stage_table(found)}"
    figures = {"pixels": total, "runs": runs, "stages": stages}
    return report.finish("predict", args, text, figures)


def draw_region(folder: pathlib.Path, side: int) -> pathlib.Path:
    """One cube of `side` pixels, 256 drawn ones over and over."""
    one = drawn.draw_cube(0, min(side, 256), PERIODS + 1)
    a = one.info.geobox
    reps = -(-side // a.shape[0])

    def tiled(values: np.ndarray, axes: int) -> np.ndarray:
        times = (*(1,) * axes, reps, reps, *(1,) * (values.ndim - axes - 2))
        return np.tile(values, times)[(*(slice(None),) * axes, slice(side), slice(side))]

    stored = {s.name: tiled(s.encode(one.pixels[s.name]), 1) for s in one.info.sensors}
    geobox = GeoBox((side, side), a.affine, a.crs)
    info = one.info.__class__(**{**vars(one.info), "geobox": geobox})
    cube_io.write_cube(cube_io.RawCube(info, stored, tiled(one.label, 0), None), folder)
    return folder


def draw_networks(root: pathlib.Path) -> dict[str, str]:
    """Workdirs of a per-pixel network and of the demo's, never trained, by name."""
    names = tuple(INDICES)
    statistics = {}
    for sensor in SENTINEL:
        count = len(sensor.bands) + sum(i.sensor == sensor.name for i in INDICES.values())
        low, high = sensor.range
        mean = np.full((PERIODS, count), (low + high) / 2).tolist()
        statistics[sensor.name] = (mean, np.full((PERIODS, count), (high - low) / 4).tolist())
    recipes = {
        "per pixel": dict(model=SERIES, loss="softmax_none", indices=names, statistics=statistics),
        "the demo's": dict(model=DEMO, loss="softmax"),
    }
    found = {}
    for name, settings in recipes.items():
        recipe = Recipe(
            legend=drawn.CLASSES,
            scaling=scaling.default(SENTINEL),
            period_kind="month",
            lead_days=30,
            **settings,
        )
        workdir = root / name.replace(" ", "_").replace("'", "")
        meta = {"recipe": recipe.to_json(), "config": {}, "stage": "finetune"}
        checkpointer = checkpoints.Checkpointer(workdir, meta)
        checkpointer.save(1, steps.init_variables(recipe, 0))
        checkpointer.close()
        found[name] = str(workdir)
    return found


def time_runs(args, root: pathlib.Path, workdirs: dict, folder: pathlib.Path, trees: dict) -> dict:
    """By network and checkout {"wall", "cpu" (spreads of seconds), "megabytes"}; and "same"."""
    times: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    outs, same = {}, {}
    for number in range(-1, args.rounds):  # the first one compiles, and is not counted
        for name, workdir in workdirs.items():
            for where in sorted(trees, reverse=bool(number % 2)):
                out = root / f"map_{len(outs)}"
                flags = ["--workdir", workdir, "--cubes", folder, "--as_of", args.as_of]
                found = _run(trees[where], [*flags, "--out", out])
                if number >= 0:
                    times.setdefault((name, where), []).append(found)
                outs[name, where] = out
            if len(trees) == 2:
                maps = [outs[name, where] for where in trees]
                same[name] = same.get(name, True) and _same(*maps)
            for where in trees:
                shutil.rmtree(outs[name, where])
    return {
        f"{name}, {where}": {
            "wall": report.spread([w for w, _, _ in runs]),
            "cpu": report.spread([c for _, c, _ in runs]),
            "megabytes": max(m for *_, m in runs),
            "same": same.get(name),
            "times_the_other": _ratio(times, name, where, trees),
        }
        for (name, where), runs in times.items()
    }


def _ratio(times: dict, name: str, where: str, trees: dict) -> dict | None:
    """Of the other checkout's seconds to this one's, pair by pair."""
    other = [w for w in trees if w != where]
    if not other or where != "this checkout":
        return None
    pairs = zip(times[name, where], times[name, other[0]], strict=True)
    walls, cpus = zip(*((b[0] / a[0], b[1] / a[1]) for a, b in pairs), strict=True)
    return {"wall": report.spread(walls), "cpu": report.spread(cpus)}


def _run(tree: pathlib.Path, flags: list) -> tuple[float, float, float]:
    """Seconds, processor seconds and most megabytes of one `experiments.predict`."""
    words = [sys.executable, "-m", "experiments.predict", *map(str, flags)]
    began = time.perf_counter()
    child = subprocess.Popen(
        words,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)  # with what it used, which `wait` does not say
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"error: exit {child.returncode} in {tree}: {' '.join(words[1:])}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _same(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether two maps hold the same rasters and tables, byte for byte."""
    suffixes = {".tif", ".csv", ".vrt"}
    files = [sorted(p.relative_to(m) for p in m.rglob("*") if p.suffix in suffixes) for m in (a, b)]
    return files[0] == files[1] and all(
        (a / file).read_bytes() == (b / file).read_bytes() for file in files[0]
    )


def time_stages(workdir: str, folder: pathlib.Path, as_of: str, parts: int) -> dict:
    """Processor seconds per pixel of each stage, and what the network reaches.

    Returns:
      {"seconds": {stage: per pixel}, "flops": of the network per pixel, "rate" and "peak": FLOP per
      second (wall clock) of its step and of a product of matrices of its largest layer's shape}.
    """
    restored = checkpoints.load(workdir)
    recipe, seconds, total = restored.recipe, {}, 0

    def measure(stage: str, function, *words):
        began = time.process_time()
        found = function(*words)
        seconds[stage] = seconds.get(stage, 0) + time.process_time() - began
        return found

    infos = cube_io.list_cubes(folder)
    date = dt.date.fromisoformat(as_of)
    groups = cubes.join(infos, recipe.num_periods, date, recipe.halo)
    predictor = predictors.NetworkPredictor(restored, 8, full_batches=True)
    alike: dict[tuple[int, int], list] = {}
    with RasterSource({info.cube_id: info.folder for info in infos}) as source:
        reader = pixels.PixelReader(source, recipe.sensors, engine.PIXEL_BYTES)
        pieces = ((g, box) for g in groups for n in range(len(g.cubes)) for box in g.pieces(n))
        for (group, box), _ in zip(pieces, range(parts), strict=False):
            chip = group.tiling.chip(group.tiling.parts(box)[0])
            for expected in (chip, box):
                reader.expect(group, expected)
            values = measure("read", reader.read, group, chip)
            measure("missing values", pixels.seen, values, recipe.sensors)
            own = measure("read", reader.read, group, box)
            measure("missing values", pixels.count_values, own, recipe.sensors)
            total += box.shape[0] * box.shape[1]
            days, wanted = group.window.day_of_year, np.ones(chip.shape, bool)
            example = {"pixels": values, "day_of_year": days, "wanted": wanted}
            alike.setdefault(chip.shape, []).append((box.shape, example))
    walls, possible = [], np.ones(len(recipe.legend), bool)
    for chips in alike.values():
        shapes, examples = zip(*chips, strict=True)
        predictor.predict(list(examples[:8]))  # compiles
        for start in range(0, len(examples), 8):
            began = time.perf_counter()
            answers = measure("network", predictor.predict, list(examples[start : start + 8]))
            count = sum(answer[..., 0].size for answer in answers)
            walls.append((time.perf_counter() - began) / count)
            for answer, shape in zip(answers, shapes[start:], strict=False):
                own = answer[: shape[0], : shape[1]]
                crop = measure("class and confidence", _decide, own, possible, recipe)
    crop = np.tile(crop, (8, 8))
    began = time.process_time()
    map_rasters.encode(crop, _info_of(infos[0], crop.shape), "crop", "mode", {})
    seconds["encode"] = 2 * (time.process_time() - began) * total / crop.size
    began = time.process_time()
    cube_io.verify_checksums(infos[0])
    size = infos[0].shape[0] * infos[0].shape[1]
    seconds["compare checksums"] = (time.process_time() - began) * total / size
    flops = count_flops(recipe.network(), recipe.bands, 64, 64, False) / 64**2
    return {
        "seconds": {stage: value / total for stage, value in seconds.items()},
        "flops": flops,
        "rate": flops / float(np.median(walls)) if walls else None,
        "peak": _peak(),
    }


def _decide(probability: np.ndarray, possible: np.ndarray, recipe: Recipe) -> np.ndarray:
    return decision.decide(probability, possible, recipe.exclusive, 0.5)[0]


def _info_of(info, shape: tuple[int, int]):
    a = info.geobox
    return info.__class__(**{**vars(info), "geobox": GeoBox(shape, a.affine, a.crs)})


def _peak(rows: int = 8192, width: int = 256) -> float:
    """FLOP a second of [rows, width] x [width, width] on all cores."""
    a, b = jnp.ones((rows, width)), jnp.ones((width, width))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        product(a, b).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2 * rows * width**2 / float(np.median(times))


def _table(runs: dict, total: int) -> str:
    rows = []
    for name, found in runs.items():
        times = found["times_the_other"]
        rows.append(
            [
                name,
                found["wall"]["median"],
                found["cpu"]["median"],
                total / found["wall"]["median"],
                total / found["cpu"]["median"],
                times and times["wall"]["median"],
                times and times["cpu"]["median"],
                found["megabytes"],
                {None: None, True: "yes", False: "NO"}[found["same"]],
            ]
        )
    header = ["network, code", "s", "processor s", "px/s", "px / processor s"]
    header += ["x the other, s", "x, processor s", "MB", "same maps"]
    return report.table(header, rows)


def _stage_table(found: dict) -> str:
    whole = sum(found["seconds"].values())
    rows = [[k, 1e6 * v, f"{v / whole:.0%}"] for k, v in found["seconds"].items()]
    rows.append(["all of these", 1e6 * whole, "100%"])
    text = report.table(["stage", "microseconds a pixel", "share"], rows)
    if found["rate"]:
        text += (
            f"\n\nnetwork: {found['flops']:,.0f} FLOP a pixel, {found['rate'] / 1e9:,.0f} GFLOP/s; "
            f"a product of matrices of 256 x 256: {found['peak'] / 1e9:,.0f} GFLOP/s"
        )
    return text


if __name__ == "__main__":
    main()
