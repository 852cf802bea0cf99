"""The tables of a memory in a SQLite file, version by version."""

from __future__ import annotations

from aicore.databases.sqlite_file import Schema
from aicore.memory.sqlite_threads import TRACE

__all__ = ["SCHEMA"]

# One entry a version, from 1 on. Never change an entry that was released: add one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE namespace (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            business TEXT NOT NULL,
            subject TEXT NOT NULL,
            entries INTEGER NOT NULL DEFAULT 0,
            UNIQUE (business, subject)
        ) STRICT
        """,
        # The key holds the namespace, the kind and a number, in this order: what belongs
        # together lies together, and is read and erased as a range.
        """
        CREATE TABLE entry (
            key INTEGER PRIMARY KEY,
            namespace INTEGER NOT NULL REFERENCES namespace,
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            topic TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            data_class TEXT NOT NULL,
            valid_from_ms INTEGER NOT NULL,
            valid_to_ms INTEGER,
            superseded_by TEXT,
            said_by TEXT NOT NULL,
            conversation TEXT,
            seq INTEGER NOT NULL,
            document TEXT NOT NULL,
            place TEXT NOT NULL,
            text TEXT NOT NULL,
            context TEXT NOT NULL,
            UNIQUE (namespace, id)
        ) STRICT
        """,
        "CREATE INDEX entry_topic ON entry (namespace, topic, id) WHERE topic <> ''",
        # An index over entry: see aicore.memory.ranking.
        """
        CREATE TABLE posting (
            namespace INTEGER NOT NULL REFERENCES namespace,
            word TEXT NOT NULL,
            block INTEGER NOT NULL,
            entries BLOB NOT NULL,
            PRIMARY KEY (namespace, word, block)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE forgotten (
            namespace INTEGER NOT NULL REFERENCES namespace,
            id TEXT NOT NULL,
            PRIMARY KEY (namespace, id)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE learned (
            business TEXT NOT NULL,
            conversation TEXT NOT NULL,
            seq INTEGER NOT NULL,
            born_ms INTEGER NOT NULL,
            PRIMARY KEY (business, conversation)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE learned_into (
            namespace INTEGER NOT NULL REFERENCES namespace,
            conversation TEXT NOT NULL,
            PRIMARY KEY (namespace, conversation)
        ) STRICT, WITHOUT ROWID
        """,
        TRACE,
    ),
    ("UPDATE entry SET data_class = 'special' WHERE data_class = 'sensitive'",),
)

SCHEMA = Schema(what="memory", application_id=0x6169_6D65, migrations=_MIGRATIONS)  # "aime"
