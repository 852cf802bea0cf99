"""Of many tools the model is sent two, finds the others, and calls them as if it had seen them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aicore import Agent, tool
from aicore.agent.context import ContextLimits
from aicore.agent.tool_index import ToolIndex
from aicore.agent.tool_search import ToolSearch, meant
from aicore.errors import ConfigError, ModelError
from aicore.log import MemoryLog
from aicore.log.events import ApprovalRequested, ModelReplied, ToolFinished, ToolStarted
from aicore.models import ScriptedProvider
from aicore.models.port import Completion
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Allow, Ask, Decision, Deny

TALK = "web:1"
ALWAYS = {"read_result", "search_conversation"}
OWN = {"call_tool", "find_tools", *ALWAYS}


def numbered(count: int) -> list[Callable[..., Any]]:
    def made(number: int) -> Callable[..., Any]:
        @tool(read_only=True, name=f"look_{number}")
        def look(what: str) -> str:
            return f"saw {what} at {number}"

        look.__doc__ = f"Look at shelf number {number}."
        return look

    return [made(number) for number in range(count)]


@tool(name="cancel_booking")
def cancel_booking(booking: str) -> str:
    """Cancel an appointment."""
    return f"cancelled {booking}"


def asks(name: str, arguments: dict[str, Any], call_id: str = "id1") -> Completion:
    return Completion(text="", calls=(ToolCall(call_id, name, arguments),))


def through(name: str, arguments: Any, call_id: str = "id2") -> Completion:
    return asks("call_tool", {"name": name, "arguments": arguments}, call_id)


async def bodies(log: MemoryLog, kind: type) -> Sequence[Any]:
    async with log:
        events = await log.read(ConversationId(TALK))
    return [event.body for event in events if isinstance(event.body, kind)]


def shown(provider: ScriptedProvider, request: int = 0) -> set[str]:
    return {one.name for one in provider.requests[request].prefix.shown}


async def test_few_tools_are_all_shown() -> None:
    provider = ScriptedProvider(["hi"])
    async with Agent(provider=provider, tools=numbered(40)) as agent:
        await agent.send("x", conversation=TALK)
    assert len(shown(provider) - ALWAYS) == 40
    assert shown(provider) & OWN == ALWAYS


async def test_of_many_tools_two_are_shown_that_lead_to_the_others() -> None:
    provider = ScriptedProvider(["hi"])
    async with Agent(provider=provider, tools=numbered(41)) as agent:
        await agent.send("x", conversation=TALK)
    assert shown(provider) == OWN
    assert len({one.name for one in provider.requests[0].prefix.tools} - ALWAYS) == 41


async def test_a_tool_is_found_and_called_and_the_prefix_stays_the_same() -> None:
    script = [
        asks("find_tools", {"query": "cancel appointment"}),
        through("cancel_booking", {"booking": "b7"}),
        "Done.",
    ]
    provider = ScriptedProvider(script)
    log = MemoryLog()
    async with Agent(provider=provider, tools=[*numbered(60), cancel_booking], log=log) as agent:
        reply = await agent.send("cancel b7", conversation=TALK)
    assert reply.text == "Done."
    assert [(call.call.name, dict(call.call.arguments)) for call in reply.calls] == [
        ("find_tools", {"query": "cancel appointment"}),
        ("cancel_booking", {"booking": "b7"}),
    ]
    found, done = await bodies(log, ToolFinished)
    assert "cancel_booking" in found.text
    assert '"booking"' in found.text
    assert (done.tool, done.is_error, "cancelled b7" in done.text) == (
        "cancel_booking",
        False,
        True,
    )
    [started] = await bodies(log, ToolStarted)
    assert started.tool == "cancel_booking"
    replied = await bodies(log, ModelReplied)
    assert replied[1].calls[0].name == "call_tool"
    assert len({id(request.prefix) for request in provider.requests}) == 1
    roles = [message.role for message in provider.requests[-1].tail]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]


class OneRule:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.judged: list[tuple[str, str]] = []

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        self.judged.append((call.name, tool.name))
        return self.decision if tool.name == "cancel_booking" else Allow()


async def test_the_policy_judges_what_is_called_and_not_how() -> None:
    policy = OneRule(Deny("never"))
    provider = ScriptedProvider([through("cancel_booking", {"booking": "b7"}), "Sorry."])
    async with Agent(
        provider=provider, tools=[*numbered(60), cancel_booking], policy=policy
    ) as agent:
        reply = await agent.send("cancel", conversation=TALK)
    assert policy.judged == [("cancel_booking", "cancel_booking")]
    assert reply.calls[0].result is not None
    assert reply.calls[0].result.is_error


async def test_staff_approve_the_call_itself_and_it_runs_after_a_restart() -> None:
    log = MemoryLog()
    policy = OneRule(Ask("staff decides"))
    tools = [*numbered(60), cancel_booking]
    first = ScriptedProvider([through("cancel_booking", {"booking": "b7"})])
    async with log:
        async with Agent(provider=first, tools=tools, policy=policy, log=log) as agent:
            waiting = (await agent.send("cancel", conversation=TALK)).waiting
        [asked] = await bodies(log, ApprovalRequested)
        assert (asked.call.name, dict(asked.call.arguments)) == (
            "cancel_booking",
            {"booking": "b7"},
        )
        second = ScriptedProvider(["Done."])
        async with Agent(provider=second, tools=tools, policy=policy, log=log) as agent:
            reply = await agent.decide(waiting[0], approved=True, by="staff:ann")
        assert reply.text == "Done."
        [done] = await bodies(log, ToolFinished)
        assert "cancelled b7" in done.text


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"name": "look_1"},
        {"name": "look_1", "arguments": "{"},
        {"name": "look_1", "arguments": [1]},
        {"name": 7, "arguments": {}},
        {"name": "call_tool", "arguments": {"name": "look_1", "arguments": {}}},
        {"name": "nothing_like_it", "arguments": {}},
    ],
    ids=["empty", "no arguments", "cut", "list", "number", "itself", "unknown"],
)
async def test_a_mistake_is_told_to_the_model_and_nothing_runs(arguments: dict[str, Any]) -> None:
    provider = ScriptedProvider([asks("call_tool", arguments), "Sorry."])
    async with Agent(provider=provider, tools=numbered(60)) as agent:
        reply = await agent.send("x", conversation=TALK)
    [call] = reply.calls
    assert call.result is not None
    assert (call.result.is_error, call.result.outcome) == (True, "none")
    assert reply.text == "Sorry."


async def test_arguments_written_as_text_are_understood() -> None:
    provider = ScriptedProvider([through("look_3", '{"what": "x"}'), "ok"])
    async with Agent(provider=provider, tools=numbered(60)) as agent:
        reply = await agent.send("x", conversation=TALK)
    assert reply.calls[0].result is not None
    assert "saw x at 3" in reply.calls[0].result.text


@pytest.mark.parametrize("query", [None, "", "  ", "zzzz", "\0\ud800 'drop' AND \"(*"])
async def test_a_search_for_nothing_finds_nothing_and_says_so(query: Any) -> None:
    provider = ScriptedProvider([asks("find_tools", {"query": query}), "ok"])
    async with Agent(provider=provider, tools=numbered(60)) as agent:
        reply = await agent.send("x", conversation=TALK)
    assert reply.calls[0].result is not None
    assert reply.calls[0].result.is_error


async def test_plain_functions_are_named_as_this_programs() -> None:
    script = [asks("find_tools", {"query": query}) for query in ("zebra", "shelf 7")]
    provider = ScriptedProvider([*script, "Sorry."])
    log = MemoryLog()
    async with Agent(provider=provider, tools=numbered(41), log=log) as agent:
        await agent.send("x", conversation=TALK)
    none, some = await bodies(log, ToolFinished)
    assert "this program" in none.text
    assert "Also of this program" in some.text


def test_a_call_of_any_other_tool_means_itself() -> None:
    call = ToolCall("a", "look", {"name": "x", "arguments": {}})
    assert meant(call) is call


def test_an_exact_name_comes_first() -> None:
    tools = [
        Tool(name=name, description=text, parameters={}, server="s", remote_name=name)
        for name, text in [("book", "Book a table, a table to book."), ("table", "Anything.")]
    ]
    assert [one.name for one in ToolIndex(tools).search("table", 2)] == ["table", "book"]
    assert ToolIndex([]).search("table", 2) == []


def test_a_threshold_below_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        ContextLimits(most_tools=-1)
    assert ContextLimits(most_tools=None).most_tools is None


DEEP = ['{"what":' * 3000 + "1" + "}" * 3000, '{"a":' + "[" * 900 + "]" * 900 + "}", "[" * 1200]


@pytest.mark.parametrize(
    "arguments", [*DEEP, '{"what": NaN}', '{"what": -Infinity}', '{"a":1e999}']
)
async def test_arguments_that_are_no_sane_json_are_a_mistake_now_and_when_read_again(
    arguments: str,
) -> None:
    log = MemoryLog()
    async with log:
        script = [through("look_1", arguments), "Sorry.", "Still here."]
        async with Agent(provider=ScriptedProvider(script), tools=numbered(60), log=log) as agent:
            reply = await agent.send("x", conversation=TALK)
            assert reply.calls[0].result is not None
            assert (reply.calls[0].call.name, reply.calls[0].result.outcome) == (
                "call_tool",
                "none",
            )
            assert (await agent.send("y", conversation=TALK)).text == "Still here."
        again = ScriptedProvider(["Here, too."])
        async with Agent(provider=again, tools=numbered(60), log=log) as agent:
            assert (await agent.send("z", conversation=TALK)).text == "Here, too."


async def test_what_a_text_means_does_not_depend_on_who_asks() -> None:
    """The same at every depth of the stack: a conversation is read again from another one."""
    call = ToolCall("a", "call_tool", {"name": "look", "arguments": '{"a":' * 63 + "1" + "}" * 63})

    def at(depth: int) -> ToolCall:
        return meant(call) if depth == 0 else at(depth - 1)

    assert meant(call).name == "look"
    assert at(700) == meant(call)


async def test_a_call_that_is_nested_without_end_fails_its_turn_and_no_other() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    provider = ScriptedProvider([asks("look_1", deep), "Here."])
    async with Agent(provider=provider, tools=numbered(3)) as agent:
        with pytest.raises(ModelError):
            await agent.send("x", conversation=TALK)
        assert (await agent.send("y", conversation=TALK)).text == "Here."


def bulky(count: int) -> list[Tool]:
    field = {"type": "string", "description": "d" * 200}
    return [
        Tool(
            name=f"invoice_{number}",
            description="Sends an invoice. " + "More of it. " * 300,
            parameters={"type": "object", "properties": {f"p{n}": field for n in range(18)}},
            server="bills",
            remote_name=f"invoice_{number}",
        )
        for number in range(count)
    ]


def test_a_result_has_an_end_however_long_the_definitions() -> None:
    tools = bulky(50)
    result = ToolSearch(40).find(tools, {"query": "invoice"}).text
    assert len(result) <= 8_000
    found = [line for line in result.splitlines() if line.startswith("## ")]
    assert len(found) == 5
    assert result.count("parameters: {") == 1
    assert result.count("\nSends an invoice.\n") == 4


def test_what_was_only_named_is_shown_whole_when_its_name_is_asked_for() -> None:
    result = ToolSearch(40).find(bulky(50), {"query": "invoice_37"}).text
    assert result.startswith("## invoice_37\n")
    assert "p17" in result.partition("\n## ")[0]
    assert len(result) <= 8_000


def test_five_of_the_usual_size_are_all_shown_whole() -> None:
    small = [replace(one, description="Sends.", parameters={}) for one in bulky(50)]
    assert ToolSearch(40).find(small, {"query": "invoice"}).text.count("parameters: {}") == 5
