"""What a draft is made of: recipients, subject and body as given, replies, forwards, files."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.mail.addresses import parse_address, unique, without
from aicore_tools.mail.messages import Parsed, parse
from aicore_tools.mail.records import Address, DraftContent, File, Mail, Threading

__all__ = [
    "MAX_ATTACHMENT_BYTES",
    "AttachmentInput",
    "DraftInput",
    "as_forward",
    "as_reply",
    "check_size",
    "clean",
    "file_of",
    "pick",
    "texts",
]

MAX_RECIPIENTS = 100
MAX_BODY_CHARS = 200_000
MAX_SUBJECT_CHARS = 500
MAX_ATTACHMENTS = 20
MAX_ATTACHMENT_BYTES = 10_000_000
"""All attachments of a draft together; what most mail systems take."""

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\\u2028\u2029]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentInput:
    """An attachment as a caller gives it: `text`, `base64`, or that of the mail of id `mail`."""

    name: str
    text: str | None = None
    base64: str | None = None
    mail: str | None = None


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
    attachments: Sequence[AttachmentInput] | None = None
    sender: str | None = None
    draft_id: str | None = None


def texts(content: DraftContent, given: DraftInput) -> DraftContent:
    """Put the recipients and texts that were given into `content`.

    Raises:
        InvalidInput: an address or a text is wrong, or a combination.
    """
    starts = [given.reply_to, given.forward, given.draft_id]
    if sum(start is not None for start in starts) > 1:
        raise InvalidInput("Give only one of reply_to, forward and draft_id.")
    if given.reply_all and given.reply_to is None:
        raise InvalidInput("reply_all goes with reply_to only.")
    return replace(
        content,
        to=_recipients(given.to, content.to),
        cc=_recipients(given.cc, content.cc),
        bcc=_recipients(given.bcc, content.bcc),
        subject=content.subject if given.subject is None else _subject(given.subject),
        body=_body(given.body),
        html="",
    )


def as_reply(
    content: DraftContent, given: DraftInput, mail: Mail, own: Sequence[Address]
) -> DraftContent:
    """Fill in whom a reply goes to, its subject and its thread; what was given stays.

    Raises:
        InvalidInput: the mail does not say whom to answer.
    """
    original = parse(mail.raw)
    # A reply to a mail of our own goes to whom that mail went.
    is_ours = not without([original.sender], own)
    answer_to = original.to if is_ours else (original.reply_to or [original.sender])
    to = content.to if given.to is not None else unique(answer_to)
    if not to or not to[0].email:
        raise InvalidInput("This mail does not say whom to answer.", hint="Give `to`.")
    cc = content.cc
    if given.cc is None and given.reply_all:
        cc = without(without(unique([*original.to, *original.cc]), own), to)
    before = list(original.references)
    return replace(
        content,
        to=to,
        cc=cc,
        subject=_prefixed("Re: ", original.subject) if given.subject is None else content.subject,
        threading=Threading(
            thread=mail.row.thread,
            in_reply_to=original.message_id,
            references=[*before, original.message_id] if original.message_id else before,
        ),
    )


def as_forward(content: DraftContent, given: DraftInput, mail: Mail) -> DraftContent:
    """Quote a mail and take its attachments along."""
    original = parse(mail.raw)
    quoted = "\n".join(
        (
            content.body,
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
    return replace(
        content,
        body=quoted,
        subject=_prefixed("Fwd: ", original.subject) if given.subject is None else content.subject,
        files=original.files,
    )


def file_of(given: AttachmentInput) -> File:
    """Read an attachment that came as text or base64.

    Raises:
        InvalidInput: its name or content is wrong, or it is too large.
    """
    if _NAME.fullmatch(given.name) is None:
        raise InvalidInput("attachments: a name has 1 to 200 characters, no slash, no line break.")
    if (given.text is None) == (given.base64 is None):
        raise InvalidInput(f"attachments: give {given.name!r} as one of text, base64 or mail.")
    if given.text is not None:
        content = clean(given.text).encode()
    else:
        encoded = given.base64 or ""
        if len(encoded) * 3 // 4 > MAX_ATTACHMENT_BYTES + 4:
            raise _too_large(len(encoded) * 3 // 4)
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(f"attachments: {given.name!r} is no base64.") from error
    guessed = mimetypes.guess_type(given.name)[0]
    fallback = "application/octet-stream" if given.text is None else "text/plain"
    return File(name=given.name, media_type=guessed or fallback, content=content)


def pick(parsed: Parsed, wanted: str) -> File:
    """Find an attachment of a mail by its number, from 1, or by its name.

    Raises:
        NotFound: it has none of that name.
    """
    files = parsed.files
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:6]) <= len(files):
        return files[int(wanted) - 1]
    for file in files:
        if file.name == wanted:
            return file
    names = ", ".join(f"{number} {file.name}" for number, file in enumerate(files, 1))
    raise NotFound(
        f"This mail has no attachment {wanted[:100]!r}.",
        hint=f"It has: {names}." if names else "It has none.",
    )


def check_size(content: DraftContent) -> None:
    """Refuse a draft that is to too many, or too large.

    Raises:
        InvalidInput: it says which limit.
    """
    if len(content.everyone) > MAX_RECIPIENTS:
        raise InvalidInput(f"At most {MAX_RECIPIENTS} recipients, not {len(content.everyone)}.")
    if len(content.files) > MAX_ATTACHMENTS:
        raise InvalidInput(f"At most {MAX_ATTACHMENTS} attachments, not {len(content.files)}.")
    size_bytes = sum(len(file.content) for file in content.files)
    if size_bytes > MAX_ATTACHMENT_BYTES:
        raise _too_large(size_bytes)


def clean(text: str) -> str:
    """Drop what no mail can hold: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _too_large(size_bytes: int) -> InvalidInput:
    return InvalidInput(
        f"The attachments of a mail may have {MAX_ATTACHMENT_BYTES // 1_000_000} MB together,"
        f" not {size_bytes / 1e6:.1f} MB.",
        hint="Send a link instead, or fewer files.",
        code="attachment_too_large",
    )


def _recipients(given: Sequence[str] | None, before: Sequence[Address]) -> Sequence[Address]:
    return before if given is None else unique(parse_address(text) for text in given)


def _body(text: str) -> str:
    if len(text) > MAX_BODY_CHARS:
        raise InvalidInput(f"body: at most {MAX_BODY_CHARS} characters, not {len(text)}.")
    return clean(text).replace("\r\n", "\n").replace("\r", "\n")


def _subject(text: str) -> str:
    if any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in text):
        raise InvalidInput("subject: it holds a line break or another control character.")
    if len(text) > MAX_SUBJECT_CHARS:
        raise InvalidInput(f"subject: at most {MAX_SUBJECT_CHARS} characters, not {len(text)}.")
    return clean(text).strip()


def _prefixed(prefix: str, subject: str) -> str:
    known = ("re:", "aw:") if prefix == "Re: " else ("fwd:", "fw:", "wg:")
    if subject.lower().startswith(known):
        return subject[:MAX_SUBJECT_CHARS]
    return (prefix + subject)[:MAX_SUBJECT_CHARS]
