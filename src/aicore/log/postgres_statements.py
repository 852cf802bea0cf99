"""What an event log says to PostgreSQL: each step is one statement, so one round trip.

A statement is a transaction of its own. Who waited for another writer's row lock sees that
row as the other one left it (READ COMMITTED), and so the fence holds. A conversation is born at the
time of its first event: both are the statement's.
"""

from __future__ import annotations

__all__ = [
    "APPEND",
    "CLAIM",
    "CONVERSATIONS",
    "HOLDER",
    "HOLDS",
    "OPEN_TURNS",
    "READ",
    "RECEIVE",
    "RELEASE",
    "RELEASE_ALL",
]

# pg_notify tells listeners when the conversation was born, the first and last number, the id.

RECEIVE = """
    WITH earlier AS MATERIALIZED (
        SELECT seq FROM inbound
        WHERE business = %(business)s AND channel = %(channel)s AND message_id = %(message_id)s
    ), moved AS (
        INSERT INTO conversation AS c (business, id, head, epoch, born_ms, moved)
        SELECT
            %(business)s, %(conversation)s, 1, 0,
            greatest(
                now_ms.now_ms,
                (SELECT born_ms + 1 FROM erasure WHERE business = %(business)s)
            ),
            pg_current_xact_id()
        FROM (
            SELECT coalesce(
                %(now_ms)s::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            ) AS now_ms
        ) AS now_ms
        WHERE NOT EXISTS (SELECT FROM earlier)
        ON CONFLICT (business, id) DO UPDATE
            SET head = c.head + 1, moved = greatest(c.moved, excluded.moved)
        RETURNING head, born_ms
    ), known AS (
        INSERT INTO inbound (business, channel, message_id, conversation, seq)
        SELECT %(business)s, %(channel)s, %(message_id)s, %(conversation)s, head
        FROM moved WHERE %(message_id)s::text IS NOT NULL
    ), opened AS (
        INSERT INTO open_turn (business, conversation, turn)
        SELECT %(business)s, %(conversation)s, head FROM moved
    ), added AS (
        INSERT INTO event (business, conversation, seq, turn, kind, at_ms, data, added)
        SELECT
            %(business)s, %(conversation)s, head, head, %(kind)s,
            coalesce(
                %(now_ms)s::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            ),
            %(data)s, pg_current_xact_id()
        FROM moved
        RETURNING at_ms
    )
    SELECT
        true, moved.head, moved.born_ms, added.at_ms,
        pg_notify(
            %(channel_of_log)s,
            concat_ws(' ', moved.born_ms, moved.head, moved.head, %(conversation)s::text)
        )::text
    FROM moved, added
    UNION ALL
    SELECT false, seq, 0, 0, NULL FROM earlier
"""

CLAIM = """
    INSERT INTO conversation AS c (business, id, head, epoch, born_ms, owner, lease_until)
    SELECT
        %(business)s, %(conversation)s, 0, 1,
        greatest(
            coalesce(
                %(now_ms)s::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            ),
            (SELECT born_ms + 1 FROM erasure WHERE business = %(business)s)
        ),
        %(owner)s, clock_timestamp() + make_interval(secs => %(lease_s)s)
    ON CONFLICT (business, id) DO UPDATE
        SET epoch = c.epoch + 1, owner = %(owner)s,
            lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
        WHERE c.owner IS NULL OR c.owner IN (%(owner)s, %(dead)s)
            OR c.lease_until <= clock_timestamp()
            -- later than any lease can end: it was given before the clock was set back
            OR c.lease_until > clock_timestamp() + 2 * make_interval(secs => %(lease_s)s)
    RETURNING epoch, head, born_ms
"""
HOLDER = """
    SELECT owner, extract(epoch FROM lease_until - clock_timestamp())::float8
    FROM conversation
    WHERE business = %(business)s AND id = %(conversation)s AND owner IS NOT NULL
"""

APPEND = """
    WITH moved AS (
        UPDATE conversation SET
            head = head + %(count)s,
            moved = greatest(moved, pg_current_xact_id()),
            lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
        WHERE business = %(business)s AND id = %(conversation)s
            AND epoch = %(epoch)s AND born_ms = %(born_ms)s AND head = %(head)s
        RETURNING
            head, born_ms,
            coalesce(
                %(now_ms)s::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint
            ) AS at_ms
    ), added AS (
        INSERT INTO event (business, conversation, seq, turn, kind, at_ms, data, added)
        SELECT
            %(business)s, %(conversation)s, %(head)s + number, %(turn)s, kind, at_ms, data,
            pg_current_xact_id()
        FROM moved,
            unnest(%(kinds)s::text[], %(data)s::text[]) WITH ORDINALITY AS e (kind, data, number)
    ), opened AS (
        INSERT INTO open_turn (business, conversation, turn)
        SELECT %(business)s, %(conversation)s, %(turn)s FROM moved WHERE %(is_open)s::boolean
        ON CONFLICT DO NOTHING
    ), closed AS (
        DELETE FROM open_turn USING moved
        WHERE business = %(business)s AND conversation = %(conversation)s AND turn = %(turn)s
            AND NOT %(is_open)s::boolean
    )
    SELECT
        at_ms,
        CASE WHEN %(count)s > 0 THEN pg_notify(
            %(channel_of_log)s,
            concat_ws(' ', moved.born_ms, %(head)s + 1, moved.head, %(conversation)s::text)
        ) END
    FROM moved
"""
HOLDS = """
    SELECT true FROM conversation
    WHERE business = %(business)s AND id = %(conversation)s
        AND epoch = %(epoch)s AND born_ms = %(born_ms)s
"""

# A release that a crash of the server undoes only lets the lease run out.
RELEASE = """
    UPDATE conversation SET owner = NULL
    WHERE business = %(business)s AND id = %(conversation)s
        AND epoch = %(epoch)s AND born_ms = %(born_ms)s
        AND set_config('synchronous_commit', 'off', true) IS NOT NULL
    RETURNING true
"""
RELEASE_ALL = """
    UPDATE conversation SET owner = NULL
    WHERE business = %(business)s AND id = ANY(%(held)s::text[]) AND owner = %(owner)s
        AND set_config('synchronous_commit', 'off', true) IS NOT NULL
"""

READ = """
    SELECT seq, turn, at_ms, kind, data FROM event
    WHERE business = %(business)s AND conversation = %(conversation)s AND seq > %(after)s
    ORDER BY seq
"""
OPEN_TURNS = """
    SELECT conversation, turn FROM open_turn WHERE business = %(business)s
    ORDER BY conversation, turn
"""
CONVERSATIONS = """
    SELECT id, head, epoch, born_ms FROM conversation
    WHERE business = %(business)s AND (%(after)s::text IS NULL OR id > %(after)s)
    ORDER BY id LIMIT %(limit)s
"""
