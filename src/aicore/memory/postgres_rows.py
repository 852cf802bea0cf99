"""The rows of a memory in PostgreSQL: what is read and written within one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aicore.databases.postgres import Connection, fetch
from aicore.log.postgres_schema import from_key, to_key
from aicore.memory.neighbours import contexts_without
from aicore.memory.port import Entry, Learned, Namespace
from aicore.memory.ranking import BLOCK, packed_postings, without
from aicore.memory.sqlite_rows import COLUMNS, KINDS, entry_of, number_span
from aicore.memory.words import storable
from aicore.records import ConversationId

__all__ = [
    "add_entries",
    "delete_entries",
    "delete_namespace",
    "forget_ids",
    "lock_namespace",
    "make_namespace",
    "note_learned",
    "postings_of",
    "read_entry",
]

_NAMES = COLUMNS.split(", ")
_COPIED = {"conversation", "id", "superseded_by"}
_TYPES = {"at_ms": "bigint", "valid_from_ms": "bigint", "valid_to_ms": "bigint", "seq": "bigint"}
_ARRAYS = ", ".join(f"%s::{_TYPES.get(name, 'text')}[]" for name in _NAMES)
_MAKE = """
    INSERT INTO namespace AS n (business, subject) VALUES (%s, %s)
    ON CONFLICT (business, subject) DO UPDATE SET entries = n.entries RETURNING space
"""
_LOCK = "SELECT space, entries FROM namespace WHERE business = %s AND subject = %s FOR UPDATE"
_KNOWN = """
    SELECT id FROM entry WHERE space = %(space)s AND id = ANY(%(ids)s)
    UNION SELECT id FROM forgotten WHERE space = %(space)s AND id = ANY(%(ids)s)
"""
_NUMBERS = "next_fact, next_episode, next_passage"
_COUNTERS = f"SELECT {_NUMBERS} FROM namespace WHERE space = %s"  # noqa: S608  # a constant
_COUNT_UP = f"""
    UPDATE namespace SET ({_NUMBERS}) = (%s, %s, %s), entries = entries + %s WHERE space = %s
"""  # noqa: S608  # a constant
_ADD = f"""
    INSERT INTO entry (space, number, {COLUMNS})
    SELECT %s, * FROM unnest(%s::bigint[], {_ARRAYS})
"""  # noqa: S608  # a constant
_ADD_POSTINGS = """
    INSERT INTO posting AS p (space, word, block, entries)
    SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::bytea[])
    ON CONFLICT (space, word, block) DO UPDATE SET entries = p.entries || excluded.entries
"""
_FORGET = """
    INSERT INTO forgotten (space, id) SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING
"""
_DELETE = "DELETE FROM entry WHERE space = %s AND id = ANY(%s) RETURNING number"
_TALKS = """
    SELECT DISTINCT conversation FROM entry
    WHERE space = %s AND id = ANY(%s) AND kind = 'episode' AND conversation IS NOT NULL
"""
_SAID = f"""
    SELECT number, {COLUMNS} FROM entry
    WHERE space = %s AND number BETWEEN %s AND %s AND conversation = ANY(%s)
"""  # noqa: S608  # a constant
_NEW_CONTEXTS = """
    UPDATE entry AS e SET context = c.context
    FROM unnest(%s::bigint[], %s::text[]) AS c (number, context)
    WHERE e.space = %s AND e.number = c.number
"""
_IN_BLOCKS = "SELECT word, block, entries FROM posting WHERE space = %s AND block = ANY(%s)"
_CHANGE_POSTINGS = """
    UPDATE posting AS p SET entries = c.entries
    FROM unnest(%s::text[], %s::integer[], %s::bytea[]) AS c (word, block, entries)
    WHERE p.space = %s AND p.word = c.word AND p.block = c.block
"""
_DELETE_POSTINGS = """
    DELETE FROM posting AS p USING unnest(%s::text[], %s::integer[]) AS c (word, block)
    WHERE p.space = %s AND p.word = c.word AND p.block = c.block
