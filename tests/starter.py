"""Starts commands, each in a process of its own, as `python -m` would.

Most of a short command is importing jax: this one process has it imported, and each command is a
fork of it that has touched no device yet. What is asked for comes as lines of JSON: a command,
whose process id goes back; such an id, whose exit code does; or whether one has ended.
"""

import gc
import importlib
import json
import os
import runpy
import sys

import cropmap_jax.evaluation.evaluate
import cropmap_jax.evaluation.scoring
import cropmap_jax.mapping.crop_map
import cropmap_jax.runs.training
import cropmap_jax.training.loop  # noqa: F401
from cropmap_jax.training import metric_log

_SCIKIT_LEARN = "cropmap_jax.baselines.keeping"
_AREA = (
    "cropmap_jax.evaluation.area_picture",
    "cropmap_jax.evaluation.area_tables",
    "cropmap_jax.mapping.points_picture",
    "cropmap_jax.mapping.province_grid",
)
_AUDIT = ("cropmap_jax.audit.opening", "cropmap_jax.audit.report", "cropmap_jax.audit.run")
_SIMULATOR = ("cropmap_jax.sources.simulator.run",)
_FETCH = ("cropmap_jax.sources.stac.fetch", "cropmap_jax.sources.missing_report")
SLOW_IMPORTS = {
    "experiments.fetch": _FETCH,
    "experiments.baseline": (_SCIKIT_LEARN,),
    "experiments.demo": (*_SIMULATOR, _SCIKIT_LEARN),
    "experiments.crossvalidate": (_SCIKIT_LEARN,),
    "experiments.export": ("cropmap_jax.sources.earthengine.export", *_FETCH[1:]),
    "experiments.combine": (_SCIKIT_LEARN,),
    "experiments.learning_curve": (_SCIKIT_LEARN,),
    "experiments.area": _AREA,
    "experiments.audit": _AUDIT,
    "experiments.sample_points": _AREA,
    "experiments.review_labels": (_SCIKIT_LEARN, "cropmap_jax.review.table", "matplotlib.pyplot"),
    "experiments.simulate": _SIMULATOR,
    "experiments.visit": ("cropmap_jax.review.visit_map",),
    "experiments.calibrate": (_SCIKIT_LEARN, "cropmap_jax.evaluation.calibration_scores"),
}


def code_of(pid: int, how: int) -> int | None:
    """The exit code of a process; None while it runs, if `how` is WNOHANG."""
    found, status = os.waitpid(pid, how)
    return os.waitstatus_to_exitcode(status) if found else None


def main() -> None:
    metric_log._tensorboard()
    codes: dict[int, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            print(codes.pop(asked) if asked in codes else code_of(asked, 0), flush=True)
            continue
        if isinstance(asked, dict):
            pid = asked["ended"]
            if pid not in codes and (code := code_of(pid, os.WNOHANG)) is not None:
                codes[pid] = code
            print(int(pid in codes), flush=True)
            continue
        module, arguments, out, err = asked
        for name in SLOW_IMPORTS.get(module, ()):  # seconds, for all that follow
            importlib.import_module(name)
        os.fsync = lambda number: None  # as in conftest.py
        gc.freeze()  # no command looks for garbage among all this, nor copies it
        child = os.fork()
        if not child:
            for number, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
        print(child, flush=True)


main()
