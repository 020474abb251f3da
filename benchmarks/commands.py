"""Commands of this package, run by a benchmark."""

import subprocess
import sys


def command(verb: str, *flags: str) -> None:
    """Runs `python -m experiments.VERB`, printed before it runs.

    Raises:
      SystemExit: it failed; its last line.
    """
    print(f"$ python -m experiments.{verb} {' '.join(flags)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{verb}", *flags], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"error: {verb}: {last}")
