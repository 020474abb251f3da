"""The tiles of `experiments.prepare`, with its labels, for fine-tuning.

python -m experiments.export --config configs/export_isrc.py --config.tiles=FILE --cubes DIR --plan
python -m experiments.export --config configs/export_isrc.py --config.tiles=FILE --cubes DIR

FILE is the tiles.geojson that `experiments.prepare` wrote, of any country.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parent / "export_eucropmap.py"


def get_config() -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"]()
    # Splits and months come with the tiles.
    for key in ("regions", "fractions", "seed", "lead_days"):
        del config[key]
    config.kind = "tiles"
    config.tiles = ""  # tiles.geojson
    config.crop = ""  # with anchor "harvest": the crop whose harvest counts, in all tiles
    # "worldcover": ESA WorldCover v200 as landcover.tif, for ground that nobody annotates.
    config.label = ConfigDict({"kind": "tiles", "landcover": ""})
    return config
