"""The wheel that users install: what is in it, and that its commands start from it.

It is built from a copy, since setuptools reuses whatever an earlier build left in `build/`. The
dependencies come from the running environment; the package itself must not.
"""

from __future__ import annotations

import ast
import collections
import email
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from itertools import chain
from pathlib import Path

import making
import pytest
from packaging import requirements

from cropmap_jax.geo import extras

pytest.importorskip("build", reason="the wheel test needs the package `build` (extra: dev)")

CHECKOUT = Path(__file__).resolve().parents[1]
METADATA = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
MOVED = {
    "cropmap_jax": "cropmap_jax",
    "experiments": "experiments",
    "configs": "cropmap_jax/configs",
    "datasets": "cropmap_jax/datasets",
}
OWNER = {
    "google.auth": "google-auth",
    "odc.stac": "odc-stac",
    "pystac_client": "pystac-client",
}
# Of the extras' modules those that tensorflow-datasets and odc-geo need anyway, or look for.
BROUGHT_BY_OTHERS = {"dask", "pandas", "pyarrow", "requests", "urllib3", "xarray"}
NEED_EXTRAS = (
    "cropmap_jax.ground_truth",
    "cropmap_jax.mapping.field_table",
    "cropmap_jax.mapping.parcels",
    "cropmap_jax.mapping.province_grid",
    "cropmap_jax.mapping.since_fields",
    "cropmap_jax.review.table",
    "cropmap_jax.review.visit_map",
    "cropmap_jax.scheduling.cluster",
    "cropmap_jax.sources.earthengine",
    "cropmap_jax.sources.ingest.netcdf_files",
    "cropmap_jax.sources.simulator.field_data",
    "cropmap_jax.sources.stac.image_driver",
    "cropmap_jax.viewer.app",
    "cropmap_jax.viewer.serving",
)
HIDE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""
IMPORT_ALL = """
import importlib, json, pkgutil
import cropmap_jax

failed = []
for module in pkgutil.walk_packages(cropmap_jax.__path__, "cropmap_jax."):
    if not module.name.startswith(("cropmap_jax.configs", "cropmap_jax.datasets")):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed.append(module.name)
print(json.dumps(failed))
"""
VERBS = sorted(f.stem for f in (CHECKOUT / "experiments").glob("[!_]*.py"))


def run(*command: object, **kwargs) -> subprocess.CompletedProcess[str]:
    """Runs a command and returns it with its output, stderr included, as text."""
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        **kwargs,
    )


