"""Fetches cubes from a STAC catalogue: planned, resumable, whole or not there.

    python -m experiments.fetch --config configs/fetch_planetary_computer.py --config.tiles=FILE \\
        --cubes DIR --plan
    python -m experiments.fetch --config configs/fetch_planetary_computer.py --config.tiles=FILE \\
        --cubes DIR

--plan prints what it will cost, and counts scenes where the catalogue answers; --pilot 20 fetches
twenty cubes from all over and refines the plan by what they took. Interrupted, the same command
resumes: cubes that are there are not fetched again, and where the config's months end later than
theirs, the new ones are appended. Tokens are read from the environment, with --scheduler from that
of each worker.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _flags, _output

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to fetch.")
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_PLAN = flags.DEFINE_bool("plan", False, "Only print what it will cost.")
_PILOT = flags.DEFINE_integer("pilot", 0, "Fetch so many cubes only, then plan.", lower_bound=0)
_MAX_GB = flags.DEFINE_float("max_gb", None, "Stop after so many 1e9 bytes of pixels.", 0.0)
_THREADS = flags.DEFINE_integer("threads", 16, "Files read at once, by each worker.", 1, 256)
_SCHEDULER = _flags.define_scheduler("fetches groups of neighbouring cubes")
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.geo import extras, files

    extras.require("stac", "experiments.fetch")
    from cropmap_jax.sources.stac import config as config_lib
    from cropmap_jax.sources.stac import errors

    _flags.check_download(_CUBES.value, _MAX_GB.value)
    config = _CONFIG.value.to_dict()
    found, options = config_lib.read_config(config)
    files.check_apart({"--cubes": _CUBES.value}, config_lib.inputs_of(found, options, config))
    try:
        if _PLAN.value:
            _plan(found, options)
        else:
            inputs = config_lib.inputs_of(found, options, config)
            _fetch(found, options, {name: path for name, path in inputs.items() if path})
    except errors.Unreachable as error:
        raise ValueError(str(error)) from None


def _plan(found, options) -> None:
    """Counts scenes where a catalogue answers; assumes them where it does not."""
    from cropmap_jax.sources import survey
    from cropmap_jax.sources.stac import errors, fetch, planner
    from cropmap_jax.sources.stac.source import Source

    todo, whole = fetch.survey(found, options, None, pathlib.Path(_CUBES.value))
    found, there = survey.to_plan(todo, whole, "fetch")
    print(there, end="")
    if not found:
        return
    counted, why = {}, {}
    for sensor in options.sensors:
        try:
            counted[sensor.name] = planner.count_scenes(
                found, Source(options, only=sensor.name), sensor.name
            )
        except (errors.Unreachable, errors.Refused) as error:
            why[sensor.name] = f"the catalogue could not be asked ({error})"
    print(planner.text(planner.make_plan(found, options, _THREADS.value, counted, why)))
    print("next: --pilot 20 instead of --plan")


def _fetch(found, options, inputs) -> None:
    from cropmap_jax.sources import manifest, missing_report, places
    from cropmap_jax.sources.stac import fetch, planner
    from cropmap_jax.sources.stac.source import Source

    source = Source(options, _THREADS.value)
    todo = places.choose_pilot(found, _PILOT.value) if _PILOT.value else found
    with (
        manifest.Manifest(_CUBES.value) as book,
        _cli.open_scheduler(_SCHEDULER.value) as scheduler,
    ):
        scheduler.require({"--cubes": _CUBES.value}, inputs)
        missing_report.claim_picture(book, _CUBES.value)
        done = fetch.run(
            todo, options, source, book, _CUBES.value, _cli.progress, _MAX_GB.value, scheduler,
            _THREADS.value,
        )  # fmt: skip
        print(done.text())
        _output.results(**done.to_json())
        print(missing_report.write_report(book, _CUBES.value, options.sensors))
        if _PILOT.value:
            plan = planner.refine(planner.make_plan(found, options, _THREADS.value), book)
            print(f"\nall of it, by what a pilot of {len(todo)} took:\n\n{planner.text(plan)}")
    if done.failed and not (done.whole + done.flagged + done.kept):
        raise ValueError(f"no cube could be fetched: {next(iter(done.failed.values()))}")
    _output.results(cubes=_CUBES.value)
    print(f"cubes: {_CUBES.value}")
    if _PILOT.value or done.left:
        print("next: the same command without --pilot and --max_gb fetches the rest")
        return
    name = found[0].legend.name
    kind = f"--dataset {name} " if name in ("eucropmap", "isrc") else ""
    print(f"next: python -m experiments.build {kind}--cubes {_CUBES.value} --data_dir DIR")


if __name__ == "__main__":
    _cli.run(main)
