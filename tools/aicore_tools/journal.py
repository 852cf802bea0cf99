"""Exactly once against somebody else's system: what was begun is written before it is sent.

    absent -> claimed -> done                 the result is kept for every repeat
                      -> failed -> claimed    it certainly did nothing; a repeat begins anew
                      -> unknown -> done | failed    only by looking it up, never by sending again

A row that is claimed by a process that ended is as unknown as one that says so.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import to_thread

from aicore_tools.errors import BackendConfigError, Conflict, OutcomeUnknown, ToolsError
from aicore_tools.living import Owner
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Effect, Operation

__all__ = ["Claim", "EffectJournal", "Procedure"]

_EFFECTS = """
CREATE TABLE effect (
    business TEXT NOT NULL,
    op_key TEXT NOT NULL,
    tool TEXT NOT NULL,
    args_hash TEXT NOT NULL,
    procedure TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done', 'failed', 'unknown')),
    generation INTEGER NOT NULL,
    owner TEXT NOT NULL,
    request_json TEXT NOT NULL,
    notes_json TEXT NOT NULL,
    result_json TEXT,
    began_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (business, op_key)
) STRICT;
"""
_SETTLE_S = 5.0
_LOOK_FIRST = (
    "Make no new call for it: look first whether it is there. Only the same operation key may be"
    " repeated, which looks it up before anything is sent."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One effect in progress on another system.

    `key` is 64 hexadecimal characters, the same for every repeat: what that system dedupes by.
    It follows from business, operation key and `generation`, which grows with each failure that
    certainly did nothing; without an operation key it is random. `request` is what was decided,
    as plain JSON, stored before anything was sent. `began_at` is when, RFC 3339 in UTC.
    """

    operation: Operation
    key: str
    generation: int
    began_at: str
    request: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    _keep: Callable[[Claim], Awaitable[None]]

    async def note(self, **facts: Any) -> None:
        """Keep facts (plain JSON) about how far it is; they are on disk when this returns.

        Raises:
            OutcomeUnknown: they cannot be kept. What was sent so far may have been done.
        """
        self.notes.update(facts)
        try:
            await self._keep(self)
        except ToolsError as error:
            raise _unknown(f"how far it is cannot be kept ({error.message})") from error

    async def spend(self, **facts: Any) -> None:
        """Keep facts as `note` does, and that the next try needs another key.

        For what is about to be taken back from a system that never takes the same key twice.
        """
        await self.note(spent=True, **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """How one kind of effect is done on another system, and how it is found again.

    `perform` gives the result as plain JSON. If it raises a ToolsError whose outcome is `none`,
    nothing happened there. `reconcile` looks the effect up: it gives its result, or None if it
    certainly was not done and may be performed (under the same key, unless that was spent), or
    raises OutcomeUnknown.
    """

    name: str
    perform: Callable[[Claim], Awaitable[dict[str, Any]]]
    reconcile: Callable[[Claim], Awaitable[dict[str, Any] | None]]


class EffectJournal:
    """The effects of one backend and account, in the SQLite file `path`; open in its `async with`.

    Several processes may use one file. `deadline_s` bounds performing and looking up, each.

    Raises on entry:
        BackendConfigError: as LocalStore.
    """

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        procedures: Sequence[Procedure],
        deadline_s: float = 60.0,
    ) -> None:
        self._store = LocalStore(path, migrations=(_EFFECTS,), business=business)
        self._owner = Owner(path.with_name(f"{path.name}-owners"))
        self._procedures = {procedure.name: procedure for procedure in procedures}
        self._deadline_s = deadline_s
        self._turns: dict[str, tuple[anyio.Lock, int]] = {}

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        try:
            await to_thread.run_sync(self._owner.__enter__)
        except OSError as error:
            await self._store.__aexit__(None, None, None)
            raise BackendConfigError(
                f"Cannot use {self._owner.folder}: {error.strerror or error}.",
                hint="It must be a folder that may be written to.",
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner.__exit__(kind, error, trace)
        await self._store.__aexit__(kind, error, trace)

    async def earlier(self, operation: Operation) -> Effect[dict[str, Any]] | None:
        """Give what `operation` did before; looks it up where that is not known.

        None: it has no key, was never begun, or certainly did nothing.

        Raises:
            Conflict: the key was used by another tool or with other arguments.
            OutcomeUnknown: it may have been done, and looking it up does not tell or fails; with
                code `in_progress` and `retry_after_s`, another process is at it.
        """
        if operation.key is None:
            return None
        async with self._turn(operation.key):
            return await self._earlier(operation)

    async def effect(
        self, operation: Operation, procedure: str, request: dict[str, Any]
    ) -> Effect[dict[str, Any]]:
        """Do an effect by the procedure of that name, once per operation key, for ever.

        `request` is plain JSON; `claim.request` is the same after a crash.

        Raises:
            Conflict, OutcomeUnknown: as `earlier`.
            ToolsError: what the procedure raised.
        """
        op_key = operation.key or f"keyless:{secrets.token_hex(16)}"
        async with self._turn(op_key):
            if operation.key is not None:
                earlier = await self._earlier(operation)
                if earlier is not None:
                    return earlier
            claim = await self._claim(operation, op_key, procedure, request)
            result = await self._perform(claim, op_key, self._procedures[procedure])
            return Effect(result=json.loads(json.dumps(result)))  # as a repeat will give it

    @asynccontextmanager
    async def _turn(self, op_key: str) -> AsyncIterator[None]:
        """Let one task of this process at a time see to an operation."""
        lock, users = self._turns.get(op_key, (anyio.Lock(), 0))
        self._turns[op_key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(op_key)
            if users > 1:
                self._turns[op_key] = (lock, users - 1)

    async def _earlier(self, operation: Operation) -> Effect[dict[str, Any]] | None:
        row = await self._store.read(lambda connection: self._row(connection, str(operation.key)))
        if row is None:
            return None
        if (row["tool"], row["args_hash"]) != (operation.tool, operation.args_hash):
            raise Conflict(
                f"This operation key was used before, by {row['tool']} with other arguments.",
                hint="Send a new key for a new effect; repeat a key only with the same arguments.",
                code="operation_key_reused",
            )
        if row["state"] == "done":
            return Effect(result=json.loads(row["result_json"]), is_replay=True)
        if row["state"] == "failed":
            return None
        if self._is_elsewhere(row):
            raise _in_progress()
        row = await self._taken_over(row)
        try:
            claim = self._claim_of(row, operation)
            result = await self._look_up(claim, self._procedures[row["procedure"]])
            if result is None:
                generation = row["generation"] + int("spent" in claim.notes)
                await self._settle(row["op_key"], "failed", generation=generation)
                return None
            await self._settle(row["op_key"], "done", generation=row["generation"], result=result)
            return Effect(result=result, is_replay=True)
        finally:
            with suppress(ToolsError):
                await self._let_go(row["op_key"])

    async def _taken_over(self, seen: sqlite3.Row) -> sqlite3.Row:
        """Make a row ours before it is looked up: no other may settle or perform it meanwhile."""

        def change(connection: sqlite3.Connection) -> sqlite3.Row:
            taken = connection.execute(
                "UPDATE effect SET state = 'claimed', owner = ? WHERE business = ? AND op_key = ?"
                " AND state = ? AND owner = ?",
                (
                    self._owner.token,
                    self._store.business,
                    seen["op_key"],
                    seen["state"],
                    seen["owner"],
                ),
            )
            row = self._row(connection, seen["op_key"])
            if taken.rowcount != 1 or row is None:
                raise _in_progress()
            return row

        return await self._store.write(change)

    def _is_elsewhere(self, row: sqlite3.Row) -> bool:
        """Whether another living owner is at it; this one's own turn is held by the caller."""
        owner = str(row["owner"])
        if row["state"] != "claimed" or owner == self._owner.token:
            return False
        return self._owner.is_alive(owner)

    async def _claim(
        self, operation: Operation, op_key: str, procedure: str, request: dict[str, Any]
    ) -> Claim:
        def change(connection: sqlite3.Connection) -> sqlite3.Row:
            row = self._row(connection, op_key)
            if row is not None and row["state"] != "failed":
                raise _in_progress()  # another process was faster
            connection.execute(
                "INSERT INTO effect (business, op_key, tool, args_hash, procedure, state,"
                " generation, owner, request_json, notes_json)"
                " VALUES (?, ?, ?, ?, ?, 'claimed', 0, ?, ?, '{}')"
                " ON CONFLICT (business, op_key) DO UPDATE SET state = 'claimed',"
                " owner = excluded.owner, request_json = excluded.request_json,"
                " notes_json = '{}', changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
                (
                    self._store.business,
                    op_key,
                    operation.tool,
                    operation.args_hash,
                    procedure,
                    self._owner.token,
                    json.dumps(request),
                ),
            )
            claimed = self._row(connection, op_key)
            assert claimed is not None  # noqa: S101 - written above, in this transaction
            return claimed

        return self._claim_of(await self._store.write(change), operation)

    async def _perform(self, claim: Claim, op_key: str, procedure: Procedure) -> dict[str, Any]:
        try:
            with anyio.fail_after(self._deadline_s):
                result = await procedure.perform(claim)
        except OutcomeUnknown as error:
            return await self._found_after(error, claim, op_key, procedure)
        except TimeoutError as error:
            late = _unknown(f"there was no answer within {self._deadline_s:g} seconds")
            late.__cause__ = error
            return await self._found_after(late, claim, op_key, procedure)
        except ToolsError:
            await self._settle(op_key, "failed", generation=claim.generation + 1)
            raise
        else:
            await self._settle(op_key, "done", generation=claim.generation, result=result)
            return result
        finally:
            with suppress(ToolsError):  # it stays claimed by us: looked up as well
                await self._let_go(op_key)

    async def _found_after(
        self, error: OutcomeUnknown, claim: Claim, op_key: str, procedure: Procedure
    ) -> dict[str, Any]:
        """Look an effect up at once whose outcome is not known; else raise what says so.

        One that is not there stays unknown: its request may be on its way still. Under the same
        operation key it is looked up again, and then done.
        """
        with suppress(OutcomeUnknown):
            found = await self._look_up(claim, procedure)
            if found is not None:
                await self._settle(op_key, "done", generation=claim.generation, result=found)
                return found
        error.hint = _LOOK_FIRST
        raise error

    async def _look_up(self, claim: Claim, procedure: Procedure) -> dict[str, Any] | None:
        try:
            with anyio.fail_after(self._deadline_s):
                return await procedure.reconcile(claim)
        except OutcomeUnknown:
            raise
        except TimeoutError as error:
            raise _unknown("looking it up takes too long") from error
        except ToolsError as error:
            unknown = _unknown(f"it cannot be looked up now ({error.message})")
            unknown.retry_after_s = error.retry_after_s
            raise unknown from error

    async def _settle(
        self, op_key: str, state: str, *, generation: int, result: dict[str, Any] | None = None
    ) -> None:
        """Write what became of an effect, also when its caller is leaving."""
        settled = 0

        def change(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE effect SET state = ?, generation = ?, result_json = ?,"
                " changed_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
                " WHERE business = ? AND op_key = ? AND state = 'claimed' AND owner = ?",
                (
                    state,
                    generation,
                    None if result is None else json.dumps(result),
                    self._store.business,
                    op_key,
                    self._owner.token,
                ),
            ).rowcount

        try:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + _SETTLE_S):
                settled = await self._store.write(change)
        except ToolsError as error:
            raise _unknown(f"what became of it cannot be written ({error.message})") from error
        if not settled:
            raise _unknown("what became of it could not be written")

    async def _let_go(self, op_key: str) -> None:
        """Leave nothing claimed by this owner: what is not settled by now is unknown."""
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + _SETTLE_S):
            await self._store.write(
                lambda connection: connection.execute(
                    "UPDATE effect SET state = 'unknown' WHERE business = ? AND op_key = ?"
                    " AND state = 'claimed' AND owner = ?",
                    (self._store.business, op_key, self._owner.token),
                )
            )

    def _row(self, connection: sqlite3.Connection, op_key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(
            "SELECT * FROM effect WHERE business = ? AND op_key = ?",
            (self._store.business, op_key),
        ).fetchone()
        return row

    def _claim_of(self, row: sqlite3.Row, operation: Operation) -> Claim:
        op_key = str(row["op_key"])

        async def keep(claim: Claim) -> None:
            await self._store.write(
                lambda connection: connection.execute(
                    "UPDATE effect SET notes_json = ? WHERE business = ? AND op_key = ?",
                    (json.dumps(claim.notes), self._store.business, op_key),
                )
            )

        named = json.dumps([self._store.business, op_key, row["generation"]])
        return Claim(
            operation=operation,
            key=hashlib.sha256(named.encode()).hexdigest(),
            generation=row["generation"],
            began_at=row["began_at"],
            request=json.loads(row["request_json"]),
            notes=json.loads(row["notes_json"]),
            _keep=keep,
        )


def _unknown(why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"It may have been done: {why}.", hint=_LOOK_FIRST)


def _in_progress() -> OutcomeUnknown:
    error = OutcomeUnknown(
        "This very call is being done by another process.", hint=_LOOK_FIRST, code="in_progress"
    )
    error.retry_after_s = 1.0
    return error
