"""A sensor and a network that the library does not know, from cubes to a map.

Nothing of the library is edited: a user's module registers a network, which --import names; cubes,
datasets and checkpoints carry what they have to know of their sensors.
"""

import dataclasses
import json
import os
import pathlib

import making
import numpy as np
import pytest
import rasterio
from started import Starter

from cropmap_jax.data import dataset
from cropmap_jax.geo import composites, cube_io, periods
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.training import checkpoints

TEMPERATURE = Sensor(
    name="temperature",
    title="Air temperature",
    bands=("T2M",),
    unit="degC",
    scale=4.0,
    range=(-20.0, 40.0),
    compositing="mean",
    dtype="uint8",
    nodata=255,
)
NETWORK = '''
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax import models


class Seasons(nn.Module):
    """One hidden layer over all that a pixel was, and over the days of it."""

    num_classes: int
    num_periods: int
    width: int = 8

    @nn.compact
    def __call__(self, pixels, valid, day_of_year, train=False):
        parts = [part[name] for name in sorted(pixels) for part in (pixels, valid)]
        x = jnp.moveaxis(jnp.concatenate(parts, axis=-1), 1, 3)
        x = x.reshape(*x.shape[:3], -1)
        days = nn.Dense(self.width, name="days")(jnp.cos(day_of_year / 58.0))
        x = nn.relu(nn.Dense(self.width, name="pixels")(x) + days[:, None, None])
        return nn.Dense(self.num_classes, name="head")(x)


models.register("seasons", Seasons)
'''
CONFIG = """
import pathlib
import runpy

from ml_collections import ConfigDict


def get_config(sensors):
    config = runpy.run_path("configs/tiny/pretrain.py")["get_config"]()
    config.model = ConfigDict({"name": "seasons", "num_periods": 6, "width": 6})
    config.sensors = tuple(sensors.split(","))
    config.scaling = ConfigDict()
    config.update({"epochs": 1, "crops_per_chip": 4, "crop": 16, "augment": True})
    return config
"""
AS_OF = "2022-06-01"


def daily(info, rng: np.random.Generator) -> np.ndarray:
    """Temperature of each day, degC [days, H, W, 1], some of it missing."""
    days = np.arange(*(d.toordinal() for d in (info.periods[0].start, info.periods[-1].end)))
    season = 15 - 12 * np.cos(2 * np.pi * (days - 15) / 365)
    values = season[:, None, None, None] + rng.normal(0, 2, (len(days), *info.shape, 1))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, :4, :4] = np.nan
    return values.astype(np.float32)


