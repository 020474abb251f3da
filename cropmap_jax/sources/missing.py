"""How much of a cube is missing, from when on it is flagged, and a table of many cubes.

The rules by which a cube is flagged:
  * A sensor of which more than 60 % of the values over all periods are missing. Single months
    without a clear day are normal in winter; the table and the picture show them.
  * A sensor that clouds do not hide, with a period that has nothing at all: radar sees the ground
    in any weather, so the pass direction of the cube has a gap, and the other may not.
  * A label, where there is to be one, of which no pixel is known.
A flagged cube is whole and can be used; whether to is the user's choice.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.manifest_rows import FAILED, FLAGGED, GROWING, PLANNED, WHOLE, CubeRow

LABEL, PASSES = "label", "passes"
"""Next to the sensors: share of the label unknown; {period's name: {satellite: passes of
Sentinel-1}}, where the cube's source has them."""
Shares = dict[str, dict[str, np.ndarray]]
"""{month, "2021-10": {sensor: share missing per cube and period}}."""
_MOST_NAMES = 10


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What flags a cube.

    Args:
      share: of a sensor's values over all periods, 0..1; a cube with more missing is flagged.
      continuous: names of sensors that a period with nothing at all flags too.
    """

    share: float = 0.6
    continuous: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"threshold: expected a share of 0..1, found {self.share}")


# One cube


def measure(raw: cube_io.RawCube) -> dict[str, Any]:
    """How much of a cube is missing.

    Returns:
      JSON-ready: per sensor {period's name: share of values missing}; "label": share unknown; and
      "clear": {period's name: median number of clear observations} where they were counted,
      "passes" as the cube's source has them.
    """
    info = raw.info
    names = [period.name for period in info.periods]
    out: dict[str, Any] = {}
    for sensor in info.sensors:
        stored = raw.pixels[sensor.name]
        shares = [float(np.mean(values == sensor.nodata)) for values in stored]
        out[sensor.name] = dict(zip(names, shares, strict=True))
        passes = info.source.get("facts", {}).get(sensor.name, {}).get(PASSES)
        if passes is not None:
            out[PASSES] = passes
    if raw.clear is not None:
        medians = np.median(raw.clear, axis=(1, 2)).tolist()
        out[cube.CLEAR] = dict(zip(names, medians, strict=True))
    return {**out, LABEL: float(np.mean(raw.label == IGNORE))}


def flags(
    missing: Mapping[str, Any],
    sensors: Sequence[Sensor],
    thresholds: Thresholds,
    labelled: bool = True,
) -> list[str]:
    """Why a cube is to be flagged, in words; [] if it is not.

    Args:
      missing: of `measure`.
      sensors: of the cube.
      thresholds: see there.
      labelled: whether the cube is to have a label.
    """
    found, gaps = [], []
    for sensor in sensors:
        shares = missing[sensor.name]
        share = float(np.mean(list(shares.values())))
        if share > thresholds.share:
            found.append(f"{sensor.title}: {share:.0%} missing, more than {thresholds.share:.0%}")
        empty = [name for name, share in shares.items() if share == 1]
        if empty and sensor.name in thresholds.continuous:
            names = ", ".join(empty[:4]) + (" ..." if len(empty) > 4 else "")
            gaps.append(f"{sensor.title}: nothing in {len(empty)} periods ({names})")
    if labelled and missing[LABEL] == 1:
        gaps.append("label: nothing is known")
    return found + gaps


# Many cubes


def shares_by_month(rows: Iterable[CubeRow], sensors: Sequence[Sensor]) -> Shares:
    """Share of values missing per month, sensor, cube and period, of cubes that are there.

    Next to the sensors is "clear", the median number of clear observations, where they were
    counted. A period counts for the month in which it begins.
    """
    found: dict[str, dict[str, list[float]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for row in rows:
        for key in (*(sensor.name for sensor in sensors), cube.CLEAR):
            for period, value in row.missing.get(key, {}).items():
                found[period[:7]][key].append(value)
    return {
        month: {key: np.array(shares) for key, shares in sorted(found[month].items())}
        for month in sorted(found)
    }


def table(rows: Sequence[CubeRow], sensors: Sequence[Sensor]) -> str:
    """What is there and what is missing, as text: states, months, and which cubes were flagged."""
    states = collections.Counter(row.state for row in rows)
    order = (WHOLE, FLAGGED, FAILED, GROWING, PLANNED)
    counts = ", ".join(f"{states[s]:,d} {s}" for s in order if states[s]) or "none"
    lines = [f"cubes: {counts}"]
    lines += _month_lines(shares_by_month(rows, sensors), sensors)
    lines += _pass_lines(rows)
    for state in (FLAGGED, FAILED):
        own = [row for row in rows if row.state == state]
        if own:
            lines += ["", f"{state}:"]
            lines += [f"  {row.cube}: {row.reason}" for row in own[:_MOST_NAMES]]
        if len(own) > _MOST_NAMES:
            lines.append(f"  and {len(own) - _MOST_NAMES:,d} more, in the manifest")
    return "\n".join(lines)


def _month_lines(shares: Shares, sensors: Sequence[Sensor]) -> list[str]:
    """What is missing per month, and how many observations are clear where that was counted."""
    if not shares:
        return []
    counted = any(cube.CLEAR in row for row in shares.values())
    heads = [f"{sensor.name.upper()} mean" for sensor in sensors]
    title = f"{'missing':<12}" + "   ".join(f"{head:>8}  worst" for head in heads)
    lines = ["", title + ("    clear S2: median  least" if counted else "")]
    for month, row in shares.items():
        cells = [
            f"{row[sensor.name].mean():{max(8, len(head))}.1%} {row[sensor.name].max():6.1%}"
            for sensor, head in zip(sensors, heads, strict=True)
        ]
        if cube.CLEAR in row:
            cells.append(f"{np.median(row[cube.CLEAR]):15g} {row[cube.CLEAR].min():6g}")
        lines.append(f"{month}     {'   '.join(cells)}")
    return lines


def _pass_lines(rows: Iterable[CubeRow]) -> list[str]:
    """Passes per month and satellite, the mean over cubes and their periods that begin in it."""
    found: dict[str, list[dict[str, int]]] = collections.defaultdict(list)
    for row in rows:
        for period, own in row.missing.get(PASSES, {}).items():
            found[period[:7]].append(own)
    if not found:
        return []
    names = sorted({name for month in found.values() for own in month for name in own})
    lines = ["", "Sentinel-1 passes (mean)" + "".join(f"{name:>7}" for name in names)]
    for month in sorted(found):
        means = (np.mean([own.get(name, 0) for own in found[month]]) for name in names)
        lines.append(f"{month:<24}" + "".join(f"{mean:7.1f}" for mean in means))
    return lines
