"""A long conversation is read from its last summary on, and searched where it left the view."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence

import anyio.lowlevel
import pytest
from tests.agent.long_talks import SMALL, TALK, Answer, Model, events, settle, summaries

from aicore import Agent, tool
from aicore.agent.loading import needed_from
from aicore.agent.searching import search_conversation
from aicore.agent.session import Session
from aicore.errors import ProviderUnavailable
from aicore.log import MemoryLog
from aicore.log.events import (
    Body,
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    TurnFailed,
    TurnRetried,
)
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import ConversationId, Principal, ToolCall, Usage

CONVERSATION = ConversationId(TALK)
CUSTOMER = Principal("customer", TALK)


class CountingLog(MemoryLog):
    """Counts the events that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.events_read = 0

    async def read(self, conversation: ConversationId, after: int = 0) -> Sequence[Event]:
        found = await super().read(conversation, after)
        self.events_read += len(found)
        return found


def replied(text: str) -> ModelReplied:
    return ModelReplied(text=text, calls=(), usage=Usage(), provider="p", model="m", finish="stop")


async def write_long_talk(log: MemoryLog, turns: int) -> None:
    """Turns of three events, with a summary of all but the last three after every fiftieth."""
    ends = [0]
    for number in range(turns):
        message = MessageReceived(text=f"question {number}", principal=CUSTOMER)
        turn = (await log.receive(CONVERSATION, message)).seq
        claim = await log.claim(CONVERSATION)
        claim = await log.append(
            claim, turn, [replied(f"answer {number}"), ReplySent(text=f"answer {number}")]
        )
        ends.append(claim.head)
        if number % 50 == 49:
            text = f"up to {number - 3}"
            claim = await log.append(claim, 0, [Summarized(text=text, covers_seq=ends[-4])])


@tool(read_only=True)
def look(what: str) -> str:
    """Look at something."""
    return f"saw {what}"


async def test_of_ten_thousand_events_few_are_read() -> None:
    log = CountingLog()
    async with log:
        await write_long_talk(log, 3340)
        assert len(await events(log)) > 10_000
        log.events_read = 0
        model = Model(lambda request: "Fine.")
        async with Agent(provider=model, log=log) as agent:
            await agent.send("one more", conversation=TALK)
        assert log.events_read < 1100
    (request,) = model.requests
    assert request.summary is not None
    assert request.summary.text == "up to 3296"
    assert [m.text for m in request.tail][:2] == ["question 3297", "answer 3297"]


async def test_without_any_summary_the_whole_conversation_is_read() -> None:
    log = MemoryLog()
    async with log:
        for number in range(300):
            turn = (
                await log.receive(CONVERSATION, MessageReceived(text="hi", principal=CUSTOMER))
            ).seq
            claim = await log.claim(CONVERSATION)
            await log.append(claim, turn, [replied(f"answer {number}"), ReplySent(text="x")])
        model = Model(lambda request: "Fine.")
        async with Agent(provider=model, log=log) as agent:
            await agent.send("one more", conversation=TALK)
    assert len(model.requests[0].tail) == 601


async def test_a_conversation_read_again_gives_the_same_bytes() -> None:
    log = MemoryLog()
    kept, again = Model(), Model()
    async with log:
        async with Agent(provider=kept, tools=[look], log=log, context=SMALL) as agent:
            for number in range(80):
                await agent.send(f"A question about this and that {number}", conversation=TALK)
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            assert len(await summaries(log)) >= 3
            await agent.send("last", conversation=TALK)
        async with Agent(provider=again, tools=[look], log=log, context=SMALL) as agent:
            await agent.send("one more", conversation=TALK)
    earlier, later = kept.sent[-1], again.sent[0]
    stable = earlier.rindex(b"\\n\\n<context>")
    assert later[:stable] == earlier[:stable]
    assert b"<summary>" in later[:stable]


def searches(words: str) -> Model:
    def answer(request: Request) -> Answer:
        last = request.tail[-1]
        if last.text == "search":
            call = ToolCall("s", "search_conversation", {"words": words})
            return Completion(text="", calls=(call,))
        if last.role == "tool":
            return last.text
        if "needle" in last.text:
            call = ToolCall("n", "look", {"what": "the spare key under the blue pot"})
            return Completion(text="", calls=(call,))
        return "Fine. " * 10

    return Model(answer)


