"""Combines runs: networks of several seeds, forests, whatever `evaluate` takes, as one.

    python -m experiments.combine --workdirs A,B,C --workdir W

Their log-probabilities are averaged, with weights that make the annotated pixels of the validation
split most likely; seeds of one kind weigh the same. Where that split is too small to tell, all do,
and a note says so. `evaluate` and `predict` take W as any other workdir. Members are copied: W can
be moved, and stays what was weighed. What is written is whole: interrupted, the command leaves
nothing, and starts again.
"""

import shlex
import sys

from absl import flags

from experiments import _cli, _output

_cli.extensible()
_WORKDIRS = flags.DEFINE_list(
    "workdirs", None, "Folders of the runs, separated by commas; two or more.", required=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write, new or empty.", required=True)
_EQUAL = flags.DEFINE_bool("equal", False, "Equal weights, whatever validation says.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of datasets; default: as in training.")
_DATASET = flags.DEFINE_string("dataset", None, "Dataset to weigh on; default: as in training.")
_FOLD = flags.DEFINE_integer("fold", None, "Fold of the dataset; default: as in training.")
_AS_OF = flags.DEFINE_string("as_of", None, "One as-of date for all, instead of the calendar.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Chips per step.", lower_bound=1)

_SPLIT = "validation"
_OWN = {"combined", "evaluation"}
"""What a workdir of combined runs holds, by the commands of this package."""


def _paths():
    """The folders that are named, after all that can be wrong with them."""
    from cropmap_jax.geo import files

    workdir = files.local("--workdir", _WORKDIR.value)
    paths = [files.local("--workdirs", path) for path in _WORKDIRS.value]
    known = {}
    for path in paths:
        files.check_apart({"--workdir": workdir}, {"--workdirs": path})
        if path.resolve() in known:
            raise ValueError(f"--workdirs: expected each run once, found {path} twice")
        known[path.resolve()] = path
    if workdir.is_file():
        raise ValueError(f"--workdir {workdir}: expected a folder, found a file")
    if workdir.is_dir():
        found = [p for p in sorted(workdir.iterdir()) if not p.name.startswith(".")]
        # Files lie there, such as logs, and are nobody's run.
        others = [p.name for p in found if p.is_dir() and p.name not in _OWN]
        if others:
            raise ValueError(
                f"--workdir {workdir}: expected a new or empty folder, or one that combine wrote, "
                f"found {others[0]} in it; choose another"
            )
    return workdir, paths


def _open(paths):
    """The members by name, and their workdirs by name."""
    from cropmap_jax import runs
    from cropmap_jax.runs import combined

    names = combined.names_of(paths)
    members = {name: runs.open_run(path) for name, path in zip(names, paths, strict=True)}
    known: dict[str, str] = {}
    for name, one in members.items():
        other = known.setdefault(combined.digest(one), name)
        if other != name:
            raise ValueError(f"--workdirs: expected each run once, found {name} equal to {other}")
    if runs.COMBINED in members:
        raise ValueError(
            f"--workdirs: expected another name than {runs.COMBINED!r}, which is that of the mean"
        )
    return members, dict(zip(names, map(str, paths), strict=True))


def _config(members) -> dict:
    """On which dataset the members are weighed, and as of when."""
    from cropmap_jax.data import dataset

    known = {
        (one.config.get("dataset"), *sorted(dataset.view_of(one.config).items()))
        for one in members.values()
    }
    first = next(iter(members.values())).config
    name, view = _DATASET.value, {}
    if not name and len(known) > 1:
        listed = ", ".join(
            f"{of}" + "".join(f" ({setting} {value})" for setting, value in view)
            for of, *view in sorted(known, key=str)
        )
        raise ValueError(
            f"--dataset: expected one, since the members were trained on several ({listed}), "
            f"found none"
        )
    if not name:
        name, view = first.get("dataset"), dataset.view_of(first)
    view = {"fold": None} | view | ({} if _FOLD.value is None else {"fold": _FOLD.value})
    return {
        "data_dir": _DATA_DIR.value or first.get("data_dir"),
        "dataset": name,
        **view,
        "as_of": _AS_OF.value,
        "equal": _EQUAL.value,
    }


def _dataset(config: dict):
    """The dataset; None where nobody looks at it."""
    from cropmap_jax.data import dataset
    from cropmap_jax.geo import files

    for name in ("data_dir", "dataset"):
        if not config[name]:
            raise ValueError(f"--{name}: expected a value, found none, nor one in the members")
    if config["equal"]:
        return None
    data_dir = files.local("--data_dir", config["data_dir"])
    data = dataset.open_dataset(data_dir, config["dataset"], **dataset.view_of(config))
    files.check_apart({"--workdir": _WORKDIR.value}, {"the dataset": data.path.parent})
    return data


def _weigh(run, data):
    """Weights, and how they were found."""
    from cropmap_jax import runs
    from cropmap_jax.data import input_pipeline
    from cropmap_jax.evaluation import evaluate, weighing
    from cropmap_jax.geo import periods

    recipe, count = run.recipe, len(run.members)
    if data is None:
        return weighing.equal(count, "as --equal says")
    if _SPLIT not in data.chips:
        return weighing.equal(count, f"{data.name} has no {_SPLIT} split")
    as_of = None
    if _AS_OF.value:
        as_of = periods.to_day(periods.parse_date(_AS_OF.value, "--as_of"))
    crops = list(range(len(data.legend)))
    dates = input_pipeline.as_of_dates(data, crops, recipe.lead_days, as_of)
    flag = "--as_of" if _AS_OF.value else ""
    for note in evaluate.check_windows(data, [_SPLIT], dates, recipe.num_periods, flag):
        print(f"note: {note}")
    predictor = runs.predictor_of(run, _BATCH.value, apart=True)
    cubes = len(set(data.split(_SPLIT).cube.tolist()))
    with _cli.progress(None, total=cubes, unit="cube", desc=_SPLIT) as bar:
        return weighing.weigh(run, predictor, _SPLIT, data, dates, bar.update)


def _table(members: list[dict], weights, how: dict) -> str:
    """Members, their weights and how likely each alone makes what is known."""
    wide = max(len(one["name"]) for one in members) + 2
    alone = how.get("log_likelihood", {})
    lines = [f"{'member':{wide}}{'method':10}{'weight':>8}" + ("  log-likelihood" if alone else "")]
    for one, weight in zip(members, weights, strict=True):
        line = f"{one['name']:{wide}}{one['method']:10}{weight:8.3f}"
        lines.append(line + (f"{alone[one['name']]:16.4f}" if alone else ""))
    if alone:
        for kind in ("equal", "fitted"):
            lines.append(f"{'all, ' + kind:{wide}}{'':18}{alone[kind]:16.4f}")
        gain = how["gain"]
        lines.append(
            f"gain of fitted weights on fields that they have not seen: {gain['mean']:.4f} nats "
            f"({gain['low']:.4f} to {gain['high']:.4f}), from {how['fields']} fields"
        )
    return "\n".join(lines)


def main(_):
    from cropmap_jax import runs
    from cropmap_jax.geo import files, processes
    from cropmap_jax.product import keeping
    from cropmap_jax.runs import combined, combined_storage

    workdir, paths = _paths()
    members, workdirs = _open(paths)
    combined.make_recipe({name: one.recipe for name, one in members.items()})
    config = _config(members)
    data = _dataset(config)
    config["fingerprint"] = None if data is None else data.fingerprint
    count = len(members)
    run = combined.combine(members, (1 / count,) * count, config)
    if data is not None:
        run.recipe.check_dataset(data)
    methods = {name: runs.method_of(one) for name, one in members.items()}
    described = combined_storage.describe(run, workdirs, methods)
    with processes.stoppable(), files.Lock(workdir, "--workdir"):
        files.tidy(workdir, {combined_storage.FOLDER})
        if combined_storage.finished(workdir, described, config):
            run = runs.open_run(workdir)  # what is damaged is not finished
            print("combined already: nothing to do")
        else:
            found = _weigh(run, data)
            ground = [c for c in data.ground if c["split"] == _SPLIT] if data is not None else []
            how = found.how | {"ground": ground if found.how["weights"] == "fitted" else []}
            run = combined.combine(members, found.weights, config, how)
            command = f"python -m experiments.combine {shlex.join(sys.argv[1:])}"
            combined_storage.save(workdir, run, described, command)
            print(_table(described, found.weights, found.how))
            if found.note:
                print(f"note: {found.note}")
            run = runs.open_run(workdir)
        card = keeping.refresh(workdir, run, data, paths)
    _output.results(workdir=workdir, combined=combined_storage.folder(workdir))
    print(
        f"combined: {combined_storage.folder(workdir)}\n{card}\n"
        f"next: python -m experiments.evaluate --workdir {workdir} --crop all"
    )


if __name__ == "__main__":
    _cli.run(main)
