"""What a user's stack will become: all that is decided and checked before a pixel is read."""

import dataclasses
import datetime as dt
import pathlib
import re
from collections.abc import Sequence

import numpy as np

import cropmap_jax
from cropmap_jax.geo import calendars, cube, files, grid, landcover, legend, periods, splits
from cropmap_jax.geo.landcover import WORLDCOVER, LandCover
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.sources import landcover_rasters
from cropmap_jax.sources.ingest import annotations, existing, npz_files, satellites
from cropmap_jax.sources.ingest.options import Options
from cropmap_jax.sources.ingest.splits import Part, parse_split, split_map
from cropmap_jax.sources.ingest.stacks import Stack, open_stack

_VALUE_BYTES = 8
"""Of one value of pixels, as it is stored and as float32: the least that is held at once."""
_TARGETS = {"months": (periods.month_periods, 31), "dekads": (periods.dekad_periods, 11)}
_LONGEST_NAME = 150
"""Of files 255 bytes, of which a part of --split and a hidden name take some."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Plan:
    """An input that was checked except for its pixels, and the cubes it will become.

    Args:
      sensors: of the cubes: Sentinel-1, Sentinel-2 and what else the input holds.
      targets: periods of the cubes.
      composited: whether observations are to be composited into `targets`.
      label: uint8 [H, W], fields that cross into another split confined.
      fields: uint32 [H, W] or None.
      landcover: uint8 [H, W], codes of a land-cover map, or None.
      cubes: every part and what its cube will record of itself.
      done: ids of cubes that are there already.
      seen: names in the folder of cubes when that was found out.
      notes: what the user should know.
    """

    stack: Stack
    options: Options
    sensors: tuple[Sensor, ...]
    targets: tuple[periods.Period, ...]
    composited: bool
    label: np.ndarray
    fields: np.ndarray | None
    landcover: np.ndarray | None
    cubes: tuple[tuple[Part, cube.CubeInfo], ...]
    done: frozenset[str]
    seen: frozenset[str]
    notes: tuple[str, ...]


def make_plan(options: Options) -> Plan:
    """Opens the input and checks everything except its pixels.

    Raises:
      ValueError: a user's mistake.
    """
    masked = options.units.scl_classes
    folder = files.local("--cubes", options.cubes)
    name = _choose_name(options)
    stack = open_stack(options.input)
    if masked and not any(satellites.SCL in b.names for b in stack.bands.values()):
        raise ValueError(f"--scl_mask: expected a band SCL of S2 in {stack.where}, found none")
    sensors = tuple(dict.fromkeys((*SENTINEL, *(b.sensor for b in stack.bands.values()))))
    targets, composited = choose_periods(stack, options)
    classes, label = annotations.annotate(
        stack, options.legend, options.none_of_these, options.unknown
    )
    harvest = annotations.parse_harvest(options.harvest, classes, targets)
    parts, notes = parse_split(options.split, name, stack.geobox)
    _check_apart(folder, parts, stack, options)
    _check_size(stack, parts, sensors, targets)
    fields = annotations.choose_fields(stack, label, options.fields)
    confined = label
    if fields is not None and len(parts) > 1:
        confined = splits.confine_fields(label, fields, split_map(parts, label.shape))
        changed = int((confined != label).sum())
        if changed:
            notes.append(f"{changed} pixels of fields that cross into another split are unknown")
        notes += _unlabelled(parts, label, confined)
    _check_annotated(options, parts, label, confined)
    table, cover = _read_landcover(stack, options, (label != IGNORE) & (confined == IGNORE))
    notes += _input_notes(stack, parts, sensors, options)
    notes += annotations.sentinel_notes(stack, classes)
    if ids := classes.describe_ids():
        notes.append(f"in tables and files, {ids}")
    cubes = tuple(
        (part, _info(stack, options, part, targets, classes, harvest, sensors, fields is not None))
        for part in parts
    )
    if table:
        digest = {"landcover_sha256": landcover_rasters.sha256(pathlib.Path(options.landcover))}
        cubes = tuple(
            (part, dataclasses.replace(info, source={**info.source, **digest}, landcover=table))
            for part, info in cubes
        )
    seen = existing.list_names(folder)
    done = existing.find_done([info for _, info in cubes], folder, options.overwrite)
    return Plan(
        stack=stack,
        options=options,
        sensors=sensors,
        targets=targets,
        composited=composited,
        label=confined,
        fields=fields,
        landcover=cover,
        cubes=cubes,
        done=done,
        seen=seen,
        notes=tuple(notes),
    )


def _read_landcover(
    stack: Stack, options: Options, annotated: np.ndarray
) -> tuple[LandCover | None, np.ndarray | None]:
    """The land-cover map on the input's grid, uint8 [H, W], and the table of its codes.

    Args:
      stack, options: the input.
      annotated: bool [H, W], pixels of fields that are unknown only because they lie in two splits:
        the map says nothing about these, since somebody else does.
    """
    if not options.landcover:
        if options.landcover_table != WORLDCOVER.name:
            raise ValueError(
                f"--landcover_table: expected --landcover with it, found "
                f"{options.landcover_table} alone"
            )
        return None, None
    table = landcover.load(options.landcover_table, "--landcover_table")
    codes = landcover_rasters.read(
        files.local("--landcover", options.landcover), stack.geobox, table
    )
    codes[annotated] = landcover.NO_CODE
    return table, codes


def _check_apart(
    folder: pathlib.Path, parts: Sequence[Part], stack: Stack, options: Options
) -> None:
    """Requires that no cube takes the place of what is read."""
    inputs = {"--input": options.input}
    if options.legend != annotations.FROM_INPUT and options.legend not in legend.LEGENDS:
        inputs["--legend"] = options.legend
    if options.landcover:
        inputs["--landcover"] = options.landcover
        if options.landcover_table not in landcover.LANDCOVERS:
            inputs["--landcover_table"] = options.landcover_table
    targets = [folder / part.cube_id for part in parts]
    for target in targets:
        files.check_apart({"--cubes": target}, inputs)
    ours = {target.resolve() for target in targets}
    for file in stack.files:
        if not ours.isdisjoint(file.resolve().parents):
            raise ValueError(
                f"--cubes {folder}: {file} of --input leads into a cube that would be written; "
                f"expected another folder, or another --name"
            )


def _check_size(
    stack: Stack,
    parts: Sequence[Part],
    sensors: Sequence[Sensor],
    targets: Sequence[periods.Period],
) -> None:
    """Refuses parts that this machine's memory cannot hold."""
    for part in parts:
        pixels = (part.rows.stop - part.rows.start) * (part.cols.stop - part.cols.start)
        values = max(len(bands.periods) * len(bands.names) for bands in stack.bands.values())
        made = len(targets) * max(len(sensor.bands) for sensor in sensors)
        npz_files.check_memory(
            _VALUE_BYTES * pixels * max(values, made),
            f"{stack.where}: {part.cube_id} of {pixels} pixels",
            "smaller parts come from --split blocks:SIZE_PX",
        )


