"""Names as people type them, in any script, and the ids that stand for them."""

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

# What Unicode does not take apart into a letter and its marks.
_LATIN = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe"}
)
# Letters that look the same in print, but that an Arabic and a Persian keyboard write differently.
LETTERS = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
ENDINGS = str.maketrans({"ة": "ه", "ۀ": "ه"})
TATWEEL = "\u0640"
"""Stretches a word, and is no letter of it."""


def normalise(text: str) -> str:
    """One spelling of what reads the same: width, case, composition, joiners, digits, spaces."""
    text = unicodedata.normalize("NFKC", text).casefold()
    # Cc holds control characters, Cf joiners, direction marks and the byte order mark; a tatweel
    # only lengthens a word.
    text = "".join(
        " " if unicodedata.category(c)[0] == "Z" or c in "\t\n\r\u200c" else c
        for c in text
        if c in "\t\n\r\u200c" or (unicodedata.category(c) not in ("Cc", "Cf") and c != TATWEEL)
    )
    digits = (str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    text = unicodedata.normalize("NFKC", "".join(digits).translate(LETTERS | ENDINGS))
    return " ".join(text.split())


def same_name(a: str, b: str) -> bool:
    """Whether two names read the same, however they are typed."""
    return normalise(a) == normalise(b)


def slug(title: str) -> str:
    """Lower-case name with underscores, fit for a command line, a file and STAC's class names.

    STAC allows ASCII alone. Accents fold ("Blé dur" is ble_dur); a name in another script gets a
    digest of its letters, the same however it is typed, so that different names stay different.

    Source: STAC classification extension 2.0, class name `^[0-9A-Za-z-_]+$`.
    """
    text = normalise(title).translate(_LATIN)
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not _is_accent(c))
    known = re.sub(r"[^0-9a-z]+", "_", plain).strip("_")
    if not any(c.isalpha() and not c.isascii() for c in plain):
        return known
    # Without spaces: a joiner between the parts of a word is as often typed as one, or left out.
    digest = hashlib.sha256("".join(text.split()).encode()).hexdigest()[:8]
    return f"{known}_{digest}" if known else f"name_{digest}"


def _is_accent(mark: str) -> bool:
    """Whether it is one of the marks of Latin letters; those of other scripts tell words apart."""
    return "\u0300" <= mark <= "\u036f"


def one_line(text: str) -> str:
    """Without line breaks and control characters, which would end a row of a table."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def nearest(word: str, words: Iterable[str]) -> str:
    """End of a message that suggests the nearest of the words, or "" if none is near."""
    folded = {normalise(known): known for known in words}
    near = difflib.get_close_matches(normalise(word), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def folders(names: Sequence[str]) -> str:
    """How many folders there are and one of their names, "2 folders (a, ...)"."""
    more = ", ..." if len(names) > 1 else ""
    return f"{len(names)} folder{'s' if len(names) != 1 else ''} ({names[0]}{more})"
