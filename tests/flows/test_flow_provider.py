"""The flow provider as a Provider: state in the transcript, waits, other providers, agent steps."""

import json
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import pytest
from tests.flows.practice import FILE, NOW, Practice, tools, visit

from aicore.errors import ProviderUnavailable
from aicore.flows import FlowProvider, load_assistant
from aicore.flows.rehearsal import Rehearsal, stub_tool
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import Message, Prefix, ToolCall, Usage

PREFIX = Prefix(instructions="", tools=tools())
WHOLE = ["book", "cleaning", "thursday 3pm", "Ann Lee", "ann@example.com", "no", "4pm", "yes"]


def fresh() -> FlowProvider:
    return FlowProvider(FILE, now=lambda: NOW)


def user(text: str) -> Message:
    return Message(role="user", text=text)


async def ask(provider: FlowProvider, *tail: Message) -> Completion:
    return await provider.complete(Request(prefix=PREFIX, tail=tail))


def ours(completion: Completion, provider: FlowProvider) -> Message:
    """A completion as the transcript keeps it."""
    return Message(
        role="assistant",
        text=completion.text,
        calls=completion.calls,
        provider=provider.name,
        state=json.loads(json.dumps(completion.state)),
    )


async def test_it_costs_nothing_and_stays_in_the_process() -> None:
    async with fresh() as provider:
        completion = await ask(provider, user("hi"))

    assert provider.name == "flows"
    assert provider.capabilities.locality == "in_process"
    assert provider.capabilities.price is not None
    assert provider.capabilities.price.input_usd == Decimal(0)
    assert completion.usage == Usage(cost_usd=Decimal(0), is_reported=True)


async def test_every_step_may_be_taken_by_another_process(practice: Practice) -> None:
    once, changing = visit(practice), visit(Practice())
    for text in WHOLE:
        changing.provider = FlowProvider(FILE, now=lambda: NOW)
        assert await changing.say(text) == await once.say(text)

    assert len(practice.events) == 1


async def test_the_same_request_gives_the_same_answer() -> None:
    provider = fresh()

    first, second = [await ask(provider, user("book thursday 3pm")) for _ in range(2)]

    assert (first.text, first.calls, first.state) == (second.text, second.calls, second.state)


async def test_streaming_gives_the_same_text_in_pieces() -> None:
    provider = fresh()
    request = Request(prefix=PREFIX, tail=[user("hi")])

    items = [item async for item in provider.stream(request)]

    deltas = [item.delta for item in items if isinstance(item, TextDelta)]
    assert len(deltas) > 5
    assert all(deltas)
    assert isinstance(items[-1], Completion)
    assert "".join(deltas) == items[-1].text == (await provider.complete(request)).text


async def test_the_disclosure_comes_once_and_first(practice: Practice) -> None:
    rehearsal = visit(practice)

    first = await rehearsal.say("are you open on sunday?")
    second = await rehearsal.say("hello")

    assert first.startswith("I am the automated assistant of Lakeside Dental, not a person.")
    assert "not a person" not in second


async def called(provider: FlowProvider) -> tuple[list[Message], ToolCall]:
    """A conversation in which a booking has just been called, renamed as the agent may."""
    practice = Practice()
    rehearsal = Rehearsal(provider, tools(), practice.answer)
    await rehearsal.say("book a cleaning thursday 3pm, Ann Lee, ann@example.com")
    tail = [*rehearsal.tail, user("yes")]
    completion = await ask(provider, *tail)
    call = ToolCall("call_9_0", completion.calls[0].name, completion.calls[0].arguments)
    asked = ours(completion, provider)
    renamed = Message(role="assistant", calls=(call,), provider=asked.provider, state=asked.state)
    return [*tail, renamed], call


