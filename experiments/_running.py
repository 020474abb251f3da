"""Commands of this package that another one runs, each printed before it runs."""

import errno
import shlex
import time
from collections.abc import Sequence

from cropmap_jax.geo import forks
from experiments import _cli, _pipes

SHARED = ("cropmap_jax.evaluation.evaluate", "cropmap_jax.training.loop")
"""What most commands import, once for all of them."""
OF_BASELINES = ("cropmap_jax.baselines.keeping",)
"""What those import that have to do with baselines, scikit-learn among it."""


def run(title: str, command: str, arguments: Sequence[str], shared: Sequence[str] = SHARED) -> None:
    """Runs `python -m experiments.COMMAND`, which prints where this process does.

    Args:
      title: what the command does, for people.
      command: name of a module of `experiments`.
      arguments: its flags.
      shared: modules to import here, before it runs.

    Raises:
      ValueError: it failed.
      KeyboardInterrupt: this process was asked to end; so was the command, which has ended.
    """
    shown = f"python -m experiments.{command} {shlex.join(arguments)}"
    print(f"\n== {title}\n$ {shown}", flush=True)
    start = time.monotonic()
    forks.preload(shared)
    ended = forks.command(f"experiments.{command}", arguments, None, _cli.forget_flags)
    if ended.code == _pipes.CLOSED:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if ended.code:
        raise ValueError(f"{title} failed (exit {ended.code}): {shown}")
    print(f"({time.monotonic() - start:.0f} s)", flush=True)
