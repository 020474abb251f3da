"""A missing extra costs one line that says how to install it."""

import shlex
import sys

import pytest

from cropmap_jax.geo import extras, installed


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_nothing_is_said_where_an_extra_is_installed(extra):
    extras.require(extra, "this")


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(extras, "command", lambda extra: f"install {extra}")
    modules = ("json", "no_such_module", "no_such_package.module", "os.no_such_module")
    monkeypatch.setitem(extras.EXTRAS, "fields", modules)
    expected = (
        "this needs no_such_module, no_such_package.module, os.no_such_module: install fields"
    )
    with pytest.raises(ValueError, match=f"^{expected}$"):
        extras.require("fields", "this")


def test_the_command_is_right_as_typed_where_it_is_read(monkeypatch, tmp_path):
    """From within a checkout, from elsewhere, and of an installed wheel."""
    checkout, site = tmp_path / "my checkout", tmp_path / "site-packages"
    for folder in (checkout, site):
        folder.mkdir()
    (checkout / "setup.cfg").touch()
    monkeypatch.setattr(installed, "_PACKAGE", checkout / "cropmap_jax")
    monkeypatch.chdir(checkout)
    assert extras.command("view") == "pip install -e '.[view]'"
    monkeypatch.chdir(tmp_path)
    assert shlex.split(extras.command("view")) == ["pip", "install", "-e", f"{checkout}[view]"]
    monkeypatch.setattr(installed, "_PACKAGE", site / "cropmap_jax")
    assert extras.command("view") == "pip install 'cropmap_jax[view]'"


def test_nothing_of_an_extra_is_imported(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "fields", ("this",))
    sys.modules.pop("this", None)
    extras.require("fields", "prepare")
    assert "this" not in sys.modules
