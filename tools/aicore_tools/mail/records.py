"""The records of a mailbox. No I/O, no vendor word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType

__all__ = [
    "Address",
    "Attachment",
    "Draft",
    "DraftChange",
    "Folder",
    "Mail",
    "MailId",
    "MailPage",
    "MailRow",
    "MailSearch",
    "Sent",
    "ThreadId",
    "Threading",
]

MailId = NewType("MailId", str)
ThreadId = NewType("ThreadId", str)
Folder = Literal["inbox", "sent", "drafts"]


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
class Threading:
    """How a mail hangs on an earlier one.

    `in_reply_to` and `references` are Message-IDs with their angle brackets, oldest first.
    `forwards` is the mail whose attachments go along, or None.
    """

    thread: ThreadId | None = None
    in_reply_to: str = ""
    references: Sequence[str] = ()
    forwards: MailId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mail that was not sent. `id` stays the same through every edit and the sending."""

    id: MailId
    sender: Address
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    subject: str = ""
    body: str = ""
    threading: Threading = field(default_factory=Threading)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftChange:
    """What to set in a new or present draft; None leaves a field as it is."""

    sender: Address | None = None
    to: Sequence[Address] | None = None
    cc: Sequence[Address] | None = None
    bcc: Sequence[Address] | None = None
    subject: str | None = None
    body: str | None = None
    threading: Threading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail that left. `message_id` is its Message-ID with angle brackets."""

    id: MailId
    message_id: str
    thread: ThreadId
    to: Sequence[str]
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRow:
    """A mail in a list. `sender` and `to` as shown to people; `snippet` is how its text begins."""

    id: MailId
    thread: ThreadId
    folder: Folder
    sender: str
    to: str
    subject: str
    at: datetime
    is_unread: bool
    has_attachment: bool
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A whole mail: its row, and the RFC 5322 message as bytes."""

    row: MailRow
    message_id: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSearch:
    """What to find; all conditions must hold.

    `query`: words, each the start of a word in subject, people or text. `sender`, `to`, `subject`:
    a part of that field, in any case. `after` is included, `before` is not. No `folder`: all but
    drafts. Newest first; `cursor` is an earlier page's `next_cursor` of the same search.
    """

    query: str = ""
    sender: str = ""
    to: str = ""
    subject: str = ""
    after: datetime | None = None
    before: datetime | None = None
    is_unread: bool | None = None
    has_attachment: bool | None = None
    folder: Folder | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPage:
    """Rows of a search. `next_cursor` is None on the last page."""

    rows: Sequence[MailRow]
    next_cursor: str | None = None
