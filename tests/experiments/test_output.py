"""What commands print for scripts: one line of JSON, or nothing."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from started import CHECKOUT, ENV

from experiments import __main__ as front_door
from experiments import _completion, _output, _pipes, _verbs


def test_json_is_the_only_line_of_the_standard_output(starter, tmp_path):
    scores = {
        "settings": {"method": "network", "dataset": "d"},
        "scores": [
            {"crop": "wheat", "unit": "pixels", "method": "network", "rule": "chosen", "f1": f1}
            | {"threshold": 0.5}
            for f1 in (0.5, None)
        ],
    }
    file = tmp_path / "all.json"
    file.write_text(json.dumps(scores))
    people = starter.run("compare", f"--scores=net={file}")
    scripts = starter.run("compare", f"--scores=net={file}", "--json")
    assert people.returncode == scripts.returncode == 0
    (line,) = scripts.stdout.splitlines()
    found = json.loads(line)
    assert people.stdout.splitlines()[0] in scripts.stderr
    assert found["command"] == "compare" and found["ok"] is True and found["exit_code"] == 0
    (row,) = found["results"]["scores"]
    assert row["crop"] == "wheat" and row["f1"] == [0.5]
    assert found["results"]["without"] == 1


@pytest.mark.parametrize("words", [["--scores=nowhere.json"], ["--scores"], ["--scroes=x"]])
def test_json_tells_an_error_and_people_still_read_it(starter, words):
    done = starter.run("compare", *words, "--json", "--quiet")
    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == 1 and found["ok"] is False
    assert done.stderr == f"error: {found['error']}\n"


def test_quiet_prints_nothing_but_errors(starter, tmp_path):
    out = tmp_path / "cubes"
    words = ["--config=configs/simulate.py:iran", "--config.tiles=1", "--config.sites.train=1"]
    words += ["--config.sites.validation=0", "--config.sites.test=0"]
    done = starter.run("simulate", *words, f"--cubes={out}", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(out.glob("*/item.json"))
    again = starter.run("simulate", *words, f"--cubes={out}", "--quiet", "--json")
    results = json.loads(again.stdout)["results"]
    assert results["written"] == 0 and results["kept"] == 1 and results["cubes"] == str(out)


def test_help_shows_the_flags_that_commands_share(starter):
    shown = starter.run("finetune", "--help").stdout
    for flag in ("--coordinator", "--import", "--workdir", "--[no]json", "--[no]quiet"):
        assert f"  {flag}: " in shown


def test_help_is_no_failure(starter):
    done = starter.run("compare", "--help")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["compare", "--json"]])
def test_a_reader_that_has_left_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *words], cwd=CHECKOUT, env=ENV, stdout=writer,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == (1 if "--json" in words else _pipes.CLOSED)
    error = "error: --scores: expected a value, found none\n"
    assert done.stderr == (error if "--json" in words else "")


def test_what_json_cannot_hold_is_made_plain():
    import numpy as np

    value = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": float("nan"), 3: pathlib.Path("x")}
    assert _output._plain(value) == {"a": 0.5, "b": [1, 2], "c": None, "3": "x"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [(["--json"], True), (["-json"], True), (["--json=false"], False), (["--nojson"], False)],
)
def test_the_flag_is_known_before_the_others_are_parsed(words, asked):
    assert _output._asked(["command", *words], "json") is asked


@pytest.mark.parametrize("verb", _verbs.names())
def test_every_command_has_results_for_scripts(verb):
    source = pathlib.Path(_verbs.__file__).with_name(f"{verb}.py").read_text(encoding="utf-8")
    assert "_output.results(" in source or "_train.train(" in source


def test_the_front_door_lists_every_verb_once(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cropmap"])
    front_door.main()
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert sorted(listed) == _verbs.names()


def test_the_front_door_opens_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "learning-curve"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "error: --" in done.stderr


def test_a_mistyped_verb_costs_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cropmap", "fecth"])
    with pytest.raises(SystemExit, match="1"):
        front_door.main()
    assert capsys.readouterr().err == "error: expected a verb, found 'fecth'; did you mean fetch?\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--json"], "'--json': .*, as in cropmap VERB --json; cropmap without a verb lists them"),
        (["--json", "fetch", "--cubes=a b"], "'--json': .* cropmap fetch --json '--cubes=a b'"),
        (
            ["--quiet", "--json=true", "learning-curve"],
            " cropmap learning-curve --quiet --json=true",
        ),
        (["--workdir", "W", "evaluate"], "'--workdir': flags go .* cropmap evaluate --workdir W"),
    ],
)
def test_flags_before_the_verb_are_shown_in_their_place(capsys, monkeypatch, words, expected):
    monkeypatch.setattr(sys, "argv", ["cropmap", *words])
    with pytest.raises(SystemExit, match="1"):
        front_door.main()
    found = capsys.readouterr().err
    assert re.fullmatch(f"error: expected a verb first, found .*{expected}\n", found), found


def test_completion_knows_verbs_and_flags(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "experiments", "--completion", "bash"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    file = tmp_path / "cropmap"
    file.write_text(made.stdout)
    ask = "source {}; COMP_WORDS=(cropmap {}); COMP_CWORD={}; _cropmap; echo ${{COMPREPLY[@]}}"

    def complete(words: str, position: int) -> list[str]:
        script = ask.format(shlex.quote(str(file)), words, position)
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=True, env=os.environ
        ).stdout.split()

    assert complete("fin", 1) == ["finetune"]
    assert complete("predict --as_", 2) == ["--as_of"]
    # Flags that two commands share are those of both.
    assert complete("pretrain --coord", 2) == complete("finetune --coord", 2) == ["--coordinator"]


def test_another_shell_is_refused():
    with pytest.raises(ValueError, match="--completion: expected one of bash, zsh, fish, found 'c"):
        _completion.script("csh")
