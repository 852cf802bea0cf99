"""Cursors of searches and reports: a place in their rows, useless for any other."""

from __future__ import annotations

from typing import Any

from aicore_tools.crm.records import Report, Search
from aicore_tools.cursors import damaged, pack, rebound
from aicore_tools.cursors import unpack as unpack_any

__all__ = ["of_report", "of_search", "pack", "rebound", "unpack"]


def of_search(search: Search) -> object:
    """Give what tells a search from another: all but its cursor and limit."""
    return (search.type, search.query, list(search.filters), search.sort)


def of_report(report: Report) -> object:
    """Give what tells a report from another: all but its cursor, limit and time of asking."""
    return (report.kind, report.since, report.owner)


def unpack(question: object, cursor: str, *, length: int) -> list[Any]:
    """Give the place that was packed, `length` values.

    Raises:
        InvalidInput: it is no cursor, or one of another question.
    """
    place = unpack_any(question, cursor)
    if not isinstance(place, list) or len(place) != length:
        raise damaged()
    return place
