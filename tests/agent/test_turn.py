"""The turn: what reaches the model, what is called, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio
import pytest

from aicore import Agent, CallFinished, CallStarted, Limits, Replied, TextDelta, tool
from aicore.errors import (
    ConfigError,
    CostLimitReached,
    CredentialError,
    CustomerError,
    ModelError,
    NotOpenError,
    ProviderUnavailable,
    RoundLimitReached,
    TimeLimitReached,
    TokenLimitReached,
)
from aicore.log import MemoryLog
from aicore.log.events import ToolFinished, ToolStarted, TurnFailed
from aicore.models import ScriptedProvider
from aicore.models.port import Capabilities, Completion, Price, Request
from aicore.records import ConversationId, ToolCall, Usage

TALK = "web:1"


def calls(*names_and_arguments: tuple[str, dict[str, Any]], text: str = "") -> Completion:
    return Completion(
        text=text,
        calls=tuple(
            ToolCall(f"id{number}", name, arguments)
            for number, (name, arguments) in enumerate(names_and_arguments)
        ),
    )


@tool(read_only=True)
def look(what: str) -> str:
    """Look at something."""
    return f"saw {what}"


async def bodies(log: MemoryLog, kind: type) -> Sequence[Any]:
    events = await log.read(ConversationId(TALK))
    return [event.body for event in events if isinstance(event.body, kind)]


async def test_a_plain_question_gets_the_models_answer() -> None:
    provider = ScriptedProvider(["Hello!"])
    async with Agent(provider=provider, instructions="Be kind.") as agent:
        reply = await agent.send("Hi", conversation=TALK)
    assert reply.text == "Hello!"
    assert reply.calls == ()
    request = provider.requests[0]
    assert request.prefix.instructions == "Be kind."
    assert [(m.role, m.text) for m in request.tail][:1] == [("user", "Hi")]


async def test_a_tool_result_reaches_the_model_and_the_caller() -> None:
    provider = ScriptedProvider([calls(("look", {"what": "sea"})), "Blue."])
    async with Agent(provider=provider, tools=[look]) as agent:
        reply = await agent.send("What is there?", conversation=TALK)
    assert reply.text == "Blue."
    assert reply.calls[0].result is not None
    assert reply.calls[0].result.text == "saw sea"
    assert [m.role for m in provider.requests[1].tail][:3] == ["user", "assistant", "tool"]


async def test_a_conversation_goes_on_where_it_was() -> None:
    provider = ScriptedProvider(["One.", "Two."])
    async with Agent(provider=provider) as agent:
        await agent.send("first", conversation=TALK)
        await agent.send("second", conversation=TALK)
    assert [m.text for m in provider.requests[1].tail] == ["first", "One.", "second"]


async def test_conversations_do_not_see_each_other() -> None:
    provider = ScriptedProvider(["One.", "Two."])
    async with Agent(provider=provider) as agent:
        await agent.send("mine", conversation="a")
        await agent.send("yours", conversation="b")
    assert [m.text for m in provider.requests[1].tail] == ["yours"]


async def test_reads_run_at_the_same_time_and_effects_in_order() -> None:
    running = 0
    most = 0
    order: list[str] = []
    together = anyio.Event()

    @tool(read_only=True)
    async def read(n: int) -> str:
        """Read."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            together.set()
        with anyio.fail_after(5):
            await together.wait()
        return str(n)

    async def write(n: int) -> str:
        """Write."""
        order.append(f"start {n}")
        await anyio.lowlevel.checkpoint()
        order.append(f"end {n}")
        return str(n)

    provider = ScriptedProvider(
        [
            calls(
                ("read", {"n": 1}),
                ("read", {"n": 2}),
                ("read", {"n": 3}),
                ("write", {"n": 4}),
                ("write", {"n": 5}),
            ),
            "ok",
        ]
    )
    async with Agent(provider=provider, tools=[read, write]) as agent:
        reply = await agent.send("go", conversation=TALK)
    assert most == 3
    assert order == ["start 4", "end 4", "start 5", "end 5"]
    results = [one.result.text for one in reply.calls if one.result]
    assert results == ["1", "2", "3", "4", "5"]
    shown = [m for m in provider.requests[1].tail if m.role == "tool"]
    assert [m.call_id for m in shown] == ["id0", "id1", "id2", "id3", "id4"]


