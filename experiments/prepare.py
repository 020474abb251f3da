"""Turns a field team's delivery into labelled tiles, ready for export.

    python -m experiments.prepare --config configs/prepare_isrc.py --config.source=DIR --out DIR

Reads polygons and points of any coordinate system and a workbook of crop calendars; writes
tiles.geojson, labels/, fields/, fields.gpkg, a report of what was dropped and why, and maps.
configs/seed/prepare_isrc.py reproduces the regions of interest of the original system instead.
"""

from absl import flags
from ml_collections import config_flags

from experiments import _cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "What the delivery holds.")
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
flags.mark_flag_as_required("config")


def main(_):
    from cropmap_jax.geo import extras, files

    extras.require("fields", "experiments.prepare")
    from cropmap_jax.ground_truth import audit_log, prepare, report, seed_rois, settings

    config, out = _CONFIG.value.to_dict(), files.local("--out", _OUT.value)
    seed = config.pop("seed_rois", None)
    asked, told = settings.read(config), audit_log.AuditLog()
    prepare.check_folders(asked, out)
    if seed:
        print(seed_rois.run(asked, seed, out, told))
        print(f"regions of interest: {out / 'rois.geojson'}\ntable: {out / 'seed_table.md'}")
        return
    summary = prepare.prepare(asked, out, told, _cli.progress)
    print(report.text(summary))
    print(f"report: {out / 'report.md'}, maps next to it\ntiles: {out / 'tiles.geojson'}")
    export = "python -m experiments.export --config configs/export_isrc.py"
    print(f"next: {export} --config.tiles={out / 'tiles.geojson'} --cubes DIR --plan")


if __name__ == "__main__":
    _cli.run(main)
