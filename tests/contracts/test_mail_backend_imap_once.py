"""Over IMAP and SMTP nothing happens twice, wherever the connection breaks and whoever dies."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    NotAllowed,
    OutcomeUnknown,
)
from aicore_tools.mail.records import Action, Address, Draft, DraftContent, MailSearch
from aicore_tools.operations import Operation

OWN = Address("office@lakeside.example", "Lakeside")
ANN = Address("ann@example.com")
SENT = "Gesendete Gr&APwA3w-e"  # as IMAP writes the name


def op(key: str | None = None, tool: str = "test") -> Operation:
    return Operation.of(tool, {}, key)


def content(**change: Any) -> DraftContent:
    given = {"sender": OWN, "to": [ANN], "subject": "Offer", "body": "Dear Ann", **change}
    return DraftContent(**given)


async def draft(mailbox: Any, **change: Any) -> Draft:
    saved = await mailbox.save_draft(op(), content(**change))
    found: Draft = await mailbox.draft(saved.result.id)
    return found


async def subjects(mailbox: Any, folder: str) -> list[str]:
    return [row.subject for row in (await mailbox.search(MailSearch(folder=folder))).rows]


@pytest.mark.parametrize(("cut", "taken"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_mail_whose_fate_is_not_known_is_never_sent_again(
    mail_peers: Any, cut: str, taken: int
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.post.at_data = [cut]
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                await mailbox.send(op("k"), first)
        with pytest.raises(OutcomeUnknown):
            await mailbox.earlier(op("k"))
    async with mail_peers.mailbox() as fresh:
        with pytest.raises(OutcomeUnknown):
            await fresh.send(op("k"), first)
        for operation in (op("another"), op()):
            with pytest.raises(Conflict) as refusal:
                await fresh.send(operation, first)
            assert refusal.value.code == "already_sent"
        assert len(mail_peers.post.taken) == taken
        assert await subjects(fresh, "drafts") == ["Offer"]
        assert await subjects(fresh, "sent") == []


@pytest.mark.parametrize("change", [{"to": [OWN]}, {"bcc": [OWN]}])
async def test_a_mail_that_came_back_to_us_is_known_to_be_sent(
    mail_peers: Any, change: dict[str, Any]
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox, **change)
        mail_peers.post.at_data = ["drop_after"]
        sent = await mailbox.send(op("k"), first)
        again = await mailbox.send(op("k"), first)
        assert (again.is_replay, again.result) == (True, sent.result)
        assert await subjects(mailbox, "sent") == ["Offer"]
        assert await subjects(mailbox, "drafts") == []
        assert (await mailbox.get(sent.result.message_id)).message_id == sent.result.message_id
    assert mail_peers.post.subjects == ["Offer"]


@pytest.mark.parametrize(("cut", "taken"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_copy_to_ourselves_settles_what_became_of_a_mail(
    mail_peers: Any, cut: str, taken: int
) -> None:
    async with mail_peers.mailbox(self_bcc="yes") as mailbox:
        first = await draft(mailbox)
        mail_peers.post.at_data = [cut]
        if taken:
            assert (await mailbox.send(op("k"), first)).result.to == [str(ANN)]
        else:
            with pytest.raises(OutcomeUnknown):
                await mailbox.send(op("k"), first)
        assert await subjects(mailbox, "inbox") == ["Offer"] * taken
    assert len(mail_peers.post.taken) == taken


@pytest.mark.parametrize("comes_back", [False, True])
async def test_killed_while_the_mail_is_handed_over_it_is_not_sent_again(
    mail_peers: Any, tmp_path: Path, comes_back: bool
) -> None:
    """The files of the journal as they were at that moment are what a killed process leaves."""
    left = tmp_path / "left"

    def die(user: str, raw: bytes) -> None:
        left.mkdir()
        for path in tmp_path.glob("main.*"):
            if path.is_file():
                shutil.copy(path, left)

    mail_peers.post.deliver = die
    mail_peers.post.own = {ANN.email}
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.post.at_data = ["drop_after"]
        with pytest.raises(OutcomeUnknown):
            await mailbox.send(op("k"), first)
    mail_peers.folder = left
    async with mail_peers.mailbox() as fresh:
        with pytest.raises(OutcomeUnknown):
            await fresh.send(op("k"), first)
        with pytest.raises(Conflict):
            await fresh.send(op("another"), first)
        if comes_back:  # later, by a detour
            raw = mail_peers.post.taken[0].original_content
            mail_peers.dovecot.deliver(mail_peers.user(), raw)
            assert (await fresh.send(op("k"), first)).is_replay
            assert await subjects(fresh, "drafts") == []
    assert len(mail_peers.post.taken) == 1


@pytest.mark.parametrize("answer", ["554 no", "552 too large", "451 later", "421 going"])
async def test_a_refused_mail_was_not_sent_and_may_be_sent_again(
    mail_peers: Any, answer: str
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.post.at_data = [answer]
        with pytest.raises((NotAllowed, BackendUnavailable)) as refusal:
            await mailbox.send(op("k"), first)
        assert refusal.value.outcome == "none"
        assert refusal.value.retryable is answer.startswith("4")
        assert await mailbox.earlier(op("k")) is None
        assert not (await mailbox.send(op("k"), first)).is_replay
        assert await subjects(mailbox, "drafts") == []
    assert len(mail_peers.post.taken) == 1


async def test_refused_recipients_are_told_and_the_others_get_it(mail_peers: Any) -> None:
    mail_peers.post.refuses = {"eve@example.com": "550 unknown"}
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox, cc=[Address("eve@example.com")])
        sent = (await mailbox.send(op("k"), first)).result
        assert sent.refused == ["eve@example.com: 550"]
        again = await mailbox.send(op("k"), first)
        assert again.result == sent
    (taken,) = mail_peers.post.taken
    assert taken.rcpt_tos == [ANN.email]


@pytest.mark.parametrize(
    ("answer", "error"), [("550 unknown", NotAllowed), ("450 later", BackendUnavailable)]
)
async def test_where_everybody_is_refused_nothing_is_sent(
    mail_peers: Any, answer: str, error: type[Exception]
) -> None:
    mail_peers.post.refuses = {ANN.email: answer}
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        with pytest.raises(error):
            await mailbox.send(op("k"), first)
        mail_peers.post.refuses = {}
        await mailbox.send(op("k"), first)
    assert len(mail_peers.post.taken) == 1


async def test_a_copy_to_ourselves_is_no_recipient(mail_peers: Any) -> None:
    mail_peers.post.refuses = {ANN.email: "550 unknown"}
    async with mail_peers.mailbox(self_bcc="yes") as mailbox:
        first = await draft(mailbox)
        with pytest.raises(NotAllowed):
            await mailbox.send(op("k"), first)
        mail_peers.post.refuses = {OWN.email: "550 not to yourself"}
        sent = await mailbox.send(op("k"), first)
        assert sent.result.refused == []
    (taken,) = mail_peers.post.taken
    assert taken.rcpt_tos == [ANN.email]


async def test_a_caller_who_leaves_does_not_break_the_handing_over(mail_peers: Any) -> None:
    loop, has_left = asyncio.get_running_loop(), threading.Event()

    def leave() -> None:
        scope.cancel()
        has_left.set()

    def at_mail() -> None:
        loop.call_soon_threadsafe(leave)
        assert has_left.wait(10)

    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.post.at_mail = at_mail
        with anyio.CancelScope() as scope:
            await mailbox.send(op("k"), first)
        mail_peers.post.at_mail = lambda: None
        assert scope.cancelled_caught
        assert (await mailbox.send(op("k"), first)).is_replay
        assert await subjects(mailbox, "sent") == ["Offer"]
        assert await subjects(mailbox, "drafts") == []
    assert len(mail_peers.post.taken) == 1


async def test_a_server_that_cannot_be_reached_or_entered_has_sent_nothing(
    mail_peers: Any,
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
    for fields, error in (
        ({"smtp_port": "1"}, BackendUnavailable),
        ({"smtp_password": "wrong"}, BackendConfigError),
        ({"smtp_tls": "starttls"}, BackendConfigError),
    ):
        async with mail_peers.mailbox(**fields) as mailbox:
            with pytest.raises(error):
                await mailbox.send(op("k"), first)
    async with mail_peers.mailbox() as mailbox:
        await mailbox.send(op("k"), first)
    assert len(mail_peers.post.taken) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["APPEND", "STORE", "EXPUNGE"])
async def test_a_sent_mail_is_sent_whatever_breaks_while_it_is_filed(
    mail_peers: Any, command: str, when: str
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.cutter.cut(command, when)
        sent = await mailbox.send(op("k"), first)
        assert mail_peers.cutter.cuts == 1
        again = await mailbox.send(op("k"), first)
        assert (again.is_replay, again.result) == (True, sent.result)
        with pytest.raises(Conflict):
            await mailbox.send(op("another"), first)
        assert len(await subjects(mailbox, "sent")) <= 1
        if sent.result.warnings:
            assert command in ("APPEND", "STORE", "EXPUNGE")
        else:
            assert await subjects(mailbox, "drafts") == []
    assert mail_peers.post.subjects == ["Offer"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_edit", [False, True])
async def test_a_draft_is_saved_once_wherever_the_connection_breaks(
    mail_peers: Any, when: str, is_edit: bool
) -> None:
    async with mail_peers.mailbox() as mailbox:
        draft_id = (await draft(mailbox)).id if is_edit else None
        mail_peers.cutter.cut("APPEND", when)
        changed = content(subject="New")
        if when == "before":
            with pytest.raises(OutcomeUnknown):
                await mailbox.save_draft(op("k"), changed, draft_id)
        else:
            await mailbox.save_draft(op("k"), changed, draft_id)
        assert mail_peers.cutter.cuts == 1
    async with mail_peers.mailbox() as fresh:
        saved = await fresh.save_draft(op("k"), changed, draft_id)
        assert saved.is_replay is (when == "after")
        assert draft_id in (None, saved.result.id)
        assert await subjects(fresh, "drafts") == ["New"]
    assert mail_peers.count("Drafts") == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["APPEND", "MOVE", "STORE"])
async def test_killed_in_the_middle_a_draft_or_a_move_is_there_once(
    mail_peers: Any, tmp_path: Path, command: str, when: str
) -> None:
    """The files of the journal as they were at that moment are what a killed process leaves."""
    raw = b"From: ann@example.com\r\nMessage-ID: <m@x.example>\r\nSubject: M\r\n\r\nx"
    left = tmp_path / "left"

    def die() -> None:
        left.mkdir()
        for path in tmp_path.glob("main.*"):
            if path.is_file():
                shutil.copy(path, left)

    async def act(mailbox: Any) -> Any:
        if command == "APPEND":
            return await mailbox.save_draft(op("k"), content(subject="New"))
        action = "archive" if command == "MOVE" else "star"
        return await mailbox.organize(op("k"), [received], action)

    async with mail_peers.mailbox() as mailbox:
        received = await mailbox.deliver(raw)
        mail_peers.cutter.cut(command, when)
        mail_peers.cutter.at_cut = die
        with suppress(OutcomeUnknown):
            await act(mailbox)
    mail_peers.folder = left
    async with mail_peers.mailbox() as fresh:
        await act(fresh)
        assert (await act(fresh)).is_replay
        if command == "APPEND":
            assert await subjects(fresh, "drafts") == ["New"]
        else:
            rows = (await fresh.search(MailSearch())).rows
            assert [(row.folder, row.is_starred) for row in rows] == [
                ("archive", False) if command == "MOVE" else ("inbox", True)
            ]
    assert mail_peers.count("Drafts") == (1 if command == "APPEND" else 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["STORE", "EXPUNGE"])
async def test_an_edit_leaves_one_version_wherever_the_connection_breaks(
    mail_peers: Any, command: str, when: str
) -> None:
    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.cutter.cut(command, when)
        saved = await mailbox.save_draft(op("k"), content(subject="New"), first.id)
        assert mail_peers.cutter.cuts == 1
        assert saved.result.id == first.id
        assert await subjects(mailbox, "drafts") == ["New"]
    assert mail_peers.count("Drafts") == 1


async def test_a_draft_is_one_draft_though_the_server_is_gone_after_taking_it(
    mail_peers: Any,
) -> None:
    def go_down() -> None:
        mail_peers.cutter.is_down = True

    async with mail_peers.mailbox() as mailbox:
        first = await draft(mailbox)
        mail_peers.cutter.at_cut = go_down
        mail_peers.cutter.cut("STORE", "before")
        with pytest.raises(OutcomeUnknown):
            await mailbox.save_draft(op("k"), content(subject="New"), first.id)
        mail_peers.cutter.is_down = False
        saved = await mailbox.save_draft(op("k"), content(subject="New"), first.id)
        assert (saved.is_replay, saved.result.id) == (True, first.id)
        assert await subjects(mailbox, "drafts") == ["New"]
    assert mail_peers.count("Drafts") == 1


async def test_a_mail_that_was_taken_but_not_noted_is_not_sent_again(
    mail_peers: Any, tmp_path: Path
) -> None:
    """Somebody holds the journal's file when the server has taken the mail."""
    holder = sqlite3.connect(tmp_path / "main.db", isolation_level=None, check_same_thread=False)

    def hold() -> None:
        holder.execute("BEGIN IMMEDIATE")
        release.start()

    # The real wait for the file is five seconds. Noting fails after one, and then there is another
    # one for what is found.
    release = threading.Timer(1.5, holder.rollback)
    async with mail_peers.mailbox() as mailbox:
        mailbox._journal._store._writer.execute("PRAGMA busy_timeout = 1000")
        first = await draft(mailbox)
        mail_peers.post.at_mail = hold
        sent = await mailbox.send(op("k"), first)
        release.join()
        again = await mailbox.send(op("k"), first)
        assert (again.is_replay, again.result) == (True, sent.result)
        with pytest.raises(Conflict):
            await mailbox.send(op(), first)
    holder.close()
    assert len(mail_peers.post.taken) == 1