async def test_effects_are_announced_in_the_log_with_their_key_and_reads_are_not() -> None:
    def act() -> str:
        """Act."""
        return "done"

    log = MemoryLog()
    provider = ScriptedProvider([calls(("look", {"what": "x"}), ("act", {})), "ok"])
    async with Agent(provider=provider, tools=[look, act], log=log) as agent:
        await agent.send("go", conversation=TALK)
        started = await bodies(log, ToolStarted)
    assert [body.tool for body in started] == ["act"]
    assert len(started[0].operation_key) == 40


async def test_an_unknown_tool_and_bad_arguments_are_told_to_the_model() -> None:
    provider = ScriptedProvider([calls(("lock", {"what": "x"}), ("look", {"what": 7})), "sorry"])
    async with Agent(provider=provider, tools=[look]) as agent:
        reply = await agent.send("go", conversation=TALK)
    results = [one.result for one in reply.calls]
    assert all(result is not None and result.is_error for result in results)
    assert results[0] is not None
    assert "look" in results[0].text
    assert reply.text == "sorry"


async def test_a_tool_that_raises_is_an_error_result_and_the_turn_goes_on() -> None:
    def broken() -> str:
        """Break."""
        raise RuntimeError("secret detail")

    provider = ScriptedProvider([calls(("broken", {})), "Sorry."])
    async with Agent(provider=provider, tools=[broken]) as agent:
        reply = await agent.send("go", conversation=TALK)
    assert reply.text == "Sorry."
    result = reply.calls[0].result
    assert result is not None
    assert result.is_error
    assert "secret detail" not in result.text


async def test_repeated_call_ids_of_a_provider_are_made_unique() -> None:
    provider = ScriptedProvider(
        [
            calls(("look", {"what": "a"})),
            calls(("look", {"what": "b"})),
            "both",
        ]
    )
    async with Agent(provider=provider, tools=[look]) as agent:
        reply = await agent.send("go", conversation=TALK)
    ids = [one.call.id for one in reply.calls]
    assert len(set(ids)) == 2
    tail = provider.requests[2].tail
    asked = [call.id for m in tail for call in m.calls]
    answered = [m.call_id for m in tail if m.role == "tool"]
    assert asked == answered == ids


async def test_the_deltas_of_a_stream_are_the_reply() -> None:
    provider = ScriptedProvider(
        [calls(("look", {"what": "sea"}), text="Let me look."), "It is blue."]
    )
    async with Agent(provider=provider, tools=[look]) as agent:
        events = [event async for event in agent.stream("go", conversation=TALK)]
    text = "".join(event.delta for event in events if isinstance(event, TextDelta))
    last = events[-1]
    assert isinstance(last, Replied)
    assert text == last.reply.text == "Let me look.\n\nIt is blue."
    kinds = [type(event) for event in events if isinstance(event, CallStarted | CallFinished)]
    assert kinds == [CallStarted, CallFinished]


async def test_send_and_stream_leave_the_same_log() -> None:
    script = [calls(("look", {"what": "sea"}), text="Let me look."), "It is blue."]
    logs = []
    for streaming in (False, True):
        log = MemoryLog()
        async with Agent(provider=ScriptedProvider(script), tools=[look], log=log) as agent:
            if streaming:
                async for _ in agent.stream("go", conversation=TALK):
                    pass
            else:
                await agent.send("go", conversation=TALK)
            logs.append([event.body for event in await log.read(ConversationId(TALK))])
    plain, streamed = logs
    assert [type(body) for body in plain] == [type(body) for body in streamed]
    assert plain[-1] == streamed[-1]


