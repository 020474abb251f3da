"""A trained run: what it maps, and how well."""

import datetime as dt
import functools
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import xarray as xr

from cropmap_jax import runs
from cropmap_jax.api import predicting
from cropmap_jax.api.cubes import Cube
from cropmap_jax.api.datasets import Dataset
from cropmap_jax.api.quiet import quiet
from cropmap_jax.geo import files, periods
from cropmap_jax.geo import progress as progress_lib
from cropmap_jax.geo.legend import Legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.mapping.decision import THRESHOLD
from cropmap_jax.mapping.options import Options
from cropmap_jax.runs import calibration
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training import checkpoints
from cropmap_jax.training.checkpoints import Restored

if TYPE_CHECKING:
    from cropmap_jax.api.scores import Scores

AnyCube = Cube | xr.Dataset
"""A cube, or a Dataset that `Cube.from_xarray` takes without further words."""


def bar(items: Iterable[Any], **about: Any) -> Iterable[Any]:
    """A progress bar, which leaves nothing behind."""
    shown: Iterable[Any] = progress_lib.bar(items, leave=False, **about)
    return shown


def no_bar(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    """No progress bar."""
    return items


class Model:
    """A run that was trained: a network, a kept baseline, or several combined.

    Args:
      workdir: its folder.
      restored: what was read of it.
    """

    def __init__(self, workdir: pathlib.Path, restored: Restored):
        self.workdir, self._restored = workdir, restored
        self._predictors: dict[int, Predictor] = {}

    def __repr__(self) -> str:
        sensors = ", ".join(sensor.name for sensor in self.sensors)
        return (
            f"<Model {self.method} in {self.workdir}: {len(self.legend)} classes of "
            f"{self.legend.name}, from the last {self.window} periods ({self.period_kind}) of "
            f"{sensors}>"
        )

    @property
    def method(self) -> str:
        """ "network", the name of a baseline such as "forest", or "combined"."""
        return runs.method_of(self._restored)

    @property
    def step(self) -> int:
        """Of the checkpoint."""
        return self._restored.step

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self._restored.recipe.legend

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.legend.names

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Whose pixels it takes."""
        return self._restored.recipe.sensors

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that it takes, as `read_cube` names them."""
        return tuple(band for sensor in self.sensors for band in sensor.bands)

    @property
    def window(self) -> int:
        """How many periods it sees, months where `period_kind` is "month"."""
        return self._restored.recipe.num_periods

    @property
    def period_kind(self) -> str:
        """What one period is: "month", "dekad" or "N days"."""
        return self._restored.recipe.period_kind

    @property
    def lead_days(self) -> int:
        """Days before harvest that it was trained for."""
        return self._restored.recipe.lead_days

    @property
    def pixel_m(self) -> float | None:
        """Side of the pixels that it was trained on, metres; None where that is not recorded."""
        return self._restored.recipe.pixel_m

    @property
    def calibrated(self) -> str:
        """How its probabilities are calibrated; "" if they are not.

        Raises:
          ValueError: a calibration that is damaged, or of another state of the run.
        """
        return self._calibration.describe() if self._calibration else ""

    @functools.cached_property
    def _calibration(self) -> Stored | None:
        return calibration.find(self.workdir, self._restored)

    @overload
    def predict(
        self, data: AnyCube, as_of: dt.date | str, *, threshold: float = ..., smooth: int = ...,
        calibrate: bool = ..., batch_size: int = ..., progress: bool = ...,
    ) -> xr.Dataset: ...  # fmt: skip

    @overload
    def predict(
        self, data: Sequence[AnyCube], as_of: dt.date | str, *, threshold: float = ...,
        smooth: int = ..., calibrate: bool = ..., batch_size: int = ..., progress: bool = ...,
    ) -> list[xr.Dataset]: ...  # fmt: skip

    def predict(
        self,
        data: AnyCube | Sequence[AnyCube],
        as_of: dt.date | str,
        *,
        threshold: float = THRESHOLD,
        smooth: int = 0,
        calibrate: bool = True,
        batch_size: int = Options.batch_size,
        progress: bool = True,
    ) -> xr.Dataset | list[xr.Dataset]:
        """Maps a cube as of a date, with the numbers that `experiments.predict` writes.

        Args:
          data: a cube; or several, of which those that touch are predicted as one.
          as_of: date of the prediction: periods that ended by then are seen.
          threshold: least probability of what is shown, of classes that do not exclude each other.
          smooth: side in pixels of a window over which probabilities are smoothed; 0 for none.
          calibrate: rescale probabilities by the run's calibration, if it has one.
          batch_size: chips per step.
          progress: show a bar.

        Returns:
          Of each cube `probability` [class, y, x], NaN where nothing was seen, 0 of a crop that
          cannot stand there yet; `crop` [y, x], index of the class that is shown, 254 none of
          these, 255 nothing seen; `confidence` [y, x], percent, 255 nothing seen.

        Raises:
          ValueError: one line: other sensors, pixels or periods than in training, no image of the
            window by the date, or a calibration of another state of the run.
        """
        date = periods.parse_date(str(as_of), "as_of")
        # What is wrong with these is named as of the command.
        Options("workdir", "cubes", str(date), "out", threshold, batch_size, smooth=smooth)
        one = isinstance(data, Cube | xr.Dataset)
        given: Sequence[AnyCube] = [data] if isinstance(data, Cube | xr.Dataset) else data
        cubes = [self._cube(value).raw for value in given]
        if not cubes:
            raise ValueError("data: expected at least one cube, found none")
        if batch_size not in self._predictors:
            self._predictors[batch_size] = runs.predictor_of(
                self._restored, batch_size, full_batches=True
            )
        found = predicting.predict(
            self._restored,
            self._predictors[batch_size],
            cubes,
            date,
            self._calibration if calibrate else None,
            threshold,
            smooth,
            bar if progress else no_bar,
        )
        return found[0] if one else found

    def _cube(self, value: AnyCube) -> Cube:
        if isinstance(value, Cube):
            return value
        if not isinstance(value, xr.Dataset):
            raise ValueError(
                f"data: expected an xarray.Dataset or a Cube, found {type(value).__name__}"
            )
        return Cube.from_xarray(value, label=None, fields=None, sensors=self.sensors)

    def write_map(
        self,
        cubes: str | os.PathLike[str],
        as_of: dt.date | str,
        out: str | os.PathLike[str],
        *,
        progress: bool = True,
        **options: Any,
    ) -> pathlib.Path:
        """Maps a folder of cubes into files, as `experiments.predict` does; resumes where it is.

        Args:
          cubes: folder of cubes.
          as_of: date of the prediction.
          out: folder of the map: GeoTIFFs, mosaics, a QGIS style, a picture, hectares.
          progress: show a bar.
          **options: as the flags of `predict`: threshold, smooth, mask, fields, season, overwrite.

        Returns:
          The folder.

        Raises:
          ValueError: one line about what cannot be mapped, or about `out`.
          OSError: something cannot be written.
        """
        from cropmap_jax.api import writing

        given = {"checkpoint": str(self.step)} if self.method == runs.NETWORK else {}
        writing.write_map(
            dict(workdir=str(self.workdir), cubes=os.fspath(cubes), as_of=str(as_of),
                 out=os.fspath(out)) | given | options,
            bar if progress else no_bar,
        )  # fmt: skip
        return pathlib.Path(out)

    def evaluate(
        self,
        data: Dataset | None = None,
        *,
        split: str = "test",
        crops: Sequence[str] | None = None,
        lead_days: int | Sequence[int] | None = None,
        as_of: dt.date | str | None = None,
        until: dt.date | str | None = None,
        smooth: int = 0,
        calibrate: bool = True,
        threshold_split: str | None = None,
        allow_training_ground: bool = False,
        batch_size: int = 8,
    ) -> "Scores":
        """Scores it on annotated ground, as `experiments.evaluate` does; writes nothing.

        Args:
          data: what to score on; by default what it was trained on.
          split: which split is scored.
          crops: names of classes; by default all.
          lead_days: days before each crop's harvest, by default as in training; several are a
            curve.
          as_of: one date for all crops, instead of their calendar.
          until: a curve over the ends of all periods up to this date, instead.
          smooth, calibrate, batch_size: see `predict`.
          threshold_split: which split chooses thresholds; by default validation, else train.
          allow_training_ground: score a test split even if it shares ground with training.

        Raises:
          ValueError: one line: a split that is not there, ground that was trained on, or dates.
        """
        from cropmap_jax.api import scores

        return scores.evaluate(
            self._restored, self._calibration if calibrate else None, data, split, crops, lead_days,
            as_of, until, smooth, threshold_split, allow_training_ground, batch_size,
        )  # fmt: skip


def load(workdir: str | os.PathLike[str], checkpoint: str | int = checkpoints.LAST) -> Model:
    """Opens the workdir of a run: of `pretrain`, `finetune`, `baseline`, `combine` or `fit`.

    Args:
      workdir: its folder.
      checkpoint: "last", "best" (by macro-F1 of validation) or the number of a step.

    Raises:
      ValueError: one line: no run there, one of a later version, or one that is damaged.
    """
    folder = files.local("workdir", workdir)
    with quiet():
        restored = runs.open_run(folder, str(checkpoint))
    return Model(folder, restored)