"""
_COUNT_DOWN = "UPDATE namespace SET entries = entries - %s WHERE space = %s"
# A conversation that was erased and begun anew counts from its own beginning.
_LEARNED = """
    INSERT INTO learned AS l (business, conversation, seq, born_ms) VALUES (%s, %s, %s, %s)
    ON CONFLICT (business, conversation) DO UPDATE SET
        seq = CASE WHEN l.born_ms = excluded.born_ms
            THEN greatest(l.seq, excluded.seq) ELSE excluded.seq END,
        born_ms = excluded.born_ms
"""
_LEARNED_INTO = """
    INSERT INTO learned_into (space, conversation) VALUES (%s, %s) ON CONFLICT DO NOTHING
"""
_UNLEARN = """
    DELETE FROM learned WHERE business = %s AND conversation IN
        (SELECT conversation FROM learned_into WHERE space = %s)
"""
_DELETE_SPACE = tuple(
    f"DELETE FROM {table} WHERE space = %s"  # noqa: S608  # constants
    for table in ("entry", "posting", "forgotten", "learned_into", "namespace")
)
_POSTINGS = "SELECT word, block, entries FROM posting WHERE space = %s AND word = ANY(%s)"


async def make_namespace(connection: Connection, namespace: Namespace) -> int:
    """Give a namespace's number and keep other writers out; it is made if it is missing."""
    [(space,)] = await fetch(connection, _MAKE, tuple(map(to_key, namespace)))
    return int(space)


async def lock_namespace(connection: Connection, namespace: Namespace) -> tuple[int, int] | None:
    """Give a namespace's number and how many entries it has, and keep other writers out."""
    rows = await fetch(connection, _LOCK, tuple(map(to_key, namespace)))
    return (rows[0][0], rows[0][1]) if rows else None


async def add_entries(connection: Connection, space: int, entries: Sequence[Entry]) -> int:
    """Add those entries that are neither there nor forgotten; gives how many those were."""
    new = {to_key(entry.id): entry for entry in reversed(entries)}
    known = {row[0] for row in await fetch(connection, _KNOWN, {"space": space, "ids": [*new]})}
    wanted = [entry for key, entry in reversed(new.items()) if key not in known]
    if not wanted:
        return 0
    [counters] = await fetch(connection, _COUNTERS, (space,))
    following = dict(zip(KINDS, counters, strict=True))
    numbers = []
    for entry in wanted:
        numbers.append(number_span(entry.kind)[0] + following[entry.kind])
        following[entry.kind] += 1
    await fetch(connection, _COUNT_UP, (*following.values(), len(wanted), space))
    columns = zip(*map(_values, wanted), strict=True)
    await fetch(connection, _ADD, (space, numbers, *map(list, columns)))
    await _add_postings(connection, space, packed_postings(zip(numbers, wanted, strict=True)))
    return len(wanted)


async def _add_postings(
    connection: Connection, space: int, packed: Mapping[tuple[str, int], bytes]
) -> None:
    """Add postings, in one order for all writers, so that none waits for another."""
    words, blocks = [word for word, _ in packed], [block for _, block in packed]
    await fetch(connection, _ADD_POSTINGS, (space, words, blocks, list(packed.values())))


async def forget_ids(connection: Connection, space: int, ids: Collection[str]) -> None:
    """Write down that these ids are not added again."""
    await fetch(connection, _FORGET, (space, sorted(map(to_key, ids))))


async def delete_entries(connection: Connection, space: int, ids: Collection[str]) -> int:
    """Delete entries and what was made of their words, in the contexts of others as well.

    Gives how many there were.
    """
    keys = list(map(to_key, ids))
    near = await _made_anew(connection, space, ids)
    rows = await fetch(connection, _DELETE, (space, keys))
    if not rows:
        return 0
    if near:
        contexts = [storable(entry.context) for entry in near.values()]
        await fetch(connection, _NEW_CONTEXTS, (list(near), contexts, space))
    numbers = frozenset([*(row[0] for row in rows), *near])
    new = packed_postings(sorted(near.items()))
    await _change_postings(connection, space, numbers, new)
    await fetch(connection, _COUNT_DOWN, (len(rows), space))
    return len(rows)


