"""F1 against the number of annotated fields: what draws gave, as a table, a sentence, a picture."""

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.evaluation import pooling

UNITS = ("pixels", "fields")
CHOSEN, FIXED = "chosen", "fixed"
ENOUGH = 0.02
"""F1 that twice the fields must gain to be worth the work."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""By Okabe & Ito, for eyes of every kind (jfly.uni-koeln.de/color)."""
MARKERS = "osD^vPX*"

Run = dict[str, Any]
"""A method's run: "fields" (as asked: a number, or "all"), "draw", "method", and "scores" {unit:
{rule: macro-F1 or None}}, or "failed", why there are none."""


def scores(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Macro-F1 by method, unit and rule, over the crops that have one.

    Args:
      rows: the scores that `evaluate` wrote.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in pooling.macro(pooling.pool([rows])):
        own = found.setdefault(row["method"], {}).setdefault(row["unit"], {})
        own[row["rule"]] = row["macro_f1"]
    return found


def summarise(
    runs: Sequence[Run], methods: Sequence[str], used: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """A point of the curve for each method and number of fields that was run.

    Args:
      runs: all of them.
      methods: names, in order.
      used: {fields as asked, as text: how many each crop really had, least first}, in order.

    Returns:
      "method", "fields", "per_class" (mean of what crops really had), "draws" (how many were
      scored), "rule" (that of the scores), "scores" {unit: {"mean", "sd", "each"}} with the sample
      standard deviation (None for one draw), "map" likewise where there is that rule, and "failed",
      reasons.
    """
    table = []
    for method in methods:
        for asked, counts in used.items():
            own = [r for r in runs if (r["method"], str(r["fields"])) == (method, asked)]
            if not own:
                continue
            scored = [run["scores"] for run in own if "scores" in run]
            rule = CHOSEN if asked != "0" else FIXED
            table.append(
                {
                    "method": method,
                    "fields": asked,
                    "per_class": statistics.mean(counts),
                    "draws": len(scored),
                    "rule": rule,
                    "scores": {unit: _spread(scored, unit, rule) for unit in UNITS},
                    "map": {unit: _spread(scored, unit, "map") for unit in UNITS},
                    "failed": sorted({run["failed"] for run in own if "failed" in run}),
                }
            )
    return table


def _spread(found: Sequence[Mapping[str, Any]], unit: str, rule: str) -> dict[str, Any]:
    values = [one.get(unit, {}).get(rule) for one in found]
    there = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(there) if there else None,
        "sd": statistics.stdev(there) if len(there) > 1 else None,
        "each": values,
    }


def table(
    points: Sequence[dict[str, Any]],
    labels: Mapping[str, str],
    used: Mapping[str, Sequence[int]],
) -> str:
    """Fixed-width tables of both units: a row per method, a column per number of fields.

    Args:
      points: from `summarise`.
      labels: of methods.
      used: as for `summarise`.
    """
    wide = max([18, *map(len, labels.values())]) + 2
    header = "".join(f"{_asked(asked):>16}" for asked in used)
    real = "".join(f"{_range(counts):>16}" for counts in used.values())
    lines = []
    kinds = [(unit, "scores", f"macro-F1 of {unit}") for unit in UNITS]
    kinds += [(unit, "map", f"macro-F1 of {unit}, most probable class") for unit in UNITS]
    for unit, key, title in kinds:
        rows = {}
        for method, label in labels.items():
            own = {p["fields"]: p for p in points if p["method"] == method}
            if any(p[key][unit]["mean"] is not None for p in own.values()):
                cells = (_cell(own[a][key][unit]) if a in own else "-" for a in used)
                rows[label] = "".join(f"{cell:>16}" for cell in cells)
        if rows:
            lines += [f"{title:{wide}}" if len(title) < wide else title]
            lines += [f"{'fields per class':{wide}}{header}", f"{'really, per crop':{wide}}{real}"]
            lines += [f"{label:{wide}}{cells}" for label, cells in rows.items()] + [""]
    for point in points:
        for reason in point["failed"]:
            lines.append(f"{labels[point['method']]}, {_asked(point['fields'])}, failed: {reason}")
    return "\n".join(lines).rstrip()


def _asked(fields: str) -> str:
    return f"{fields} fields" if fields.isdigit() else fields


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}-{high}"


def _cell(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:.3f}" + ("" if value["sd"] is None else f" ± {value['sd']:.3f}")


