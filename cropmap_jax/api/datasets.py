"""Datasets of chips: what models learn from and are scored on."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence

import xarray as xr

from cropmap_jax.api.cubes import Cube
from cropmap_jax.api.quiet import quiet
from cropmap_jax.data import builders, cube_builder, dataset
from cropmap_jax.geo import files, processes
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import Legend


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset of chips, cut from cubes by `experiments.build` or here; it lies in a folder.

    Args:
      data_dir: folder of datasets.
      name: "<kind>/<name>", e.g. "cubes/default".
      fold: of a dataset with folds, the one that is tested.
    """

    data_dir: str
    name: str = "cubes/default"
    fold: int | None = None

    def open(self) -> dataset.Dataset:
        """Its tables and records.

        Raises:
          ValueError: none is there, or it is damaged.
        """
        return dataset.open_dataset(self.data_dir, self.name, self.fold)

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.open().legend

    def describe(self) -> str:
        """What it holds: splits, classes, pixels, as `experiments.build` prints it."""
        return dataset.describe(self.open())

    @classmethod
    def from_cubes(
        cls,
        cubes: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
        *,
        name: str = "default",
        kind: str = "cubes",
        chip: int = 64,
        overlap: int | None = None,
        folds: Rule | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> "Dataset":
        """Builds it from a folder of cubes, or finds it built from the very same cubes.

        Args:
          cubes: folder of cubes.
          data_dir: folder of datasets.
          name, kind: see `experiments.build`, --name and --dataset.
          chip, overlap: side of a chip in pixels, and pixels that neighbours share.
          folds: how annotated ground is divided for cross-validation; None: splits are the cubes'.
          overwrite: replace a dataset of that name.
          progress: show a bar.

        Raises:
          ValueError: cubes that do not belong together, or another dataset of that name.
          OSError: it cannot be written; nothing is left behind.
        """
        if kind not in builders.DATASETS:
            raise ValueError(
                f"kind: expected one of {', '.join(builders.DATASETS)}, found {kind!r}"
            )
        with processes.stoppable(), quiet():
            builder, _ = cube_builder.build(
                builders.load_builder(kind), name, cubes, data_dir, chip=chip,
                overlap=builders.overlap_of(kind, chip, overlap), overwrite=overwrite,
                progress=progress, folds=folds,
            )  # fmt: skip
        found = dataset.open_folder(pathlib.Path(builder.data_path))
        return cls(os.fspath(data_dir), found.name)

    @classmethod
    def from_xarray(
        cls,
        cubes: Cube | xr.Dataset | Sequence[Cube | xr.Dataset],
        data_dir: str | os.PathLike[str],
        *,
        name: str = "default",
        chip: int = 64,
        folds: Rule | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> "Dataset":
        """Builds it from cubes in memory, which need names (cube_id) and splits that say which is
        which.

        Args:
          cubes: Datasets as `read_cube` returns them, or what `Cube.from_xarray` made of others.
          data_dir, name, chip, folds, overwrite, progress: see `from_cubes`.

        Raises:
          ValueError: as `from_cubes`.
        """
        many = [cubes] if isinstance(cubes, Cube | xr.Dataset) else list(cubes)
        if not many:
            raise ValueError("cubes: expected at least one cube, found none")
        files.local("data_dir", data_dir)
        # Cubes are checked and cut as those of the commands are: from a folder.
        with tempfile.TemporaryDirectory(prefix="cropmap-cubes-") as folder:
            for one in many:
                own = one if isinstance(one, Cube) else Cube.from_xarray(one)
                own.write(folder)
            return cls.from_cubes(
                folder, data_dir, name=name, chip=chip, folds=folds, overwrite=overwrite,
                progress=progress,
            )  # fmt: skip
