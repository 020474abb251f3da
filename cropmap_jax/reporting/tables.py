"""Tables as data: cells with footnotes, so that no value is missing without a word about it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cropmap_jax.reporting import words

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell.

    Args:
      text: what it shows.
      mark: letter of its footnote, "" for none.
      shade: 0 to 10, how dark; None: not shaded.
      number: whether it is aligned as a number.
    """

    text: str
    mark: str = ""
    shade: int | None = None
    number: bool = True


@dataclasses.dataclass
class Table:
    """A table: the first column are headings of rows.

    Args:
      caption: what it shows.
      head: of the columns.
      rows: filled by `add`.
      notes: (mark, words) of the footnotes.
      wide: whether it is wider than a phone, so that it scrolls by itself.
    """

    caption: str
    head: Sequence[str]
    rows: list[list[Cell]] = dataclasses.field(default_factory=list)
    notes: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def add(self, *cells: Cell | str) -> None:
        """Adds a row; texts are cells without anything else."""
        self.rows.append(
            [Cell(one, number=False) if isinstance(one, str) else one for one in cells]
        )

    def mark(self, why: str | None) -> str:
        """The letter of a footnote; "" where there is nothing to say."""
        if not why:
            return ""
        for letter, text in self.notes:
            if text == why:
                return letter
        number = len(self.notes)
        letter = _LETTERS[number % 26] * (number // 26 + 1)
        self.notes.append((letter, why))
        return letter

    def figure(
        self,
        one: Mapping[str, Any],
        form: Callable[[Mapping[str, Any]], str] = words.figure,
        also: str | None = None,
        shaded: bool = False,
        alone: bool = False,
    ) -> Cell:
        """A figure, with the reason where it has no value or no interval.

        Args:
          one: the figure.
          form: how it is written.
          also: what else there is to say about it.
          shaded: the darker, the higher the value.
          alone: its interval is not shown, so that nothing is said of one that there is not.
        """
        why = None if alone and one["value"] is not None else one.get("reason")
        reasons = [text for text in (why, also) if text]
        shade = None if one["value"] is None or not shaded else round(10 * one["value"])
        return Cell(form(one), self.mark("; ".join(reasons)), shade)
