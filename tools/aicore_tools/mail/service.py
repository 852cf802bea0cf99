"""The rules of mail: who may be written to and from, how replies hang together. Port only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, tzinfo
from typing import Literal

from anyio import to_thread

from aicore_tools.errors import InvalidInput, NotAllowed, NotFound
from aicore_tools.mail.addresses import parse_address, unique, without
from aicore_tools.mail.messages import Parsed, parse
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.records import (
    Address,
    Attachment,
    Draft,
    DraftChange,
    Mail,
    MailId,
    MailPage,
    MailSearch,
    Sent,
    ThreadId,
    Threading,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["DraftInput", "MailService", "ReadFormat", "Reading"]

MAX_ROWS = 100
MAX_RECIPIENTS = 100
MAX_BODY_CHARS = 200_000
MAX_SUBJECT_CHARS = 500
MAX_READ_CHARS = 50_000

ReadFormat = Literal["text", "html", "headers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftInput:
    """A draft as a caller gives it; None leaves a field as it is, or as the reply makes it."""

    body: str
    to: Sequence[str] | None = None
    cc: Sequence[str] | None = None
    bcc: Sequence[str] | None = None
    subject: str | None = None
    reply_to: str | None = None
    reply_all: bool = False
    forward: str | None = None
    sender: str | None = None
    draft_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A stretch of a mail's or thread's text.

    `next_offset` is where the rest begins, None at the end. `mails` are the mails read, oldest
    first; `attachments` are those of a single mail; `cc` and `bcc` are those of the last.
    """

    mails: Sequence[Mail]
    text: str
    offset: int
    total_chars: int
    attachments: Sequence[Attachment] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()

    @property
    def next_offset(self) -> int | None:
        """Where to read on, or None at the end."""
        end = self.offset + len(self.text)
        return end if end < self.total_chars else None


