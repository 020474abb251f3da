"""Whether texts were read in the encoding that they were written in."""

import codecs
import re
import unicodedata
from collections.abc import Iterable

# For attributes whose file declares none: Arabic and Persian, Cyrillic, Greek, Chinese.
_ENCODINGS = ("cp1256", "cp1251", "cp1253", "gb18030")


def check(values: Iterable[object], name: str, flag: str, encoding: str) -> None:
    """Requires texts that were read in the encoding that they were written in.

    Args:
      values: as read; what is no text is passed over.
      name: of the file, for messages.
      flag: key of the config that the file belongs to, e.g. "config.layers.maize".
      encoding: that the config gives; "" is what the file declares.

    Raises:
      ValueError: they look as if they were written in another one; names the file and the key.
    """
    texts = sorted({v for v in values if isinstance(v, str) and not v.isascii()})
    declared = f"{flag}.encoding" if encoding else "the encoding it declares"
    if any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
        raise ValueError(f"{name}: expected texts in {declared}, found bytes that are not: "
                         f'set {flag}.encoding, e.g. to "utf-8"')  # fmt: skip
    repaired = [_as_utf8(text) for text in texts]
    if texts and all(repaired):
        raise ValueError(
            f"{name}: expected texts in {declared}, found UTF-8 ({repaired[0]!r} is read as "
            f'{texts[0]!r}): set {flag}.encoding = "utf-8"'
        )

    # No word of a language is of accented letters only: these are bytes of another script.
    foreign = [text for text in texts if re.search(r"(?<!\w)[\x80-\xff]{3,}(?!\w)", text)]
    guess = next((g for g in map(_guess, foreign) if g), None)
    if guess and not encoding and 2 * len(foreign) > len(texts):
        likely, text, decoded = guess
        raise ValueError(
            f"{name}: expected texts in {declared}, found {text!r}, which may be {decoded!r} "
            f"in {likely}: set {flag}.encoding to what they were written in, such as "
            f'"{likely}"'
        )


def _guess(text: str) -> tuple[str, str, str] | None:
    """(encoding, text, the text in it), where that is in letters of one other script only."""
    for encoding in _ENCODINGS:
        for read_in in ("latin-1", "cp1252"):
            try:
                decoded = text.encode(read_in).decode(encoding)
            except UnicodeError:
                continue
            scripts = {
                unicodedata.name(c, "?").split()[0]
                for c in decoded
                if c.isalpha() and not c.isascii()
            }
            if len(scripts) == 1 and not scripts & {"LATIN", "?"}:
                return encoding, text, decoded
    return None


def _as_utf8(text: str) -> str:
    """The text that its bytes are in UTF-8, or "" if they are not."""
    for codec in ("latin-1", "cp1252"):
        try:
            # Incremental, because a fixed width may have cut the last letter in two.
            repaired = codecs.getincrementaldecoder("utf-8")().decode(text.encode(codec))
        except UnicodeError:
            continue
        # The last letter of "Blé" in Latin-1 begins a letter of UTF-8, but nothing else does.
        return "" if repaired.isascii() else repaired
    return ""