async def test_what_was_done_to_some_only_is_told(mail_peers: Any) -> None:
    """Restoring needs two folders, and one of them cannot be written to."""
    raw = b"From: %s\r\nMessage-ID: <%d@x.example>\r\nSubject: M\r\n\r\nx"
    async with mail_peers.mailbox() as mailbox:
        ids = [
            await mailbox.deliver(raw % (who, number))
            for number, who in enumerate([b"ann@example.com", OWN.email.encode()])
        ]
        trashed = (await mailbox.organize(op(), ids, "trash")).result.ids
        await subjects(mailbox, "sent")
        mail_peers.set_writable(SENT, False)
        with pytest.raises(OutcomeUnknown):
            await mailbox.organize(op("k"), trashed, "restore")
        assert await subjects(mailbox, "inbox") == ["M"]
        mail_peers.set_writable(SENT, True)
        await mailbox.organize(op("k"), trashed, "restore")
        assert await subjects(mailbox, "sent") == ["M"]
        assert await subjects(mailbox, "trash") == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("action", "label", "command"),
    [
        ("archive", "", "MOVE"),
        ("archive", "", "CREATE"),
        ("trash", "", "MOVE"),
        ("spam", "", "MOVE"),
        ("move", "Süd", "MOVE"),
        ("move", "Süd", "CREATE"),
        ("read", "", "STORE"),
        ("star", "", "STORE"),
        ("label", "Ä b", "STORE"),
    ],
)
async def test_mails_are_organized_once_wherever_the_connection_breaks(
    mail_peers: Any, action: Action, label: str, command: str, when: str
) -> None:
    raw = b"From: ann@example.com\r\nMessage-ID: <%d@x.example>\r\nSubject: M\r\n\r\nx"
    async with mail_peers.mailbox() as mailbox:
        ids = [await mailbox.deliver(raw % number) for number in range(3)]
        mail_peers.cutter.cut(command, when)
        done = await mailbox.organize(op("k"), ids[:2], action, label)
        assert mail_peers.cutter.cuts == 1
        rows = await mailbox.rows(done.result.ids)
        where = {"archive": "archive", "trash": "trash", "spam": "spam", "move": label}
        assert [row.folder for row in rows] == [where.get(action, "inbox")] * 2
        if action == "read":
            assert [row.is_unread for row in rows] == [False] * 2
        if action == "star":
            assert [row.is_starred for row in rows] == [True] * 2
        if action == "label":
            assert [row.labels for row in rows] == [[label]] * 2
    async with mail_peers.mailbox() as fresh:
        again = await fresh.organize(op("k"), ids[:2], action, label)
        assert (again.is_replay, again.result) == (True, done.result)
        everywhere = [
            await subjects(fresh, folder.name)
            for folder in await fresh.folders()
            if not folder.is_label
        ]
        assert sum(map(len, everywhere)) == 3


async def test_a_mail_without_message_id_that_cannot_be_found_again_is_unknown(
    mail_peers: Any,
) -> None:
    async with mail_peers.mailbox() as mailbox:
        received = await mailbox.deliver(b"From: ann@example.com\r\nSubject: M\r\n\r\nx")
        mail_peers.cutter.cut("MOVE", "after")
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await mailbox.organize(op("k"), [received], "trash")
        assert await subjects(mailbox, "trash") == ["M"]
