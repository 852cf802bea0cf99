"""Mails that are to be sent later: kept on disk, and sent when they are due while a server runs.

What is due is sent under an operation key that was fixed when it was scheduled, so it is sent once,
whatever dies and however many servers run. A draft that was changed since is not sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from aicore_tools.local_store import LocalStore
from aicore_tools.mail import stored
from aicore_tools.mail.records import Draft, MailId, Sent, ThreadId
from aicore_tools.mail.unchanged import digest_of
from aicore_tools.operations import Effect, Operation

__all__ = ["Due", "Scheduled", "SendTimer"]

_SCHEDULED = """
CREATE TABLE scheduled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    business TEXT NOT NULL,
    draft TEXT NOT NULL,
    digest TEXT NOT NULL,
    send_at TEXT NOT NULL,
    send_key TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('waiting', 'sent', 'stopped', 'unknown', 'replaced')),
    problem TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX scheduled_order ON scheduled (business, state, send_at);
"""
_MAX_PAUSE_S = 30.0
_SHOWN = 50

State = Literal["waiting", "stopped", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A draft with a time. `stopped` and `unknown` need somebody to look: `problem` says why."""

    draft: MailId
    send_at: datetime
    state: State
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A draft whose time has come: what it said when it was scheduled, and the key to send it."""

    seq: int
    draft: MailId
    digest: str
    operation: Operation


def _now() -> datetime:
    return datetime.now(UTC)


class SendTimer:
    """The scheduled mails of one account, in a SQLite file; open in its `async with`.

    `business` names business and account. `now` gives the time.
    """

    def __init__(self, path: Path, *, business: str, now: Callable[[], datetime] = _now) -> None:
        self._store = LocalStore(path, migrations=(_SCHEDULED,), business=business)
        self.now = now
        self._changed = anyio.Event()

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._store.__aexit__(kind, error, trace)

    async def earlier(self, operation: Operation) -> Effect[Sent] | None:
        """Give what an operation scheduled before; None if nothing."""
        effect = await self._store.find_effect(operation)
        return None if effect is None else stored.expect(Sent, effect)

    async def schedule(self, operation: Operation, draft: Draft, send_at: datetime) -> Effect[Sent]:
        """Have a draft sent at that time, in the place of an earlier time it may have."""
        content = draft.content
        result = Sent(
            id=draft.id,
            message_id="",
            thread=content.threading.thread or ThreadId(""),
            to=[str(address) for address in content.everyone],
            subject=content.subject,
            send_at=send_at,
        )

        def run(connection: Connection) -> dict[str, Any]:
            self._replace(connection, draft.id)
            connection.execute(
                "INSERT INTO scheduled (business, draft, digest, send_at, send_key, state)"
                " VALUES (?, ?, ?, ?, ?, 'waiting')",
                (
                    *(self._store.business, draft.id, digest_of(content)),
                    *(_stamp(send_at), f"timer:{secrets.token_hex(16)}"),
                ),
            )
            return stored.kept(result)

        effect = await self._store.effect(operation, run)
        self._changed.set()
        return stored.expect(Sent, effect)

    async def forget(self, draft_id: MailId) -> None:
        """Drop the time of a draft, which was sent otherwise."""
        await self._store.write(lambda connection: self._replace(connection, draft_id))

    async def open_ones(self) -> Sequence[Scheduled]:
        """Give what waits or needs somebody to look, the next first."""
        rows = await self._rows("state IN ('waiting', 'stopped', 'unknown')")
        return [
            Scheduled(
                draft=MailId(row["draft"]),
                send_at=datetime.fromisoformat(row["send_at"]),
                state=row["state"],
                problem=row["problem"],
            )
            for row in rows[:_SHOWN]
        ]

    async def due(self, *, with_unknown: bool) -> Sequence[Due]:
        """Give what is to be sent now; `with_unknown`: and what is to be looked up again."""
        states = "state IN ('waiting', 'unknown')" if with_unknown else "state = 'waiting'"
        rows = await self._rows(states)
        return [
            Due(
                seq=row["seq"],
                draft=MailId(row["draft"]),
                digest=row["digest"],
                operation=Operation.of("mail_send", {"draft_id": row["draft"]}, row["send_key"]),
            )
            for row in rows
            if datetime.fromisoformat(row["send_at"]) <= self.now()
        ]

    async def settle(
        self, due: Due, state: Literal["sent", "stopped", "unknown"], problem: str = ""
    ) -> None:
        """Write down what became of a mail that was due."""
        await self._store.write(
            lambda connection: connection.execute(
                "UPDATE scheduled SET state = ?, problem = ? WHERE business = ? AND seq = ?",
                (state, problem, self._store.business, due.seq),
            )
        )

    async def pause(self) -> None:
        """Wait until something may be due: until the next time, a change, or a while at most."""
        rows = await self._rows("state = 'waiting'")
        pause_s = _MAX_PAUSE_S
        later = [datetime.fromisoformat(row["send_at"]) - self.now() for row in rows]
        ahead_s = [each.total_seconds() for each in later if each.total_seconds() > 0]
        with anyio.move_on_after(min([pause_s, *ahead_s])):
            await self._changed.wait()
        self._changed = anyio.Event()

    def _replace(self, connection: Connection, draft_id: MailId) -> None:
        connection.execute(
            "UPDATE scheduled SET state = 'replaced'"
            " WHERE business = ? AND draft = ? AND state IN ('waiting', 'stopped')",
            (self._store.business, draft_id),
        )

    async def _rows(self, test: str) -> list[Row]:
        return await self._store.read(
            lambda connection: connection.execute(
                f"SELECT * FROM scheduled WHERE business = ? AND {test} ORDER BY send_at, seq",  # noqa: S608 - fixed text
                (self._store.business,),
            ).fetchall()
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