async def searched(words: str, turns: int) -> str:
    model, log = searches(words), MemoryLog()
    async with log, Agent(provider=model, tools=[look], log=log, context=SMALL) as agent:
        await agent.send(
            "needle: my aunt Ottilie paid 417 for it, 予約番号は八番", conversation=TALK
        )
        for number in range(turns):
            await agent.send(f"A question about this and that {number}", conversation=TALK)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        return (await agent.send("search", conversation=TALK)).text


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Ottilie", "my aunt Ottilie paid 417"),
        ("what did OTTILIE pay", "my aunt Ottilie paid 417"),
        ("予約番号", "八番"),
        ("blue pot key", "saw the spare key under the blue pot"),
    ],
)
async def test_what_left_the_view_is_found_by_its_words(words: str, found: str) -> None:
    text = await searched(words, 60)
    assert found in text
    assert text.startswith('<data from="conversation">')


async def test_a_search_finds_nothing_that_was_not_said_and_nothing_that_is_shown() -> None:
    assert "Nothing" in await searched("zebra", 60)
    assert "Nothing" in await searched("search", 60)
    assert "Nothing was left out" in await searched("Ottilie", 2)


async def test_the_tools_of_requests_are_the_same_before_and_after_a_compaction() -> None:
    model, log = searches(""), MemoryLog()
    async with log, Agent(provider=model, tools=[look], log=log, context=SMALL) as agent:
        for number in range(60):
            await agent.send(f"A question about this and that {number}", conversation=TALK)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        assert await summaries(log)
    assert len({id(request.prefix) for request in model.requests}) == 1
    assert "search_conversation" in [one.name for one in model.requests[0].prefix.tools]


async def test_reading_on_in_a_result_reads_no_more_than_what_came_after_it() -> None:
    log, text = CountingLog(), "0123456789" * 10_000

    @tool(read_only=True)
    def report() -> str:
        """Give a long report."""
        return text

    def answer(request: Request) -> Answer:
        last = request.tail[-1]
        if last.text == "report":
            return Completion(text="", calls=(ToolCall("r", "report", {}),))
        if last.role == "tool" and " and offset " in last.text:
            handle = last.text.split('handle "')[1].split('"')[0]
            offset = int(last.text.split(" and offset ")[1].split()[0])
            more = {"handle": handle, "offset": offset}
            return Completion(text="", calls=(ToolCall("m", "read_result", more),))
        return "Read."

    async with log:
        await write_long_talk(log, 3340)
        log.events_read = 0
        async with Agent(provider=Model(answer), tools=[report], log=log) as agent:
            await agent.send("report", conversation=TALK)
        assert log.events_read < 1200
        results = await events(log, ToolFinished)
    assert len(results) == 7


async def test_a_turn_that_was_tried_again_and_cut_off_is_continued() -> None:
    log, provider = MemoryLog(), ScriptedProvider(["Here I am."])
    async with log:
        await log.receive(
            CONVERSATION, MessageReceived(text="hi", principal=CUSTOMER, message_id="m")
        )
        claim = await log.claim(CONVERSATION)
        failed = TurnFailed(code="provider_unavailable", message="down")
        await log.append(claim, 1, [failed, TurnRetried()])
        async with Agent(provider=provider, log=log, resume_on_enter=False) as agent:
            (resumed,) = await agent.resume()
            again = await agent.send("hi", conversation=TALK, message_id="m")
    assert resumed.reply is not None
    assert resumed.reply.text == again.text == "Here I am."


async def test_a_turn_that_fails_twice_and_is_tried_twice_is_answered_once() -> None:
    down = ProviderUnavailable("down")
    log, provider = MemoryLog(), ScriptedProvider([down, down, "At last."])
    async with log, Agent(provider=provider, log=log) as agent:
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                await agent.send("hi", conversation=TALK, message_id="m")
        assert (await agent.send("hi", conversation=TALK, message_id="m")).text == "At last."
        assert len(await events(log, ReplySent)) == 1


