"""aicore-mail as a client sees it."""

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore_servers._tooling import Rules
from aicore_servers.mail import create
from aicore_tools.mail import Address
from aicore_tools.mail.backends.local import LocalMailbox
from aicore_tools.mail.timer import SendTimer
from aicore_tools.operations import Operation

Connect = Callable[..., AbstractAsyncContextManager[Any]]
_RACES = 60


async def receive(folder: Path, body: str) -> str:
    mailbox = LocalMailbox(
        folder / "mail.db", business="main", addresses=[Address("office@main.example")]
    )
    async with mailbox:
        message = "From: Ann <ann@example.com>\r\nSubject: Visit\r\nMessage-ID: <v@example.com>\r\n"
        return await mailbox.deliver(f"{message}\r\n{body}".encode())


def content_and_mode(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mode & 0o777


async def test_the_tools_are_the_promised_ones(
    in_process: Connect, matches_snapshot: Callable[..., None]
) -> None:
    async with in_process(create) as desk:
        tools = (await desk.client.list_tools()).tools
        matches_snapshot("mail", tools)
        for tool in tools:
            hints = tool.annotations.model_dump()
            assert None not in [value for name, value in hints.items() if name != "title"]
            assert hints["open_world_hint"] is True
            assert tool.output_schema is None
            honours = (tool.meta or {}).get("aicore/honours-operation-key")
            assert honours is (None if hints["read_only_hint"] else True)
        (send,) = [tool for tool in tools if tool.name == "mail_send"]
        assert send.annotations.destructive_hint
        assert desk.client.instructions


async def test_a_mail_is_drafted_sent_once_and_found(over_the_wire: Connect) -> None:
    async with over_the_wire("mail") as desk:
        made = await desk(
            "mail_draft", key="k1", to=["Ann <ann@example.com>"], subject="Grüße", body="Hallo"
        )
        assert made.body == {
            "draft_id": "1",
            "from": "office@main.example",
            "to": ["Ann <ann@example.com>"],
            "subject": "Grüße",
            "status": "draft",
        }
        asked = await desk("mail_send", key="k2", draft_id=made["draft_id"])
        assert asked["needs_confirmation"] is True
        assert (asked["plan"]["to"], asked["plan"]["body"]) == (made["to"], "Hallo")
        sent = await desk(
            "mail_send", key="k2", draft_id=made["draft_id"], confirm=asked["confirm"]
        )
        assert sent["status"] == "sent"
        again = await desk("mail_send", key="k2", draft_id=made["draft_id"])
        assert again.body == {**sent.body, "replayed": True}
        other = await desk("mail_send", key="k3", draft_id=made["draft_id"])
        assert (other.is_error, other["code"]) == (True, "already_sent")
        rows = (await desk("mail_search", query="hallo"))["rows"]
        assert [(row["id"], row["folder"]) for row in rows] == [(sent["id"], "sent")]
        read = await desk("mail_read", id=sent["message_id"])
        assert (read["text"], read["to"]) == ("Hallo", "Ann <ann@example.com>")


async def test_a_long_mail_says_how_to_read_on(in_process: Connect, tmp_path: Path) -> None:
    await receive(tmp_path, "x" * 20_000)
    async with in_process(create) as desk:
        first = await desk("mail_read", id="1")
        assert (len(first["text"]), first["truncated"], first["next_offset"]) == (8000, True, 8000)
        last = await desk("mail_read", id="1", offset=16_000)
        assert (len(last["text"]), "next_offset" in last.body) == (4000, False)
        assert (await desk("mail_search", unread=True))["rows"][0]["unread"] is True


async def test_a_reply_stays_in_its_thread(in_process: Connect, tmp_path: Path) -> None:
    received = await receive(tmp_path, "When?")
    async with in_process(create, rules=Rules(confirm="never")) as desk:
        made = await desk("mail_draft", key="k1", body="Tuesday", reply_to=received)
        assert (made["to"], made["subject"]) == (["Ann <ann@example.com>"], "Re: Visit")
        await desk("mail_draft", key="k2", body="Wednesday", draft_id=made["draft_id"])
        sent = await desk("mail_send", key="k3", draft_id=made["draft_id"])
        thread = await desk("mail_read", id=sent["thread"])
        assert thread["mails"] == [received, sent["id"]]
        assert "Wednesday" in thread["text"]
        assert "Tuesday" not in thread["text"]
        headers = await desk("mail_read", id=sent["id"], format="headers")
        assert "In-Reply-To: <v@example.com>" in headers["text"]


async def test_mail_is_sent_from_the_addresses_of_the_business_only(in_process: Connect) -> None:
    own = {"address": "Lakeside <hi@lakeside.example>, ann@lakeside.example"}
    async with in_process(create, options=own) as desk:
        assert (await desk("mail_draft", body="x"))["from"] == "Lakeside <hi@lakeside.example>"
        chosen = await desk("mail_draft", body="x", sender="ann@lakeside.example")
        assert chosen["from"] == "ann@lakeside.example"
        other = await desk("mail_draft", body="x", sender="eve@example.com")
        assert (other["code"], other["outcome"]) == ("not_allowed", "none")


async def test_a_business_without_an_address_gets_one_that_cannot_exist(
    in_process: Connect,
) -> None:
    async with in_process(create, business="Lakeside Dental & Co.") as desk:
        made = await desk("mail_draft", body="x")
        assert made["from"] == "office@lakeside-dental-co.example"


async def test_errors_have_one_shape(in_process: Connect) -> None:
    async with in_process(create) as desk:
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("mail_draft", {"body": "x", "to": ["nobody"]}, "invalid_input"),
            ("mail_draft", {"body": "x", "subject": "a\nBcc: e@x.example"}, "invalid_input"),
            ("mail_draft", {}, "invalid_input"),
            ("mail_draft", {"body": "x", "attachments": [{"name": "a"}]}, "invalid_input"),
            ("mail_draft", {"body": "x", "attachments": [{"file": "a"}]}, "invalid_input"),
            (
                "mail_draft",
                {"body": "x", "attachments": [{"name": "a/b", "text": ""}]},
                "invalid_input",
            ),
            (
                "mail_draft",
                {"body": "x", "attachments": [{"name": "a", "base64": "?"}]},
                "invalid_input",
            ),
            (
                "mail_draft",
                {"body": "x", "attachments": [{"name": "a", "mail": "9"}]},
                "not_found",
            ),
            ("mail_attachment", {"message_id": "9", "attachment": "1"}, "not_found"),
            ("mail_organize", {"ids": ["9"], "action": "trash"}, "not_found"),
            ("mail_organize", {"ids": [], "action": "trash"}, "invalid_input"),
            ("mail_organize", {"ids": ["9"] * 201, "action": "trash"}, "invalid_input"),
            ("mail_organize", {"ids": ["9"], "action": "burn"}, "invalid_input"),
            ("mail_organize", {"ids": ["9"], "action": "label"}, "invalid_input"),
            ("mail_organize", {"ids": ["9"], "action": "label", "label": "a%"}, "invalid_input"),
            ("mail_organize", {"ids": ["9"], "action": "read", "label": "a"}, "invalid_input"),
            ("mail_search", {"folder": "nowhere"}, "invalid_input"),
            ("mail_search", {"cursor": "x"}, "invalid_input"),
            ("mail_send", {"draft_id": "9"}, "not_found"),
            ("mail_read", {"id": "9"}, "not_found"),
            ("mail_read", {"id": "t9"}, "not_found"),
            ("mail_read", {"id": "1", "max_chars": 99_999}, "invalid_input"),
            ("mail_search", {"after": "soon"}, "invalid_input"),
            ("mail_search", {"after": "2026-03-02", "before": "2026-03-01"}, "invalid_input"),
        ]
        for tool, arguments, code in cases:
            answer = await desk(tool, **arguments)
            assert (answer.is_error, answer["code"]) == (True, code), (tool, arguments)
            assert (answer["retryable"], answer["outcome"]) == (False, "none")


