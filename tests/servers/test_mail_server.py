"""aicore-mail as a client sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from aicore_servers.mail import create
from aicore_tools.mail import Address
from aicore_tools.mail.backends.local import LocalMailbox

Connect = Callable[..., AbstractAsyncContextManager[Any]]


async def receive(folder: Path, body: str) -> str:
    mailbox = LocalMailbox(
        folder / "mail.db", business="main", addresses=[Address("office@main.example")]
    )
    async with mailbox:
        message = "From: Ann <ann@example.com>\r\nSubject: Visit\r\nMessage-ID: <v@example.com>\r\n"
        return await mailbox.deliver(f"{message}\r\n{body}".encode())


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
        sent = await desk("mail_send", key="k2", draft_id=made["draft_id"])
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
    async with in_process(create) as desk:
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
            ("mail_draft", {"body": "x", "attachments": []}, "invalid_input"),
            ("mail_send", {"draft_id": "9"}, "not_found"),
            ("mail_read", {"id": "9"}, "not_found"),
            ("mail_read", {"id": "t9"}, "not_found"),
            ("mail_read", {"id": "1", "max_chars": 99_999}, "invalid_input"),
            ("mail_search", {"after": "soon"}, "invalid_input"),
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
