"""Streams that break, hang, or are left early."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.models.fake_openai import Play, chunk, event, json_play, serving, stream_play, streamed

from aicore.errors import Interrupted, ProviderUnavailable
from aicore.models import OpenAICompatible, Request, TextDelta, Timeouts

Ask = Callable[..., Request]
Collect = Callable[..., Any]
HELLO = event(chunk({"content": "Hello"}))


def provider(base_url: str, **settings: Any) -> OpenAICompatible:
    return OpenAICompatible(base_url=base_url, model="m", **settings)


# Streams that break


@pytest.mark.parametrize(
    "play",
    [
        stream_play(event(chunk({"role": "assistant"})), end="cut"),
        stream_play(event(chunk({"role": "assistant"}))),
        stream_play(event(chunk({"role": "assistant"})), framing="close"),
        stream_play(b'data: {"choices": [{"del'),
        stream_play(event({"error": {"message": "busy"}})),
        stream_play(HELLO.rstrip(b"\n") + event({"error": {"message": "busy"}})),
        Play(drop=True),
        json_play({"error": {"message": "busy"}}),
    ],
)
async def test_break_before_any_text_may_be_tried_again(
    play: Play, ask: Ask, collect: Collect
) -> None:
    async with serving(play) as server, provider(server.base_url) as model:
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())
        assert (await model.complete(ask("again"))).text == "You said: again"


@pytest.mark.parametrize(
    "play",
    [
        stream_play(HELLO, end="cut"),
        stream_play(HELLO),
        stream_play(HELLO, framing="close"),
        stream_play(HELLO, b'data: {"choices": [{"del'),
        stream_play(HELLO, event({"error": {"message": "busy"}})),
        stream_play(HELLO, b"data: rubbish\n\n"),
    ],
)
async def test_break_after_text_was_shown_is_an_interruption_with_the_text(
    play: Play, ask: Ask
) -> None:
    async with serving(play) as server, provider(server.base_url) as model:
        stream = model.stream(ask())
        assert await anext(stream) == TextDelta("Hello")
        with pytest.raises(Interrupted) as caught:
            await anext(stream)

    assert caught.value.text == "Hello"


async def test_connection_lost_after_the_finish_reason_does_no_harm(
    ask: Ask, collect: Collect
) -> None:
    play = stream_play(HELLO, event(chunk({}, "stop")), end="cut")
    async with serving(play) as server, provider(server.base_url) as model:
        completion = (await collect(model, ask()))[1]

    assert completion.text == "Hello"
    assert not completion.usage.is_reported


async def test_calls_of_a_stream_that_broke_are_not_handed_out(ask: Ask) -> None:
    one = {"index": 0, "id": "a", "function": {"name": "pay", "arguments": "{}"}}
    play = stream_play(event(chunk({"tool_calls": [one]})), end="cut")
    async with serving(play) as server, provider(server.base_url) as model:
        with pytest.raises(ProviderUnavailable):
            await anext(model.stream(ask()))


async def test_server_that_keeps_the_body_open_after_done_costs_no_wait(
    ask: Ask, collect: Collect
) -> None:
    play = stream_play(*streamed("Hi"), end="hang")
    async with serving(play) as server, provider(server.base_url) as model:
        with anyio.fail_after(5):
            assert (await collect(model, ask()))[1].text == "Hi"


# Leaving early


async def test_closing_a_stream_closes_the_connection(ask: Ask) -> None:
    async with (
        serving(stream_play(HELLO, end="hang")) as server,
        provider(server.base_url) as model,
    ):
        stream = model.stream(ask())
        assert await anext(stream) == TextDelta("Hello")
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator
        with anyio.fail_after(5):
            await server.gone.wait()


@pytest.mark.parametrize("play", [stream_play(HELLO, end="hang"), Play(waits=True)])
async def test_cancelling_a_stream_closes_the_connection(play: Play, ask: Ask) -> None:
    async with serving(play) as server, provider(server.base_url) as model:

        async def read() -> None:
            async for _ in model.stream(ask()):
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            with anyio.fail_after(5):
                while not server.requests:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.gone.wait()


async def test_cancelling_complete_closes_the_connection(ask: Ask) -> None:
    async with serving(Play(waits=True)) as server, provider(server.base_url) as model:
        with anyio.move_on_after(0.05):
            await model.complete(ask())
        with anyio.fail_after(5):
            await server.gone.wait()


async def test_timeout_of_the_caller_between_deltas_is_the_callers(ask: Ask) -> None:
    """No cancel scope of ours may be open while the caller has the turn."""
    async with (
        serving(stream_play(HELLO, end="hang")) as server,
        provider(server.base_url) as model,
    ):
        stream = model.stream(ask())
        with anyio.move_on_after(0.05) as scope:
            await anext(stream)
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator


# Deadlines

SHORT = 0.1


@pytest.mark.parametrize(
    ("timeouts", "play"),
    [
        (Timeouts(first_token_s=SHORT), Play(waits=True)),
        (Timeouts(first_token_s=SHORT), stream_play(b": ping\n\n", end="hang")),
        (Timeouts(first_token_s=SHORT, idle_s=5), stream_play(end="hang")),
        (Timeouts(idle_s=SHORT), stream_play(event(chunk({"role": "x"})), end="hang")),
    ],
)
async def test_slow_stream_is_given_up_before_text(
    timeouts: Timeouts, play: Play, ask: Ask, collect: Collect
) -> None:
    async with serving(play) as server, provider(server.base_url, timeouts=timeouts) as model:
        with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
            await collect(model, ask())


@pytest.mark.parametrize(
    "timeouts", [Timeouts(idle_s=SHORT), Timeouts(idle_s=SHORT, first_token_s=SHORT)]
)
async def test_silence_after_text_is_an_interruption(
    timeouts: Timeouts, ask: Ask, collect: Collect
) -> None:
    play = stream_play(HELLO, end="hang")
    async with serving(play) as server, provider(server.base_url, timeouts=timeouts) as model:
        with anyio.fail_after(5), pytest.raises(Interrupted):
            await collect(model, ask())


async def test_first_token_may_take_longer_than_later_silence(ask: Ask, collect: Collect) -> None:
    timeouts = Timeouts(first_token_s=5, idle_s=0.02)
    released = anyio.Event()
    async with (
        serving(stream_play(*streamed("Hi"))) as server,
        provider(server.base_url, timeouts=timeouts) as model,
        anyio.create_task_group() as tasks,
    ):
        server.before_body = released

        async def release() -> None:
            await anyio.sleep(0.1)  # five times `idle_s`: time itself is what is tested
            released.set()

        tasks.start_soon(release)
        assert (await collect(model, ask()))[1].text == "Hi"


async def test_total_time_is_bounded(ask: Ask, collect: Collect) -> None:
    timeouts = Timeouts(total_s=SHORT)
    endless = stream_play(*[b": ping\n\n"] * 3, end="hang", repeats=True)
    for play in (endless, Play(waits=True)):
        async with serving(play) as server, provider(server.base_url, timeouts=timeouts) as model:
            with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
                await (collect(model, ask()) if play is endless else model.complete(ask()))


async def test_answer_without_end_is_given_up(ask: Ask, collect: Collect) -> None:
    endless = stream_play(b": " + b"x" * 1_000_000 + b"\n\n", repeats=True)
    flood = Play([b"[" * 1_000_000], headers={"content-type": "application/json"}, repeats=True)
    async with serving(endless, flood) as server, provider(server.base_url) as model:
        with anyio.fail_after(30), pytest.raises(ProviderUnavailable):
            await collect(model, ask())
        with anyio.fail_after(30), pytest.raises(ProviderUnavailable):
            await model.complete(ask())
