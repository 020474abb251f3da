"""A small simulated world, and configs that fetch it."""

import pathlib
import runpy

from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.simulator import sites
from cropmap_jax.sources.stac import config, fetch
from cropmap_jax.sources.stac.source import Source

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
# Three provinces in two UTM zones, of one and of two radar tracks; Sentinel-1B ends and the
# processing baseline changes.
SETTINGS = sites.Settings(
    "iran", {"train": 3}, tiles=1, first="2021-12-01", last="2022-01-31", label="teams",
    annotated=0.2, seed=1,
)  # fmt: skip
NO_RADAR, NO_OPTICAL = {"s1": {"collection": ""}}, {"s2": {"collection": ""}}


def local_config(cubes, catalogue, name="local", **tables) -> dict:
    """A config of `configs/` for cubes that exist, with changes by table."""
    found = runpy.run_path(str(CHECKOUT / "configs" / f"fetch_{name}.py"))["get_config"]()
    value = found.to_dict() | {"kind": "cubes", "cubes": str(cubes), "catalogue": str(catalogue)}
    for table, changes in tables.items():
        value[table] = value[table] | changes
    return value


def read(cubes, catalogue, **tables):
    """Targets and options of `local_config`."""
    return config.read_config(local_config(cubes, catalogue, **tables))


def fetch_into(folder, cubes, catalogue, count=None, max_gb=None, **tables):
    """Fetches cubes, or the first of them; what was done."""
    found, options = read(cubes, catalogue, **tables)
    with Manifest(folder) as book:
        return fetch.run(found[:count], options, Source(options, 4), book, folder, max_gb=max_gb)