async def test_a_draft_shows_everybody_it_would_go_to(in_process: Connect) -> None:
    """Who reviews a draft must see the hidden recipients too."""
    async with in_process(create) as desk:
        people = {"bcc": ["ann@example.com"], "cc": ["bob@example.com"]}
        draft = await desk("mail_draft", body="x", **people)
        read = await desk("mail_read", id=draft["draft_id"])
    assert read["bcc"] == ["ann@example.com"]
    assert read["cc"] == ["bob@example.com"]


async def test_fifty_megabytes_are_refused_and_nothing_is_kept(in_process: Connect) -> None:
    large = base64.b64encode(b"x" * 50_000_000).decode()
    async with in_process(create) as desk:
        answer = await desk("mail_draft", body="x", attachments=[{"name": "a", "base64": large}])
        assert (answer.is_error, answer["code"]) == (True, "attachment_too_large")
        assert "10 MB" in answer["message"]
        several = [{"name": f"{i}.txt", "text": "x" * 4_000_000} for i in range(3)]
        answer = await desk("mail_draft", body="x", attachments=several)
        assert answer["code"] == "attachment_too_large"
        assert (await desk("mail_search", folder="drafts"))["rows"] == []


async def test_an_attachment_is_drafted_read_and_passed_on(
    in_process: Connect, tmp_path: Path
) -> None:
    async with in_process(create, rules=Rules(confirm="never")) as desk:
        given = [
            {"name": "Größe.csv", "text": "a;b\n1;2"},
            {"name": "x.bin", "base64": base64.b64encode(b"\0\1").decode()},
        ]
        made = await desk("mail_draft", body="x", to=["office@main.example"], attachments=given)
        assert [each["name"] for each in made["attachments"]] == ["Größe.csv", "x.bin"]
        await desk("mail_send", draft_id=made["draft_id"])
        (received,) = (await desk("mail_search", folder="inbox", has_attachment=True))["rows"]
        listed = (await desk("mail_read", id=received["id"]))["attachments"]
        assert [(each["id"], each["size_bytes"]) for each in listed] == [("1", 7), ("2", 2)]
        text = await desk("mail_attachment", message_id=received["id"], attachment="1", max_chars=4)
        assert (text["text"], text["next_offset"]) == ("a;b\n", 4)
        binary = {"message_id": received["id"], "attachment": "x.bin"}
        assert (await desk("mail_attachment", **binary))["code"] == "invalid_input"
        kept = Path((await desk("mail_attachment", **binary, as_="file"))["path"])
        assert kept.is_relative_to(tmp_path)
        assert content_and_mode(kept) == (b"\0\1", 0o600)
        again = await desk(
            "mail_draft", body="y", attachments=[{"mail": received["id"], "name": "2"}]
        )
        assert again["attachments"][0]["name"] == "x.bin"
        forwarded = await desk("mail_draft", body="z", forward=received["id"])
        assert len(forwarded["attachments"]) == 2


