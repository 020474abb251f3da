"""Runs of a learning curve, with commands that only write what they would have made."""

import json
import pathlib

import pytest

from cropmap_jax.geo import forks, recorded_steps
from experiments import _curve_runs
from experiments._curve_methods import BY_NAME


class Commands:
    """Stands in for `forks.command`: notes what was run, and writes scores where one scores."""

    def __init__(self, fingerprint="a"):
        self.ran, self.fingerprint, self.fails = [], fingerprint, ""

    def __call__(self, module, arguments, log):
        given = dict(word.removeprefix("--").split("=", 1) for word in arguments)
        workdir = pathlib.Path(given["workdir"])
        self.ran.append((module.rpartition(".")[2], workdir.name))
        if workdir.name == self.fails:
            log.write_text("error: no memory\n")
            return forks.Ended(1, 0.1)
        if module == "experiments.combine":
            workdir.mkdir()
            (workdir / "members").write_text(given["workdirs"])
        if module == "experiments.evaluate":
            names = [workdir.name]
            if workdir.name == "combined":
                paths = (workdir / "members").read_text().split(",")
                names += [pathlib.Path(path).name for path in paths]
            settings = {"method": workdir.name, "fingerprint": self.fingerprint}
            file = workdir / "evaluation" / "test" / "all.json"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps({"settings": settings, "scores": rows(names)}))
        return forks.Ended(0, 1.0)


def rows(names):
    same = {"crop": "maize", "rule": "chosen", "threshold": 0.5, "tp": 1, "fp": 0, "fn": 0, "tn": 1}
    same |= {"lead_days": None, "without_image": 0, "precision": 1, "recall": 1, "f1": 1}
    return [
        same | {"method": name, "unit": unit} for name in names for unit in ("pixels", "fields")
    ]


def run(out, commands, *names):
    steps = recorded_steps.Steps(out, commands)
    settings = _curve_runs.Settings("D", "isrc", None, "a", {"pixel_series": "W"}, None, None, None)
    methods = tuple(BY_NAME[name] for name in names)
    cell = _curve_runs.Cell("8", 0, out / "runs" / "fields-8-0", methods)
    commands.ran = []
    return _curve_runs.Runner(steps, settings, 10).cell(cell)


def scored(runs):
    return {one["method"] for one in runs if "scores" in one}


def test_a_method_that_comes_in_later_is_combined_too(tmp_path):
    commands = Commands()
    first = ("pixel_series", "forest", "combined")
    assert scored(run(tmp_path, commands, *first)) == set(first)
    run(tmp_path, commands, *first)
    assert commands.ran == []
    more = ("pixel_series", "pixel_series_pretrained", "forest", "combined")
    assert scored(run(tmp_path, commands, *more)) == set(more)
    assert commands.ran == [
        ("finetune", "pixel_series_pretrained"), ("combine", "combined"), ("evaluate", "combined")
    ]  # fmt: skip
    run(tmp_path, commands, *more)
    assert commands.ran == []


def test_a_training_that_ends_well_at_last_is_combined_too(tmp_path):
    commands = Commands()
    commands.fails = "pixel_series"
    names = ("pixel_series", "pixel_series_pretrained", "forest", "combined")
    found = run(tmp_path, commands, *names)
    assert scored(found) == set(names[1:]) and found[0]["failed"] == "no memory"
    commands.fails = ""
    assert scored(run(tmp_path, commands, *names)) == set(names)


def test_scores_of_a_dataset_that_was_built_anew_are_refused(tmp_path):
    commands = Commands("b")
    with pytest.raises(ValueError, match=r"all\.json: expected scores of isrc as it is \(finger"):
        run(tmp_path, commands, "forest")


def test_a_record_that_lacks_something_is_named(tmp_path):
    (tmp_path / "r").mkdir()
    file = tmp_path / "r" / recorded_steps.RECORD
    for one in ({"key": {}, "seconds": 1.0}, {"key": {}}, {"seconds": None}):
        file.write_text(json.dumps({"train": one}))
        with pytest.raises(ValueError, match=r"steps\.json: expected a record of steps"):
            recorded_steps.Steps(tmp_path).finished(tmp_path / "r", "train")