async def test_a_failed_turn_that_is_forgotten_is_read_back_by_whoever_takes_it_up() -> None:
    """Kept in memory without its message; another agent takes it up, and is cut off."""
    log, is_down = MemoryLog(), True
    shown: list[str] = []

    def answer(request: Request) -> Answer:
        shown.append(request.tail[-1].text)
        return ProviderUnavailable("down") if is_down else f"To: {request.tail[-1].text} " * 5

    async with log, Agent(provider=Model(answer), log=log, context=SMALL) as agent:
        with pytest.raises(ProviderUnavailable):
            await agent.send("Book me in", conversation=TALK, message_id="m1")
        is_down = False
        for number in range(40):
            await agent.send(f"A question about this and that {number}", conversation=TALK)
            await settle()
        assert await summaries(log)
        claim = await log.claim(CONVERSATION)
        await log.release(await log.append(claim, 1, [TurnRetried()]))
        shown.clear()
        await agent.send("And now?", conversation=TALK)
        assert shown == ["Book me in", "And now?"]
        again = await agent.send("Book me in", conversation=TALK, message_id="m1")
    assert again.text.startswith("To: Book me in")


def test_a_message_that_failed_is_forgotten_when_it_has_left_the_view() -> None:
    bodies: list[tuple[int, Body]] = []
    for turn in (1, 3, 5):
        bodies.append((turn, MessageReceived(text=f"message {turn}", principal=CUSTOMER)))
        bodies.append((turn, TurnFailed(code="x", message="")))
    history = [Event(seq, turn, 0, body) for seq, (turn, body) in enumerate(bodies, 1)]
    history.append(Event(7, 0, 0, Summarized(text="", covers_seq=4, carries=(3,))))
    kept, read = Session(CONVERSATION), Session(CONVERSATION)
    for event in history:
        kept.apply([event])
    read.apply([*history, Event(8, 1, 0, TurnRetried())])
    assert [kept.transcript.awaits(turn) for turn in (1, 3, 5)] == [False, True, True]
    assert read.transcript.awaits(1)
    assert list(read.turns) == [1]


def test_a_summary_of_everything_leaves_nothing_to_be_read() -> None:
    assert needed_from([Event(9, 0, 0, Summarized(text="", covers_seq=8))]) == 9


async def found_in(text: str, words: str) -> str:
    """What a search finds in a message that has left the view."""
    log, session = MemoryLog(), Session(CONVERSATION)
    async with log:
        await log.receive(CONVERSATION, MessageReceived(text=text, principal=CUSTOMER))
        session.apply([Event(2, 0, 0, Summarized(text="", covers_seq=1))])
        return (await search_conversation(log, session, {"words": words})).text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Guten Tag, ich habe Fragen. " * 40 + "Frau Müller: QX-7781.", "Müller"),
        ("ﬁ" * 400 + " plain " * 100 + "needle QX-7781", "needle"),
        ("ß" * 500 + " x " * 50 + "needle QX-7781" + " y" * 400, "needle"),
        ("e\u0301" * 30_000 + " needle QX-7781 " + "é" * 30_000, "needle"),
        ("a" * 19_997 + " needle QX-7781", "needle"),
    ],
    ids=["accents", "ligatures", "sharp s", "in pieces", "between slices"],
)
async def test_a_search_shows_the_place_that_it_found(text: str, words: str) -> None:
    assert "QX-7781" in await found_in(text, words)


async def test_a_search_in_a_message_of_ten_megabytes_takes_little_time_and_memory() -> None:
    """Each of these signs is eighteen in its plain form."""
    tracemalloc.start()
    started = time.process_time()
    text = await found_in("needle " + "\ufdfa" * 3_300_000, "needle tuesday")
    taken_s = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "needle" in text
    assert taken_s < 10, "traced, which takes several times as long"
    assert peak < 60_000_000


def test_a_session_says_what_of_a_conversation_is_in_view() -> None:
    session = Session(CONVERSATION)
    assert session.visible_from_seq == 1
    assert session.in_view(1)
    summary = Summarized(text="so far", covers_seq=8, carries=(4,))
    session.apply([Event(seq, 1, 0, replied("x")) for seq in range(1, 10)])
    session.apply([Event(10, 0, 0, summary)])
    assert session.visible_from_seq == 9
    assert [seq for seq in range(1, 11) if session.in_view(seq)] == [4, 9, 10]