async def test_a_plan_is_shown_and_nothing_is_done(in_process: Connect, tmp_path: Path) -> None:
    received = await receive(tmp_path, "When?")
    async with in_process(create) as desk:
        plan = (await desk("mail_draft", body="x", bcc=["ann@example.com"], dry_run=True))["plan"]
        assert (plan["bcc"], plan["body"]) == (["ann@example.com"], "x")
        assert (await desk("mail_search", folder="drafts"))["rows"] == []
        made = await desk("mail_draft", body="old", subject="S")
        change = {"body": "new", "draft_id": made["draft_id"], "dry_run": True}
        assert (await desk("mail_draft", **change))["plan"]["was"] == {"body": "old"}
        filing = {"ids": [received], "action": "move", "label": "Bills", "dry_run": True}
        plan = (await desk("mail_organize", **filing))["plan"]
        assert (plan["is_new"], plan["mails"][0]["folder"]) == (True, "inbox")
        names = [folder["name"] for folder in (await desk("mail_folders"))["folders"]]
        assert "Bills" not in names


async def test_nothing_but_what_was_confirmed_goes_out_while_a_draft_is_being_changed(
    in_process: Connect,
) -> None:
    options = {"recipients": "*@ok.example"}
    outcomes: list[str] = []
    async with in_process(create, options=options) as desk:
        for number in range(_RACES):
            made = await desk("mail_draft", to=["ann@ok.example"], body="Hello Ann")
            draft = made["draft_id"]
            asked = await desk("mail_send", draft_id=draft)

            async def send(
                draft: str = draft, confirm: str = asked["confirm"], number: int = number
            ) -> None:
                for _ in range(number % 10):
                    await anyio.lowlevel.checkpoint()
                sent = await desk("mail_send", draft_id=draft, confirm=confirm)
                outcomes.append(sent["code"] if sent.is_error else sent["to"][0])

            async def change(draft: str = draft) -> None:
                await desk("mail_draft", draft_id=draft, to=["eve@evil.example"], body="secrets")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                tasks.start_soon(change)
        sent = await desk("mail_search", folder="sent", limit=100)
    refusals = {"confirm_mismatch", "changed_meanwhile", "recipient_not_allowed"}
    assert set(outcomes) <= {"ann@ok.example", *refusals}
    assert outcomes.count("changed_meanwhile") > 0  # else nothing raced
    assert {row["to"] for row in sent["rows"]} <= {"ann@ok.example"}


async def test_a_confirmation_is_for_the_draft_as_it_was_shown(in_process: Connect) -> None:
    async with in_process(create) as desk:
        made = await desk("mail_draft", to=["ann@example.com"], body="x" * 1500 + "ten euros")
        asked = await desk("mail_send", draft_id=made["draft_id"])
        await desk("mail_draft", draft_id=made["draft_id"], body="x" * 1500 + "two euros")
        confirmed = {"draft_id": made["draft_id"], "confirm": asked["confirm"]}
        assert (await desk("mail_send", **confirmed))["code"] == "confirm_mismatch"
        assert (await desk("mail_search", folder="sent"))["rows"] == []


