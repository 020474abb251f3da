"""Steps that are run once: what a folder records of them, how long they took, what failed."""

import hashlib
import json
import pathlib
import runpy
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cropmap_jax.geo import files, forks

RECORD = "steps.json"
_ROOT = pathlib.Path(__file__).resolve().parents[2]
"""The checkout, or the folder in which the wheel is installed."""


class Failed(Exception):
    """A step ended with an error; its text is the last line that it printed."""


class Took(NamedTuple):
    """How long a step took: seconds on the clock, and of processors, all of them together."""

    seconds: float
    cpu_seconds: float


def digest_of(config: str) -> str:
    """Hash of the settings that a config file makes, those that it is based on among them.

    Args:
      config: a path, with ":ARGUMENT" where the file takes one.

    Raises:
      Failed: there is no such file, or it makes none.
    """
    path, colon, argument = config.partition(":")
    places = (pathlib.Path(path), _ROOT / path, _ROOT / "cropmap_jax" / path)
    file = next((f for f in places if f.is_file()), None)
    if file is None:
        raise Failed(f"expected a file of settings, found none at {path}")
    try:
        made = runpy.run_path(str(file))["get_config"](*([argument] if colon else []))
        text = made.to_json_best_effort(sort_keys=True)
    except Exception as error:  # a program of its own may raise anything
        raise Failed(f"{path}: {error!r}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Steps:
    """Runs steps below a folder and records them, so that the same command resumes.

    A step that finished is skipped. A training that was interrupted or failed begins anew: it is
    short, and seconds of a part would be nobody's.

    Args:
      out: the folder of everything.
      run: runs a command, as `forks.command`.
    """

    def __init__(
        self,
        out: pathlib.Path,
        run: Callable[[str, Sequence[str], pathlib.Path], forks.Ended] = forks.command,
    ):
        self._out, self._run = out, run
        self.ran = self.skipped = 0

    def command(
        self,
        folder: pathlib.Path,
        name: str,
        verb: str,
        arguments: Sequence[str],
        config: str = "",
        anew: bool = False,
        of: Sequence[dict[str, Any]] = (),
    ) -> Took:
        """Runs `python -m experiments.VERB` unless it has; returns how long it took.

        Args:
          folder: whose record it is, and its log NAME.log.
          name: of the step, unique in the folder.
          verb: of `experiments`.
          arguments: flags without --config.
          config: file of settings, with ":ARGUMENT".
          anew: remove the folder first when it holds an unfinished step of this name.
          of: records of steps that it rests on: of others, it would be another step.

        Raises:
          Failed: it ended with another exit code than 0, or its config cannot be read.
          ValueError: it ran with other settings.
        """
        words = ([f"--config={config}"] if config else []) + list(arguments)
        key: dict[str, Any] = {"verb": verb, "flags": self.portable(words)}
        key |= {"settings": digest_of(config)} if config else {}
        key |= {"of": list(of)} if of else {}
        shown = f"python -m experiments.{verb} {shlex.join(words)}"

        def work(log: pathlib.Path) -> forks.Ended:
            return self._run(f"experiments.{verb}", words, log)

        return self.step(folder, name, key, shown, work, anew)

    def finished(self, folder: pathlib.Path, name: str) -> dict[str, Any] | None:
        """The record of a step that has finished: "key", "seconds" and "cpu_seconds"; else None."""
        found = self._read(folder).get(name)
        return found if found and found["seconds"] is not None else None

    def flags(self, folder: pathlib.Path, name: str) -> list[str] | None:
        """Flags that a step was begun with, as `portable` writes them; None if it was not."""
        found = self._read(folder).get(name)
        return list(found["key"].get("flags", ())) if found else None

    def forget(self, folder: pathlib.Path, *names: str) -> None:
        """Steps run again, with whatever settings; what they wrote is their caller's to remove."""
        record = self._read(folder)
        self._write(folder, {name: one for name, one in record.items() if name not in names})

    def step(
        self,
        folder: pathlib.Path,
        name: str,
        key: dict[str, Any],
        shown: str,
        work: Callable[[pathlib.Path], forks.Ended],
        anew: bool = False,
    ) -> Took:
        """Runs `work(log)` unless a step of this name and key has finished; see `command`."""
        record = self._read(folder)
        before = record.get(name)
        if before and before["key"] != key:
            raise ValueError(
                f"{folder}: expected {name} with the settings of this run, found one with others; "
                "remove that folder, or choose another --out"
            )
        if before and before["seconds"] is not None:
            self.skipped += 1
            return Took(before["seconds"], before["cpu_seconds"])
        if before and anew:
            shutil.rmtree(folder)
            record = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._write(folder, record | {name: {"key": key, "seconds": None}})
        print(f"\n== {folder.relative_to(self._out)}: {name}\n$ {shown}", flush=True)
        log, start = folder / f"{name}.log", time.monotonic()
        ended = work(log)
        seconds = time.monotonic() - start
        if ended.code:
            reason = last_line(log) or f"exit {ended.code}"
            print(f"failed: {reason} ({log})", flush=True)
            raise Failed(reason)
        self.ran += 1
        took = Took(round(seconds, 2), round(ended.cpu_seconds, 2))
        self._write(folder, record | {name: {"key": key, **took._asdict()}})
        print(f"({seconds:.0f} s, {ended.cpu_seconds:.0f} s of processors)", flush=True)
        return took

    def portable(self, words: Sequence[str]) -> list[str]:
        """Flags without the path of --out, which may have been moved."""
        return [word.replace(str(self._out), "OUT") for word in words]

    def _read(self, folder: pathlib.Path) -> dict[str, Any]:
        file = folder / RECORD
        if not file.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            done = (one for one in found.values() if one["seconds"] is not None)
            if all("key" in one for one in found.values()) and all(
                "cpu_seconds" in d for d in done
            ):
                return found
            raise ValueError("other keys")
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"{file}: expected a record of steps ({error}); remove it") from error

    def _write(self, folder: pathlib.Path, record: dict[str, Any]) -> None:
        files.write_bytes(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def last_line(log: pathlib.Path) -> str:
    """The last line of a log that says something, without the "error: " in front."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("error: ") if said else ""
