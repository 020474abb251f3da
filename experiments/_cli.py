"""What every command shares: one-line errors, exit codes, finding configs and dataset builders."""

import atexit
import contextlib
import errno
import gc
import importlib
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from cropmap_jax import xla
from cropmap_jax.geo import installed, processes
from experiments import _flags, _output, _pipes


def installed_or_checkout(folder: str) -> pathlib.Path:
    """The `configs` or `datasets` folder: of the installed wheel, else of the checkout."""
    return installed.folder(folder)


def _find_configs(argv: list[str]) -> list[str]:
    """Lets `--config configs/pretrain.py` work away from a checkout, from the installed copy."""

    def find(path: str) -> str:
        file, colon, argument = path.partition(":")
        there = None if os.path.exists(file) else installed.config_file(file)
        return f"{there}{colon}{argument}" if there else path

    out = list(argv)
    for i, word in enumerate(argv):
        if word in ("--config", "-config") and i + 1 < len(argv):
            out[i + 1] = find(argv[i + 1])
        elif word.startswith("--config="):
            out[i] = "--config=" + find(word.removeprefix("--config="))
    return out


_BARE: dict[str, str] = {}


def may_be_bare(flag: str, value: str) -> None:
    """Lets a flag that takes a value stand alone, as --flag, for one of its values."""
    _BARE[f"--{flag}"] = value


def _complete(argv: list[str]) -> list[str]:
    """Gives flags that stand alone the value that they stand for."""
    out = list(argv)
    for i, word in enumerate(argv):
        after = argv[i + 1] if i + 1 < len(argv) else "-"
        if word in _BARE and after.startswith("-"):
            out[i] = f"{word}={_BARE[word]}"
    return out


def _keep_compiled_steps() -> None:
    """Keeps what XLA compiles, which takes longer than many a step, for the next command.

    JAX_COMPILATION_CACHE_DIR names another folder than the user's cache; empty, it keeps nothing.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "cropmap_jax", "compiled")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)


def extensible() -> None:
    """Gives a command the flag --import, for networks and sensors that a user's modules register.

    `run` imports them, before the command's main.
    """
    flags.DEFINE_multi_string(
        "import",
        [],
        "Python module to import first, which registers a network (cropmap_jax.models.register) or "
        "a sensor (cropmap_jax.geo.sensors.register) of your own; may be repeated.",
    )


def imported() -> list[str]:
    """Modules that --import names: workers of a scheduler import them too."""
    return list(flags.FLAGS["import"].value)


def forget_flags() -> None:
    """Undefines a command's flags, in a fork of it that is to run another command.

    Those of libraries, which are imported once, stay.
    """
    known = flags.FLAGS
    # What a config file holds is owned by whatever parsed it: --config.seed goes with --config.
    owners = {name: str(known.find_module_defining_flag(name.partition(".")[0])) for name in known}
    for name, module in owners.items():
        # absl calls the module that runs by the path of its file.
        if module == sys.argv[0] or module.startswith("experiments."):
            delattr(known, name)
    known.unparse_flags()


def import_modules(names: Sequence[str]) -> None:
    """Imports modules by name, from the current folder or wherever Python looks.

    Raises:
      ValueError: there is none of that name, or it cannot be imported; one line that says why.
    """
    for name in names:
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"--import: expected the name of a Python module, such as my_networks for the "
                f"file my_networks.py, found {name!r}"
            )
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # a user's module may raise anything
            missing = isinstance(error, ModuleNotFoundError) and error.name
            if missing and f"{name}.".startswith(f"{missing}."):
                raise ValueError(
                    f"--import: expected a Python module, found none of the name {name!r} in the "
                    "current folder or where Python looks (PYTHONPATH adds folders)"
                ) from error
            raise ValueError(f"--import {name}: {_flags.explain(error)}") from error


def run(main) -> None:
    """Runs `main(argv)` under absl; a user's mistake prints one line and exits with 1.

    ValueError and OSError are a user's mistakes or the machine's; anything else is ours and keeps
    its traceback. Ctrl-C exits with 130; where a command writes step by step, SIGTERM with 143 and
    SIGHUP with 129; where nobody reads what is printed, with 141 and no line.
    """
    with processes.none_lost(), _pipes.end_quietly():
        _run(main)


def _run(main) -> None:
    def guarded(argv):
        if len(argv) > 1:
            raise ValueError(f"expected flags like --name value, found {argv[1]!r}")
        logging.set_verbosity(logging.ERROR)
        if "import" in flags.FLAGS:
            import_modules(flags.FLAGS["import"].value)
        return main(argv)

    _output.define_flags()
    output = _output.Output(sys.argv)
    _keep_compiled_steps()
    xla.tune()
    # As it ends, Python looks several times for garbage among all that was imported, which takes
    # longer than many a command and frees what ends with the process anyway.
    atexit.register(gc.freeze)
    try:
        argv = _complete(_find_configs(sys.argv))
        app.run(guarded, argv=argv, flags_parser=_flags.parse)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        output.end(code, end.code if isinstance(end.code, str) else None)
        raise
    except KeyboardInterrupt as stop:
        reason = str(stop) or "interrupted"
        _fail(
            output,
            getattr(stop, "exit_code", 130),
            f"{reason}: run the same command again to resume",
            "\n",
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _pipes.are_closed():
            raise
        _fail(output, 1, _of_file(error), "error: ")
    except (ValueError, flags.Error) as error:
        _fail(output, 1, str(error), "error: ")
    except Exception as error:
        output.end(1, f"{type(error).__name__}: {error}")
        raise


def _fail(output: _output.Output, code: int, why: str, prefix: str) -> None:
    """Ends the command with one line that says why."""
    print(f"{prefix}{why}", file=sys.stderr)
    output.end(code, why)
    sys.exit(code)


_WAYS_OUT = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EACCES: "expected permission for it",
    errno.EPERM: "expected permission for it",
    errno.EROFS: "expected a disk that can be written",
    errno.EMFILE: "expected a higher limit of open files (ulimit -n)",
}


def _of_file(error: OSError) -> str:
    """An error of the system's as one line: the file, the cause and, where there is one, a way out.

    Where the system does not say which file, the full disks of the folders named by flags are.
    """
    if error.strerror is None or not error.errno or error.strerror == "":
        return str(error)
    if error.filename is None and ": " in error.strerror:
        return error.strerror  # a line of our own
    names = [str(n) for n in (error.filename, error.filename2) if n is not None]
    if not names and error.errno in (errno.ENOSPC, errno.EDQUOT):
        names = _full_folders()
    out = _WAYS_OUT.get(error.errno)
    text = f"{', '.join(names)}: {error.strerror}" if names else error.strerror
    return f"{text}; {out}" if out else text


def _full_folders() -> list[str]:
    """Folders given by flags, with their flag, whose disk has less than a megabyte left."""
    found = []
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, str) and os.path.isdir(value):
            if shutil.disk_usage(value).free < 2**20:
                found.append(f"--{name} {value}")
    return found


def progress(iterable, **kwargs):
    """A tqdm bar on a terminal; a line every few seconds where output goes to a file."""
    from cropmap_jax.geo import progress as bars

    return bars.bar(iterable, **kwargs)


@contextlib.contextmanager
def open_scheduler(text: str):
    """Opens what --scheduler names, and says how many workers it has."""
    from cropmap_jax import scheduling

    with scheduling.open_scheduler(text) as scheduler:
        if not scheduler.is_here:
            print(
                f"scheduler: {scheduler.text}; workers: {scheduler.workers or 'none yet'}",
                flush=True,
            )
        yield scheduler
