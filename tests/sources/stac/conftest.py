"""A small simulated world as cubes and as a catalogue of scenes, made once."""

import dataclasses
import pathlib

import pytest
from small_catalogue import SETTINGS

from cropmap_jax.sources.simulator import run, scene_catalogue
from cropmap_jax.sources.stac import reading


@dataclasses.dataclass(frozen=True)
class World:
    """Folders of cubes and of scenes."""

    cubes: pathlib.Path
    scenes: pathlib.Path


@pytest.fixture(autouse=True, scope="session")
def installed():
    pytest.importorskip("odc.stac", reason="needs odc-stac (extra: stac)")
    pytest.importorskip("pystac_client", reason="needs pystac-client (extra: stac)")


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("world")
    run.simulate(SETTINGS, folder / "cubes", folder / "truth", workers=1)
    scene_catalogue.write(SETTINGS, folder / "scenes")
    return World(folder / "cubes", folder / "scenes")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(reading, "WAIT_S", 0.01)
