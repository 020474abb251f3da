"""Errors of catalogues and files: what may pass, and what stays wrong; no text holds a token."""

import re


class Unreachable(Exception):
    """What may pass: a fault of a server, a broken connection, a file that cannot be read now."""


class Refused(ValueError):
    """What no repetition changes: a token that has expired or does not allow this."""


class Gone(Exception):
    """Files that the catalogue names and that are not there.

    Args:
      scene_ids: of their items.
    """

    def __init__(self, scene_ids: list[str]):
        super().__init__(", ".join(scene_ids))
        self.scene_ids = scene_ids


_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")
_USER = re.compile(r"(https?://)[^\s'\"/@]*@")
_TOKEN = re.compile(r"(Bearer\s+)\S+", re.IGNORECASE)


def clean(text: object) -> str:
    """A message of a library on one line, without tokens: see `public`."""
    line = " ".join(str(text).split())
    return _TOKEN.sub(r"\1[token]", public(line))[:300]


def public(text: str) -> str:
    """Addresses without what follows their ?, nor names before the host: tokens and passwords."""
    return _USER.sub(r"\1", _QUERY.sub(r"\1", text))
