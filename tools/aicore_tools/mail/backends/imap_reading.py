"""What is read over IMAP: mails, rows, threads. Blocking; nothing marks a mail as read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import get_args

from aicore_tools.errors import NotFound
from aicore_tools.mail import messages
from aicore_tools.mail.backends.imap_link import ImapSession
from aicore_tools.mail.backends.imap_places import (
    DRAFT_HEADER,
    Place,
    draft_handle,
    is_handle,
    label_of,
)
from aicore_tools.mail.records import Mail, MailId, MailRow, Role, ThreadId

__all__ = [
    "Fetched",
    "fetch",
    "heads",
    "in_folder",
    "locate",
    "locate_draft",
    "mail_of",
    "quoted",
    "row_of",
    "several",
    "thread_mails",
]

_HEAD = "(UID FLAGS INTERNALDATE BODYSTRUCTURE BODY.PEEK[]<0.16384>)"
_WHOLE = "(UID FLAGS INTERNALDATE BODYSTRUCTURE BODY.PEEK[])"
_BEGIN = re.compile(rb"\d+ \(")
_BODY = re.compile(rb"BODY\[\](?:<\d+>)? \{\d+\}\Z")
_UID = re.compile(r"\bUID (\d+)")
_FLAGS = re.compile(r"\bFLAGS \(([^)]*)\)")
_DATE = re.compile(r'\bINTERNALDATE "([^"]+)"')
_FILE = re.compile(
    r'"(?:attachment|filename\*?|name\*?)"|\("(?:image|audio|video|application|message|font)" ',
    re.IGNORECASE,
)
_NO_LABELS = ("junk", "nonjunk", "notjunk", "forwarded", "mdnsent", "redirected")
_MAX_THREAD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one FETCH answer says of a mail; `raw` is all of it or how it begins."""

    uid: int
    flags: frozenset[str]
    at: datetime
    has_file: bool
    raw: bytes = b""

    @property
    def labels(self) -> list[str]:
        """The keywords that people gave, as labels."""
        own = [f for f in self.flags if not f.startswith(("\\", "$"))]
        return sorted(label_of(f) for f in own if f.lower() not in _NO_LABELS)


def quoted(text: str) -> str:
    """Write text as an IMAP string."""
    line = " ".join(text.split())
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def fetch(session: ImapSession, uids: Sequence[int], items: str) -> list[Fetched]:
    """Fetch mails of the open folder, in the order of `uids`; those that are gone are left out."""
    if not uids:
        return []
    data = session.command("FETCH", ",".join(str(uid) for uid in uids), items)
    found = {one.uid: one for text, raw in _answers(data) if (one := _fetched(text, raw))}
    return [found[uid] for uid in uids if uid in found]


def heads(session: ImapSession, uids: Sequence[int]) -> list[Fetched]:
    """Fetch how mails begin: enough for their rows."""
    return fetch(session, uids, _HEAD)


def locate(session: ImapSession, mail_id: str) -> Place:
    """Find where the mail of that id, handle or Message-ID is.

    Raises:
        NotFound: nowhere.
    """
    if mail_id.startswith("<"):
        for folder in (*session.folders().searched, *_hidden(session)):
            uids = in_folder(session, folder, f"HEADER Message-ID {quoted(mail_id)}")
            if uids:
                return Place(folder, session.validity, uids[-1])
    elif is_handle(mail_id):
        return locate_draft(session, mail_id)
    else:
        place = Place.of(mail_id)
        found = in_folder(session, place.folder, f"UID {place.uid}")
        if found == [place.uid] and session.validity == place.validity:
            return place
        if place.folder == session.folders().named("drafts"):  # edited since, under the same id
            uids = session.uids(f"HEADER {DRAFT_HEADER} {draft_handle(mail_id)}")
            if uids:
                return Place(place.folder, session.validity, uids[-1])
    raise _missing(mail_id)


def locate_draft(session: ImapSession, draft_id: str) -> Place:
    """Find the latest version of a draft.

    Raises:
        NotFound: there is no such draft.
    """
    folder = session.folders().named("drafts")
    if folder is not None:
        uids = in_folder(session, folder, f"HEADER {DRAFT_HEADER} {draft_handle(draft_id)}")
        if uids:
            return Place(folder, session.validity, uids[-1])
        if not is_handle(draft_id):
            place = locate(session, draft_id)
            if place.folder == folder:
                return place
    raise NotFound(f"{draft_id} is no draft.", hint="Make one with mail_draft.")


def in_folder(session: ImapSession, folder: str | None, criteria: str) -> list[int]:
    """Search one folder; gives UIDs in ascending order, none where there is no such folder."""
    if folder is None or folder not in session.folders().names:
        return []
    session.select(folder)
    return session.uids(criteria)


def mail_of(session: ImapSession, place: Place) -> Mail:
    """Fetch a whole mail.

    Raises:
        NotFound: it is gone.
    """
    session.select(place.folder)
    found = fetch(session, [place.uid], _WHOLE)
    if not found or session.validity != place.validity:
        raise _missing(place.id)
    parsed = messages.parse(found[0].raw)
    row = row_of(session, place, found[0], parsed)
    return Mail(row=row, message_id=parsed.message_id, raw=found[0].raw)


