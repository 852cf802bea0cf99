"""Messages of Gmail's sandbox: what is stored, and the forms in which Gmail shows it."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from email.utils import getaddresses
from html import escape
from itertools import count
from typing import Any

from aicore_servers.sandbox.google_mail_query import Searched
from aicore_servers.sandbox.google_wire import missing

__all__ = ["Stored", "attachment", "base_subject", "searched", "shown", "with_headers"]

_SNIPPET_CHARS = 200
_REPLY = re.compile(r"^\s*(re|fwd?|aw|wg)\s*:\s*", re.IGNORECASE)
_shows = count(1)


@dataclass(slots=True, kw_only=True)
class Stored:
    """One message in one account."""

    id: str
    thread: str
    raw: bytes
    at_ms: int
    labels: set[str] = field(default_factory=set)

    @property
    def parsed(self) -> EmailMessage:
        """The message taken apart."""
        return message_from_bytes(self.raw, policy=policy.default)

    def header(self, name: str) -> str:
        """Give a header as text, "" where it is missing."""
        return " ".join(str(self.parsed.get(name, "")).split())

    def people(self, *names: str) -> list[str]:
        """Give the addresses in these headers, in lower case."""
        lines = [str(line) for name in names for line in self.parsed.get_all(name, [])]
        return [email.lower() for _, email in getaddresses(lines) if email]

    @property
    def references(self) -> list[str]:
        """The Message-IDs this one answers."""
        lines = f"{self.header('References')} {self.header('In-Reply-To')}"
        return re.findall(r"<[^<>\s]+>", lines.replace("> <", "><"))


def base_subject(subject: str) -> str:
    """Give a subject without what replies and forwards put in front."""
    while found := _REPLY.match(subject):
        subject = subject[found.end() :]
    return subject.strip().casefold()


def with_headers(raw: bytes, changes: Mapping[str, str | None]) -> bytes:
    """Set headers in the bytes of a message; None takes one out."""
    head, gap, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    names = {name.lower().encode() for name in changes}
    lines = re.split(rb"\n(?![ \t])", head)
    kept = [line for line in lines if line.split(b":")[0].lower() not in names]
    new = [f"{name}: {value}".encode() for name, value in changes.items() if value is not None]
    return (b"\n".join([*new, *kept]) + gap + body).replace(b"\n", b"\r\n")


def shown(stored: Stored, form: str = "full", headers: Collection[str] = ()) -> dict[str, Any]:
    """Give a message as Gmail does; `headers` are those wanted of the form `metadata`."""
    answer: dict[str, Any] = {
        "id": stored.id,
        "threadId": stored.thread,
        "labelIds": sorted(stored.labels),
        "snippet": escape(_text(stored.parsed)[:_SNIPPET_CHARS]),
        "sizeEstimate": len(stored.raw),
        "internalDate": str(stored.at_ms),
        "historyId": str(stored.at_ms),
    }
    if form == "raw":
        answer["raw"] = base64.urlsafe_b64encode(stored.raw).decode()
    elif form == "full":
        answer["payload"] = _part(stored.parsed, "")
    elif form == "metadata":
        wanted = {name.lower() for name in headers}
        payload = _part(stored.parsed, "")
        chosen = [
            each for each in payload["headers"] if not wanted or each["name"].lower() in wanted
        ]
        answer["payload"] = {"mimeType": payload["mimeType"], "headers": chosen}
    return answer


def attachment(stored: Stored, attachment_id: str) -> dict[str, Any]:
    """Give the content of a part; its id ends in the number of the part.

    Raises:
        Refusal: there is no such part.
    """
    part: EmailMessage = stored.parsed
    number = attachment_id.rpartition("-")[2]
    for step in number.split("_") if number else ():
        inner = [each for each in part.iter_parts() if isinstance(each, EmailMessage)]
        if not step.isdigit() or int(step) >= len(inner):
            raise missing()
        part = inner[int(step)]
    content = _content(part)
    return {"size": len(content), "data": base64.urlsafe_b64encode(content).decode()}


def searched(stored: Stored, label_names: Mapping[str, str]) -> Searched:
    """Give what a search looks at."""
    return Searched(
        sender=stored.header("From"),
        recipients=" ".join(stored.header(name) for name in ("To", "Cc", "Bcc")),
        subject=stored.header("Subject"),
        text=_text(stored.parsed),
        message_id=stored.header("Message-ID"),
        at_ms=stored.at_ms,
        labels=stored.labels,
        label_names=[label_names[each] for each in stored.labels if each in label_names],
        file_names=[part.get_filename() or "" for part in stored.parsed.iter_attachments()],
    )


def _part(part: EmailMessage, number: str) -> dict[str, Any]:
    inner = [each for each in part.iter_parts() if isinstance(each, EmailMessage)]
    body: dict[str, Any] = {"size": 0}
    if not inner:
        content = _content(part)
        body = {"size": len(content)}
        if part.get_filename():
            # Gmail names an attachment anew each time it shows the message.
            body["attachmentId"] = f"ANGj{next(_shows)}-{number.replace('.', '_')}"
        else:
            body["data"] = base64.urlsafe_b64encode(content).decode()
    answer: dict[str, Any] = {
        "partId": number,
        "mimeType": part.get_content_type(),
        "filename": part.get_filename() or "",
        "headers": [{"name": name, "value": _unfolded(value)} for name, value in part.raw_items()],
        "body": body,
    }
    if inner:
        dot = f"{number}." if number else ""
        answer["parts"] = [_part(each, f"{dot}{index}") for index, each in enumerate(inner)]
    return answer


def _unfolded(value: object) -> str:
    return " ".join(str(value).split())


def _content(part: MIMEPart) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(message: EmailMessage) -> str:
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    text = _content(body).decode(body.get_content_charset() or "utf-8", "replace")
    if body.get_content_type() == "text/html":
        text = re.sub(r"<[^>]+>", " ", text)
    return " ".join(text.split())