@pytest.mark.parametrize(
    ("limits", "error", "usage"),
    [
        (Limits(rounds=2), RoundLimitReached, Usage()),
        (Limits(tokens=100), TokenLimitReached, Usage(input_tokens=60, output_tokens=10)),
        (
            Limits(cost_usd=Decimal("0.01")),
            CostLimitReached,
            Usage(input_tokens=6000, cost_usd=Decimal("0.006")),
        ),
    ],
)
async def test_a_limit_ends_the_turn_typed_and_the_conversation_goes_on(
    limits: Limits, error: type[Exception], usage: Usage
) -> None:
    def again(request: Request) -> Completion:
        return Completion(text="", calls=(ToolCall("x", "look", {"what": "y"}),), usage=usage)

    price = Price(input_usd=Decimal(1), output_usd=Decimal(1))
    known = Capabilities(locality="managed", price=price)
    provider = ScriptedProvider([again, again, "Hello again."], capabilities=known)
    log = MemoryLog()
    async with Agent(provider=provider, tools=[look], limits=limits, log=log) as agent:
        with pytest.raises(error):
            await agent.send("go", conversation=TALK)
        reply = await agent.send("still there?", conversation=TALK)
        failed = await bodies(log, TurnFailed)
    assert reply.text == "Hello again."
    assert failed[0].code.startswith("limit_")


async def test_a_limit_on_money_without_a_known_price_is_refused_at_once() -> None:
    with pytest.raises(ConfigError):
        Agent(provider=ScriptedProvider([]), limits=Limits(cost_usd=Decimal(1)))


