"""A run's network converted: a folder that is all that somebody without jax needs to use it."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from cropmap_jax import runs
from cropmap_jax.geo import files
from cropmap_jax.product import comparing, examples, exporting, model_item, program, versions
from cropmap_jax.product.comparing import Difference
from cropmap_jax.product.program import Program
from cropmap_jax.runs import combined
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored

METADATA, ITEM, README = "metadata.json", "item.json", "README.md"
FORMAT = "cropmap_jax converted network"
VERSION = 1
_RUNTIME = {exporting.ONNX: "onnxruntime", exporting.STABLEHLO: "jax"}
_MAKER = {exporting.ONNX: ("jax2onnx", "onnx", "onnxruntime", "jax"), exporting.STABLEHLO: ("jax",)}


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network that was converted, and has been compared.

    Args:
      path: its file.
      difference: from its run.
      runtime: what ran it, with its version.
    """

    path: pathlib.Path
    difference: Difference
    runtime: str


def check(run: Restored, workdir: pathlib.Path, to: str) -> None:
    """Requires a run of one network, and a network that has no arrays of its own making.

    Raises:
      ValueError: says what can be converted.
    """
    method = runs.method_of(run)
    if method == runs.NETWORK:
        return
    if method != runs.COMBINED:
        raise ValueError(
            f"--workdir {workdir}: expected a network to convert to {to}, found {method!r}, which "
            f"scikit-learn runs; networks alone can be converted"
        )
    folder = runs.folders(workdir)["the combined runs"] / "members"
    networks = [n for n, one in runs.parts_of(run).items() if runs.method_of(one) == runs.NETWORK]
    way = "there is no network among them"
    if networks:
        way = "convert a member that is one: " + " or ".join(
            f"--workdir {folder / name}" for name in networks
        )
    raise ValueError(
        f"--workdir {workdir}: expected one network to convert to {to}, found combined runs "
        f"({', '.join(runs.parts_of(run))}); {way}"
    )


def convert(
    run: Restored,
    stored: Stored | None,
    to: str,
    name: str,
    out: pathlib.Path,
    facts: dict[str, Any],
    card: str,
) -> Converted:
    """Writes OUT, whole or not at all, once the file in it says what the run says.

    Args:
      run: a network's checkpoint.
      stored: its calibration, None to leave it out.
      to: one of `exporting.FORMATS`.
      name: of the model, for people.
      out: a folder that is not there, or empty.
      facts: of the run, see `facts.gather`.
      card: its model card.

    Raises:
      ValueError: it cannot be converted, or what came out differs from the run.
      OSError: nothing could be written.
    """
    made = program.of_run(run, stored.calibration if stored else None)
    about = describe(made, run, stored, to, name)
    data = exporting.write(made, to, about)
    found = comparing.compare(run, stored, made, exporting.open_runner(data, to))
    if not found.counted <= found.bound:
        raise ValueError(
            f"--to {to}: expected probabilities within {found.bound:g} of the workdir's own, found "
            f"a difference of {found.counted:.2g}; nothing was written"
        )
    runtime = _RUNTIME[to]
    known = versions.installed(*_MAKER[to])
    about |= {
        "sha256": hashlib.sha256(data).hexdigest(),
        "compared": found.to_json() | {"runtime": f"{runtime} {known[runtime]}"},
        "versions": known,
    }
    item = model_item.of_conversion(facts, made, about, len(data))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.not_written(out, error) from error
    with files.replacing(out) as part:
        part.mkdir()
        files.write_synced(part / about["file"], data)
        texts = {
            METADATA: json.dumps(about, indent=1, allow_nan=False) + "\n",
            ITEM: json.dumps(item, indent=1, allow_nan=False) + "\n",
            examples.NAME: examples.script(to, about["file"]),
            README: card,
        }
        for file, text in texts.items():
            files.write_synced(part / file, text.encode())
    return Converted(out / about["file"], found, str(about["compared"]["runtime"]))


def describe(
    made: Program, run: Restored, stored: Stored | None, to: str, name: str
) -> dict[str, Any]:
    """What a user of the file has to know, JSON-ready.

    Args:
      made: what is written.
      run: the checkpoint.
      stored: its calibration.
      to, name: as in `convert`.
    """
    recipe = made.recipe
    kind, count = recipe.period_kind, recipe.num_periods
    sensors = [
        {
            "name": one.name,
            "title": one.title,
            "axes": list(program.AXES),
            "shape": ["batch", count, "height", "width", len(one.bands)],
            "dtype": "float32",
            "bands": list(one.bands),
            "unit": one.unit,
            "missing": "NaN",
            "rounded_to": 1 / one.scale,
            "range": list(one.range),
        }
        for one in recipe.sensors
    ]
    days = {
        "name": program.DAYS,
        "axes": list(program.AXES[:2]),
        "shape": ["batch", count],
        "dtype": "int32",
        "meaning": "day of the year, 1 to 366, in the middle of each period; 0 before the data",
        "example": _example_days(count),
    }
    classes = [
        {"code": one.code, "name": one.name, "title": one.title, "colour": one.colour}
        for one in recipe.legend.classes
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "file": exporting.FILES[to],
        "run": {"step": run.step, "digest": combined.digest(run)},
        "inputs": [*sensors, days],
        "periods": {
            "kind": kind,
            "count": count,
            "order": "oldest first; the last one ends on or before the date of the prediction",
            "composited": {one.name: one.compositing for one in recipe.sensors},
        },
        "size_multiple": recipe.size_multiple,
        "halo_px": recipe.halo,
        "pixel_m": recipe.pixel_m,
        "output": {
            "name": program.OUTPUT,
            "axes": [*program.AXES[:1], *program.AXES[2:4], "classes"],
            "dtype": "float32",
            "missing": "NaN where no sensor has any value",
            "legend": recipe.legend.name,
            "classes": classes,
            "exclusive": recipe.exclusive,
            "rest": "none of these" if recipe.none_of_these else None,
        },
        "lead_days": recipe.lead_days,
        "calibrated": stored.describe() if stored else None,
    }


def _example_days(count: int) -> list[int]:
    """Middles of months that end in June, or as near as periods of another length come."""
    return [(181 - 30 * (count - i) + 15 - 1) % 365 + 1 for i in range(count)]
