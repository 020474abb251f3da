"""The original system's regions of interest, and a table of what fixing each defect changes.

    python -m benchmarks.seed --config benchmarks/seed/prepare_isrc.py --config.source=DIR --out DIR

Writes rois.geojson and seed_table.md.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from cropmap_jax.geo import extras, files

_CONFIG = config_flags.DEFINE_config_file("config", None, "How the field data are to be read.")
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
flags.mark_flag_as_required("config")


def main(_) -> None:
    try:
        extras.require("fields", "benchmarks.seed")
        from benchmarks.seed import original_rois
        from benchmarks.seed.original_table import FILES
        from cropmap_jax.ground_truth import prepare, settings
        from cropmap_jax.ground_truth.audit_log import AuditLog

        config, out = _CONFIG.value.to_dict(), files.local("--out", _OUT.value)
        numbers = config.pop("original", {})
        requested = settings.read(config)
        prepare.check_folders(requested, out)
        print(original_rois.run(requested, numbers, out, AuditLog()))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    regions, table = FILES
    print(f"regions of interest: {out / regions}\ntable: {out / table}")


if __name__ == "__main__":
    app.run(main)
