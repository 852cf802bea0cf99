"""What every mail backend must do. A new backend is one more row of BACKENDS."""

from collections.abc import Callable
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
    Address,
    Draft,
    DraftChange,
    MailId,
    MailSearch,
    ThreadId,
    Threading,
)
from aicore_tools.operations import Operation

OWN = Address("office@lakeside.example", "Lakeside")
ANN = Address("ann@example.com", "Ann Müller")


class Reachable(Mailbox, Protocol):
    """A mailbox into which a test can put mail from outside."""

    async def deliver(self, raw: bytes) -> MailId:
        """Put a mail into the inbox."""
        ...


def local(folder: Path, business: str = "main") -> Reachable:
    return LocalMailbox(folder / "mail.db", business=business, addresses=[OWN])


BACKENDS: dict[str, Callable[..., Reachable]] = {"local": local}
Open = Callable[..., Reachable]


@pytest.fixture(params=BACKENDS)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    make = BACKENDS[request.param]
    return lambda business="main": make(tmp_path, business)


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


async def draft(mailbox: Mailbox, **change: Any) -> Draft:
    given = {"to": [ANN], "subject": "Your offer", "body": "Dear Ann", **change}
    return (await mailbox.save_draft(op(), DraftChange(**given))).result


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
        change = DraftChange(body="Dear Ann Müller", subject="Your new offer")
        edited = (await mailbox.save_draft(op(), change, first.id)).result
        assert edited.id == first.id
        assert (edited.to, edited.bcc, edited.subject) == (first.to, first.bcc, "Your new offer")
        kept = parsed((await mailbox.get(first.id)).raw)
        assert text_of(kept) == "Dear Ann Müller\n"
        assert kept["Bcc"] == "boss@lakeside.example"
        assert await subjects(mailbox) == []
        assert await subjects(mailbox, folder="drafts") == ["Your new offer"]


