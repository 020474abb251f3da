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
        self._folder, self._begun = folder, 0
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
        return self.begin(f"experiments.{verb}", *flags).end()

    def begin(self, module: str, *flags) -> "Begun":
        """Starts `python -m MODULE`."""
        self._begun += 1
        out, err = (self._folder / f"{name}-{self._begun}" for name in ("stdout", "stderr"))
        for file in (out, err):
            file.touch()  # the fork may open them only after a caller has looked
        asked = [module, [str(flag) for flag in flags], str(out), str(err)]
        return Begun(self, self._ask(asked), asked, out, err)

    def wait(self, pid: int) -> int:
        """The exit code of what was begun."""
        return self._ask(pid)

    def ended(self, pid: int) -> bool:
        """Whether what was begun has ended."""
        return bool(self._ask({"ended": pid}))

    def _ask(self, request) -> int:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 300)
        if not ready:
            self._process.kill()
            raise TimeoutError(f"no answer to {request}")
        return int(self._process.stdout.readline())


class Begun:
    """A command that runs: a fork of the starter, which alone can wait for it.

    It prints into the files `out` and `err`.
    """

    def __init__(self, starter: Starter, pid: int, asked: list, *files: pathlib.Path):
        self._starter, self._asked, self.pid = starter, asked, pid
        self.out, self.err = files

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._starter.ended(self.pid)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self) -> subprocess.CompletedProcess:
        """Waits for its end; what it printed."""
        try:
            code = self._starter.wait(self.pid)
        except TimeoutError as error:
            printed = f"{self.out.read_text()[-1000:]}{self.err.read_text()[-1000:]}"
            raise TimeoutError(f"{self._asked}: printed {printed}") from error
        return subprocess.CompletedProcess(
            self._asked, code, self.out.read_text(), self.err.read_text()
        )
