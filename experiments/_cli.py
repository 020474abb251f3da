"""What every command shares: one-line errors, exit codes, finding configs and dataset builders."""

import os
import pathlib
import sys

from absl import app, flags, logging

from cropmap_jax import xla

_ROOT = pathlib.Path(__file__).resolve().parent.parent


def installed_or_checkout(folder: str) -> pathlib.Path:
    """The `configs` or `datasets` folder: of the checkout, else of the installed wheel."""
    checkout = _ROOT / folder
    return checkout if checkout.is_dir() else _ROOT / "cropmap_jax" / folder


def _find_configs(argv: list[str]) -> list[str]:
    """Lets `--config configs/pretrain.py` work away from a checkout, from the installed copy."""

    def find(path: str) -> str:
        file, colon, argument = path.partition(":")
        parts = pathlib.PurePath(file).parts
        if os.path.exists(file) or not parts or parts[0] != "configs":
            return path
        there = installed_or_checkout("configs").joinpath(*parts[1:])
        return f"{there}{colon}{argument}" if there.exists() else path

    out = list(argv)
    for i, word in enumerate(argv):
        if word in ("--config", "-config") and i + 1 < len(argv):
            out[i + 1] = find(argv[i + 1])
        elif word.startswith("--config="):
            out[i] = "--config=" + find(word.removeprefix("--config="))
    return out


def _check_config_exists(argv: list[str]) -> None:
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        path = following if word == "--config" else word.removeprefix("--config=")
        if path != word or word == "--config":
            file = path.partition(":")[0]
            if not os.path.isfile(file):
                raise ValueError(f"--config: expected a configuration file, found none at {file!r}")


def _keep_compiled_steps() -> None:
    """Keeps what XLA compiles, which takes longer than many a step, for the next command.

    JAX_COMPILATION_CACHE_DIR names another folder than the user's cache; empty, it keeps nothing.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "cropmap_jax", "compiled")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)


def run(main) -> None:
    """Runs `main(argv)` under absl; a user's mistake prints one line and exits with 1.

    ValueError and OSError are a user's mistakes or the machine's; anything else is ours and keeps
    its traceback. Ctrl-C exits with 130, SIGTERM in training with 143.
    """

    def guarded(argv):
        if len(argv) > 1:
            raise app.UsageError(f"expected flags like --name value, found {argv[1]!r}")
        logging.set_verbosity(logging.ERROR)
        return main(argv)

    _keep_compiled_steps()
    xla.tune()
    try:
        argv = _find_configs(sys.argv)
        _check_config_exists(argv)
        app.run(guarded, argv=argv)
    except KeyboardInterrupt as stop:
        said = str(stop) or "interrupted"
        print(f"\n{said}: run the same command again to go on", file=sys.stderr)
        sys.exit(getattr(stop, "exit_code", 130))
    except (ValueError, OSError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def progress(iterable, **kwargs):
    """A tqdm bar on a terminal; a line every few seconds where output goes to a file."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    return tqdm(iterable, mininterval=0.2 if terminal else 10.0, dynamic_ncols=terminal, **kwargs)
