"""Maps cubes and writes their maps: all that are left of a map, or a worker's share of them."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cropmap_jax.geo import cube, extras, files
from cropmap_jax.inference import engine, smoothing
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.mapping import cube_maps, map_rasters, metadata, plan, writing
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.mapping.mask import Mask
from cropmap_jax.mapping.options import Options
from cropmap_jax.runs import calibration
from cropmap_jax.training.checkpoints import Restored


@dataclasses.dataclass(frozen=True)
class How:
    """What all cubes of a map have in common.

    Args:
      restored: the run.
      calibrated: how its probabilities are rescaled; None for not at all.
      settings: of the map.
      rule: which class is shown.
      limits: what is counted and left out.
      workdir: of the run, as metadata name it.
      out: folder of the map.
      holder: what `files.holder` has to say of that folder; None where this process holds it.
    """

    restored: Restored
    calibrated: calibration.Stored | None
    settings: metadata.Settings
    rule: Rule
    limits: cube_maps.Limits
    workdir: str
    out: pathlib.Path
    holder: str | None = None


@dataclasses.dataclass(frozen=True)
class What:
    """Which cubes are mapped.

    Args:
      todo: each in its mosaic group, by number, in order.
      folders: of these cubes and of all that lie near them, by id.
      allowed: which classes can be there, bool [classes], by id.
      inputs: `MosaicGroup.inputs`, by id.
    """

    todo: Sequence[tuple[engine.View, int]]
    folders: Mapping[str, pathlib.Path]
    allowed: Mapping[str, np.ndarray]
    inputs: Mapping[str, str]


def open_limits(options: Options) -> cube_maps.Limits:
    """Mask and parcels of the options.

    Raises:
      ValueError: names the flag whose file cannot be read.
    """
    mask = Mask(options.mask) if options.mask else None
    if not options.fields:
        return cube_maps.Limits(mask)
    extras.require("fields", "--fields")
    from cropmap_jax.mapping import parcels

    return cube_maps.Limits(mask, parcels.read(options.fields, options.fields_layer))


def map_cubes(how: How, what: What, predictor: Predictor) -> Iterator[None]:
    """Predicts and writes cubes; yields after each part.

    Reading, predicting and writing overlap. A cube's map is written after its last part, and when
    this ends all are. It is the same whichever other cubes are mapped with it.

    Args:
      how: what all cubes have in common.
      what: which cubes.
      predictor: of the run, calibrated if it is to be.

    Raises:
      ValueError: names a file of a cube that cannot be read.
      OSError: names what cannot be written.
    """
    window, recipe = how.settings.smooth, how.restored.recipe
    smoothed = smoothing.Smoothing(window) if window else None
    with RasterSource(what.folders) as source, writing.Writing() as writers:

        def begin(group: MosaicGroup, number: int) -> cube_maps.CubeMap:
            info = source.info(group.cubes[number].cube_id)
            box, possible = group.tiling.boxes[number], what.allowed[info.cube_id]
            common = possible, how.rule, recipe.sensors, recipe.num_periods, how.limits
            return cube_maps.CubeMap(info, box, *common)

        def end(made: cube_maps.CubeMap) -> None:
            inputs = what.inputs[made.info.cube_id]
            writers.add(functools.partial(_write, how, made.info, inputs, made), made.nbytes)

        yield from plan.run(source, predictor, smoothed, what.todo, begin, end)


def _write(how: How, info: cube.CubeInfo, inputs: str, made: cube_maps.CubeMap) -> None:
    check = functools.partial(files.check_held, how.out, how.holder, "--out")
    check()  # and once more when all is written: a worker may be suspended for hours in between
    recipe = how.restored.recipe
    described = metadata.make_metadata(
        info,
        recipe,
        how.settings,
        how.workdir,
        inputs,
        made.crop,
        made.seen,
        made.masked if how.limits.mask else None,
        how.calibrated.describe() if how.calibrated else None,
    )
    common = info, recipe.legend, made.crop, made.confidence, described
    map_rasters.write_map(how.out, *common, made.more_files(), check)
