"""Turns field data into labelled tiles, ready for export.

    python -m experiments.prepare --config configs/prepare_isrc.py --config.source=DIR --out DIR

Reads polygons and points of any coordinate system and a workbook of crop calendars; writes
tiles.geojson, labels/, fields/, fields.gpkg, a report of what was dropped and why, and maps.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli, _output

_CONFIG = config_flags.DEFINE_config_file("config", None, "What the field data hold.")
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.geo import extras, files

    extras.require("fields", "experiments.prepare")
    from cropmap_jax.ground_truth import prepare, report, settings
    from cropmap_jax.ground_truth.audit_log import AuditLog

    requested, out = settings.read(_CONFIG.value.to_dict()), files.local("--out", _OUT.value)
    prepare.check_folders(requested, out)
    summary = prepare.prepare(requested, out, AuditLog(), _cli.progress)
    print(report.text(summary))
    _output.results(out=out, report=out / "report.md", tiles=out / "tiles.geojson")
    print(f"report: {out / 'report.md'}, maps next to it\ntiles: {out / 'tiles.geojson'}")
    given = f"--config.tiles={out / 'tiles.geojson'} --cubes DIR --plan"
    print(
        f"next: python -m experiments.fetch --config configs/fetch_planetary_computer.py {given}\n"
        f"Earth Engine: python -m experiments.export --config configs/export_isrc.py {given}"
    )


if __name__ == "__main__":
    _cli.run(main)
