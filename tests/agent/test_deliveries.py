"""Messages that come twice, late, out of order, or under odd names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from aicore import Agent, Replied, TextDelta, Waiting, tool
from aicore.agent.session import Sessions
from aicore.errors import ConfigError, CustomerError, ProviderUnavailable, StoreBusy
from aicore.log import MemoryLog, SQLiteLog
from aicore.log.events import MessageReceived, ReplySent, TurnFailed
from aicore.log.port import Claim
from aicore.models import ScriptedProvider
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Completion, Request
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Ask, Decision

TALK = "web:1"
HEAD = encode_head("m", is_stream=False, options={})


class Wired(ScriptedProvider):
    """Refuses what a real dialect refuses."""

    async def complete(self, request: Request) -> Completion:
        encode_body(request, HEAD, limit_field="max_tokens")
        return await super().complete(request)


async def test_a_failed_message_that_comes_again_after_another_was_answered_is_answered() -> None:
    provider = Wired([ProviderUnavailable("down"), "To both.", "To the first.", "More."])
    async with Agent(provider=provider) as agent:
        with pytest.raises(ProviderUnavailable):
            await agent.send("one", conversation=TALK, message_id="m1")
        assert (await agent.send("two", conversation=TALK)).text == "To both."
        again = await agent.send("one", conversation=TALK, message_id="m1")
        await agent.send("three", conversation=TALK)
    assert again.text == "To the first."
    assert [m.text for m in provider.requests[2].tail] == ["one", "two", "To both.", "one"]
    assert [m.text for m in provider.requests[3].tail][3:] == ["one", "To the first.", "three"]


async def test_a_retried_message_that_fails_again_leaves_no_trace_in_the_transcript() -> None:
    down = ProviderUnavailable("down")
    provider = Wired([down, "To both.", down, "To the third."])
    async with Agent(provider=provider) as agent:
        with pytest.raises(ProviderUnavailable):
            await agent.send("one", conversation=TALK, message_id="m1")
        await agent.send("two", conversation=TALK)
        with pytest.raises(ProviderUnavailable):
            await agent.send("one", conversation=TALK, message_id="m1")
        await agent.send("three", conversation=TALK)
    assert [m.text for m in provider.requests[3].tail] == ["one", "two", "To both.", "three"]


class Held(MemoryLog):
    """A log whose conversations another process holds, until it gives them back."""

    is_held = True

    async def claim(self, conversation: ConversationId) -> Claim:
        if self.is_held:
            raise StoreBusy("Process 7 holds this conversation.", retry_after_s=2.0)
        return await super().claim(conversation)


async def test_a_message_for_a_held_conversation_is_recorded_and_answered_when_it_comes_again() -> (
    None
):
    log = Held()
    async with Agent(provider=Wired(["To the first."]), log=log) as agent:
        with pytest.raises(StoreBusy, match="message_id") as caught:
            await agent.send("one", conversation=TALK, message_id="m1")
        assert caught.value.retry_after_s == 2.0
        log.is_held = False
        again = await agent.send("one", conversation=TALK, message_id="m1")
        events = await log.read(ConversationId(TALK))
    assert again.text == "To the first."
    assert len([event for event in events if isinstance(event.body, MessageReceived)]) == 1


async def test_an_older_turn_that_fails_again_never_blocks_or_follows_a_newer_one() -> None:
    """Found open after a crash while the model is down: it is shown with the next message."""
    log = MemoryLog()
    async with log:
        await _left_open(log, "one", "m1")
        provider = Wired([ProviderUnavailable("down"), "To both.", "To the first."])
        async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
            assert (await agent.send("two", conversation=TALK)).text == "To both."
            assert await agent.resume() == []
        assert [m.text for m in provider.requests[1].tail] == ["one", "two"]


async def test_resume_stops_at_the_first_turn_of_a_conversation_that_must_wait() -> None:
    log = MemoryLog()
    async with log:
        await _left_open(log, "one", "m1")
        await _left_open(log, "two", "m2")
        provider = Wired([ProviderUnavailable("down"), "First.", "Second."])
        async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
            assert [one.reply for one in await agent.resume()] == [None]
            replies = [one.reply for one in await agent.resume()]
    assert [reply.text for reply in replies if reply] == ["First.", "Second."]


async def _left_open(log: MemoryLog, text: str, message_id: str) -> None:
    from aicore import Principal

    message = MessageReceived(text=text, principal=Principal("customer"), message_id=message_id)
    await log.receive(ConversationId(TALK), message)


async def test_a_message_id_of_another_conversation_never_runs_a_turn_of_this_one() -> None:
    """Event numbers count per conversation, so the other turn has the number of one of ours."""
    provider = ScriptedProvider(["Hello a.", ProviderUnavailable("down"), "wrong"])
    async with Agent(provider=provider) as agent:
        await agent.send("mine", conversation="a", message_id="m1")
        with pytest.raises(ProviderUnavailable):
            await agent.send("yours", conversation="b", message_id="m2")
        with pytest.raises(CustomerError):
            await agent.send("mine", conversation="b", message_id="m1")
        with pytest.raises(CustomerError):
            await agent.send("mine", conversation="never seen", message_id="m1")
    assert len(provider.requests) == 2


async def test_an_empty_message_id_is_refused_rather_than_one_for_all() -> None:
    async with Agent(provider=ScriptedProvider(["one", "two"])) as agent:
        with pytest.raises(ConfigError):
            await agent.send("hi", conversation=TALK, message_id="")


@pytest.mark.parametrize("talk", ["a#b#", "#", "nul \0", "\u2028 😀", "x" * 100_000, " "])
async def test_odd_conversation_ids_work_also_through_an_approval(
    tmp_path: Path, talk: str
) -> None:
    class Asks:
        async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
            return Ask("odd")

    def act() -> str:
        """Act."""
        return "acted"

    provider = ScriptedProvider([Completion(text="", calls=(ToolCall("c", "act", {}),)), "Done."])
    log = SQLiteLog(tmp_path / "log.db")
    async with Agent(provider=provider, tools=[act], policy=Asks(), log=log) as agent:
        (approval,) = (await agent.send("hi", conversation=talk)).waiting
        reply = await agent.decide(approval, approved=True, by="staff:ann")
    assert reply.text == "Done."


@pytest.mark.parametrize("durable", [False, True])
async def test_an_id_that_is_no_text_is_refused_by_every_log_alike(
    tmp_path: Path, durable: bool
) -> None:
    log = SQLiteLog(tmp_path / "log.db") if durable else MemoryLog()
    async with Agent(provider=ScriptedProvider(["ok"]), log=log) as agent:
        with pytest.raises(CustomerError):
            await agent.send("hi", conversation="half \ud800")
        with pytest.raises(CustomerError):
            await agent.send("hi", conversation=TALK, message_id="half \ud800")


async def test_a_huge_message_and_half_a_character_in_it_are_handled(tmp_path: Path) -> None:
    provider = Wired(["ok", "ok"])
    async with Agent(provider=provider, log=SQLiteLog(tmp_path / "log.db")) as agent:
        assert (await agent.send("x" * 3_000_000, conversation=TALK)).text == "ok"
        assert (await agent.send("half \ud83d", conversation=TALK)).text == "ok"


async def test_a_continued_stream_repeats_what_was_said_so_that_deltas_are_the_reply() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "seen"

    first = Completion(text="One moment.", calls=(ToolCall("c", "look", {}),))
    provider = ScriptedProvider([first, ProviderUnavailable("down"), "Done."])
    async with Agent(provider=provider, tools=[look]) as agent:
        with pytest.raises(ProviderUnavailable):
            await agent.send("go", conversation=TALK, message_id="m")
        events = [e async for e in agent.stream("go", conversation=TALK, message_id="m")]
    last = events[-1]
    assert isinstance(last, Replied)
    deltas = "".join(event.delta for event in events if isinstance(event, TextDelta))
    assert deltas == last.reply.text == "One moment.\n\nDone."


async def test_a_message_that_waits_and_comes_again_streams_that_it_waits() -> None:
    class Asks:
        async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
            return Ask("money")

    def act() -> str:
        """Act."""
        return "acted"

    provider = ScriptedProvider([Completion(text="", calls=(ToolCall("c", "act", {}),))])
    async with Agent(provider=provider, tools=[act], policy=Asks()) as agent:
        runs = [
            [event async for event in agent.stream("go", conversation=TALK, message_id="m")]
            for _ in range(2)
        ]
    for events in runs:
        assert any(isinstance(event, Waiting) for event in events)
        assert isinstance(events[-1], Replied)
        deltas = "".join(event.delta for event in events if isinstance(event, TextDelta))
        assert deltas == events[-1].reply.text


async def test_resume_leaves_a_message_to_the_sender_who_waits_for_it() -> None:
    """Entering resumes in the background, while the first messages come in already."""

    class Slow(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            is_asked.set()
            with anyio.fail_after(5):
                await may_answer.wait()
            return await super().complete(request)

        def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
            streams.append(request)
            return super().stream(request)

    streams: list[Request] = []
    is_asked, may_answer = anyio.Event(), anyio.Event()

    async def stream() -> None:
        async for _ in agent.stream("two", conversation=TALK):
            pass

    async def send() -> None:
        await agent.send("one", conversation=TALK)

    async def resume() -> None:
        assert await agent.resume() == []

    agent = Agent(provider=Slow(["First.", "Second."]), resume_on_enter=False)
    async with agent, anyio.create_task_group() as group:
        group.start_soon(send)
        await is_asked.wait()
        group.start_soon(resume)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(stream)
        await anyio.wait_all_tasks_blocked()
        may_answer.set()
    assert len(streams) == 1


async def test_more_conversations_at_once_than_are_kept_still_take_turns() -> None:
    sessions = Sessions(capacity=2)
    used = []
    for name in "abc":
        used.append(sessions.get(ConversationId(name)))
        await used[-1].lock.acquire()
    newest = sessions.get(ConversationId("d"))
    assert sessions.get(ConversationId("d")) is newest
    assert [sessions.get(ConversationId(name)) for name in "abc"] == used
    for session in used:
        session.lock.release()
    sessions.get(ConversationId("e"))
    sessions.get(ConversationId("f"))
    assert sessions.get(ConversationId("d")) is not newest


async def test_a_thousand_and_more_conversations_at_once_get_two_answers_each() -> None:
    class Gate(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            nonlocal asked
            asked += 1
            if asked == count:
                gate.set()
            with anyio.fail_after(30):
                await gate.wait()
            return Completion(text=f"{sum(m.role == 'user' for m in request.tail)}")

    gate, asked, count = anyio.Event(), 0, 1100
    replies: list[str] = []
    async with Agent(provider=Gate([])) as agent:

        async def send(number: int) -> None:
            replies.append((await agent.send("hi", conversation=f"c{number}")).text)

        async with anyio.create_task_group() as group:
            for number in [*range(count), *range(count)]:
                group.start_soon(send, number)
    assert sorted(replies) == ["1"] * count + ["2"] * count


async def test_nothing_of_finished_turns_is_kept_beside_the_transcript() -> None:
    provider = ScriptedProvider(
        [ProviderUnavailable("down") if number % 2 else "ok" for number in range(40)]
    )
    log = MemoryLog()
    async with Agent(provider=provider, log=log) as agent:
        for number in range(40):
            try:
                await agent.send("hi", conversation=TALK, message_id=f"m{number}")
            except ProviderUnavailable:
                continue
        session = agent._runner._sessions.get(ConversationId(TALK))
        assert session.turns == {}
        kinds: Sequence[type] = [type(event.body) for event in await log.read(session.conversation)]
    assert kinds.count(ReplySent) == kinds.count(TurnFailed) == 20
