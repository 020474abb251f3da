"""Commands as a user starts them, without the seconds that each needs to import jax."""

import json
import os
import pathlib
import select
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
# Compiling is most of what these commands do in tests.
ENV = os.environ | {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "PYTHONUNBUFFERED": "1",
}


class Starter:
    """`run` of one `starter.py`; a context manager that ends it.

    Args:
      folder: for what commands print.
      env: their environment.
    """

    def __init__(self, folder: pathlib.Path, env: dict[str, str]):
        own = [env["PYTHONPATH"]] if "PYTHONPATH" in env else []
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("starter.py")],
            cwd=CHECKOUT,
            env=env | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *own])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate(timeout=60)

    def run(self, verb: str, *flags) -> subprocess.CompletedProcess:
        """Runs `experiments.VERB` to its end, which is five minutes away at most."""
        out, err = self._folder / "stdout", self._folder / "stderr"
        asked = [f"experiments.{verb}", [str(flag) for flag in flags], str(out), str(err)]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 300)
        if not ready:
            self._process.kill()
            raise TimeoutError(
                f"{asked}: printed {out.read_text()[-1000:]}{err.read_text()[-1000:]}"
            )
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(asked, code, out.read_text(), err.read_text())
