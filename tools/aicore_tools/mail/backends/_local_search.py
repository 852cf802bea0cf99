"""Searching the local mailbox: one page by key-set, newest first."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.errors import InvalidInput
from aicore_tools.mail.records import MailSearch

__all__ = ["cursor", "rows"]

_COLUMNS = "seq, thread, folder, sender, recipients, subject, at, unread, has_attachment, snippet"


def rows(connection: Connection, business: str, search: MailSearch) -> list[Row]:
    """Give up to `limit` + 1 rows: one more than asked says that there are more."""
    conditions: list[tuple[str, tuple[Any, ...]]] = [
        (test, (value,)) for test, value in _simple(business, search) if value is not None
    ]
    if search.folder is None:
        conditions.append(("folder <> 'drafts'", ()))
    if search.query.strip():
        match = _match(search.query)
        if match is None:
            return []
        conditions.append(("seq IN (SELECT rowid FROM mail_fts WHERE mail_fts MATCH ?)", (match,)))
    if search.cursor is not None:
        at, seq = _place(search)
        conditions.append(("(at, seq) < (?, ?)", (at, seq)))
    where = " AND ".join(test for test, _ in conditions)
    values = [value for _, bound in conditions for value in bound]
    # Fixed text only, values are bound; the bytes of the mails are left where they are.
    sql = (
        f"SELECT {_COLUMNS} FROM mail WHERE {where}"  # noqa: S608  see above
        " ORDER BY at DESC, seq DESC LIMIT ?"
    )
    return connection.execute(sql, (*values, search.limit + 1)).fetchall()


def _simple(business: str, search: MailSearch) -> list[tuple[str, str | int | None]]:
    """Give the conditions on one column; None stands for one that was not asked for."""
    return [
        ("business = ?", business),
        ("folder = ?", search.folder),
        ("instr(folded_sender, ?) > 0", search.sender.casefold() or None),
        ("instr(folded_recipients, ?) > 0", search.to.casefold() or None),
        ("instr(folded_subject, ?) > 0", search.subject.casefold() or None),
        ("at >= ?", None if search.after is None else _stamp(search.after)),
        ("at < ?", None if search.before is None else _stamp(search.before)),
        ("unread = ?", search.is_unread),
        ("has_attachment = ?", search.has_attachment),
    ]


def cursor(search: MailSearch, last: Row) -> str:
    """Give the cursor of the page after `last`."""
    place = json.dumps([_fingerprint(search), last["at"], last["seq"]])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _match(query: str) -> str | None:
    words = [word for word in query.split() if any(c.isalnum() for c in word)]
    # A quoted phrase is plain text to FTS5, whatever is in it; * makes its end open.
    return " ".join('"' + word.replace('"', '""') + '"*' for word in words) or None


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _fingerprint(search: MailSearch) -> str:
    asked = repr(replace(search, cursor=None, limit=0))
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _place(search: MailSearch) -> tuple[str, int]:
    given = search.cursor or ""
    try:
        place = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, binascii.Error):
        place = None
    match place:
        case [str(fingerprint), str(at), int(seq)] if abs(seq) < 2**63:
            if fingerprint == _fingerprint(search):
                return at, seq
            raise InvalidInput(
                "This cursor belongs to another search.",
                hint="Repeat the search it came from, changed in nothing but cursor and limit.",
            )
    raise InvalidInput(
        "This is no cursor of this server.", hint="Give next_cursor as it was, or leave it out."
    )
