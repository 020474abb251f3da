"""A missing extra costs one line that says how to install it."""

import sys

import pytest

from cropmap_jax.geo import extras


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_nothing_is_said_where_an_extra_is_installed(extra):
    extras.require(extra, "this")


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    modules = ("json", "no_such_module", "no_such_package.module", "os.no_such_module")
    monkeypatch.setitem(extras.EXTRAS, "fields", modules)
    expected = (
        "this needs no_such_module, no_such_package.module, os.no_such_module: "
        r"pip install 'cropmap_jax\[fields\]'"
    )
    with pytest.raises(ValueError, match=f"^{expected}$"):
        extras.require("fields", "this")


def test_nothing_of_an_extra_is_imported(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "fields", ("this",))
    sys.modules.pop("this", None)
    extras.require("fields", "prepare")
    assert "this" not in sys.modules
