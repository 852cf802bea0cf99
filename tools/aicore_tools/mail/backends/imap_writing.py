"""What is changed over IMAP. Blocking; each change may be made again and then changes nothing."""

from __future__ import annotations

import imaplib
import re
import time
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, get_args

from imap_tools.errors import UnexpectedCommandStatusError
from imap_tools.utils import encode_folder

from aicore_tools.errors import OutcomeUnknown, ToolsError
from aicore_tools.mail.backends.imap_link import ImapSession
from aicore_tools.mail.backends.imap_places import (
    DRAFT_HEADER,
    Place,
    keyword_of,
)
from aicore_tools.mail.backends.imap_reading import in_folder, quoted
from aicore_tools.mail.records import Action, Role

__all__ = ["append_once", "drop_draft", "find_in", "find_sent", "organize_all"]

_FLAGS: dict[str, tuple[str, str]] = {
    "read": ("+", "\\Seen"),
    "unread": ("-", "\\Seen"),
    "star": ("+", "\\Flagged"),
    "unstar": ("-", "\\Flagged"),
}
_MADE = re.compile(rb"(\d+) (\d+)")
_COPIED = re.compile(rb"(\d+) ([\d:,]+) ([\d:,]+)")


def append_once(
    session: ImapSession, folder: str, raw: bytes, message_id: str, flags: str
) -> Place:
    """Put a mail into a folder, unless one with its Message-ID is there; gives where it is.

    Raises:
        OutcomeUnknown: it cannot be found afterwards.
    """
    found = find_in(session, folder, message_id)
    if found is not None:
        return found
    session.client.untagged_responses.clear()
    status, data = session.client.append(
        encode_folder(folder).decode("ascii"),
        f"({flags})",
        imaplib.Time2Internaldate(time.time()),
        raw,
    )
    if status != "OK":
        raise UnexpectedCommandStatusError((status, data), "OK")
    made = _MADE.search(session.told("APPENDUID"))
    if made is not None:
        return Place(folder, int(made[1]), int(made[2]))
    found = find_in(session, folder, message_id)
    if found is None:
        raise OutcomeUnknown("The mail server took the mail but does not show it.")
    return found


def find_in(session: ImapSession, folder: str | None, message_id: str) -> Place | None:
    """Find the mail with that Message-ID in a folder."""
    uids = in_folder(session, folder, f"HEADER Message-ID {quoted(message_id)}")
    if folder is None or not uids:
        return None
    return Place(folder, session.validity, uids[0])


def find_sent(session: ImapSession, message_id: str) -> Place | None:
    """Look for a mail that may have been sent: among the sent, then everywhere but in drafts."""
    folders = session.folders()
    names = [folders.named("sent"), *folders.names]
    for name in dict.fromkeys(names):
        if name is not None and name != folders.named("drafts"):
            found = find_in(session, name, message_id)
            if found is not None:
                return found
    return None


def drop_draft(session: ImapSession, handle: str, *, keep: int | None, also: Place | None) -> None:
    """Remove the versions of a draft older than the one with UID `keep`; None: all of them.

    `also` is the first version, where another program wrote it.
    """
    folder = session.folders().named("drafts")
    if folder is None:
        return
    session.select(folder, to_change=True)
    # Those marked as deleted too: it may have broken off before they were taken out.
    uids = session.uids(f"HEADER {DRAFT_HEADER} {handle}", with_deleted=True)
    gone = [uid for uid in uids if keep is None or uid < keep]
    if also is not None and also.folder == folder and also.validity == session.validity:
        gone.append(also.uid)
    if gone:
        _remove(session, gone)


def organize_all(
    session: ImapSession, action: Action, label: str, mails: Sequence[dict[str, Any]]
) -> list[str]:
    """Do an action to mails, each `{place, message_id, home}`; gives their ids afterwards.

    Raises:
        OutcomeUnknown: it was done to some, and refused for others.
    """
    ids: dict[int, str] = {}
    for folder, numbers in _by_folder(mails).items():
        those = [mails[number] for number in numbers]
        with _told_as_partly(ids):
            done = _organize(session, action, label, folder, those)
        ids |= dict(zip(numbers, done, strict=True))
    return [ids[number] for number in range(len(mails))]


