"""Reading mails and attachments in stretches, as text or as files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aicore_tools.errors import BackendConfigError, InvalidInput
from aicore_tools.mail.html_text import html_to_text
from aicore_tools.mail.messages import Parsed, decoded
from aicore_tools.mail.records import Address, Attachment, File, Mail

__all__ = ["AttachmentForm", "Opened", "ReadFormat", "Reading", "keep_file", "opened", "shown"]

MAX_READ_CHARS = 50_000
_MAX_NAME_BYTES = 200
_TEXT_TYPES = ("application/json", "application/xml", "application/csv", "application/x-yaml")

ReadFormat = Literal["text", "html", "headers"]
AttachmentForm = Literal["text", "file"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An attachment: a stretch of its text, or the `path` of the file it was put into."""

    attachment: Attachment
    text: str | None = None
    offset: int = 0
    total_chars: int = 0
    path: Path | None = None

    @property
    def next_offset(self) -> int | None:
        """Where to read on, or None at the end."""
        end = self.offset + len(self.text or "")
        return end if end < self.total_chars else None


def check_stretch(offset: int, max_chars: int) -> None:
    """Refuse a stretch that is out of range.

    Raises:
        InvalidInput: it is.
    """
    if offset < 0 or not 1 <= max_chars <= MAX_READ_CHARS:
        raise InvalidInput(f"Give an offset from 0 and max_chars from 1 to {MAX_READ_CHARS}.")


def read(
    mails: Sequence[Mail], parsed: Sequence[Parsed], form: ReadFormat, offset: int, max_chars: int
) -> Reading:
    """Give a stretch of one mail, or of a thread as one text."""
    if len(mails) == 1:
        text = shown(parsed[0], form)
    else:
        parts = zip(mails, parsed, strict=True)
        text = "\n\n".join(f"{_separator(mail)}\n{shown(each, form)}" for mail, each in parts)
    return Reading(
        mails=mails,
        text=text[offset : offset + max_chars],
        offset=offset,
        total_chars=len(text),
        attachments=parsed[0].attachments if len(mails) == 1 else (),
        cc=parsed[-1].cc,
        bcc=parsed[-1].bcc,
    )


def opened(file: File, offset: int, max_chars: int) -> Opened:
    """Give a stretch of an attachment's text.

    Raises:
        InvalidInput: it is no text.
    """
    if not file.media_type.startswith("text/") and file.media_type not in _TEXT_TYPES:
        raise InvalidInput(
            f"{file.name!r} is {file.media_type}, no text.", hint="Take it with as_='file'."
        )
    text = decoded(file.content, "utf-8").replace("\r\n", "\n").replace("\0", "")
    if file.media_type == "text/html":
        text = html_to_text(text)
    return Opened(
        attachment=file.attachment,
        text=text[offset : offset + max_chars],
        offset=offset,
        total_chars=len(text),
    )


def keep_file(folder: Path, file: File) -> Opened:
    """Put an attachment into a file below `folder`; the same content goes to the same place.

    Raises:
        BackendConfigError: the folder cannot be written to.
    """
    name = file.name.lstrip(".").encode()[-_MAX_NAME_BYTES:].decode(errors="ignore") or "unnamed"
    path = folder / hashlib.sha256(file.content).hexdigest()[:16] / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept:
            kept.write(file.content)
    except OSError as error:
        raise BackendConfigError(
            f"Cannot keep attachments in {folder}: {error.strerror or error}."
        ) from error
    return Opened(attachment=file.attachment, path=path)


def shown(parsed: Parsed, form: ReadFormat) -> str:
    """Give what a mail says in the form asked for."""
    if form == "headers":
        return "\n".join(f"{name}: {value}" for name, value in parsed.headers)
    return parsed.html if form == "html" and parsed.html else parsed.text


def _separator(mail: Mail) -> str:
    at = mail.row.at.isoformat(timespec="minutes")
    return f"--- {mail.row.id} from {mail.row.sender} at {at}: {mail.row.subject}"
