"""Flags and configs of the commands: what is wrong with them costs one line.

A config is a Python program: whatever it raises is reported with its file and line.
"""

import difflib
import math
import os
import re
import traceback

from absl import flags, logging
from ml_collections import ConfigDict


def parse(argv: list[str], known: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses flags and the config, if there is one.

    Args:
      argv: the command's name and its words.
      known: the flags that there are.

    Returns:
      The command's name, and words that are no flags.

    Raises:
      ValueError: one line about the first that is wrong.
    """
    logging.set_verbosity(logging.ERROR)
    try:
        rest = known(argv)
        path = _config_path(argv, known)
        if path is not None:
            _check_config(known["config"].value, path)
        return rest
    except _Wrong:
        raise
    except SystemExit as error:  # of --help, or of a config
        line = _line_of_config(error, (_config_path(argv, known) or "").partition(":")[0])
        if line:
            raise _Wrong(f"--config {line}: SystemExit: {error}") from error
        raise SystemExit(0) from None  # absl leaves --help with 1, which here means refused
    except Exception as error:  # a config may raise anything
        path = _config_path(argv, known)
        if path is not None:
            _explain_config(argv, path, known, error)
        if isinstance(error, flags.Error):
            raise _Wrong(_explain_flag(error)) from error
        raise


# Parts of the names of files that are no user's.
_LIBRARY = ("site-packages", "<frozen", f"{os.sep}lib{os.sep}python")


class _Wrong(ValueError):
    """A line about a flag or a config."""


def _config_path(argv: list[str], known: flags.FlagValues) -> str | None:
    """What --config names, where the command has such a flag."""
    if "config" not in known:
        return None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word in ("--config", "-config"):
            return following
        if word.startswith(("--config=", "-config=")):
            return word.partition("=")[2]
    return None


def _check_config(config, path: str) -> None:
    if not isinstance(config, ConfigDict):
        if type(config).__name__ == "_ErrorConfig":
            getattr(config, "settings", None)  # raises why the file could not be read
        raise _Wrong(
            f"--config {path}: expected a ConfigDict from get_config(), found "
            f"{type(config).__name__}"
        )


def _explain_config(argv: list[str], path: str, known: flags.FlagValues, error: Exception) -> None:
    """Raises what is wrong with the config, or with a setting of it; returns if nothing is."""
    file = path.partition(":")[0]
    if not os.path.isfile(file):
        raise _Wrong(f"--config: expected a configuration file, found none at {file!r}")
    raised: BaseException | None = error
    while raised:
        line = _line_of_config(raised, file)
        if line:
            raise _Wrong(f"--config {line}: {type(raised).__name__}: {_first_line(raised)}")
        raised = raised.__cause__ or raised.__context__
    try:
        config = known["config"].parser.parse(path)
    except Exception as again:
        reason = str(again).strip().splitlines()[-1][:200]
        raise _Wrong(
            f"--config {path}: expected a function get_config that returns the settings, found "
            f"{type(again).__name__}: {reason}"
        ) from again
    _check_config(config, path)
    for word in argv:
        match = re.match(r"--?(?:no)?config\.([^=]+)", word)
        if match:
            _check_setting(config, match[1], word.partition("=")[0])


def _line_of_config(error: BaseException, config: str) -> str | None:
    """File and line in the config, or in what it runs, that an error came from."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [os.path.abspath(f.filename) == os.path.abspath(config) for f in frames]
    if not any(inside):
        return None
    own = [
        f for f in frames[inside.index(True) :] if not any(part in f.filename for part in _LIBRARY)
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}"


def explain(error: BaseException) -> str:
    """What a user's module raised, as one line with the file and line where it did."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        where = f"{error.filename}, line {error.lineno}: "
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if not any(part in f.filename for part in _LIBRARY)]
        # The first is what imports the module.
        where = f"{own[-1].filename}, line {own[-1].lineno}: " if len(own) > 1 else ""
    return f"{where}{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    """What an error says, without the config that ml_collections lists after it."""
    return str(error).replace("\\n", "\n").partition("\n")[0].split(" Other fields")[0][:200]


def _check_setting(config: ConfigDict, name: str, flag: str) -> None:
    """Requires that a setting exists and is a single value."""
    there = config
    for part in name.split("."):
        if not isinstance(there, ConfigDict) or part not in there:
            near = difflib.get_close_matches(name, _names(config), n=1, cutoff=0.4)
            hint = f"did you mean --config.{near[0]}? " if near else ""
            raise _Wrong(f"{flag}: no such setting; {hint}the config file lists all of them")
        there = there[part]
    if isinstance(there, ConfigDict):
        inside = ", ".join(f"--config.{name}.{key}" for key in there)
        raise _Wrong(f"{flag}: expected one of its settings, {inside}")


def _names(config: ConfigDict, prefix: str = "") -> list[str]:
    """Dotted names of all settings."""
    names = []
    for key, value in config.items():
        names.append(f"{prefix}{key}")
        if isinstance(value, ConfigDict):
            names += _names(value, f"{prefix}{key}.")
    return names


# What absl writes of a flag, and what we print instead; without a match, its own words.
_INSTEAD = (
    (r"Unknown command line flag 'config\.(?P<flag>[^']+)'.*", "--config FILE before it"),
    (r"Found --?(?:no)?config\.(?P<flag>[^ =]+).* in argv before .*", "--config FILE before it"),
    (r"Missing value for flag --(?P<flag>\S+)", "a value, found none"),
    (r"flag --(?P<flag>[^=]+)=(?P<found>.*): invalid literal for int\(\).*", "a whole number"),
    (r"flag --(?P<flag>[^=]+)=(?P<found>.*): could not convert string to float.*", "a number"),
    (r"flag --(?P<flag>[^=]+)=(?P<found>.*): .*Non-boolean argument.*", "True or False"),
)


# absl writes a line for each flag that is required and not there.
_REQUIRED = re.compile(r"^flag --(\S+?)=None: Flag --\S+ must have a value", re.MULTILINE)


def _explain_flag(error: flags.Error) -> str:
    missing = _REQUIRED.findall(str(error))
    if missing:
        names = ", ".join(f"--{name}" for name in missing)
        return f"{names}: expected a value{' each' if len(missing) > 1 else ''}, found none"
    message = " ".join(str(error).split())
    for pattern, expected in _INSTEAD:
        match = re.fullmatch(pattern, message)
        if match:
            found = f", found {match['found']!r}" if "found" in match.groupdict() else ""
            name = match["flag"]
            name = f"config.{name}" if "config" in pattern else name
            return f"--{name}: expected {expected}{found}"
    match = re.fullmatch(
        r"Unknown command line flag '(.+?)'\.?(?: Did you mean: (\S+).*)?", message
    )
    if match:
        hint = f"did you mean --{match[2]}?" if match[2] else "--help lists them"
        return f"--{match[1]}: no such flag; {hint}"
    return re.sub(r"^flag --(\S+?)=", r"--\1 ", message)


def check_download(cubes: str, max_gb: float | None) -> None:
    """Requires a folder for cubes on this machine, and a number of GB to stop after.

    Args:
      cubes: of --cubes; it may not be there yet.
      max_gb: of --max_gb.

    Raises:
      ValueError: names the flag.
    """
    from cropmap_jax.geo import files

    if max_gb is not None and not math.isfinite(max_gb):
        raise ValueError(f"--max_gb: expected a number of 0 or more, found {max_gb}")
    folder = files.local("--cubes", cubes)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--cubes: expected a folder, found {cubes!r}")


def define_scheduler(what: str) -> flags.FlagHolder[str]:
    """Gives a command the flag --scheduler.

    Args:
      what: what its workers do, for the help.
    """
    return flags.DEFINE_string(
        "scheduler",
        "",
        f"Who {what}: local:N for N processes of this machine, or a Dask scheduler, by its address "
        "(tcp://host:8786) or the file that it wrote; default: this process. See docs/clusters.md.",
    )
