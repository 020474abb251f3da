"""How many pixels a second `predict` maps with a run, its imports and compiling left out."""

import json
import pathlib
import tempfile
import time

from cropmap_jax.geo import files, forks
from cropmap_jax.geo.recorded_steps import Steps

SECONDS = 15.0
"""After which the figure is good enough: a forest may take minutes for all cubes."""


def measure(workdir: str, cubes: str, as_of: str, seconds: float = SECONDS) -> dict:
    """Maps cubes as `experiments.predict` does, for some seconds.

    The first part compiles what the others run, and is not counted. What is mapped is removed.

    Args:
      workdir: of the run.
      cubes: folder of cubes, all of one size.
      as_of: ISO date of the prediction.
      seconds: when to stop.

    Returns:
      "pixels_per_second", "pixels", "seconds".

    Raises:
      ValueError: they cannot be mapped, or there is one part only.
    """
    from cropmap_jax.geo import cube_io
    from cropmap_jax.mapping import crop_map

    shapes = [
        cube_io.read_info(item.parent).shape for item in pathlib.Path(cubes).glob("*/item.json")
    ]
    with tempfile.TemporaryDirectory() as out:
        options = crop_map.Options(workdir=workdir, cubes=cubes, as_of=as_of, out=f"{out}/map")
        with crop_map.MapMaker(options) as maker:
            part = sum(h * w for h, w in shapes) / maker.parts
            running, done, begun, took = maker.run(), 0, 0.0, 0.0
            for number, _ in enumerate(running):
                if not number:
                    begun = time.monotonic()
                    continue
                done, took = number, time.monotonic() - begun
                if took > seconds:
                    break
            running.close()
    if not done:
        raise ValueError(f"{cubes}: expected several parts to map, found one")
    return {"pixels_per_second": done * part / took, "pixels": round(done * part), "seconds": took}


def step(steps: Steps, out: pathlib.Path, workdir: str, cubes: pathlib.Path, as_of: str) -> dict:
    """`measure` of a run as a step of its own, recorded next to it.

    Raises:
      steps.Failed: it cannot be mapped.
    """
    folder = out / workdir
    file = folder / "speed.json"

    def work(log: pathlib.Path) -> forks.Ended:
        def inside() -> None:
            found = measure(str(folder), str(cubes), as_of)
            files.write_bytes(file, (json.dumps(found) + "\n").encode())

        return forks.call(inside, log)

    shown = f"python -m experiments.predict --workdir={folder} --cubes={cubes} --as_of={as_of}"
    steps.step(folder, "speed", {"as_of": as_of}, f"{shown} (for {SECONDS:.0f} s)", work)
    return json.loads(file.read_text(encoding="utf-8"))