def answer(points: Sequence[dict[str, Any]], method: str, label: str) -> str:
    """One sentence: from how many fields on twice as many gain less than ENOUGH.

    Args:
      points: from `summarise`.
      method: whose curve is read.
      label: what it is called.
    """
    own = [p for p in points if p["method"] == method and p["scores"]["pixels"]["mean"] is not None]
    own = sorted((p for p in own if p["fields"] != "0"), key=lambda p: p["per_class"])
    steps = []
    for a, b in zip(own, own[1:], strict=False):
        doublings = math.log2(b["per_class"] / a["per_class"])
        # Numbers of fields that hardly differ say nothing about twice as many.
        if doublings > 0.25:
            gained = b["scores"]["pixels"]["mean"] - a["scores"]["pixels"]["mean"]
            steps.append((a, b, gained / doublings))
    if not steps:
        return f"{label}: too few numbers of fields to tell how many are enough"
    a, b, gain = steps[-1]
    between = f"from {a['per_class']:.0f} to {b['per_class']:.0f} fields per class"
    if gain >= ENOUGH:
        return (
            f"{label}: more fields still help: {between}, twice as many gain {gain:.3f} of the "
            f"macro-F1 of pixels"
        )
    first = next(i for i in range(len(steps)) if all(later < ENOUGH for *_, later in steps[i:]))
    a, b, gain = steps[first]
    return (
        f"{label}: beyond about {a['per_class']:.0f} fields per class, twice as many gain less "
        f"than {ENOUGH} of the macro-F1 of pixels ({gain:+.3f} from {a['per_class']:.0f} to "
        f"{b['per_class']:.0f})"
    )


def picture(points: Sequence[dict[str, Any]], labels: Mapping[str, str], title: str) -> bytes:
    """A PNG: a panel per unit, a line per method, bars of one standard deviation of the draws.

    Args:
      points: from `summarise`; at least one.
      labels: of methods.
      title: over both panels.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(12, 5), sharex=True, sharey=True, layout="constrained")
    places = _places(points)
    for ax, unit in zip(axes, UNITS, strict=True):
        for number, (method, label) in enumerate(labels.items()):
            own = [p for p in points if p["method"] == method]
            _line(ax, own, unit, places, number, label)
        ax.set_title(f"{unit} of the test split", fontsize=10)
        ax.set_xscale("log")
        ax.set_xlim(min(places.values()) / 1.25, max(places.values()) * 1.15)
        ax.set_xticks(list(places.values()), list(places), fontsize=9)
        ax.minorticks_off()
        ax.grid(color="0.9")
        ax.set_axisbelow(True)
        ax.set_xlabel("annotated fields per class that training knows (log scale)", fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("macro-F1 over crops (0 to 1), mean ± sd of draws", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    # From top to bottom as the lines end.
    order = sorted(range(len(names)), key=lambda i: -_last(points, labels, names[i]))
    axes[1].legend(
        [handles[i] for i in order], [names[i] for i in order], loc="center left",
        bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False,
    )  # fmt: skip
    fig.suptitle(title, fontsize=10)
    data = io.BytesIO()
    fig.savefig(data, dpi=120, format="png")
    plt.close(fig)
    return data.getvalue()


def _last(points: Sequence[dict[str, Any]], labels: Mapping[str, str], label: str) -> float:
    """F1 of pixels where the line of a method ends."""
    own = [p for p in points if labels[p["method"]] == label]
    own = [p for p in own if p["scores"]["pixels"]["mean"] is not None]
    if not own:
        return 0.0
    return float(max(own, key=lambda p: p["per_class"])["scores"]["pixels"]["mean"])


def _places(points: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Where on the axis each number of fields is: {text of its tick: x}."""
    real = {p["fields"]: p["per_class"] for p in points if p["fields"] != "0"}
    found, last = {}, 0.0
    for asked, x in sorted(real.items(), key=lambda both: (both[1], both[0] == "all")):
        # Two that crops had almost as many of are drawn next to each other.
        last = max(x, last * 1.35)
        text = asked if asked.isdigit() and abs(x - int(asked)) < 0.5 else f"{asked}\n({x:.0f})"
        found[text] = last
    if any(p["fields"] == "0" for p in points):
        first = min(found.values(), default=1.0)
        found = {"0\n(untrained)": first / 2.5} | found
    return found


def _tick(point: Mapping[str, Any], places: Mapping[str, float]) -> float:
    return next(x for text, x in places.items() if text.split("\n")[0] == point["fields"])


def _line(
    ax: Any,
    points: Sequence[dict[str, Any]],
    unit: str,
    places: Mapping[str, float],
    number: int,
    label: str,
) -> None:
    """Draws a method; what is not trained at all hangs on a dotted line."""
    own = [p for p in points if p["scores"][unit]["mean"] is not None]
    if not own:
        return
    own.sort(key=lambda p: _tick(p, places))
    # A little apart, so that bars do not hide each other.
    xs = [_tick(p, places) * (1 + 0.012 * (number - 3)) for p in own]
    ys = [p["scores"][unit]["mean"] for p in own]
    bars = [p["scores"][unit]["sd"] or 0.0 for p in own]
    style = {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
        "elinewidth": 1,
        "capsize": 2,
    }
    start = sum(p["fields"] == "0" for p in own)
    ax.errorbar(xs[start:], ys[start:], bars[start:], linewidth=1.6, label=label, **style)
    if start:
        ax.errorbar(xs[:1], ys[:1], bars[:1], linewidth=0, **style)
        ax.plot(xs[:2], ys[:2], color=style["color"], linewidth=1, linestyle=":")
