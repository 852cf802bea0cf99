"""What holds in process, over stdio and over HTTP, in both eras of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from aicore.dispatch.dispatcher import Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server

Call = Callable[..., Awaitable[Any]]


async def test_calls_succeed_and_carry_key_and_principal(
    any_server: Server, limits: DispatchLimits, call: Call, request: Any
) -> None:
    async with Dispatcher([any_server], limits=limits) as dispatcher:
        echoed = await call(dispatcher, "echo", text="hi")
        told = await call(dispatcher, "meta", "key-1")
        (health,) = dispatcher.health()
    assert echoed.text == '<data from="peer">\nhi\n</data>'
    assert told.structured == {"aicore/operation-key": "key-1", "aicore/principal": "customer:c7"}
    assert health.state == "connected"
    assert health.generation == 1
    assert health.protocol == ("2025-11-25" if "2025" in request.node.name else "2026-07-28")


async def test_fifty_calls_run_at_once(
    any_server: Server, limits: DispatchLimits, call: Call
) -> None:
    results: list[str] = []

    async def one(number: int) -> None:
        result = await call(dispatcher, "echo", text=f"n{number}")
        results.append(result.text.splitlines()[1])

    async with (
        Dispatcher([any_server], limits=limits) as dispatcher,
        anyio.create_task_group() as group,
    ):
        for number in range(50):
            group.start_soon(one, number)
    assert sorted(results) == sorted(f"n{number}" for number in range(50))


async def test_changed_tools_are_fetched_again(
    any_server: Server, limits: DispatchLimits, call: Call, until: Call
) -> None:
    async with Dispatcher([any_server], limits=limits) as dispatcher:
        before = dispatcher.tools
        assert dispatcher.tools is before
        await call(dispatcher, "learn", name="sing")
        await until(dispatcher, lambda: dispatcher.find("sing") is not None)
        assert "I am sing" in (await call(dispatcher, "sing")).text
        await call(dispatcher, "forget", name="sing")
        await until(dispatcher, lambda: dispatcher.find("sing") is None)
        assert dispatcher.tools == before
        assert (await call(dispatcher, "sing")).outcome == "none"


async def test_a_cancelled_call_is_cancelled_on_the_server_and_the_link_lives(
    any_server: Server, limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([any_server], limits=limits) as dispatcher:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: call(dispatcher, "slow", seconds=30, tag="cut"))
                while "cut began" not in (await call(dispatcher, "events")).text:
                    pass
                group.cancel_scope.cancel()
            while "cut cancelled" not in (await call(dispatcher, "events")).text:
                pass
        assert dispatcher.health()[0].generation == 1
        assert "still" in (await call(dispatcher, "echo", text="still")).text


async def test_past_its_deadline_each_kind_of_call_ends_honestly(
    some_peer: tuple[Server, Path], call: Call
) -> None:
    """A read did nothing; an effect is unknown; one that honours its key is asked once more."""
    server, state = some_peer
    async with Dispatcher([server], limits=DispatchLimits(call_s=0.4)) as dispatcher:
        with anyio.fail_after(5):
            read = await call(dispatcher, "slow", seconds=30)
            effect = await call(dispatcher, "slow_effect", "key-1", seconds=30, name="late")
            settled = await call(dispatcher, "slow_once", "key-2", seconds=30)
            assert not (await call(dispatcher, "echo", text="next")).is_error
        assert dispatcher.health()[0].generation == 1
    assert read.is_error
    assert read.outcome == "none"
    assert effect.is_error
    assert effect.outcome == "unknown"
    assert (state / "late").read_text() == "1"
    assert settled.outcome == "done"
    assert "done key-2" in settled.text
    assert (state / "slow_once-key-2").read_text() == "2"


async def test_five_megabytes_are_cut_for_the_model_and_kept_up_to_the_cap(
    some_peer: tuple[Server, Path], limits: DispatchLimits, call: Call
) -> None:
    async with Dispatcher([some_peer[0]], limits=limits) as dispatcher:
        result = await call(dispatcher, "big", characters=5_000_000)
    assert not result.is_error
    assert len(result.text) < 17_000
    assert len(result.full_text) == 1_000_000
    assert result.structured is None
    assert 'call read_result with handle "call_1" and offset 16000' in result.text
