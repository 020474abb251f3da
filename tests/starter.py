"""Runs commands one after the other, each in a process of its own, as `python -m` would.

Most of a short command is importing jax: this one process has it imported, and each command is a
fork of it that has touched no device yet. What is asked for comes as lines of JSON; the exit code
of each command goes back.
"""

import gc
import importlib
import json
import os
import runpy
import sys

import cropmap_jax.evaluation.evaluate
import cropmap_jax.mapping.crop_map
import cropmap_jax.training.loop  # noqa: F401

_SCIKIT_LEARN = "cropmap_jax.baselines.keeping"
_AREA = (
    "cropmap_jax.evaluation.area_picture",
    "cropmap_jax.evaluation.area_tables",
    "cropmap_jax.mapping.points_picture",
    "cropmap_jax.mapping.province_grid",
)
SLOW_IMPORTS = {
    "experiments.baseline": (_SCIKIT_LEARN,),
    "experiments.combine": (_SCIKIT_LEARN,),
    "experiments.learning_curve": (_SCIKIT_LEARN,),
    "experiments.area": _AREA,
    "experiments.sample_points": _AREA,
    "experiments.calibrate": (_SCIKIT_LEARN, "cropmap_jax.evaluation.calibration_scores"),
}


def main() -> None:
    for line in sys.stdin:
        module, arguments, out, err = json.loads(line)
        for name in SLOW_IMPORTS.get(module, ()):  # seconds, for all that follow
            importlib.import_module(name)
        gc.freeze()  # no command looks for garbage among all this, nor copies it
        child = os.fork()
        if not child:
            for number, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


main()
