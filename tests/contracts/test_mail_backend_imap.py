"""Mail over real IMAP and SMTP servers: the whole way, and what only such servers do."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from aicore_servers._serve import ServeSettings
from aicore_servers.mail import create
from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotFound,
)
from aicore_tools.mail.backends.imap import ImapMailbox
from aicore_tools.mail.drafting import AttachmentInput, DraftInput
from aicore_tools.mail.records import Address, DraftContent, MailSearch
from aicore_tools.mail.registry import MailboxSettings, mailbox
from aicore_tools.mail.service import MailService
from aicore_tools.operations import Operation

OWN = Address("office@lakeside.example", "Lakeside")
FOREIGN_DRAFT = (
    b"From: office@lakeside.example\r\nTo: ann@example.com\r\nBcc: boss@lakeside.example\r\n"
    b"Message-ID: <foreign@lakeside.example>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n"
    b"X-Mozilla-Draft-Info: internal/draft\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Sch\xc3\xb6n</p>\r\n"
)


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


def mail(subject: str, **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = "ann@example.com"
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Good morning")
    return message.as_bytes()


async def sent_by(service: MailService, given: DraftInput) -> Any:
    saved = (await service.draft(await service.plan_draft(given), op())).result
    return (await service.send(await service.plan_send(saved.id), op())).result


async def only(box: Any, **search: Any) -> Any:
    (row,) = (await box.search(MailSearch(**search))).rows
    return row


async def test_a_conversation_goes_the_whole_way(mail_peers: Any) -> None:
    """Alias, umlauts, attachments and threading headers, through a real server and back."""
    mail_peers.post.own = frozenset()
    mail_peers.post.users = {
        "hallo@lakeside.example": mail_peers.user("office"),
        "jurgen@example.com": mail_peers.user("ann"),
    }
    aliases = {"addresses": "office@lakeside.example, Büro <hallo@lakeside.example>"}
    hers = {"addresses": "Jürgen Groß <jurgen@example.com>"}
    boxes = [
        ImapMailbox(
            mail_peers.folder / f"{name}.db",
            business="main",
            connection=mail_peers.connection(name, **fields),
            addresses=(),
        )
        for name, fields in (("office", aliases), ("ann", hers))
    ]
    async with boxes[0] as office, boxes[1] as ann:
        here, there = MailService(office), MailService(ann)
        first = await sent_by(
            here,
            DraftInput(
                body="Schöne Grüße\n— 10 €",
                to=["Jürgen Groß <jurgen@example.com>"],
                subject="Angebot für Ärzte & Söhne 🌞",
                sender="hallo@lakeside.example",
                attachments=[AttachmentInput(name="Größe 1.csv", text="ä;ö\n1;2")],
            ),
        )
        received = await only(ann, folder="inbox")
        assert received.subject == "Angebot für Ärzte & Söhne 🌞"
        assert received.sender == "Büro <hallo@lakeside.example>"
        assert received.to == "Jürgen Groß <jurgen@example.com>"
        reading = await there.read(received.id)
        assert reading.text == "Schöne Grüße\n— 10 €"
        assert [each.name for each in reading.attachments] == ["Größe 1.csv"]
        opened = await there.attachment(received.id, "Größe 1.csv")
        assert opened.text == "ä;ö\n1;2"
        await sent_by(there, DraftInput(body="Danke!", reply_to=received.id))
        answer = await only(office, folder="inbox")
        assert answer.thread == first.thread == received.thread
        again = await sent_by(here, DraftInput(body="Gern", reply_to=answer.thread))
        assert again.to == ["Jürgen Groß <jurgen@example.com>"]
        for box in (office, ann):
            texts = [
                message_from_bytes(each.raw, policy=policy.default).get_body(("plain",))
                for each in await box.thread(first.thread)
            ]
            assert [part.get_content().strip()[:6] for part in texts if part] == [
                "Schöne",
                "Danke!",
                "Gern",
            ]
        last = message_from_bytes((await office.get(again.id)).raw, policy=policy.default)
        assert last["In-Reply-To"] == (await office.get(answer.id)).message_id
        assert last["References"].split() == [first.message_id, last["In-Reply-To"]]
    assert [each.mail_from for each in mail_peers.post.taken] == [
        "hallo@lakeside.example",
        "jurgen@example.com",
        "office@lakeside.example",
    ]


async def test_ten_megabytes_arrive(mail_peers: Any) -> None:
    large = "ä" * 4_900_000
    async with mail_peers.mailbox() as box:
        service = MailService(box)
        given = [AttachmentInput(name="large.txt", text=large)]
        await sent_by(service, DraftInput(body="x", to=[str(OWN)], attachments=given))
        received = await only(box, folder="inbox", has_attachment=True)
        mail_back = await box.get(received.id)
    (part,) = message_from_bytes(mail_back.raw, policy=policy.default).iter_attachments()
    assert part.get_content() == large


async def test_a_draft_of_another_program_is_sent_as_it_is(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        await box.folders()
        with mail_peers.dovecot.login(mail_peers.user()) as client:
            client.append("Drafts", "\\Draft", "", FOREIGN_DRAFT)
        row = await only(box, folder="drafts")
        draft = await box.draft(row.id)
        assert (draft.content.subject, draft.content.body) == ("Grüße", "Schön")
        sent = (await box.send(op("k"), draft)).result
        stored = (await box.get(sent.id)).raw
        assert "<p>Schön</p>".encode() in stored
        assert b"Bcc" not in stored
        assert b"Mozilla" not in stored
        assert b"foreign@" not in stored
        assert (await box.search(MailSearch(folder="drafts"))).rows == []
    (taken,) = mail_peers.post.taken
    assert taken.rcpt_tos == ["ann@example.com", "boss@lakeside.example"]
    assert "<p>Schön</p>".encode() in taken.original_content


async def test_html_that_another_program_changed_is_not_what_was_planned(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        await box.folders()
        with mail_peers.dovecot.login(mail_peers.user()) as client:
            client.append("Drafts", "\\Draft", "", FOREIGN_DRAFT)
        row = await only(box, folder="drafts")
        planned = await box.draft(row.id)
        other = replace(planned.content, html=planned.content.html.replace("Schön", "Eilig"))
        assert other.body == planned.content.body
        with pytest.raises(Conflict) as refused:
            await box.send(op("k"), replace(planned, content=other))
        assert refused.value.code == "changed_meanwhile"
        assert mail_peers.post.taken == []
        assert (await box.send(op("k"), planned)).result.subject == "Grüße"
    assert len(mail_peers.post.taken) == 1


async def test_a_header_that_another_program_adds_is_not_what_was_planned(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        content = DraftContent(sender=OWN, to=[Address("ann@example.com")], body="x")
        planned = await box.draft((await box.save_draft(op(), content)).result.id)
        (raw,) = mail_peers.dovecot.raws(mail_peers.user(), "Drafts")
        with mail_peers.dovecot.login(mail_peers.user()) as client:
            client.append("Drafts", "\\Draft", "", b"Reply-To: eve@evil.example\r\n" + raw)
        with pytest.raises(Conflict) as refused:
            await box.send(op("k"), planned)
        assert refused.value.code == "changed_meanwhile"
        assert mail_peers.post.taken == []
        now = await box.draft(planned.id)
        assert now.content == planned.content
        assert (await box.send(op("k"), now)).result.to == ["ann@example.com"]
    assert len(mail_peers.post.taken) == 1


async def test_a_draft_of_another_program_keeps_its_id_when_it_is_edited(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        await box.folders()
        with mail_peers.dovecot.login(mail_peers.user()) as client:
            client.append("Drafts", "\\Draft", "", FOREIGN_DRAFT)
        row = await only(box, folder="drafts")
        for subject in ("One", "Two"):
            content = replace((await box.draft(row.id)).content, subject=subject)
            saved = (await box.save_draft(op(), content, row.id)).result
            assert saved.id == row.id
            assert (await only(box, folder="drafts")).subject == subject
        assert (await box.get(row.id)).row.subject == "Two"
        edited = await box.draft(row.id)
        assert edited.content.html == ""
        assert (await box.send(op(), edited)).result.subject == "Two"
    assert mail_peers.count("Drafts") == 0


async def test_one_account_never_sees_anothers_mail(mail_peers: Any, tmp_path: Path) -> None:
    def connect(vendor: str) -> Connection:
        raise AssertionError(vendor)

    def opened(account: str) -> Any:
        connection = replace(mail_peers.connection(account[0]), account=account)
        return mailbox(
            "imap",
            MailboxSettings(
                data_dir=tmp_path / "data",
                business="main",
                addresses=[OWN],
                account=account,
                connect=lambda vendor: connection if vendor == "imap" else connect(vendor),
            ),
        )

    content = DraftContent(sender=OWN, to=[OWN], subject="Of a", body="x")
    async with opened("a") as one, opened("b/../a") as two:
        saved = await one.save_draft(op("k"), content)
        mail_id = mail_peers.dovecot.deliver(mail_peers.user("a"), mail("M", Message_ID="<m@x.de>"))
        for name in (saved.result.id, mail_id, "<m@x.de>"):
            with pytest.raises(NotFound):
                await two.get(name)
        assert (await two.search(MailSearch(folder="drafts"))).rows == []
        assert await two.earlier(op("k")) is None
        other = await two.save_draft(op("k"), replace(content, subject="Of b"))
        assert not other.is_replay
        assert (await only(one, folder="drafts")).subject == "Of a"
        assert (await only(two, folder="drafts")).subject == "Of b"
        with pytest.raises(NotFound):
            await two.send(op(), await one.draft(saved.result.id))


async def test_moments_and_attachments_are_sifted_page_by_page(mail_peers: Any) -> None:
    user, now = mail_peers.user(), datetime.now(UTC)
    with_file = EmailMessage()
    with_file["Subject"] = "file"
    with_file.set_content("x")
    with_file.add_attachment(b"1", maintype="application", subtype="pdf", filename='a"ü.pdf')
    async with mail_peers.mailbox() as box:
        await box.folders()
        for hours in range(12, 0, -1):
            raw = with_file.as_bytes() if hours % 4 == 0 else mail(f"mail {hours}")
            mail_peers.dovecot.deliver(user, raw, age_s=hours * 3600 + 60)
        window = MailSearch(
            after=now - timedelta(hours=7), before=now - timedelta(hours=4), limit=1
        )
        subjects = []
        page = await box.search(window)
        while True:
            subjects += [row.subject for row in page.rows]
            if page.next_cursor is None:
                break
            page = await box.search(replace(window, cursor=page.next_cursor))
        assert subjects == ["file", "mail 5", "mail 6"]
        found = (await box.search(MailSearch(has_attachment=True))).rows
        assert [row.subject for row in found] == ["file"] * 3
        assert all(row.has_attachment for row in found)
        assert (await box.get(found[0].id)).row.has_attachment


async def test_a_folder_that_is_numbered_anew_makes_cursors_and_ids_void(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        ids = [await box.deliver(mail(f"{number}")) for number in range(3)]
        moved = (await box.organize(op(), ids, "move", "Süd")).result.ids
        page = await box.search(MailSearch(folder="Süd", limit=1))
        with mail_peers.dovecot.login(mail_peers.user()) as client:
            client.rename('"S&APw-d"', "old")
            client.create('"S&APw-d"')
            client.select("old")
            client.copy("1:*", '"S&APw-d"')
        with pytest.raises(InvalidInput):
            await box.search(MailSearch(folder="Süd", limit=1, cursor=page.next_cursor))
        with pytest.raises(NotFound):
            await box.get(moved[0])
        with pytest.raises(NotFound):
            await box.organize(op(), moved[:1], "trash")


async def test_a_connection_that_died_is_opened_again(mail_peers: Any) -> None:
    async with mail_peers.mailbox() as box:
        received = await box.deliver(mail("M"))
        await box.get(received)
        mail_peers.cutter.drop()
        assert (await box.get(received)).row.subject == "M"
        mail_peers.cutter.drop()
        await box.organize(op(), [received], "star")
        assert (await box.get(received)).row.is_starred


async def test_who_cannot_log_in_is_told_to_connect_again(mail_peers: Any) -> None:
    for fields, error in (
        ({"password": "wrong"}, BackendConfigError),
        ({"user": "nöbody", "password": "wröng"}, BackendConfigError),
        ({"imap_port": "1"}, BackendUnavailable),
        ({"imap_tls": "ssl"}, BackendUnavailable),
        ({"imap_tls": "starttls"}, BackendConfigError),
    ):
        async with mail_peers.mailbox(**fields) as box:
            with pytest.raises(error) as refusal:
                await box.probe()
            assert fields.get("password", "-none-") not in str(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"imap_tls": "none", "imap_host": "mail.example.com"},
        {"smtp_tls": "none", "smtp_host": "192.0.2.1"},
        {"imap_tls": "maybe"},
        {"imap_port": "70000"},
        {"smtp_port": "x"},
        {"smtp_host": ""},
        {"user": ""},
    ],
)
def test_a_connection_that_cannot_be_or_is_not_safe_is_refused(
    mail_peers: Any, fields: dict[str, str]
) -> None:
    with pytest.raises(BackendConfigError):
        mail_peers.mailbox(**fields)


def test_a_user_who_is_no_address_needs_one_to_send_from(mail_peers: Any) -> None:
    for addresses, is_fine in (("", False), ("x", False), ("a@b.example, C <c@d.example>", True)):
        connection = mail_peers.connection(addresses=addresses)
        try:
            box = ImapMailbox(
                mail_peers.folder / "m.db", business="main", connection=connection, addresses=()
            )
        except BackendConfigError:
            assert not is_fine
        else:
            assert [each.email for each in box.addresses] == ["a@b.example", "c@d.example"]


def test_a_password_goes_unprotected_only_where_somebody_said_so(mail_peers: Any) -> None:
    fields = {"imap_host": "mail.example.com", "allow_unencrypted": "yes"}
    assert mail_peers.mailbox(**fields).addresses == (OWN,)


@contextmanager
def smtp_over_tls(mail_peers: Any, path: Path, how: str) -> Iterator[int]:
    import mail_peers as peers  # type: ignore[import-not-found] # conftest.py loads it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    options = (
        {"ssl_context": context}
        if how == "ssl"
        else {"tls_context": context, "require_starttls": True}
    )
    with peers.running_post(mail_peers.post, **options) as port:
        yield port


@pytest.mark.parametrize("how", ["ssl", "starttls"])
async def test_mail_goes_over_tls_to_trusted_servers_only(
    mail_peers: Any, mail_tls: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    peer = mail_tls.dovecot
    imap_port = peer.ssl_port if how == "ssl" else peer.port
    with smtp_over_tls(mail_peers, mail_tls.path, how) as smtp_port:
        fields = {
            "imap_port": str(imap_port),
            "imap_tls": how,
            "smtp_port": str(smtp_port),
            "smtp_tls": how,
        }
        async with mail_peers.mailbox(**fields) as box:
            with pytest.raises(BackendConfigError):
                await box.folders()
        monkeypatch.setenv("SSL_CERT_FILE", str(mail_tls.path))
        async with mail_peers.mailbox(**fields) as box:
            assert (await box.probe()).can
            content = DraftContent(sender=OWN, to=[Address("ann@example.com")], body="x")
            saved = (await box.save_draft(op(), content)).result
            await box.send(op("k"), await box.draft(saved.id))
        monkeypatch.delenv("SSL_CERT_FILE")
        plain = {**fields, "imap_tls": "none", "imap_port": str(mail_peers.cutter.port)}
        async with mail_peers.mailbox(**plain) as box:
            saved = (await box.save_draft(op(), content)).result
            planned = await box.draft(saved.id)
            with pytest.raises(BackendConfigError):
                await box.send(op("k2"), planned)
    assert len(mail_peers.post.taken) == 1


def test_a_server_without_move_and_uidplus_is_served_too(mail_peers: Any) -> None:
    from aicore_tools.mail.backends import imap_reading, imap_writing
    from aicore_tools.mail.backends.imap_link import ImapLink, ImapSession

    user = mail_peers.user()
    ids = [mail_peers.dovecot.deliver(user, mail(f"{n}", Message_ID=f"<{n}@x.de>")) for n in "ab"]
    link = ImapLink(mail_peers.connection())

    def move(session: ImapSession) -> list[str]:
        session.can = frozenset()
        mails = [
            {"place": list(imap_reading.Place.of(each)), "message_id": "", "home": "inbox"}
            for each in ids[:1]
        ]
        return imap_writing.organize_all(session, "archive", "", mails)

    (moved,) = link.change(move)
    found = link.read(lambda session: imap_reading.several(session, [moved]))
    assert b"Subject: a" in found[0][1].raw
    assert link.read(lambda s: imap_reading.in_folder(s, "INBOX", "ALL")) == [2]
    link.close()
    with mail_peers.dovecot.login(user) as client:
        assert client.select("INBOX", readonly=True)[1] == [b"2"]  # marked, not taken out


async def test_the_server_sends_over_it_as_over_any_other(mail_peers: Any, tmp_path: Path) -> None:
    connection = mail_peers.connection()
    chosen = ServeSettings(
        data_dir=tmp_path / "data",
        backend="imap",
        connect=lambda _: connection,
        options={"address": str(OWN), "recipients": "*@example.com"},
    )

    async def ask(client: Client, tool: str, key: str | None = None, **given: Any) -> Any:
        meta: Any = {"aicore/operation-key": key} if key else None
        (block,) = (await client.call_tool(tool, given, meta=meta)).content
        return json.loads(block.text)

    async with Client(create(chosen)) as client:
        made = await ask(client, "mail_draft", "k1", to=["ann@example.com"], body="Grüße")
        sending = {"draft_id": made["draft_id"]}
        asked = await ask(client, "mail_send", "k2", **sending)
        assert asked["plan"]["to"] == ["ann@example.com"]
        sent = await ask(client, "mail_send", "k2", **sending, confirm=asked["confirm"])
        assert sent["status"] == "sent"
        other = await ask(client, "mail_draft", to=["eve@firm.example"], body="x")
        refused = await ask(client, "mail_send", draft_id=other["draft_id"])
        assert refused["code"] == "recipient_not_allowed"
    async with Client(create(chosen)) as client:
        again = await ask(client, "mail_send", "k2", **sending)
        assert again == {**sent, "replayed": True}
        found = (await ask(client, "mail_search", query="Grüße", folder="sent"))["rows"]
        assert [row["id"] for row in found] == [sent["id"]]
        done = await ask(client, "mail_organize", ids=[sent["thread"]], action="archive")
        assert (await ask(client, "mail_read", id=done["ids"][0]))["text"] == "Grüße"
    assert len(mail_peers.post.taken) == 1
