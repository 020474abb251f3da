"""One map from a checkpoint and a folder of cubes: cube by cube, then what spans the cubes."""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Generator, Iterator

import numpy as np

from cropmap_jax import runs
from cropmap_jax.geo import cube, files, periods
from cropmap_jax.inference import engine, mosaic_groups, pixels, predictors
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.mapping import (
    cubes,
    decision,
    finished,
    map_rasters,
    metadata,
    notes,
    products,
    verified,
    writing,
)
from cropmap_jax.training import checkpoints

MOST_CHIPS = 1024
"""Largest batch: a slip of the finger beyond, since each chip takes some 10 MB and more."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to map.

    Args:
      workdir: folder of the run.
      cubes: folder of cubes.
      as_of: exclusive ISO date of the prediction.
      out: folder of the map.
      threshold: probability at which a sigmoid head's class is shown.
      batch_size: chips per step; rounded up to a multiple of the local devices.
      season: which cubes to map; None where all are of one season.
      overwrite: recompute maps that were made with other settings.
      checkpoint: "last", "best" by validation, or the number of a step.

    Raises:
      ValueError: names the flag whose value cannot be.
    """

    workdir: str
    cubes: str
    as_of: str
    out: str
    threshold: float = 0.5
    batch_size: int = 8
    season: str | None = None
    overwrite: bool = False
    checkpoint: str = checkpoints.LAST

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:  # NaN is refused as well
            raise ValueError(
                f"--threshold: expected a probability from 0 to 1, found {self.threshold}"
            )
        if not 1 <= self.batch_size <= MOST_CHIPS:
            raise ValueError(
                f"--batch_size: expected 1 to {MOST_CHIPS} chips, found {self.batch_size}"
            )
        inputs = {"--cubes": self.cubes, "--workdir": self.workdir}
        for flag, path in {"--out": self.out, **inputs}.items():
            if not os.fspath(path):
                raise ValueError(f"{flag}: expected a folder, found an empty name")
            files.local(flag, path)
        files.check_apart({"--out": self.out}, inputs)


