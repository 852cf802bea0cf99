"""Streams that break after text was shown, are left early, or end without an answer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from random import Random

import anyio
import pytest
from tests.models.router.scene import LOCAL, MANAGED, PRICE, MovedClock, asked, read, scripted

from aicore.errors import Interrupted, ModelError, ProviderUnavailable
from aicore.models import Completion, Price, Provider, Request, TextDelta
from aicore.models.port import OutputSchema
from aicore.models.router import Member, Router, RouterLimits
from aicore.records import ToolCall, Usage

CUT = Interrupted("Broken.", text="One two three fo")
ONCE = RouterLimits(rounds=1)


def router(*members: Member | Provider, **changes: object) -> Router:
    return Router(members, clock=MovedClock(), random=Random(1), **changes)  # type: ignore[arg-type]


class Streams:
    """A provider whose stream is what a test says, and which knows whether it was closed."""

    capabilities = LOCAL

    def __init__(self, *parts: TextDelta | Completion | Exception | anyio.Event) -> None:
        self.name = "streams"
        self.closed = 0
        self.parts = parts

    async def complete(self, request: Request) -> Completion:
        (event,) = self.parts
        assert isinstance(event, anyio.Event)
        try:
            await event.wait()
        finally:
            self.closed += 1
        return Completion(text="")

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        try:
            for part in self.parts:
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, anyio.Event):
                    await part.wait()
                else:
                    yield part
        finally:
            self.closed += 1

    async def __aenter__(self) -> "Streams":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


async def test_what_was_shown_is_gone_on_with_and_told_to_the_next() -> None:
    second = scripted("b", "four five.")
    async with router(scripted("a", CUT), second) as both:
        text, completion = await read(both.stream(asked()))

    assert text == completion.text == "One two three four five."
    assert [message.role for message in second.requests[0].tail] == ["user", "assistant", "user"]
    assert second.requests[0].tail[1].text == "One two three"
    assert completion.route is not None
    assert [one.outcome for one in completion.route.attempts] == ["cut", "answered"]


async def test_text_that_breaks_twice_is_still_joined() -> None:
    again = Interrupted("Broken.", text="four five si")
    third = scripted("c", "One two three four five six.")
    async with router(scripted("a", CUT), scripted("b", again), third) as three:
        text, completion = await read(three.stream(asked()))

    assert text == completion.text == "One two three four five six."
    assert third.requests[0].tail[1].text == "One two three four five"
    assert len(third.requests[0].tail) == 3, "asked to go on once, with all that was shown"
    assert completion.route is not None
    first, second, _ = [one.usage for one in completion.route.attempts]
    assert first is not None
    assert second is not None
    assert second.input_tokens > first.input_tokens + 30, "what was shown is sent as well"


async def test_first_provider_may_go_on_itself() -> None:
    async with router(scripted("a", CUT, "four."), scripted("b", CUT)) as both:
        text, _ = await read(both.stream(asked()))

    assert text == "One two three four."


async def test_calls_and_usage_are_those_of_the_answer_and_waste_is_told_apart() -> None:
    call = ToolCall("c1", "find", {"name": "Ann"})
    usage = Usage(input_tokens=9, output_tokens=2)
    answer = Completion(text="four.", calls=[call], usage=usage, state={"own": 1})
    async with router(scripted("a", CUT), scripted("b", answer)) as both:
        _, completion = await read(both.stream(asked()))

    assert completion.calls == [call]
    assert completion.usage == usage
    assert completion.state is None, "it belongs to a part of this message"
    assert completion.route is not None
    cut, answered = completion.route.attempts
    assert cut.is_waste
    assert cut.usage is not None
    assert not cut.usage.is_reported
    assert answered.usage == usage


@pytest.mark.parametrize("nothing", ["", " \n"])
async def test_who_says_nothing_has_not_gone_on(nothing: str) -> None:
    members = scripted("a", CUT), scripted("b", nothing), scripted("c", "four")
    async with router(*members) as three:
        text, completion = await read(three.stream(asked()))

    assert text == completion.text == "One two three four"
    assert completion.route is not None
    assert [one.outcome for one in completion.route.attempts][-1] == "answered"
    assert completion.route.attempts[1].usage is not None, "it is paid for"


async def test_a_call_or_a_refusal_goes_on_without_a_word() -> None:
    for last in (
        Completion(text="", calls=(ToolCall("c", "find", {}),)),
        Completion(text="", finish="refused"),
    ):
        async with router(scripted("a", CUT), scripted("b", last)) as both:
            text, completion = await read(both.stream(asked()))
        assert text == "One two three "
        assert (completion.calls, completion.finish) == (last.calls, last.finish)


async def test_state_of_a_whole_answer_is_kept() -> None:
    answer = Completion(text="Hello!", state={"own": 1})
    async with router(scripted("a", answer), scripted("b", "Hi!")) as both:
        _, completion = await read(both.stream(asked()))

    assert completion.state == {"own": 1}


async def test_nothing_shown_is_begun_anew() -> None:
    second = scripted("b", "Hello you!")
    async with router(scripted("a", Interrupted("Broken.", text="Hel")), second) as both:
        text, completion = await read(both.stream(asked()))

    assert text == "Hello you!"
    assert len(second.requests[0].tail) == 1
    assert completion.provider == "b"


async def read_into(shown: list[str], stream: AsyncIterator[TextDelta | Completion]) -> None:
    async for part in stream:
        assert isinstance(part, TextDelta)
        shown.append(part.delta)


async def test_nobody_left_is_interrupted_with_what_was_shown() -> None:
    cut = Interrupted("Broken.", text="four fi")
    shown: list[str] = []
    async with router(scripted("a", CUT), scripted("b", cut), limits=ONCE) as both:
        with pytest.raises(Interrupted) as caught:
            await read_into(shown, both.stream(asked()))

    assert "".join(shown) == caught.value.text == "One two three four "
    assert len(caught.value.route.attempts) == 2


async def test_nobody_left_and_nothing_shown_is_not_told_as_interrupted() -> None:
    """What the providers said was held: whoever reads the stream saw none of it."""
    cut = Interrupted("Broken.", text="Hel")
    fallback = scripted("flows", "A person will call.")
    members = scripted("a", cut, cut), scripted("b", cut, cut)
    async with router(*members, limits=ONCE) as both:
        with pytest.raises(ProviderUnavailable):
            await read(both.stream(asked()))
    async with router(*members, limits=ONCE, fallback=fallback) as both:
        assert (await read(both.stream(asked())))[0] == "A person will call."


async def test_fallback_is_not_asked_in_the_middle() -> None:
    fallback = scripted("flows", "A person will call.")
    members = scripted("a", CUT), scripted("b", ModelError("No."))
    async with router(*members, fallback=fallback, limits=ONCE) as both:
        with pytest.raises(Interrupted):
            await read(both.stream(asked()))

    assert fallback.requests == []


async def test_one_provider_alone_streams_as_it_does_and_is_not_asked_to_go_on() -> None:
    alone = scripted("a", "One two three", CUT)
    async with router(alone) as one:
        parts = [part async for part in one.stream(asked())]
        with pytest.raises(Interrupted) as caught:
            await read(one.stream(asked()))

    assert parts[:2] == [TextDelta("One two "), TextDelta("three")]
    assert caught.value.text == CUT.text
    assert len(alone.requests) == 2


async def test_json_is_shown_whole_or_not_at_all() -> None:
    facts = type(LOCAL)(locality="local", schema=True)
    schema = OutputSchema(name="x", schema={"type": "object"})
    cut = Interrupted("Broken.", text='{"a": 1, "b": 2, "c"')
    second = scripted("b", '{"a": 1}', facts=facts)
    async with router(scripted("a", cut, facts=facts), second) as both:
        text, _ = await read(both.stream(asked(output_schema=schema)))

    assert text == '{"a": 1}'
    assert len(second.requests[0].tail) == 1


async def test_stream_without_an_answer_is_a_failure() -> None:
    async with router(Streams(), scripted("b", "Hello!")) as both:
        assert (await read(both.stream(asked())))[0] == "Hello!"
    async with router(Streams(TextDelta("One two t")), scripted("b", "three.")) as both:
        assert (await read(both.stream(asked())))[0] == "One two three."


async def test_what_breaks_after_a_whole_answer_takes_nothing_from_it() -> None:
    parts = TextDelta("One two "), Completion(text="One two "), ProviderUnavailable("Broken.")
    second = scripted("b", "Never.")
    async with router(Streams(*parts), second) as both:
        text, completion = await read(both.stream(asked()))

    assert text == completion.text == "One two "
    assert second.requests == []


async def test_left_early_everything_is_given_back() -> None:
    provider = Streams(TextDelta("One two three "), TextDelta("four"), anyio.Event())
    async with router(Member(provider, at_once=1), scripted("b", "Hi!")) as both:
        stream = both.stream(asked())
        async with aclosing(stream):
            await anext(stream)
        assert provider.closed == 1
        assert both._desk.seats[0].queue.running == 0


@pytest.mark.parametrize("is_stream", [True, False])
async def test_cancelled_in_an_answer_everything_is_given_back(is_stream: bool) -> None:
    provider = Streams(anyio.Event())
    async with router(Member(provider, at_once=1)) as one:
        with anyio.move_on_after(0.01) as scope:
            await (read(one.stream(asked())) if is_stream else one.complete(asked()))
        assert scope.cancelled_caught
        assert provider.closed == 1
        assert one._desk.seats[0].queue.running == 0


async def test_cancelled_in_the_queue_the_place_is_given_back() -> None:
    going = anyio.Event()
    provider = Streams(going)
    async with router(Member(provider, at_once=1)) as one:
        queue = one._desk.seats[0].queue
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.complete, asked())
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0.01):
                await one.complete(asked())
            assert (queue.running, queue.waiting) == (1, 0)
            going.set()
        assert queue.running == 0


async def test_requests_that_queue_look_again_before_they_ask() -> None:
    """The first finds the provider down: who waited behind it must not run into it as well."""
    down = ProviderUnavailable("Down.", status=503, retry_after_s=60.0)
    provider = scripted("a", down)
    paid = replace(MANAGED, price=PRICE)
    members = Member(provider, at_once=1), scripted("b", "Hello!", "Hello!", facts=paid)
    async with router(*members) as both:
        queue = both._desk.seats[0].queue
        texts = []

        async def ask() -> None:
            texts.append((await both.complete(asked())).text)

        async with queue.place():
            tasks = anyio.create_task_group()
            await tasks.__aenter__()
            for _ in range(2):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert queue.waiting == 2
        await tasks.__aexit__(None, None, None)

    assert texts == ["Hello!"] * 2
    assert len(provider.requests) == 1


async def test_long_queue_bursts_to_a_vendor_and_special_data_waits() -> None:
    going = anyio.Event()
    own = Member(Streams(going), at_once=1)
    free = Price(input_usd=PRICE.input_usd * 0, output_usd=PRICE.output_usd * 0)
    vendor = scripted("b", "Hello!", facts=type(MANAGED)(locality="managed", price=free))
    async with router(own, vendor) as both:
        seat = both._desk.seats[0]
        seat.health.whole_s.add(60.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(both.complete, asked(data_class="special"))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(both.complete, asked(data_class="special"))
            await anyio.wait_all_tasks_blocked()
            completion = await both.complete(asked())
            assert seat.queue.waiting == 1
            going.set()

    assert completion.route is not None
    assert completion.route.is_burst
    assert len(vendor.requests) == 1
