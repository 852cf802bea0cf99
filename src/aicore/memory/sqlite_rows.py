"""The rows of a memory in a SQLite file: what is read and written within one transaction.

All functions run in the thread of a connection. Keys of entries hold the number of their
namespace, 2 bits of kind and 30 bits of counting.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aicore.memory.neighbours import contexts_without
from aicore.memory.port import Entry, EntryKind, Learned, Namespace, Source
from aicore.memory.ranking import BLOCK, packed_postings, without
from aicore.memory.words import storable

__all__ = [
    "COLUMNS",
    "KINDS",
    "NUMBERS",
    "add_entries",
    "delete_entries",
    "delete_namespace",
    "entry_of",
    "forgotten",
    "make_namespace",
    "note_learned",
    "number_span",
    "present",
    "read_namespace",
    "several",
]

KINDS: tuple[EntryKind, ...] = ("fact", "episode", "passage")
NUMBERS = 1 << 32
"""How many keys a namespace has."""

_OF_A_KIND = 1 << 30
_AT_ONCE = 500

COLUMNS = (
    "id, kind, text, context, topic, at_ms, data_class, valid_from_ms, valid_to_ms, "
    "superseded_by, said_by, conversation, seq, document, place"
)
_ADD = f"""
    INSERT INTO entry (key, namespace, {COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608  # a constant
_NAMESPACE = "SELECT id, entries FROM namespace WHERE business = ? AND subject = ?"
_MAKE_NAMESPACE = """
    INSERT INTO namespace (business, subject) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET entries = entries RETURNING id
"""
# Bytes behind bytes; `||` alone would make text of them.
_ADD_POSTINGS = """
    INSERT INTO posting (namespace, word, block, entries) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET entries = CAST(entries || excluded.entries AS BLOB)
"""
# A conversation that was erased and begun anew counts from its own beginning.
_LEARNED = """
    INSERT INTO learned (business, conversation, seq, born_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        seq = CASE WHEN born_ms = excluded.born_ms
            THEN max(seq, excluded.seq) ELSE excluded.seq END,
        born_ms = excluded.born_ms
"""
_LEARNED_INTO = "INSERT OR IGNORE INTO learned_into (namespace, conversation) VALUES (?, ?)"
_UNLEARN = """
    DELETE FROM learned WHERE business = ? AND conversation IN
        (SELECT conversation FROM learned_into WHERE namespace = ?)
"""


def read_namespace(connection: sqlite3.Connection, namespace: Namespace) -> tuple[int, int] | None:
    """Give a namespace's number and how many entries it has; None when nothing is known of it."""
    row: tuple[int, int] | None = connection.execute(_NAMESPACE, namespace).fetchone()
    return row


def make_namespace(connection: sqlite3.Connection, namespace: Namespace) -> int:
    """Give a namespace's number; it is made if it is missing."""
    [(number,)] = connection.execute(_MAKE_NAMESPACE, namespace).fetchall()
    return int(number)


def add_entries(connection: sqlite3.Connection, space: int, entries: Sequence[Entry]) -> int:
    """Add those entries that are neither there nor forgotten; gives how many those were."""
    new = {entry.id: entry for entry in reversed(entries)}
    known = {row[0] for row in several(connection, _KNOWN, (space,), new)}
    known |= forgotten(connection, space, new)
    wanted = [entry for entry in reversed(new.values()) if entry.id not in known]
    if not wanted:
        return 0
    keys = _Keys(connection, space)
    rows = [(keys.next(entry.kind), entry) for entry in wanted]
    connection.executemany(_ADD, ((key, space, *_values(entry)) for key, entry in rows))
    _add_postings(connection, space, packed_postings((key % NUMBERS, entry) for key, entry in rows))
    changed = "UPDATE namespace SET entries = entries + ? WHERE id = ?"
    connection.execute(changed, (len(rows), space))
    return len(rows)


_KNOWN = "SELECT id FROM entry WHERE namespace = ? AND id IN ({})"
_FORGOTTEN = "SELECT id FROM forgotten WHERE namespace = ? AND id IN ({})"


def forgotten(connection: sqlite3.Connection, space: int, ids: Collection[str]) -> set[str]:
    """Give those of these ids that were forgotten."""
    return {row[0] for row in several(connection, _FORGOTTEN, (space,), ids)}


class _Keys:
    """The next key of each kind of a namespace."""

    def __init__(self, connection: sqlite3.Connection, space: int) -> None:
        self._connection = connection
        self._space = space
        self._next: dict[str, int] = {}

    def next(self, kind: EntryKind) -> int:
        if kind not in self._next:
            first, last = number_span(kind)
            span = (self._space * NUMBERS + first, self._space * NUMBERS + last)
            query = "SELECT max(key) FROM entry WHERE key BETWEEN ? AND ?"
            [(highest,)] = self._connection.execute(query, span).fetchall()
            self._next[kind] = span[0] if highest is None else highest + 1
        key = self._next[kind]
        self._next[kind] += 1
        return key


def number_span(kind: EntryKind) -> tuple[int, int]:
    """Give the first and last number, within a namespace, of the entries of a kind."""
    first = KINDS.index(kind) * _OF_A_KIND
    return first, first + _OF_A_KIND - 1


def delete_entries(connection: sqlite3.Connection, space: int, ids: Collection[str]) -> int:
    """Delete entries and what was made of their words, in the contexts of others as well.

    Gives how many there were.
    """
    found = list(several(connection, _WHERE_SAID, (space,), ids))
    keys = [row[0] for row in found]
    near = _made_anew(connection, space, ids, {row[1] for row in found if row[2] == "episode"})
    changing = [*keys, *(key for key, _ in near)]
    new = packed_postings(sorted((key % NUMBERS, entry) for key, entry in near))
    _change_postings(connection, space, frozenset(key % NUMBERS for key in changing), new)
    connection.executemany("DELETE FROM entry WHERE key = ?", ((key,) for key in keys))
    contexts = ((storable(entry.context), key) for key, entry in near)
    connection.executemany("UPDATE entry SET context = ? WHERE key = ?", contexts)
    changed = "UPDATE namespace SET entries = entries - ? WHERE id = ?"
    connection.execute(changed, (len(keys), space))
    return len(keys)


def _made_anew(
    connection: sqlite3.Connection,
    space: int,
    ids: Collection[str],
    conversations: Collection[str | None],
) -> list[tuple[int, Entry]]:
    """Give the entries near these, by key, as they are found without them."""
    first, last = (space * NUMBERS + number for number in number_span("episode"))
    near = []
    for conversation in conversations:
        said = connection.execute(_SAID, (first, last, conversation)).fetchall()
        keys = {row[1]: row[0] for row in said}
        entries = {row[1]: entry_of(row[1:]) for row in said}
        for id_, context in contexts_without(entries.values(), ids).items():
            near.append((keys[id_], replace(entries[id_], context=context)))
    return near


_WHERE_SAID = "SELECT key, conversation, kind FROM entry WHERE namespace = ? AND id IN ({})"
_SAID = f"SELECT key, {COLUMNS} FROM entry WHERE key BETWEEN ? AND ? AND conversation = ?"  # noqa: S608


def _add_postings(
    connection: sqlite3.Connection, space: int, packed: Mapping[tuple[str, int], bytes]
) -> None:
    values = ((space, word, block, postings) for (word, block), postings in packed.items())
    connection.executemany(_ADD_POSTINGS, values)


def _change_postings(
    connection: sqlite3.Connection,
    space: int,
    numbers: frozenset[int],
    new: dict[tuple[str, int], bytes],
) -> None:
    """Take out the postings of these numbers, and put in new ones.

    All words are looked through: those of a text may have been taken otherwise when it was added.
    """
    blocks = {number // BLOCK for number in numbers}
    query = "SELECT word, block, entries FROM posting WHERE namespace = ?"
    changed = []
    for word, block, packed in connection.execute(query, (space,)):
        if block in blocks:
            kept = without(packed, block, numbers, new.pop((word, block), b""))
            if kept != packed:
                changed.append((kept, space, word, block))
    place = "WHERE namespace = ? AND word = ? AND block = ?"
    connection.executemany(
        f"DELETE FROM posting {place}",  # noqa: S608  # a constant
        (row[1:] for row in changed if not row[0]),
    )
    connection.executemany(
        f"UPDATE posting SET entries = ? {place}",  # noqa: S608  # a constant
        (row for row in changed if row[0]),
    )
    _add_postings(connection, space, new)


def delete_namespace(connection: sqlite3.Connection, namespace: Namespace) -> int:
    """Delete all of a namespace; gives how many entries there were."""
    found = read_namespace(connection, namespace)
    if found is None:
        return 0
    space, count = found
    connection.execute(_UNLEARN, (namespace.business, space))
    span = (space * NUMBERS, space * NUMBERS + NUMBERS - 1)
    connection.execute("DELETE FROM entry WHERE key BETWEEN ? AND ?", span)
    for table in ("posting", "forgotten", "learned_into"):
        connection.execute(f"DELETE FROM {table} WHERE namespace = ?", (space,))  # noqa: S608
    connection.execute("DELETE FROM namespace WHERE id = ?", (space,))
    return count


def note_learned(
    connection: sqlite3.Connection, business: str, space: int, learned: Learned
) -> None:
    """Write down how far a conversation has been learned from; never less far than before."""
    values = (business, learned.conversation, learned.seq, learned.born_ms)
    connection.execute(_LEARNED, values)
    connection.execute(_LEARNED_INTO, (space, learned.conversation))


def several(
    connection: sqlite3.Connection, query: str, given: Sequence[Any], among: Collection[Any]
) -> Iterator[tuple[Any, ...]]:
    """Ask a query that has `IN ({})` last for all of `among`, in parts that SQLite takes."""
    values = list(among)
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(part))
        yield from connection.execute(query.format(marks), (*given, *part)).fetchall()


def present(
    connection: sqlite3.Connection, space: int, words: Iterable[str], spans: Collection[range]
) -> list[Mapping[int, bytes]]:
    """Give the postings by block of those words that are there, in these spans of numbers."""
    query = "SELECT word, block, entries FROM posting WHERE namespace = ? AND word IN ({})"
    lists: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    for word, block, packed in several(connection, query, (space,), list(words)):
        if any(block * BLOCK in span for span in spans):
            lists[word][block] = packed
    return list(lists.values())


def _values(entry: Entry) -> tuple[Any, ...]:
    source = entry.source
    return (
        entry.id,
        entry.kind,
        storable(entry.text),
        storable(entry.context),
        storable(entry.topic),
        entry.at_ms,
        entry.data_class,
        entry.valid_from_ms,
        entry.valid_to_ms,
        entry.superseded_by,
        source.said_by,
        source.conversation,
        source.seq,
        storable(source.document),
        storable(source.place),
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """Make an entry of a row of COLUMNS."""
    id_, kind, text, context, topic, at_ms, data_class, start_ms, end_ms, later, *place = row
    said_by, conversation, seq, document, within = place
    return Entry(
        id=id_,
        kind=kind,
        text=text,
        context=context,
        topic=topic,
        at_ms=at_ms,
        data_class=data_class,
        valid_from_ms=start_ms,
        valid_to_ms=end_ms,
        superseded_by=later,
        source=Source(
            said_by=said_by, conversation=conversation, seq=seq, document=document, place=within
        ),
    )