def several(session: ImapSession, mail_ids: Sequence[str]) -> list[tuple[Place, Fetched]]:
    """Find mails by id and fetch how they begin, in that order.

    Raises:
        NotFound: one of them is not there.
    """
    places = [_place(session, mail_id) for mail_id in mail_ids]
    found: dict[Place, Fetched] = {}
    for folder in dict.fromkeys(place.folder for place in places):
        if folder in session.folders().names:
            validity = session.select(folder)
            uids = [place.uid for place in places if place.folder == folder]
            for one in heads(session, uids):
                found[Place(folder, validity, one.uid)] = one
    for mail_id, place in zip(mail_ids, places, strict=True):
        if place not in found or "\\Deleted" in found[place].flags:
            raise _missing(mail_id)
    return [(place, found[place]) for place in places]


def _place(session: ImapSession, mail_id: str) -> Place:
    """Give the place an id names; looked up only where the id does not say it."""
    if is_handle(mail_id) or mail_id.startswith("<"):
        return locate(session, mail_id)
    place = Place.of(mail_id)
    is_draft = place.folder == session.folders().named("drafts")
    return locate(session, mail_id) if is_draft else place


def row_of(
    session: ImapSession, place: Place, found: Fetched, parsed: messages.Parsed | None = None
) -> MailRow:
    """Make the row of a fetched mail."""
    parsed = parsed or messages.parse(found.raw)
    shown = session.folders().shown(place.folder)
    handle = next((v for name, v in parsed.headers if name.lower() == DRAFT_HEADER.lower()), "")
    is_own_draft = shown == "drafts" and is_handle(handle)
    root = next(iter(parsed.references), "") or parsed.message_id
    return MailRow(
        id=MailId(handle) if is_own_draft else place.id,
        thread=ThreadId(f"t{root or place.id}"),
        folder=shown,
        sender=str(parsed.sender),
        to=", ".join(str(address) for address in (*parsed.to, *parsed.cc)),
        subject=parsed.subject,
        at=found.at,
        is_unread="\\Seen" not in found.flags,
        has_attachment=found.has_file,
        snippet=messages.snippet_of(parsed.text),
        is_starred="\\Flagged" in found.flags,
        labels=found.labels,
    )


def thread_mails(session: ImapSession, thread: ThreadId) -> list[Mail]:
    """Fetch the mails of a thread, oldest first; the newest where there are very many."""
    root = thread.removeprefix("t")
    if not root.startswith("<"):
        try:
            return [mail_of(session, locate(session, root))]
        except NotFound:
            return []
    text = quoted(root)
    criteria = f"OR HEADER Message-ID {text} OR HEADER References {text} HEADER In-Reply-To {text}"
    mails: list[tuple[Mail, messages.Parsed]] = []
    for folder in session.folders().searched:
        uids = in_folder(session, folder, criteria)[-_MAX_THREAD:]
        for one in fetch(session, uids, _WHOLE):
            parsed = messages.parse(one.raw)
            row = row_of(session, Place(folder, session.validity, one.uid), one, parsed)
            if row.thread == thread:
                mail = Mail(row=row, message_id=parsed.message_id, raw=one.raw)
                mails.append((mail, parsed))
    return _in_order(mails)[-_MAX_THREAD:]


def _in_order(mails: Sequence[tuple[Mail, messages.Parsed]]) -> list[Mail]:
    """Put mails in order of time; an answer comes after what it answers, whatever its date."""
    moments: dict[str, datetime] = {}
    ordered = []
    for mail, parsed in sorted(mails, key=lambda each: len(each[1].references)):
        before = [moments[known] for known in parsed.references if known in moments]
        moment = max([mail.row.at, *before])
        moments[mail.message_id] = max(moment, moments.get(mail.message_id, moment))
        ordered.append((moment, len(parsed.references), mail))
    return [mail for _, _, mail in sorted(ordered, key=lambda each: each[:2])]


def _hidden(session: ImapSession) -> list[str]:
    folders = session.folders()
    roles: Sequence[Role] = get_args(Role)
    named = [folders.named(role) for role in roles]
    return [name for name in named if name is not None and name not in folders.searched]


def _answers(data: Iterable[object]) -> list[tuple[str, bytes]]:
    """Put imaplib's pieces of FETCH answers together: the text of each, and its BODY[]."""
    answers: list[tuple[bytes, bytes]] = []
    for piece in data:
        text, literal = piece if isinstance(piece, tuple) else (piece, None)
        if not isinstance(text, bytes):
            continue
        if _BEGIN.match(text) or not answers:
            answers.append((b"", b""))
        before, raw = answers[-1]
        if literal is not None and _BODY.search(text):
            answers[-1] = (before + text, literal)
        elif literal is not None:  # a file's name that needed one
            answers[-1] = (before + text + b'"' + literal.replace(b'"', b"") + b'"', raw)
        else:
            answers[-1] = (before + text, raw)
    return [(text.decode("utf-8", "replace"), raw) for text, raw in answers]


def _fetched(text: str, raw: bytes) -> Fetched | None:
    uid, flags, date = _UID.search(text), _FLAGS.search(text), _DATE.search(text)
    if uid is None or flags is None:
        return None
    return Fetched(
        uid=int(uid[1]),
        flags=frozenset(flags[1].split()),
        at=_moment(date[1] if date else ""),
        has_file=_FILE.search(text.partition("BODYSTRUCTURE")[2]) is not None,
        raw=raw,
    )


def _moment(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text.strip()).astimezone(UTC)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)


def _missing(mail_id: str) -> NotFound:
    return NotFound(
        f"There is no mail {mail_id}.",
        hint="It may have been moved, which gives it another id: find it with mail_search.",
    )
