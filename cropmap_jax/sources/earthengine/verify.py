"""Is a cube what was asked for, and how much of it is missing? One by one, and all in a picture.

The rules by which a cube is flagged:
  * Sentinel-2: more than 60 % of its values over all periods are missing. Single months without a
    clear day are normal in winter; the table and the picture show them.
  * Sentinel-1: the same, or a period with nothing at all. Clouds do not hide anything from radar:
    an empty period means that the pass direction of the cube has a gap, and the other may not.
  * Label, where there is to be one: no pixel is known.
A flagged cube is whole and can be used; whether to is the user's choice.
"""

import collections
import dataclasses
import datetime as dt
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter

from cropmap_jax.geo import cube, cube_io, files, grid
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.sources.earthengine import manifest
from cropmap_jax.sources.earthengine import schema as rows_lib

PICTURE = "missing.png"
PASSES = "passes"
"""Of Sentinel-1, {period's name: {satellite: passes}}, where the cube's source has them."""
_SENSORS = {"s1": "Sentinel-1", "s2": "Sentinel-2"}
# Okabe & Ito's palette (jfly.uni-koeln.de/color), also distinguishable by lightness.
_COLOURS = {"s1": "#0072b2", "s2": "#e69f00", cube.CLEAR: "#009e73"}
_MOST_NAMES = 10
_MOST_TICKS = 18


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Shares of missing values, 0..1, above which a cube is flagged.

    Args:
      s1: of a cube's S1 values over all periods.
      s2: of its S2 values.
      empty_s1: whether a period without any S1 flags it too.
    """

    s1: float = 0.6
    s2: float = 0.6
    empty_s1: bool = True

    def __post_init__(self):
        for name in ("s1", "s2"):
            if not 0 <= getattr(self, name) <= 1:
                found = getattr(self, name)
                raise ValueError(f"threshold {name}: expected a share of 0..1, found {found}")


# One cube


def check_cube(folder: str | os.PathLike, target) -> dict:
    """Reads a cube back from disk and compares it with what it was to be.

    Checksums, shapes, CRS, transforms and band names of the rasters are compared with the cube's
    item, and the item with the target.

    Args:
      folder: of the cube.
      target: has cube_id, geobox, periods, legend, season, block, split, province and harvest.

    Returns:
      {"s1": {period's name: share of values missing}, "s2": the same, "label": share unknown}; and
      "clear": {period's name: median number of clear S2 observations} where they were counted,
      "passes" as the cube's source has them.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    raw = cube_io.read_raw(folder, verify=True)
    info = raw.info
    differ = differences(info, target)
    if differ:
        raise ValueError(f"{folder}: not the cube that was asked for: {'; '.join(differ)}")
    check_grid(info.geobox, str(folder))
    shares = {
        sensor: {
            period.name: float(np.mean(values == cube.NODATA))
            for period, values in zip(info.periods, getattr(raw, sensor), strict=True)
        }
        for sensor in cube.BANDS
    }
    if raw.clear is not None:
        medians = np.median(raw.clear, axis=(1, 2)).tolist()
        shares[cube.CLEAR] = dict(zip((p.name for p in info.periods), medians, strict=True))
    passes = info.source.get("facts", {}).get("s1", {}).get(PASSES)
    if passes is not None:
        shares[PASSES] = passes
    return {**shares, "label": float(np.mean(raw.label == IGNORE))}


def differences(info: cube.CubeInfo, target) -> list[str]:
    """What of a cube's metadata is not as the target has it, in words."""
    names = ("cube_id", "geobox", "periods", "legend")
    names += ("season", "block", "split", "province", "harvest")
    found = []
    for name in names:
        there, asked = getattr(info, name), getattr(target, name)
        if there != asked:
            found.append(f"{name}: {_short(there)} there, {_short(asked)} asked for")
    return found


def _short(value) -> str:
    if isinstance(value, tuple) and value:
        return f"{len(value)} from {value[0].start} to {value[-1].end}"
    text = str(getattr(value, "name", value))
    return text if len(text) <= 80 else text[:77] + "..."


def check_grid(geobox, where: str) -> None:
    """Requires true 10 m pixels in a UTM zone of WGS 84.

    Raises:
      ValueError: names `where` and what was found.
    """
    grid.check_true_pixels(geobox, where)
    epsg = geobox.crs.to_epsg() or 0
    if epsg // 100 not in (326, 327) or not 1 <= epsg % 100 <= 60:
        raise ValueError(f"{where}: expected a UTM zone such as EPSG:32631, found {geobox.crs}")
    if geobox.affine.a != grid.PIXEL_M:
        raise ValueError(
            f"{where}: expected pixels of {grid.PIXEL_M:g} m, found {geobox.affine.a:g} m"
        )


def flags(missing: Mapping, thresholds: Thresholds, labelled: bool = True) -> list[str]:
    """Why a cube is to be flagged, in words; [] if it is not.

    Args:
      missing: of `check_cube`.
      thresholds: see there.
      labelled: whether the cube is to have a label.
    """
    found = []
    for sensor, title in _SENSORS.items():
        share = float(np.mean(list(missing[sensor].values())))
        limit = getattr(thresholds, sensor)
        if share > limit:
            found.append(f"{title}: {share:.0%} missing, more than {limit:.0%}")
    empty = [name for name, share in missing["s1"].items() if share == 1]
    if empty and thresholds.empty_s1:
        names = ", ".join(empty[:4]) + (" ..." if len(empty) > 4 else "")
        found.append(f"Sentinel-1: nothing in {len(empty)} periods ({names})")
    if labelled and missing["label"] == 1:
        found.append("label: nothing is known")
    return found


# All cubes


def claim_picture(book: manifest.Manifest, cubes_dir: str | os.PathLike) -> None:
    """Notes that the folder's picture is this export's to replace and remove.

    Raises:
      ValueError: there is a file of that name in a folder that nothing was exported into yet.
    """
    path = pathlib.Path(cubes_dir) / PICTURE
    ours = book.noted(PICTURE) or next(book.cubes(), None) is not None
    if os.path.lexists(path) and not ours:
        raise ValueError(
            f"{path}: found a file that no export wrote, where its picture would be; expected "
            f"another folder, or that file moved away"
        )
    book.note(PICTURE, True)


def write_report(book: manifest.Manifest, cubes_dir: str | os.PathLike) -> str:
    """Draws `<cubes_dir>/missing.png`; returns the table for the terminal.

    Without a cube there is no picture, and one of an earlier run is removed.

    Raises:
      OSError: no space or no permission; an earlier picture is kept then.
    """
    rows = list(book.cubes())
    path = pathlib.Path(cubes_dir) / PICTURE
    shares = shares_by_month(rows)
    if not shares:
        path.unlink(missing_ok=True)
        return table(rows)
    draw(shares, path)
    return f"{table(rows)}\n{path} shows it."


def shares_by_month(rows: Iterable[rows_lib.CubeRow]) -> dict[str, dict[str, np.ndarray]]:
    """{month, "2021-10": {sensor: share missing per cube and period}} of cubes that are there.

    Beside the sensors stands "clear", the median number of clear S2 observations, where they were
    counted. A period counts for the month in which it begins.
    """
    found: dict = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in rows:
        for key in (*_SENSORS, cube.CLEAR):
            for period, value in row.missing.get(key, {}).items():
                found[period[:7]][key].append(value)
    return {
        month: {sensor: np.array(shares) for sensor, shares in sorted(found[month].items())}
        for month in sorted(found)
    }


def table(rows: Sequence[rows_lib.CubeRow]) -> str:
    """What is there and what is missing, as text: states, months, and which cubes were flagged."""
    states = collections.Counter(row.state for row in rows)
    order = (rows_lib.WHOLE, rows_lib.FLAGGED, rows_lib.FAILED, rows_lib.PLANNED)
    counts = ", ".join(f"{states[s]:,d} {s}" for s in order if states[s]) or "none"
    lines = [f"cubes: {counts}"]
    lines += _month_lines(shares_by_month(rows))
    lines += _pass_lines(rows)
    for state in (rows_lib.FLAGGED, rows_lib.FAILED):
        own = [row for row in rows if row.state == state]
        if own:
            lines += ["", f"{state}:"]
            lines += [f"  {row.cube}: {row.reason}" for row in own[:_MOST_NAMES]]
        if len(own) > _MOST_NAMES:
            lines.append(f"  and {len(own) - _MOST_NAMES:,d} more, in the manifest")
    return "\n".join(lines)


def _month_lines(shares: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """What is missing per month, and how many observations are clear where that was counted."""
    if not shares:
        return []
    counted = any(cube.CLEAR in row for row in shares.values())
    title = "missing      S1 mean  worst    S2 mean  worst"
    lines = ["", title + ("    clear S2: median  least" if counted else "")]
    for month, row in shares.items():
        cells = [f"{row[s].mean():8.1%} {row[s].max():6.1%}" for s in _SENSORS]
        if cube.CLEAR in row:
            cells.append(f"{np.median(row[cube.CLEAR]):15g} {row[cube.CLEAR].min():6g}")
        lines.append(f"{month}     {'   '.join(cells)}")
    return lines


def _pass_lines(rows: Iterable[rows_lib.CubeRow]) -> list[str]:
    """Passes per month and satellite, the mean over cubes and their periods that begin in it."""
    found: dict = collections.defaultdict(list)
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


def draw(shares: Mapping[str, Mapping[str, np.ndarray]], path: str | os.PathLike) -> None:
    """Draws the share of missing values per month, a panel per sensor, and the number of clear
    observations where it was counted: the middle and the spread over cubes.

    Args:
      shares: of `shares_by_month`; at least one month.
      path: PNG to write, whole or not at all.

    Raises:
      OSError: no space or no permission.
    """
    months = list(shares)
    counted = any(cube.CLEAR in row for row in shares.values())
    panels = 3 if counted else 2
    width = min(14.0, max(5.0, 1.6 + 0.45 * len(months)))
    fig, axes = plt.subplots(
        panels, 1, figsize=(width, 0.8 + 1.9 * panels), sharex=True, layout="constrained"
    )
    cubes = max(len(v) for row in shares.values() for v in row.values())
    fig.suptitle(f"Per month, up to {cubes:,d} cubes; lines: 10 % to 90 % of them", fontsize=10)
    for ax, (sensor, title) in zip(axes, _SENSORS.items(), strict=False):
        _bars(ax, shares, sensor, np.mean)
        ax.set_ylim(0, 1)
        ax.set_title(f"{title}: values missing (mean)", loc="left", fontsize=10)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    if counted:
        _bars(axes[-1], shares, cube.CLEAR, np.median)
        axes[-1].set_title("Sentinel-2: clear observations (median)", loc="left", fontsize=10)
        axes[-1].set_ylim(bottom=0)
    step = -(-len(months) // _MOST_TICKS)
    names = [dt.date.fromisoformat(f"{month}-01").strftime("%b\n%Y") for month in months]
    axes[-1].set_xticks(np.arange(len(months))[::step], names[::step], fontsize=8)
    try:
        _save(fig, pathlib.Path(path))
    finally:
        plt.close(fig)


def _bars(ax, shares, key: str, middle) -> None:
    """A bar per month, and a line over the middle four fifths of the cubes."""
    own = [row.get(key, np.array([np.nan])) for row in shares.values()]
    at = np.arange(len(own))
    low, high = np.array([np.quantile(values, (0.1, 0.9)) for values in own]).T
    ax.bar(at, [middle(values) for values in own], 0.8, color=_COLOURS[key])
    ax.vlines(at, low, high, color="0.2", lw=1.5)
    ax.set_xlim(-0.6, len(own) - 0.4)
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _save(fig, path: pathlib.Path) -> None:
    stream = io.BytesIO()
    fig.savefig(stream, format="png", dpi=120)
    files.write_bytes(path, stream.getvalue())
