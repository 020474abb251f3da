"""Exports cubes from Google Earth Engine: planned, within its limits, resumable.

    python -m experiments.export --config configs/export_eucropmap.py --cubes DIR --plan
    python -m experiments.export --config configs/export_eucropmap.py --cubes DIR --project MINE
    python -m experiments.export --config configs/export_isrc.py --config.tiles=FILE --cubes DIR ...

--plan prints what an export will cost before any pixel moves; --pilot 20 exports twenty cubes from
all over and refines the plan by what they took. Interrupted, the same command resumes: what was
answered is never requested again. Where the config's months end later than those of cubes that are
there, the new ones are appended.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _flags, _output

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to export.")
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
_PLAN = flags.DEFINE_bool("plan", False, "Only print what it will cost; no project is needed.")
_PILOT = flags.DEFINE_integer("pilot", 0, "Export so many cubes only, then plan.", lower_bound=0)
_MAX_GB = flags.DEFINE_float("max_gb", None, "Stop after so many 1e9 bytes of pixels.", 0.0)
_PROJECT = flags.DEFINE_string("project", "", "Google Cloud project that the compute counts on.")
_ENDPOINT = flags.DEFINE_string("endpoint", "high-volume", "high-volume, standard or a URL.")
_CREDENTIALS = flags.DEFINE_string(
    "credentials", "user", "user, application_default, or a service account's file."
)
_IN_FLIGHT = flags.DEFINE_integer("in_flight", 40, "Requests at once.", 1, 1000)
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.geo import extras, files

    extras.require("earthengine", "experiments.export")
    from cropmap_jax.sources.earthengine import export, plan_text, planner

    _flags.check_download(_CUBES.value, _MAX_GB.value)
    config = _CONFIG.value.to_dict()
    found, options = export.read_config(config)
    files.check_apart({"--cubes": _CUBES.value}, export.inputs_of(found, config))
    if _PLAN.value:
        found = _left(found, options)
        if not found:
            return
    plan = planner.make_plan(found, options, in_flight=_IN_FLIGHT.value)
    if _PLAN.value and not _PROJECT.value:
        print(plan_text.text(plan))
        print("with --project the plan also counts scenes and passes per month")
        print("next: --project MINE --pilot 20 instead of --plan")
        return
    from cropmap_jax.sources.earthengine import errors

    try:
        _export(found, options, plan)
    except errors.ServiceError as error:
        raise ValueError(str(error)) from error


def _left(found, options) -> list:
    """What of the cubes is not there; prints what is."""
    from cropmap_jax.sources import survey
    from cropmap_jax.sources.earthengine import workers

    todo, whole = workers.survey(found, options, None, pathlib.Path(_CUBES.value))
    found, there = survey.to_plan(todo, whole, "export")
    print(there, end="")
    return found


def _export(found, options, plan) -> None:
    """Sends requests: for lists of scenes, with --plan, else for pixels."""
    from cropmap_jax.sources import manifest, missing_report
    from cropmap_jax.sources.earthengine import (
        auth,
        client,
        download,
        export,
        plan_text,
        planner,
        service,
        stopping,
    )

    access = auth.initialise(_PROJECT.value, _ENDPOINT.value, _CREDENTIALS.value)
    pause = stopping.Pause()
    api = client.Client(
        access.base_url, access.project, access.session(_IN_FLIGHT.value),
        max_in_flight=_IN_FLIGHT.value, sleep=pause,
    )  # fmt: skip
    if _PLAN.value:
        scenes, passes = export.count_scenes(found, options.s1, api)
        plan = planner.make_plan(
            found, options, in_flight=_IN_FLIGHT.value, scenes=scenes, passes=passes
        )
        print(plan_text.text(plan))
        return
    todo = planner.choose_pilot(found, _PILOT.value) if _PILOT.value else found
    print(*plan.notes, sep="\n", end="\n" if plan.notes else "")
    with manifest.Manifest(_CUBES.value) as book:
        missing_report.claim_picture(book, _CUBES.value)
        source = export.GraphSource(options, api, book)
        done = download.run(
            todo, options, source, api, book, _CUBES.value, _cli.progress, _MAX_GB.value,
            in_flight=_IN_FLIGHT.value, pause=pause,
        )  # fmt: skip
        print(done.text())
        print(missing_report.write_report(book, _CUBES.value, service.SENSORS))
        if api.counts.restricted:
            print(
                "the month's quota is used up: Earth Engine responds more slowly until it is over"
            )
        _output.results(**done.to_json())
        pilot = export.measured(book, len(todo), source.look_ups) if _PILOT.value else None
    if pilot:
        print(f"\nall of it, by what a pilot of {pilot.cubes} took:\n")
        print(plan_text.text(planner.refine(plan, pilot)))
    _output.results(cubes=_CUBES.value)
    print(f"cubes: {_CUBES.value}")
    if _PILOT.value or done.left:
        print("next: the same command without --pilot and --max_gb exports the rest")
        return
    name = found[0].legend.name
    kind = f"--dataset {name} " if name in ("eucropmap", "isrc") else ""
    print(f"next: python -m experiments.build {kind}--cubes {_CUBES.value} --data_dir DIR")


if __name__ == "__main__":
    _cli.run(main)