async def _made_anew(connection: Connection, space: int, ids: Collection[str]) -> dict[int, Entry]:
    """Give the entries near these, by number, as they are found without them."""
    rows = await fetch(connection, _TALKS, (space, list(map(to_key, ids))))
    first, last = number_span("episode")
    talks: defaultdict[ConversationId | None, dict[str, tuple[int, Entry]]] = defaultdict(dict)
    for number, *row in await fetch(connection, _SAID, (space, first, last, [r[0] for r in rows])):
        entry = read_entry(row)
        talks[entry.source.conversation][entry.id] = number, entry
    near = {}
    for said in talks.values():
        contexts = contexts_without([entry for _, entry in said.values()], ids)
        for id_, context in contexts.items():
            number, entry = said[id_]
            near[number] = replace(entry, context=context)
    return near


async def _change_postings(
    connection: Connection,
    space: int,
    numbers: frozenset[int],
    new: dict[tuple[str, int], bytes],
) -> None:
    """Take out the postings of these numbers, and put in new ones."""
    blocks = list({number // BLOCK for number in numbers})
    changed, emptied = [], []
    # All words are looked through: those of a text may have been taken otherwise when it came.
    for word, block, packed in await fetch(connection, _IN_BLOCKS, (space, blocks)):
        kept = without(packed, block, numbers, new.pop((word, block), b""))
        if not kept:
            emptied.append((word, block))
        elif kept != packed:
            changed.append((word, block, kept))
    if changed:
        columns = map(list, zip(*changed, strict=True))
        await fetch(connection, _CHANGE_POSTINGS, (*columns, space))
    if emptied:
        columns = map(list, zip(*emptied, strict=True))
        await fetch(connection, _DELETE_POSTINGS, (*columns, space))
    if new:
        await _add_postings(connection, space, new)


async def delete_namespace(connection: Connection, namespace: Namespace, space: int) -> None:
    """Delete all of a namespace."""
    await fetch(connection, _UNLEARN, (to_key(namespace.business), space))
    for statement in _DELETE_SPACE:
        await fetch(connection, statement, (space,))


async def note_learned(connection: Connection, business: str, space: int, learned: Learned) -> None:
    """Write down how far a conversation has been learned from; never less far than before."""
    conversation = to_key(learned.conversation)
    values = (to_key(business), conversation, learned.seq, learned.born_ms)
    await fetch(connection, _LEARNED, values)
    await fetch(connection, _LEARNED_INTO, (space, conversation))


async def postings_of(
    connection: Connection, space: int, words: Sequence[str], spans: Collection[range]
) -> list[Mapping[int, bytes]]:
    """Give the postings by block of those words that are there, in these spans of numbers."""
    lists: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
    for word, block, packed in await fetch(connection, _POSTINGS, (space, words)):
        if any(block * BLOCK in span for span in spans):
            lists[word][block] = packed
    return list(lists.values())


def _values(entry: Entry) -> list[Any]:
    """Give an entry as a row of COLUMNS."""
    source = entry.source
    place = {"said_by": source.said_by, "conversation": source.conversation, "seq": source.seq}
    place |= {"document": source.document, "place": source.place}
    values = []
    for name in _NAMES:
        value = place[name] if name in place else getattr(entry, name)
        if isinstance(value, str):
            value = to_key(value) if name in _COPIED else storable(value)
        values.append(value)
    return values


def read_entry(row: Sequence[Any]) -> Entry:
    """Make an entry of a row of COLUMNS."""
    pairs = zip(_NAMES, row, strict=True)
    return entry_of([from_key(v) if n in _COPIED and v is not None else v for n, v in pairs])
