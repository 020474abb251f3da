"""From cubes and a config to a model, in the steps of the commands: build, finetune or baseline."""

import contextlib
import io
import os
import pathlib
import runpy
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from ml_collections import ConfigDict

from cropmap_jax.api.cubes import Cube
from cropmap_jax.api.datasets import Dataset
from cropmap_jax.api.model import Model, load
from cropmap_jax.api.quiet import quiet
from cropmap_jax.baselines import keeping, storage
from cropmap_jax.data import dataset
from cropmap_jax.geo import files, installed, processes, progress
from cropmap_jax.product import keeping as cards
from cropmap_jax.runs import finetuning, training

PIXEL_SERIES = "configs/pixel_series/finetune.py"
Settings = Mapping[str, Any]


def fit(
    cubes: str | os.PathLike[str] | Cube | xr.Dataset | Sequence[Cube | xr.Dataset] | Dataset,
    config: str | os.PathLike[str] | ConfigDict = PIXEL_SERIES,
    *,
    workdir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    progress: bool = True,
) -> Model:
    """Trains a model, as `build` and then `finetune` or `baseline` do; interrupted, it resumes.

    Args:
      cubes: a folder of cubes, cubes in memory, or a `Dataset` that was built.
      config: a file of settings, of one's own or of this library (`configs/...`), or what it
        returns. One with a `method`, such as `configs/baselines/forest.py`, trains a baseline.
      workdir: folder of the run.
      data_dir: folder of datasets, for cubes that are not a `Dataset`; by default WORKDIR_data.
      settings: changes to the config, {"epochs": 2, "model.width": 64}. A network is trained from
        scratch, unless `init_from` names the workdir of a pretrained one.
      progress: show bars, and lines for people.

    Returns:
      The model, as `load(workdir)` opens it.

    Raises:
      ValueError: one line: a setting, cubes or a workdir that cannot be.
      OSError: something cannot be written.
    """
    found = read_config(config)
    folder = str(files.local("workdir", workdir))
    data = _dataset(cubes, data_dir or f"{folder.rstrip(os.sep)}_data", progress)
    _change(found, {"data_dir": data.data_dir, "dataset": data.name} | (
        {} if data.fold is None else {"fold": data.fold}))  # fmt: skip
    _change(found, settings or {})
    with quiet(), contextlib.ExitStack() as held:
        if not progress:
            held.enter_context(contextlib.redirect_stdout(io.StringIO()))
            held.enter_context(contextlib.redirect_stderr(io.StringIO()))
        if "method" in found:
            _fit_baseline(found.to_dict(), folder)
        else:
            _fit_network(found, folder)
    return load(folder)


def read_config(config: str | os.PathLike[str] | ConfigDict) -> ConfigDict:
    """The settings of a file of a user's, else of one of this library; a copy of given ones.

    Raises:
      ValueError: no such file, or no settings in it.
    """
    if isinstance(config, ConfigDict):
        return ConfigDict(config.to_dict())
    path = pathlib.Path(config)
    if not path.is_file():
        path = installed.config_file(os.fspath(config)) or path
    if not path.is_file():
        raise ValueError(f"config: expected a configuration file, found none at {config!r}")
    make = runpy.run_path(str(path)).get("get_config")
    found = make() if callable(make) else None
    if not isinstance(found, ConfigDict):
        raise ValueError(f"config {path}: expected a function get_config that returns a ConfigDict")
    return found


def _dataset(
    cubes: str | os.PathLike[str] | Cube | xr.Dataset | Sequence[Cube | xr.Dataset] | Dataset,
    data_dir: str | os.PathLike[str],
    progress: bool,
) -> Dataset:
    if isinstance(cubes, Dataset):
        return cubes
    if isinstance(cubes, str | os.PathLike):
        return Dataset.from_cubes(cubes, data_dir, progress=progress)
    return Dataset.from_xarray(cubes, data_dir, progress=progress)


def _change(config: ConfigDict, settings: Settings) -> None:
    """Changes settings by their dotted names.

    Raises:
      ValueError: one that the config does not have, or of another kind.
    """
    for name, value in settings.items():
        *path, last = name.split(".")
        there: Any = config
        for part in path:
            there = there[part] if isinstance(there, ConfigDict) and part in there else None
        if not isinstance(there, ConfigDict) or last not in there:
            raise ValueError(
                f"settings: {name}: no such setting; expected one of {', '.join(sorted(config))}"
            )
        try:
            there[last] = value
        except TypeError as error:
            raise ValueError(f"settings: {name}: {error}") from error


def _fit_network(config: ConfigDict, workdir: str) -> None:
    if "init_from" in config:
        if not config.init_from:
            config.from_scratch = True
        finetuning.check(config, workdir)
        prepared = finetuning.prepare(config, workdir)
    else:
        training.check(config, workdir, "pretrain")
        prepared = training.prepare_pretraining(config, workdir)
    with processes.stoppable():
        training.train(prepared, workdir)
    cards.after_training(workdir, prepared)


def _fit_baseline(config: dict[str, Any], workdir: str) -> None:
    keeping.check(config)
    training.check_folders(workdir, {"--config.data_dir": config["data_dir"]}, "the baseline")
    opened = dataset.open_dataset(config["data_dir"], config["dataset"], **dataset.view_of(config))
    keeping.make_recipe(config, opened)  # what is wrong with it shows before anything is made
    with processes.stoppable(), files.Lock(workdir, "workdir"):
        files.tidy(files.local("workdir", workdir), {storage.FOLDER})
        with progress.bar(unit="pixel", desc="read", leave=False) as bar:

            def read(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            keeping.train(opened, config, workdir, read, bar.write)
        cards.refresh(workdir, storage.load(workdir), opened)
