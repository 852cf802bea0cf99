"""Cursors of queries: where the backend's next page begins, useless for any other query."""

from __future__ import annotations

from aicore_tools.cursors import damaged, pack, unpack
from aicore_tools.payments.records import FindQuery

__all__ = ["bound_cursor", "position_of"]


def bound_cursor(query: FindQuery, position: str) -> str:
    """Make the cursor of the page of `query` that begins at the backend's `position`."""
    return pack(_question(query), position)


def position_of(query: FindQuery) -> str | None:
    """Give where the page begins that `query` asks for, None at the start.

    Raises:
        InvalidInput: its cursor is of another query, or of none.
    """
    if query.cursor is None:
        return None
    position = unpack(_question(query), query.cursor)
    if not isinstance(position, str) or not position:
        raise damaged()
    return position


def _question(query: FindQuery) -> object:
    """Tell queries apart by everything but the size and the place of their page."""
    return (
        query.kind,
        query.customer,
        query.status,
        query.text,
        query.after and query.after.timestamp(),
        query.before and query.before.timestamp(),
    )
