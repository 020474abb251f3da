"""Folders that a checkout has next to the package, and an installed wheel inside of it."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def folder(name: str) -> pathlib.Path:
    """The `configs` or `datasets` folder: of the installed wheel, else of the checkout.

    The wheel's first: next to an installed package lies whatever else is installed, such as another
    package of the name "datasets".
    """
    own = _PACKAGE / name
    return own if own.is_dir() else _PACKAGE.parent / name


def checkout() -> pathlib.Path | None:
    """The checkout that this package is imported from; None of an installed wheel."""
    folder = _PACKAGE.parent
    return folder if (folder / "setup.cfg").is_file() else None


def config_file(path: str) -> pathlib.Path | None:
    """Where `configs/...` lies away from a checkout; None of any other path, or if it is nowhere.

    Args:
      path: of a config, as a user gives it.
    """
    parts = pathlib.PurePath(path).parts
    if not parts or parts[0] != "configs":
        return None
    there = folder("configs").joinpath(*parts[1:])
    return there if there.exists() else None
