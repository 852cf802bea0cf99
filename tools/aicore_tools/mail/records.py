"""The records of a mailbox. No I/O, no vendor word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType

__all__ = [
    "Action",
    "Address",
    "Attachment",
    "Draft",
    "DraftContent",
    "File",
    "Folder",
    "Mail",
    "MailId",
    "MailPage",
    "MailRow",
    "MailSearch",
    "Organized",
    "Role",
    "SavedDraft",
    "Sent",
    "ThreadId",
    "Threading",
]

MailId = NewType("MailId", str)
"""Names a mail or draft in one mailbox; never begins with `t`."""

ThreadId = NewType("ThreadId", str)
"""Names a thread; always begins with `t`."""

Role = Literal["inbox", "sent", "drafts", "archive", "trash", "spam"]
"""What a folder is for. A role is also its folder's name, whatever the backend calls it."""

Action = Literal[
    "archive",
    "trash",
    "restore",
    "read",
    "unread",
    "star",
    "unstar",
    "label",
    "unlabel",
    "move",
    "spam",
]


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox. `email` is ASCII, its domain in lower case; `name` may be empty."""

    email: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A part of a mail that is a file. `name` is the sender's word and may be anything."""

    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment with its content."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def attachment(self) -> Attachment:
        """The file without its content."""
        return Attachment(name=self.name, media_type=self.media_type, size_bytes=len(self.content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Threading:
    """How a mail hangs on an earlier one.

    `in_reply_to` and `references` are Message-IDs with their angle brackets, oldest first.
    """

    thread: ThreadId | None = None
    in_reply_to: str = ""
    references: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftContent:
    """All that a draft says. `html` is the HTML another program wrote; nothing here writes any."""

    sender: Address
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    subject: str = ""
    body: str = ""
    html: str = ""
    files: Sequence[File] = ()
    threading: Threading = field(default_factory=Threading)

    @property
    def everyone(self) -> Sequence[Address]:
        """All recipients: To, Cc and Bcc."""
        return [*self.to, *self.cc, *self.bcc]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mail that was not sent. `id` stays the same through every edit.

    `version` is another one after every edit; "" where the backend knows none.
    """

    id: MailId
    content: DraftContent
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedDraft:
    """What saving a draft gave: all of it but body and the bytes of its attachments."""

    id: MailId
    sender: Address
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    subject: str = ""
    thread: ThreadId | None = None
    attachments: Sequence[Attachment] = ()

    @classmethod
    def of(cls, draft_id: str, content: DraftContent) -> SavedDraft:
        """Describe the draft of that id."""
        return cls(
            id=MailId(draft_id),
            sender=content.sender,
            to=content.to,
            cc=content.cc,
            bcc=content.bcc,
            subject=content.subject,
            thread=content.threading.thread,
            attachments=[file.attachment for file in content.files],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail that left, or, where `send_at` is set, that will leave then.

    `id` is that of the sent mail (of the draft while it waits). `message_id` has its angle
    brackets; "" while it waits. `to` is everybody it went to. `refused` are recipients whom the
    mail system did not take, each with its words. `warnings` are sentences.
    """

    id: MailId
    message_id: str
    thread: ThreadId
    to: Sequence[str]
    subject: str
    refused: Sequence[str] = ()
    warnings: Sequence[str] = ()
    send_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organized:
    """What was done to mails. `ids` are theirs from now on, in the order asked for."""

    action: Action
    ids: Sequence[MailId]
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder, or a label that mails carry. `role` is None for one the business made.

    `total` and `unread` count mails; None where the backend does not say.
    """

    name: str
    role: Role | None = None
    is_label: bool = False
    total: int | None = None
    unread: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRow:
    """A mail in a list. `sender` and `to` as shown to people; `snippet` is how its text begins.

    `folder` is a role, or the name of a folder without one.
    """

    id: MailId
    thread: ThreadId
    folder: str
    sender: str
    to: str
    subject: str
    at: datetime
    is_unread: bool
    has_attachment: bool
    snippet: str
    is_starred: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A whole mail: its row, and the RFC 5322 message as bytes."""

    row: MailRow
    message_id: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSearch:
    """What to find; all conditions must hold.

    `query`: words, each found in subject, people or text. `sender`, `to`, `subject`: a part of
    that field, in any case. `after` is included, `before` is not. `folder`: a role, a folder's
    name or a label; "": all but drafts, trash and spam. Newest first; `cursor` is an earlier
    page's `next_cursor` of the same search.
    """

    query: str = ""
    sender: str = ""
    to: str = ""
    subject: str = ""
    after: datetime | None = None
    before: datetime | None = None
    is_unread: bool | None = None
    has_attachment: bool | None = None
    folder: str = ""
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPage:
    """Rows of a search. `next_cursor` is None on the last page."""

    rows: Sequence[MailRow]
    next_cursor: str | None = None
