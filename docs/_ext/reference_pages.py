"""Fills pages of the site with what the code says: settings of configs, flags of commands.

Where a page holds `<!-- settings -->`, `<!-- commands -->`, `<!-- module NAME -->` or
`<!-- notebook NAME -->` on a line of its own, Markdown takes its place when the site is built, so
that headings, links and the search know it. Lines that begin with "On GitHub" are left out, and so
are pages that a toctree names with a star and that are not there.
"""

import importlib.util
import re
from collections.abc import Callable

import command_flags
import config_settings
import notebook_results
from sphinx.application import Sphinx

ROOT = config_settings.ROOT


def setup(app: Sphinx) -> dict[str, object]:
    """Tells Sphinx of it."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def _fill(_: Sphinx, name: str, source: list[str]) -> None:
    source[0] = ELSEWHERE.sub("", STAR.sub(_there, source[0]))
    source[0] = MARKER.sub(lambda found: MADE[found[1]](*found[2].split()), source[0])


ELSEWHERE = re.compile(r"^On GitHub .*\n", re.MULTILINE)
STAR = re.compile(r"^([\w/]+)\*\n", re.MULTILINE)


def _there(entry: re.Match[str]) -> str:
    """A page that a toctree names with a star need not be there."""
    page = ROOT / "docs" / f"{entry[1]}.md"
    return f"{entry[1]}\n" if page.is_file() else ""


def settings() -> str:
    """Markdown of all configs, a section each."""
    return "\n".join(_config(config_settings.read(path)) for path in config_settings.files())


def commands() -> str:
    """Markdown of all commands, a section each, in the order of the page's table."""
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `python -m experiments\.(\w+)`", page, re.MULTILINE)
    order = {verb: place for place, verb in enumerate(told)}
    verbs = sorted(command_flags.verbs(), key=lambda verb: (order.get(verb, len(order)), verb))
    return "\n".join(_command(command_flags.read(verb)) for verb in verbs)


def module(name: str) -> str:
    """A section of a module's docstrings, which autodoc reads; nothing if there is no module."""
    if importlib.util.find_spec(name) is None:
        return ""
    title = name.removeprefix("cropmap_jax.")
    rest = f".. automodule:: {name}\n   :members:\n"
    return f"## {title}\n\n```{{eval-rst}}\n{rest}```\n"


def notebook(name: str) -> str:
    """The cells of notebooks/NAME.py and what they left, without the title."""
    file = ROOT / "notebooks" / f"{name}.py"
    return notebook_results.markdown(file) if file.is_file() else ""


MADE: dict[str, Callable[..., str]] = {
    "settings": settings,
    "commands": commands,
    "module": module,
    "notebook": notebook,
}
MARKER = re.compile(rf"^<!-- ({'|'.join(MADE)})((?: \S+)*) -->$", re.MULTILINE)


def _config(config: config_settings.Config) -> str:
    name = config.path.relative_to(ROOT).as_posix()
    shown = [s for s in config.settings if s.changed or config.base is None]
    lines = [f"## {name}", "", prose(config.docstring), ""]
    if config.base:
        base = config.base.relative_to(ROOT).as_posix()
        lines += [
            f"Settings that differ from those of [`{base}`](#{_anchor(base)}), which has"
            f" {len(config.settings) - len(shown)} more:",
            "",
        ]
    group = ""
    for setting in shown:
        text = setting.group if setting.group not in (group, setting.comment) else ""
        group = setting.group
        if text or setting is shown[0]:
            lines += ["", _inline(text), "", "| setting | default | |", "|---|---|---|"]
        comment = _cell(_inline(setting.comment))
        lines.append(f"| `{setting.name}` | {_code(setting.default)} | {comment} |")
    return "\n".join([*lines, ""])


def _command(command: command_flags.Command) -> str:
    lines = [f"## {command.verb}", "", prose(command.docstring), ""]
    lines += ["| flag | takes | default | |", "|---|---|---|---|"]
    for flag in command.flags:
        name = f"--[no]{flag.name}" if not flag.kind else f"--{flag.name}"
        default = "*required*" if flag.required else _code(flag.default)
        lines.append(f"| `{name}` | {_cell(flag.kind)} | {default} | {_cell(_inline(flag.help))} |")
    return "\n".join([*lines, ""])


def prose(docstring: str) -> str:
    """A docstring as Markdown: indented lines, and lines of commands, are code."""
    lines = []
    code = False
    for line in docstring.strip().splitlines():
        is_code = line.startswith(("    ", "python -m ")) or (code and not line.strip())
        is_code = is_code or (code and lines[-1].endswith("\\"))
        if re.match(r"[A-Z_]+=\S+ .*python -m", line):
            is_code = True
        if is_code and line.strip():
            if not code:
                lines.append("")
            lines.append(f"    {' '.join(line.split())}")
            code = True
            continue
        code = is_code
        lines.append(_inline(line))
    return "\n".join(lines)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _inline(text: str) -> str:
    """Text as Markdown: what is not between backticks means itself."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return re.sub(r"([*<`\[\]])", r"\\\1", text)
    parts[::2] = [re.sub(r"([*<\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""
