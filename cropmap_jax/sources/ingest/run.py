"""A user's own stack becomes cubes: all of `python -m experiments.ingest` except its flags."""

import contextlib
import dataclasses
import os
import pathlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo import composites, cube, cube_io, files, legend, periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.ingest import existing, plausible, satellites
from cropmap_jax.sources.ingest.options import Options
from cropmap_jax.sources.ingest.plan import Plan, make_plan
from cropmap_jax.sources.ingest.reading import read_window
from cropmap_jax.sources.ingest.splits import Part

Progress = Callable[..., Iterable[Any]]
"""Wraps what is gone through in a progress bar: (items, desc=, unit=) -> items."""


def _unchanged(items: Iterable[Any], **_: str) -> Iterable[Any]:
    return items


def ingest(options: Options, progress: Progress = _unchanged) -> str:
    """Turns a stack into cubes; every part is checked before the first is written.

    Args:
      options: see `experiments.ingest`.
      progress: wraps the cubes in a progress bar.

    Returns:
      A table of the cubes, with notes, as text.

    Raises:
      ValueError: a user's mistake; nothing was written.
      OSError: no space or no permission; cubes written before are whole.
    """
    try:
        return _ingest(options, progress)
    except MemoryError as error:
        raise ValueError(
            f"--input {options.input}: this machine's memory does not hold it ({error}); smaller "
            f"parts come from --split blocks:SIZE_PX"
        ) from error


def _ingest(options: Options, progress: Progress) -> str:
    plan = make_plan(options)
    notes: list[str] = list(plan.notes)
    todo: list[tuple[Part, cube.CubeInfo]] = []
    found = {name: plausible.Findings() for name in plan.stack.bands}
    any_of = satellites.labels(plan.sensors)
    for part, info in progress(plan.cubes, desc="checking", unit="cube"):
        if info.cube_id in plan.done:
            todo.append((part, info))
            continue
        filled = check_pixels(plan, part, found)
        if filled:
            todo.append((part, info))
        elif options.split.startswith("blocks"):
            notes.append(f"{info.cube_id}: no valid value of {any_of}, left out")
        else:
            raise ValueError(
                f"{plan.stack.where}: expected values in every part of --split {options.split}, "
                f"found none of {any_of} for {info.cube_id}{_only_fill(plan, found)}"
            )
    if not todo:
        raise ValueError(
            f"{plan.stack.where}: expected values, found none of {any_of}{_only_fill(plan, found)}"
        )
    for name, bands in plan.stack.bands.items():
        notes += plausible.notes(found[name], bands)
    rows, folder = [], pathlib.Path(options.cubes)
    infos = [info for _, info in plan.cubes]
    all_there = all(info.cube_id in plan.done for _, info in todo)
    with contextlib.nullcontext() if all_there else files.Lock(folder, "--cubes"):
        done = plan.done
        if existing.list_names(folder) != plan.seen:
            # Another command wrote here while the pixels were checked.
            done = existing.find_done(infos, folder, options.overwrite)
        for part, info in progress(todo, desc="writing", unit="cube"):
            if info.cube_id in done:
                value = cube_io.read_cube(folder / info.cube_id)
            else:
                value = make_cube(plan, part, info)
                cube_io.write_cube(value, folder, options.overwrite)
            rows.append(_row(value, "already there" if info.cube_id in done else "written"))
    return "\n".join([*format_table(rows, plan.sensors), *(f"note: {note}" for note in notes)])


def _only_fill(plan: Plan, found: Mapping[str, plausible.Findings]) -> str:
    texts = [
        f"{satellites.product(sensor).label} {plausible.describe(found[sensor.name].fills)}"
        for sensor in plan.sensors
        if sensor.name in found and found[sensor.name].fills
    ]
    return f" (fill values: {'; '.join(texts)})" if texts else ""


# Pixels -------------------------------------------------------------------------------------------


