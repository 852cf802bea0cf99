"""The tables of an event log in a SQLite file, version by version."""

from __future__ import annotations

from aicore.databases.sqlite_file import Schema

__all__ = ["SCHEMA"]

# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE conversation (
            business TEXT NOT NULL,
            id TEXT NOT NULL,
            head INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            owner TEXT,
            lease_until_ms INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (business, id)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE event (
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            seq INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            kind TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (business, conversation, seq),
            FOREIGN KEY (business, conversation) REFERENCES conversation
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE inbound (
            business TEXT NOT NULL,
            channel TEXT NOT NULL,
            message_id TEXT NOT NULL,
            conversation TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (business, channel, message_id)
        ) STRICT, WITHOUT ROWID
        """,
        # An index over event: the turns whose last opening or closing event is an opening one.
        """
        CREATE TABLE open_turn (
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            turn INTEGER NOT NULL,
            PRIMARY KEY (business, conversation, turn),
            FOREIGN KEY (business, conversation) REFERENCES conversation
        ) STRICT, WITHOUT ROWID
        """,
    ),
    # When the conversation began: another number under the same id is another conversation,
    # because the earlier one was erased.
    (
        "ALTER TABLE conversation ADD COLUMN born_ms INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE conversation SET born_ms = coalesce((
            SELECT at_ms FROM event
            WHERE event.business = conversation.business
                AND event.conversation = conversation.id AND seq = 1
        ), 0)
        """,
        # The last appends of all processes in the order of their commits, for those who listen.
        # An erased conversation leaves its rows empty: the numbers stay without gaps.
        """
        CREATE TABLE news (
            id INTEGER PRIMARY KEY,
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL
        ) STRICT
        """,
        # The newest birth of all erased conversations of a business: later ones are born after.
        """
        CREATE TABLE erased (
            business TEXT PRIMARY KEY NOT NULL,
            last_born_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        # Holds a row while bytes of an erased conversation may still be in the file.
        "CREATE TABLE trace (id INTEGER PRIMARY KEY, since_ms INTEGER NOT NULL) STRICT",
    ),
)

SCHEMA = Schema(what="log", application_id=0x6169_6C67, migrations=_MIGRATIONS)  # "ailg"