async def test_a_model_that_takes_too_long_ends_the_turn() -> None:
    class Silent(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            await anyio.sleep_forever()
            raise AssertionError

    async with Agent(provider=Silent([]), limits=Limits(wall_s=0.05)) as agent:
        with pytest.raises(TimeLimitReached):
            await agent.send("go", conversation=TALK)


async def test_a_provider_that_is_down_is_reported_and_the_next_message_works() -> None:
    provider = ScriptedProvider([ProviderUnavailable("down", status=503), "Back."])
    log = MemoryLog()
    async with Agent(provider=provider, log=log) as agent:
        with pytest.raises(ProviderUnavailable):
            await agent.send("one", conversation=TALK)
        reply = await agent.send("two", conversation=TALK)
    assert reply.text == "Back."
    assert [m.text for m in provider.requests[1].tail] == ["one", "two"]


async def test_a_message_delivered_again_after_a_failure_is_tried_again() -> None:
    provider = ScriptedProvider([CredentialError("bad key"), "Now it works."])
    async with Agent(provider=provider) as agent:
        with pytest.raises(CredentialError):
            await agent.send("one", conversation=TALK, message_id="m1")
        reply = await agent.send("one", conversation=TALK, message_id="m1")
    assert reply.text == "Now it works."
    assert [m.text for m in provider.requests[1].tail] == ["one"]


async def test_a_message_delivered_twice_is_answered_once() -> None:
    provider = ScriptedProvider(["Once."])
    async with Agent(provider=provider) as agent:
        first = await agent.send("hi", conversation=TALK, message_id="m1")
        second = await agent.send("hi", conversation=TALK, message_id="m1")
        streamed = [e async for e in agent.stream("hi", conversation=TALK, message_id="m1")]
    assert first.text == second.text == "Once."
    assert first.turn == second.turn
    assert isinstance(streamed[0], TextDelta)
    assert streamed[0].delta == "Once."
    assert len(provider.requests) == 1


async def test_the_same_message_delivered_many_times_at_once_is_answered_once() -> None:
    provider = ScriptedProvider(["Once."])
    texts: list[str] = []
    async with Agent(provider=provider) as agent:

        async def deliver() -> None:
            reply = await agent.send("hi", conversation=TALK, message_id="m1")
            texts.append(reply.text)

        async with anyio.create_task_group() as group:
            for _ in range(16):
                group.start_soon(deliver)
    assert texts == ["Once."] * 16
    assert len(provider.requests) == 1


async def test_messages_of_one_conversation_are_answered_one_after_the_other() -> None:
    busy = 0

    def answer(request: Request) -> str:
        return f"to {[m.text for m in request.tail if m.role == 'user'][-1]}"

    class Watched(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            nonlocal busy
            busy += 1
            assert busy == 1
            await anyio.lowlevel.checkpoint()
            completion = await super().complete(request)
            busy -= 1
            return completion

    replies: dict[str, str] = {}
    async with Agent(provider=Watched([answer] * 5)) as agent:

        async def send(text: str) -> None:
            replies[text] = (await agent.send(text, conversation=TALK)).text

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(send, f"m{number}")
    assert replies == {f"m{n}": f"to m{n}" for n in range(5)}


async def test_a_message_that_arrives_during_a_turn_waits_for_its_own() -> None:
    log = MemoryLog()

    @tool(read_only=True)
    async def slow() -> str:
        """Let a message come in meanwhile."""
        group.start_soon(second)
        with anyio.fail_after(5):
            while len(await log.read(ConversationId(TALK))) < 3:
                await anyio.lowlevel.checkpoint()
        return "slow"

    async def second() -> None:
        replies.append((await agent.send("second", conversation=TALK)).text)

    replies: list[str] = []
    provider = ScriptedProvider([calls(("slow", {})), "first done", "second done"])
    agent = Agent(provider=provider, tools=[slow], log=log)
    async with agent, anyio.create_task_group() as group:
        replies.append((await agent.send("first", conversation=TALK)).text)
    assert replies == ["first done", "second done"]
    roles = [m.role for m in provider.requests[2].tail]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_bad_input_is_refused_in_plain_words() -> None:
    agent = Agent(provider=ScriptedProvider([]))
    with pytest.raises(NotOpenError):
        await agent.send("hi", conversation=TALK)
    async with agent:
        with pytest.raises(CustomerError):
            await agent.send("  ", conversation=TALK)
        with pytest.raises(ConfigError):
            await agent.send("hi", conversation="")
    with pytest.raises(ConfigError):
        Agent(provider=ScriptedProvider([]), zone="Mars/Olympus")


async def test_an_answer_with_nothing_in_it_is_an_error_that_says_so() -> None:
    provider = ScriptedProvider([Completion(text="", finish="length"), "ok"])
    async with Agent(provider=provider) as agent:
        with pytest.raises(ModelError):
            await agent.send("hi", conversation=TALK)
        assert (await agent.send("hi", conversation=TALK)).text == "ok"


async def test_a_cut_result_can_be_read_on_by_its_handle() -> None:
    @tool(read_only=True)
    def much() -> str:
        """Give much."""
        return "".join(f"{number:06d} " for number in range(6000))

    def read_on(request: Request) -> Completion:
        shown = next(m for m in request.tail if m.role == "tool")
        assert "005999" not in shown.text
        arguments = {"handle": shown.call_id, "offset": 41_000}
        return Completion(text="", calls=(ToolCall("more", "read_result", arguments),))

    provider = ScriptedProvider([calls(("much", {})), read_on, "ok"])
    async with Agent(provider=provider, tools=[much]) as agent:
        reply = await agent.send("go", conversation=TALK)
    second = reply.calls[1].result
    assert second is not None
    assert not second.is_error
    assert "005999" in second.text


async def test_a_read_on_with_a_wrong_handle_says_so() -> None:
    provider = ScriptedProvider([calls(("read_result", {"handle": "nope", "offset": 0})), "ok"])
    async with Agent(provider=provider, tools=[look]) as agent:
        reply = await agent.send("go", conversation=TALK)
    result = reply.calls[0].result
    assert result is not None
    assert result.is_error


async def test_results_are_kept_whole_in_the_log() -> None:
    @tool(read_only=True)
    def much() -> str:
        """Give much."""
        return "x" * 50_000

    log = MemoryLog()
    provider = ScriptedProvider([calls(("much", {})), "ok"])
    async with Agent(provider=provider, tools=[much], log=log) as agent:
        await agent.send("go", conversation=TALK)
        finished = await bodies(log, ToolFinished)
    assert len(finished[0].full_text) == 50_000
    assert len(finished[0].text) < 20_000
