"""The tables of an event log in PostgreSQL, version by version, and how ids are kept in them."""

from __future__ import annotations

import re

from aicore.databases.postgres import PostgresSchema
from aicore.errors import CustomerError

__all__ = ["SCHEMA", "from_key", "to_key"]

_LONGEST_KEY = 1_000

# One entry a version, from 1 on. Never change an entry that was released: add one.
# Texts compare by code point (COLLATE "C"): ids are not words of a language.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # moved is the newest transaction that appended: what a listener missed is found by it.
        # A page keeps room, so that a moved head is written beside the old one.
        """
        CREATE TABLE conversation (
            business text COLLATE "C" NOT NULL,
            id text COLLATE "C" NOT NULL,
            head bigint NOT NULL,
            epoch bigint NOT NULL,
            born_ms bigint NOT NULL,
            owner text,
            lease_until timestamptz NOT NULL DEFAULT '-infinity',
            moved xid8 NOT NULL DEFAULT '0',
            PRIMARY KEY (business, id)
        ) WITH (fillfactor = 80)
        """,
        # data is JSON that Python wrote: it may hold NUL as an escape, which json and jsonb
        # refuse when it is looked at.
        """
        CREATE TABLE event (
            seq bigint NOT NULL,
            turn bigint NOT NULL,
            at_ms bigint NOT NULL,
            added xid8 NOT NULL,
            business text COLLATE "C" NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            kind text COLLATE "C" NOT NULL,
            data text COLLATE "C" NOT NULL,
            PRIMARY KEY (business, conversation, seq)
        )
        """,
        """
        CREATE TABLE inbound (
            business text COLLATE "C" NOT NULL,
            channel text COLLATE "C" NOT NULL,
            message_id text COLLATE "C" NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            seq bigint NOT NULL,
            PRIMARY KEY (business, channel, message_id)
        )
        """,
        # An index over event: the turns whose last opening or closing event is an opening one.
        """
        CREATE TABLE open_turn (
            business text COLLATE "C" NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            turn bigint NOT NULL,
            PRIMARY KEY (business, conversation, turn)
        )
        """,
        # The youngest conversation of a business that was erased: a new one is younger.
        """
        CREATE TABLE erasure (
            business text COLLATE "C" PRIMARY KEY,
            born_ms bigint NOT NULL
        )
        """,
        # ANALYZE would keep samples of texts and ids, which no erase finds; each statement of
        # ours goes by a primary key, with or without statistics.
        "ALTER TABLE conversation ALTER COLUMN id SET STATISTICS 0",
        "ALTER TABLE event ALTER COLUMN conversation SET STATISTICS 0",
        "ALTER TABLE event ALTER COLUMN data SET STATISTICS 0",
        "ALTER TABLE inbound ALTER COLUMN message_id SET STATISTICS 0",
        "ALTER TABLE inbound ALTER COLUMN conversation SET STATISTICS 0",
        "ALTER TABLE open_turn ALTER COLUMN conversation SET STATISTICS 0",
    ),
)

SCHEMA = PostgresSchema(what="log", name="aicore_log", migrations=_MIGRATIONS)


def to_key(text: str) -> str:
    """Give the text under which an id is kept: the same, unless it has a NUL or a U+0001 in it.

    PostgreSQL keeps no NUL. The order of ids stays as it was.
    Raises: CustomerError for one that is not valid Unicode, or of more than 1,000 bytes.
    """
    if "\0" in text or "\x01" in text:
        text = text.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise CustomerError("A conversation or message id is not valid Unicode text.") from exc
    if size > _LONGEST_KEY:
        raise CustomerError(f"A conversation or message id is longer than {_LONGEST_KEY} bytes.")
    return text


def from_key(key: str) -> str:
    """Give the id that `to_key` had been given."""
    if "\x01" not in key:
        return key
    return re.sub("\x01([\x01\x02])", lambda found: "\0" if found[1] == "\x01" else "\x01", key)
