"""One map from a checkpoint and a folder of cubes: cube by cube, then what spans the cubes."""

import contextlib
import dataclasses
import datetime as dt
import os
import pathlib
from collections.abc import Iterator

from cropmap_jax import runs
from cropmap_jax.geo import cube_io, files, periods
from cropmap_jax.inference import predictors, smoothing
from cropmap_jax.mapping import (
    cube_maps,
    cubes,
    finished,
    making,
    metadata,
    notes,
    plan,
    products,
    spread,
    verified,
)
from cropmap_jax.mapping.options import Options
from cropmap_jax.runs import calibration
from cropmap_jax.scheduling import Scheduler


class MapMaker:
    """Makes a map, or resumes one; a context manager that keeps `out` for itself.

    Args:
      options: what to map.
      predictor: stands in for the run's own, for tests and series.
      beside: folder of another map of the same cubes: what was verified for it is whole.

    Raises:
      ValueError: a mistake in the options, cubes that are damaged or cannot be mapped with this
        checkpoint, or (as it is entered) an `out` that is in use, holds files of others under the
        names of the map's, or cannot be written.
    """

    def __init__(
        self,
        options: Options,
        predictor: predictors.Predictor | None = None,
        beside: pathlib.Path | None = None,
    ):
        self._options = options
        self._as_of = periods.parse_date(options.as_of, "--as_of")
        self._restored = runs.open_run(options.workdir, options.checkpoint)
        recipe = self._restored.recipe
        metadata.check_names(recipe.legend)
        infos = cubes.find_cubes(options.cubes, recipe, self._as_of, options.season)
        self._folders = {info.cube_id: info.folder for info in infos}
        self._plan = plan.make(
            self._restored,
            infos,
            self._as_of,
            options.threshold,
            options.smooth,
            calibration.find(options.workdir, self._restored) if options.calibrate else None,
            predictor.halo if predictor else None,
        )
        self.groups = self._plan.groups
        self.notes = cube_io.note_without_item(options.cubes) + self._plan.notes
        smoothed, calibrated = self._plan.smoothing, self._plan.calibrated
        limits, name = making.open_limits(options), ""
        if limits.parcels is not None:
            from cropmap_jax.mapping import parcels

            name = parcels.output_name(limits.parcels.suffix)
        if limits.mask is not None:
            self.notes += limits.mask.check([info.geobox for info in infos])
        self._settings = metadata.Settings(
            checkpoint=metadata.fingerprint(self._restored),
            step=self._restored.step,
            as_of=self._as_of.isoformat(),
            threshold=None if recipe.exclusive else options.threshold,
            halo_px=self._plan.halo,
            smooth=smoothed.window if smoothed else None,
            mask=limits.mask.digest if limits.mask else None,
            fields=limits.parcels.digest if limits.parcels else None,
            calibration=calibrated.digest if calibrated else None,
        )
        self._limits, self._fields = limits, name
        self._out = pathlib.Path(options.out)
        self._files = products.file_names(self.groups, [name] if name else [])
        self._verified = verified.verify(self._out, self.groups, self._plan.infos, beside)
        self._inputs = {
            made.cube_id: found.inputs(number, smoothing.radius(smoothed))
            for found in self.groups
            for number, made in enumerate(found.cubes)
        }
        self._predictor = predictor

    def __enter__(self) -> "MapMaker":
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(files.Lock(self._out, "--out"))
            except OSError as error:
                raise ValueError(
                    f"--out: expected a folder that can be written to, found {self._out} "
                    f"({error.strerror or error})"
                ) from error
            self._prepare_out()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _prepare_out(self) -> None:
        self.finished, self.stale = finished.find(
            self._out, self._inputs, self._settings, self._options.overwrite
        )
        self._written = files.Written(self._out, "predict")
        self._written.claim(*self._files, verified.NAME)
        files.tidy(self._out, {*self._inputs, *self._written.names()})
        self._todo = [
            (view, number)
            for view, number in self._plan.todo()
            if view.mosaic_group.cubes[number].cube_id not in self.finished
        ]
        # Styles follow from the checkpoint, which only --overwrite can have changed.
        products.clear(self._written, styles=self._options.overwrite and bool(self._todo))
        verified.save(self._out, self._verified)

    @property
    def as_of(self) -> dt.date:
        """Exclusive date of the prediction."""
        return self._as_of

    @property
    def limits(self) -> cube_maps.Limits:
        """What is counted and left out."""
        return self._limits

    @property
    def predictor(self) -> predictors.Predictor | None:
        """What `run` predicted with; None where nothing was to be predicted here."""
        return self._predictor

    @property
    def cubes(self) -> int:
        """How many cubes the map has."""
        return len(self._inputs)

    @property
    def parts(self) -> int:
        """How many parts are still to be predicted."""
        return sum(1 for view, number in self._todo for _ in view.mosaic_group.pieces(number))

    def run(self, scheduler: Scheduler | None = None) -> Iterator[None]:
        """Predicts and writes what is missing; yields after each part.

        Reading, predicting and writing overlap. A cube's map is written after its last part, and
        when this ends all are.

        Args:
          scheduler: whose workers map it; None for this process. Parts come many at a time then.

        Raises:
          ValueError: names a file of a cube that cannot be read, or a worker that cannot do it.
          OSError: names what cannot be written.
        """
        if not self._todo:
            return
        if scheduler is not None and not scheduler.is_here:
            yield from spread.run(scheduler, self._options, self._how(), self._what())
            return
        batch_size = self._options.batch_size
        self._predictor = self._predictor or runs.predictor_of(
            self._restored, batch_size, full_batches=True
        )
        predictor = self._plan.predictor(self._predictor)
        yield from making.map_cubes(self._how(), self._what(), predictor)

    def _how(self) -> making.How:
        return making.How(
            self._restored,
            self._plan.calibrated,
            self._settings,
            self._plan.rule,
            self._limits,
            os.fspath(self._options.workdir),
            self._out,
        )

    def _what(self) -> making.What:
        return making.What(self._todo, self._folders, self._plan.allowed, self._inputs)

    def finish(self) -> products.Result:
        """Writes what spans the cubes: virtual rasters, styles, pictures and the summary.

        Raises:
          ValueError: names a map's metadata or raster that cannot be read.
          OSError: names what cannot be written.
        """
        known, path = self.notes, None
        if self._limits.parcels is not None:
            from cropmap_jax.mapping import field_table

            path = self._out / self._fields
            folders = ((self._out / name, allowed) for name, allowed in self._plan.allowed.items())
            common = (self._limits.parcels, folders, self._restored.recipe.legend, self._plan.rule)
            known = known + field_table.make(path, *common)
        result = products.write_products(
            self._out,
            self.groups,
            self._restored.recipe.legend,
            self._settings.as_of,
            known,
            notes.trained_bands(self._restored),
            self._plan.calibrated is not None,
        )
        more = known[len(self.notes) :]
        return dataclasses.replace(result, notes=more + result.notes, fields=path)