async def test_a_call_that_waits_for_staff_is_told_and_taken_up_later() -> None:
    provider = fresh()
    tail, call = await called(provider)
    waits = "Not done yet: a colleague must approve this call first. The outcome will follow."
    tail.append(Message(role="tool", call_id=call.id, text=waits, is_error=True))
    tail.append(Message(role="assistant", text="I am asking a colleague."))

    completion = await ask(provider, *tail, user("is it booked?"))
    assert "still looking" in completion.text
    assert not completion.calls

    tail += [user("is it booked?"), ours(completion, provider)]
    late = ToolCall("again_1", call.name, call.arguments)
    tail.append(Message(role="assistant", calls=(late,)))
    result: Any = {"event": {"id": "e1"}, "clashes": []}
    tail.append(Message(role="tool", call_id=late.id, text=json.dumps(result)))
    completion = await ask(provider, *tail)
    assert completion.calls[0].name == "crm_upsert"


async def test_a_message_shown_again_beside_its_late_result_is_not_heard_twice() -> None:
    provider = fresh()
    tail, call = await called(provider)
    refused: Any = {"code": "slot_taken", "message": "", "outcome": "none"}
    text = json.dumps(refused)
    tail.append(Message(role="tool", call_id=call.id, text=text, is_error=True, structured=refused))
    found = await ask(provider, *tail, user("yes"))
    slot = {"start": "2026-11-26T16:00:00+01:00", "end": "2026-11-26T16:45:00+01:00"}
    free: Any = {"slots": [slot]}
    while found.calls:
        tail += [ours(found, provider)]
        tail.append(Message(role="tool", call_id=found.calls[0].id, text="", structured=free))
        found = await ask(provider, *tail)

    assert "1. Thu 26 Nov, 16:00" in found.text


async def test_a_call_that_staff_refused_goes_the_way_of_an_error() -> None:
    provider = fresh()
    tail, call = await called(provider)
    refused = "Refused by staff:ann: no reason given. It was not done."
    tail.append(Message(role="tool", call_id=call.id, text=refused, is_error=True))

    completion = await ask(provider, *tail)

    assert "could not complete the booking" in completion.text
    assert completion.calls[0].name == "crm_log"


async def test_a_turn_that_was_stopped_after_its_result_goes_on() -> None:
    provider = fresh()
    tail, call = await called(provider)
    result: Any = {"event": {"id": "e1"}, "clashes": []}
    tail.append(Message(role="tool", call_id=call.id, text=json.dumps(result), structured=result))

    completion = await ask(provider, *tail, user("hello?"))

    assert completion.calls[0].name == "crm_upsert"


async def test_other_providers_in_between_do_not_disturb() -> None:
    provider = fresh()
    first = await ask(provider, user("book a cleaning"))
    tail = [user("book a cleaning"), ours(first, provider), user("do you sell dogs?")]
    tail.append(Message(role="assistant", text="We do not.", provider="openai:x", state={"a": 1}))

    completion = await ask(provider, *tail, user("thursday 3pm"))

    assert completion.calls[0].name == "calendar_free"


async def test_it_takes_over_from_a_model_that_died_in_the_middle() -> None:
    call = ToolCall("c1", "calendar_free", {})
    tail = [
        user("book a cleaning"),
        Message(role="assistant", calls=(call,), provider="openai:x"),
        Message(role="tool", call_id="c1", text="{}"),
    ]

    completion = await ask(fresh(), *tail)

    assert "When would suit you?" in completion.text


async def test_what_was_typed_in_failed_turns_counts() -> None:
    completion = await ask(fresh(), user("book a cleaning"), user("on thursday at 3pm"))

    assert completion.calls[0].arguments["start"].startswith("2026-11-26T15:00")


async def test_a_changed_file_starts_over_and_repeats_no_effect() -> None:
    provider = fresh()
    tail, call = await called(provider)
    tail.append(Message(role="tool", call_id=call.id, text="{}", structured={}))
    tail[-2].state["version"] = "older"

    completion = await ask(provider, *tail, user("hello"))

    assert "begin again" in completion.text
    assert not completion.calls


@pytest.mark.parametrize("state", [None, 7, "x", [], {}, {"version": 3}])
async def test_a_state_that_cannot_be_read_is_a_fresh_start(state: Any) -> None:
    tail = [user("hi"), Message(role="assistant", text="?", provider="flows", state=state)]

    assert "1. Check-up" in (await ask(fresh(), *tail, user("book"))).text


async def test_a_tool_that_is_not_connected_is_an_error_and_never_called() -> None:
    request = Request(prefix=Prefix(""), tail=[user("book a checkup tuesday 10am")])

    completion = await fresh().complete(request)

    assert not completion.calls
    assert "+49 30 901820" in completion.text


