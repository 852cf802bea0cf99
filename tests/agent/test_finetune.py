"""What becomes an example, and that nothing of a person is in it, wherever it stood in the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from aicore.agent.finetune import Example, example_of
from aicore.log.events import (
    Body,
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    ToolFinished,
    TurnFailed,
)
from aicore.records import Principal, PrincipalKind, ToolCall, Usage

FAILED = TurnFailed(code="x", message="y")


def said(text: str, speaker: PrincipalKind = "customer", id_: str = "c1") -> MessageReceived:
    return MessageReceived(text=text, principal=Principal(speaker, id_))


def replied(text: str, *calls: ToolCall, **more: Any) -> ModelReplied:
    return ModelReplied(
        text=text, calls=calls, usage=Usage(), provider="p", model="m", finish="stop", **more
    )


def gave(text: str, structured: Any = None) -> ToolFinished:
    return ToolFinished(call_id="c", tool="crm", text=text, structured=structured)


def logged(*turns: Sequence[Body]) -> list[Event]:
    events: list[Event] = []
    for bodies in turns:
        turn = len(events) + 1
        events += [Event(turn + number, turn, 1, body) for number, body in enumerate(bodies)]
    return events


def looked_up(
    result: ToolFinished, reply: str, arguments: dict[str, Any] | None = None
) -> list[Body]:
    call = ToolCall("c", "crm", arguments or {})
    return [said("who am I?"), replied("", call), result, replied(reply), ReplySent(text=reply)]


async def made(events: Sequence[Event], conversation: str = "web:1") -> Example:
    example = await example_of(events, conversation)
    assert example is not None
    return example


HI = "Hello, Zorvath Quillenby."
FOUND = gave("", {"name": "Zorvath Quillenby"})


@pytest.mark.parametrize(
    "turns",
    [
        [looked_up(gave("ok"), HI, {"customer_name": "Zorvath Quillenby"})],
        [[*looked_up(FOUND, HI)[:3], FAILED], [said("?"), replied(HI), ReplySent(text=HI)]],
        [looked_up(gave('{"name": "Zorvath Quillenby"}'), HI)],
        [looked_up(gave('<data from="x">\n{"name": "Zorvath Quillenby"}\n</data>'), HI)],
        [looked_up(gave("", {"Full Name": "Zorvath Quillenby"}), HI)],
        [looked_up(gave("", {"patient": "Zorvath Quillenby"}), HI)],
        [looked_up(gave("", {"name": {"first": "Zorvath", "last": "Quillenby"}}), HI)],
        [looked_up(gave("", {"attendees": ["Zorvath Quillenby"]}), HI)],
        [[said("My name is Zorvath Quillenby."), FAILED], looked_up(gave("ok"), HI)],
    ],
    ids=[
        "arguments",
        "failed-turn",
        "text",
        "fenced",
        "spelled",
        "role",
        "record",
        "party",
        "said-before",
    ],
)
async def test_a_name_known_from_anywhere_is_masked_everywhere(turns: list[list[Body]]) -> None:
    line = (await made(logged(*turns))).to_line()
    assert "Zorvath" not in line
    assert "Quillenby" not in line


async def test_numbers_in_fields_and_the_ids_of_the_conversation_are_masked() -> None:
    turn = looked_up(gave("", {"phone": 55512345}), "Is it zorvath_q8 of lake.side77?")
    example = await made(logged([said("hi", id_="zorvath_q8"), *turn[1:]]), "web:lake.side77")
    for word in ("55512345", "zorvath_q8", "lake.side77"):
        assert word not in example.to_line()


async def test_what_staff_say_is_masked_too() -> None:
    text = "Mr Zorvath Quillenby called, zorvath@example.org"
    example = await made(logged([said(text, "staff"), replied("Noted."), ReplySent(text="Noted.")]))
    assert "orvath" not in example.to_line()


async def test_what_the_flows_said_in_the_place_of_a_model_is_no_example() -> None:
    stood_in = replied("A person will call.", route={"degraded": True})
    assert await example_of(logged([said("hi"), stood_in, ReplySent(text="x")])) is None
    assert await example_of(logged([said("hi"), replied(""), ReplySent(text="")])) is None


async def test_the_line_is_what_openai_takes_and_each_call_has_an_id() -> None:
    events = logged(looked_up(FOUND, "a"), looked_up(gave("plain"), "b"))
    (line,) = [json.loads((await made(events)).to_line("You are the desk."))]
    messages = TypeAdapter(list[ChatCompletionMessageParam]).validate_python(line["messages"])
    assert len(messages) == 9
    ids = [one["tool_call_id"] for one in line["messages"] if one["role"] == "tool"]
    calls = [call["id"] for one in line["messages"] for call in one.get("tool_calls", ())]
    assert ids == calls
    assert len(set(ids)) == 2


@pytest.mark.parametrize("text", ["half a pair \ud83d", "[" * 100_000])
async def test_no_text_of_a_log_stops_it(text: str) -> None:
    line = (await made(logged(looked_up(gave(text), "ok \ud83d")))).to_line()
    assert json.loads(line.encode())["messages"][2]["content"] == text
