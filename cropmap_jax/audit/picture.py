"""An audit as a picture: where the splits lie and what was found there, and what is missing."""

import io
import warnings
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cropmap_jax.audit.material import Material
from cropmap_jax.audit.run import Audit
from cropmap_jax.geo import tiles

# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_PARTS = ("#0072b2", "#e69f00", "#009e73")
_FOUND = {"error": "#d55e00", "warning": "#cc79a7"}
_SITE_DEGREES = 0.2
"""Cubes within so much of each other are drawn in one panel."""
_MOST_SITES = 12
_MOST_MONTHS, _MOST_NUMBERS = 40, 400


def draw(found: Audit) -> bytes:
    """A PNG: maps of the cubes, and shares missing by class and period of each sensor."""
    sensors = [sensor for sensor in found.material.sensors if found.missing[sensor.name]]
    rows = max((len(found.missing[sensor.name]) for sensor in sensors), default=1)
    height = max(5.0, min(1.2 + 0.24 * rows * len(sensors), 16))
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        fig = plt.figure(figsize=(14, height), layout="constrained")
        halves: Any = fig.subfigures(1, 2, width_ratios=(1, 1.1))
        left, right = halves
        _maps(left, found)
        axes = right.subplots(max(len(sensors), 1), 1, squeeze=False)[:, 0]
        for ax, sensor in zip(axes, sensors, strict=False):
            _heat(ax, found.missing[sensor.name], f"{sensor.title}: % of pixels missing")
        out = io.BytesIO()
        fig.savefig(out, format="png", dpi=110)
        plt.close(fig)
    return out.getvalue()


def _maps(fig: Any, found: Audit) -> None:
    """A panel per site: cubes in the colours of their splits, outlined where something is wrong."""
    material = found.material
    shapes = tiles.outlines((place.geobox for place in material.places), 4)
    wrong = _wrong(found)
    sites = _sites(shapes, np.array([place.cube_id in wrong for place in material.places]))
    shown = sites[:_MOST_SITES]
    across = int(np.ceil(np.sqrt(len(shown))))
    axes = fig.subplots(-(-len(shown) // across), across, squeeze=False).ravel()
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for ax, own in zip(axes, shown, strict=False):
        _site(ax, material, shapes, own, wrong)
    more = f" ({_MOST_SITES} of {len(sites)} sites)" if len(sites) > len(shown) else ""
    fig.suptitle(f"{material.name}: {len(material.places)} cubes{more}", fontsize=10)
    fig.legend(handles=_handles(material, wrong), loc="outside lower center", ncols=5, fontsize=8)


def _wrong(found: Audit) -> dict[str, str]:
    """{cube: severity} of the cubes that errors and warnings are about."""
    wrong: dict[str, str] = {}
    for severity in ("warning", "error"):
        for one in found.findings:
            if one.severity == severity:
                wrong.update(dict.fromkeys(one.cubes, severity))
    return wrong


def _sites(shapes: np.ndarray, wrong: np.ndarray) -> list[np.ndarray]:
    """Numbers of the cubes of each site, those with findings first, then the largest."""
    left, right = shapely.STRtree(shapes).query(shapes, "dwithin", distance=_SITE_DEGREES)
    links = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (len(shapes),) * 2)
    _, member = scipy.sparse.csgraph.connected_components(links, directed=False)
    sites = [np.flatnonzero(member == k) for k in np.unique(member)]
    return sorted(sites, key=lambda own: (-int(wrong[own].sum()), -len(own)))


def _site(
    ax: Axes, material: Material, shapes: np.ndarray, own: np.ndarray, wrong: dict[str, str]
) -> None:
    rings = [np.asarray(shapes[i].exterior.coords) for i in own]
    colours = [_PARTS[_part(material, i)] for i in own]
    ax.add_collection(PolyCollection(rings, facecolors=colours, edgecolors="white", linewidths=0.3))
    for i, ring in zip(own, rings, strict=True):
        severity = wrong.get(material.places[i].cube_id)
        if severity:
            ax.plot(ring[:, 0], ring[:, 1], color=_FOUND[severity], linewidth=2)
    points = np.concatenate(rings)
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    ax.set_aspect(1 / max(np.cos(np.deg2rad(middle[1])), 0.1), adjustable="datalim")
    ax.autoscale_view()
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"{middle[0]:.2f} E, {middle[1]:.2f} N", fontsize=7)


def _handles(material: Material, wrong: dict[str, str]) -> list[Line2D]:
    names = ("shared by all folds",) if material.rule is not None else material.parts
    there = {_part(material, i) for i in range(len(material.places))}
    squares = [
        Line2D([], [], marker="s", ls="", color=_PARTS[i], label=name)
        for i, name in enumerate(names)
        if i in there
    ]
    for severity in ("error", "warning"):
        count = sum(own == severity for own in wrong.values())
        if count:
            label = f"{severity}: {count} cubes"
            squares.append(Line2D([], [], color=_FOUND[severity], lw=2, label=label))
    return squares


def _part(material: Material, cube: int) -> int:
    return 0 if material.rule is not None else material.parts.index(material.places[cube].split)


def _heat(ax: Axes, rows: dict[str, dict[str, float]], title: str) -> None:
    months = sorted({month for row in rows.values() for month in row})
    values = np.array([[row.get(month, np.nan) for month in months] for row in rows.values()])
    image = ax.imshow(100 * values, vmin=0, vmax=100, cmap="Blues", aspect="auto")
    ax.set_title(title, fontsize=10)
    step = max(1, -(-len(months) // _MOST_MONTHS))
    ax.set_xticks(range(0, len(months), step), months[::step], rotation=90, fontsize=7)
    ax.set_yticks(range(len(rows)), [name[:24] for name in rows], fontsize=7)
    if values.size <= _MOST_NUMBERS:
        for (y, x), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value > 0.6 else "black"
                ax.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize=6, color=ink)
    figure = ax.figure
    if isinstance(figure, Figure):
        figure.colorbar(image, ax=ax, fraction=0.03, pad=0.01)
