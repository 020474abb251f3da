"""The documentation site: it builds without a warning, and what it takes from the code is whole."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "docs" / "_ext"))

sphinx = pytest.importorskip("sphinx")

import command_flags  # noqa: E402
import config_settings  # noqa: E402
import docstrings  # noqa: E402
import notebook_results  # noqa: E402
import reference_pages  # noqa: E402

CONFIG = '''"""A config.

python -m experiments.make --config configs/made.py \\
    --config.a=2
"""

from ml_collections import ConfigDict, config_dict


def get_config():
    config = ConfigDict()
    config.a = 1  # first
    # Above it,
    # in two lines.
    config.b = config_dict.placeholder(int)

    # Of the group.
    config.part = ConfigDict({
        "x": (1, 2),  # inside
        # Above.
        "y": "|",
    })
    config.late = 0.5
    return config
'''
CHANGED = '''"""Another."""

import pathlib
import runpy


def get_config():
    config = runpy.run_path(str(pathlib.Path(__file__).with_name("made.py")))["get_config"]()
    config.a = 2
    config.part.update({"x": (3,)})  # changed
    return config
'''


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-b", "dummy", "-W", "--keep-going", "-q"]
    command += ["-c", "docs", "-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_says_what_it_is():
    silent = [
        f"{path.relative_to(CHECKOUT)}: {setting.name}"
        for path in config_settings.files()
        for setting in config_settings.read(path).settings
        if not setting.comment
    ]
    assert silent == []


def test_every_flag_says_what_it_does_and_every_command_is_in_the_table():
    table = (CHECKOUT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    read = [command_flags.read(verb) for verb in command_flags.verbs()]
    assert [f"{c.verb} --{f.name}" for c in read for f in c.flags if not f.help] == []
    told = re.findall(r"^\| `python -m experiments\.(\w+)`", table, re.MULTILINE)
    assert sorted(told) == [command.verb for command in read]
    predict = next(command for command in read if command.verb == "predict")
    found = {flag.name: flag for flag in predict.flags}
    assert found["workdir"].required and not found["season"].required
    assert (found["batch_size"].kind, found["batch_size"].default) == ("whole number", "8")
    assert found["calibrate"].kind == "" and found["calibrate"].default == "True"


def test_settings_are_read_from_defaults_and_comments(tmp_path):
    (tmp_path / "made.py").write_text(CONFIG)
    (tmp_path / "changed.py").write_text(CHANGED)
    made = config_settings.read(tmp_path / "made.py")
    rows = [(s.name, s.default, s.comment, s.group, s.changed) for s in made.settings]
    assert rows == [
        ("a", "1", "first", "", True),
        ("b", "not set (int)", "Above it, in two lines.", "", True),
        ("part.x", "(1, 2)", "inside", "Of the group.", True),
        ("part.y", "'|'", "Above.", "Of the group.", True),
        ("late", "0.5", "", "Of the group.", True),
    ]
    changed = config_settings.read(tmp_path / "changed.py")
    assert changed.base == tmp_path / "made.py"
    rows = [(s.name, s.default, s.comment) for s in changed.settings if s.changed]
    assert rows == [("a", "2", "first"), ("part.x", "(3,)", "changed")]


def test_docstrings_become_markdown_and_restructuredtext():
    text = config_settings.ast.get_docstring(config_settings.ast.parse(CONFIG)) or ""
    command = "    python -m experiments.make --config configs/made.py --config.a=2"
    assert reference_pages.prose(text).split("\n")[-1] == command
    assert reference_pages.prose("A * B in <out>, `a*b`") == r"A \* B in \<out>, `a*b`"
    lines = ["Of `x`s, a*b_.", "", "    code * code", "", "Args:", "    a: `b", "      c` d*."]
    assert docstrings.convert(lines) == [
        *(r"Of ``x``\ s, a\*b\_.", "", "::", "", "    code * code", "", "Args:"),
        *("    a: ``b", r"      c`` d\*."),
    ]


def test_notebooks_become_pages(tmp_path):
    head = "# ---\n# jupyter: x\n# ---\n\n"
    text = head + "# %% [markdown]\n# # Title\n#\n# Words.\n\n# %%\n# why\na = 1\n"
    (tmp_path / "small.py").write_text(text)
    found = notebook_results.markdown(tmp_path / "small.py")
    assert found == "Words.\n\n```python\n# why\na = 1\n```"


SMALL = """# %% [markdown]
# # Title

# %%
import matplotlib.pyplot as plt
print("\\n".join(f"{i} in /tmp/cropmap-abcd1234/x" for i in range(100)))
_, ax = plt.subplots()
ax.set_title("Some [title]")

# %%
a = [1, 2]
a
"""


def test_what_notebooks_leave_is_kept_and_shown(tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text(SMALL)
    monkeypatch.setattr(notebook_results, "RESULTS", tmp_path)
    first, second = notebook_results.run(tmp_path / "small.py", tmp_path)
    printed = first[0]["text"].splitlines()
    assert len(printed) == notebook_results.MOST_LINES + 1
    assert printed[0] == "0 in cropmap-work/x" and "60 more lines" in printed[20]
    assert first[1:] == [{"figure": "small-0.png", "about": "Some [title]"}]
    assert second == [{"text": "[1, 2]"}]
    assert (tmp_path / "small-0.png").read_bytes().startswith(b"\x89PNG")
    found = notebook_results.markdown(tmp_path / "small.py")
    assert "![Some (title)](results/small-0.png)" in found
    assert found.endswith("a\n```\n\n`````{code-block} text\n:class: printed\n\n[1, 2]\n`````")


def test_kept_results_are_of_the_notebooks_as_they_are():
    for file in sorted((CHECKOUT / "notebooks").glob("*.py")):
        kept = json.loads((notebook_results.RESULTS / f"{file.stem}.json").read_text())
        assert kept["digest"] == notebook_results.digest(file), "run: make notebooks"
        shown = {r["figure"] for cell in kept["cells"] for r in cell if "figure" in r}
        assert shown == {f.name for f in notebook_results.RESULTS.glob(f"{file.stem}-*.png")}


def _anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {reference_pages._anchor(heading.replace("`", "")) for heading in headings}


def test_links_of_the_readme_lead_somewhere():
    readme = CHECKOUT / "README.md"
    links = re.findall(r"\]\(([^)]+)\)", readme.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link]
    assert len(own) > 15
    for link in own:
        file, _, anchor = link.partition("#")
        assert (CHECKOUT / file).is_file(), link
        assert not anchor or anchor in _anchors(CHECKOUT / file), link
    for picture in [link for link in own if link.endswith(".png")]:
        assert (CHECKOUT / picture).stat().st_size < 300_000
