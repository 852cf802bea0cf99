"""Which drafts were sent or are being sent: each is taken once, by one operation.

The journal keeps one effect from happening twice; this keeps two effects from sending one draft.
"""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Self

from aicore_tools.errors import Conflict
from aicore_tools.local_store import LocalStore

__all__ = ["OneShots"]

_TAKEN = """
CREATE TABLE taken (
    business TEXT NOT NULL,
    draft TEXT NOT NULL,
    claim TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (business, draft)
) STRICT;
"""


class OneShots:
    """The drafts of one account that were taken, in a SQLite file; open in its `async with`."""

    def __init__(self, path: Path, *, business: str) -> None:
        self._store = LocalStore(path, migrations=(_TAKEN,), business=business)

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

    async def is_taken(self, draft: str) -> bool:
        """Tell whether a draft was sent, or may have been."""

        def run(connection: Connection) -> bool:
            row = connection.execute(
                "SELECT 1 FROM taken WHERE business = ? AND draft = ?",
                (self._store.business, draft),
            ).fetchone()
            return row is not None

        return await self._store.read(run)

    async def take(self, draft: str, claim: str) -> None:
        """Take a draft for sending; the same claim may take it again.

        Raises:
            Conflict: another claim has it (`already_sent`).
        """

        def run(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO taken (business, draft, claim) VALUES (?, ?, ?)"
                " ON CONFLICT (business, draft) DO NOTHING",
                (self._store.business, draft, claim),
            )
            row = connection.execute(
                "SELECT claim FROM taken WHERE business = ? AND draft = ?",
                (self._store.business, draft),
            ).fetchone()
            if row["claim"] != claim:
                raise Conflict(
                    "This draft was sent before, or is being sent.",
                    hint="Look among the sent mails. Make a new draft to send another mail.",
                    code="already_sent",
                )

        await self._store.write(run)

    async def give_back(self, draft: str, claim: str) -> None:
        """Let a draft be sent after all: this claim certainly did not send it."""
        await self._store.write(
            lambda connection: connection.execute(
                "DELETE FROM taken WHERE business = ? AND draft = ? AND claim = ?",
                (self._store.business, draft, claim),
            )
        )
