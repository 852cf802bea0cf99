"""Which process writes a conversation in a SQLite file: epochs, and leases between processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from aicore.errors import Fenced, HeadMoved, StoreBusy
from aicore.log.owner import Owner, this_process
from aicore.log.port import Claim
from aicore.records import ConversationId

__all__ = ["LEASE_MS", "Leases"]

LEASE_MS = 120_000
"""How long a process that cannot be asked holds a conversation after its last append."""

# Born later than any that was erased, whatever the clock says: the fence tells them apart by it.
# A lease that ends later than any lease can was given before the clock was set back.
_CLAIM = """
    INSERT INTO conversation (business, id, head, epoch, owner, lease_until_ms, born_ms)
    VALUES (:business, :id, 0, 1, :owner, :now + :lease, max(
        :now, (SELECT coalesce(max(last_born_ms), -1) + 1 FROM erased WHERE business = :business)
    ))
    ON CONFLICT DO UPDATE SET epoch = epoch + 1, owner = :owner, lease_until_ms = :now + :lease
    WHERE owner IS NULL OR owner IN (:owner, :dead)
        OR lease_until_ms <= :now OR lease_until_ms > :now + 2 * :lease
    RETURNING epoch, head, born_ms
"""
_HOLDER = "SELECT owner, lease_until_ms FROM conversation WHERE business = ? AND id = ?"
_ADVANCE = """
    UPDATE conversation SET head = head + ?, owner = ?, lease_until_ms = ?
    WHERE business = ? AND id = ? AND epoch = ? AND born_ms = ? AND head = ?
"""
_HOLDS = """
    SELECT 1 FROM conversation WHERE business = ? AND id = ? AND epoch = ? AND born_ms = ?
"""
_RELEASE = """
    UPDATE conversation SET owner = NULL
    WHERE business = ? AND id = ? AND epoch = ? AND born_ms = ?
"""
_RELEASE_ALL = "UPDATE conversation SET owner = NULL WHERE business = ? AND id = ? AND owner = ?"


class Leases:
    """The claims of one open log. All methods run in the writer's thread and transaction."""

    def __init__(self, business: str, now_ms: Callable[[], int]) -> None:
        self._business = business
        self._now_ms = now_ms
        self._owner = str(this_process())
        # With the epoch and the birth of its newest claim.
        self._held: dict[ConversationId, tuple[int, int]] = {}

    def claim(self, connection: sqlite3.Connection, conversation: ConversationId) -> Claim:
        """Raise a conversation's epoch. Raises StoreBusy while another live log holds it."""
        values = {
            "business": self._business,
            "id": conversation,
            "owner": self._owner,
            "dead": None,
            "now": self._now_ms(),
            "lease": LEASE_MS,
        }
        row = connection.execute(_CLAIM, values).fetchone()
        if row is None:
            values["dead"] = self._dead_holder(connection, conversation)
            row = connection.execute(_CLAIM, values).fetchone()
        epoch, head, born_ms = row
        self._held[conversation] = epoch, born_ms
        return Claim(conversation, epoch, head, born_ms)

    def advance(
        self, connection: sqlite3.Connection, claim: Claim, count: int, *, is_at_rest: bool
    ) -> int:
        """Move head by `count`, renew the lease, and give the time in ms.

        A turn that came to rest needs no lease: other processes may go on at once.

        Raises: Fenced, HeadMoved.
        """
        now_ms = self._now_ms()
        lease = (None, now_ms) if is_at_rest else (self._owner, now_ms + LEASE_MS)
        values = (count, *lease, *self._key(claim), claim.head)
        if not connection.execute(_ADVANCE, values).rowcount:
            self.check(connection, claim)
            raise HeadMoved("Events were added since the claim; read them and append again.")
        if is_at_rest:
            self.forget(claim)
        else:
            self._held[claim.conversation] = claim.epoch, claim.born_ms
        return now_ms

    def check(self, connection: sqlite3.Connection, claim: Claim) -> None:
        """Raise Fenced unless the claim holds."""
        if connection.execute(_HOLDS, self._key(claim)).fetchone() is None:
            self.forget(claim)
            raise Fenced("Another worker has claimed this conversation, or it was erased.")

    def release(self, connection: sqlite3.Connection, claim: Claim) -> None:
        """Give a conversation back, if the claim still holds."""
        connection.execute(_RELEASE, self._key(claim))
        self.forget(claim)

    def forget(self, claim: Claim) -> None:
        """Stop counting a claim among those to give back: it is at rest, fenced or erased."""
        if self._held.get(claim.conversation) == (claim.epoch, claim.born_ms):
            del self._held[claim.conversation]

    def release_all(self, connection: sqlite3.Connection) -> None:
        """Give back every conversation that this log holds."""
        rows = [(self._business, conversation, self._owner) for conversation in self._held]
        connection.executemany(_RELEASE_ALL, rows)

    def _key(self, claim: Claim) -> tuple[str, str, int, int]:
        return self._business, claim.conversation, claim.epoch, claim.born_ms

    def _dead_holder(self, connection: sqlite3.Connection, conversation: ConversationId) -> str:
        """Give the holder of a conversation if its process has ended. Raises StoreBusy if not."""
        row = connection.execute(_HOLDER, (self._business, conversation)).fetchone()
        text: str = row[0]
        owner = Owner.parse(text)
        if owner is not None and owner.is_dead():
            return text
        process = f"Process {owner.pid} on {owner.host}" if owner else "Another process"
        raise StoreBusy(
            f"{process} holds this conversation. Wait until it is done, or stop it.",
            retry_after_s=max(row[1] - self._now_ms(), 0) / 1000,
        )
