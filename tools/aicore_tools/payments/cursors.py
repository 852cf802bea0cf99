"""Cursors that fit one query only: its fingerprint, and where the next page begins."""

from __future__ import annotations

import hashlib

from aicore_tools.errors import InvalidInput
from aicore_tools.payments.records import FindQuery

__all__ = ["bound_cursor", "position_of"]


def bound_cursor(query: FindQuery, position: str) -> str:
    """Make the cursor of the page of `query` that begins at the backend's `position`."""
    return f"{_fingerprint(query)}.{position}"


def position_of(query: FindQuery) -> str | None:
    """Give where the page begins that `query` asks for, None at the start.

    Raises:
        InvalidInput: its cursor is of another query, or of none.
    """
    if query.cursor is None:
        return None
    fingerprint, _, position = query.cursor.partition(".")
    if fingerprint != _fingerprint(query) or not position:
        raise InvalidInput(
            "cursor: that is none of this search.",
            hint="Repeat the same search with it, or leave it out to start anew.",
        )
    return position


def _fingerprint(query: FindQuery) -> str:
    """Tell queries apart by everything but the size and the place of their page."""
    conditions = (
        query.kind,
        query.customer,
        query.status,
        query.text,
        query.after and query.after.timestamp(),
        query.before and query.before.timestamp(),
    )
    return hashlib.sha256(repr(conditions).encode()).hexdigest()[:10]