@pytest.mark.parametrize(
    ("allowed", "to", "is_sent"),
    [
        ("*@example.com, bob@firm.example", ["ann@Example.com", "bob@firm.example"], True),
        ("*@example.com", ["ann@example.com", "eve@sub.example.com"], False),
        ("*@*.example.com", ["eve@sub.example.com"], True),
        ("*@*.example.com", ["eve@evilexample.com"], False),
        ("", ["ann@example.com"], False),
        ("*", ["ann@example.com"], True),
    ],
)
async def test_mail_goes_to_allowed_recipients_only(
    in_process: Connect, allowed: str, to: list[str], is_sent: bool
) -> None:
    options = {"recipients": allowed}
    async with in_process(create, options=options, rules=Rules(confirm="never")) as desk:
        for field in ("to", "cc", "bcc"):
            made = await desk("mail_draft", body="x", **{field: to})
            answer = await desk("mail_send", draft_id=made["draft_id"])
            assert answer.is_error is not is_sent
            assert is_sent or (answer["code"], answer["outcome"]) == (
                "recipient_not_allowed",
                "none",
            )
        sent = (await desk("mail_search", folder="sent"))["rows"]
        assert len(sent) == (3 if is_sent else 0)


async def test_mails_and_threads_are_organized(in_process: Connect, tmp_path: Path) -> None:
    received = await receive(tmp_path, "When?")
    async with in_process(create) as desk:
        thread = (await desk("mail_read", id=received))["thread"]
        done = await desk("mail_organize", key="k", ids=[thread, received], action="archive")
        assert done.body == {"action": "archive", "ids": [received]}
        again = await desk("mail_organize", key="k", ids=[thread, received], action="archive")
        assert again.body == {**done.body, "replayed": True}
        await desk("mail_organize", ids=[received], action="label", label="Ärger")
        row = (await desk("mail_search", folder="ärger"))["rows"][0]
        assert (row["folder"], row["labels"]) == ("archive", ["Ärger"])
        folders = await desk("mail_folders")
        assert [each["name"] for each in folders["labels"]] == ["Ärger"]
        assert folders["addresses"] == ["office@main.example"]
        draft = await desk("mail_draft", body="x")
        refused = await desk("mail_organize", ids=[draft["draft_id"]], action="archive")
        assert refused["code"] == "invalid_input"


async def test_the_profile_decides_which_tools_there_are(in_process: Connect) -> None:
    seen = {}
    for profile in ("read", "draft", "write"):
        async with in_process(create, rules=Rules(profile=profile)) as desk:
            seen[profile] = {tool.name for tool in (await desk.client.list_tools()).tools}
    assert seen["read"] == {"mail_search", "mail_read", "mail_attachment", "mail_folders"}
    assert seen["draft"] - seen["read"] == {"mail_draft"}
    assert seen["write"] - seen["draft"] == {"mail_send", "mail_organize"}


async def test_a_mail_for_later_is_sent_while_the_server_runs(in_process: Connect) -> None:
    async with in_process(create, rules=Rules(confirm="never")) as desk:
        made = await desk("mail_draft", to=["ann@example.com"], subject="Soon", body="x")
        soon = (datetime.now(UTC) + timedelta(seconds=1.2)).isoformat()
        kept = await desk("mail_send", key="k", draft_id=made["draft_id"], send_at=soon)
        assert (kept["status"], kept["id"]) == ("scheduled", made["draft_id"])
        assert (await desk("mail_search", folder="sent"))["rows"] == []
        assert (await desk("mail_folders"))["scheduled"][0]["state"] == "waiting"
        with anyio.fail_after(20):
            while not (rows := (await desk("mail_search", folder="sent"))["rows"]):
                pass
        assert [row["subject"] for row in rows] == ["Soon"]
        again = await desk("mail_send", key="k", draft_id=made["draft_id"], send_at=soon)
        assert (again["status"], again["replayed"]) == ("scheduled", True)


async def test_a_mail_that_came_due_while_no_server_ran_is_sent_at_the_next_start(
    in_process: Connect, tmp_path: Path
) -> None:
    async with in_process(create) as desk:
        made = await desk("mail_draft", to=["ann@example.com"], subject="Soon", body="x")
    own, then = [Address("office@main.example")], datetime(2026, 3, 2, tzinfo=UTC)
    async with (
        LocalMailbox(tmp_path / "mail.db", business="main", addresses=own) as box,
        SendTimer(tmp_path / "mail-timer.db", business="main local default") as timer,
    ):
        draft = await box.draft(made["draft_id"])
        await timer.schedule(Operation.of("mail_send", {}), draft, then)
    async with in_process(create, rules=Rules(profile="draft")) as desk:  # it may not send
        assert (await desk("mail_folders"))["scheduled"][0]["state"] == "waiting"
        assert (await desk("mail_search", folder="sent"))["rows"] == []
    async with in_process(create) as desk:
        with anyio.fail_after(20):
            while not (await desk("mail_search", folder="sent"))["rows"]:
                pass
            while "scheduled" in (await desk("mail_folders")).body:
                pass
