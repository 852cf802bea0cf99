"""RFC 5322 messages: writing them from drafts, and reading whatever comes in."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses

from aicore_tools.errors import InvalidInput
from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.html_text import html_to_text
from aicore_tools.mail.records import (
    Address,
    Attachment,
    DraftContent,
    File,
    ThreadId,
    Threading,
)

__all__ = [
    "Parsed",
    "build",
    "content_of",
    "decoded",
    "finished",
    "message_id_for",
    "parse",
    "snippet_of",
]

_POLICY = policy.SMTP.clone(cte_type="7bit")
_MESSAGE_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{1,900}>")
_PLACEHOLDER = re.compile(
    r"html|view (it |this |the )?(e-?mail|message)? ?(online|in (a|your) browser)", re.IGNORECASE
)
# What the email package raises on headers that are broken enough.
_MALFORMED = (AttributeError, LookupError, MessageError, RecursionError, TypeError, ValueError)
_PLACEHOLDER_MAX_CHARS = 300
_SNIPPET_CHARS = 120
_MAX_REFERENCES = 20
_MAX_WORD_BYTES = 42
"""So an encoded word has less than the 75 characters of RFC 2047."""
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+")
_FIELD_START = re.compile(rb"\n(?![ \t])")
_NOT_SENT = (
    b"message-id",
    b"date",
    b"bcc",
    b"x-aicore-draft",
    b"x-mozilla-draft-info",
    b"x-identity-key",
    b"fcc",
)
"""Fields of a draft that are for its writer, or are set anew when it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a message says. Broken parts are read as far as they can be; nothing raises.

    `text` is the plain text, made from HTML where that is all there is. `html` may be empty.
    `headers` are the lines people look at, in order. `bcc` is known of drafts only.
    """

    sender: Address
    reply_to: Sequence[Address]
    to: Sequence[Address]
    cc: Sequence[Address]
    bcc: Sequence[Address]
    subject: str
    message_id: str
    in_reply_to: str
    references: Sequence[str]
    text: str
    html: str
    headers: Sequence[tuple[str, str]]
    files: Sequence[File]

    @property
    def attachments(self) -> Sequence[Attachment]:
        """The files without their content."""
        return [file.attachment for file in self.files]


def message_id_for(key: str | None, sender: Address) -> str:
    """Give the Message-ID of a mail: always the same for the same operation key."""
    token = hashlib.sha256(key.encode()).hexdigest()[:40] if key else secrets.token_hex(20)
    return f"<{token}@{sender.email.rpartition('@')[2]}>"


def build(
    content: DraftContent,
    *,
    message_id: str | None,
    at: datetime,
    headers: Sequence[tuple[str, str]] = (),
    is_draft: bool = False,
) -> bytes:
    """Write the message, ASCII throughout.

    `headers` are further ones of ours, plain ASCII words. Only a draft names those in Bcc.
    """
    message = EmailMessage(policy=_POLICY)
    message.set_content(content.body)
    for file in content.files:
        _attach(message, file)
    # Written by hand: when it folds long ids and names, the email package breaks some of them.
    lines = [f"Message-ID: {message_id}"] if message_id else []
    lines += [f"{name}: {value}" for name, value in headers]
    threading = content.threading
    if threading.in_reply_to:
        lines.append(f"In-Reply-To: {threading.in_reply_to}")
    if threading.references:
        kept = [*threading.references[:1], *threading.references[1:][-_MAX_REFERENCES:]]
        lines.append("References: " + "\r\n ".join(kept))
    lines.append(f"Date: {format_datetime(at)}")
    lines.append(f"From: {_written(content.sender)}")
    for name, addresses in (("To", content.to), ("Cc", content.cc), ("Bcc", content.bcc)):
        if addresses and (is_draft or name != "Bcc"):
            lines.append(f"{name}: " + ",\r\n ".join(_written(each) for each in addresses))
    lines.append(f"Subject: {_encoded(content.subject)}")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii") + message.as_bytes()


def _written(address: Address) -> str:
    """Write an address for a header."""
    name = " ".join(address.name.split())
    if not name:
        return address.email
    if _ATOMS.fullmatch(name):
        return f"{name} <{address.email}>"
    if name.isascii() and "=?" not in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address.email}>'
    return f"{_encoded(name)} <{address.email}>"


def _encoded(text: str) -> str:
    """Write text for a header: as it is, or as encoded words of RFC 2047, a line each."""
    if text.isascii() and "=?" not in text:
        return text
    words = [""]
    for character in text:
        if len((words[-1] + character).encode()) > _MAX_WORD_BYTES:
            words.append("")
        words[-1] += character
    packed = (base64.b64encode(word.encode()).decode("ascii") for word in words)
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in packed)


def finished(raw: bytes, *, message_id: str, at: datetime) -> bytes:
    """Make the mail to be sent from a draft's bytes, whoever wrote it; its body stays as it is."""
    head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = _FIELD_START.split(head)
    kept = [each for each in fields if each.partition(b":")[0].strip().lower() not in _NOT_SENT]
    own = [b"Message-ID: " + message_id.encode("ascii"), b"Date: " + format_datetime(at).encode()]
    return b"\n".join([*own, *kept, b"", body]).replace(b"\n", b"\r\n")