def sources(folder: Path) -> list[Path]:
    """Files below `folder`, relative to it, without caches and hidden files."""
    paths = (f.relative_to(folder) for f in folder.rglob("*") if f.is_file())
    return [p for p in paths if not any(part.startswith((".", "__pycache__")) for part in p.parts)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("checkout")
    for name in METADATA:
        shutil.copy(CHECKOUT / name, copy)
    for folder in MOVED:
        for path in sources(CHECKOUT / folder):
            (copy / folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / folder / path, copy / folder / path)
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=copy)
    assert built.returncode == 0, built.stdout[-3000:]
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The folder the wheel is installed into, and an environment in which it comes first."""
    target = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    done = run(*pip, "--target", target, wheel)
    assert done.returncode == 0, done.stdout
    # PYTHONPATH precedes site-packages, and the finder of an editable install comes after both.
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return target, env | {"PYTHONPATH": str(target), "JAX_PLATFORMS": "cpu"}


def test_holds_every_file_of_the_packages_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {n for n in archive.namelist() if not n.endswith("/")}
    inside = {n for n in inside if ".dist-info/" not in n}
    expected = {
        f"{place}/{path.as_posix()}"
        for folder, place in MOVED.items()
        for path in sources(CHECKOUT / folder)
    }
    assert sorted(expected - inside) == [], "add the folder or the suffix to setup.cfg"
    assert sorted(inside - expected) == []


def test_has_no_top_level_datasets_configs_or_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"cropmap_jax", "experiments"}


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(n).decode() for n in names if n.endswith("/METADATA"))
    assert "cropmap_jax/py.typed" in names
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)
    assert re.search(r"^License(-Expression)?: Apache-2.0$", metadata, re.MULTILINE)
    assert re.search(r"^Requires-Python: >=\s?3.11$", metadata, re.MULTILINE)


def test_extras_hold_what_the_table_of_modules_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (file,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(file))
    found = collections.defaultdict(set)
    for text in metadata.get_all("Requires-Dist"):
        needed = requirements.Requirement(text)
        extra = re.search(r'extra == "(\w+)"', str(needed.marker or ""))
        found[extra[1] if extra else ""].add(needed.name)
        if extra and extra[1] == "all":
            assert needed.extras == set(extras.EXTRAS), "`all` holds all of them"
    owners = importlib.metadata.packages_distributions()
    for extra, modules in extras.EXTRAS.items():
        # What h5netcdf[h5py] brings has no line of its own.
        expected = {OWNER.get(m) or owners[m][0] for m in modules if m != "h5py"}
        assert found[extra] == expected
        assert not found[""] & expected, "the base install lacks them"


def test_the_page_on_installing_names_every_extra():
    text = (CHECKOUT / "docs" / "install.md").read_text()
    assert [one for one in extras.EXTRAS if f"pip install '.[{one}]'" not in text] == []


def test_commands_start_without_extras_and_name_the_one_they_need(installed, tmp_path):
    """Modules that only extras bring cannot be imported; those of other packages' needs can."""
    target, env = installed
    hidden = sorted({*chain.from_iterable(extras.EXTRAS.values())} - BROUGHT_BY_OTHERS)
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    env = env | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"}
    done = run(sys.executable, "-c", IMPORT_ALL, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    failed = json.loads(done.stdout.splitlines()[-1])
    assert failed, "hiding works"
    assert [m for m in failed if not m.startswith(NEED_EXTRAS)] == []
    for verb, flags, extra in (
        ("export", ("--config", "configs/export_isrc.py", "--cubes", "cubes"), "earthengine"),
        ("prepare", ("--config", "configs/prepare_isrc.py", "--out", "out"), "fields"),
        ("fetch", ("--config", "configs/fetch_local.py", "--cubes", "cubes"), "stac"),
        ("view", ("--map", "map"), "view"),
    ):
        done = run(sys.executable, "-m", f"experiments.{verb}", *flags, cwd=tmp_path, env=env)
        assert done.returncode == 1, done.stdout
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"error: experiments.{verb} needs ")
        assert line.endswith(f": pip install 'cropmap_jax[{extra}]'")


def test_python_finds_the_installed_wheel(installed, tmp_path):
    target, env = installed
    code = "import cropmap_jax, experiments; print(cropmap_jax.__file__, experiments.__file__)"
    done = run(sys.executable, "-c", code, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    expected = [target / "cropmap_jax" / "__init__.py", target / "experiments" / "__init__.py"]
    assert done.stdout.split() == [str(path) for path in expected]


@pytest.mark.parametrize("verb", VERBS)
def test_command_starts_outside_the_checkout(installed, tmp_path, verb):
    target, env = installed
    module = target / "experiments" / f"{verb}.py"
    done = run(sys.executable, "-m", f"experiments.{verb}", "--help", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    # absl heads the list with the file of the main module: this one, not the checkout's.
    assert str(module) in done.stdout, done.stdout
    for flag in defined_flags(module):
        assert re.search(rf"--(\[no\])?{flag}\b", done.stdout), f"no --{flag} in:\n{done.stdout}"


def test_builds_and_trains_outside_the_checkout(installed, tmp_path):
    target, env = installed
    env = env | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

    def command(verb, *flags):
        done = run(sys.executable, "-m", f"experiments.{verb}", *flags, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout
        return done.stdout

    making.make_cubes(tmp_path / "cubes", ("train", "test"))
    # The dataset builder, and the config with the base that it reads, come from the wheel.
    command("build", "--cubes", "cubes", "--data_dir", "data", "--chip", "32")
    small = ("--config.crop=16", "--config.crops_per_chip=1", "--config.batch_size=1")
    small += ("--config.model.levels=0",)
    out = command(
        "pretrain", "--config", "configs/tiny/pretrain.py", "--workdir", "run", *small,
        "--config.data_dir=data", "--config.epochs=1",
    )  # fmt: skip
    assert "checkpoint and metrics: run" in out
    assert (tmp_path / "run" / "checkpoints" / "1").is_dir()


def defined_flags(module: Path) -> list[str]:
    """The names in the module's own `DEFINE_...("name", ...)` calls."""
    calls = (n for n in ast.walk(ast.parse(module.read_text())) if isinstance(n, ast.Call))
    return [
        call.args[0].value
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")).startswith("DEFINE_")
        and isinstance(call.args[0], ast.Constant)
    ]
