"""Effects are planned, shown, confirmed, and only then performed: what every server shares."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import RequestParamsMeta

from aicore_servers._planned import CONFIRM_S, Confirmations
from aicore_servers._tooling import (
    BusinessServer,
    Planned,
    Rules,
    Toolbox,
    current_call,
    listing,
    progress,
)
from aicore_tools.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown
from aicore_tools.operations import Effect, Operation


@dataclass
class Till:
    """A service with one thing to give back."""

    left_minor: int = 5000
    given: list[int] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)

    async def earlier(self, operation: Operation) -> Effect[int] | None:
        if operation.key in self.done:
            return Effect(result=self.done[operation.key], is_replay=True)
        return None

    async def plan(self, amount: int | None) -> int:
        if self.left_minor < 0:
            raise OutcomeUnknown("There is no customer ann@example.com.")
        if amount is not None and amount > self.left_minor:
            raise InvalidInput("More than there is.")
        return self.left_minor if amount is None else amount

    async def give(self, amount: int, operation: Operation) -> Effect[int]:
        self.left_minor -= amount
        self.given.append(amount)
        if operation.key:
            self.done[operation.key] = amount
        return Effect(result=amount)


toolbox = Toolbox()
DEFAULT = Rules()
_Context = Context[Till]


@toolbox.read
async def left(ctx: _Context) -> Mapping[str, Any]:
    """See what is left."""
    await progress(1, 2)
    return listing([ctx.request_context.lifespan_context.left_minor], "c1")


@toolbox.effect(profile="draft")
async def sketch(ctx: _Context) -> Planned[int, int]:
    """Do next to nothing."""
    return _giving(ctx, 0)


@toolbox.effect(profile="money", destructive=True, confirm=True)
async def refund(ctx: _Context, amount: int | None = None) -> Planned[int, int]:
    """Give money back."""
    return _giving(ctx, amount)


def _giving(ctx: _Context, amount: int | None) -> Planned[int, int]:
    till: Till = ctx.request_context.lifespan_context
    operation = current_call().operation
    return Planned(
        prepare=lambda: till.plan(amount),
        show=lambda plan: {"amount": plan},
        perform=lambda plan: till.give(plan, operation),
        answer=lambda given: {"given": given},
    )


def served(till: Till, rules: Rules = DEFAULT, box: Toolbox = toolbox) -> BusinessServer[Till]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Till]) -> AsyncIterator[Till]:
        yield till

    return BusinessServer(
        "till", instructions="Money.", toolbox=box, lifespan=lifespan, rules=rules
    )


async def ask(client: Client, tool: str, key: str | None = None, **arguments: Any) -> Any:
    given = {"aicore/operation-key": key} if key else {}
    meta: RequestParamsMeta = given  # type: ignore[assignment] # mypy lacks PEP 728
    result = await client.call_tool(tool, arguments, meta=meta)
    (block,) = result.content
    assert block.type == "text"
    return json.loads(block.text)


async def test_the_log_holds_no_words_that_may_name_a_customer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    till = Till(left_minor=-1)
    async with Client(served(till)) as client:
        answer = await ask(client, "refund")
    assert answer["code"] == "outcome_unknown"
    assert "ann@example.com" in answer["message"]
    (record,) = [record for record in caplog.records if "tool_failed" in record.message]
    assert "ann@example.com" not in record.message
    assert "outcome_unknown" in record.message


async def test_a_dry_run_shows_the_plan_and_does_nothing() -> None:
    till = Till()
    async with Client(served(till)) as client:
        shown = await ask(client, "refund", amount=1000, dry_run=True)
        refused = await ask(client, "refund", amount=9000, dry_run=True)
    assert shown == {"dry_run": True, "plan": {"amount": 1000}}
    assert refused["code"] == "invalid_input"
    assert till.given == []


async def test_what_cannot_be_undone_is_done_only_when_its_plan_is_confirmed() -> None:
    till = Till()
    async with Client(served(till)) as client:
        asked = await ask(client, "refund", amount=1000)
        assert asked["needs_confirmation"] is True
        assert asked["plan"] == {"amount": 1000}
        assert till.given == []
        done = await ask(client, "refund", amount=1000, confirm=asked["confirm"])
    assert done["given"] == 1000
    assert till.given == [1000]


async def test_a_confirmation_is_used_once() -> None:
    till = Till()
    async with Client(served(till)) as client:
        asked = await ask(client, "refund", amount=1000)
        await ask(client, "refund", amount=1000, confirm=asked["confirm"])
        again = await ask(client, "refund", amount=1000, confirm=asked["confirm"])
    assert again["code"] == "confirm_expired"
    assert till.given == [1000]


async def test_a_confirmation_holds_for_its_own_arguments_only() -> None:
    till = Till()
    async with Client(served(till)) as client:
        asked = await ask(client, "refund", amount=1000)
        other = await ask(client, "refund", amount=2000, confirm=asked["confirm"])
        forged = await ask(client, "refund", amount=1000, confirm="yes")
    assert (other["code"], forged["code"]) == ("confirm_mismatch", "confirm_mismatch")
    assert till.given == []


async def test_a_plan_that_changed_meanwhile_is_shown_anew() -> None:
    """`amount` is left out, so the plan says what is left: it must be what was confirmed."""
    till = Till()
    async with Client(served(till)) as client:
        asked = await ask(client, "refund")
        till.left_minor = 100
        refused = await ask(client, "refund", confirm=asked["confirm"])
    assert refused["code"] == "confirm_mismatch"
    assert till.given == []


async def test_a_repeat_needs_neither_confirmation_nor_todays_state() -> None:
    till = Till()
    async with Client(served(till)) as client:
        asked = await ask(client, "refund", "k1", amount=4000)
        await ask(client, "refund", "k1", amount=4000, confirm=asked["confirm"])
        again = await ask(client, "refund", "k1", amount=4000)
    assert again == {"given": 4000, "replayed": True}
    assert till.given == [4000]


async def test_confirming_can_be_left_to_somebody_else() -> None:
    till = Till()
    async with Client(served(till, Rules(confirm="never"))) as client:
        await ask(client, "refund", amount=1000)
    assert till.given == [1000]


@pytest.mark.parametrize(
    ("profile", "tools"),
    [
        ("read", ["left"]),
        ("draft", ["left", "sketch"]),
        ("write", ["left", "sketch"]),
        ("money", ["left", "sketch", "refund"]),
    ],
)
async def test_a_profile_leaves_out_what_is_beyond_it(profile: Any, tools: list[str]) -> None:
    till = Till()
    async with Client(served(till, Rules(profile=profile, confirm="never"))) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == tools
        answer = await ask(client, "refund", amount=1)
    assert answer.get("code") == (None if "refund" in tools else "unknown_tool")
    assert len(till.given) == ("refund" in tools)


async def test_only_effects_plan_and_only_irreversible_ones_confirm() -> None:
    async with Client(served(Till())) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        refused = await ask(client, "left", dry_run=True)
    taken = {name: set(tool.input_schema["properties"]) for name, tool in tools.items()}
    assert taken == {
        "left": set(),
        "sketch": {"dry_run"},
        "refund": {"amount", "dry_run", "confirm"},
    }
    assert refused["code"] == "invalid_input"


async def test_a_list_says_how_to_get_more() -> None:
    async with Client(served(Till())) as client:
        listed = await ask(client, "left")
    assert (listed["rows"], listed["truncated"], listed["next_cursor"]) == ([5000], True, "c1")


async def test_progress_reaches_who_asked_for_it() -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total))

    async with Client(served(Till())) as client:
        await client.call_tool("left", {}, progress_callback=note)
    assert seen == [(1, 2)]


@pytest.mark.parametrize("text", ["\ud800", "x.\udfff", "é.é"])
async def test_a_confirmation_that_no_database_could_hold_is_a_wrong_one(text: str) -> None:
    till = Till()
    async with Client(served(till)) as client:
        answer = await ask(client, "refund", amount=1, confirm=text)
    assert answer["code"] == "confirm_mismatch"
    assert till.given == []


async def _raising(*errors: Exception) -> Any:
    """What a client is answered where a task group of a tool raises these."""
    box = Toolbox()

    @box.read
    async def look(ctx: _Context) -> Mapping[str, Any]:
        """Look in several places at once."""
        raise ExceptionGroup("one of them", [ExceptionGroup("inner", [errors[0]]), *errors[1:]])

    async with Client(served(Till(), box=box)) as client:
        return await ask(client, "look")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((NotFound("a"),), "not_found"),
        ((NotFound("a"), InvalidInput("b")), "not_found"),
        ((NotFound("a"), OutcomeUnknown("b")), "outcome_unknown"),
        ((NotFound("a"), RuntimeError("b")), "internal"),
    ],
)
async def test_a_refusal_among_several_tasks_is_that_refusal(
    errors: tuple[Exception, ...], code: str
) -> None:
    assert (await _raising(*errors))["code"] == code


@pytest.mark.parametrize("wrong", [{"dry_run": "yes"}, {"confirm": 7}])
async def test_wrong_switches_are_refused(wrong: dict[str, Any]) -> None:
    till = Till()
    async with Client(served(till)) as client:
        answer = await ask(client, "refund", amount=1, **wrong)
    assert answer["code"] == "invalid_input"
    assert till.given == []


def test_a_confirmation_expires() -> None:
    now_s = 1000.0
    confirmations = Confirmations(clock=lambda: now_s)
    operation = Operation.of("refund", {"amount": 1})
    token, expires = confirmations.give(operation, {"amount": 1})
    assert expires.timestamp() == now_s + CONFIRM_S
    now_s += CONFIRM_S
    with pytest.raises(Conflict) as raised:
        confirmations.take(token, operation, {"amount": 1})
    assert raised.value.code == "confirm_expired"
