"""A simulated world as cubes: Europe under a crop map with its errors, or Iran with a few known
fields.

python -m experiments.simulate --config configs/simulate.py --cubes DIR
python -m experiments.simulate --config configs/simulate.py:iran --cubes DIR
"""

from ml_collections import ConfigDict


def get_config(world: str = "europe") -> ConfigDict:
    config = ConfigDict()
    config.world = world  # "europe" (harvest 2018), "iran" (2022) or "france" (2023, for checking)
    config.seed = 0  # of the world: the same seed, the same bytes
    config.sites = ConfigDict({"train": 16, "validation": 4, "test": 8})  # in each split
    config.tiles = 4  # side of a site in tiles of 1.28 km; each site lies in a block of its own
    iran = world == "iran"
    # Calendar months, from the first date's to the last date's.
    year = {"europe": 2018, "iran": 2022, "france": 2023}.get(world, 2018)
    config.first = f"{year - 1}-10-01"  # in the first month
    config.last = f"{year}-09-30"  # in the last month
    config.label = "teams" if iran else "map"  # or "truth": every field, as it is
    # Of a map's label, as multiples of EUCROPMAP's own error per class: this half makes the whole
    # agree with the truth as often as that map does (76 %), which has fewer of the hard classes.
    config.map_errors = 0.5
    config.annotated = 0.04  # of a teams' label: share of the ground
    config.negatives = 0.3  # of a teams' label: share of that which is none of the classes
    config.landcover = False  # a map like ESA WorldCover comes with the cubes, with its errors:
    config.landcover_errors = 1.0  # multiples of those assumed, see docs/simulator.md
    return config
