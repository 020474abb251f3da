"""What a command prints: text for people, one line of JSON for scripts, or nothing."""

import contextlib
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

_RESULTS: dict[str, Any] = {}


def define_flags() -> None:
    """Defines --json and --quiet, which every command has."""
    if "json" not in flags.FLAGS:
        flags.DEFINE_bool(
            "json",
            False,
            "One line of JSON on the standard output when the command ends: whether it succeeded, "
            "and where its results lie. What is for people goes to the standard error.",
        )
        flags.DEFINE_bool("quiet", False, "Print errors only: no progress, no text for people.")
    # Else --help would show those alone that the command's own file defines.
    known = flags.FLAGS
    for module, found in known.flags_by_module_dict().items():
        if module.startswith("experiments."):
            for flag in found:
                known.register_key_flag_for_module(sys.argv[0], flag)


def results(**values: Any) -> None:
    """Notes results for --json; a later value of the same name replaces an earlier one.

    Args:
      **values: paths as `pathlib.Path`, numbers, texts, lists and dicts of such.
    """
    _RESULTS.update(values)


class Output:
    """Sends what a command prints where its flags want it, from before the flags are parsed.

    Args:
      argv: the command's words.
    """

    def __init__(self, argv: Sequence[str]):
        self._json = _asked(argv, "json")
        self._quiet = _asked(argv, "quiet")
        self._command = pathlib.PurePath(argv[0]).stem.rpartition(".")[2]
        self._began = time.monotonic()
        self._out: int | None = None
        _RESULTS.clear()
        if self._quiet:
            from cropmap_jax.geo import progress

            progress.hide()
        if self._json or self._quiet:
            sys.stdout.flush()
            # Of the system and not only Python's: commands that this one starts print there too.
            self._out = os.dup(1)
            other = os.open(os.devnull, os.O_WRONLY) if self._quiet else os.dup(2)
            os.dup2(other, 1)
            os.close(other)

    def end(self, code: int, error: str | None = None) -> None:
        """Prints the line of JSON, if it was asked for.

        Args:
          code: the exit code.
          error: why it failed, where a line says so.
        """
        if not self._json or self._out is None:
            return
        line: dict[str, Any] = {
            "command": self._command,
            "ok": code == 0,
            "exit_code": code,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        if error:
            line["error"] = error
        line["results"] = dict(_RESULTS)
        sys.stdout.flush()
        text = json.dumps(_plain(line), ensure_ascii=False, allow_nan=False)
        # Whoever asked for it may have left: what the command did stands.
        with contextlib.suppress(BrokenPipeError):
            with os.fdopen(self._out, "w", encoding="utf-8") as out:
                print(text, file=out)
        self._out = None


def _asked(argv: Sequence[str], name: str) -> bool:
    """Whether a flag stands among words that may not be right otherwise; the last counts."""
    truths = {f"--{name}": True, f"--no{name}": False}
    asked = False
    for word in argv[1:]:
        if word == "--":
            break
        flag, _, value = word.partition("=")
        flag = f"-{flag}" if flag.startswith("-") and not flag.startswith("--") else flag
        if flag in truths:
            asked = truths[flag] == (value.lower() not in ("false", "f", "0"))
    return asked


def _plain(value: Any) -> Any:
    """A value as JSON has it: paths as texts, no number that is not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):  # of numpy
        return _plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
