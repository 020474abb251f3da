"""What the demo ends with: one table, one picture, and where to go from here."""

import json
import pathlib
import statistics

from cropmap_jax.geo import windows

METHODS = ("pretrained", "scratch", "forest")
COLOURS = {"pretrained": "#0072b2", "scratch": "#e69f00", "forest": "#999999"}  # Okabe & Ito
NEXT = """next, on real data:
  your own rasters          python -m experiments.ingest --help      docs/own_rasters.md
  then as above             build, pretrain or finetune, evaluate, predict"""


def read(out: pathlib.Path, seeds: int) -> dict:
    """{(method, unit): {crop: [F1 per seed]}} at the chosen threshold, "lead": {crop: days}.

    A crop has no F1 where the test places hold none of it, or nothing else.
    """
    scores: dict = {"lead": {}}
    for seed in range(seeds):
        for name in ("finetuned", "scratch"):
            file = out / f"{name}-{seed}" / "evaluation" / "test" / "all.json"
            for row in json.loads(file.read_text())["scores"]:
                if row["rule"] != "chosen":
                    continue
                network = "pretrained" if name == "finetuned" else "scratch"
                method = network if row["method"] == "network" else row["method"]
                crops = scores.setdefault((method, row["unit"]), {})
                values = crops.setdefault(row["crop"], [])
                if row["f1"] is not None:
                    values.append(row["f1"])
                scores["lead"][row["crop"]] = row["lead_days"]
    return scores


def _cell(values: list[float]) -> str:
    return f"{statistics.mean(values):11.3f}" if values else f"{'-':>11}"


def table(scores: dict) -> str:
    """One line per crop: F1 of pixels and of fields by each method, and the effective lead."""
    units = ("pixels", "fields")
    heads = "".join(f"{m:>11}" for m in METHODS)
    lines = [f"{'F1':14}{'pixels':>22}{'fields':>33}", f"{'crop':14}{heads}{heads}{'lead':>14}"]
    for crop, lead in scores["lead"].items():
        cells = [scores.get((m, u), {}).get(crop, []) for u in units for m in METHODS]
        days = windows.format_lead(lead)
        lines.append(f"{crop:14}{''.join(map(_cell, cells))}{days:>14}")
    means = [_macro(scores, m, u) for u in units for m in METHODS]
    lines.append(f"{'mean' + _over(scores, 'pixels'):14}{''.join(map(_cell, means))}")
    return "\n".join(lines)


def _scored(scores: dict, method: str, unit: str) -> list[list[float]]:
    """Per crop that has an F1, its values."""
    return [values for values in scores.get((method, unit), {}).values() if values]


def _over(scores: dict, unit: str) -> str:
    """Of how many crops a mean is, where it is not of all."""
    there, every = len(_scored(scores, "pretrained", unit)), len(scores["lead"])
    return "" if there == every else f" ({there} of {every})"


def _macro(scores: dict, method: str, unit: str) -> list[float]:
    """Mean over the crops that have an F1, per seed."""
    return [statistics.mean(run) for run in zip(*_scored(scores, method, unit), strict=True)]


def difference(scores: dict) -> str:
    """Pretrained minus scratch, with its standard error where there are several seeds."""
    lines = []
    for unit in ("pixels", "fields"):
        pairs = zip(_macro(scores, "pretrained", unit), _macro(scores, "scratch", unit),
                    strict=True)  # fmt: skip
        gains = [a - b for a, b in pairs]
        if not gains:
            lines.append(f"no crop has an F1 of {unit}")
            continue
        error = ""
        if len(gains) > 1:
            error = f" +- {statistics.stdev(gains) / len(gains) ** 0.5:.3f} (standard error)"
        runs = f"{len(gains)} seed{'s' if len(gains) > 1 else ''}"
        lines.append(
            f"pretrained minus scratch, mean F1 of {unit}{_over(scores, unit)}: "
            f"{statistics.mean(gains):+.3f}{error}, {runs}"
        )
    return "\n".join(lines)


def picture(scores: dict, file: pathlib.Path) -> None:
    """Bars of F1 per crop and method, for pixels and fields; dots are seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    crops = list(scores["lead"])
    fig, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for ax, unit in zip(axes, ("pixels", "fields"), strict=True):
        for i, method in enumerate(METHODS):
            at = [k + (i - 1) * 0.27 for k in range(len(crops))]
            found = scores.get((method, unit), {})
            values = [found.get(crop) or [float("nan")] for crop in crops]  # nan: no bar
            means = [statistics.mean(v) for v in values]
            ax.bar(at, means, 0.25, color=COLOURS[method], label=method)
            for x, runs in zip(at, values, strict=True):
                if len(runs) > 1:
                    ax.plot([x] * len(runs), runs, ".", color="black", markersize=4)
        ax.set_ylabel(f"F1 of {unit}")
        ax.set_ylim(0, 1)
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
    axes[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes[1].set_xticks(range(len(crops)), crops)
    fig.suptitle("Simulated Iran, places not trained on, 30 days before harvest or more", x=0.35)
    fig.savefig(file, dpi=110)
    plt.close(fig)


def write(out: pathlib.Path, seeds: int) -> str:
    """Writes `scores.txt` and `scores.png`, and returns what to print."""
    scores = read(out, seeds)
    text = f"{table(scores)}\n\n{difference(scores)}\n"
    (out / "scores.txt").write_text(text)
    picture(scores, out / "scores.png")
    return (
        f"{text}\nthis table: {out / 'scores.txt'}, drawn: {out / 'scores.png'}\n"
        f"pictures of each crop: {out / 'finetuned-0' / 'evaluation' / 'test'}\n"
        f"the map, for QGIS: {out / 'map'}\n\n{NEXT}"
    )