def content_of(raw: bytes, *, thread: ThreadId | None = None) -> DraftContent:
    """Read a draft, whoever wrote it."""
    parsed = parse(raw)
    *_, last = [*parsed.references, ""]
    return DraftContent(
        sender=parsed.sender,
        to=parsed.to,
        cc=parsed.cc,
        bcc=parsed.bcc,
        subject=parsed.subject,
        body=parsed.text,
        html=parsed.html,
        files=parsed.files,
        threading=Threading(
            thread=thread,
            in_reply_to=parsed.in_reply_to or last,
            references=parsed.references,
        ),
    )


def decoded(content: bytes, charset: str) -> str:
    """Read text in the charset it claims, else in the likeliest; never fails."""
    try:
        return content.decode(charset)
    except (LookupError, UnicodeDecodeError, ValueError):
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("cp1252", "replace")


def snippet_of(text: str) -> str:
    """Give how a mail's text begins, in one line."""
    return " ".join(text[: 4 * _SNIPPET_CHARS].split())[:_SNIPPET_CHARS]


def parse(raw: bytes) -> Parsed:
    """Read a message, however broken it is."""
    message = message_from_bytes(raw, policy=policy.default)
    senders = _addresses(message, "From")
    plain, html, files = _parts(message)
    ids = _ids(_header(message, "References"))
    answered = _ids(_header(message, "In-Reply-To"))
    for found in answered:
        if found not in ids:
            ids.append(found)
    own = _ids(_header(message, "Message-ID"))
    text = plain.strip()
    is_placeholder = len(text) <= _PLACEHOLDER_MAX_CHARS and bool(_PLACEHOLDER.search(text))
    if html and (not text or is_placeholder):
        text = html_to_text(html) or text
    return Parsed(
        sender=senders[0] if senders else Address("", _header(message, "From")),
        reply_to=_addresses(message, "Reply-To"),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        bcc=_addresses(message, "Bcc"),
        subject=_header(message, "Subject"),
        message_id=own[0] if own else "",
        in_reply_to=answered[0] if answered else "",
        references=ids,
        text=text.replace("\r\n", "\n").replace("\0", ""),
        html=html,
        headers=[(name, _header(message, name)) for name in dict.fromkeys(message.keys())],
        files=files,
    )


def _attach(message: EmailMessage, file: File) -> None:
    main, _, sub = file.media_type.partition("/")
    if main in ("message", "multipart"):  # the email package would take them apart
        main, sub = "application", "octet-stream"
    is_utf8 = main == "text" and _is_utf8(file.content)
    message.add_attachment(
        file.content,
        maintype=main,
        subtype=sub,
        filename=file.name,
        params={"charset": "utf-8"} if is_utf8 else None,
    )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _header(message: EmailMessage, name: str) -> str:
    """Give a header as text, "" where it is missing."""
    try:
        value = str(message.get(name, ""))
    except _MALFORMED:
        value = next((raw for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(value.encode(errors="replace").decode().replace("\0", "").split())


def _addresses(message: EmailMessage, name: str) -> list[Address]:
    # From the header as it stands: the email package puts spaces into long names.
    given = [str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()]
    lines = ["".join(each.splitlines()) for each in given]
    try:
        pairs = getaddresses(lines)
    except _MALFORMED:
        pairs = []
    found = []
    for shown, email in pairs:
        try:
            found.append(Address(parse_address(email).email, _words_of(shown)))
        except InvalidInput:
            continue
    return found


def _words_of(text: str) -> str:
    """Read the encoded words of RFC 2047 in a name, and bytes that were not encoded at all."""
    try:
        parts = decode_header(text)
        whole = "".join(
            part if isinstance(part, str) else decoded(part, charset or "utf-8")
            for part, charset in parts
        )
    except _MALFORMED:
        whole = text
    try:
        whole = decoded(whole.encode(errors="surrogateescape"), "utf-8")
    except UnicodeEncodeError:  # halves of surrogate pairs, by way of an odd charset
        whole = whole.encode(errors="replace").decode()
    return " ".join(whole.replace("\0", "").split())


def _ids(text: str) -> list[str]:
    return _MESSAGE_ID.findall(text)


def _parts(message: EmailMessage) -> tuple[str, str, list[File]]:
    plain: list[str] = []
    html: list[str] = []
    files: list[File] = []
    for part in _leaves(message):
        media_type = part.get_content_type()
        name = _filename(part)
        is_file = part.get_content_disposition() == "attachment" or bool(name)
        # A multipart without parts is a broken mail: its text is all there is.
        is_plain = media_type == "text/plain" or media_type.startswith("multipart/")
        if is_plain and not is_file:
            plain.append(_text(part))
        elif media_type == "text/html" and not is_file:
            html.append(_text(part))
        else:
            files.append(
                File(name=name or "unnamed", media_type=media_type, content=_payload(part))
            )
    return "\n".join(plain), "\n".join(html), files


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """Give the parts that hold something; a mail inside a mail is one part."""
    waiting: list[EmailMessage] = [message]
    while waiting:
        part = waiting.pop()
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list):
            waiting.extend(each for each in reversed(inner) if isinstance(each, EmailMessage))
        else:
            yield part


def _filename(part: EmailMessage) -> str:
    try:
        name = part.get_filename() or ""
    except _MALFORMED:
        return "unnamed"
    return re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)


def _payload(part: EmailMessage) -> bytes:
    inner = part.get_payload()
    if isinstance(inner, list):  # a mail inside a mail
        try:
            return b"".join(each.as_bytes() for each in inner if isinstance(each, EmailMessage))
        except _MALFORMED:
            return b""
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(part: EmailMessage) -> str:
    return decoded(_payload(part), part.get_content_charset() or "utf-8")
