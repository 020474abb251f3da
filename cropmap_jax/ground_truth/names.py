"""Free-text names of crops, as people type them, and what they stand for."""

import collections
import difflib
import unicodedata
from collections.abc import Iterable, Mapping

from cropmap_jax.geo.names import ENDINGS, LETTERS, TATWEEL

UNKNOWN = "unknown"
"""The meaning of a name that does not determine the class."""


def normalise(text: object) -> str:
    """One spelling of texts that look alike.

    Spaces are stripped and collapsed, Arabic ye and kaf become Persian, invisible characters
    (joiners, direction marks, control characters) go, accents are composed and what is drawn as one
    of its forms (wide letters, letters as they end a word) becomes the letter (NFKC).

    Args:
      text: a value of an attribute; None and NaN are no text, and 12.0 is "12".
    """
    if text is None or (isinstance(text, float) and text != text):
        return ""
    if isinstance(text, float) and text.is_integer():
        text = int(text)
    spaced = " ".join(str(text).split())
    # Cc holds control characters, Cf joiners, direction marks and the byte order mark.
    seen = "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf"))
    composed = " ".join(unicodedata.normalize("NFKC", seen).replace(TATWEEL, "").split())
    return composed.translate(LETTERS)


def key(text: object) -> str:
    """What two spellings of a name have in common: `normalise`, and no case."""
    return normalise(text).casefold()


def _loose(text: str) -> str:
    """What is left of a key where spaces, joiners and digits are typed in one way or another."""
    digits = (str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return "".join("".join(digits).split()).translate(ENDINGS)


def decide(
    texts: Iterable[object], names: Mapping[str, str]
) -> tuple[list[str], collections.Counter[str]]:
    """What each text stands for; case and the differences that `normalise` removes do not count.

    Nor do spaces, unless two names of different meanings differ by nothing else.

    Args:
      texts: attribute values.
      names: {text: class, NONE or UNKNOWN}.

    Returns:
      One class, NONE or UNKNOWN per text, and how often each text occurs that `names` does not
      list (normalised; "" is no text): those are UNKNOWN.

    Raises:
      ValueError: two names that are the same text stand for different things.
    """
    table: dict[str, str] = {}
    for name, crop in names.items():
        folded = key(name)
        if table.setdefault(folded, crop) != crop:
            raise ValueError(
                f"names: expected one meaning of {name!r}, found {table[folded]!r} and {crop!r}"
            )
    loose = collections.defaultdict(set)
    for text, crop in table.items():
        loose[_loose(text)].add(crop)
    cleaned = [normalise(text) for text in texts]
    found = {}
    for text in set(cleaned):
        near = loose.get(_loose(text.casefold()), ())
        found[text] = table.get(text.casefold()) or (min(near) if len(near) == 1 else None)
    unlisted = collections.Counter(text for text in cleaned if found[text] is None)
    return [found[text] or UNKNOWN for text in cleaned], unlisted


def nearest(word: str, words: Iterable[str]) -> str:
    """End of a message that suggests the nearest of the words, or "" if none is near."""
    folded = {normalise(w).casefold(): w for w in words}
    near = difflib.get_close_matches(normalise(word).casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
