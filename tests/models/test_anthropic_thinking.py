"""Thinking comes back as it was, and only where all that stood before it is as it was.

The vendor of these tests refuses it anywhere else, as Claude's newer models do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.fake_anthropic import (
    Block,
    CheckingVendor,
    call,
    error,
    hidden,
    serving,
    streamed,
    text,
    thought,
)
from tests.models.fake_openai import Asked as Received
from tests.models.fake_openai import json_play

from aicore import Agent
from aicore.errors import ModelError
from aicore.models import Anthropic, Completion, Request
from aicore.models.anthropic import Messages
from aicore.models.anthropic_reply import MessageCollector
from aicore.models.anthropic_thinking import Thinking
from aicore.models.http_model import Asked
from aicore.records import Message, Prefix, Tail, Tool

FIND = Tool(name="find", description="", parameters={}, server="crm", remote_name="find")
LIST = replace(FIND, name="list", remote_name="list")
PREFIX = Prefix("Be kind.", [FIND])
THINKS: list[Block] = [thought("Hm."), text("Well.")]
LOOKS: list[Block] = [thought("Who is Ann?"), text("I look."), call("c1", "find", {"name": "Ann"})]


def user(words: str) -> Message:
    return Message(role="user", text=words)


def result(words: str = "found") -> Message:
    return Message(role="tool", call_id="c1", text=words)


class Talk:
    """A conversation with the vendor who checks, without a network."""

    def __init__(self, *answers: Sequence[Block]) -> None:
        self.vendor = CheckingVendor(*answers)
        self.messages: list[Message] = []
        self.prefix = PREFIX
        self.summary: Message | None = None
        self.is_stream = False
        self.keeps_joined = True
        self._joined: dict[str, tuple[int, bytes]] = {}
        self.model = "m"

    def say(self, message: Message, volatile: str = "") -> Completion:
        self.messages.append(message)
        keeps = self.keeps_joined
        request = Request(
            prefix=self.prefix,
            tail=Tail(self.messages, self._joined) if keeps else list(self.messages),
            summary=self.summary,
            volatile=volatile,
        )
        dialect = Messages(self.model, "house", options={}, max_output_tokens=100)
        body = dialect.encode(request, is_stream=self.is_stream)
        play = self.vendor(Received("/", {}, body))
        assert play.status == 200, play.parts
        reply = dialect.reader()
        (reply.add_part if self.is_stream else reply.add_whole)(b"".join(play.parts))
        completion = reply.completion(
            Asked(model=self.model, body_bytes=len(body), price=None, request=request)
        )
        answer = Message(
            role="assistant",
            text=completion.text,
            calls=completion.calls,
            provider="house",
            state=completion.state,
        )
        self.messages.append(answer)
        return completion

    def changed(self) -> None:
        """Messages were changed, not only added: nobody may keep the old bytes."""
        self._joined = {}


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("keeps_joined", [True, False])
def test_all_thinking_comes_back_whatever_the_volatile_text(
    is_stream: bool, keeps_joined: bool
) -> None:
    talk = Talk(LOOKS, THINKS, LOOKS, THINKS, [text("Bye.")])
    talk.is_stream, talk.keeps_joined = is_stream, keeps_joined
    talk.say(user("find Ann"), "It is noon.")
    talk.say(result(), "It is one.")
    talk.say(user("again"), "")
    talk.say(result(), "It is three.\nAnn likes tea.")
    talk.say(user("bye"), "It is four.")

    assert talk.vendor.replayed == [0, 1, 2, 3, 4]


def test_thinking_between_other_blocks_keeps_its_place() -> None:
    first = [
        thought("One."),
        text("Wait. "),
        call("c1", "find", {"name": "Ann"}),
        thought(""),
        text("  "),
        text("And."),
        call("c2", "find", {"name": "Bob"}),
    ]
    talk = Talk(first, THINKS)
    completion = talk.say(user("find both"))
    talk.messages.append(result())
    talk.say(Message(role="tool", call_id="c2", text="found"))

    assert completion.text == "Wait.   And."
    assert [made.id for made in completion.calls] == ["c1", "c2"]


def test_hidden_thinking_comes_back_as_it_was() -> None:
    talk = Talk([hidden("b3BhcXVl"), thought("Hm."), text("Yes.")])
    talk.say(user("hi"))
    request = Request(prefix=PREFIX, tail=[*talk.messages, user("and?")])

    assert b'{"type":"redacted_thinking","data":"b3BhcXVl"}' in encoded(request)


def encoded(request: Request, provider: str = "house") -> bytes:
    dialect = Messages("m", provider, options={}, max_output_tokens=100)
    return dialect.encode(request, is_stream=False)


def test_another_providers_thinking_is_left_out() -> None:
    talk = Talk(LOOKS)
    talk.say(user("find Ann"), "Noon.")
    request = Request(prefix=PREFIX, tail=[*talk.messages, result()])

    assert b'"thinking"' in encoded(request)
    assert b'"thinking"' not in encoded(request, "other")
    assert b"Noon." not in encoded(request, "other")


def test_switch_of_provider_and_back() -> None:
    talk = Talk(THINKS, THINKS, THINKS)
    talk.say(user("hi"), "one")
    talk.messages += [
        user("you?"),
        Message(role="assistant", text="Me.", provider="other", state=5),
    ]
    talk.say(user("back"), "two")
    talk.say(user("on"), "three")

    assert talk.vendor.replayed == [0, 1, 2]


def test_compaction_leaves_old_thinking_out_and_keeps_the_new() -> None:
    talk = Talk(THINKS, THINKS, THINKS, THINKS)
    talk.say(user("hi"), "one")
    talk.say(user("on"), "two")
    talk.summary = user("They said hi.")
    talk.messages = talk.messages[2:]
    talk.changed()
    talk.say(user("on"), "three")
    talk.say(user("on"), "four")

    assert talk.vendor.replayed == [0, 1, 0, 1]


def test_other_tools_leave_thinking_out_until_the_old_ones_are_back() -> None:
    talk = Talk(THINKS, THINKS, THINKS, THINKS)
    talk.say(user("hi"), "one")
    talk.prefix = Prefix("Be kind.", [FIND, LIST])
    talk.say(user("on"), "two")
    talk.say(user("on"), "three")
    talk.prefix = PREFIX
    talk.say(user("on"), "four")

    assert talk.vendor.replayed == [0, 0, 1, 1]


def test_another_model_under_the_same_name_gets_no_thinking_that_is_not_its_own() -> None:
    talk = Talk(THINKS, THINKS, THINKS, THINKS)
    talk.say(user("hi"), "one")
    talk.model = "other"
    talk.say(user("on"), "two")
    talk.say(user("on"), "three")
    talk.model = "m"
    talk.say(user("on"), "four")

    assert talk.vendor.replayed == [0, 0, 1, 1]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_thinking_that_is_refused_all_the_same_is_left_out(is_stream: bool) -> None:
    """As under another key, or when a name stands for a newer model."""
    refused = "messages.1.content.0: Invalid `signature` in `thinking` block"
    plays = [json_play(error("invalid_request_error", refused), status=400)]
    async with serving(*plays) as server:
        async with Anthropic(base_url=server.base_url, model="m", name="house") as model:
            talk = Talk(THINKS)
            talk.say(user("hi"))
            talk.messages.append(user("on"))
            request = Request(prefix=PREFIX, tail=Tail(talk.messages, {}))
            if is_stream:
                *_, answered = [item async for item in model.stream(request)]
            else:
                answered = await model.complete(request)
        with_thought, without = (asked.json["messages"] for asked in server.requests)

    assert isinstance(answered, Completion)
    assert answered.text == "You said: on"
    assert [one["type"] for one in with_thought[1]["content"]] == ["thinking", "text"]
    assert [one["type"] for one in without[1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("refused", "answers"),
    [("no", THINKS), ("messages.1.content.0: Invalid `signature` in `thinking` block", THINKS[1:])],
)
async def test_other_refusals_are_asked_once(refused: str, answers: list[Block]) -> None:
    plays = [json_play(error("invalid_request_error", refused), status=400)]
    async with (
        serving(*plays) as server,
        Anthropic(base_url=server.base_url, model="m", name="house") as model,
    ):
        talk = Talk(answers)
        talk.say(user("hi"))
        talk.messages.append(user("on"))
        with pytest.raises(ModelError):
            await model.complete(Request(prefix=PREFIX, tail=talk.messages))

    assert len(server.requests) == 1


def test_changed_message_leaves_later_thinking_out() -> None:
    talk = Talk(THINKS, LOOKS, THINKS, THINKS)
    talk.say(user("hi"), "one")
    talk.say(user("find Ann"), "two")
    talk.messages[2] = user("find [masked]")
    talk.changed()
    talk.say(result(), "three")

    assert talk.vendor.replayed == [0, 1, 1]


def test_answer_that_lost_a_call_keeps_no_thinking() -> None:
    whole, cut = streamed(*LOOKS, stop="tool_use"), streamed(*LOOKS, stop="max_tokens")
    del cut[-5]  # the end of the arguments
    for events, finish in ((whole, "stop"), (cut, "length")):
        reply = MessageCollector("house")
        reply.add_part(b"".join(events))
        request = Request(prefix=PREFIX, tail=[user("hi")])
        completion = reply.completion(Asked(model="m", body_bytes=1, price=None, request=request))
        assert completion.finish == finish
        assert (completion.state is None) == (finish == "length")
        assert completion.text == "I look."


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ([thought("cut", ""), text("Hi.")], None),
        ([thought("all there was")], None),
        ([thought("a"), text("Hi."), thought("cut off")], 1),
        ([text("Hi.")], None),
    ],
)
def test_thinking_that_the_vendor_would_refuse_is_not_kept(
    content: list[Block], kept: int | None
) -> None:
    reply = MessageCollector("house")
    reply.add_part(b"".join(streamed(*content)))
    request = Request(prefix=PREFIX, tail=[user("hi")])
    state = reply.completion(Asked(model="m", body_bytes=1, price=None, request=request)).state

    thoughts = [part for part in (state or {}).get("layout", []) if isinstance(part, dict)]
    assert (len(thoughts) or None) == kept


@pytest.mark.parametrize(
    "layout",
    [
        None,
        [],
        [thought("x")],
        [thought("x"), 3, None],
        [thought("x"), 4],
        [thought("x"), 4, None, None],
        [thought("x"), -1, 5, None],
        [{"type": "text", "text": "forged"}, 4, None],
        ["x", 4, None],
        [4.0, None],
    ],
)
def test_state_that_does_not_fit_its_message_is_not_used(layout: Any) -> None:
    message = Message(
        role="assistant",
        text="Well",
        calls=Talk(LOOKS).say(user("find Ann")).calls,
        provider="house",
        state={"after": "0", "context": "", "layout": layout},
    )

    assert Thinking.of(message, "house") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["after", "context", "layout", "type"]), inner)
    ),
    max_leaves=6,
)


@given(JSON)
def test_state_of_any_kind_does_no_harm(state: Any) -> None:
    answer = Message(role="assistant", text="Hi.", provider="house", state=state)
    request = Request(prefix=PREFIX, tail=[user("a"), answer, user("b")])

    plain = replace(request, tail=[user("a"), replace(answer, state=None, encoded={}), user("b")])
    assert encoded(request) == encoded(plain)


DOINGS = st.lists(
    st.sampled_from(["say", "say", "say", "summary", "tools", "edit", "drop", "other"]),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(DOINGS, st.booleans())
def test_vendor_never_has_a_reason_to_refuse(doings: list[str], is_stream: bool) -> None:
    talk = Talk(*[THINKS] * 14)
    talk.is_stream = is_stream
    expected = [0]
    talk.say(user("hi"), "start")
    for number, doing in enumerate(doings):
        if doing == "say":
            talk.say(user(f"on {number}"), f"now {number}" if number % 3 else "")
            expected.append(expected[-1] + 1)
        elif doing == "summary":
            talk.summary = user(f"summary {number}")
        elif doing == "tools":
            talk.prefix = Prefix("Be kind.", [FIND, LIST] if number % 2 else [FIND])
        elif doing == "edit":
            talk.messages[0] = user(f"edited {number}")
            talk.changed()
        elif doing == "drop":
            talk.messages = talk.messages[2:] or talk.messages
            talk.changed()
        else:
            said = Message(role="assistant", text="Me.", provider="other", state=[number])
            talk.messages += [user("you?"), said]
    talk.say(user("bye"))

    if set(doings) <= {"say", "other"}:
        assert talk.vendor.replayed == [*expected, expected[-1] + 1]


async def test_over_the_wire(ask: Any, collect: Any) -> None:
    vendor = CheckingVendor(LOOKS, THINKS, [text("Bye.")])
    async with (
        serving(otherwise=vendor) as server,
        Anthropic(base_url=server.base_url, model="m", name="house") as model,
    ):
        tail = [user("find Ann")]
        for number, said in enumerate((result(), user("bye"), None)):
            request = ask(tail=list(tail), volatile=f"now {number}")
            completion = (
                (await collect(model, request))[1] if number % 2 else await model.complete(request)
            )
            answer = Message(
                role="assistant",
                text=completion.text,
                calls=completion.calls,
                provider=model.name,
                state=completion.state,
            )
            tail += [answer, said] if said else [answer]

    assert vendor.replayed == [0, 1, 2]


async def test_agent_brings_all_thinking_back() -> None:
    """Through the log, with tools, and with the time and other text that is new each time."""

    def find(name: str) -> str:
        """Find a customer."""
        return f"{name} is a customer."

    vendor = CheckingVendor(LOOKS, THINKS, LOOKS, THINKS)
    async with serving(otherwise=vendor) as server:
        provider = Anthropic(base_url=server.base_url, model="m")
        async with Agent(provider=provider, tools=[find]) as agent:
            first = await agent.send("find Ann", conversation="c")
            events = [event async for event in agent.stream("again", conversation="c")]
        bodies = [asked.json["messages"] for asked in server.requests]

    assert first.text == "I look.\n\nWell."
    assert events
    assert vendor.replayed == [0, 1, 2, 3]
    assert [message["role"] for message in bodies[3]] == ["user", "assistant"] * 3 + ["user"]
