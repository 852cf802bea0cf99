"""The local mailbox beside the contract: files of earlier versions, words, parts, many mails."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aicore_tools.errors import Conflict
from aicore_tools.local_store import LocalStore
from aicore_tools.mail.backends._local_rows import MIGRATIONS
from aicore_tools.mail.backends.local import LocalMailbox
from aicore_tools.mail.messages import parse
from aicore_tools.mail.records import Address, DraftContent, MailSearch
from aicore_tools.operations import Operation

OWN = Address("office@lakeside.example", "Lakeside")


def mailbox(folder: Path, **given: Any) -> LocalMailbox:
    return LocalMailbox(folder / "mail.db", business="main", addresses=[OWN], **given)


def op() -> Operation:
    return Operation.of("test", {})


def raw(subject: str, body: str = "Hi", sender: str = "Ann <ann@example.com>") -> bytes:
    head = f"From: {sender}\r\nTo: office@lakeside.example\r\nSubject: {subject}"
    return f"{head}\r\n\r\n{body}".encode()


async def subjects(box: LocalMailbox, **search: Any) -> list[str]:
    return [row.subject for row in (await box.search(MailSearch(**search))).rows]


def as_the_first_version_did(
    connection: sqlite3.Connection, folder: str, mail: bytes, *, at: str, draft: str | None
) -> None:
    parsed = parse(mail)
    sender, to = str(parsed.sender), ", ".join(map(str, parsed.to))
    seq = connection.execute(
        "INSERT INTO mail (business, folder, thread, at, message_id, sender, recipients, subject,"
        " folded_sender, folded_recipients, folded_subject, snippet, unread, has_attachment,"
        " draft, raw) VALUES ('main', ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        (
            *(folder, at, parsed.message_id, sender, to, parsed.subject),
            *(sender.casefold(), to.casefold(), parsed.subject.casefold()),
            *(parsed.text, folder == "inbox", draft, mail),
        ),
    ).lastrowid
    words = "\n".join((parsed.subject, sender, to, "", parsed.text))
    connection.execute("INSERT INTO mail_fts (rowid, words) VALUES (?, ?)", (seq, words))


async def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    at = "2026-03-02T09:00:00.125+00:00"
    mails = [("inbox", raw("Wörd", "Grüße")), ("sent", raw("Gone")), ("drafts", raw("Draft"))]

    def fill(connection: sqlite3.Connection) -> None:
        for folder, mail in mails:
            draft = None if folder == "inbox" else "{}"
            as_the_first_version_did(connection, folder, mail, at=at, draft=draft)

    async with LocalStore(
        tmp_path / "mail.db", migrations=MIGRATIONS[:1], business="main"
    ) as store:
        await store.write(fill)
    async with mailbox(tmp_path) as box:
        assert await subjects(box) == ["Gone", "Wörd"]
        (row,) = (await box.search(MailSearch(query="gruß", sender="ann@"))).rows
        assert (row.id, row.is_unread, row.folder) == ("1", True, "inbox")
        assert row.at == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        assert (await box.get("1")).raw == mails[0][1]
        assert [each.row.id for each in await box.thread(row.thread)] == ["1", "2"]
        assert await subjects(box, before=row.at) == []
        assert await subjects(box, is_unread=True, folder="inbox") == ["Wörd"]
        with pytest.raises(Conflict):
            await box.draft("2")
        draft = await box.draft("3")
        changed = DraftContent(sender=OWN, to=[OWN], subject="Changed", body="x")
        assert (await box.save_draft(op(), changed, draft.id)).result.id == "3"
        await box.send(op(), await box.draft("3"))
        assert await subjects(box, subject="chan") == ["Changed", "Changed"]
        assert await box.deliver(raw("Next")) == "5"


async def test_words_are_found_without_accents_and_by_their_beginnings(tmp_path: Path) -> None:
    async with mailbox(tmp_path) as box:
        await box.deliver(raw("Rechnungen", "für Müller-Lüdenscheid", "bob@firm.example"))
        await box.deliver(raw("Rechnung", "für Ödön"))
        for query, expected in (
            ("MULLER", ["Rechnungen"]),
            ("muller-lud", ["Rechnungen"]),
            ("rechnung", ["Rechnung", "Rechnungen"]),
            ("rechnunge", ["Rechnungen"]),
            ("re", ["Rechnung", "Rechnungen"]),
            ("rec od", ["Rechnung"]),
            ("echnung", []),
            ("bob@firm.example", ["Rechnungen"]),
            ("bob@firm.ex", ["Rechnungen"]),
            ("ob@firm.example", []),
            ('re* OR "x', []),
            ("tags xm", []),
        ):
            assert (query, await subjects(box, query=query)) == (query, expected)


async def test_a_part_may_hold_anything(tmp_path: Path) -> None:
    async with mailbox(tmp_path) as box:
        for subject in ('Say "hi" now', "100% (of) it: AND * OR", "会議の件", "plain"):
            await box.deliver(raw(subject))
        for part, expected in (
            ('"hi"', ['Say "hi" now']),
            ('y "', ['Say "hi" now']),
            ("% (of) it: and *", ["100% (of) it: AND * OR"]),
            ("会議", ["会議の件"]),
            ("会議の", ["会議の件"]),
            ("'; drop table letter; --", []),
        ):
            assert (part, await subjects(box, subject=part)) == (part, expected)


async def test_every_way_to_search_gives_the_same_pages(tmp_path: Path) -> None:
    """Few and many, by words, parts and marks: each takes another way through the indexes."""
    moments = iter(datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=m) for m in range(10_000))
    async with mailbox(tmp_path, now=lambda: next(moments)) as box:
        for number in range(120):
            who = "rare" if number % 40 == 0 else "common"
            await box.deliver(raw(f"mail {number}", "word", f"{who}@example.com"))
        for search, expected in (
            ({"query": "word", "sender": "rare@"}, [80, 40, 0]),
            ({"query": "word", "sender": "common@", "limit": 2}, [119, 118]),
            ({"sender": "rare@"}, [80, 40, 0]),
            ({"subject": "l 11", "limit": 100}, [*range(119, 109, -1), 11]),
            ({"query": "mail", "subject": "9", "is_unread": True, "limit": 3}, [119, 109, 99]),
        ):
            given = [int(each.split()[1]) for each in await subjects(box, **search)]
            assert (search, given) == (search, expected)
        for search in ({"query": "word"}, {"sender": "common"}, {"is_unread": True}, {}):
            seen: list[str] = []
            page = await box.search(MailSearch(limit=50, **search))
            while True:
                seen += [row.id for row in page.rows]
                if page.next_cursor is None:
                    break
                page = await box.search(MailSearch(limit=50, cursor=page.next_cursor, **search))
            assert len(seen) == len(set(seen)) == (117 if "sender" in search else 120)