def with_temperature(made):
    """A cube that has one sensor more, made of daily values."""
    info = dataclasses.replace(made.info, sensors=(*made.info.sensors, TEMPERATURE))
    first, last = info.periods[0].start, info.periods[-1].end
    span = range(periods.to_day(first), periods.to_day(last))
    days = periods.from_days(np.array([(day, day + 1) for day in span]))
    values = daily(info, np.random.default_rng(made.label.sum()))
    monthly, _ = composites.composite(values, days, info.periods, TEMPERATURE)
    return dataclasses.replace(made, info=info, pixels={**made.pixels, "temperature": monthly})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Cubes with a third sensor, a user's module and config, and what runs commands on them."""
    root = tmp_path_factory.mktemp("extending")
    (root / "own_network.py").write_text(NETWORK)
    (root / "config.py").write_text(CONFIG)
    for folder in making.make_cubes(root / "plain"):
        cube_io.write_cube(with_temperature(cube_io.read_cube(folder)), root / "cubes")
    env = os.environ | {"PYTHONPATH": str(root), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    with Starter(root, env) as started:

        def run(verb, *flags):
            done = started.run(verb, *flags)
            assert done.returncode == 0, done.stderr[-3000:]
            return done.stdout

        cubes = ("--cubes", root / "cubes", "--data_dir", root / "data")
        assert "temperature" in run("build", *cubes, "--chip", 32)
        yield root, run


def test_a_cube_holds_what_was_put_in(world):
    root, _ = world
    found = cube_io.read_cube(root / "cubes" / "train_0", verify=True)
    assert found.info.sensors[2] == TEMPERATURE
    expected = with_temperature(cube_io.read_cube(root / "plain" / "train_0"))
    values, stored = expected.pixels["temperature"], found.pixels["temperature"]
    # Stored in steps of a quarter of a degree; below 0 an unsigned integer holds nothing.
    np.testing.assert_allclose(stored, np.maximum(values, 0), atol=0.125 + 1e-5)
    with rasterio.open(root / "cubes" / "train_0" / "temperature.tif") as raster:
        assert raster.dtypes[0] == "uint8" and raster.nodata == 255
        assert raster.descriptions[0] == "2021-12-01/T2M" and raster.scales[0] == 0.25
    item = json.loads((root / "cubes" / "train_0" / "item.json").read_text())
    assert item["properties"]["cropmap:sensors"][2]["unit"] == "degC"


def test_a_dataset_holds_it_too(world):
    root, _ = world
    data = dataset.open_dataset(str(root / "data"), "cubes")
    assert [sensor.name for sensor in data.sensors] == ["s1", "s2", "temperature"]
    record = data.source("train")[0]
    assert record["temperature"].shape == (9, 32, 32, 1)
    assert record["temperature"].dtype == np.uint8
    raw = cube_io.read_raw(root / "cubes" / "train_0")
    np.testing.assert_array_equal(record["temperature"], raw.pixels["temperature"])
    band = data.statistics["temperature"]["T2M"]
    valid = raw.pixels["temperature"][raw.pixels["temperature"] != 255] / 4
    assert band["mean"] == pytest.approx(valid.mean()) and band["max"] == valid.max()


@pytest.mark.parametrize("names", ["s1,s2,temperature", "temperature"])
def test_a_network_of_ones_own_is_trained_scored_and_maps(world, names):
    root, run = world
    own = ("--import", "own_network")
    work = root / names.replace(",", "-")
    made = run(
        "pretrain", *own, "--config", f"{root / 'config.py'}:{names}", "--workdir", work,
        f"--config.data_dir={root / 'data'}",
    )  # fmt: skip
    assert f"pretrain: seasons on {', '.join(names.split(','))}; " in made and "2 steps" in made
    recipe = checkpoints_of(root, work)
    assert [sensor.name for sensor in recipe.sensors] == names.split(",")
    assert recipe.sensors[-1] == TEMPERATURE and recipe.scaling["temperature"] == (-20.0, 40.0)
    scored = run("evaluate", *own, "--workdir", work, "--crop", "all", "--baseline", "forest",
                 "--max_pictures", 1)  # fmt: skip
    assert all(method in scored for method in ("network", "forest"))
    assert len(list((work / "evaluation" / "test").rglob("*.png"))) > 0
    out = root / f"map-{work.name}"
    flags = ("--cubes", root / "cubes", "--as_of", AS_OF, "--out", out)
    mapped = run("predict", *own, "--workdir", work, *flags)
    assert "summary: " in mapped
    record = json.loads((out / "test_2" / "map.json").read_text())
    assert record["seen"].keys() == {*names.split(","), "missing_bands"}
    crop = rasterio.open(out / "test_2" / "crop.tif").read(1)
    unseen = np.isnan(cube_io.read_cube(root / "cubes" / "test_2").pixels["temperature"])
    if names == "temperature":
        # Where there was no temperature the map says so, whatever other sensors saw.
        assert (crop[unseen[:6].all((0, 3))] == 255).all()


def checkpoints_of(root: pathlib.Path, work: pathlib.Path):
    """The recipe of a run, read in this process, which has not imported the network."""
    text = next((work / "checkpoints").glob("*/meta/metadata")).read_text()
    meta = json.loads(text)["recipe"]
    assert meta["model"] == {"name": "seasons", "num_periods": 6, "width": 6, "dtype": "float32"}
    with pytest.raises(ValueError, match="expected a network among .*found 'seasons'.*--import"):
        checkpoints.load(work)
    from cropmap_jax.training.recipe import Recipe

    plain = {"name": "dual_unet3d", "num_periods": 6}
    from cropmap_jax import models

    return Recipe.from_json(meta | {"model": models.complete(plain)})
