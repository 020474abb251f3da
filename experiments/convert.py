"""Writes a run's network for people without jax: ONNX, or StableHLO for jax without this library.

    python -m experiments.convert --workdir W --to onnx --out DIR

What goes in is reflectance and dB, NaN where missing, and the days of the year; what comes out are
probabilities of the classes, calibrated where calibrate has been run. DIR holds the network, what
each axis and band of it means (metadata.json), a script that runs it (example.py), the model card
(README.md) and a STAC item. The file is run and compared with the run before anything is kept.
"""

import pathlib

from absl import flags

from experiments import _cli, _output

_FORMATS = ("onnx", "stablehlo")

_cli.extensible()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a network's run.", required=True)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "last", "last, best (by macro-F1 of validation) or the number of a step."
)
_TO = flags.DEFINE_enum("to", None, _FORMATS, "Format to write.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write, new or empty.", required=True)
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", True, "Rescale probabilities by the run's calibration, if calibrate made one."
)
_NAME = flags.DEFINE_string("name", None, "Name of the model; default: that of the workdir.")


def _paths() -> tuple[pathlib.Path, pathlib.Path]:
    """The folders that are named, after all that can be wrong with them."""
    from cropmap_jax import runs
    from cropmap_jax.geo import files

    workdir, out = files.local("--workdir", _WORKDIR.value), files.local("--out", _OUT.value)
    if out.is_file():
        raise ValueError(f"--out {out}: expected a folder, found a file")
    if out.is_dir():
        there = sorted(path.name for path in out.iterdir())
        if there:
            raise ValueError(
                f"--out {out}: expected a new or empty folder, found {there[0]} in it; choose "
                f"another"
            )
    files.check_apart({"--out": out}, runs.folders(workdir))
    return workdir, out


def main(_):
    from cropmap_jax import runs
    from cropmap_jax.geo import extras
    from cropmap_jax.product import cards, conversion, facts
    from cropmap_jax.runs import calibration

    to = _TO.value
    workdir, out = _paths()
    if to == "onnx":
        extras.require("onnx", "--to onnx")
    run = runs.open_run(workdir, _CHECKPOINT.value)
    conversion.check(run, workdir, to)
    stored = calibration.find(workdir, run) if _CALIBRATE.value else None
    found = facts.gather(workdir, run, name=_NAME.value)
    made = conversion.convert(run, stored, to, found["name"], out, found, cards.render(found))
    apart = made.difference
    _output.results(out=out, file=made.path, difference=apart.to_json(), runtime=made.runtime)
    print(
        f"largest difference from the workdir's own probabilities: {apart.largest:.2g} (bound "
        f"{apart.bound:g}), of {apart.pixels:,} made-up pixels, {made.runtime} on the CPU\n"
        f"{'calibrated: ' + stored.describe() if stored else 'probabilities are not calibrated'}\n"
        f"converted: {made.path}\n"
        f"next: python {out / 'example.py'}"
    )


if __name__ == "__main__":
    _cli.run(main)