async def test_a_sent_mail_is_a_real_message_that_hides_bcc(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(
            mailbox,
            subject="Angebot für Müller & Söhne: " + "sehr lang, " * 20 + "Ende",
            body="Grüße\n.\nFrom here " + "x" * 2000,
            bcc=[Address("secret@example.com")],
        )
        sent = (await mailbox.send(op("key-1"), first.id)).result
        assert sent.id == first.id
        stored = await mailbox.get(sent.id)
        assert stored.row.folder == "sent"
        message = parsed(stored.raw)
        assert message["Message-ID"] == sent.message_id
        assert message["From"] == "Lakeside <office@lakeside.example>"
        assert message["To"] == "Ann Müller <ann@example.com>"
        assert message["Subject"] == first.subject
        assert text_of(message) == "Grüße\n.\nFrom here " + "x" * 2000 + "\n"
        assert b"secret@" not in stored.raw
        assert sent.to == ["Ann Müller <ann@example.com>", "secret@example.com"]
        assert max(len(line) for line in stored.raw.splitlines()) <= 998
        assert all(byte < 128 for byte in stored.raw)
        assert stored.raw.count(b"\n") == stored.raw.count(b"\r\n")


async def test_a_draft_is_sent_once_with_or_without_a_key(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox)
        sent = await mailbox.send(op("k"), first.id)
        again = await mailbox.send(op("k"), first.id)
        assert (sent.is_replay, again.is_replay) == (False, True)
        assert again.result == sent.result
        for operation in (op("other"), op(None)):
            with pytest.raises(Conflict) as refusal:
                await mailbox.send(operation, first.id)
            assert refusal.value.code == "already_sent"
        with pytest.raises(Conflict):
            await mailbox.save_draft(op(), DraftChange(body="changed"), first.id)
        assert await subjects(mailbox, folder="sent") == ["Your offer"]
        assert await subjects(mailbox, folder="drafts") == []


async def test_the_message_id_comes_from_the_operation_key(opening: Open) -> None:
    async with opening("one") as one, opening("two") as two:
        ids = [
            (await mailbox.send(op(key), (await draft(mailbox)).id)).result.message_id
            for mailbox, key in ((one, "k1"), (two, "k1"), (two, "k2"), (one, None), (one, None))
        ]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 4
        assert all(each.endswith("@lakeside.example>") for each in ids)


async def test_a_repeated_key_makes_one_draft(opening: Open) -> None:
    async with opening() as mailbox:
        change = DraftChange(to=[ANN], body="x")
        first = await mailbox.save_draft(op("k"), change)
        second = await mailbox.save_draft(op("k"), change)
        assert second.is_replay
        assert second.result == first.result
        assert len(await subjects(mailbox, folder="drafts")) == 1


async def test_a_mail_to_nobody_is_not_sent(opening: Open) -> None:
    async with opening() as mailbox:
        first = await draft(mailbox, to=[])
        with pytest.raises(InvalidInput):
            await mailbox.send(op("k"), first.id)
        await mailbox.save_draft(op(), DraftChange(to=[ANN]), first.id)
        assert (await mailbox.send(op("k"), first.id)).result.to == [str(ANN)]


async def test_what_is_no_draft_is_not_found(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail())
        for mail_id in ("999", "x", "", received):
            with pytest.raises(NotFound):
                await mailbox.send(op(), MailId(mail_id))
        with pytest.raises(NotFound):
            await mailbox.get("999")
        assert await mailbox.thread(ThreadId("t999")) == []


async def test_a_reply_hangs_on_its_mail(opening: Open) -> None:
    long_id = "<" + "a" * 150 + "@mail.example.com>"
    async with opening() as mailbox:
        received = await mailbox.get(await mailbox.deliver(mail(Message_ID=long_id)))
        threading = Threading(
            thread=received.row.thread, in_reply_to=long_id, references=["<r@example.com>", long_id]
        )
        answer = await draft(mailbox, threading=threading)
        sent = (await mailbox.send(op(), answer.id)).result
        assert sent.thread == received.row.thread
        raw = (await mailbox.get(sent.id)).raw
        assert f"In-Reply-To: {long_id}\r\n".encode() in raw
        assert f"References: <r@example.com>\r\n {long_id}\r\n".encode() in raw
        back = mail(In_Reply_To=sent.message_id, subject="Re: Your offer", body="Thanks")
        again = await mailbox.get(await mailbox.deliver(back))
        thread = await mailbox.thread(received.row.thread)
        assert [each.row.id for each in thread] == [received.row.id, sent.id, again.row.id]


async def test_mail_to_ourselves_arrives(opening: Open) -> None:
    async with opening() as mailbox:
        note = await draft(mailbox, to=[Address("OFFICE@lakeside.example")], subject="Note")
        sent = (await mailbox.send(op(), note.id)).result
        (arrived,) = (await mailbox.search(MailSearch(folder="inbox"))).rows
        assert arrived.is_unread
        assert (await mailbox.get(arrived.id)).message_id == sent.message_id


async def test_a_forward_takes_the_attachments_along(opening: Open) -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "ann@example.com", "Plan"
    message.set_content("see file")
    message.add_attachment(b"\x00\xff" * 99, maintype="image", subtype="png", filename="Plän 1.png")
    async with opening() as mailbox:
        source = await mailbox.deliver(message.as_bytes())
        passed_on = await draft(mailbox, threading=Threading(forwards=source))
        sent = (await mailbox.send(op(), passed_on.id)).result
        stored = await mailbox.get(sent.id)
        assert stored.row.has_attachment
        (part,) = parsed(stored.raw).iter_attachments()
        assert (part.get_filename(), part.get_content()) == ("Plän 1.png", b"\x00\xff" * 99)


async def test_searching_finds_by_every_condition(opening: Open) -> None:
    async with opening() as mailbox:
        await mailbox.deliver(mail("Termin über Mittag", body="Passt Dienstag?"))
        await mailbox.deliver(mail("Invoice 77", sender="Bob <bob@firm.example>"))
        await mailbox.send(op(), (await draft(mailbox)).id)
        await draft(mailbox, subject="Not yet")
        now = datetime.now(UTC)
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, ["Your offer", "Invoice 77", "Termin über Mittag"]),
            ({"query": "diens"}, ["Termin über Mittag"]),
            ({"query": "MULLER"}, ["Your offer", "Termin über Mittag"]),
            ({"query": "bob@firm.example"}, ["Invoice 77"]),
            ({"query": '" OR *'}, []),
            ({"query": "!!"}, []),
            ({"sender": "MÜLLER"}, ["Termin über Mittag"]),
            ({"to": "ann@"}, ["Your offer"]),
            ({"subject": "ÜBER"}, ["Termin über Mittag"]),
            ({"is_unread": True}, ["Invoice 77", "Termin über Mittag"]),
            ({"is_unread": False}, ["Your offer"]),
            ({"has_attachment": True}, []),
            ({"folder": "inbox"}, ["Invoice 77", "Termin über Mittag"]),
            ({"folder": "drafts"}, ["Not yet"]),
            ({"after": now + timedelta(hours=1)}, []),
            ({"before": now - timedelta(hours=1)}, []),
            ({"after": now - timedelta(hours=1), "sender": "bob"}, ["Invoice 77"]),
        ]
        for search, expected in cases:
            assert (search, await subjects(mailbox, **search)) == (search, expected)


async def test_paging_misses_and_repeats_none_while_mail_comes_in(opening: Open) -> None:
    async with opening() as mailbox:
        for index in range(11):
            await mailbox.deliver(mail(f"old {index}"))
        seen: list[str] = []
        cursor = None
        while True:
            page = await mailbox.search(MailSearch(limit=3, cursor=cursor))
            seen += [row.subject for row in page.rows]
            await mailbox.deliver(mail("late"))
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"old {index}" for index in reversed(range(11))]
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
        for mail_id in (received, waiting.id, "<m@example.com>"):
            with pytest.raises(NotFound):
                await two.get(mail_id)
        with pytest.raises(NotFound):
            await two.send(op(), waiting.id)
        assert await two.thread((await one.get(received)).row.thread) == []
        with pytest.raises(NotFound):
            await draft(two, threading=Threading(forwards=received))
        answer = await two.deliver(mail(In_Reply_To="<m@example.com>"))
        assert (await two.get(answer)).row.thread == ThreadId(f"t{answer}")


async def test_reading_marks_nothing(opening: Open) -> None:
    async with opening() as mailbox:
        received = await mailbox.deliver(mail())
        found = await mailbox.get(received)
        await mailbox.thread(found.row.thread)
        assert (await mailbox.get(received)).row.is_unread
