"""The commands' flags with their help and defaults, read from absl after importing each command."""

import dataclasses
import functools
import importlib
import json
import pathlib
import re
import subprocess
import sys

from absl import flags

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
      name: without "--".
      kind: what it takes, e.g. "string"; "" of a switch.
      default: as it is written on a command line; "" for none.
      help: what it does.
      required: the command does not run without it.
    """

    name: str
    kind: str
    default: str
    help: str
    required: bool


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its verb, the docstring of its module, and its flags as the file defines them."""

    verb: str
    docstring: str
    flags: tuple[Flag, ...]


def verbs() -> list[str]:
    """The names of all commands."""
    return sorted(p.stem for p in EXPERIMENTS.glob("*.py") if not p.stem.startswith("_"))


@functools.cache
def _all() -> dict[str, Command]:
    """Every command, read by a process of its own: reading undefines the flags of the others."""
    done = subprocess.run(
        [sys.executable, __file__], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(f"the flags of the commands could not be read:\n{done.stderr}")
    rows = json.loads(done.stdout)
    return {
        row["verb"]: Command(row["verb"], row["docstring"], tuple(Flag(**f) for f in row["flags"]))
        for row in rows
    }


def read(verb: str) -> Command:
    """A command with its flags."""
    return _all()[verb]


def _read(verb: str) -> Command:
    """Imports a command and reads its flags; other commands may be read after it."""
    _forget()
    module = importlib.import_module(f"experiments.{verb}")
    known = flags.FLAGS
    own = [name for name in known if _is_ours(name) and "." not in name]
    source = pathlib.Path(module.__file__ or "").read_text(encoding="utf-8")
    order = {name: place for place, name in enumerate(re.findall(r'"(\w+)"', source))}
    found = [_flag(known[name]) for name in sorted(own, key=lambda n: (order.get(n, 10**6), n))]
    found.sort(key=lambda flag: not flag.required)
    docstring = module.__doc__ or ""
    _forget()
    return Command(verb, docstring, tuple(found))


def _forget() -> None:
    """Undefines the flags of a command that was imported, and the modules that define them."""
    ours = [name for name in sys.modules if name.split(".")[0] == "experiments"]
    for name in ours:
        del sys.modules[name]
    for name in [name for name in flags.FLAGS if _is_ours(name)]:
        delattr(flags.FLAGS, name)


def _is_ours(name: str) -> bool:
    return str(flags.FLAGS.find_module_defining_flag(name)).split(".")[0] == "experiments"


def _flag(flag: flags.Flag) -> Flag:
    kind = flag.flag_type()
    kind = {
        "bool": "",
        "multi string": "text, repeatable",
        "string": "text",
        "comma separated list of strings": "texts, comma between",
    }.get(kind, kind)
    kind = {"int": "whole number", "float": "number"}.get(kind, kind)
    default = flag.default
    if isinstance(flag, flags.EnumFlag):
        kind = ", ".join(flag.parser.enum_values)
    if flag.name == "config":
        kind, default = "file", default or ""
    return Flag(
        flag.name,
        kind,
        _written(default),
        " ".join((flag.help or "").split()),
        any("must have a value" in one.message for one in flag.validators),
    )


def _written(default: object) -> str:
    if default is None or default in ("", []):
        return ""
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default))
    return str(default)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(json.dumps([dataclasses.asdict(_read(verb)) for verb in verbs()]))