def _choose_name(options: Options) -> str:
    """Base of the cube ids: `--name`, or what the input's name leaves of one."""
    name = options.name
    if not name:
        full = pathlib.Path(options.input).absolute()
        name = full.name if full.is_dir() else full.stem
        # Letters of other scripts are kept apart, see `slug`.
        name = name if name.isascii() else legend.slug(name)
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    if not _NAME.fullmatch(name):
        raise ValueError(f"--name: expected letters, digits, '_', '-' and '.', found {name!r}")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"--name: expected at most {_LONGEST_NAME} letters, found {len(name)}")
    return name


def choose_periods(stack: Stack, options: Options) -> tuple[tuple[periods.Period, ...], bool]:
    """Periods of the cubes, and whether observations are to be composited into them.

    Raises:
      ValueError: single days, gaps, or periods that differ between sensors, without compositing;
        periods longer than the requested ones, with it.
    """
    if options.months and options.dekads:
        raise ValueError("--months, --dekads: expected one of them, found both")
    found = {bands.where: bands.periods for bands in stack.bands.values()}
    kind = "months" if options.months else "dekads" if options.dekads else ""
    if kind:
        make, longest = _TARGETS[kind]
        for where, spans in found.items():
            days = max((p.end - p.start).days for p in spans)
            if days > longest:
                raise ValueError(
                    f"--{kind}: expected periods of at most {longest} days, found {days} in {where}"
                )
        # A period belongs to the target that holds its last day (see `composites`).
        last = [p.end - dt.timedelta(days=1) for spans in found.values() for p in spans]
        return make(min(last), max(last)), True
    hint = "; --months or --dekads composites observations of any dates"
    for where, spans in found.items():
        if any((p.end - p.start).days == 1 for p in spans):
            raise ValueError(f"{where}: expected periods, found single days{hint}")
        try:
            periods.check_contiguous(spans, where)
        except ValueError as error:
            raise ValueError(f"{error}{hint}") from error
    (first, shared), *others = found.items()
    for where, spans in others:
        if spans != shared:
            a, b = (f"{len(s)} from {s[0].start} to {s[-1].end}" for s in (shared, spans))
            raise ValueError(f"{where}: expected the periods of {first} ({a}), found {b}{hint}")
    return shared, False


