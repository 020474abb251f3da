"""Maps cubes and writes their maps: all that are left of a map, or a worker's share of them."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Generator, Iterator, Mapping, Sequence

import numpy as np

from cropmap_jax.geo import cube, extras, files
from cropmap_jax.inference import engine, smoothing
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import cube_maps, map_rasters, metadata, writing
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
    requests = [
        [engine.Request(view, box) for box in view.mosaic_group.pieces(number)]
        for view, number in what.todo
    ]
    window = how.settings.smooth
    with (
        RasterSource(what.folders) as source,
        engine.Engine(source, predictor, ahead_bytes=engine.AHEAD_BYTES) as bare,
        writing.Writing() as writers,
    ):
        smoothed = smoothing.Smoothing(window) if window else None
        running = smoothing.over(bare, smoothed, predictor.sensors)
        for request in itertools.chain.from_iterable(requests):
            running.expect(request)
        for (view, number), own in zip(what.todo, requests, strict=True):
            info = source.info(view.mosaic_group.cubes[number].cube_id)
            box = view.mosaic_group.tiling.boxes[number]
            empty = _empty(how, info, box, what.allowed[info.cube_id])
            made = yield from _fill(empty, own, running)
            write = functools.partial(_write, how, info, what.inputs[info.cube_id], made)
            writers.add(write, made.nbytes)


def _empty(how: How, info: cube.CubeInfo, box: Box, possible: np.ndarray) -> cube_maps.CubeMap:
    recipe = how.restored.recipe
    window = recipe.sensors, recipe.num_periods
    return cube_maps.CubeMap(info, box, possible, how.rule, *window, how.limits)


def _fill(
    made: cube_maps.CubeMap, requests: list[engine.Request], running: smoothing.Running
) -> Generator[None, None, cube_maps.CubeMap]:
    for request in requests:
        probability = running.probability(request)
        made.add(request.box, probability, running.pixels(request))
        yield
    return made


def _write(how: How, info: cube.CubeInfo, inputs: str, made: cube_maps.CubeMap) -> None:
    _check_held(how)
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
    map_rasters.write_map(how.out, *common, made.more_files())


def _check_held(how: How) -> None:
    """Requires that who asked for a map still holds its folder: else another one writes it now."""
    if how.holder is None:
        return
    found = files.holder(how.out)
    if found != how.holder:
        raise ValueError(
            f"--out {how.out}: expected to work for {how.holder}, found it held by "
            f"{found or 'nobody'}"
        )
