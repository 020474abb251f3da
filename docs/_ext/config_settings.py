"""The settings of a config file: their defaults by running it, what they mean by its comments.

A comment at the end of a setting's line, or on the lines right above it, is of that setting. One
above a group of settings, after an empty line, is the group's, and also says what the first of them
is if nothing else does. A file that changes another takes that one's comments where it has none.
"""

import ast
import dataclasses
import io
import pathlib
import runpy
import tokenize
from collections.abc import Iterator

from ml_collections import ConfigDict

TABLES = {"regions", "layers", "columns", "dates", "assets", "sites", "fractions", "scratch"}
"""Groups of settings that are shown as one: their names are a user's, or copies of others."""
MOST_CHARACTERS = 120
"""Of a default; a longer one is shown by its names."""
ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a config.

    Args:
      name: dotted, without "config.".
      default: as Python writes it; "not set (int)" of a placeholder.
      comment: what the file, or the one that it changes, says of it; "" if nothing.
      group: the comment above its group, in the file that sets it; "" if there is none.
      changed: the file sets it itself; else it is as in the base.
    """

    name: str
    default: str
    comment: str
    group: str
    changed: bool


@dataclasses.dataclass(frozen=True)
class Config:
    """A config file: its docstring, the file that it changes (None for none), and its settings."""

    path: pathlib.Path
    docstring: str
    base: pathlib.Path | None
    settings: tuple[Setting, ...]


def files() -> list[pathlib.Path]:
    """All config files that a command takes, those that others change first."""
    found = sorted(p for p in CONFIGS.rglob("*.py") if p.name != "__init__.py")
    return sorted(found, key=lambda p: (len(p.parts), p))


def read(path: pathlib.Path, argument: str | None = None) -> Config:
    """Reads a config file.

    Args:
      path: the file; it is run.
      argument: what `get_config` is called with; None for nothing.

    Returns:
      What it holds.
    """
    config, base = _run(path, argument)
    source = path.read_text(encoding="utf-8")
    before = {s.name: s for s in read(base).settings} if base else {}
    said = dict(_comments(source))
    order = {name: place for place, name in enumerate([*before, *said])}
    settings: list[Setting] = []
    for name, default in sorted(_leaves(config), key=lambda one: _place(one[0], order)):
        old = before.get(name)
        own, group = _nearest(said, name)
        changed = old is None or old.default != default
        if old and not own:
            own = old.comment
        if not own:  # a copy of another part of the config, as `scratch` is of `model`
            own = _namesake(name, settings)
        settings.append(Setting(name, default, own, group, changed))
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return Config(path, docstring, base, tuple(settings))


def _run(path: pathlib.Path, argument: str | None) -> tuple[ConfigDict, pathlib.Path | None]:
    """What get_config returns, and the config file that it reads first."""
    ran: list[pathlib.Path] = []
    run_path = runpy.run_path

    def noting(file, *args, **kwargs):
        ran.append(pathlib.Path(file))
        return run_path(file, *args, **kwargs)

    runpy.run_path = noting
    try:
        get_config = run_path(str(path))["get_config"]
        config = get_config(*([] if argument is None else [argument]))
    finally:
        runpy.run_path = run_path
    return config, ran[0] if ran else None


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields (dotted name, default) of every setting that is no group of settings."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, ConfigDict) and len(value) and key not in TABLES:
            yield from _leaves(value, f"{name}.")
        elif value is None:
            kind = config.get_type(key)
            yield name, "not set" if kind is type(None) else f"not set ({kind.__name__})"
        else:
            yield name, _written(value)


def _written(value: object) -> str:
    """A default as Python writes it, or what it holds if that is long."""
    plain = value.to_dict() if isinstance(value, ConfigDict) else value
    text = repr(plain)
    if len(text) <= MOST_CHARACTERS or not isinstance(plain, dict):
        return text
    return f"a table of {len(plain)}: {', '.join(map(str, plain))}"


def _place(name: str, order: dict[str, int]) -> tuple[int, ...]:
    """Sorts settings as the files name them, those of a group together."""
    parts = name.split(".")
    groups = [".".join(parts[: end + 1]) for end in range(len(parts))]
    return tuple(order.get(group, len(order)) for group in groups)


def _nearest(said: dict[str, tuple[str, str]], name: str) -> tuple[str, str]:
    """Comment and group of a setting, or else of the group of settings that it lies in."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        comment, group = said.get(".".join(parts[:end]), ("", ""))
        if comment or group:
            return comment, group
    return "", ""


def _namesake(name: str, settings: list[Setting]) -> str:
    """The comment of an earlier setting with the same last part."""
    last = name.rpartition(".")[2]
    return next((s.comment for s in settings if s.name.rpartition(".")[2] == last), "")


def _comments(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields (dotted name, (comment, comment of the group)) of every setting that a file names."""
    lines = source.splitlines()
    text = _comment_lines(source)
    group = ""
    for name, node, is_entry in sorted(_assigned(ast.parse(source)), key=_line):
        above, first = _above(node.lineno, lines, text)
        trailing = text.get(node.lineno, "") or text.get(node.end_lineno or 0, "")
        if is_entry:
            yield name, (trailing or above, group)
            continue
        if first < 2 or not lines[first - 2].strip():
            group = above
        yield name, (trailing or above, group)


def _line(assigned: tuple[str, ast.AST, bool]) -> int:
    return assigned[1].lineno


def _comment_lines(source: str) -> dict[int, str]:
    """Line -> its comment, without "# "."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        one.start[0]: one.string.lstrip("#").strip()
        for one in tokens
        if one.type == tokenize.COMMENT and "fmt:" not in one.string
    }


def _above(line: int, lines: list[str], text: dict[int, str]) -> tuple[str, int]:
    """The comment on the lines right above a line, and the first line of both."""
    first = line
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return " ".join(text[at] for at in range(first, line) if at in text), first


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.AST, bool]]:
    """Yields (dotted name, node, whether it is an entry of a table) of all that is set."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in _targets(node.targets):
                name = _dotted(target)
                if name:
                    yield name, node, False
                    for key, entry in _entries(node.value):
                        yield f"{name}.{key}", entry, True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = _dotted(node.func.value)
            if name and node.func.attr == "update":
                for argument in node.args:
                    for key, entry in _entries(argument):
                        yield f"{name}.{key}", entry, True


def _targets(targets: list[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        yield from target.elts if isinstance(target, ast.Tuple) else [target]


def _dotted(node: ast.expr) -> str:
    """ "a.b" of `config.a.b`; "" of what is no setting."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    is_config = isinstance(node, ast.Name) and node.id == "config"
    return ".".join(reversed(parts)) if is_config else ""


def _entries(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    """Yields (key, its node) of the dicts that a value is made of."""
    if isinstance(node, ast.Call):
        for argument in node.args:
            yield from _entries(argument)
    elif isinstance(node, ast.BinOp):
        yield from _entries(node.left)
        yield from _entries(node.right)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield str(key.value), value
                for inner, entry in _entries(value):
                    yield f"{key.value}.{inner}", entry