def _check_annotated(
    options: Options, parts: Sequence[Part], label: np.ndarray, confined: np.ndarray
) -> None:
    """Every split named by columns or rows needs annotated pixels, if the input has any."""
    if not (label != IGNORE).any() or not options.split.startswith(("columns", "rows")):
        return
    for part in parts:
        if (confined[part.rows, part.cols] == IGNORE).all():
            before = (label[part.rows, part.cols] != IGNORE).any()
            why = "; its fields lie mostly in another split (--fields none keeps them)"
            raise ValueError(
                f"--split {options.split}: expected annotated pixels in every part, found none in "
                f"{part.cube_id}{why if before else ''}"
            )


def _unlabelled(parts: Sequence[Part], label: np.ndarray, confined: np.ndarray) -> list[str]:
    """Splits that are left without an annotated pixel because fields cross into another one."""
    where = split_map(list(parts), label.shape)
    out = []
    for k, split in enumerate(splits.SPLITS):
        own = where == k
        if (label[own] != IGNORE).any() and (confined[own] == IGNORE).all():
            out.append(
                f"{split} has no labelled pixel: every field there lies mostly in another split; "
                f"for a wall-to-wall map add --fields none"
            )
    return out


def _input_notes(
    stack: Stack, parts: Sequence[Part], sensors: Sequence[Sensor], options: Options
) -> list[str]:
    notes = list(stack.notes)
    pixel = stack.geobox.resolution.x
    if abs(pixel - grid.PIXEL_M) > 1e-6 * grid.PIXEL_M:
        notes.append(
            f"pixels measure {pixel:g} m: cubes of {grid.PIXEL_M:g} m, such as export makes, "
            f"cannot share a dataset or a network with these"
        )
    for sensor in sensors:
        bands = stack.bands.get(sensor.name)
        absent = [b for b in sensor.bands if bands is None or b not in bands.names]
        if absent:
            what = "all bands" if len(absent) == len(sensor.bands) else ", ".join(absent)
            label = satellites.product(sensor).label
            notes.append(f"{label}: {what} absent from the input, missing in the cubes")
        if bands is not None and bands.unused:
            notes.append(f"{bands.where}: not used: {', '.join(bands.unused)}")
    if stack.label is None:
        notes.append("no label: every pixel is unknown")
    if options.split.startswith("blocks"):
        absent = [s for s in splits.SPLITS if s not in {part.split for part in parts}]
        if absent:
            notes.append(
                f"no block was drawn for {', '.join(absent)}: smaller blocks or another seed"
            )
    return notes


def _info(
    stack: Stack,
    options: Options,
    part: Part,
    targets: tuple[periods.Period, ...],
    classes: legend.Legend,
    harvest: calendars.Calendar,
    sensors: tuple[Sensor, ...],
    has_fields: bool,
) -> cube.CubeInfo:
    years = sorted({targets[0].start.year, (targets[-1].end - dt.timedelta(days=1)).year})
    source = {
        "kind": "ingest",
        "input": pathlib.Path(options.input).absolute().name,
        "sha256": stack.sha256,
        "options": options.to_json(),
        "version": cropmap_jax.__version__,
    }
    return cube.CubeInfo(
        cube_id=part.cube_id,
        geobox=stack.geobox[part.rows, part.cols],
        periods=targets,
        legend=classes,
        block=part.block,
        split=part.split,
        season=options.season or "-".join(map(str, years)),
        harvest=harvest,
        source=source,
        sensors=sensors,
        has_fields=has_fields,
    )
