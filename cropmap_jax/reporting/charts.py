"""Charts as geometry: what a template draws as SVG. Nothing here knows HTML.

Coordinates are those of the drawing, y down, rounded to a tenth.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

LEFT, TOP, RIGHT, BOTTOM = 44.0, 12.0, 14.0, 46.0
"""Margins, for labels."""
MARKS = ("circle", "square", "triangle", "diamond")

Point = tuple[float, float | None]
"""x and y in values of the axes; y None where there is none."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis.

    Args:
      title: with its unit.
      start, end: values at its two ends; start is larger where it counts down.
      ticks: (value, label).
    """

    title: str
    start: float
    end: float
    ticks: Sequence[tuple[float, str]]


@dataclasses.dataclass(frozen=True)
class Series:
    """A line.

    Args:
      name: for the key.
      points: in the order of x.
      style: number of its colour, dashes and mark, see report.css.
      spans: (x, low, high) of its intervals.
      marked: whether points bear marks.
    """

    name: str
    points: Sequence[Point]
    style: int
    spans: Sequence[tuple[float, float, float]] = ()
    marked: bool = True


UNIT = Axis("", 0, 1, [(k / 5, f"{k / 5:.1f}") for k in range(6)])
"""From 0 to 1; give it a title by dataclasses.replace."""


def chart(
    title: str,
    words: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    goal: float | None = None,
    diagonal: bool = False,
    size: tuple[float, float] = (340.0, 240.0),
) -> dict[str, Any]:
    """The geometry of a chart.

    Args:
      title, words: what it is, and what can be seen in it, for those who do not see it.
      x, y: axes.
      series: lines, the first one on top.
      goal: a level line of this y.
      diagonal: draw the line from corner to corner.
      size: width and height.
    """
    width, height = size
    frame = (LEFT, TOP, width - RIGHT, height - BOTTOM)

    def place(a: float, b: float) -> tuple[float, float]:
        across = (a - x.start) / ((x.end - x.start) or 1)
        up = (b - y.start) / ((y.end - y.start) or 1)
        return (
            round(frame[0] + across * (frame[2] - frame[0]), 1),
            round(frame[3] + up * (frame[1] - frame[3]), 1),
        )

    return {
        "title": title,
        "words": words,
        "width": width,
        "height": height,
        "frame": frame,
        "x": {"title": x.title, "ticks": [(place(v, 0)[0], text) for v, text in x.ticks]},
        "y": {"title": y.title, "ticks": [(place(0, v)[1], text) for v, text in y.ticks]},
        "goal": None if goal is None else place(x.start, goal)[1],
        "diagonal": ([*place(x.start, y.start), *place(x.end, y.end)] if diagonal else None),
        "series": [_drawn(one, place) for one in series],
    }


def _drawn(one: Series, place: Any) -> dict[str, Any]:
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in one.points:
        if b is None:
            runs.append([])
        else:
            runs[-1].append(place(a, b))
    there = [point for run in runs for point in run]
    return {
        "name": one.name,
        "style": one.style,
        "mark": MARKS[one.style % len(MARKS)] if one.marked else None,
        "lines": [_path(run) for run in runs if len(run) > 1],
        "points": there if one.marked or len(there) == 1 else [],
        "bands": [_band(run, place) for run in _neighbours(one) if len(run) > 1],
        "bars": [
            (*place(run[0][0], run[0][1]), place(run[0][0], run[0][2])[1])
            for run in _neighbours(one)
            if len(run) == 1
        ],
    }


def _neighbours(one: Series) -> list[list[tuple[float, float, float]]]:
    """Intervals in runs, broken where a point has none."""
    spans = {x: (x, low, high) for x, low, high in one.spans}
    runs: list[list[tuple[float, float, float]]] = [[]]
    for x, _ in one.points:
        if x in spans:
            runs[-1].append(spans[x])
        else:
            runs.append([])
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{a:g},{b:g}" for a, b in points)


def _band(run: Sequence[tuple[float, float, float]], place: Any) -> str:
    above = [place(x, high) for x, _, high in run]
    below = [place(x, low) for x, low, _ in reversed(run)]
    return _path([*above, *below]) + " Z"
