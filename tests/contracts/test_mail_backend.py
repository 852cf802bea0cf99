"""What every mail backend must do.

A new backend is one more of ROWS, and a fixture `<row>_mailboxes` that gives a function from the
name of a business to its Reachable mailbox, which sends from OWN.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

import pytest

from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.mail.backends.local import LocalMailbox
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.records import (
    Action,
    Address,
    Draft,
    DraftContent,
    File,
    MailId,
    MailSearch,
    ThreadId,
    Threading,
)
from aicore_tools.operations import Operation

OWN = Address("office@lakeside.example", "Lakeside")
ANN = Address("ann@example.com", "Ann Müller")
EVE = Address("eve@evil.example")


class Reachable(Mailbox, Protocol):
    """A mailbox into which a test can put mail from outside."""

    async def deliver(self, raw: bytes) -> MailId:
        """Put a mail into the inbox."""
        ...


ROWS = ("local", "imap", "gmail")
FIND_WHOLE_WORDS = ("gmail",)
PARTS_OF_WORDS: tuple[dict[str, Any], ...] = ({"query": "diens"}, {"subject": "7"})
Open = Callable[..., Reachable]


@pytest.fixture
def local_mailboxes(tmp_path: Path) -> Open:
    def open_one(business: str = "main") -> Reachable:
        return LocalMailbox(tmp_path / "mail.db", business=business, addresses=[OWN])

    return open_one


@pytest.fixture(params=ROWS)
def opening(request: pytest.FixtureRequest) -> Open:
    """Makes a mailbox of a business: the fixture `<row>_mailboxes` gives how."""
    make: Open = request.getfixturevalue(f"{request.param}_mailboxes")
    return make


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


def mail(subject: str = "Hello", **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = headers.pop("sender", "Ann Müller <ann@example.com>")
    message["To"] = headers.pop("to", "office@lakeside.example")
    message["Subject"] = subject
    body = headers.pop("body", "Good morning")
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message.as_bytes()


def content(**change: Any) -> DraftContent:
    given = {"sender": OWN, "to": [ANN], "subject": "Your offer", "body": "Dear Ann", **change}
    return DraftContent(**given)


async def draft(mailbox: Mailbox, **change: Any) -> Draft:
    saved = (await mailbox.save_draft(op(), content(**change))).result
    return await mailbox.draft(saved.id)


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def text_of(message: EmailMessage) -> str:
    text: str = message.get_content()
    return text.replace("\r\n", "\n")


async def subjects(mailbox: Mailbox, **search: Any) -> list[str]:
    return [row.subject for row in (await mailbox.search(MailSearch(**search))).rows]


async def test_a_draft_is_kept_and_edited_under_one_id(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox, bcc=[Address("boss@lakeside.example")])
        changed = replace(first.content, body="Dear Ann Müller", subject="Your new offer")
        edited = (await mailbox.save_draft(op(), changed, first.id)).result
        assert edited.id == first.id
        kept = await mailbox.draft(first.id)
        assert kept.content == replace(changed, threading=kept.content.threading)
        raw = parsed((await mailbox.get(first.id)).raw)
        assert text_of(raw) == "Dear Ann Müller\n"
        assert raw["Bcc"] == "boss@lakeside.example"
        assert await subjects(mailbox) == []
        (row,) = (await mailbox.search(MailSearch(folder="drafts"))).rows
        assert (row.id, row.subject, row.folder) == (first.id, "Your new offer", "drafts")
        assert [row.id for row in await mailbox.rows([first.id])] == [first.id]


async def test_a_draft_keeps_its_attachments_through_an_edit(opening: Open) -> None:
    files = [
        File(name="Plän 1.png", media_type="image/png", content=b"\x00\xff" * 99),
        File(name="notes.txt", media_type="text/plain", content="Größe\n".encode()),
    ]
    async with opening() as mailbox:
        saved = (await mailbox.save_draft(op(), content(files=files))).result
        assert [each.name for each in saved.attachments] == ["Plän 1.png", "notes.txt"]
        kept = await mailbox.draft(saved.id)
        assert kept.content.files == files
        await mailbox.save_draft(op(), replace(kept.content, files=files[:1]), saved.id)
        assert (await mailbox.draft(saved.id)).content.files == files[:1]
        edited = await mailbox.draft(saved.id)
        sent = await mailbox.get((await mailbox.send(op(), edited)).result.id)
        assert sent.row.has_attachment
        (part,) = parsed(sent.raw).iter_attachments()
        assert (part.get_filename(), part.get_content()) == ("Plän 1.png", b"\x00\xff" * 99)


async def test_a_sent_mail_is_a_real_message_that_hides_bcc(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(
            mailbox,
            subject="Angebot für Müller & Söhne: " + "sehr lang, " * 20 + "Ende",
            body="Grüße\n.\nFrom here " + "x" * 2000,
            bcc=[Address("secret@example.com")],
        )
        sent = (await mailbox.send(op("key-1"), first)).result
        stored = await mailbox.get(sent.id)
        assert stored.row.folder == "sent"
        message = parsed(stored.raw)
        assert message["Message-ID"] == sent.message_id
        assert message["From"] == "Lakeside <office@lakeside.example>"
        assert message["To"] == "Ann Müller <ann@example.com>"
        assert message["Subject"] == first.content.subject
        assert text_of(message) == "Grüße\n.\nFrom here " + "x" * 2000 + "\n"
        assert b"secret@" not in stored.raw
        assert sent.to == ["Ann Müller <ann@example.com>", "secret@example.com"]
        assert max(len(line) for line in stored.raw.splitlines()) <= 998
        assert all(byte < 128 for byte in stored.raw)
        assert stored.raw.count(b"\n") == stored.raw.count(b"\r\n")


async def test_a_draft_is_sent_once_with_or_without_a_key(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox)
        sent = await mailbox.send(op("k"), first)
        again = await mailbox.send(op("k"), first)
        assert (sent.is_replay, again.is_replay) == (False, True)
        assert again.result == sent.result
        for operation in (op("other"), op(None)):
            with pytest.raises(Conflict) as refusal:
                await mailbox.send(operation, first)
            assert refusal.value.code == "already_sent"
        with pytest.raises(Conflict):
            await mailbox.save_draft(op(), content(body="changed"), first.id)
        with pytest.raises(Conflict):
            await mailbox.draft(first.id)
        assert await subjects(mailbox, folder="sent") == ["Your offer"]
        assert await subjects(mailbox, folder="drafts") == []


async def test_every_effect_has_a_message_id_of_its_own(opening: Open) -> None:
    async with opening("one") as one, opening("two") as two:
        ids = [
            (await mailbox.send(op(key), await draft(mailbox))).result.message_id
            for mailbox, key in ((one, "k1"), (two, "k2"), (one, None), (one, None))
        ]
        assert len(set(ids)) == 4
        assert all(each.endswith("@lakeside.example>") for each in ids)


async def test_a_repeated_key_makes_one_draft(opening: Open) -> None:
    async with opening() as mailbox:
        assert await mailbox.earlier(op("k")) is None
        first = await mailbox.save_draft(op("k"), content())
        second = await mailbox.save_draft(op("k"), content())
        assert second.is_replay
        assert second.result == first.result
        assert await mailbox.earlier(op("k")) == second
        assert len(await subjects(mailbox, folder="drafts")) == 1
        with pytest.raises(Conflict) as reused:
            await mailbox.earlier(op("k", other=True))
        assert reused.value.code == "operation_key_reused"


async def test_a_mail_to_nobody_is_not_sent(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox, to=[])
        with pytest.raises(InvalidInput):
            await mailbox.send(op("k"), first)
        await mailbox.save_draft(op(), replace(first.content, to=[ANN]), first.id)
        completed = await mailbox.draft(first.id)
        assert (await mailbox.send(op("k"), completed)).result.to == [str(ANN)]


@pytest.mark.parametrize(
    "change",
    [
        {"to": [EVE]},
        {"cc": [EVE]},
        {"to": [ANN, EVE]},
        {"bcc": [EVE]},
        {"sender": Address("office@lakeside.example", "Somebody else")},
        {"subject": "Another offer"},
        {"body": "Dear Ann, this is confidential"},
        {"files": [File(name="list.txt", media_type="text/plain", content=b"1")]},
    ],
    ids=lambda change: "-".join(change),
)
async def test_a_draft_that_is_not_what_was_planned_is_not_sent(
    opening: Open, change: dict[str, Any]
) -> None:
    async with opening() as mailbox:
        planned = await draft(mailbox)
        await mailbox.save_draft(op(), replace(planned.content, **change), planned.id)
        for operation in (op("k"), op("k"), op()):
            with pytest.raises(Conflict) as refused:
                await mailbox.send(operation, planned)
            assert (refused.value.code, refused.value.outcome) == ("changed_meanwhile", "none")
        assert await subjects(mailbox, folder="sent") == []
        assert await mailbox.earlier(op("k")) is None
        anew = await mailbox.draft(planned.id)
        sent = await mailbox.send(op("k"), anew)
        assert sent.result.to == [str(each) for each in anew.content.everyone]
        assert len(await subjects(mailbox, folder="sent")) == 1


async def test_a_repeat_of_what_was_sent_is_a_replay_whatever_the_plan_says(opening: Open) -> None:
    async with opening() as mailbox:
        planned = await draft(mailbox)
        sent = await mailbox.send(op("k"), planned)
        changed = replace(planned, content=replace(planned.content, to=[EVE]), version="other")
        again = await mailbox.send(op("k"), changed)
        assert (again.is_replay, again.result) == (True, sent.result)
        with pytest.raises(Conflict) as refused:
            await mailbox.send(op("other"), changed)
        assert refused.value.code == "already_sent"
        assert await subjects(mailbox, folder="sent") == ["Your offer"]


async def test_what_is_no_draft_is_not_found(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail())
        for mail_id in ("999", "x", "", received):
            with pytest.raises(NotFound):
                await mailbox.send(op(), Draft(id=MailId(mail_id), content=content()))
            with pytest.raises(NotFound):
                await mailbox.draft(mail_id)
        for mail_id in ("999", "", "<gone@example.com>"):
            with pytest.raises(NotFound):
                await mailbox.get(mail_id)
            with pytest.raises(NotFound):
                await mailbox.rows([received, mail_id])
            with pytest.raises(NotFound):
                await mailbox.organize(op(), [received, MailId(mail_id)], "trash")
        assert (await mailbox.get(received)).row.folder == "inbox"
        assert await mailbox.thread(ThreadId("t999")) == []


async def test_a_reply_hangs_on_its_mail(opening: Open) -> None:
    long_id = "<" + "a" * 150 + "@mail.example.com>"
    async with opening() as mailbox:
        received = await mailbox.get(await mailbox.deliver(mail(Message_ID=long_id)))
        assert not received.row.id.startswith("t")
        assert received.row.thread.startswith("t")
        threading = Threading(thread=received.row.thread, in_reply_to=long_id, references=[long_id])
        answer = await draft(mailbox, threading=threading, subject="Re: Hello")
        assert answer.content.threading == threading
        sent = (await mailbox.send(op(), answer)).result
        assert sent.thread == received.row.thread
        raw = (await mailbox.get(sent.id)).raw
        assert f"In-Reply-To: {long_id}\r\n".encode() in raw
        assert f"References: {long_id}\r\n".encode() in raw
        back = mail(
            In_Reply_To=sent.message_id,
            References=f"{long_id} {sent.message_id}",
            subject="Re: Hello",
            body="Thanks",
        )
        again = await mailbox.get(await mailbox.deliver(back))
        thread = await mailbox.thread(received.row.thread)
        assert [each.row.id for each in thread] == [received.row.id, sent.id, again.row.id]


async def test_mail_to_ourselves_arrives(opening: Open) -> None:
    async with opening() as mailbox:
        note = await draft(mailbox, to=[Address("OFFICE@lakeside.example")], subject="Note")
        sent = (await mailbox.send(op(), note)).result
        (arrived,) = (await mailbox.search(MailSearch(folder="inbox"))).rows
        assert arrived.is_unread
        assert (await mailbox.get(arrived.id)).message_id == sent.message_id


async def test_searching_finds_by_every_condition(
    opening: Open, request: pytest.FixtureRequest
) -> None:
    async with opening() as mailbox:
        await mailbox.deliver(mail("Termin über Mittag", body="Passt Dienstag?"))
        await mailbox.deliver(mail("Invoice 77", sender="Bob <bob@firm.example>"))
        await mailbox.send(op(), await draft(mailbox))
        await draft(mailbox, subject="Not yet")
        now = datetime.now(UTC)
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, ["Your offer", "Invoice 77", "Termin über Mittag"]),
            ({"query": "diens"}, ["Termin über Mittag"]),
            ({"query": "ÜBER mittag"}, ["Termin über Mittag"]),
            ({"query": "bob@firm.example"}, ["Invoice 77"]),
            ({"query": '" XYZZY *'}, []),
            ({"query": "!!"}, []),
            ({"sender": "MÜLLER"}, ["Termin über Mittag"]),
            ({"to": "ann@"}, ["Your offer"]),
            ({"subject": "ÜBER"}, ["Termin über Mittag"]),
            ({"subject": '"'}, []),
            ({"subject": "7"}, ["Invoice 77"]),
            ({"is_unread": True}, ["Invoice 77", "Termin über Mittag"]),
            ({"is_unread": False}, ["Your offer"]),
            ({"has_attachment": True}, []),
            ({"has_attachment": False, "sender": "bob"}, ["Invoice 77"]),
            ({"folder": "inbox"}, ["Invoice 77", "Termin über Mittag"]),
            ({"folder": "drafts"}, ["Not yet"]),
            ({"folder": "archive"}, []),
            ({"after": now + timedelta(hours=1)}, []),
            ({"before": now - timedelta(hours=1)}, []),
            ({"after": now - timedelta(hours=1), "sender": "bob"}, ["Invoice 77"]),
            ({"query": "invoice", "sender": "bob@", "is_unread": True}, ["Invoice 77"]),
        ]
        if request.node.callspec.params["opening"] in FIND_WHOLE_WORDS:
            cases = [case for case in cases if case[0] not in PARTS_OF_WORDS]
        for search, expected in cases:
            assert (search, await subjects(mailbox, **search)) == (search, expected)
        with pytest.raises(InvalidInput):
            await mailbox.search(MailSearch(folder="No such folder"))


async def test_paging_misses_and_repeats_none_while_mail_comes_in(opening: Open) -> None:
    async with opening() as mailbox:
        for index in range(8):
            await mailbox.deliver(mail(f"old {index}"))
        await mailbox.send(op(), await draft(mailbox, subject="old 8"))
        seen: list[str] = []
        cursor = None
        while True:
            page = await mailbox.search(MailSearch(limit=3, cursor=cursor))
            seen += [row.subject for row in page.rows]
            await mailbox.deliver(mail("late"))
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"old {index}" for index in reversed(range(9))]
        page = await mailbox.search(MailSearch(limit=1))
        for bad in (MailSearch(query="x", cursor=page.next_cursor), MailSearch(cursor="?")):
            with pytest.raises(InvalidInput):
                await mailbox.search(bad)


async def test_businesses_do_not_see_each_other(opening: Open) -> None:
    async with opening("one") as one, opening("two") as two:
        received = await one.deliver(mail(Message_ID="<m@example.com>"))
        waiting = await draft(one)
        assert await subjects(two) == []
        assert await subjects(two, query="hello") == []
        assert await subjects(two, folder="drafts") == []
        for mail_id in (received, waiting.id, "<m@example.com>"):
            with pytest.raises(NotFound):
                await two.get(mail_id)
            with pytest.raises(NotFound):
                await two.organize(op(), [MailId(mail_id)], "trash")
        with pytest.raises(NotFound):
            await two.send(op(), waiting)
        assert await two.thread((await one.get(received)).row.thread) == []
        await one.organize(op(), [received], "label", "Secret")
        assert "Secret" not in {folder.name for folder in await two.folders()}


async def test_reading_marks_nothing(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail())
        found = await mailbox.get(received)
        await mailbox.thread(found.row.thread)
        await mailbox.search(MailSearch(query="good"))
        assert (await mailbox.get(received)).row.is_unread


@pytest.mark.parametrize(
    ("action", "back", "field"),
    [("read", "unread", "is_unread"), ("star", "unstar", "is_starred")],
)
async def test_a_mark_is_set_and_taken_off(
    opening: Open, action: Action, back: Action, field: str
) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail())
        other = await mailbox.deliver(mail("Other"))
        before = getattr((await mailbox.get(received)).row, field)
        done = (await mailbox.organize(op("k"), [received], action)).result
        assert (done.action, done.ids) == (action, [received])
        assert getattr((await mailbox.get(received)).row, field) is not before
        assert getattr((await mailbox.get(other)).row, field) is before
        await mailbox.organize(op("k2"), [received], back)
        again = await mailbox.organize(op("k"), [received], action)
        assert again.is_replay
        assert getattr((await mailbox.get(received)).row, field) is before


@pytest.mark.parametrize("action", ["archive", "trash", "spam"])
async def test_a_mail_is_put_away_and_restored(opening: Open, action: Action) -> None:
    async with opening() as mailbox:
        received = [await mailbox.deliver(mail(f"Mail {index}")) for index in range(3)]
        sent = (await mailbox.send(op(), await draft(mailbox))).result
        away = (await mailbox.organize(op("k"), [received[0], received[2], sent.id], action)).result
        replay = await mailbox.organize(op("k"), [received[0], received[2], sent.id], action)
        assert (replay.is_replay, replay.result) == (True, away)
        rows = await mailbox.rows(away.ids)
        # There are systems in which sent mail cannot be archived.
        assert [row.folder for row in rows[:2]] == [action] * 2
        stays = action == "archive" and rows[2].folder == "sent"
        assert rows[2].folder == action or stays
        assert [row.subject for row in rows] == ["Mail 0", "Mail 2", "Your offer"]
        assert await subjects(mailbox, folder="inbox") == ["Mail 1"]
        assert ("Mail 0" in await subjects(mailbox)) is (action == "archive")
        assert len(await subjects(mailbox, folder=action)) == 3 - stays
        back = (await mailbox.organize(op("k2"), away.ids, "restore")).result
        assert [row.folder for row in await mailbox.rows(back.ids)] == ["inbox", "inbox", "sent"]
        assert await subjects(mailbox, folder=action) == []


async def test_a_draft_is_trashed_and_restored(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox)
        gone = (await mailbox.organize(op(), [first.id], "trash")).result
        assert await subjects(mailbox, folder="drafts") == []
        with pytest.raises(NotFound):
            await mailbox.send(op(), replace(first, id=gone.ids[0]))
        back = (await mailbox.organize(op(), gone.ids, "restore")).result
        assert [row.folder for row in await mailbox.rows(back.ids)] == ["drafts"]
        assert await subjects(mailbox, folder="drafts") == ["Your offer"]


async def test_mails_are_labelled_and_found_by_label(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail("One"))
        await mailbox.deliver(mail("Two"))
        for label in ("Rechnung offen", "Grün & gut"):
            await mailbox.organize(op(), [received], "label", label)
        assert set((await mailbox.get(received)).row.labels) == {"Rechnung offen", "Grün & gut"}
        assert await subjects(mailbox, folder="Grün & gut") == ["One"]
        names = {folder.name for folder in await mailbox.folders() if folder.is_label}
        assert {"Rechnung offen", "Grün & gut"} <= names
        await mailbox.organize(op(), [received], "unlabel", "Rechnung offen")
        assert (await mailbox.get(received)).row.labels == ["Grün & gut"]
        (moved,) = (await mailbox.organize(op(), [received], "archive")).result.ids
        assert await subjects(mailbox, folder="Grün & gut") == ["One"]
        assert (await mailbox.get(moved)).row.labels == ["Grün & gut"]


async def test_mails_are_moved_to_a_folder_that_is_made(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail("One"))
        moved = (await mailbox.organize(op("k"), [received], "move", "Kunden Süd")).result
        (row,) = await mailbox.rows(moved.ids)
        assert row.subject == "One"
        assert "Kunden Süd" in (row.folder, *row.labels)  # a folder may be a label
        assert await subjects(mailbox, folder="inbox") == []
        assert await subjects(mailbox, folder="Kunden Süd") == ["One"]
        assert await subjects(mailbox) == ["One"]
        (folder,) = [each for each in await mailbox.folders() if each.name == "Kunden Süd"]
        assert (folder.role, folder.total) == (None, 1)
        back = (await mailbox.organize(op(), moved.ids, "move", "inbox")).result
        assert (await mailbox.get(back.ids[0])).row.folder == "inbox"


async def test_the_folders_with_a_role_come_first(opening: Open) -> None:
    async with opening() as mailbox:
        await mailbox.deliver(mail())
        folders = await mailbox.folders()
        roles = ["inbox", "sent", "drafts", "archive", "trash", "spam"]
        assert [folder.role for folder in folders[:6]] == roles
        assert [folder.name for folder in folders[:6]] == roles
        assert (folders[0].total, folders[0].unread) == (1, 1)


async def test_a_probe_says_whose_mailbox_it_is(opening: Open) -> None:
    async with opening() as mailbox:
        probe = await mailbox.probe()
        assert probe.name
        assert probe.can
        assert mailbox.addresses[0].email == OWN.email
