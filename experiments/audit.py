"""Looks for what makes scores wrong: leakage between splits, copies, gaps that tell the class.

    python -m experiments.audit --data_dir DIR
    python -m experiments.audit --data_dir DIR --dataset isrc/iran --out DIR
    python -m experiments.audit --cubes DIR

A built dataset, all datasets of a folder, or a folder of cubes before it is built. Each finding has
a severity and one line of what to do:

    error     leakage: what is scored was learnt from; the command exits with 1
    warning   likely wrong
    note      good to know

With --out, audit.json, audit.md and audit.png are written there, in a folder for each dataset where
there are several. Pixels are read once, chip by chip: memory does not grow with their number.
"""

import pathlib
import sys

from absl import flags

from experiments import _cli, _output

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets.")
_DATASET = flags.DEFINE_string("dataset", None, "One of them, as KIND/NAME; default: all.")
_CUBES = flags.DEFINE_string("cubes", None, "Folder of cubes, built into a dataset or not.")
_OUT = flags.DEFINE_string("out", None, "Folder to write audit.json, audit.md and audit.png to.")
_PERIODS = flags.DEFINE_integer("num_periods", 6, "Periods that training will see.", 1, 1000)
_LEAD = flags.DEFINE_integer("lead_days", 30, "Days from the as-of date to harvest.", -366, 366)


def _datasets(folder: pathlib.Path) -> list[str]:
    """Names of the datasets of a folder.

    Raises:
      ValueError: there are none.
    """
    from cropmap_jax.data import dataset, dataset_files

    found = sorted(folder.glob(f"*/*/*/{dataset_files.INFO}"))
    names = list(dict.fromkeys("/".join(path.parts[-4:-2]) for path in found))
    if not names:
        raise ValueError(
            f"--data_dir {folder}: expected datasets, found none; build one with python -m "
            f"experiments.build"
        )
    for name in names:
        dataset.newest(str(folder), name)
    return names


def _materials():
    """Yields what is to be audited, each with the name of its folder below --out."""
    from cropmap_jax.audit import opening
    from cropmap_jax.data import dataset
    from cropmap_jax.geo import files

    if _DATASET.value is not None and _DATA_DIR.value is None:
        raise ValueError("--dataset: expected --data_dir with it, found none")
    if _DATA_DIR.value is None and _CUBES.value is None:
        raise ValueError("expected --data_dir or --cubes, found neither")
    if _DATA_DIR.value is not None:
        folder = files.local("--data_dir", _DATA_DIR.value)
        names = [_DATASET.value] if _DATASET.value else _datasets(pathlib.Path(folder))
        for name in names:
            data = dataset.open_folder(dataset.newest(str(folder), name))
            yield data.name if len(names) > 1 or _CUBES.value else "", opening.of_dataset(data)
    if _CUBES.value is not None:
        folder = files.local("--cubes", _CUBES.value)
        yield "cubes" if _DATA_DIR.value else "", opening.of_cubes(folder)


def main(_):
    from cropmap_jax.audit import findings, report, run
    from cropmap_jax.geo import files, processes

    out = None if _OUT.value is None else pathlib.Path(files.local("--out", _OUT.value))
    if _OUT.value is not None:
        inputs = {"--data_dir": _DATA_DIR.value or "", "--cubes": _CUBES.value or ""}
        files.check_apart({"--out": _OUT.value}, inputs)
    errors, warnings, written = 0, 0, []
    with processes.stoppable():
        for name, one in _materials():
            found = run.audit(one, _PERIODS.value, _LEAD.value, _cli.progress)
            print(f"\n{report.describe(found)}", flush=True)
            errors += found.count("error")
            warnings += found.count("warning")
            if out is not None:
                written += report.write(found, out / name)
    print()
    _output.results(errors=errors, warnings=warnings, written=written)
    if written:
        print(f"written: {', '.join(str(path) for path in written)}")
    if errors:
        count = findings.plural(errors, "error")
        print(f"{count}: scores of these splits say little; correct that first")
        sys.exit(1)
    more = "; look at the warnings above" if warnings else ""
    print(f"no leakage found{more}\nnext: python -m experiments.finetune or pretrain")


if __name__ == "__main__":
    _cli.run(main)
