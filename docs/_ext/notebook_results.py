"""Runs the notebooks, and keeps what they print and draw for the pages of the site.

    python docs/_ext/notebook_results.py

writes docs/notebooks/results/NAME.json and its figures. The site shows them; a test tells when they
are not those of the notebook as it is.
"""

import ast
import contextlib
import hashlib
import html
import io
import json
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "notebooks" / "results"
MOST_LINES = 40
"""Of what one cell prints; the middle of more is left out."""
_DPI = 80
_WORK = re.compile(r"\S*/(cropmap-)\w{8}")


def cells(file: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Kind ("markdown" or "code") and text of each cell of a notebook in percent format."""
    for cell in re.split(r"^# %%", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        yield ("markdown" if "[markdown]" in kind else "code"), body.strip()


def digest(file: pathlib.Path) -> str:
    """SHA-256 of the code of a notebook: its results are of this code."""
    code = "\n# %%\n".join(body for kind, body in cells(file) if kind == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def run(file: pathlib.Path, out: pathlib.Path) -> list[list[dict[str, str]]]:
    """Runs a notebook in this process, and writes what its cells leave.

    Args:
      file: the notebook.
      out: folder for NAME.json and the figures.

    Returns:
      Of each code cell what it left: {"text"}, {"html"} or {"figure", "about"}.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    out.mkdir(parents=True, exist_ok=True)
    space: dict[str, Any] = {"__name__": "__main__"}
    kept = []
    for number, code in enumerate(body for kind, body in cells(file) if kind == "code"):
        kept.append(_cell(code, space, out, f"{file.stem}-{number}"))
    found = {"digest": digest(file), "cells": kept}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (out / f"{file.stem}.json").write_text(text + "\n", encoding="utf-8")
    return kept


def _cell(code: str, space: dict[str, Any], out: pathlib.Path, name: str) -> list[dict[str, str]]:
    import matplotlib.pyplot as plt

    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), space)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)
    kept = [{"text": _short(printed.getvalue())}] if printed.getvalue().strip() else []
    library = type(value).__module__.partition(".")[0]
    if library == "IPython":
        kept.append({"html": type(value).__name__})
    elif value is not None and library != "matplotlib":
        kept.append({"text": _short(repr(value))})
    for number in plt.get_fignums():
        figure = plt.figure(number)
        figure.savefig(out / f"{name}.png", dpi=_DPI, metadata={"Software": None})
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        kept.append({"figure": f"{name}.png", "about": "; ".join(titles) or "figure"})
        plt.close(figure)
    return kept


def _short(text: str) -> str:
    """What was printed, without the name of a temporary folder, its middle left out if long."""
    lines = _WORK.sub(r"\1work", text).strip("\n").splitlines()
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} more lines ...", *lines[-half:]]
    return "\n".join(line.rstrip() for line in lines)


def markdown(file: pathlib.Path) -> str:
    """Markdown of a notebook and of its kept results; its header and its title are left out."""
    kept = RESULTS / f"{file.stem}.json"
    results = iter(json.loads(kept.read_text(encoding="utf-8"))["cells"] if kept.is_file() else [])
    out = []
    for kind, body in cells(file):
        if kind == "markdown":
            prose = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
            out.append(re.sub(r"\A# .*\n*", "", prose))
            continue
        out.append(f"```python\n{body}\n```")
        out += [_shown(result) for result in next(results, [])]
    return "\n\n".join(out)


def _shown(result: dict[str, str]) -> str:
    if "text" in result:
        # A fence longer than any in the text.
        return f"`````{{code-block}} text\n:class: printed\n\n{result['text']}\n`````"
    if "html" in result:
        return "*(In the notebook: a map to move, to switch and to click.)*"
    about = html.escape(result["about"]).replace("[", "(").replace("]", ")")
    return f"![{about}](results/{result['figure']})"


def main(names: list[str]) -> None:
    """Runs the notebooks of these names, all for none, and replaces their kept results."""
    files = sorted((ROOT / "notebooks").glob("*.py"))
    with tempfile.TemporaryDirectory() as work:
        os.environ["TMPDIR"] = tempfile.tempdir = work
        for file in files:
            if not names or file.stem in names:
                for old in RESULTS.glob(f"{file.stem}-*.png"):
                    old.unlink()
                kept = run(file, RESULTS)
                print(
                    f"{file.stem}: {sum(map(len, kept))} results of {len(kept)} cells", flush=True
                )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1:])
