"""A server that keeps the conversations goes down: in mid-turn, for long, and before the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from aicore import Agent, tool
from aicore.databases import postgres as postgres_database
from aicore.dispatch.dispatcher import CallContext
from aicore.errors import StoreBusy
from aicore.log import redis_server
from aicore.log.copying import check_log
from aicore.log.events import ToolFinished
from aicore.log.registry import open_log
from aicore.models import ScriptedProvider
from aicore.models.port import Completion
from aicore.records import ConversationId, ToolCall

TALK = ConversationId("web:1")
ACT = Completion(text="", calls=(ToolCall("c1", "act", {}),))


@dataclass
class Store:
    """A server that can be stopped and started, and an empty store on it."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture(params=["postgres", "valkey"])
def store(request: pytest.FixtureRequest) -> Store:
    server = request.getfixturevalue(request.param)
    if request.param == "postgres":
        return Store(server.new_database(), server.kill, server.start)
    return Store(server.new_url(), server.kill, server.launch)


@dataclass
class House:
    """An effect that honours keys; what `during` does happens in the midst of the first."""

    during: Callable[[], None]
    keys: list[str | None] = field(default_factory=list)

    def act(self) -> Callable[..., Any]:
        @tool(honours_key=True)
        async def act(context: CallContext) -> str:
            """Act once per operation key."""
            self.keys.append(context.operation_key)
            if len(self.keys) == 1:
                await anyio.to_thread.run_sync(self.during)
            return "acted"

        return act


async def test_a_server_that_comes_back_soon_is_waited_for(store: Store) -> None:
    def restart() -> None:
        store.stop()
        store.start()

    house = House(restart)
    provider = ScriptedProvider([ACT, "It is done."])
    async with Agent(provider=provider, tools=[house.act()], log=open_log(store.url)) as agent:
        assert (await agent.send("act", conversation=TALK)).text == "It is done."
    assert len(house.keys) == 1


async def test_a_turn_that_lost_its_server_is_finished_when_that_is_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_database, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(redis_server, "PATIENCE_S", 0.3)
    house = House(store.stop)
    provider = ScriptedProvider([ACT, "It is done."])
    log = open_log(store.url)
    async with Agent(provider=provider, tools=[house.act()], log=log) as agent:
        with pytest.raises(StoreBusy):
            await agent.send("act", conversation=TALK, message_id="m1")
        with pytest.raises(StoreBusy):
            await agent.send("and?", conversation=TALK, message_id="m2")
        monkeypatch.undo()
        await anyio.to_thread.run_sync(store.start)
        reply = await agent.send("act", conversation=TALK, message_id="m1")
        assert reply.text == "It is done."
        bodies = [event.body for event in await log.read(TALK)]
        assert [body.text for body in bodies if isinstance(body, ToolFinished)] == ["acted"]
        assert (await check_log(log)).faulty == []
        assert not await log.open_turns()
    assert len(house.keys) == 2
    assert len(set(house.keys)) == 1


async def test_an_agent_whose_server_is_down_says_so_and_a_later_one_starts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_database, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(redis_server, "PATIENCE_S", 0.3)
    store.stop()
    with pytest.raises(StoreBusy):
        async with Agent(provider=ScriptedProvider([]), log=open_log(store.url)):
            pass
    monkeypatch.undo()
    store.start()
    async with Agent(provider=ScriptedProvider(["Hello."]), log=open_log(store.url)) as agent:
        assert (await agent.send("hello", conversation=TALK)).text == "Hello."
