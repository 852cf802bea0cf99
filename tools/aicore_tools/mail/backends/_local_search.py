"""Searching the local mailbox: one page by key-set, newest first, whatever is asked.

Each condition that an index can answer is asked of it, and every index gives the newest first: a
page is read and the rest is left alone, however many mails would match.
"""

from __future__ import annotations

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
    if words or search.is_unread is not None or search.has_attachment is not None or is_label:
        table = "mail_words CROSS JOIN letter ON letter.place = mail_words.rowid"
        conditions.append(("mail_words MATCH ?", (" AND ".join([*words, f"tags : ({tags})"]),)))
        conditions += [(test.replace("letter.place", "mail_words.rowid"), v) for test, v in window]
    elif parts := _parts(search):
        table = "mail_parts CROSS JOIN letter ON letter.place = mail_parts.rowid"
        conditions.append(("mail_parts MATCH ?", (parts,)))
        conditions += [(test.replace("letter.place", "mail_parts.rowid"), v) for test, v in window]
    conditions += _on_rows(search, is_label=is_label)
    order = table.split(" ", 1)[0]
    return _page(connection, search, table, conditions, "place" if order == "letter" else "rowid")


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
    bounds: list[Condition] = [("letter.place < ?", (2**62 if place is None else place,))]
    if search.after is not None:
        bounds.append(("letter.place >= ?", (place_of(search.after),)))
    if search.before is not None:
        bounds.append(("letter.place < ?", (place_of(search.before),)))
    return bounds


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
    terms: list[str] = []
    term = beginning
    test = ">="
    while len(terms) < _MAX_BEGINNINGS:
        row = connection.execute(
            f"SELECT term FROM mail_terms WHERE term {test} ? LIMIT 1",  # noqa: S608 - fixed text
            (term,),
        ).fetchone()
        if row is None or not row["term"].startswith(beginning):
            break
        term, test = row["term"], ">"
        terms.append(" ".join([*tokens[:-1], term]))
    if not terms or len(terms) == _MAX_BEGINNINGS:
        return f'words : "{phrase}"*'
    return "words : (" + " OR ".join(f'"{each}"' for each in terms) + ")"


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


def _parts(search: MailSearch) -> str:
    """Give the FTS5 expression for the parts that are long enough to have a trigram."""
    asked = {
        "folded_sender": search.sender.casefold(),
        "folded_recipients": search.to.casefold(),
        "folded_subject": search.subject.casefold(),
    }
    grams = [
        f'{column} : "{text[index : index + _TRIGRAM_CHARS]}"'.replace('"""', '""""')
        for column, text in asked.items()
        for index in range(len(text) - _TRIGRAM_CHARS + 1)
    ]
    return " AND ".join(dict.fromkeys(grams))


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
