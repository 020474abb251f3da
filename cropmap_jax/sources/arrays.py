"""A user's own stack becomes cubes: all of `python -m experiments.ingest` but its flags."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cropmap_jax.geo import composites, cube, cube_io, legend, periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.sources import layers, parts, plans


def _unchanged(items: Iterable, **_) -> Iterable:
    return items


def ingest(options: plans.Options, progress: Callable = _unchanged) -> str:
    """Turns a stack into cubes; every part is checked before the first is written.

    Args:
      options: see `experiments.ingest`.
      progress: wraps the cubes in a progress bar, (items, desc=, unit=) -> items.

    Returns:
      A table of the cubes, with notes, as text.

    Raises:
      ValueError: a user's mistake; nothing was written.
      OSError: no space or no permission; cubes written before are whole.
    """
    plan = plans.make_plan(options)
    notes, todo = list(plan.notes), []
    for part, info in progress(plan.cubes, desc="checking", unit="cube"):
        if info.cube_id in plan.done:
            todo.append((part, info))
            continue
        filled, warnings = check_pixels(plan, part)
        notes += [w for w in warnings if w not in notes]
        if filled:
            todo.append((part, info))
        elif options.split.startswith("blocks"):
            notes.append(f"{info.cube_id}: no valid value of S1 or S2, left out")
        else:
            raise ValueError(
                f"{plan.stack.where}: expected values in every part of --split {options.split}, "
                f"found none of S1 or S2 for {info.cube_id}"
            )
    if not todo:
        raise ValueError(f"{plan.stack.where}: expected values, found none of S1 or S2")
    rows = []
    for part, info in progress(todo, desc="writing", unit="cube"):
        if info.cube_id in plan.done:
            value = cube_io.read_cube(pathlib.Path(options.cubes) / info.cube_id)
        else:
            value = make_cube(plan, part, info)
            cube_io.write_cube(value, options.cubes, options.overwrite)
        rows.append(_row(value, "already there" if info.cube_id in plan.done else "written"))
    return "\n".join([*format_table(rows), *(f"note: {note}" for note in notes)])


# Pixels -------------------------------------------------------------------------------------------


def check_pixels(plan: plans.Plan, part: parts.Part) -> tuple[bool, list[str]]:
    """Reads a part and checks its values.

    Returns:
      Whether it has any value, and warnings.

    Raises:
      ValueError: values that cannot be in the units that the flags say.
    """
    filled, notes = False, []
    for layer in plan.stack.layers.values():
        values = layers.physical(layer, plan.options.units, part.rows, part.cols)
        filled |= bool(np.isfinite(values).any())
        notes.append(layers.implausible(values, layer, plan.options.units))
    return filled, [note for note in notes if note]


def make_cube(plan: plans.Plan, part: parts.Part, info: cube.CubeInfo) -> cube.Cube:
    """Reads, converts and composites the pixels of one part."""
    pixels, clear = {}, {}
    for sensor, bands in cube.BANDS.items():
        layer = plan.stack.layers.get(sensor)
        if layer is None:
            shape = (len(plan.targets), *info.shape, len(bands))
            pixels[sensor] = np.full(shape, np.nan, np.float32)
            continue
        pixels[sensor] = layers.physical(layer, plan.options.units, part.rows, part.cols)
        if plan.composited:
            pixels[sensor], counts = composites.composite(
                pixels[sensor], layer.periods, plan.targets, sensor
            )
            clear[sensor] = [round(float(c), 2) for c in counts.mean(axis=(1, 2))]
    if plan.composited:
        info = dataclasses.replace(info, source={**info.source, plans.CLEAR: clear})
    fields = plan.fields
    if fields is not None:
        fields = np.ascontiguousarray(fields[part.rows, part.cols])
    label = np.ascontiguousarray(plan.label[part.rows, part.cols])
    return cube.Cube(info, pixels["s1"], pixels["s2"], label, fields)


# The table ----------------------------------------------------------------------------------------


def _row(value: cube.Cube, status: str) -> tuple[str, ...]:
    info = value.info
    missing = (f"{np.isnan(pixels).mean():.0%}" for pixels in (value.s1, value.s2))
    size = f"{info.shape[1]} x {info.shape[0]}"
    spans = f"{len(info.periods)} ({periods.period_kind(info.periods)})"
    counted = count_pixels(value.label, info.legend)
    pixels = ", ".join(f"{name} {count}" for name, count in counted.items() if count)
    return (info.cube_id, info.split, size, spans, *missing, status, pixels)


def count_pixels(label: np.ndarray, classes: legend.Legend) -> Mapping[str, int]:
    """Pixels of each class, of none of these and unknown."""
    counts = np.bincount(label.ravel(), minlength=256)
    named = {name: int(counts[i]) for i, name in enumerate(classes.names)}
    return named | {"none_of_these": int(counts[NONE_OF_THESE]), "unknown": int(counts[IGNORE])}


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table with a header, left-aligned."""
    header = (
        "cube",
        "split",
        "width x height",
        "periods",
        "S1 missing",
        "S2 missing",
        "",
        "pixels",
    )
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in table]


def next_command(cubes: str | os.PathLike) -> str:
    """The command that turns the cubes into a dataset."""
    return f"python -m experiments.build --dataset cubes --cubes {cubes} --data_dir DIR"
