"""A mailbox in a SQLite file of our own. It delivers nothing to the outside.

Sending moves a draft to the sent folder; a copy reaches the inbox where it is addressed to the
business itself. It is for trying things out, for tests, and as a record; real mail needs another
backend.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from types import TracebackType
from typing import Any, Self

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.local_store import LocalStore
from aicore_tools.mail import messages
from aicore_tools.mail.backends import _local_search
from aicore_tools.mail.records import (
    Address,
    Draft,
    DraftChange,
    Folder,
    Mail,
    MailId,
    MailPage,
    MailRow,
    MailSearch,
    Sent,
    ThreadId,
    Threading,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalMailbox"]

MAX_MESSAGE_BYTES = 25_000_000
_SNIPPET_CHARS = 120

MIGRATIONS = (
    """
    CREATE TABLE mail (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        business TEXT NOT NULL,
        folder TEXT NOT NULL CHECK (folder IN ('inbox', 'sent', 'drafts')),
        thread INTEGER NOT NULL,
        at TEXT NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        subject TEXT NOT NULL,
        -- the three case-folded, the sender first, for conditions on a part
        folded_sender TEXT NOT NULL,
        folded_recipients TEXT NOT NULL,
        folded_subject TEXT NOT NULL,
        snippet TEXT NOT NULL,
        unread INTEGER NOT NULL,
        has_attachment INTEGER NOT NULL,
        draft TEXT,
        raw BLOB NOT NULL
    ) STRICT;
    CREATE INDEX mail_order ON mail (business, at, seq);
    CREATE INDEX mail_thread ON mail (business, thread, at, seq);
    CREATE INDEX mail_message_id ON mail (business, message_id);
    CREATE VIRTUAL TABLE mail_fts USING fts5 (
        words, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
    );
    """,
)


def _now() -> datetime:
    return datetime.now(UTC)


class LocalMailbox:
    """A Mailbox in one SQLite file. `addresses` are the business's own, the usual one first."""

    def __init__(
        self,
        path: Path,
        *,
        business: str,
        addresses: Sequence[Address],
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._store = LocalStore(path, migrations=MIGRATIONS, business=business)
        self._addresses = tuple(addresses)
        self._now = now

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

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses it may send from, the usual one first."""
        return self._addresses

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first."""

        def run(connection: Connection) -> MailPage:
            rows = _local_search.rows(connection, self._store.business, search)
            shown = rows[: search.limit]
            more = len(rows) > search.limit
            return MailPage(
                rows=[_row(row) for row in shown],
                next_cursor=_local_search.cursor(search, shown[-1]) if more else None,
            )

        return await self._store.read(run)

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID."""
        return _mail(await self._store.read(lambda connection: self._row(connection, mail_id)))

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread without drafts, oldest first."""
        number = _seq(thread.removeprefix("t"))

        def run(connection: Connection) -> list[Row]:
            return connection.execute(
                "SELECT * FROM mail WHERE business = ? AND thread = ? AND folder <> 'drafts'"
                " ORDER BY at, seq",
                (self._store.business, number),
            ).fetchall()

        return [_mail(row) for row in await self._store.read(run)]

    async def save_draft(
        self, operation: Operation, change: DraftChange, draft_id: MailId | None = None
    ) -> Effect[Draft]:
        """Make a draft, or change the one named."""

        def run(connection: Connection) -> dict[str, Any]:
            if draft_id is None:
                draft = Draft(id=MailId(""), sender=self._addresses[0])
            else:
                draft = _draft(self._open_draft(connection, draft_id))
            return asdict(self._save(connection, _merged(draft, change)))

        effect = await self._store.effect(operation, run)
        return effect.map(_draft_from)

    async def send(self, operation: Operation, draft_id: MailId) -> Effect[Sent]:
        """Move a draft to the sent folder, and a copy to the inbox where that is ours."""

        def run(connection: Connection) -> dict[str, Any]:
            row = self._open_draft(connection, draft_id)
            draft = _draft(row)
            everyone = [*draft.to, *draft.cc, *draft.bcc]
            if not everyone:
                raise InvalidInput(
                    f"Draft {draft_id} names nobody to send it to.",
                    hint="Add `to` with mail_draft and this draft_id.",
                )
            message_id = messages.message_id_for(operation.key, draft.sender)
            raw = self._raw(connection, draft, message_id)
            seq, thread = row["seq"], row["thread"]
            self._store_raw(connection, seq, raw, folder="sent", draft=row["draft"])
            own = {address.email.lower() for address in self._addresses}
            if any(address.email.lower() in own for address in everyone):
                self._insert(connection, raw, thread=thread)
            return {
                "id": str(seq),
                "message_id": message_id,
                "thread": f"t{thread}",
                "to": [str(address) for address in everyone],
                "subject": draft.subject,
            }

        effect = await self._store.effect(operation, run)
        return effect.map(lambda done: Sent(**done))

    async def deliver(self, raw: bytes) -> MailId:
        """Put a mail from outside into the inbox, as a mail server would; gives its id.

        Not an effect of a tool: the same mail delivered twice is there twice.

        Raises:
            InvalidInput: it is larger than 25 MB.
        """
        if len(raw) > MAX_MESSAGE_BYTES:
            raise InvalidInput(f"A mail may have {MAX_MESSAGE_BYTES} bytes, not {len(raw)}.")
        return MailId(
            str(await self._store.write(lambda connection: self._insert(connection, raw)))
        )

    def _row(self, connection: Connection, mail_id: str) -> Row:
        row: Row | None = connection.execute(
            "SELECT * FROM mail WHERE business = ? AND (seq = ? OR message_id = ?)"
            " ORDER BY seq LIMIT 1",
            (self._store.business, _seq(mail_id), mail_id),
        ).fetchone()
        if row is None:
            raise NotFound(f"There is no mail {mail_id}.", hint="Find its id with mail_search.")
        return row

    def _open_draft(self, connection: Connection, draft_id: str) -> Row:
        row = self._row(connection, draft_id)
        if row["folder"] == "sent":
            raise Conflict(
                f"Draft {draft_id} was sent before, as {row['message_id']}.",
                hint="Make a new draft to send another mail.",
                code="already_sent",
            )
        if row["draft"] is None:
            raise NotFound(f"{draft_id} is no draft.", hint="Make one with mail_draft.")
        return row

    def _save(self, connection: Connection, draft: Draft) -> Draft:
        raw = self._raw(connection, draft, None)
        if draft.id:
            seq = int(draft.id)
        else:
            thread = draft.threading.thread
            number = None if thread is None else _seq(thread.removeprefix("t"))
            seq = self._insert(connection, raw, folder="drafts", thread=number)
            draft = replace(draft, id=MailId(str(seq)))
        self._store_raw(connection, seq, raw, folder="drafts", draft=json.dumps(asdict(draft)))
        return draft

    def _raw(self, connection: Connection, draft: Draft, message_id: str | None) -> bytes:
        source = draft.threading.forwards
        files: Sequence[messages.File] = ()
        if source is not None:
            files = messages.parse(self._row(connection, source)["raw"]).files
        return messages.build(draft, message_id=message_id, at=self._now(), files=files)

    def _insert(
        self,
        connection: Connection,
        raw: bytes,
        *,
        folder: Folder = "inbox",
        thread: int | None = None,
    ) -> int:
        parsed = messages.parse(raw)
        if thread is None:
            thread = self._thread_of(connection, parsed.references)
        seq = connection.execute(
            "INSERT INTO mail (business, folder, thread, at, message_id, sender, recipients,"
            " subject, folded_sender, folded_recipients, folded_subject, snippet, unread,"
            " has_attachment, raw) VALUES (?, ?, ?, '', '', '', '', '', '', '', '', '', ?, 0, ?)",
            (self._store.business, folder, thread or 0, folder == "inbox", b""),
        ).lastrowid
        if seq is None:
            raise AssertionError("an INSERT has a row id")
        if thread is None:
            connection.execute("UPDATE mail SET thread = seq WHERE seq = ?", (seq,))
        self._store_raw(connection, seq, raw, folder=folder, draft=None)
        return seq

    def _store_raw(
        self, connection: Connection, seq: int, raw: bytes, *, folder: Folder, draft: str | None
    ) -> None:
        """Set a mail's bytes and everything that is read from them."""
        parsed = messages.parse(raw)
        sender = str(parsed.sender)
        recipients = ", ".join(str(address) for address in (*parsed.to, *parsed.cc))
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        snippet = " ".join(parsed.text[: 4 * _SNIPPET_CHARS].split())[:_SNIPPET_CHARS]
        connection.execute(
            "UPDATE mail SET folder = ?, draft = ?, raw = ?, at = ?, message_id = ?, sender = ?,"
            " recipients = ?, subject = ?, folded_sender = ?, folded_recipients = ?,"
            " folded_subject = ?, snippet = ?, has_attachment = ? WHERE seq = ?",
            (
                *(folder, draft, raw, at, parsed.message_id),
                *(sender, recipients, parsed.subject),
                *(sender.casefold(), recipients.casefold(), parsed.subject.casefold()),
                *(snippet, bool(parsed.files), seq),
            ),
        )
        names = " ".join(file.name for file in parsed.files)
        words = "\n".join((parsed.subject, sender, recipients, names, parsed.text))
        connection.execute("DELETE FROM mail_fts WHERE rowid = ?", (seq,))
        connection.execute("INSERT INTO mail_fts (rowid, words) VALUES (?, ?)", (seq, words))

    def _thread_of(self, connection: Connection, references: Sequence[str]) -> int | None:
        for message_id in reversed(references):
            row = connection.execute(
                "SELECT thread FROM mail WHERE business = ? AND message_id = ? LIMIT 1",
                (self._store.business, message_id),
            ).fetchone()
            if row is not None:
                return int(row["thread"])
        return None


def _seq(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _row(row: Row) -> MailRow:
    return MailRow(
        id=MailId(str(row["seq"])),
        thread=ThreadId(f"t{row['thread']}"),
        folder=row["folder"],
        sender=row["sender"],
        to=row["recipients"],
        subject=row["subject"],
        at=datetime.fromisoformat(row["at"]).replace(microsecond=0),
        is_unread=bool(row["unread"]),
        has_attachment=bool(row["has_attachment"]),
        snippet=row["snippet"],
    )


def _mail(row: Row) -> Mail:
    return Mail(row=_row(row), message_id=row["message_id"], raw=row["raw"])


def _draft(row: Row) -> Draft:
    return _draft_from(json.loads(row["draft"]))


def _draft_from(stored: dict[str, Any]) -> Draft:
    people = {name: [Address(**item) for item in stored[name]] for name in ("to", "cc", "bcc")}
    return Draft(
        **{
            **stored,
            **people,
            "sender": Address(**stored["sender"]),
            "threading": Threading(**stored["threading"]),
        }
    )


def _merged(draft: Draft, change: DraftChange) -> Draft:
    given = {
        name: getattr(change, name)
        for name in ("sender", "to", "cc", "bcc", "subject", "body", "threading")
    }
    return replace(draft, **{name: value for name, value in given.items() if value is not None})
