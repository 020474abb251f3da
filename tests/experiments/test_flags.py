"""A flag or config that is wrong costs one line."""

import pathlib
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from experiments import _cli, _flags

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs" / "tiny" / "finetune.py"


def parse(monkeypatch, *words, required=("workdir",)):
    """Parses the words as a command with --config and --workdir would."""
    known = flags.FlagValues()
    argv = ["command", *words]
    monkeypatch.setattr(sys, "argv", argv)  # where ml_collections looks for what is overridden
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # the file of the test before
    config_flags.DEFINE_config_file("config", None, "", known, lock_config=True)
    flags.DEFINE_string("workdir", None, "", known)
    flags.mark_flags_as_required(required, known)
    _flags.parse(argv, known)
    return known


def test_what_is_right_is_parsed(monkeypatch):
    words = ("--workdir=W", "--config", str(CONFIG), "--config.epochs=9", "--noconfig.augment")
    config = parse(monkeypatch, *words).config
    assert config.epochs == 9 and config.augment is False


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--config.learning_rates.head=1", "no such setting; did you mean --config.learning_rate"),
        ("--config.model.widht=3", "--config.model.widht: .*did you mean --config.model.width?"),
        ("--config.epohcs=3", "--config.epohcs: .*did you mean --config.epochs?"),
        ("--noconfig.augmnt", "--noconfig.augmnt: .*did you mean --config.augment?"),
        ("--config.zzz=3", "--config.zzz: no such setting; the config file lists all"),
        ("--config.epochs.x=3", "--config.epochs.x: no such setting"),
        ("--config.model=3", "--config.model: expected one of its settings, --config.model.dtype"),
        ("--config.epochs=ten", "--config.epochs: expected a whole number, found 'ten'"),
        ("--config.learning_rate.head=x", "learning_rate.head: expected a number, found 'x'"),
        ("--config.augment=maybe", "--config.augment: expected True or False, found 'maybe'"),
        ("--wrokdir=W", "--wrokdir: no such flag; did you mean --workdir?"),
    ],
)
def test_a_mistyped_word_costs_one_line(monkeypatch, word, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as raised:
        parse(monkeypatch, "--workdir=W", f"--config={CONFIG}", word)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"--config={CONFIG}",), "^--workdir: expected a value, found none$"),
        (("--config.epochs=3", "--workdir=W"), "^--config.epochs: expected --config FILE before"),
        (("--config.epochs=3", f"--config={CONFIG}"), "^--config.epochs: expected --config FILE"),
        (
            ("--workdir=W", "--config=nowhere.py"),
            "expected a configuration file, found none at 'no",
        ),
        (("--workdir=W", f"--config={CONFIG}:x"), "expected a function get_config that returns"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, words, message):
    with pytest.raises(ValueError, match=message):
        parse(monkeypatch, *words)


def test_all_that_is_missing_is_named_at_once(monkeypatch):
    required = ("workdir", "config")
    with pytest.raises(
        ValueError, match="^--workdir, --config: expected a value each, found none$"
    ):
        parse(monkeypatch, required=required)
    with pytest.raises(ValueError, match="^--config: expected a value, found none$"):
        parse(monkeypatch, "--workdir=W", required=required)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("def get_config():", "    return 1 / 0"), "line 2: ZeroDivisionError: division by zero"),
        (("def get_config():", "    return int('x')"), "line 2: ValueError: invalid literal"),
        (("def get_config():", "    return open('/none')"), "line 2: FileNotFoundError: .*/none"),
        (("import sys", "sys.exit('no data here')"), "line 2: SystemExit: no data here"),
        (("import no_such_module",), "line 1: ModuleNotFoundError: No module named"),
        (("def get_config(:",), "line 1: SyntaxError: invalid syntax"),
        (("def get_config():", "    return None"), "expected a ConfigDict .*found NoneType"),
        (("x = 1",), "expected a function get_config that returns the settings"),
    ],
)
def test_a_config_that_fails_is_told_with_its_line(monkeypatch, tmp_path, lines, message):
    file = tmp_path / "own.py"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=f"^--config {file}.*{message}") as raised:
        parse(monkeypatch, "--workdir=W", f"--config={file}")
    assert "\n" not in str(raised.value)


def test_an_error_of_the_system_is_one_line_with_the_way_out():
    full = OSError(28, "No space left on device")
    assert _cli._of_file(full) == (
        "No space left on device; free some space, or choose another disk"
    )
    denied = OSError(13, "Permission denied", "/some/file")
    assert _cli._of_file(denied) == "/some/file: Permission denied; expected permission for it"
    # Our own lines name the file already.
    assert _cli._of_file(OSError(28, "/a/b: could not be written")) == "/a/b: could not be written"
    assert _cli._of_file(OSError("/a/b: is gone")) == "/a/b: is gone"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["--versus"], ["--versus=a,b"]),
        (["--versus", "--workdir=W"], ["--versus=a,b", "--workdir=W"]),
        (["--versus", "c", "--workdir=W"], ["--versus", "c", "--workdir=W"]),
        (["--versus=c"], ["--versus=c"]),
        (["--workdir", "--versus"], ["--workdir", "--versus=a,b"]),
    ],
)
def test_a_flag_that_may_stand_alone_gets_its_value(monkeypatch, words, completed):
    monkeypatch.setattr(_cli, "_BARE", {})
    _cli.may_be_bare("versus", "a,b")
    assert _cli._complete(words) == completed
