"""Searching the local mailbox: one page by key-set, newest first, whatever is asked.

Each condition that an index can answer is asked of it, and every index gives the newest first: a
page is read and the rest is left alone, however many mails would match.
"""

from __future__ import annotations

import json
import re
import unicodedata
from sqlite3 import Connection, Row
from typing import Any

from aicore_tools.errors import InvalidInput
from aicore_tools.mail import cursors
from aicore_tools.mail.backends._local_rows import COLUMNS, place_of, tag
from aicore_tools.mail.records import MailSearch

__all__ = ["find"]

_TOKEN = re.compile(r"[^\W_]+")
_MAX_BEGINNINGS = 64
_TRIGRAM_CHARS = 3
_MAX_TRIGRAMS = 60
_RAREST = 4
_SAMPLE = 30
_VERY_FEW = 30
"""So few mails are looked up among the words one by one; more are sifted out of their stream."""
_FEW = 3000
_EACH_BY_WORDS = (
    "EXISTS (SELECT 1 FROM mail_words WHERE mail_words MATCH ? AND mail_words.rowid = letter.place)"
)
_INDEXED_CHARS = (2, 3)
"""Beginnings of these lengths have an index of their own in `mail_words`."""

Condition = tuple[str, tuple[Any, ...]]


def find(
    connection: Connection, business: str, search: MailSearch, folders: set[str]
) -> tuple[list[Row], str | None]:
    """Give a page of rows, and the cursor of the next one where there is more.

    Raises:
        InvalidInput: the cursor is wrong, or `folder` is none of `folders` and no label.
    """
    window = _window(search)
    words = _words(connection, search.query)
    if words is None or not window:
        return [], None
    is_label = bool(search.folder) and search.folder not in folders
    if is_label:
        _refuse_unknown(connection, business, search.folder)
    tags = _tags(business, search, is_label=is_label)
    conditions: list[Condition] = [("letter.business = ?", (business,)), *window]
    table = "letter"
    few = _few_parts(connection, search, window) if words else None
    if few is not None and len(few) <= _VERY_FEW:
        conditions.append(("letter.place IN (SELECT value FROM json_each(?))", (json.dumps(few),)))
        conditions.append((_EACH_BY_WORDS, (" AND ".join([*words, f"tags : ({tags})"]),)))
    elif words or search.is_unread is not None or search.has_attachment is not None or is_label:
        table = "mail_words CROSS JOIN letter ON letter.place = mail_words.rowid"
        conditions.append(("mail_words MATCH ?", (" AND ".join([*words, f"tags : ({tags})"]),)))
        conditions += [(test.replace("letter.place", "mail_words.rowid"), v) for test, v in window]
        if few is not None:  # + keeps FTS5 from looking each of them up
            test = "+mail_words.rowid IN (SELECT value FROM json_each(?))"
            conditions.append((test, (json.dumps(few),)))
    elif parts := _parts(connection, search):
        table = "mail_parts CROSS JOIN letter ON letter.place = mail_parts.rowid"
        conditions.append(("mail_parts MATCH ?", (parts,)))
        conditions += [(test.replace("letter.place", "mail_parts.rowid"), v) for test, v in window]
    conditions += _on_rows(search, is_label=is_label)
    order = table.split(" ", 1)[0]
    return _page(connection, search, table, conditions, "place" if order == "letter" else "rowid")


def _few_parts(
    connection: Connection, search: MailSearch, window: list[Condition]
) -> list[int] | None:
    """Give the places of all mails with the parts asked for, where they are few."""
    parts = _parts(connection, search)
    if not parts:
        return None
    where = " AND ".join(test.replace("letter.place", "rowid") for test, _ in window)
    rows = connection.execute(
        f"SELECT rowid FROM mail_parts WHERE mail_parts MATCH ? AND {where}"  # noqa: S608 - fixed text
        " ORDER BY rowid DESC LIMIT ?",
        (parts, *(value for _, bound in window for value in bound), _FEW + 1),
    ).fetchall()
    return [row[0] for row in rows] if len(rows) <= _FEW else None


def _page(
    connection: Connection,
    search: MailSearch,
    table: str,
    conditions: list[Condition],
    order: str,
) -> tuple[list[Row], str | None]:
    where = " AND ".join(test for test, _ in conditions)
    values = [value for _, bound in conditions for value in bound]
    columns = ", ".join(f"letter.{name}" for name in COLUMNS.split(", "))
    sql = (
        f"SELECT {columns} FROM {table} WHERE {where}"  # noqa: S608 - fixed text, values are bound
        f" ORDER BY {table.split(' ', 1)[0]}.{order} DESC LIMIT ?"
    )
    rows = connection.execute(sql, (*values, search.limit + 1)).fetchall()
    shown = rows[: search.limit]
    if len(rows) <= search.limit:
        return shown, None
    return shown, cursors.encode(search, shown[-1]["place"])


