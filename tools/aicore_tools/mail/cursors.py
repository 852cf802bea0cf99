"""Cursors of mail searches: a place, bound to the search it belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aicore_tools.cursors import damaged, pack, unpack
from aicore_tools.mail.records import MailSearch

__all__ = ["damaged", "decode", "encode"]


def encode(search: MailSearch, place: Any) -> str:
    """Give the cursor of the page that begins at `place`, which is plain JSON."""
    return pack(_question(search), place)


def decode(search: MailSearch) -> Any:
    """Give the place in `search.cursor`; None where there is no cursor.

    Raises:
        InvalidInput: it is damaged, or of another search.
    """
    return None if search.cursor is None else unpack(_question(search), search.cursor)


def _question(search: MailSearch) -> MailSearch:
    return replace(search, cursor=None, limit=0)
