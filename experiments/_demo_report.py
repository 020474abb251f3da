"""What the demo ends with: one table, one picture, and where to go from here."""

import io
import json
import math
import pathlib
import shlex
import statistics

from cropmap_jax.geo import as_of_windows, files

MEMBERS = {"pixels": "pixel_series", "forest": "forest"}
"""Folders of the runs that are combined, and what they are called."""
METHODS = ("combined", *MEMBERS.values(), "dual_unet3d")
COLOURS = dict(zip(METHODS, ("#000000", "#0072b2", "#999999", "#e69f00"), strict=True))
"""Of Okabe & Ito."""
_WIDE = 13
NEXT = """next, on real data:
  your own rasters          python -m experiments.ingest --help      docs/own_rasters.md
  then as above             build, pretrain or finetune, evaluate, predict"""


def read(out: pathlib.Path, seeds: int) -> dict:
    """{(method, unit): {crop: [F1 per seed]}} at the chosen threshold, "lead": {crop: days}.

    F1 is NaN where there was nothing to score.
    """
    scores: dict = {"lead": {}}
    for seed in range(seeds):
        members = {f"{name}-{seed}": method for name, method in MEMBERS.items()}
        for name, methods in (
            ("combined", {"combined": "combined", **members}),
            ("finetuned", {"network": "dual_unet3d"}),
        ):
            file = out / f"{name}-{seed}" / "evaluation" / "test" / "all.json"
            for row in json.loads(file.read_text())["scores"]:
                if row["rule"] != "chosen":
                    continue
                crops = scores.setdefault((methods[row["method"]], row["unit"]), {})
                crops.setdefault(row["crop"], []).append(
                    math.nan if row["f1"] is None else row["f1"]
                )
                scores["lead"][row["crop"]] = row["lead_days"]
    return scores


def _cell(values: list[float]) -> str:
    mean = statistics.mean(values) if values else math.nan
    return f"{'-':>{_WIDE}}" if math.isnan(mean) else f"{mean:{_WIDE}.3f}"


def table(scores: dict) -> str:
    """One line per crop: F1 of pixels and of fields by each method, and the effective lead."""
    units = ("pixels", "fields")
    heads = "".join(f"{m:>{_WIDE}}" for m in METHODS)
    wide = len(heads)
    lines = [
        f"{'F1':14}{'pixels':^{wide}}{'fields':^{wide}}".rstrip(),
        f"{'crop':14}{heads}{heads}  lead",
    ]
    for crop, lead in scores["lead"].items():
        cells = [scores.get((m, u), {}).get(crop, []) for u in units for m in METHODS]
        lines.append(f"{crop:14}{''.join(map(_cell, cells))}  {as_of_windows.format_lead(lead)}")
    means = [_macro(scores, m, u) for u in units for m in METHODS]
    lines.append(f"{'mean' + _over(scores, 'pixels'):14}{''.join(map(_cell, means))}")
    return "\n".join(lines)


def _scored(scores: dict, unit: str) -> list[str]:
    """The crops that every method could be scored on in every seed."""
    of = [scores.get((m, unit), {}) for m in METHODS]
    return [
        crop for crop in scores["lead"]
        if not any(math.isnan(f1) for own in of for f1 in own.get(crop, ()))
    ]  # fmt: skip


def _over(scores: dict, unit: str) -> str:
    """Of how many crops a mean is, where it is not of all."""
    there, every = len(_scored(scores, unit)), len(scores["lead"])
    return "" if there == every else f" ({there} of {every})"


def _macro(scores: dict, method: str, unit: str) -> list[float]:
    """Mean per seed over the crops that every method could be scored on."""
    scored = _scored(scores, unit)
    own = [runs for crop, runs in scores.get((method, unit), {}).items() if crop in scored]
    return [statistics.mean(run) for run in zip(*own, strict=True)]


def difference(scores: dict) -> str:
    """combined minus each other, with its standard error where there are several seeds."""
    best, *others = METHODS
    lines = []
    for unit, other in ((unit, other) for other in others for unit in ("pixels", "fields")):
        if not all(_macro(scores, method, unit) for method in (best, other)):
            lines.append(f"{best} minus {other}: no crop has an F1 of {unit}")
            continue
        pairs = zip(_macro(scores, best, unit), _macro(scores, other, unit), strict=True)
        gains = [a - b for a, b in pairs]
        error = ""
        if len(gains) > 1:
            error = f" +- {statistics.stdev(gains) / len(gains) ** 0.5:.3f} (standard error)"
        runs = f"{len(gains)} seed{'s' if len(gains) > 1 else ''}"
        lines.append(
            f"{best} minus {other}, mean F1 of {unit}{_over(scores, unit)}: "
            f"{statistics.mean(gains):+.3f}{error}, {runs}"
        )
    return "\n".join(lines)


def picture(scores: dict) -> bytes:
    """A PNG: bars of F1 per crop and method, for pixels and fields; dots are seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    crops = list(scores["lead"])
    fig, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for ax, unit in zip(axes, ("pixels", "fields"), strict=True):
        for i, method in enumerate(METHODS):
            at = [k + (i - 1.5) * 0.2 for k in range(len(crops))]
            values = [scores.get((method, unit), {}).get(crop, [0.0]) for crop in crops]
            means = [statistics.mean(v) for v in values]
            ax.bar(at, means, 0.18, color=COLOURS[method], label=method)
            for x, runs in zip(at, values, strict=True):
                if len(runs) > 1:
                    ax.plot([x] * len(runs), runs, ".", color="black", markersize=4)
        ax.set_ylabel(f"F1 of {unit}")
        ax.set_ylim(0, 1)
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
    axes[0].legend(ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes[1].set_xticks(range(len(crops)), crops)
    fig.suptitle("Simulated Iran, held-out sites, 30 days before harvest or more", x=0.35)
    data = io.BytesIO()
    fig.savefig(data, dpi=110, format="png")
    plt.close(fig)
    return data.getvalue()


def claim(out: pathlib.Path) -> None:
    """Requires that files of the report that are there are of an earlier run of the demo.

    Raises:
      ValueError: one is somebody else's.
    """
    files.Written(out, "demo").claim("scores.txt", "scores.png")


def _view(out: pathlib.Path) -> str:
    words = ["--map", str(out / "map"), "--cubes", str(out / "iran" / "cubes"), "--open"]
    return f"python -m experiments.view {shlex.join(words)}"


def write(out: pathlib.Path, seeds: int) -> str:
    """Writes `scores.txt` and `scores.png`, and returns what to print.

    Raises:
      OSError: no space or no permission; names the file.
    """
    scores = read(out, seeds)
    text = f"{table(scores)}\n\n{difference(scores)}\n"
    files.write_bytes(out / "scores.txt", text.encode())
    files.write_bytes(out / "scores.png", picture(scores))
    return (
        f"{text}\nthis table: {out / 'scores.txt'}, drawn: {out / 'scores.png'}\n"
        f"pictures of each crop: {out / 'combined-0' / 'evaluation' / 'test'}\n"
        f"the map, for QGIS: {out / 'map'}\n"
        f"in a browser: {_view(out)}\n\n{NEXT}"
    )
