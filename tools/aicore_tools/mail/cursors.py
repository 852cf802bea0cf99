"""Cursors of mail searches: a place, bound to the search it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import replace
from typing import Any

from aicore_tools.errors import InvalidInput
from aicore_tools.mail.records import MailSearch

__all__ = ["damaged", "decode", "encode"]


def encode(search: MailSearch, place: Any) -> str:
    """Give the cursor of the page that begins at `place`, which is plain JSON."""
    text = json.dumps([_fingerprint(search), place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(search: MailSearch) -> Any:
    """Give the place in `search.cursor`; None where there is no cursor.

    Raises:
        InvalidInput: it is damaged, or of another search.
    """
    given = search.cursor
    if given is None:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        decoded = None
    match decoded:
        case [str(fingerprint), place] if place is not None:
            if fingerprint == _fingerprint(search):
                return place
            raise InvalidInput(
                "This cursor belongs to another search.",
                hint="Repeat the search it came from, changed in nothing but cursor and limit.",
            )
    raise damaged()


def damaged() -> InvalidInput:
    """Make the error for a cursor that holds no place of the backend that reads it."""
    return InvalidInput(
        "This is no cursor of this server.", hint="Give next_cursor as it was, or leave it out."
    )


def _fingerprint(search: MailSearch) -> str:
    asked = repr(replace(search, cursor=None, limit=0))
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