@contextmanager
def _told_as_partly(done: Sized) -> Iterator[None]:
    """Tell a refusal as what it is, where something was done already."""
    try:
        yield
    except (UnexpectedCommandStatusError, ToolsError) as error:
        if not done:
            raise
        raise OutcomeUnknown(
            "It was done to some of the mails only.", hint="Look for them with mail_search."
        ) from error


def _organize(
    session: ImapSession, action: Action, label: str, folder: str, mails: Sequence[dict[str, Any]]
) -> list[str]:
    """Do an action to mails of one folder."""
    if action in _FLAGS or action in ("label", "unlabel"):
        sign, flag = _FLAGS.get(action) or ("+" if action == "label" else "-", keyword_of(label))
        session.select(folder, to_change=True)
        uids = ",".join(str(mail["place"][2]) for mail in mails)
        session.command("STORE", uids, f"{sign}FLAGS.SILENT", f"({flag})")
        return [Place(*mail["place"]).id for mail in mails]
    ids: dict[int, str] = {}
    targets: dict[str, list[int]] = {}
    for number, mail in enumerate(mails):
        target = _target(session, action, label, folder, mail["home"])
        targets.setdefault(target, []).append(number)
    for target, numbers in targets.items():
        those = [mails[number] for number in numbers]
        if target == folder:
            moved = [str(Place(*mail["place"]).id) for mail in those]
        else:
            with _told_as_partly(ids):
                moved = _move(session, folder, target, those)
        ids |= dict(zip(numbers, moved, strict=True))
    return [ids[number] for number in range(len(mails))]


def _by_folder(mails: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    folders: dict[str, list[int]] = {}
    for number, mail in enumerate(mails):
        folders.setdefault(mail["place"][0], []).append(number)
    return folders


def _target(session: ImapSession, action: Action, label: str, folder: str, home: Role) -> str:
    """Say where a mail of `folder` goes; a folder that is missing is made."""
    if action == "restore":
        is_away = session.folders().role(folder) in ("archive", "trash", "spam")
        return session.folder_for(home) if is_away else folder
    wanted = label if action == "move" else action
    roles: Sequence[Role] = get_args(Role)
    role = next((each for each in roles if each == wanted), None)
    return session.made(wanted) if role is None else session.folder_for(role)


def _move(
    session: ImapSession, folder: str, target: str, mails: Sequence[dict[str, Any]]
) -> list[str]:
    """Move mails; those that were moved before are only looked up."""
    validity = session.select(folder, to_change=True)
    uids = [int(mail["place"][2]) for mail in mails if mail["place"][1] == validity]
    waiting = set(session.uids(f"UID {','.join(map(str, uids))}")) if uids else set()
    places: dict[int, Place] = {}
    if waiting:
        places = _moved(session, target, sorted(waiting))
    ids = []
    for mail in mails:
        place = places.get(int(mail["place"][2]))
        if place is None and mail["message_id"]:
            place = find_in(session, target, mail["message_id"])
        if place is None:
            raise OutcomeUnknown(
                "A mail was moved, and cannot be found in its new folder.",
                hint="Look for it with mail_search.",
            )
        ids.append(str(place.id))
    return ids


def _moved(session: ImapSession, target: str, uids: Sequence[int]) -> dict[int, Place]:
    """Move by MOVE (RFC 6851), else by copy and remove; gives the new places that are told."""
    session.client.untagged_responses.pop("COPYUID", None)
    those = ",".join(map(str, uids))
    name = encode_folder(target).decode("ascii")
    if "MOVE" in session.can:
        session.command("MOVE", those, name)
    else:
        session.command("COPY", those, name)
    told = _COPIED.search(session.told("COPYUID"))
    if "MOVE" not in session.can:
        _remove(session, uids)
    if told is None:
        return {}
    validity = int(told[1])
    pairs = zip(_numbers(told[2]), _numbers(told[3]), strict=True)
    return {old: Place(target, validity, new) for old, new in pairs}


def _numbers(text: bytes) -> list[int]:
    numbers: list[int] = []
    for part in text.decode("ascii").split(","):
        first, _, last = part.partition(":")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _remove(session: ImapSession, uids: Sequence[int]) -> None:
    """Take mails out of the open folder; without UIDPLUS they stay, marked as deleted."""
    those = ",".join(map(str, uids))
    session.command("STORE", those, "+FLAGS.SILENT", "(\\Deleted)")
    if "UIDPLUS" in session.can:  # plain EXPUNGE would take others' along
        session.command("EXPUNGE", those)