def check_pixels(plan: Plan, part: Part, found: Mapping[str, plausible.Findings]) -> bool:
    """Reads a part and checks its values.

    Args:
      plan: the plan.
      part: its rows and columns are read.
      found: by sensor; what is found is added.

    Returns:
      Whether it has any value.

    Raises:
      ValueError: values that cannot be in the units of the flags.
    """
    filled = False
    for name, bands in plan.stack.bands.items():
        values, findings = read_window(bands, plan.options.units, part.rows, part.cols)
        filled |= bool(np.isfinite(values).any())
        found[name].add(findings)
    return filled


def make_cube(plan: Plan, part: Part, info: cube.CubeInfo) -> cube.Cube:
    """Reads, converts and composites the pixels of one part."""
    pixels: dict[str, np.ndarray] = {}
    clear: dict[str, list[float]] = {}
    fills: dict[str, dict[str, int]] = {}
    for sensor in plan.sensors:
        bands, name = plan.stack.bands.get(sensor.name), sensor.name
        if bands is None:
            shape = (len(plan.targets), *info.shape, len(sensor.bands))
            pixels[name] = np.full(shape, np.nan, np.float32)
            continue
        pixels[name], found = read_window(bands, plan.options.units, part.rows, part.cols)
        if found.fills:
            fills[name] = {"of": found.total} | dict(sorted(found.fills.items()))
        if plan.composited:
            pixels[name], counts = composites.composite(
                pixels[name], bands.periods, plan.targets, sensor
            )
            clear[name] = [round(float(c), 2) for c in counts.mean(axis=(1, 2))]
    if plan.composited:
        info = dataclasses.replace(info, source={**info.source, existing.CLEAR: clear})
    if fills:
        info = dataclasses.replace(info, source={**info.source, existing.FILL: fills})
    fields = plan.fields
    if fields is not None:
        fields = np.ascontiguousarray(fields[part.rows, part.cols])
    label = np.ascontiguousarray(plan.label[part.rows, part.cols])
    cover = plan.landcover
    if cover is not None:
        cover = np.ascontiguousarray(cover[part.rows, part.cols])
    return cube.Cube(info, pixels, label, fields, landcover=cover)


# The table ----------------------------------------------------------------------------------------


def _row(value: cube.Cube, status: str) -> tuple[str, ...]:
    info = value.info
    missing = (
        f"{np.isnan(value.pixels[sensor.name]).mean():.0%}{_fill_share(info, sensor.name)}"
        for sensor in info.sensors
    )
    size = f"{info.shape[1]} x {info.shape[0]}"
    spans = f"{len(info.periods)} ({periods.period_kind(info.periods)})"
    counted = count_pixels(value.label, info.legend)
    pixels = ", ".join(f"{name} {count}" for name, count in counted.items() if count)
    return (info.cube_id, info.split, size, spans, *missing, status, pixels)


def _fill_share(info: cube.CubeInfo, sensor: str) -> str:
    """Share of the input's values that was fill and not declared, "" where none was."""
    fills = dict(info.source.get(existing.FILL, {}).get(sensor, {}))
    total = fills.pop("of", 0)
    return f" (input: {sum(fills.values()) / total:.1%} fill)" if total else ""


def count_pixels(label: np.ndarray, classes: legend.Legend) -> Mapping[str, int]:
    """Pixels of each class, of none of these and unknown."""
    counts = np.bincount(label.ravel(), minlength=256)
    named = {name: int(counts[i]) for i, name in enumerate(classes.names)}
    return named | {"none_of_these": int(counts[NONE_OF_THESE]), "unknown": int(counts[IGNORE])}


def format_table(rows: Sequence[Sequence[str]], sensors: Sequence[Sensor]) -> list[str]:
    """Lines of a table with a header, left-aligned."""
    missing = (f"{satellites.product(sensor).label} missing" for sensor in sensors)
    header = ("cube", "split", "width x height", "periods", *missing, "", "pixels")
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table]


def next_command(cubes: str | os.PathLike[str]) -> str:
    """The command that turns the cubes into a dataset."""
    return (
        f"python -m experiments.build --cubes {shlex.quote(str(cubes))} --data_dir data --name mine"
    )
