"""Simulates a world and writes its cubes, without any account or download.

    python -m experiments.simulate --config configs/simulate.py --cubes DIR         (Europe)
    python -m experiments.simulate --config configs/simulate.py:iran --cubes DIR

Next to the cubes goes the truth of every pixel, for checking; nothing that trains reads it.
Interrupted, the same command resumes: what is there and whole is left as it is. With --field_data
the Iranian world is also written as field teams hand it in: shapefiles and crop calendars; with
--scenes also as the scenes that its composites are made of, a static STAC catalogue.
"""

import contextlib
import os
import time

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _flags, _output

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to simulate.", lock_config=True)
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_TRUTH = flags.DEFINE_string("truth", None, "Folder of the truth; default: truth, next to --cubes.")
_FIELD_DATA = flags.DEFINE_string(
    "field_data", None, "New folder for the annotated fields as field data of a team."
)
_SCENES = flags.DEFINE_string(
    "scenes", None, "Folder for a STAC catalogue of the scenes; some 40 MB a tile and year."
)
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0: one per core.", 0, 1024)
_SCHEDULER = _flags.define_scheduler("simulates, instead of --workers")
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.geo import extras, files, processes
    from cropmap_jax.sources.simulator import sites

    if _SCHEDULER.value and _WORKERS.value:
        raise ValueError(f"--workers: expected none with --scheduler, found {_WORKERS.value}")
    settings = sites.Settings.of(_CONFIG.value.to_dict())
    if not _CUBES.value:
        raise ValueError("--cubes: expected a folder, found no name")
    cubes = os.path.abspath(files.local("--cubes", _CUBES.value))
    truth = _TRUTH.value or os.path.join(os.path.dirname(cubes), "truth")
    files.local("--truth", truth)
    files.check_apart({"--truth": truth}, {"--cubes": cubes})
    if _FIELD_DATA.value:
        extras.require("fields", "experiments.simulate --field_data")
        from cropmap_jax.sources.simulator import field_data

        files.local("--field_data", _FIELD_DATA.value)
        files.check_apart({"--field_data": _FIELD_DATA.value}, {"--cubes": cubes, "--truth": truth})
        field_data.check(settings, _FIELD_DATA.value)  # before the hours that the cubes may take
    if _SCENES.value:
        files.local("--scenes", _SCENES.value)
        files.check_apart({"--scenes": _SCENES.value}, {"--cubes": cubes, "--truth": truth})
    sites.list_sites(settings)  # and before a folder is made
    with (
        processes.stoppable(),
        files.Lock(cubes, "--cubes"),
        files.Lock(truth, "--truth"),
        files.Lock(_SCENES.value, "--scenes") if _SCENES.value else contextlib.nullcontext(),
        _cli.open_scheduler(_SCHEDULER.value) as scheduler,
    ):
        folders = {"--cubes": cubes, "--truth": truth, "--scenes": _SCENES.value}
        scheduler.require({flag: folder for flag, folder in folders.items() if folder})
        _simulate(settings, cubes, truth, scheduler)


def _simulate(settings, cubes: str, truth: str, scheduler) -> None:
    from cropmap_jax.sources.simulator import run

    start = time.monotonic()
    done = run.simulate(settings, cubes, truth, _WORKERS.value, _cli.progress, scheduler)
    minutes = (time.monotonic() - start) / 60
    print(f"{done.written} cubes simulated, {done.kept} were there")
    if done.written:
        print(f"{done.km2:.0f} km2 in {minutes:.1f} min, {done.km2 / minutes:.0f} km2 a minute")
    _output.results(cubes=_CUBES.value, truth=truth, written=done.written, kept=done.kept)
    print(f"cubes: {_CUBES.value}\ntruth: {truth} (for checking)")
    print(f"next: python -m experiments.build --cubes {_CUBES.value} --data_dir DIR")
    if _SCENES.value:
        from cropmap_jax.sources.simulator import scene_catalogue

        count = scene_catalogue.write(settings, _SCENES.value, _cli.progress, scheduler)
        _output.results(scenes=os.path.join(_SCENES.value, "catalog.json"))
        print(f"scenes: {count} in {os.path.join(_SCENES.value, 'catalog.json')}")
        print(
            f"next: python -m experiments.fetch --config configs/fetch_local.py "
            f"--config.catalogue={_SCENES.value} --config.kind=cubes "
            f"--config.cubes={_CUBES.value} --cubes DIR"
        )
    if _FIELD_DATA.value:
        from cropmap_jax.sources.simulator import field_data

        _output.results(field_data=_FIELD_DATA.value)
        print(f"field data: {_FIELD_DATA.value}")
        print(field_data.write(settings, cubes, _FIELD_DATA.value))
        print(
            "next: python -m experiments.prepare --config configs/prepare_isrc.py "
            f"--config.source={_FIELD_DATA.value} --out DIR"
        )


if __name__ == "__main__":
    _cli.run(main)