def _window(search: MailSearch) -> list[Condition]:
    """Give the stretch of places that is asked for."""
    place = cursors.decode(search)
    if place is not None and not isinstance(place, int):
        raise cursors.damaged()
    end = 2**62 if place is None else place
    if search.before is not None:
        end = min(end, place_of(search.before))  # one bound: the index takes only one
    start = -(2**62) if search.after is None else place_of(search.after)
    return [("letter.place < ?", (end,)), ("letter.place >= ?", (start,))]


def _words(connection: Connection, query: str) -> list[str] | None:
    """Give one FTS5 expression a word; None where nothing can match."""
    given = [_TOKEN.findall(word) for word in query.split()]
    found = [_beginnings(connection, tokens) for tokens in given if tokens]
    return found if found or not query.strip() else None


def _beginnings(connection: Connection, tokens: list[str]) -> str:
    """Match a word by its beginning.

    FTS5 gathers all matches of `word*` before it gives the first; single terms it streams. So the
    few terms that begin so are looked up and named; only very many are left to FTS5.
    """
    phrase = " ".join(tokens)
    beginning = _plain(tokens[-1])
    if len(tokens) == 1 and len(beginning) in _INDEXED_CHARS:
        return f'words : "{phrase}"*'
    terms: list[str] = []
    bound = beginning
    if len(tokens) > 1 and _first_term(connection, beginning) == beginning:
        return f'words : "{phrase}"'
    while len(terms) < _MAX_BEGINNINGS:
        term = _first_term(connection, bound)
        if not term.startswith(beginning):
            break
        terms.append(" ".join([*tokens[:-1], term]))
        bound = term + "\x01"  # not `>`: that walks through all places of the term
    if not terms or len(terms) == _MAX_BEGINNINGS:
        return f'words : "{phrase}"*'
    return "words : (" + " OR ".join(f'"{each}"' for each in terms) + ")"


def _first_term(connection: Connection, bound: str) -> str:
    row = connection.execute("SELECT term FROM mail_terms WHERE term >= ? LIMIT 1", (bound,))
    found = row.fetchone()
    return "" if found is None else str(found["term"])


def _plain(token: str) -> str:
    """Write a word as the index has it: in lower case and without accents."""
    apart = unicodedata.normalize("NFKD", token.lower())
    return "".join(each for each in apart if not unicodedata.combining(each))


def _tags(business: str, search: MailSearch, *, is_label: bool) -> str:
    wanted = [tag("b", business)]
    if is_label:
        wanted.append(tag("l", search.folder.casefold()))
    wanted.append(tag("f", search.folder) if search.folder and not is_label else "xm")
    if search.is_unread is not None:
        wanted.append("xu" if search.is_unread else "xr")
    if search.has_attachment is not None:
        wanted.append("xa" if search.has_attachment else "xn")
    return " AND ".join(wanted)


def _parts(connection: Connection, search: MailSearch) -> str:
    """Give the FTS5 expression for the parts that are long enough to have a trigram.

    Only the rarest of their trigrams are asked for: each of the others costs a look at every
    candidate and drops hardly any. The whole part is looked for in the rows that are left.
    """
    asked = {
        "folded_sender": search.sender.casefold(),
        "folded_recipients": search.to.casefold(),
        "folded_subject": search.subject.casefold(),
    }
    grams = [
        f'{column} : "{gram}"'
        for column, text in asked.items()
        for gram in (
            text[index : index + _TRIGRAM_CHARS].replace('"', '""')
            for index in range(len(text) - _TRIGRAM_CHARS + 1)
        )
    ]
    grams = list(dict.fromkeys(grams))[:_MAX_TRIGRAMS]
    if len(grams) > _RAREST:
        grams = sorted(grams, key=lambda gram: _reach(connection, gram))[:_RAREST]
    return " AND ".join(grams)


def _reach(connection: Connection, gram: str) -> int:
    """Tell how far back a few matches of a trigram reach: the rarer, the further."""
    row = connection.execute(
        "SELECT rowid FROM mail_parts WHERE mail_parts MATCH ? ORDER BY rowid DESC"
        " LIMIT 1 OFFSET ?",
        (gram, _SAMPLE),
    ).fetchone()
    return -(2**62) if row is None else int(row[0])


def _on_rows(search: MailSearch, *, is_label: bool) -> list[Condition]:
    """Give the conditions that are looked at row by row."""
    conditions: list[Condition] = [
        (f"instr(letter.{column}, ?) > 0", (text.casefold(),))
        for column, text in (
            ("folded_sender", search.sender),
            ("folded_recipients", search.to),
            ("folded_subject", search.subject),
        )
        if text
    ]
    if search.folder and not is_label:
        conditions.append(("letter.folder = ?", (search.folder,)))
    else:
        conditions.append(("letter.folder NOT IN ('drafts', 'trash', 'spam')", ()))
    return conditions


def _refuse_unknown(connection: Connection, business: str, label: str) -> None:
    row = connection.execute(
        "SELECT 1 FROM mail_words WHERE mail_words MATCH ? LIMIT 1",
        (f"tags : ({tag('b', business)} AND {tag('l', label.casefold())})",),
    ).fetchone()
    if row is None:
        raise InvalidInput(
            f"There is no folder or label {label!r}.", hint="See mail_folders for their names."
        )
