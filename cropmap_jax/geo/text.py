"""Texts of users in tables that programs open: CSV in a spreadsheet, Markdown in a browser.

Names of classes, fields, columns and files come from whoever made them, and may hold anything.
"""

import re
import unicodedata

_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s?%?")
# Also as wide letters, which some spreadsheets take for the narrow ones.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_MOST_CSV = 32_767
"""Characters that a cell of a spreadsheet holds.

Source: Microsoft, Excel specifications and limits.
"""
_MOST_MARKDOWN = 200
# What begins markup inside a line, or ends a cell of a table.
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`|<>[]*"})
# What makes a heading or a list of the line that it begins.
_BLOCK = re.compile(r"(?=#{1,6}\s|[-+]\s)|(?<=\d)(?=[.)]\s)")


def csv_cell(value: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula.

    Quotes and separators are left to the `csv` module.

    Args:
      value: None is an empty cell.

    Returns:
      The text, after a single quote if it begins like a formula (= + - @, a tab, the end of a line)
      and is neither a number nor a mere dash. Cut after what a spreadsheet holds.
      Source: OWASP, CSV Injection.
    """
    text = _cut(_visible(value), _MOST_CSV)
    plain = text.strip(" ") in ("", "-") or _NUMBER.fullmatch(text)
    return text if plain or not text.lstrip(" ").startswith(_FORMULA) else f"'{text}"


def markdown_cell(value: object, most: int = _MOST_MARKDOWN) -> str:
    """A text that stays text in a table or a list of Markdown: one line, no markup, no HTML.

    Args:
      value: None is an empty text.
      most: characters that are kept.

    Returns:
      The text with its markup escaped, on one line.
    """
    text = _cut(" ".join(_visible(value).split()), most)
    start = re.match(r"#{1,6}\s|[-+]\s|\d{1,9}[.)]\s", text)
    text = text.translate(_MARKUP)
    return _BLOCK.sub(r"\\", text, count=1) if start else text


def plain(value: object, most: int = 10_000) -> str:
    """A text for a terminal: one line, without what moves the cursor or turns the direction."""
    return _cut(re.sub(r"[\t\r\n]+", " ", _visible(value)), most)


def _visible(value: object) -> str:
    """The text without control characters, and without those that turn its direction round."""
    return "".join(
        c
        for c in ("" if value is None else str(value))
        if c in "\t\r\n"
        # Joiners are letters' shapes in Persian and Hindi: they stay.
        or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or c in "\u200c\u200d"
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
