"""How careful an agent is with a conversation: by source, then by words; up, and never down."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from aicore import Agent, Principal
from aicore.agent.context import ContextLimits
from aicore.agent.labels import Labels
from aicore.log import MemoryLog
from aicore.log.events import MessageReceived, ModelReplied, Summarized, ToolFinished
from aicore.models import Capabilities, Completion, Request, ScriptedProvider
from aicore.models.scripted import Reply
from aicore.records import ConversationId, DataClass, Tool, ToolCall

ROUTING = Capabilities(locality="managed", reads_class=True)
ILL = "I am diabetic, is that a problem?"


def said(text: str, kind: str = "customer") -> MessageReceived:
    return MessageReceived(text=text, principal=Principal(kind, "x"))  # type: ignore[arg-type]


def gave(text: str, tool: str = "look") -> ToolFinished:
    return ToolFinished(call_id="c", tool=tool, text=text)


def tool(claimed: DataClass | None) -> Tool:
    return Tool(
        name="look",
        description="",
        parameters={},
        server="s",
        remote_name="look",
        data_class=claimed,
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (said("hi"), "personal"),
        (said("hi", "staff"), "internal"),
        (said(ILL), "special"),
        (said(ILL, "owner"), "special"),
        (gave("ok"), "personal"),
        (gave("Patient is on insulin"), "special"),
    ],
)
def test_a_text_has_the_class_of_its_source_or_of_its_words(
    body: MessageReceived | ToolFinished, expected: DataClass
) -> None:
    assert Labels(lambda name: None).of(body) == expected


@pytest.mark.parametrize(
    ("claimed", "own", "expected"),
    [
        (None, {}, "personal"),
        ("internal", {}, "internal"),
        ("internal", {"look": "special"}, "special"),
        ("special", {"l*": "public"}, "special"),
        (None, {"other*": "special"}, "personal"),
        (None, {"lo*": "internal", "*": "special"}, "internal"),
    ],
)
def test_the_owner_can_only_raise_what_a_server_says(
    claimed: DataClass | None, own: dict[str, DataClass], expected: DataClass
) -> None:
    assert Labels(lambda name: tool(claimed), own).of(gave("ok")) == expected


async def recorded(log: MemoryLog) -> list[DataClass | None]:
    events = await log.read(ConversationId("web:1"))
    return [one.body.data_class for one in events if isinstance(one.body, ModelReplied)]


async def classes(
    replies: list[Reply], messages: list[str], look: Callable[[], str] = lambda: "ok"
) -> tuple[list[DataClass], list[DataClass | None]]:
    def patient() -> str:
        """Look."""
        return look()

    provider = ScriptedProvider(replies, capabilities=ROUTING)
    log = MemoryLog()
    async with Agent(provider=provider, tools=[patient], log=log) as agent:
        for text in messages:
            await agent.send(text, conversation="web:1")
        kept = await recorded(log)
    return [one.data_class for one in provider.requests], kept


async def test_a_request_has_the_highest_class_so_far_and_it_never_falls() -> None:
    seen, kept = await classes(["a", "b", "c"], ["hello", ILL, "thanks"])
    assert seen == kept == ["personal", "special", "special"]


async def test_what_a_tool_gives_counts_before_a_model_reads_it() -> None:
    seen, _ = await classes(
        [ToolCall("c1", "patient", {}), "done"], ["hello"], lambda: "has epilepsy"
    )
    assert seen == ["personal", "special"]


async def test_what_a_model_asks_a_tool_for_counts_as_what_it_says() -> None:
    calls = (ToolCall("c1", "patient", {"about": {"query": "Kinder mit Diabetes"}}),)
    asked = Completion(text="", calls=calls)
    seen, _ = await classes([asked, "done"], ["hello"])
    assert seen == ["personal", "special"]


async def test_a_restart_remembers_the_class_from_the_log() -> None:
    log = MemoryLog()
    for replies, text in ((["a"], ILL), (["b"], "thanks")):
        provider = ScriptedProvider(replies, capabilities=ROUTING)
        async with Agent(provider=provider, log=log) as agent:
            await agent.send(text, conversation="web:1")
    assert provider.requests[0].data_class == "special"


async def test_what_a_plain_provider_summarized_is_judged_when_a_router_takes_over() -> None:
    def patient() -> str:
        """Look."""
        return "Room 7 is free."

    log = MemoryLog()
    context = ContextLimits(compact_at_tokens=500, keep_tokens=100, keep_turns=1)
    before: list[Reply] = [ToolCall("c1", "patient", {}), *["word " * 200] * 8]
    async with Agent(
        provider=ScriptedProvider(before), tools=[patient], log=log, context=context
    ) as a:
        for _ in range(8):
            await a.send("hello", conversation="web:1")
        events = await log.read(ConversationId("web:1"))
    assert {one.body.data_class for one in events if isinstance(one.body, Summarized)} == {None}

    router = ScriptedProvider(["b"], capabilities=ROUTING)
    labels: dict[str, DataClass] = {"patient": "special"}
    async with Agent(provider=router, tools=[patient], log=log, tool_classes=labels) as agent:
        await agent.send("thanks", conversation="web:1")
    assert router.requests[0].summary is not None
    assert router.requests[0].data_class == "special"


async def test_a_request_says_whom_it_is_for() -> None:
    def answer(request: Request) -> Reply:
        origin = request.origin
        return f"{origin.business} {origin.conversation} {origin.turn} {origin.task}"

    provider = ScriptedProvider([answer], capabilities=ROUTING)
    async with Agent(provider=provider) as agent:
        reply = await agent.send("hi", conversation="web:1")
    assert reply.text == "main web:1 1 reply"

    async with Agent(provider=ScriptedProvider([answer])) as agent:
        reply = await agent.send("hi", conversation="web:1")
    assert reply.text == "main web:1 1 reply"


async def test_a_plain_provider_costs_no_look_at_the_words() -> None:
    plain = replace(ROUTING, reads_class=False)
    provider = ScriptedProvider(["a"], capabilities=plain)
    log = MemoryLog()
    async with Agent(provider=provider, log=log) as agent:
        await agent.send(ILL, conversation="web:1")
        assert await recorded(log) == [None]
