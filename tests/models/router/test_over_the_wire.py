"""What real servers do wrong: the next provider answers, and the attempt is told as it was."""

import json
from decimal import Decimal

import anyio
import pytest
from tests.models.fake_openai import (
    Play,
    call,
    chunk,
    event,
    free_port,
    json_play,
    serving,
    stream_play,
    streamed,
    whole,
)
from tests.models.router.scene import PRICE, MovedClock, asked, read

from aicore.errors import ConfigError, CredentialError, ProviderUnavailable
from aicore.models import OpenAICompatible, Timeouts
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger
from aicore.models.router import Router, RouterLimits

QUICK = Timeouts(connect_s=1.0, first_token_s=0.2, idle_s=0.2, total_s=1.0)
ONCE = RouterLimits(rounds=1)


def failing(status: int, **headers: str) -> Play:
    return json_play({"error": {"message": "No."}}, status=status, headers=headers)


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize(
    ("play", "code", "status"),
    [
        *((failing(status), "provider_unavailable", status) for status in (408, 409, 425, 429)),
        *((failing(status), "provider_unavailable", status) for status in (500, 502, 503, 529)),
        (failing(401), "credentials", None),
        (failing(403), "credentials", None),
        (failing(404), "config", None),
        (failing(402), "operator", None),
        (failing(400), "model", None),
        (Play([b"<html>"], headers={"content-type": "text/html"}), "config", None),
        (Play(drop=True), "provider_unavailable", None),
        (Play(waits=True), "provider_unavailable", None),
        (stream_play(b"data: {]\n\n"), "provider_unavailable", None),
        (json_play([]), "provider_unavailable", None),
        (stream_play(event(chunk({"role": "assistant"})), end="cut"), "provider_unavailable", None),
    ],
    ids=lambda value: str(value)[:12],
)
async def test_next_provider_answers(
    play: Play, code: str, status: int | None, is_stream: bool
) -> None:
    async with (
        serving(play) as a,
        serving() as b,
        OpenAICompatible(base_url=a.base_url, model="a", timeouts=QUICK) as first,
        OpenAICompatible(base_url=b.base_url, model="b") as second,
        Router([first, second]) as router,
    ):
        request = asked("Hello!")
        completion = (
            (await read(router.stream(request)))[1] if is_stream else await router.complete(request)
        )

    assert completion.text == "You said: Hello!"
    assert completion.route is not None
    failed, answered = completion.route.attempts
    assert (failed.provider, failed.code, failed.status) == ("openai:a", code, status)
    assert answered.provider == "openai:b"


async def test_nobody_there_and_what_could_have_been_paid_are_told_apart() -> None:
    """The names of the errors that mean "never sent" are those of the HTTP library in use."""
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    money = Budget(MemoryLedger(), BudgetLimits(day_usd=Decimal(1)))
    async with (
        serving(Play(drop=True)) as server,
        OpenAICompatible(base_url=nowhere, model="a", price=PRICE) as gone,
        OpenAICompatible(base_url=server.base_url, model="b", price=PRICE) as drops,
    ):
        async with Router([gone], budget=money, limits=ONCE) as router:
            with pytest.raises(ProviderUnavailable) as caught:
                await router.complete(asked())
            now_ms = router._desk.clock.now_ms()
            assert (await money.spent(asked().origin, now_ms=now_ms)).day_usd == 0
            assert caught.value.route.attempts[0].usage is None
        async with Router([drops], budget=money, limits=ONCE) as router:
            with pytest.raises(ProviderUnavailable) as caught:
                await router.complete(asked())
            assert (await money.spent(asked().origin, now_ms=now_ms)).day_usd > 0
            assert caught.value.route.attempts[0].usage is not None


