"""Imports point one way, and a few words stay in their rooms.

The sources are parsed and never run, so the test needs none of the libraries it speaks about.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
TREES = ("cropmap_jax", "experiments", "configs", "datasets", "benchmarks")

# Which rooms of cropmap_jax a room may import, besides itself. "." is cropmap_jax/__init__.py.
ROOMS = {
    ".": {"api"},
    "xla": set(),
    "geo": set(),
    "scheduling": {"geo"},
    "ground_truth": {"geo"},
    "sources": {"scheduling", "geo"},
    "data": {"scheduling", "geo"},
    "models": set(),
    "training": {"models", "data", "geo"},
    "inference": {"training", "models", "data", "geo"},
    "baselines": {"scheduling", "inference", "training", "models", "data", "geo"},
    # What a workdir holds: what opens one knows networks and baselines, and neither knows of it.
    "runs": {"baselines", "inference", "training", "models", "data", "geo"},
    "evaluation": {
        "scheduling",
        "runs",
        "baselines",
        "inference",
        "training",
        "models",
        "data",
        "geo",
    },
    # What maps on a worker tunes XLA there, as commands do here.
    "mapping": {
        "xla",
        "scheduling",
        "runs",
        "baselines",
        "inference",
        "training",
        "models",
        "data",
        "ground_truth",
        "geo",
    },
    # It looks at data, not at what was learnt from them; dates alone are a baseline.
    "audit": {"baselines", "data", "geo"},
    # It asks what was annotated, and what was mapped, whether it can be right.
    "review": {
        "evaluation",
        "mapping",
        "baselines",
        "inference",
        "data",
        "ground_truth",
        "geo",
    },
    # It says what a run is, from what its workdir holds, and hands it on.
    "product": {"runs", "baselines", "inference", "training", "models", "data", "geo"},
    # It shows what scores and maps hold, and computes nothing that they could.
    "reporting": {"evaluation", "mapping", "runs", "inference", "training", "data", "geo"},
    # It shows what maps and cubes hold.
    "viewer": {"mapping", "geo"},
    # What commands do, from Python: it stands where they stand.
    "api": {
        "evaluation",
        "mapping",
        "product",
        "runs",
        "baselines",
        "inference",
        "training",
        "data",
        "sources",
        "geo",
        "xla",
    },
}

# The only third-party packages a room may import. A room without a row may import any.
ONLY = {
    ".": set(),
    "xla": set(),
    "geo": {
        "affine",
        "jsonschema",
        "numpy",
        "odc",
        "pyproj",
        "pystac",
        "rasterio",
        "scipy",
        "shapely",
        "tqdm",
    },
    "models": {"flax", "jax", "numpy"},
    "scheduling": {"dask", "distributed"},
}

# Packages a room may not import.
_JAX = {"chex", "flax", "jax", "jaxlib", "optax", "orbax"}
NEVER = {"sources": _JAX, "ground_truth": _JAX, "data": _JAX}
# The one module of such a room that computes on the device.
EXCEPT = {"cropmap_jax/data/augment.py"}

# Nothing imports these, under either of their names. Commands may share a module of experiments,
# and a dataset builder may use its own folder.
LEAVES = {"configs", "datasets", "experiments"}

# A package or a name -> the one place that may say it.
ONLY_IN = {"ee": "cropmap_jax/sources/earthengine", "pmap": "cropmap_jax/training/parallel"}


# Who may say "s1" and "s2": the tables of sensors and indices, the sources that know a satellite,
# and what reads the original network's weights. All others take what they need from the table.
SATELLITES = (
    "cropmap_jax/geo/sensors.py",
    "cropmap_jax/geo/indices.py",
    "cropmap_jax/sources/earthengine/",
    "cropmap_jax/sources/simulator/",
    "cropmap_jax/sources/stac/",
    "cropmap_jax/sources/ingest/satellites.py",
    "cropmap_jax/models/torch_import.py",
    # Configs and commands name the sensors that they use.
    "configs/",
    "experiments/",
    "benchmarks/",
)
_SENSOR = re.compile(r"s[12]")


def of_a_sensor(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, text) for every text that names a sensor of Sentinel, and such an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _SENSOR.fullmatch(node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.Attribute) and _SENSOR.fullmatch(node.attr):
            yield node.lineno, f".{node.attr}"


def imported(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, absolute dotted name) for everything that a module at `path` imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            # One leading dot is the module's own package, each further dot its parent.
            base = path.parts[: len(path.parts) - node.level] if node.level else ()
            prefix = [*base, *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                yield node.lineno, ".".join([*prefix, alias.name])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def said(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields (line, identifier) for every name, attribute and imported name of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias):
            yield node.lineno, node.name.split(".")[-1]


def room_of(path: Path) -> str | None:
    """The room of cropmap_jax that a path lies in; None outside cropmap_jax."""
    if path.parts[0] != "cropmap_jax":
        return None
    return "." if path.parts[1] == "__init__.py" else path.parts[1].removesuffix(".py")


def wrong_import(path: Path, name: str) -> str | None:
    """Says why the module at `path` may not import `name`; None when it may."""
    room, (top, *rest) = room_of(path), name.split(".")
    if room is not None and room not in ROOMS:
        return f"has no row in ROOMS ({room})"
    if top in ONLY_IN and not path.as_posix().startswith(ONLY_IN[top]):
        return f"imports {name}: only {ONLY_IN[top]} may"
    leaf = top if top in LEAVES else rest[0] if top == "cropmap_jax" and rest else None
    if leaf in LEAVES:
        own = path.parts[0] != "configs" and name.startswith(".".join(path.parts[:-1]) + ".")
        return None if own else f"imports {name}: nothing may"
    if top == "cropmap_jax":
        target = rest[0] if rest else "."
        if path.parts[0] == "datasets" and target not in {"data", "geo"}:
            return f"imports {name}: datasets may not"
        if room is None or target in {room, "."} or target.startswith("__"):
            return None
        return None if target in ROOMS[room] else f"imports {name}: {room} may not"
    if room is None or top in sys.stdlib_module_names:
        return None
    never = () if path.as_posix() in EXCEPT else NEVER.get(room, ())
    if top not in ONLY.get(room, {top}) or top in never:
        return f"imports {name}: {room} may not"
    return None


def violations(root: Path) -> list[str]:
    """Every broken rule in the source trees below `root`, as "path:line: what"."""
    found = []
    for file in sorted(f for tree in TREES for f in (root / tree).rglob("*.py")):
        path = file.relative_to(root)
        if path.name.endswith("_test.py"):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"), str(path))
        for line, name in imported(tree, path):
            if reason := wrong_import(path, name):
                found.append(f"{path.as_posix()}:{line}: {reason}")
        for line, word in said(tree):
            if word == "pmap" and not path.as_posix().startswith(ONLY_IN["pmap"]):
                found.append(f"{path.as_posix()}:{line}: says pmap: only {ONLY_IN['pmap']} may")
        if not path.as_posix().startswith(SATELLITES):
            for line, word in of_a_sensor(tree):
                found.append(f"{path.as_posix()}:{line}: names a sensor: {word}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                found.append(f"{path.as_posix()}:{node.lineno}: assert outside tests")
    return sorted(set(found))


def test_no_arrow_points_back():
    assert (CHECKOUT / "cropmap_jax" / "__init__.py").is_file()
    assert violations(CHECKOUT) == []


@pytest.mark.parametrize(
    "path, source, expected",
    [
        ("cropmap_jax/geo/a.py", "import jax.numpy as jnp", "geo may not"),
        ("cropmap_jax/geo/a.py", "def f():\n    from grain import python", "geo may not"),
        ("cropmap_jax/geo/a.py", "from ..training import losses", "geo may not"),
        ("cropmap_jax/geo/__init__.py", "from ..sources.arrays import x", "geo may not"),
        ("cropmap_jax/__init__.py", "from cropmap_jax import geo", ". may not"),
        ("cropmap_jax/sources/a.py", "import optax", "sources may not"),
        ("cropmap_jax/data/a.py", "import jax", "data may not"),
        ("cropmap_jax/data/a.py", "from cropmap_jax.training import steps", "data may not"),
        ("datasets/a/a.py", "from cropmap_jax.training import steps", "datasets may not"),
        ("cropmap_jax/sources/a.py", "from cropmap_jax import models", "sources may not"),
        ("cropmap_jax/sources/arrays.py", "import ee", "only cropmap_jax/sources/earthengine"),
        ("experiments/export.py", "from ee import data", "only cropmap_jax/sources/earthengine"),
        ("cropmap_jax/models/a.py", "import optax", "models may not"),
        ("cropmap_jax/models/a.py", "from cropmap_jax.geo import cube", "models may not"),
        ("cropmap_jax/training/a.py", "import cropmap_jax.evaluation.metrics", "training may not"),
        ("cropmap_jax/training/a.py", "from jax import pmap", "says pmap"),
        ("experiments/pretrain.py", "import jax\njax.pmap(f)", "experiments/pretrain.py:2: says"),
        ("cropmap_jax/mapping/a.py", "from cropmap_jax.sources import arrays", "mapping may not"),
        ("cropmap_jax/audit/a.py", "from cropmap_jax.evaluation import metrics", "audit may not"),
        ("cropmap_jax/data/a.py", "from cropmap_jax.audit import copies", "data may not"),
        ("cropmap_jax/training/a.py", "from experiments import pretrain", "nothing may"),
        ("experiments/build.py", "from configs.tiny import pretrain", "nothing may"),
        ("configs/finetune.py", "from configs import pretrain", "nothing may"),
        ("datasets/isrc/a.py", "import cropmap_jax.datasets.cubes", "nothing may"),
        ("experiments/a.py", "import importlib\nimportlib.import_module('datasets')", "nothing"),
        ("cropmap_jax/extras/a.py", "import numpy", "no row in ROOMS"),
        ("cropmap_jax/geo/a.py", "assert True", "assert outside tests"),
        ("cropmap_jax/data/a.py", "pixels = record['s1']", "names a sensor: s1"),
        ("cropmap_jax/mapping/a.py", "for s in ('s3', 's2'): pass", "names a sensor: s2"),
        ("cropmap_jax/sources/a.py", "cube.s2", "names a sensor: .s2"),
        ("cropmap_jax/models/a.py", "{'s1': 2}", "names a sensor: s1"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, path, source, expected):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}:") and expected in found


@pytest.mark.parametrize(
    "path, source",
    [
        ("cropmap_jax/geo/a.py", "import numpy\nfrom odc.geo import GeoBox\nfrom . import b"),
        ("cropmap_jax/geo/a.py", "from cropmap_jax import __version__"),
        ("cropmap_jax/sources/earthengine/a.py", "import ee\nfrom ...geo import cube"),
        ("cropmap_jax/models/a.py", "from flax import linen as nn\nfrom .blocks import Block"),
        ("cropmap_jax/training/parallel.py", "import jax\nstep = jax.pmap(f)"),
        ("cropmap_jax/evaluation/a.py", "from cropmap_jax.training import checkpoints"),
        ("experiments/pretrain.py", "from experiments import _common\nimport cropmap_jax.mapping"),
        ("datasets/isrc/isrc_dataset_builder.py", "from . import crops\nimport cropmap_jax.geo"),
        ("datasets/cubes/cubes_dataset_builder_test.py", "assert True"),
        ("cropmap_jax/sources/earthengine/a.py", "bands['s1']"),
        ("cropmap_jax/models/torch_import.py", "TRUNK = ('s1', 's2')"),
        ("cropmap_jax/data/a.py", "'''Reads \"s1\" and \"s2\".'''\nx = \"s1_db\""),
    ],
)
def test_a_forward_arrow_is_allowed(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert violations(tmp_path) == []
