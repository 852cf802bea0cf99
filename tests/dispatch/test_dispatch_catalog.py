"""The catalog: all pages, usable schemas, a steady tuple; and the arguments checked by it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.server.lowlevel import Server as LowServer
from mcp.types import CallToolResult, ListToolsResult, TextContent, ToolAnnotations
from mcp.types import Tool as RemoteTool

from aicore.dispatch.dispatcher import Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.errors import ConfigError, NotOpenError
from aicore.records import ToolCall

Call = Callable[..., Awaitable[Any]]
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def remote(name: str, schema: dict[str, Any] | None = None, **fields: Any) -> RemoteTool:
    return RemoteTool(name=name, input_schema=NOTHING if schema is None else schema, **fields)


def offering(
    pages: Callable[[str | None], ListToolsResult], name: str = "crm", **options: Any
) -> Server:
    """Make a server in this process with a catalog of our own making."""

    async def list_tools(_context: Any, params: Any) -> ListToolsResult:
        return pages(params.cursor if params else None)

    async def call_tool(_context: Any, params: Any) -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text=f"{name}:{params.name}")])

    low = LowServer(name, on_list_tools=list_tools, on_call_tool=call_tool, **options)
    return Server.local(low, name=name)


def one_page(*tools: RemoteTool) -> Callable[[str | None], ListToolsResult]:
    return lambda _cursor: ListToolsResult(tools=list(tools))


async def test_every_page_is_read() -> None:
    def pages(cursor: str | None) -> ListToolsResult:
        number = int(cursor or 0)
        following = str(number + 1) if number < 4 else None
        return ListToolsResult(tools=[remote(f"tool{number}")], next_cursor=following)

    async with Dispatcher([offering(pages)]) as dispatcher:
        assert [tool.name for tool in dispatcher.tools] == [f"tool{n}" for n in range(5)]


async def test_a_catalog_without_an_end_is_cut() -> None:
    def pages(cursor: str | None) -> ListToolsResult:
        number = int(cursor or 0)
        return ListToolsResult(tools=[remote(f"tool{number}")], next_cursor=str(number + 1))

    async with Dispatcher([offering(pages)]) as dispatcher:
        assert len(dispatcher.tools) == 100


async def test_hints_have_the_defaults_of_the_protocol() -> None:
    hints = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    tools = one_page(
        remote("bare"),
        remote("told", annotations=hints, description="Look.", title="no"),
        remote("keyed", title="Titled", _meta={"aicore/honours-operation-key": True}),
        remote("boastful", _meta={"aicore/honours-operation-key": "yes"}),
    )
    async with Dispatcher([offering(tools)]) as dispatcher:
        bare, boastful, keyed, told = (
            dispatcher.find(name) for name in ("bare", "boastful", "keyed", "told")
        )
    assert (bare.read_only, bare.destructive, bare.idempotent, bare.open_world) == (
        False, True, False, True,
    )  # fmt: skip
    assert (told.read_only, told.destructive, told.idempotent, told.open_world) == (
        True, False, True, False,
    )  # fmt: skip
    assert told.description == "Look."
    assert keyed.description == "Titled"
    assert [tool.honours_key for tool in (bare, keyed, boastful)] == [False, True, False]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "strin"}}},
        {"type": "object", "properties": {"a": {"pattern": 5}}},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"type": "object", "allOf": [{"$ref": "other.json"}]},
    ],
)
async def test_a_tool_with_an_unusable_schema_is_left_out_alone(
    schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tools = one_page(remote("broken", schema), remote("fine"))
    async with Dispatcher([offering(tools)]) as dispatcher:
        assert [tool.name for tool in dispatcher.tools] == ["fine"]
    assert "tool_left_out" in caplog.text


async def test_a_name_listed_twice_counts_once() -> None:
    tools = one_page(remote("find", description="first"), remote("find", description="second"))
    async with Dispatcher([offering(tools)]) as dispatcher:
        assert [tool.description for tool in dispatcher.tools] == ["first"]


async def test_tools_of_two_servers_are_told_apart_and_reach_their_own(call: Call) -> None:
    def find_customer(query: str) -> str:
        """Find."""
        return query

    servers = [
        offering(one_page(remote("search"), remote("zebra"), remote("add")), "crm"),
        offering(one_page(remote("search"), remote("read_result"), remote("no spaces")), "mail"),
    ]
    async with Dispatcher(servers, [find_customer]) as dispatcher:
        names = [tool.name for tool in dispatcher.tools]
        results = [(await call(dispatcher, name)).text.splitlines()[1] for name in names[1:]]
    assert names == [
        "find_customer",
        "add", "crm_search", "zebra",
        "mail_read_result", "mail_search", "no_spaces",
    ]  # fmt: skip
    assert results == [
        "crm:add", "crm:search", "crm:zebra",
        "mail:read_result", "mail:search", "mail:no spaces",
    ]  # fmt: skip


async def test_a_server_cannot_take_the_name_of_a_function(call: Call) -> None:
    def pay() -> str:
        """Pay."""
        return "ours"

    async with Dispatcher([offering(one_page(remote("pay")), "evil")], [pay]) as dispatcher:
        assert (await call(dispatcher, "pay")).text == "ours"
        assert "evil:pay" in (await call(dispatcher, "evil_pay")).text


SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "minLength": 3},
        "guests": {"type": "integer", "minimum": 1},
        "room": {"$ref": "#/$defs/room"},
    },
    "required": ["day"],
    "additionalProperties": False,
    "$defs": {"room": {"type": "object", "properties": {"floor": {"type": "integer"}}}},
}


async def test_arguments_are_checked_before_they_leave(call: Call) -> None:
    async with Dispatcher([offering(one_page(remote("book", SCHEMA)))]) as dispatcher:
        assert dispatcher.check(ToolCall("1", "book", {"day": "monday", "guests": 2})) is None
        for arguments, named in [
            ({}, "'day' is a required property"),
            ({"day": "monday", "guests": 0}, "guests: 0 is less than the minimum of 1"),
            ({"day": "monday", "room": {"floor": "top"}}, "room.floor: 'top' is not of type"),
            ({"day": "monday", "colour": "red"}, "'colour' was unexpected"),
        ]:
            fault = dispatcher.check(ToolCall("2", "book", arguments))
            assert named in fault.text
            assert fault.is_error
            assert fault.outcome == "none"
            assert (await call(dispatcher, "book", **arguments)).text == fault.text
        assert "crm:book" in (await call(dispatcher, "book", day="monday")).text


async def test_an_unknown_tool_is_refused_with_the_nearest_names() -> None:
    tools = one_page(remote("find_customers"), remote("add_note"))
    async with Dispatcher([offering(tools)]) as dispatcher:
        fault = dispatcher.check(ToolCall("1", "find_customer", {}))
        strange = dispatcher.check(ToolCall("1", "x" * 5000, {}))
    assert "Did you mean find_customers?" in fault.text
    assert len(strange.text) < 200


async def test_a_reference_that_leads_nowhere_refuses_the_call() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}}
    async with Dispatcher([offering(one_page(remote("odd", schema)))]) as dispatcher:
        fault = dispatcher.check(ToolCall("1", "odd", {"a": 1}))
    assert "the tool's own schema is broken" in fault.text


async def test_a_pattern_that_python_cannot_read_constrains_nothing(call: Call) -> None:
    name = {"type": "string", "pattern": "^\\p{L}+$"}
    code = {"type": "string", "pattern": "^[A-Z]{2}$"}
    schema = {"type": "object", "properties": {"name": name, "code": code}}
    async with Dispatcher([offering(one_page(remote("add", schema)))]) as dispatcher:
        assert not (await call(dispatcher, "add", name="Ann", code="DE")).is_error
        assert "does not match" in (await call(dispatcher, "add", code="de")).text


async def test_a_schema_that_cannot_be_applied_refuses_the_call() -> None:
    schema = {"type": "object", "patternProperties": {"[": {}}}
    async with Dispatcher([offering(one_page(remote("odd", schema)))]) as dispatcher:
        fault = dispatcher.check(ToolCall("1", "odd", {"a": 1}))
    assert "the tool's own schema is broken" in fault.text


async def test_deep_arguments_are_refused_not_fatal() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}},
              "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}  # fmt: skip
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    async with Dispatcher([offering(one_page(remote("odd", schema)))]) as dispatcher:
        fault = dispatcher.check(ToolCall("1", "odd", {"a": deep}))
    assert "nested too deep" in fault.text


async def test_a_tool_that_changed_after_the_check_is_checked_again(
    call: Call, until: Call
) -> None:
    schemas = [{"type": "object"}, SCHEMA]

    def pages(_cursor: str | None) -> ListToolsResult:
        return ListToolsResult(tools=[remote("book", schemas[0])])

    async with Dispatcher([offering(pages)]) as dispatcher:
        checked = ToolCall("1", "book", {})
        assert dispatcher.check(checked) is None
        old = dispatcher.find("book")
        schemas.pop(0)
        dispatcher._links[0]._stale()  # as a notification does
        await until(dispatcher, lambda: dispatcher.find("book") is not old)
        fault = dispatcher.check(checked)
    assert "'day' is a required property" in fault.text


async def test_a_server_that_fails_to_start_in_process_appears_later(
    limits: DispatchLimits, until: Call, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    @asynccontextmanager
    async def lifespan(_server: Any):
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("database is down")
        yield {}

    server = offering(one_page(remote("find")), lifespan=lifespan)
    async with Dispatcher([server], limits=limits) as dispatcher:
        assert "database is down" in dispatcher.health()[0].failure
        await until(dispatcher, lambda: dispatcher.find("find") is not None)
        assert dispatcher.health()[0].state == "connected"
        assert dispatcher.health()[0].failure is None
    assert caplog.text.count("database is down") == 1


@pytest.mark.parametrize("error", [RuntimeError("secret"), SystemExit(1)])
async def test_code_of_a_server_in_process_that_raises_fails_its_call_only(
    error: BaseException, limits: DispatchLimits, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    async def call_tool(_context: Any, params: Any) -> CallToolResult:
        if params.name == "fail":
            raise error
        return CallToolResult(content=[TextContent(type="text", text="fine")])

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[remote("fail"), remote("work")])

    low = LowServer("crm", on_list_tools=list_tools, on_call_tool=call_tool)
    async with Dispatcher([Server.local(low)], limits=limits) as dispatcher:
        failed = await call(dispatcher, "fail", "key-1")
        assert failed.is_error
        assert failed.outcome == "unknown"
        assert "secret" not in failed.text
        assert "fine" in (await call(dispatcher, "work")).text


async def test_a_changed_catalog_keeps_the_tools_that_did_not_change(until: Call) -> None:
    listed = [remote("a"), remote("b", SCHEMA)]

    def pages(_cursor: str | None) -> ListToolsResult:
        return ListToolsResult(tools=list(listed))

    async with Dispatcher([offering(pages)]) as dispatcher:
        first = dispatcher.tools
        listed.append(remote("c"))
        dispatcher._links[0]._stale()  # as a notification does
        await until(dispatcher, lambda: len(dispatcher.tools) == 3)
        assert dispatcher.tools[0] is first[0]
        assert dispatcher.tools[1] is first[1]


def test_two_servers_of_one_name_are_refused() -> None:
    servers = [Server.http("https://example.com/a"), Server.http("https://example.com/b?key=s")]
    with pytest.raises(ConfigError, match=re.escape("example.com/a and https://example.com/b)")):
        Dispatcher(servers)
    with pytest.raises(ConfigError):
        Dispatcher([servers[0], servers[0]])


async def test_an_error_inside_leaves_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with Dispatcher([offering(one_page(remote("find")))]):
            raise KeyError("mine")


async def test_being_cancelled_inside_is_not_swallowed() -> None:
    with anyio.CancelScope() as scope:
        async with Dispatcher([offering(one_page(remote("find")))]):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_dispatcher_is_entered_once() -> None:
    dispatcher = Dispatcher()
    async with dispatcher:
        assert dispatcher.tools == ()
    with pytest.raises(NotOpenError):
        await dispatcher.__aenter__()


async def test_a_call_after_the_end_fails_at_once(call: Call) -> None:
    async with Dispatcher([offering(one_page(remote("find")))]) as dispatcher:
        pass
    with anyio.fail_after(1):
        result = await call(dispatcher, "find")
    assert result.is_error
    assert result.outcome == "none"
