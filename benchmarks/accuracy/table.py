"""The table, the JSON and the picture of all runs."""

import io
import json
import pathlib
import statistics
from collections.abc import Sequence

from benchmarks import report
from benchmarks.accuracy.methods import Method
from benchmarks.accuracy.places import Place
from cropmap_jax.geo import files

NAMES = ("accuracy.md", "accuracy.json", "accuracy.png")


def summarise(runs: Sequence[dict], place: Place, method: Method) -> dict | None:
    """What a method reached on a place, over its seeds.

    Args:
      runs: all runs: "place", "method", "seed", and "failed" or what `Place.run` returns.
      place, method: which.

    Returns:
      "method", "label", "seeds" (how many were scored), "measures" {name: {"mean", "sd", "each"}},
      "train_seconds", "train_cpu_seconds" and "pixels_per_second" (means), "failed" (reasons by
      seed); None for no run.
      `sd` is the sample standard deviation, None for one seed; values are None where none is.
    """
    own = [r for r in runs if (r["place"], r["method"]) == (place.name, method.name)]
    if not own:
        return None
    scored = [run for run in own if "failed" not in run]
    speeds = [run["speed"]["pixels_per_second"] for run in scored if run.get("speed")]
    return {
        "place": place.name,
        "method": method.name,
        "label": method.label,
        "seeds": len(scored),
        "measures": {
            one.name: spread([run["measures"][one.name] for run in scored])
            for one in place.measures
        },
        "train_seconds": spread([run["train_seconds"] for run in scored])["mean"],
        "train_cpu_seconds": spread([run["train_cpu_seconds"] for run in scored])["mean"],
        "pixels_per_second": statistics.mean(speeds) if speeds else None,
        "failed": {str(run["seed"]): run["failed"] for run in own if "failed" in run},
    }


def spread(values: Sequence[float | None]) -> dict:
    """Mean and sample standard deviation (n - 1) of the values that are there."""
    there = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(there) if there else None,
        "sd": statistics.stdev(there) if len(there) > 1 else None,
        "each": list(values),
    }


def markdown(place: Place, rows: Sequence[dict], seeds: int) -> str:
    """A place's table; a method that failed says why, and one of fewer seeds how many it has."""
    speed = any(row["pixels_per_second"] for row in rows)
    header = ["method", *(one.label for one in place.measures), "training, s", "CPU s"]
    header += ["mapped, pixels/s"] if speed else []
    cells, failures = [], []
    for row in rows:
        few = f" ({row['seeds']} of {seeds} seeds)" if 0 < row["seeds"] < seeds else ""
        scores = [_score(row["measures"][one.name]) for one in place.measures]
        if not row["seeds"]:
            scores = ["failed"] * len(scores)
        took = [_whole(row[f"train_{name}"]) for name in ("seconds", "cpu_seconds")]
        cells.append([row["label"] + few, *scores, *took])
        cells[-1] += [_whole(_round(row["pixels_per_second"]))] if speed else []
        for reason in dict.fromkeys(row["failed"].values()):
            failed = ", ".join(seed for seed, why in row["failed"].items() if why == reason)
            failures.append(f"- {row['label']}, seed {failed}, failed: {reason}")
    text = f"### {place.title}\n\n{report.table(header, cells)}\n"
    return text + ("\n" + "\n".join(failures) + "\n" if failures else "")


def _score(value: dict) -> str:
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:.3f}" + ("" if value["sd"] is None else f" ± {value['sd']:.3f}")


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _round(value: float | None) -> float | None:
    """Two significant digits: more would be noise."""
    return None if value is None else float(f"{value:.1e}")


def picture(places: Sequence[Place], rows: Sequence[dict]) -> bytes:
    """A PNG: a row per place, a panel per measure, a line per method.

    Dots are seeds, strokes means.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    labels = list(dict.fromkeys(row["label"] for row in rows))
    columns = max(len(place.measures) for place in places)
    size = (2.8 + 3.6 * columns, len(places) * (0.9 + 0.23 * len(labels)))
    fig, axes = plt.subplots(
        len(places), columns, figsize=size, sharey=True, layout="constrained", squeeze=False
    )
    for place, line in zip(places, axes, strict=True):
        own = [row for row in rows if row["place"] == place.name]
        for ax in line[len(place.measures) :]:
            ax.set_visible(False)
        for ax, measure in zip(line, place.measures, strict=False):
            for row in own:
                _draw(ax, labels.index(row["label"]), row, row["measures"][measure.name])
            ax.set_title(f"{place.name}: {measure.label}", fontsize=9)
            ax.grid(axis="x", color="0.9")
            ax.set_axisbelow(True)
            ax.tick_params(labelsize=8)
    axes[0, 0].set_yticks(range(len(labels)), labels)
    axes[0, 0].set_ylim(len(labels) - 0.5, -0.5)
    fig.supxlabel("F1, from 0 to 1, on held-out ground; a dot is a seed, a stroke their mean",
                  fontsize=9)  # fmt: skip
    data = io.BytesIO()
    fig.savefig(data, dpi=120, format="png")
    plt.close(fig)
    return data.getvalue()


def _draw(ax, y: int, row: dict, value: dict) -> None:
    """A method's dots and stroke, or that it failed."""
    colour = "#0072b2" if "pixel_series" in row["method"] else "#555555"
    there = [each for each in value["each"] if each is not None]
    ax.plot(there, [y] * len(there), "o", color=colour, markersize=4, alpha=0.6)
    if there:
        ax.plot([value["mean"]], [y], "|", color=colour, markersize=14)
    else:
        ax.text(0.02, y, "failed" if row["failed"] else "no F1", va="center", fontsize=7,
                color="#d55e00", transform=ax.get_yaxis_transform())  # fmt: skip


def write(
    out: pathlib.Path,
    places: Sequence[Place],
    methods: Sequence[Method],
    runs: Sequence[dict],
    seeds: int,
    notes: Sequence[str],
) -> str:
    """Writes NAMES into a folder and returns the table.

    Args:
      out: the folder.
      places, methods: in the order of the tables.
      runs: as of `summarise`.
      seeds: how many each should have.
      notes: what was left out, a line each.

    Raises:
      OSError: no space or no permission; names the file.
    """
    where = report.machine()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    parts, rows = [], []
    for place in places:
        own = [row for method in methods if (row := summarise(runs, place, method))]
        rows += own
        parts.append(markdown(place, own, seeds))
    text = "\n".join(
        [
            f"{where['date'][:10]}, {where['processor']}, {where['cores']} cores; Python "
            f"{where['python']}, {versions}. Mean ± standard deviation over {seeds} "
            f"seed{'s' if seeds > 1 else ''}.\n",
            *parts,
            *(f"- {note}" for note in notes),
        ]
    )
    record = {"machine": where, "seeds": seeds, "notes": list(notes), "table": rows}
    record["runs"] = list(runs)
    files.write_bytes(out / NAMES[0], (text.rstrip() + "\n").encode())
    files.write_bytes(out / NAMES[1], (json.dumps(record, indent=1) + "\n").encode())
    if rows:
        files.write_bytes(out / NAMES[2], picture(places, rows))
    return text.rstrip()
