"""Searching over IMAP: one page, newest first, merged from several folders.

The server finds; what it cannot be asked (a time of day, attachments) is looked at here, in
bounded steps. A cursor says of each folder that is not finished where to go on, by UIDVALIDITY and
UID: what comes in meanwhile is above all of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aicore_tools.errors import InvalidInput
from aicore_tools.mail import cursors
from aicore_tools.mail.backends.imap_link import ImapSession
from aicore_tools.mail.backends.imap_places import Place, keyword_of
from aicore_tools.mail.backends.imap_reading import Fetched, fetch, heads, quoted, row_of
from aicore_tools.mail.records import MailPage, MailRow, MailSearch, Role

__all__ = ["find"]

_WINDOW_UIDS = 5_000
_SIFTED = 2_000
_CHUNK = 200
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(slots=True)
class _Scan:
    """How far one folder is: mails with a UID below `below` are still to be looked at."""

    folder: str
    validity: int
    below: int
    found: list[Fetched] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return self.below <= 1


def find(session: ImapSession, search: MailSearch) -> MailPage:
    """Give one page.

    Raises:
        InvalidInput: the cursor is wrong or too old, or there is no such folder or label.
    """
    words = [word for word in search.query.split() if any(c.isalnum() for c in word)]
    if search.query.strip() and not words:
        return MailPage(rows=[])
    folders, label = _folders(session, search)
    criteria = _criteria(search, words, label)
    scans = _scans(session, search, folders)
    for scan in scans:
        _look(session, scan, search, criteria)
    taken, is_more = _merged(scans, search.limit)
    rows = _rows(session, taken)
    return MailPage(rows=rows, next_cursor=_cursor(search, scans, taken) if is_more else None)


def _folders(session: ImapSession, search: MailSearch) -> tuple[Sequence[str], str | None]:
    """Give the folders to search, and the keyword where a label was asked for."""
    folders = session.folders()
    if not search.folder:
        return folders.searched, None
    roles: dict[str, Role] = {
        role: role for role in ("inbox", "sent", "drafts", "archive", "trash", "spam")
    }
    if search.folder in roles:
        name = folders.named(roles[search.folder])
        return ([] if name is None else [name]), None
    if search.folder in folders.names:
        return [search.folder], None
    if search.folder.casefold() in {label.casefold() for label in labels(session)}:
        return folders.searched, keyword_of(search.folder)
    raise InvalidInput(
        f"There is no folder or label {search.folder!r}.", hint="See mail_folders for their names."
    )


def labels(session: ImapSession) -> list[str]:
    """Give the labels that mails carry or could, in the folders that are searched."""
    found: set[str] = set()
    for folder in session.folders().searched:
        session.select(folder)
        flags = frozenset(session.told("FLAGS").decode("ascii", "replace").strip("()").split())
        found |= set(Fetched(uid=0, flags=flags, at=_NEVER, has_file=False).labels)
    return sorted(found)


def _criteria(search: MailSearch, words: Sequence[str], label: str | None) -> str:
    parts = [f"TEXT {quoted(word)}" for word in words]
    if search.sender:
        parts.append(f"FROM {quoted(search.sender)}")
    if search.to:
        parts.append(f"OR TO {quoted(search.to)} CC {quoted(search.to)}")
    if search.subject:
        parts.append(f"SUBJECT {quoted(search.subject)}")
    # The server goes by its own days: asked for a day more, and sifted by the moment here.
    if search.after is not None:
        parts.append(f"SINCE {_day(search.after - timedelta(days=1))}")
    if search.before is not None:
        parts.append(f"BEFORE {_day(search.before + timedelta(days=2))}")
    if search.is_unread is not None:
        parts.append("UNSEEN" if search.is_unread else "SEEN")
    if label is not None:
        parts.append(f"KEYWORD {label}")
    return " ".join(parts)


def _day(moment: datetime) -> str:
    day = moment.astimezone(UTC)
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}"


def _scans(session: ImapSession, search: MailSearch, folders: Sequence[str]) -> list[_Scan]:
    """Give where to begin: where the cursor says, else above the newest of each folder."""
    place = cursors.decode(search)
    if place is None:
        return [_Scan(folder, session.select(folder), session.next_uid) for folder in folders]
    if not isinstance(place, list):
        raise cursors.damaged()
    scans = []
    for each in place:
        match each:
            case [str(folder), int(validity), int(below)] if folder in folders:
                scans.append(_Scan(folder, validity, below))
            case _:
                raise cursors.damaged()
    for scan in scans:
        if session.select(scan.folder) != scan.validity:
            raise InvalidInput(
                "cursor: the mail server has numbered this folder anew since.",
                hint="Search again without cursor.",
            )
    return scans


def _look(session: ImapSession, scan: _Scan, search: MailSearch, criteria: str) -> None:
    """Find up to one page of a folder, in windows from the newest on."""
    if scan.is_finished:
        return
    session.select(scan.folder)
    width = _WINDOW_UIDS
    looked_at = 0
    while len(scan.found) <= search.limit and looked_at < _SIFTED and not scan.is_finished:
        lowest = max(1, scan.below - width)
        uids = session.uids(f"UID {lowest}:{scan.below - 1} {criteria}".rstrip())
        uids = [uid for uid in reversed(uids) if lowest <= uid < scan.below]
        looked_at += _sift(session, scan, search, uids)
        if len(scan.found) <= search.limit and looked_at < _SIFTED:
            scan.below = lowest
        width *= 4


def _sift(session: ImapSession, scan: _Scan, search: MailSearch, uids: list[int]) -> int:
    """Keep what holds every condition, newest first; gives how many were looked at.

    Stops when a page is full, or enough was looked at; `below` then says where.
    """
    looked_at = 0
    is_sifted = search.has_attachment is not None or search.after or search.before
    size = _CHUNK if is_sifted else search.limit + 1
    for begin in range(0, len(uids), size):
        chunk = uids[begin : begin + size]
        for one in fetch(session, chunk, "(UID FLAGS INTERNALDATE BODYSTRUCTURE)"):
            if _holds(one, search):
                scan.found.append(one)
        looked_at += len(chunk)
        scan.below = chunk[-1]
        if len(scan.found) > search.limit or looked_at >= _SIFTED:
            break
    return looked_at


def _holds(one: Fetched, search: MailSearch) -> bool:
    if search.has_attachment is not None and one.has_file != search.has_attachment:
        return False
    if search.after is not None and one.at < search.after.replace(microsecond=0):
        return False
    return search.before is None or one.at < search.before


def _merged(scans: Sequence[_Scan], limit: int) -> tuple[list[tuple[_Scan, Fetched]], bool]:
    """Take the newest of all folders, each folder in its own order; says whether there is more.

    Where a folder's found ones are used up and it is not finished, the page ends.
    """
    heap = [(-scan.found[0].at.timestamp(), at, 0) for at, scan in enumerate(scans) if scan.found]
    is_cut = any(not scan.found and not scan.is_finished for scan in scans)
    heapq.heapify(heap)
    taken: list[tuple[_Scan, Fetched]] = []
    while heap and len(taken) < limit:
        _, number, index = heapq.heappop(heap)
        scan = scans[number]
        taken.append((scan, scan.found[index]))
        if index + 1 < len(scan.found):
            heapq.heappush(heap, (-scan.found[index + 1].at.timestamp(), number, index + 1))
        elif not scan.is_finished:
            heap.clear()
            return taken, True
    return taken, bool(heap) or is_cut


def _rows(session: ImapSession, taken: Sequence[tuple[_Scan, Fetched]]) -> list[MailRow]:
    rows: dict[tuple[str, int], MailRow] = {}
    for folder in dict.fromkeys(scan.folder for scan, _ in taken):
        session.select(folder)
        uids = [one.uid for scan, one in taken if scan.folder == folder]
        for found in heads(session, uids):
            place = Place(folder, session.validity, found.uid)
            rows[folder, found.uid] = row_of(session, place, found)
    order = [(scan.folder, one.uid) for scan, one in taken]
    return [rows[place] for place in order if place in rows]


def _cursor(
    search: MailSearch, scans: Sequence[_Scan], taken: Sequence[tuple[_Scan, Fetched]]
) -> str:
    place = []
    for scan in scans:
        shown = sum(1 for each, _ in taken if each is scan)
        if shown < len(scan.found):  # the first that was not shown is next
            place.append([scan.folder, scan.validity, scan.found[shown].uid + 1])
        elif not scan.is_finished:
            place.append([scan.folder, scan.validity, scan.below])
    return cursors.encode(search, place)
