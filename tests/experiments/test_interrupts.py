"""Ctrl-C ends a command in one line, whatever Python is at when it comes."""

import os
import subprocess
import sys

COMMAND = """
import gc, signal, time
from experiments import _cli

def main(_):
    # As jax's does when Ctrl-C came while the garbage collector was at work.
    def callback(*_):
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(callback)
    gc.collect()
    time.sleep(30)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever a shell has left ignored
_cli.run(main)
"""


def test_a_ctrl_c_that_comes_during_garbage_collection_ends_the_command():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted: run the same command again to resume\n"