class MapMaker:
    """Makes a map, or resumes one; a context manager that keeps `out` for itself.

    Args:
      options: what to map.
      predictor: stands in for the run's own, for tests.

    Raises:
      ValueError: a mistake in the options, cubes that are damaged or cannot be mapped with this
        checkpoint, or (as it is entered) an `out` that is in use, holds files of others under the
        names of the map's, or cannot be written.
    """

    def __init__(self, options: Options, predictor: predictors.Predictor | None = None):
        self._options = options
        self._as_of = periods.parse_date(options.as_of, "--as_of")
        self._restored = runs.open_run(options.workdir, options.checkpoint)
        recipe = self._restored.recipe
        metadata.check_names(recipe.legend)
        infos = cubes.find_cubes(options.cubes, recipe, self._as_of, options.season)
        self._folders = {info.cube_id: info.folder for info in infos}
        halo = predictor.halo if predictor else recipe.halo
        self.groups = cubes.join(infos, recipe.num_periods, self._as_of, halo)
        self.notes = notes.before(infos, recipe, self._as_of)
        default = Options.threshold
        if recipe.exclusive and options.threshold != default:
            self.notes.append("--threshold has no effect: classes exclude each other")
        self._settings = metadata.Settings(
            checkpoint=metadata.fingerprint(self._restored),
            step=self._restored.step,
            as_of=self._as_of.isoformat(),
            threshold=None if recipe.exclusive else options.threshold,
            halo_px=halo,
        )
        self._out = pathlib.Path(options.out)
        self._files = products.file_names(self.groups)
        by_id = {info.cube_id: info for info in infos}
        self._verified = verified.verify(self._out, self.groups, by_id)
        self._inputs = {
            made.cube_id: found.inputs(number)
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
        recipe = self._restored.recipe
        bands = sum(len(sensor.bands) for sensor in recipe.sensors)
        across = engine.parts_across(
            len(recipe.legend), recipe.num_periods, bands, self._settings.halo_px
        )
        # One view a group: what cubes share is predicted once.
        self._todo = [
            (view, number)
            for view in map(engine.View, self.groups)
            for number in view.mosaic_group.ordered(across)
            if view.mosaic_group.cubes[number].cube_id not in self.finished
        ]
        # Styles follow from the checkpoint, which only --overwrite can have changed.
        products.clear(self._written, styles=self._options.overwrite and bool(self._todo))
        verified.save(self._out, self._verified)

    @property
    def cubes(self) -> int:
        """How many cubes the map has."""
        return len(self._inputs)

    @property
    def parts(self) -> int:
        """How many parts are still to be predicted."""
        return sum(1 for view, number in self._todo for _ in view.mosaic_group.pieces(number))

    def run(self) -> Iterator[None]:
        """Predicts and writes what is missing; yields after each part.

        Reading, predicting and writing overlap. A cube's map is written after its last part, and
        when this ends all are.

        Raises:
          ValueError: names a file of a cube that cannot be read.
          OSError: names what cannot be written.
        """
        if not self._todo:
            return
        batch_size = self._options.batch_size
        self._predictor = self._predictor or runs.predictor_of(
            self._restored, batch_size, full_batches=True
        )
        requests = [
            [engine.Request(view, box) for box in view.mosaic_group.pieces(number)]
            for view, number in self._todo
        ]
        with (
            RasterSource(self._folders) as source,
            engine.Engine(source, self._predictor, ahead_bytes=engine.AHEAD_BYTES) as running,
            writing.Writing() as writers,
        ):
            for request in itertools.chain.from_iterable(requests):
                running.expect(request)
            for (view, number), own in zip(self._todo, requests, strict=True):
                found = view.mosaic_group
                info = source.info(found.cubes[number].cube_id)
                crop, confidence, seen = yield from self._map_cube(
                    found, number, info, own, running
                )
                write = functools.partial(self._write, info, crop, confidence, seen)
                writers.add(write, crop.nbytes + confidence.nbytes)

    def _map_cube(
        self,
        found: mosaic_groups.MosaicGroup,
        number: int,
        info: cube.CubeInfo,
        requests: list[engine.Request],
        running: engine.Engine,
    ) -> Generator[None, None, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The map of a cube: class and confidence uint8 [H, W], and how many values were seen."""
        recipe, whole = self._restored.recipe, found.tiling.boxes[number]
        possible = self._possible(info)
        bands = sum(len(sensor.bands) for sensor in recipe.sensors)
        seen = np.zeros((recipe.num_periods, bands), np.int64)
        crop, confidence = (np.full(info.shape, 255, np.uint8) for _ in range(2))
        for request in requests:
            here = request.box.inside(whole)
            crop[here], confidence[here] = decision.decide(
                running.probability(request),
                possible,
                recipe.exclusive,
                self._options.threshold,
                recipe.none_of_these,
            )
            seen += pixels.count_values(running.pixels(request), recipe.sensors)
            yield
        return crop, confidence, seen

    def _write(
        self, info: cube.CubeInfo, crop: np.ndarray, confidence: np.ndarray, seen: np.ndarray
    ) -> None:
        recipe = self._restored.recipe
        described = metadata.make_metadata(
            info,
            recipe,
            self._settings,
            os.fspath(self._options.workdir),
            self._inputs[info.cube_id],
            crop,
            seen,
        )
        map_rasters.write_map(self._out, info, recipe.legend, crop, confidence, described)

    def _possible(self, info: cube.CubeInfo) -> np.ndarray:
        recipe = self._restored.recipe
        excluded = cubes.unplanted(info, recipe, self._as_of)
        return np.array([name not in excluded for name in recipe.legend.names])

    def finish(self) -> products.Result:
        """Writes what spans the cubes: virtual rasters, styles, pictures and the summary.

        Raises:
          ValueError: names a map's metadata or raster that cannot be read.
          OSError: names what cannot be written.
        """
        return products.write_products(
            self._out,
            self.groups,
            self._restored.recipe.legend,
            self._settings.as_of,
            self.notes,
            notes.trained_bands(self._restored),
        )
