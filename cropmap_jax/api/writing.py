"""Maps in files, as `predict` writes them, from a program that may draw figures of its own."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib

from cropmap_jax.api.quiet import quiet
from cropmap_jax.mapping.options import Options


@contextlib.contextmanager
def _into_files() -> Iterator[None]:
    """Draws into PNG files, without a display, and leaves matplotlib as it was."""
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        yield
    finally:
        matplotlib.use(before)


def write_map(options: dict[str, Any], progress: Callable[..., Any]) -> None:
    """See `Model.write_map`.

    Args:
      options: of `mapping.options.Options`.
      progress: shows how far it is: (items, total=, unit=, desc=) -> items.
    """
    try:
        asked = Options(**options)
    except TypeError as error:
        raise ValueError(f"options: {error}") from error
    with _into_files(), quiet():
        from cropmap_jax.mapping import crop_map

        with crop_map.MapMaker(asked) as maker:
            for _ in progress(maker.run(), total=maker.parts, unit="part", desc="predict"):
                pass
            maker.finish()
