"""Turns your own rasters into cubes.

    python -m experiments.ingest --input stack.npz --cubes DIR --none_of_these other \\
        --harvest potato=2022-10-01 --months --split columns:train=0-52,test=53-62

The input is an .npz of arrays or a folder with s1 and s2 as .tif (and dates.csv) or .nc, on one
grid of square pixels in a CRS with true metres. Another sensor that a module of yours registers
(--import) is read by its name. Fill values that nobody declared (-9999, 65535, 0 in every band and
the like) are missing, with a count. Everything is checked before the first cube is written.
Interrupted, the same command resumes: cubes that are there are left as they are.
"""

import dataclasses

from absl import flags

from cropmap_jax.sources.ingest import annotations, run, satellites
from cropmap_jax.sources.ingest.options import Options
from experiments import _cli, _output

_cli.extensible()
flags.DEFINE_string(
    "input", None, "An .npz file, or a folder with s1 and s2 as .tif or .nc.", required=True
)
flags.DEFINE_string("cubes", None, "Folder of cubes.", required=True)
flags.DEFINE_string("name", "", "Base of the cube ids; default: the input's name.")
flags.DEFINE_string("season", "", 'Default: years of the periods, as "2021-2022".')
flags.DEFINE_string(
    "legend", "from_input", "Built-in name, JSON file, or from_input: the input's class names."
)
flags.DEFINE_multi_string(
    "none_of_these",
    [],
    "Class of the input (name or id) that is none of those to map; may be repeated.",
)
flags.DEFINE_multi_string(
    "unknown", [], "Class of the input about which nothing is known; may be repeated."
)
flags.DEFINE_multi_string(
    "harvest", [], "crop=DATE or crop=PLANTING:HARVEST, '*' for every crop; may be repeated."
)
flags.DEFINE_bool("months", False, "Composite observations to calendar months.")
flags.DEFINE_bool("dekads", False, "Composite observations to dekads.")
flags.DEFINE_enum(
    "fields", None, annotations.FIELDS, "Default: from_input where it has any, else components."
)
flags.DEFINE_string(
    "split",
    "train",
    "train, validation or test; columns:train=0-52,test=53-62 (inclusive pixels) or rows:...; or "
    "blocks[:SIZE_PX][:train=0.7,validation=0.15,test=0.15][:seed=0], about 10 km by default.",
)
flags.DEFINE_enum("s1_unit", "db", satellites.S1_UNITS, "Unit of S1; dn: dB = 20 log10(DN) - 83.")
flags.DEFINE_float(
    "s2_scale",
    None,
    "Reflectance = (value + s2_offset) / s2_scale; default: 10000 for integers, else 1.",
)
flags.DEFINE_float(
    "s2_offset",
    0.0,
    "-1000 for Level-2A as delivered since 2022 (processing baseline 04.00); a column s2_offset of "
    "dates.csv, or a key of the .npz, gives it for each date.",
)
flags.DEFINE_bool("scl_mask", False, "Mask S2 by the scene classification (SCL).")
flags.DEFINE_list(
    "scl_classes", [str(c) for c in satellites.SCL_CLOUDY], "SCL classes that --scl_mask masks."
)
flags.DEFINE_string(
    "landcover",
    "",
    "A GeoTIFF of land cover, in any CRS and resolution, that covers the input: it says where none "
    "of the classes grows, for ground that nobody annotates.",
)
flags.DEFINE_string(
    "landcover_table", "worldcover", "Its codes: worldcover (ESA WorldCover v200) or a JSON file."
)
flags.DEFINE_bool("overwrite", False, "Replace cubes of the same id.")


def main(_):
    names = [field.name for field in dataclasses.fields(Options)]
    values = {name: flags.FLAGS[name].value for name in names}
    if not flags.FLAGS.scl_mask:
        values["scl_classes"] = ()
    options = Options(**values)
    print(run.ingest(options, _cli.progress))
    _output.results(cubes=options.cubes)
    print(f"cubes: {options.cubes}\nnext: {run.next_command(options.cubes)}")


if __name__ == "__main__":
    _cli.run(main)