async def test_repeated_ids_and_a_cut_call_are_made_up_for() -> None:
    """A call that was cut is not handed on; whoever goes on makes it, once."""
    cut_call = event(chunk({"tool_calls": [call(0, "find", '{"name": "A')]}))
    broken = [event(chunk({"content": "Let me look it up. "})), cut_call]
    again = streamed("Let me look it up.", calls=[call(0, "find", '{"name": "Ann"}', "x")])
    async with (
        serving(stream_play(*broken, end="cut")) as a,
        serving(stream_play(*again)) as b,
        OpenAICompatible(base_url=a.base_url, model="a") as first,
        OpenAICompatible(base_url=b.base_url, model="b") as second,
        Router([first, second]) as router,
    ):
        text, completion = await read(router.stream(asked("hi")))

    assert text == "Let me look it up."
    assert [(one.name, one.arguments) for one in completion.calls] == [("find", {"name": "Ann"})]


async def test_silence_in_the_middle_is_gone_on_with() -> None:
    silent = stream_play(event(chunk({"content": "One two three fo"})), end="hang")
    async with (
        serving(silent) as a,
        serving(stream_play(*streamed("four five."))) as b,
        OpenAICompatible(base_url=a.base_url, model="a", timeouts=QUICK) as first,
        OpenAICompatible(base_url=b.base_url, model="b") as second,
        Router([first, second]) as router,
    ):
        text, _ = await read(router.stream(asked()))
        with anyio.fail_after(5):
            await a.gone.wait()

    assert text == "One two three four five."
    told = json.loads(b.requests[0].body)["messages"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]


async def test_all_wrong_is_told_by_who_must_act_and_the_next_request_still_works() -> None:
    clock = MovedClock()
    async with (
        serving(failing(401)) as a,
        serving(failing(404), failing(404)) as b,
        serving(failing(503), json_play(whole("Hello!"))) as c,
        OpenAICompatible(base_url=a.base_url, model="a") as first,
        OpenAICompatible(base_url=b.base_url, model="b") as second,
        OpenAICompatible(base_url=c.base_url, model="c") as third,
    ):
        async with Router([first, second], clock=clock) as router:
            with pytest.raises(ConfigError):
                await router.complete(asked())
            with pytest.raises(CredentialError):
                await router.complete(asked())
        async with Router([second, third], clock=clock, limits=ONCE) as router:
            with pytest.raises(ProviderUnavailable):
                await router.complete(asked(data_class="public"))
            assert (await router.complete(asked())).text == "Hello!"


async def test_thousand_chunks_are_handed_on_in_order() -> None:
    texts = [f"{number} " for number in range(1000)]
    async with (
        serving(stream_play(*streamed(*texts))) as a,
        OpenAICompatible(base_url=a.base_url, model="a") as first,
        OpenAICompatible(base_url=a.base_url, model="b") as second,
        Router([first, second]) as router,
    ):
        text, completion = await read(router.stream(asked()))

    assert text == completion.text == "".join(texts)


async def test_race_over_real_connections_reads_the_winner_and_closes_the_loser() -> None:
    """The winner was begun in a task that has ended since."""
    words = [f"{number} " for number in range(50)]
    silent = stream_play(event(chunk({"role": "assistant"})), end="hang")
    async with (
        serving(silent) as a,
        serving(*[stream_play(*streamed(*words))] * 2) as b,
        OpenAICompatible(base_url=a.base_url, model="a") as first,
        OpenAICompatible(base_url=b.base_url, model="b", price=PRICE) as second,
        Router([first, second]) as router,
    ):
        hedger, now_s = router._desk.hedger, router._desk.stopwatch.now_s()
        assert hedger is not None
        for _ in range(40):
            hedger.note_first("openai:a", 0.01, now_s=now_s)
            hedger.note_request()
        text, completion = await read(router.stream(asked()))
        with anyio.fail_after(5):
            await a.gone.wait()
        again, _ = await read(second.stream(asked()))

    assert text == again == "".join(words)
    assert b.connections == 1, "the winner's connection is used again"
    assert completion.route is not None
    assert [one.outcome for one in completion.route.attempts] == ["lost", "answered"]