class MailService:
    """Checks what comes in, threads replies, and asks the mailbox.

    `zone` is where a date without an offset begins.
    """

    def __init__(self, mailbox: Mailbox, *, zone: tzinfo = UTC) -> None:
        self._mailbox = mailbox
        self._zone = zone

    async def search(
        self, search: MailSearch, *, after: str | None = None, before: str | None = None
    ) -> MailPage:
        """Find mails. `after` (included) and `before` (not) are dates or RFC 3339 times.

        Raises:
            InvalidInput: a date, the limit or the cursor is wrong.
        """
        if not 1 <= search.limit <= MAX_ROWS:
            raise InvalidInput(f"limit: give 1 to {MAX_ROWS}, not {search.limit}.")
        return await self._mailbox.search(
            replace(
                search,
                query=_clean(search.query),
                after=self._moment("after", after),
                before=self._moment("before", before),
            )
        )

    async def read(
        self, mail_id: str, *, form: ReadFormat = "text", offset: int = 0, max_chars: int = 8000
    ) -> Reading:
        """Read a mail, a draft, or a whole thread (`t…`); nothing is marked as read.

        Raises:
            NotFound: there is none.
            InvalidInput: offset or max_chars is out of range.
        """
        if offset < 0 or not 1 <= max_chars <= MAX_READ_CHARS:
            raise InvalidInput(f"Give an offset from 0 and max_chars from 1 to {MAX_READ_CHARS}.")
        mails = await self._mails(mail_id)
        # Large mails take a while to take apart.
        parsed = await to_thread.run_sync(lambda: [parse(mail.raw) for mail in mails])
        if len(mails) == 1:
            text = _shown(parsed[0], form)
        else:
            parts = zip(mails, parsed, strict=True)
            text = "\n\n".join(f"{_separator(mail)}\n{_shown(p, form)}" for mail, p in parts)
        return Reading(
            mails=mails,
            text=text[offset : offset + max_chars],
            offset=offset,
            total_chars=len(text),
            attachments=parsed[0].attachments if len(mails) == 1 else (),
            cc=parsed[-1].cc,
            bcc=parsed[-1].bcc,
        )

    async def draft(self, operation: Operation, given: DraftInput) -> Effect[Draft]:
        """Make a draft, or change the one `draft_id` names. Nothing is sent.

        Raises:
            InvalidInput: an address, a text or a combination is wrong.
            NotAllowed: `sender` is none of the business's own addresses.
            NotFound: the draft, or the mail replied to or forwarded, does not exist.
            Conflict: the draft was sent.
        """
        _refuse_mixed(given)
        change = DraftChange(
            sender=None if given.sender is None else self._sender(given.sender),
            to=_recipients(given.to),
            cc=_recipients(given.cc),
            bcc=_recipients(given.bcc),
            subject=None if given.subject is None else _subject(given.subject),
            body=_body(given.body),
        )
        if given.reply_to is not None:
            change = self._as_reply(change, await self._one(given.reply_to), given.reply_all)
        elif given.forward is not None:
            change = _as_forward(change, await self._one(given.forward))
        people = [*(change.to or ()), *(change.cc or ()), *(change.bcc or ())]
        if len(people) > MAX_RECIPIENTS:
            raise InvalidInput(f"At most {MAX_RECIPIENTS} recipients, not {len(people)}.")
        draft_id = None if given.draft_id is None else MailId(given.draft_id)
        return await self._mailbox.save_draft(operation, change, draft_id)

    async def send(self, operation: Operation, draft_id: str) -> Effect[Sent]:
        """Send a draft, once only.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent before.
            InvalidInput: nobody would receive it.
        """
        return await self._mailbox.send(operation, MailId(draft_id))

    async def _mails(self, mail_id: str) -> Sequence[Mail]:
        if not mail_id.startswith("t"):
            return [await self._mailbox.get(mail_id)]
        mails = await self._mailbox.thread(ThreadId(mail_id))
        if not mails:
            raise NotFound(f"There is no thread {mail_id}.", hint="Find it with mail_search.")
        return mails

    async def _one(self, mail_id: str) -> Mail:
        """Find the mail to answer: of a thread, its last."""
        mail = (await self._mails(mail_id))[-1]
        if mail.row.folder == "drafts":
            raise InvalidInput(f"{mail_id} is a draft; edit it with draft_id.")
        return mail

    def _sender(self, text: str) -> Address:
        wanted = parse_address(text)
        own = self._mailbox.addresses
        for address in own:
            if address.email.lower() == wanted.email.lower():
                return replace(address, name=wanted.name or address.name)
        raise NotAllowed(
            f"{wanted.email} is no address of this business.",
            hint=f"Send from: {', '.join(address.email for address in own)}.",
        )

    def _as_reply(self, change: DraftChange, mail: Mail, reply_all: bool) -> DraftChange:
        original = parse(mail.raw)
        own = self._mailbox.addresses
        # A reply to a mail of our own goes to whom that mail went.
        is_ours = not without([original.sender], own)
        answer_to = original.to if is_ours else (original.reply_to or [original.sender])
        to = change.to if change.to is not None else unique(answer_to)
        if not to or not to[0].email:
            raise InvalidInput("This mail does not say whom to answer.", hint="Give `to`.")
        cc = change.cc
        if cc is None and reply_all:
            others = unique([*original.to, *original.cc])
            cc = without(without(others, own), to)
        subject = change.subject
        return replace(
            change,
            to=to,
            cc=cc,
            subject=_prefixed("Re: ", original.subject) if subject is None else subject,
            threading=Threading(
                thread=mail.row.thread,
                in_reply_to=original.message_id,
                references=[*original.references, original.message_id]
                if original.message_id
                else original.references,
            ),
        )

    def _moment(self, name: str, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            if len(text) == len("2026-03-01"):
                return datetime.combine(date.fromisoformat(text), time(), self._zone)
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(
                f"{name}: {text!r} is no date, such as 2026-03-01, and no RFC 3339 time."
            ) from error


def _refuse_mixed(given: DraftInput) -> None:
    starts = [given.reply_to, given.forward, given.draft_id]
    if sum(start is not None for start in starts) > 1:
        raise InvalidInput("Give only one of reply_to, forward and draft_id.")
    if given.reply_all and given.reply_to is None:
        raise InvalidInput("reply_all goes with reply_to only.")


def _recipients(given: Sequence[str] | None) -> list[Address] | None:
    return None if given is None else unique(parse_address(text) for text in given)


def _clean(text: str) -> str:
    """Drop what no mail can hold: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _body(text: str) -> str:
    if len(text) > MAX_BODY_CHARS:
        raise InvalidInput(f"body: at most {MAX_BODY_CHARS} characters, not {len(text)}.")
    return _clean(text).replace("\r\n", "\n").replace("\r", "\n")


def _subject(text: str) -> str:
    if any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in text):
        raise InvalidInput("subject: it holds a line break or another control character.")
    if len(text) > MAX_SUBJECT_CHARS:
        raise InvalidInput(f"subject: at most {MAX_SUBJECT_CHARS} characters, not {len(text)}.")
    return _clean(text).strip()


def _prefixed(prefix: str, subject: str) -> str:
    known = ("re:", "aw:") if prefix == "Re: " else ("fwd:", "fw:", "wg:")
    if subject.lower().startswith(known):
        return subject[:MAX_SUBJECT_CHARS]
    return (prefix + subject)[:MAX_SUBJECT_CHARS]


def _as_forward(change: DraftChange, mail: Mail) -> DraftChange:
    original = parse(mail.raw)
    quoted = "\n".join(
        (
            change.body or "",
            "",
            "---------- Forwarded message ----------",
            f"From: {original.sender}",
            f"Date: {mail.row.at.isoformat(timespec='minutes')}",
            f"Subject: {original.subject}",
            f"To: {', '.join(str(address) for address in original.to)}",
            "",
            original.text,
        )
    )
    subject = change.subject
    return replace(
        change,
        body=quoted,
        subject=_prefixed("Fwd: ", original.subject) if subject is None else subject,
        threading=Threading(forwards=mail.row.id),
    )


def _shown(parsed: Parsed, form: ReadFormat) -> str:
    if form == "headers":
        return "\n".join(f"{name}: {value}" for name, value in parsed.headers)
    return parsed.html if form == "html" and parsed.html else parsed.text


def _separator(mail: Mail) -> str:
    at = mail.row.at.isoformat(timespec="minutes")
    return f"--- {mail.row.id} from {mail.row.sender} at {at}: {mail.row.subject}"
