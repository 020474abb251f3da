"""The examples of docs/python.md, one after the other."""

import pathlib
import re

import making

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    making.make_cubes("try/cubes", size=32)
    text = (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    names: dict = {}
    for i, block in enumerate(blocks):
        exec(compile(block, f"docs/python.md, block {i}", "exec"), names)
    printed = capsys.readouterr().out
    assert "9 1 dB" in printed and "<Cube mine: 32 x 32 pixels of 10 m, 9 periods" in printed
    assert names["mine"].info.legend.names == ("wheat", "rapeseed", "maize")
    assert 0.3 < float(names["wheat"]) < 1
    assert names["f1"].dims == ("lead_days",)
    assert sorted(p.name for p in (tmp_path / "try").iterdir()) == [
        "cubes", "data", "found.nc", "mine", "run",
    ]  # fmt: skip
