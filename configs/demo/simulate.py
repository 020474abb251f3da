"""The demo's worlds: some 100 km2 of Europe, 300 km2 of Iran.

python -m experiments.simulate --config configs/demo/simulate.py --cubes DIR
python -m experiments.simulate --config configs/demo/simulate.py:iran --cubes DIR
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = pathlib.Path(__file__).resolve().parents[1] / "simulate.py"


def get_config(world: str = "europe") -> ConfigDict:
    config = runpy.run_path(str(_BASE))["get_config"](world)
    if world == "iran":
        config.tiles = 3
        config.sites = ConfigDict({"train": 10, "validation": 3, "test": 5})
        config.first = "2021-11-01"
    else:
        config.tiles = 2
        config.sites = ConfigDict({"train": 16, "validation": 0, "test": 0})
        config.first, config.last = "2017-11-01", "2018-09-30"
    return config
