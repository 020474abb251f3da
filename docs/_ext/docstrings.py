"""Docstrings of the library as reStructuredText: they are plain text, with code in backticks.

Text outside of backticks means itself; a block that is indented after an empty line is code.
"""

import re

from sphinx.application import Sphinx

SECTIONS = ("Args", "Attributes", "Example", "Examples", "Raises", "Returns", "Source", "Yields")


def setup(app: Sphinx) -> dict[str, object]:
    """Tells Sphinx of it."""
    # Before napoleon, which reads the sections, and after it.
    app.connect("autodoc-process-docstring", _convert, priority=100)
    app.connect("autodoc-process-docstring", _put_back, priority=900)
    app.connect("build-finished", _redirect)
    app.config.napoleon_custom_sections = [("Source", "notes_style")]
    return {"parallel_read_safe": True}


_kept: dict[str, list[str]] = {}
"""Of constants: napoleon would take what is before the first colon for their type."""


def _convert(_app, what: str, name: str, _obj, _options, lines: list[str]) -> None:
    lines[:] = convert(lines)
    if what in ("attribute", "data"):
        _kept[name], lines[:] = list(lines), []


def _put_back(_app, _what, name: str, _obj, _options, lines: list[str]) -> None:
    lines[:] = _kept.pop(name, lines)


def convert(lines: list[str]) -> list[str]:
    """Lines of a docstring, without its indentation, as lines of reStructuredText."""
    out: list[str] = []
    text: list[str] = []
    code, section = False, False
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            section = line.rstrip() in [f"{name}:" for name in SECTIONS]
            code = False
        elif indented and not section and not code and not (text and text[-1].strip()):
            out += [*_inline(text), "::", ""]
            text, code = [], True
        if code or line.lstrip().startswith((">>>", "...")):
            out += [*_inline(text), line]
            text = []
        else:
            text.append(line)
    return out + _inline(text)


def _inline(lines: list[str]) -> list[str]:
    """Lines of text: code, which may go over several lines, and words that mean themselves."""
    if not lines:
        return []
    parts = "\n".join(lines).split("`")
    for at, part in enumerate(parts):
        if at % 2 == 0:
            part = re.sub(r"([*|\\])", r"\\\1", part)
            part = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", part)
            # Inline code has to end where a word ends.
            glued = at and re.match(r"[\w\-(]", part)
            parts[at] = f"\\ {part}" if glued else part
    return "``".join(parts).split("\n")


def _redirect(app: Sphinx, error: Exception | None) -> None:
    """The first page lies in docs/; whoever opens the folder of the site gets there."""
    if error is None and app.builder.format == "html":
        to = f"{app.config.root_doc}.html"
        page = (
            f'<!doctype html><meta http-equiv="refresh" content="0; url={to}">'
            f'<a href="{to}">docs</a>\n'
        )
        (app.outdir / "index.html").write_text(page, encoding="utf-8")