async def test_tools_are_found_by_their_own_name_under_a_prefix() -> None:
    renamed = [stub_tool("calendar_free")]
    object.__setattr__(renamed[0], "name", "cal__calendar_free")
    request = Request(prefix=Prefix("", renamed), tail=[user("book a checkup tuesday 10am")])

    completion = await fresh().complete(request)

    assert completion.calls[0].name == "cal__calendar_free"


def test_answers_are_quick() -> None:
    assistant = load_assistant(FILE)
    provider = FlowProvider(assistant, now=lambda: NOW)
    request = Request(prefix=PREFIX, tail=[user("book a cleaning thursday 3pm, I'm Ann")])

    def once() -> float:
        began = time.process_time()
        with pytest.raises(StopIteration):
            provider.complete(request).send(None)
        return time.process_time() - began

    once()
    assert min(once() for _ in range(20)) < 0.010


ADVICE: dict[str, Any] = {
    "assistant": "Shop",
    "zone": "Europe/Berlin",
    "region": "DE",
    "disclosure": "I am an automated assistant.",
    "answers": [{"questions": ["socks"], "text": "Socks are 5 EUR.", "source": "Prices"}],
    "flows": [
        {
            "flow": "advise",
            "triggers": ["advice"],
            "steps": [
                {"agent": {"goal": "Find a gift.", "tools": ["crm_search"], "max_turns": 2}},
                {"say": "I hope that helped."},
            ],
        }
    ],
}


class Model:
    """A model that gives prepared completions and notes what it was asked."""

    name = "model"
    capabilities = Capabilities(locality="local")

    def __init__(self, *answers: Completion | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        yield await self.complete(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def advised(*answers: Completion | Exception) -> tuple[Rehearsal, Model]:
    model = Model(*answers)
    provider = FlowProvider(ADVICE, now=lambda: datetime(2026, 11, 23), model=model)  # noqa: DTZ001  a naive one is wall time
    offered = [stub_tool("crm_search", read_only=True), stub_tool("payments_refund")]
    return Rehearsal(provider, offered, lambda call: {"rows": []}), model


async def test_an_agent_step_lets_the_model_use_only_its_tools() -> None:
    search = ToolCall("c1", "crm_search", {"query": "hats"})
    refund = ToolCall("c2", "payments_refund", {})
    usage = Usage(input_tokens=10, output_tokens=5)
    rehearsal, model = advised(
        Completion(text="", calls=(search, refund), usage=usage, state={"k": 1}),
        Completion(text="What about a hat?", usage=usage),
        Completion(text="", calls=(ToolCall("c3", "finish_step", {}),), usage=usage),
    )

    assert "a hat" in await rehearsal.say("I need advice")
    assert [call.name for call in rehearsal.calls] == ["crm_search"]
    assert [tool.name for tool in model.asked[0].prefix.tools] == ["crm_search", "finish_step"]
    assert "Find a gift." in model.asked[0].prefix.instructions
    assert model.asked[1].tail[-2].state == {"k": 1}
    assert "hope that helped" in await rehearsal.say("great")


async def test_an_agent_step_ends_after_its_turns() -> None:
    rehearsal, model = advised(*[Completion(text=f"Idea {n}") for n in range(5)])

    await rehearsal.say("I need advice")
    await rehearsal.say("another?")
    last = await rehearsal.say("and another?")

    assert "hope that helped" in last
    assert len(model.asked) == 2


async def test_an_agent_step_can_be_left() -> None:
    rehearsal, model = advised(Completion(text="Idea"))

    await rehearsal.say("I need advice")

    assert "stopped" in await rehearsal.say("never mind")
    assert len(model.asked) == 1


@pytest.mark.parametrize("text", ["I need advice", "I need advice on socks"])
async def test_without_a_model_an_agent_step_says_so_or_quotes_a_fact(text: str) -> None:
    rehearsal, _ = advised(ProviderUnavailable("down"))

    reply = await rehearsal.say(text)

    assert ("Socks are 5 EUR." in reply) is ("socks" in text)
    assert ("cannot advise" in reply) is ("socks" not in text)
