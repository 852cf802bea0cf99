"""The tables of a memory in PostgreSQL, version by version."""

from __future__ import annotations

from aicore.databases.postgres import PostgresSchema
from aicore.memory.postgres_traces import TRACE, in_parts, no_statistics

__all__ = ["HAS_TOPIC", "LONGEST_TOPIC", "SCHEMA"]

LONGEST_TOPIC = 800
"""How many bytes a topic has at most to be in the index; an index takes no long texts."""

HAS_TOPIC = f"topic <> '' AND octet_length(topic) <= {LONGEST_TOPIC}"
"""What is in the index of topics: a query that says it may use the index."""

# One entry a version, from 1 on. Never change an entry that was released: add one.
# Texts compare by code point (COLLATE "C"): ids are not words of a language.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # A number is given once: what is found by it is what was looked for, or gone.
        """
        CREATE TABLE namespace (
            space bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            business text COLLATE "C" NOT NULL,
            subject text COLLATE "C" NOT NULL,
            entries integer NOT NULL DEFAULT 0,
            next_fact bigint NOT NULL DEFAULT 0,
            next_episode bigint NOT NULL DEFAULT 0,
            next_passage bigint NOT NULL DEFAULT 0,
            UNIQUE (business, subject)
        ) WITH (fillfactor = 70)
        """,
        """
        CREATE TABLE entry (
            space bigint NOT NULL,
            number bigint NOT NULL,
            at_ms bigint NOT NULL,
            valid_from_ms bigint NOT NULL,
            valid_to_ms bigint,
            seq bigint NOT NULL,
            id text COLLATE "C" NOT NULL,
            kind text COLLATE "C" NOT NULL,
            topic text COLLATE "C" NOT NULL,
            data_class text COLLATE "C" NOT NULL,
            superseded_by text COLLATE "C",
            said_by text COLLATE "C" NOT NULL,
            conversation text COLLATE "C",
            document text COLLATE "C" NOT NULL,
            place text COLLATE "C" NOT NULL,
            text text COLLATE "C" NOT NULL,
            context text COLLATE "C" NOT NULL,
            PRIMARY KEY (space, number),
            UNIQUE (space, id)
        ) PARTITION BY HASH (space)
        """,
        *in_parts("entry"),
        f"CREATE INDEX entry_topic ON entry (space, topic, id) WHERE {HAS_TOPIC}",
        # An index over entry: see aicore.memory.ranking. The numbers are as good as random, so
        # compressing them gains nothing.
        """
        CREATE TABLE posting (
            space bigint NOT NULL,
            block integer NOT NULL,
            word text COLLATE "C" NOT NULL,
            entries bytea NOT NULL,
            PRIMARY KEY (space, word, block)
        ) PARTITION BY HASH (space)
        """,
        *in_parts("posting"),
        "ALTER TABLE posting ALTER COLUMN entries SET STORAGE EXTERNAL",
        """
        CREATE TABLE forgotten (
            space bigint NOT NULL,
            id text COLLATE "C" NOT NULL,
            PRIMARY KEY (space, id)
        )
        """,
        """
        CREATE TABLE learned (
            seq bigint NOT NULL,
            born_ms bigint NOT NULL,
            business text COLLATE "C" NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            PRIMARY KEY (business, conversation)
        ) WITH (fillfactor = 80)
        """,
        """
        CREATE TABLE learned_into (
            space bigint NOT NULL,
            conversation text COLLATE "C" NOT NULL,
            PRIMARY KEY (space, conversation)
        )
        """,
        TRACE,
        *no_statistics("namespace", "subject"),
        *no_statistics(
            "entry", "id", "topic", "superseded_by", "conversation", "place", "text", "context"
        ),
        *no_statistics("posting", "word", "entries"),
        *no_statistics("forgotten", "id"),
        *no_statistics("learned", "conversation"),
        *no_statistics("learned_into", "conversation"),
    ),
    ("UPDATE entry SET data_class = 'special' WHERE data_class = 'sensitive'",),
)

SCHEMA = PostgresSchema(what="memory", name="aicore_memory", migrations=_MIGRATIONS)
