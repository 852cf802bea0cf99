"""A mailbox in a SQLite file of our own. It delivers nothing to the outside.

Sending moves a draft to the sent folder; a copy reaches the inbox where it is addressed to the
business itself. It is for trying things out, for tests, and as a record; real mail needs another
backend.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from types import TracebackType
from typing import Any, Self, get_args

from aicore_tools.connections import Probe
from aicore_tools.errors import InvalidInput
from aicore_tools.local_store import LocalStore
from aicore_tools.mail import messages, stored
from aicore_tools.mail.backends import _local_search
from aicore_tools.mail.backends._local_rows import (
    MIGRATIONS,
    LocalRows,
    mail_of,
    row_of,
    seq_of,
)
from aicore_tools.mail.port import Done
from aicore_tools.mail.records import (
    Action,
    Address,
    Draft,
    DraftContent,
    Folder,
    Mail,
    MailId,
    MailPage,
    MailRow,
    MailSearch,
    Organized,
    Role,
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.mail.unchanged import check_unchanged, digest_of
from aicore_tools.operations import Effect, Operation

__all__ = ["LocalMailbox"]

MAX_MESSAGE_BYTES = 25_000_000
_DRAFT, _SENT = 1, 2
_FLAGS: dict[str, dict[str, int]] = {
    "read": {"unread": 0},
    "unread": {"unread": 1},
    "star": {"starred": 1},
    "unstar": {"starred": 0},
}


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

    async def probe(self) -> Probe:
        """Read the file: which one it is."""
        folders = await self.folders()
        count = sum(folder.total or 0 for folder in folders if not folder.is_label)
        return Probe(
            name=f"{self._store.path} ({self._store.business}, {count} mails)",
            can=("draft, read and organize mail", "send only to the business's own addresses"),
            warnings=("It delivers nothing to the outside and fetches nothing.",),
        )

    async def folders(self) -> Sequence[Folder]:
        """Give the folders and labels with their counts."""

        def run(connection: Connection) -> tuple[list[Row], list[Row]]:
            business = (self._store.business,)
            folders = connection.execute(
                "SELECT folder AS name, count(*) AS total, sum(unread) AS unread FROM letter"
                " WHERE business = ? GROUP BY folder",
                business,
            ).fetchall()
            labels = connection.execute(
                "SELECT min(json_each.value) AS name, count(*) AS total, sum(unread) AS unread"
                " FROM letter, json_each(letter.labels)"
                " WHERE business = ? AND labels <> '[]' GROUP BY lower(json_each.value)",
                business,
            ).fetchall()
            return folders, labels

        folders, labels = await self._store.read(run)
        found = {row["name"]: row for row in folders}
        named = [_folder(name, found.get(name), role=name) for name in get_args(Role)]
        own = [_folder(name, found[name]) for name in sorted(set(found) - set(get_args(Role)))]
        tags = [_folder(row["name"], row, is_label=True) for row in labels]
        return [*named, *own, *sorted(tags, key=lambda folder: folder.name)]

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first."""

        def run(connection: Connection) -> MailPage:
            folders = set(get_args(Role))
            if search.folder and search.folder not in folders:
                folders |= self._own_folder(connection, search.folder)
            rows, cursor = _local_search.find(connection, self._store.business, search, folders)
            return MailPage(rows=[row_of(row) for row in rows], next_cursor=cursor)

        return await self._store.read(run)

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID."""

        def run(connection: Connection) -> Mail:
            rows = self._rows(connection)
            row = rows.find(mail_id)
            return mail_of(row, rows.raw(row["seq"]))

        return await self._store.read(run)

    async def rows(self, mail_ids: Sequence[str]) -> Sequence[MailRow]:
        """Give the rows of mails or drafts by id, in that order."""

        def run(connection: Connection) -> list[MailRow]:
            rows = self._rows(connection)
            return [row_of(rows.find(mail_id)) for mail_id in mail_ids]

        return await self._store.read(run)

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread without drafts, trash and spam, oldest first."""

        def run(connection: Connection) -> list[Mail]:
            rows = self._rows(connection)
            found = rows.thread(seq_of(thread.removeprefix("t")))
            return [mail_of(row, rows.raw(row["seq"])) for row in found]

        return await self._store.read(run)

    async def draft(self, draft_id: str) -> Draft:
        """Give a draft with the content of its attachments."""

        def run(connection: Connection) -> Draft:
            rows = self._rows(connection)
            return _draft(rows, rows.open_draft(draft_id))

        return await self._store.read(run)

    async def earlier(self, operation: Operation) -> Effect[Done] | None:
        """Give what `operation` did before, as a replay."""
        effect = await self._store.find_effect(operation)
        return None if effect is None else effect.map(stored.done)

    async def save_draft(
        self, operation: Operation, content: DraftContent, draft_id: MailId | None = None
    ) -> Effect[SavedDraft]:
        """Make a draft, or put `content` in the place of all that the one named says."""

        def run(connection: Connection) -> dict[str, Any]:
            raw = messages.build(content, message_id=None, at=self._now(), is_draft=True)
            rows = self._rows(connection)
            if draft_id is None:
                number = seq_of((content.threading.thread or "").removeprefix("t"))
                seq = rows.insert(raw, folder="drafts", is_ours=_DRAFT, thread=number)
            else:
                seq = rows.open_draft(draft_id)["seq"]
                rows.replace(seq, raw, folder="drafts", is_ours=_DRAFT)
            return stored.kept(SavedDraft.of(str(seq), content))

        return stored.expect(SavedDraft, await self._store.effect(operation, run))

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        """Move a draft to the sent folder, and a copy to the inbox where that is ours."""
        digest = digest_of(draft.content)

        def run(connection: Connection) -> dict[str, Any]:
            rows = self._rows(connection)
            row = rows.open_draft(draft.id)
            now = _draft(rows, row)
            check_unchanged(now, digest)
            content = now.content
            if not content.everyone:
                raise InvalidInput(
                    f"Draft {draft.id} names nobody to send it to.",
                    hint="Add `to` with mail_draft and this draft_id.",
                )
            message_id = messages.message_id_for(operation.key, content.sender)
            raw = messages.build(content, message_id=message_id, at=self._now())
            rows.replace(row["seq"], raw, folder="sent", is_ours=_SENT)
            own = {address.email.lower() for address in self._addresses}
            if any(address.email.lower() in own for address in content.everyone):
                rows.insert(raw, folder="inbox", thread=row["thread"])
            return stored.kept(
                Sent(
                    id=MailId(str(row["seq"])),
                    message_id=message_id,
                    thread=ThreadId(f"t{row['thread']}"),
                    to=[str(address) for address in content.everyone],
                    subject=content.subject,
                )
            )

        return stored.expect(Sent, await self._store.effect(operation, run))

    async def organize(
        self, operation: Operation, mail_ids: Sequence[MailId], action: Action, label: str = ""
    ) -> Effect[Organized]:
        """Do `action` to mails: to all of them, or to none."""

        def run(connection: Connection) -> dict[str, Any]:
            rows = self._rows(connection)
            found = [rows.find(mail_id) for mail_id in mail_ids]
            for row in found:
                changed = _changed(row, action, label)
                rows.change(row, **changed)
            ids = [MailId(str(row["seq"])) for row in found]
            return stored.kept(Organized(action=action, ids=ids, label=label))

        return stored.expect(Organized, await self._store.effect(operation, run))

    async def deliver(self, raw: bytes) -> MailId:
        """Put a mail from outside into the inbox, as a mail server would; gives its id.

        Not an effect of a tool: the same mail delivered twice is there twice.

        Raises:
            InvalidInput: it is larger than 25 MB.
        """
        if len(raw) > MAX_MESSAGE_BYTES:
            raise InvalidInput(f"A mail may have {MAX_MESSAGE_BYTES} bytes, not {len(raw)}.")

        def run(connection: Connection) -> MailId:
            return MailId(str(self._rows(connection).insert(raw, folder="inbox")))

        return await self._store.write(run)

    def _rows(self, connection: Connection) -> LocalRows:
        return LocalRows(connection, self._store.business, self._now())

    def _own_folder(self, connection: Connection, name: str) -> set[str]:
        row = connection.execute(
            "SELECT 1 FROM letter WHERE business = ? AND folder = ? LIMIT 1",
            (self._store.business, name),
        ).fetchone()
        return set() if row is None else {name}


def _folder(
    name: str, row: Row | None, *, role: Role | None = None, is_label: bool = False
) -> Folder:
    return Folder(
        name=name,
        role=role,
        is_label=is_label,
        total=0 if row is None else row["total"],
        unread=0 if row is None else row["unread"],
    )


def _draft(rows: LocalRows, row: Row) -> Draft:
    thread = ThreadId(f"t{row['thread']}")
    content = messages.content_of(rows.raw(row["seq"]), thread=thread)
    return Draft(id=MailId(str(row["seq"])), content=content)


def _changed(row: Row, action: Action, label: str) -> dict[str, Any]:
    """Give the columns that an action sets."""
    if action in _FLAGS:
        return _FLAGS[action]
    if action in ("label", "unlabel"):
        labels = [each for each in json.loads(row["labels"]) if each.lower() != label.lower()]
        return {"labels": json.dumps([*labels, label] if action == "label" else labels)}
    if action == "restore":
        return {"folder": {_DRAFT: "drafts", _SENT: "sent"}.get(row["is_ours"], "inbox")}
    return {"folder": label if action == "move" else action}
