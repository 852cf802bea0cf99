"""Gmail's words and ours: messages as rows, folders as labels, searches as Gmail's language."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import getaddresses
from html import unescape
from typing import Any

from aicore_tools.mail.messages import Parsed
from aicore_tools.mail.records import Address, MailId, MailRow, MailSearch, Role, ThreadId

__all__ = [
    "ROLE_LABELS",
    "ROW_FIELDS",
    "at_of",
    "finds_nothing",
    "header_of",
    "others_than",
    "query_of",
    "row_of",
    "row_of_raw",
    "without_bcc",
]

ROLE_LABELS: Mapping[Role, str] = {
    "inbox": "INBOX",
    "sent": "SENT",
    "drafts": "DRAFT",
    "trash": "TRASH",
    "spam": "SPAM",
}
ROW_FIELDS = (
    "id,threadId,labelIds,snippet,internalDate,"
    "payload(headers,filename,parts(filename,parts(filename,parts/filename)))"
)
_FOLDER_ORDER: Sequence[Role] = ("drafts", "trash", "spam", "inbox", "sent")
_SNIPPET_CHARS = 120


def row_of(message: Mapping[str, Any], names: Mapping[str, str], draft: str = "") -> MailRow:
    """Read a message that came with ROW_FIELDS; `names` are those of the labels by id."""
    return MailRow(
        id=MailId(draft or message["id"]),
        thread=ThreadId(f"t{message['threadId']}"),
        folder=_folder(message.get("labelIds", ())),
        sender=", ".join(map(str, _people(header_of(message, "From"))[:1])),
        to=", ".join(map(str, _people(header_of(message, "To"), header_of(message, "Cc")))),
        subject=_decoded(header_of(message, "Subject")),
        at=at_of(message),
        is_unread="UNREAD" in message.get("labelIds", ()),
        has_attachment=_has_file(message.get("payload", {})),
        snippet=" ".join(unescape(message.get("snippet", "")).split())[:_SNIPPET_CHARS],
        is_starred="STARRED" in message.get("labelIds", ()),
        labels=_labels(message, names),
    )


def row_of_raw(
    message: Mapping[str, Any], parsed: Parsed, names: Mapping[str, str], draft: str = ""
) -> MailRow:
    """Read a message that came as bytes, of which Gmail tells no headers."""
    return MailRow(
        id=MailId(draft or message["id"]),
        thread=ThreadId(f"t{message['threadId']}"),
        folder=_folder(message.get("labelIds", ())),
        sender=str(parsed.sender),
        to=", ".join(map(str, (*parsed.to, *parsed.cc))),
        subject=parsed.subject,
        at=at_of(message),
        is_unread="UNREAD" in message.get("labelIds", ()),
        has_attachment=bool(parsed.files),
        snippet=" ".join(unescape(message.get("snippet", "")).split())[:_SNIPPET_CHARS],
        is_starred="STARRED" in message.get("labelIds", ()),
        labels=_labels(message, names),
    )


def at_of(message: Mapping[str, Any]) -> datetime:
    """Give when Gmail got the message."""
    return datetime.fromtimestamp(int(message["internalDate"]) / 1000, UTC)


def header_of(message: Mapping[str, Any], name: str) -> str:
    """Give a header as Gmail shows it, "" where it is missing."""
    headers = message.get("payload", {}).get("headers", ())
    return next((h["value"] for h in headers if h["name"].lower() == name.lower()), "")


def others_than(planned: Sequence[str], message: Mapping[str, Any]) -> Sequence[str]:
    """Give whom a sent mail names as recipients besides those that were planned."""
    known = {each.rpartition("<")[2].rstrip(">").lower() for each in planned}
    written = [header_of(message, name) for name in ("To", "Cc", "Bcc")]
    found = {email.lower() for _, email in getaddresses(written) if "@" in email}
    return sorted(found - known)


def query_of(search: MailSearch, *, until_s: int | None) -> str:
    """Write a search but for its folder in Gmail's language; `until_s` ends it, in seconds.

    Gmail matches whole words. Its dates count seconds, so that both ends take one more: who asks
    looks at the exact moments.
    """
    terms = [f'"{word}"' for word in _words(search.query)]
    for name, value in (("from", search.sender), ("to", search.to), ("subject", search.subject)):
        if value:
            terms.append(f'{name}:"{_quotable(value)}"')
    if search.after is not None:
        terms.append(f"after:{math.floor(search.after.timestamp()) - 1}")
    ends = [] if search.before is None else [math.ceil(search.before.timestamp()) + 1]
    ends += [] if until_s is None else [until_s]
    if ends:
        terms.append(f"before:{min(ends)}")
    if search.is_unread is not None:
        terms.append("is:unread" if search.is_unread else "-is:unread")
    if search.has_attachment is not None:
        terms.append("has:attachment" if search.has_attachment else "-has:attachment")
    return " ".join(terms)


def finds_nothing(search: MailSearch) -> bool:
    """Say whether a condition has no word in it; Gmail would leave such a condition out."""
    given = (search.query, search.sender, search.to, search.subject)
    return any(text.strip() and not re.search(r"\w", text) for text in given)


def without_bcc(raw: bytes) -> bytes:
    """Give a message without its header Bcc."""
    head, gap, body = raw.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^bcc:.*\r?\n([ \t].*\r?\n)*", b"", head + b"\r\n")[:-2] + gap + body


def _words(text: str) -> list[str]:
    return [word for word in map(_quotable, text.split()) if re.search(r"\w", word)]


def _quotable(text: str) -> str:
    return " ".join(text.replace('"', " ").split())


def _folder(labels: Sequence[str]) -> str:
    found = (role for role in _FOLDER_ORDER if ROLE_LABELS[role] in labels)
    return next(found, "archive")


def _labels(message: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    return sorted(names[each] for each in message.get("labelIds", ()) if each in names)


def _has_file(part: Mapping[str, Any]) -> bool:
    return bool(part.get("filename")) or any(_has_file(each) for each in part.get("parts", ()))


def _people(*lines: str) -> list[Address]:
    pairs = getaddresses([line for line in lines if line])
    return [Address(email, _decoded(name)) for name, email in pairs if email or name]


def _decoded(text: str) -> str:
    """Give a header as people read it; Gmail decodes most, and not all."""
    try:
        whole = str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        whole = text
    return " ".join(whole.split())
