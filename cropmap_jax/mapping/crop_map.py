"""One map from a checkpoint and a folder of cubes: cube by cube, then the region as a whole."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import jax
import numpy as np

from cropmap_jax.evaluation.inference import Predictor
from cropmap_jax.geo import cube, cube_io, files, periods
from cropmap_jax.mapping import decision, ground, rasters, records, region
from cropmap_jax.mapping.blending import Blender, Predict
from cropmap_jax.mapping.ground import Ground
from cropmap_jax.mapping.pixels import PixelReader
from cropmap_jax.mapping.sheets import HALO_PX, PART_PX
from cropmap_jax.training import checkpoints

PIXEL_BYTES = CHIP_BYTES = 256 * 2**20
"""What is kept of pixels, and of probabilities, for chips and cubes next door."""


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
      overwrite: make maps anew that were made with other settings.
      checkpoint: "last", "best" by validation, or the number of a step.
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


class MapMaker:
    """Makes a map, or goes on with one.

    Args:
      options: what to map.
      predict: stands in for the checkpoint's network, for tests.

    Raises:
      ValueError: a mistake in the options, cubes that cannot be mapped with this checkpoint, or an
        `out` that holds something else or cannot be written.
    """

    def __init__(self, options: Options, predict: Predict | None = None):
        self._options = options
        self._as_of = periods.parse_date(options.as_of, "--as_of")
        self._restored = checkpoints.load(options.workdir, options.checkpoint)
        recipe = self._restored.recipe
        self.grounds = ground.survey(options.cubes, recipe, self._as_of, options.season)
        self._settings = records.Settings(
            checkpoint=records.fingerprint(self._restored),
            step=self._restored.step,
            as_of=self._as_of.isoformat(),
            threshold=options.threshold if recipe.loss == "sigmoid" else None,
        )
        self._out = pathlib.Path(options.out)
        self._prepare_out()
        self._inputs = {
            made.cube_id: found.inputs(number)
            for found in self.grounds
            for number, made in enumerate(found.cubes)
        }
        self.finished, self.stale = records.find_finished(
            self._out, self._inputs, self._settings, options.overwrite
        )
        across = parts_across(len(recipe.legend), recipe.num_periods)
        self._todo = [
            (number, cube_number)
            for number, found in enumerate(self.grounds)
            for cube_number in found.ordered(across)
            if found.cubes[cube_number].cube_id not in self.finished
        ]
        self._predict = predict

    def _prepare_out(self) -> None:
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            files.tidy(self._out)
            files.write_bytes(self._out / ".writable", b"")
            (self._out / ".writable").unlink()
        except OSError as error:
            raise ValueError(
                f"--out: expected a folder that can be written to, found {self._out} "
                f"({error.strerror or error})"
            ) from error

    @property
    def cubes(self) -> int:
        """How many cubes the map has."""
        return len(self._inputs)

    @property
    def parts(self) -> int:
        """How many parts are still to be predicted."""
        return sum(1 for n, c in self._todo for _ in self.grounds[n].pieces(c))

    def run(self) -> Iterator[None]:
        """Predicts and writes what is missing; yields after each part.

        Raises:
          ValueError: names a file of a cube that cannot be read.
          OSError: names what cannot be written.
        """
        if not self._todo:
            return
        region.clear(self._out)
        blender = self._blender()
        for number, cube_number in self._todo:
            found = self.grounds[number]
            yield from self._map_cube(found, number, cube_number, blender)

    def _blender(self) -> Blender:
        recipe, restored = self._restored.recipe, self._restored
        devices = jax.local_device_count()
        batch_size = -(-self._options.batch_size // devices) * devices
        as_of = periods.to_day(self._as_of)
        reader = PixelReader(self.grounds, as_of, recipe.num_periods, PIXEL_BYTES)
        pieces = ((n, box) for n, c in self._todo for box in self.grounds[n].pieces(c))
        predict = self._predict or Predictor(restored, batch_size, full_batches=True)
        return Blender(self.grounds, pieces, reader, predict, batch_size, CHIP_BYTES)

    def _map_cube(
        self, found: Ground, number: int, cube_number: int, blender: Blender
    ) -> Iterator[None]:
        recipe, own = self._restored.recipe, found.cubes[cube_number]
        info = cube_io.read_info(own.path)
        possible = self._possible(info)
        crop, confidence = (np.full(info.shape, 255, np.uint8) for _ in range(2))
        for box in found.pieces(cube_number):
            here = box.inside(found.sheet.boxes[cube_number])
            crop[here], confidence[here] = decision.decide(
                blender.probability(number, box), possible, recipe.loss, self._options.threshold
            )
            yield
        record = records.make_record(
            info,
            recipe,
            self._settings,
            os.fspath(self._options.workdir),
            self._inputs[own.cube_id],
            crop,
        )
        rasters.write_map(self._out, info, recipe.legend, crop, confidence, record)

    def _possible(self, info: cube.CubeInfo) -> np.ndarray:
        recipe = self._restored.recipe
        excluded = ground.unplanted(info, recipe, self._as_of)
        return np.array([name not in excluded for name in recipe.legend.names])

    def finish(self) -> region.Result:
        """Writes what spans the cubes: virtual rasters, styles, pictures and the summary.

        Raises:
          ValueError: names a record that cannot be read.
          OSError: names what cannot be written.
        """
        classes = self._restored.recipe.legend
        return region.write_region(self._out, self.grounds, classes, self._settings.as_of)


def parts_across(classes: int, num_periods: int) -> int:
    """How many parts a strip may be wide so that what its rows share stays in memory.

    Four rows are under way, with a column on either side and a batch that is predicted ahead.
    """
    chip = (PART_PX + 2 * HALO_PX) ** 2 * classes * 4
    pixels = PART_PX**2 * num_periods * sum(map(len, cube.BANDS.values())) * 2
    return max(1, min(CHIP_BYTES // chip, PIXEL_BYTES // pixels) // 4 - 4)
