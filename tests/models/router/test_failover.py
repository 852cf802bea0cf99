"""Who is asked next after a failure, who is not asked again, and what is said in the end."""

import logging
from random import Random

import anyio
import pytest
from tests.models.router.scene import (
    LOCAL,
    MANAGED,
    PRICE,
    MovedClock,
    always,
    asked,
    read,
    scripted,
)

from aicore.errors import (
    AicoreError,
    ConfigError,
    ContextOverflow,
    CredentialError,
    ModelError,
    NotOpenError,
    OperatorError,
    PolicyBlocked,
    ProviderUnavailable,
)
from aicore.models import Capabilities, Completion, Provider, Request, ScriptedProvider
from aicore.models.port import Origin, OutputSchema
from aicore.models.router import DataRule, DataRules, Member, Router, RouterLimits
from aicore.records import Prefix, Tool

DOWN = ProviderUnavailable("No model server answers.", status=503)
LIMITED = ProviderUnavailable("Too many.", status=429, retry_after_s=20.0)
ONCE = RouterLimits(rounds=1)


def router(*members: Provider, clock: MovedClock | None = None, **changes: object) -> Router:
    return Router(members, clock=clock or MovedClock(), random=Random(1), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [DOWN, LIMITED, CredentialError("No."), ConfigError("No such model."), ModelError("Cannot.")],
    ids=lambda error: error.code,
)
async def test_next_candidate_answers_and_the_failure_is_told(error: AicoreError) -> None:
    async with router(scripted("a", error, error), scripted("b", "Hello!", "Hello!")) as both:
        whole = await both.complete(asked())
    async with router(scripted("a", error), scripted("b", "Hello!")) as both:
        text, streamed = await read(both.stream(asked()))

    assert text == whole.text == streamed.text == "Hello!"
    for completion in (whole, streamed):
        assert completion.route is not None
        failed, answered = completion.route.attempts
        assert (failed.provider, failed.outcome, failed.code) == ("a", "failed", error.code)
        assert failed.usage is None, "refused: nothing was paid for"
        assert (answered.provider, answered.outcome) == ("b", "answered")
        assert completion.provider == "b"


async def test_one_provider_is_asked_again_after_a_growing_pause() -> None:
    clock = MovedClock()
    async with router(scripted("a", DOWN, DOWN, "Hello!"), clock=clock) as one:
        assert (await one.complete(asked())).text == "Hello!"

    first, second = clock.waits
    assert 0.25 <= first <= 0.75
    assert 0.5 <= second <= 1.5


async def test_retry_after_is_waited_for() -> None:
    clock = MovedClock()
    async with router(scripted("a", LIMITED, "Hello!"), clock=clock) as one:
        assert (await one.complete(asked())).text == "Hello!"

    assert clock.waits == [20.0]


async def test_longer_than_is_allowed_is_not_waited_for_and_429_stays_429() -> None:
    clock = MovedClock()
    busy = ProviderUnavailable("Too many.", status=429, retry_after_s=100.0)
    provider = scripted("a", busy, "Hello!")
    async with router(provider, clock=clock) as one:
        for _ in range(2):
            with pytest.raises(ProviderUnavailable) as caught:
                await one.complete(asked())
            assert caught.value.status == 429
            assert caught.value.retry_after_s == pytest.approx(100.0)
            assert caught.value.route.data_class == "personal"
        clock.seconds += 100.0
        assert (await one.complete(asked())).text == "Hello!"

    assert len(provider.requests) == 2
    assert clock.waits == []


async def test_deadline_bounds_the_waiting() -> None:
    clock = MovedClock()
    async with router(scripted("a", LIMITED, "Hello!"), clock=clock) as one:
        with pytest.raises(ProviderUnavailable), anyio.fail_after(10):
            await one.complete(asked())

    assert clock.waits == []


async def test_circuit_opens_after_failures_and_one_request_probes() -> None:
    clock = MovedClock()
    broken = scripted("a", DOWN, DOWN, DOWN, DOWN, "Back!", "Back!")
    async with router(broken, always("Hello!", "b", MANAGED), clock=clock) as both:
        for _ in range(5):
            assert (await both.complete(asked())).text == "Hello!"
        assert len(broken.requests) == 3, "it rests"
        clock.seconds += 5.0
        assert (await both.complete(asked())).text == "Hello!", "the probe failed"
        clock.seconds += 9.0
        last = await both.complete(asked())
        assert len(broken.requests) == 4, "the second rest is twice as long"
        clock.seconds += 1.0
        assert (await both.complete(asked())).text == "Back!"

    assert last.route is not None
    assert [(one.provider, one.stage) for one in last.route.ruled_out] == [("a", "health")]


async def test_many_that_fail_together_count_as_one_outage() -> None:
    clock, all_there = MovedClock(), anyio.Event()

    class Together(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            if len(self.requests) == 9:
                all_there.set()
            asked_for = self._next(request)
            await all_there.wait()
            if isinstance(asked_for, Exception):
                raise asked_for
            return asked_for

    broken = Together([DOWN] * 10 + ["Back!"], name="a", capabilities=LOCAL)
    async with router(broken, always("Hello!", "b", MANAGED), clock=clock) as both:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(both.complete, asked())
        clock.seconds += 5.0
        text = (await both.complete(asked())).text

    assert text == "Back!", "it rested for the first 5 seconds, not longer"
    assert len(broken.requests) == 11


async def test_only_one_request_probes_and_others_wait_for_it() -> None:
    going, released = anyio.Event(), anyio.Event()

    class Patient(MovedClock):
        async def wait(self, event: anyio.Event, seconds: float) -> None:
            await event.wait()

    clock = Patient()

    class Probed:
        name, capabilities, asked_now, most = "a", LOCAL, 0, 0

        async def complete(self, request: object) -> Completion:
            self.asked_now += 1
            self.most = max(self.most, self.asked_now)
            going.set()
            await released.wait()
            self.asked_now -= 1
            return Completion(text="Back!")

        async def __aenter__(self) -> "Probed":
            return self

        async def __aexit__(self, *exc: object) -> None:
            pass

    provider = Probed()
    limits = RouterLimits(failures=1, rounds=1)
    async with router(provider, clock=clock, limits=limits) as one:  # type: ignore[arg-type]
        seat = one._desk.seats[0]
        seat.health.note_failure(DOWN, clock.seconds, is_probe=False)
        clock.seconds += 6.0
        texts: list[str] = []

        async def ask() -> None:
            texts.append((await one.complete(asked())).text)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await going.wait()
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert provider.most == 1
            released.set()

    assert texts == ["Back!", "Back!"]


async def test_wrong_key_is_tried_again_every_five_minutes() -> None:
    clock = MovedClock()
    wrong = CredentialError("Refused.")
    refused = scripted("a", wrong, wrong, "Hello!", "Hello!")
    both = router(refused, always("Hi!", "b", MANAGED), clock=clock)
    async with both:
        for tries in (1, 2):
            for _ in range(3):
                assert (await both.complete(asked())).text == "Hi!"
            assert len(refused.requests) == tries
            clock.seconds += 300.0
        assert (await both.complete(asked())).text == "Hello!"
        assert (await both.complete(asked())).text == "Hello!"


async def test_who_was_disabled_and_came_back_may_be_down_like_anybody() -> None:
    clock = MovedClock()
    back = scripted("a", CredentialError("Refused."), "Hello!", DOWN, DOWN, DOWN)
    async with router(back, clock=clock, limits=RouterLimits(rounds=1, wait_s=0.0)) as one:
        with pytest.raises(CredentialError):
            await one.complete(asked())
        clock.seconds += 300.0
        assert (await one.complete(asked())).text == "Hello!"
        for _ in range(4):  # the last is not even sent
            with pytest.raises(ProviderUnavailable):
                await one.complete(asked())


async def test_a_request_beside_a_probe_says_why_it_went_elsewhere() -> None:
    clock = MovedClock()
    trying, done = anyio.Event(), anyio.Event()

    class Probed(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            if len(self.requests) == 3:
                trying.set()
                await done.wait()
            return await super().complete(request)

    first = Probed([DOWN, DOWN, DOWN, "Back."], name="a", capabilities=LOCAL)
    async with (
        router(first, always("Hi!", "b", MANAGED), clock=clock) as both,
        anyio.create_task_group() as group,
    ):
        for _ in range(3):
            await both.complete(asked())
        clock.seconds += 5.0
        group.start_soon(both.complete, asked())
        await trying.wait()
        beside = await both.complete(asked())
        done.set()
    assert beside.route is not None
    assert [(out.provider, out.stage) for out in beside.route.ruled_out] == [("a", "health")]
    assert beside.route.because.startswith("b")


async def test_a_disabled_provider_is_not_waited_for() -> None:
    clock = MovedClock()
    async with router(scripted("a", ConfigError("No such model.")), clock=clock) as one:
        for _ in range(2):
            with pytest.raises(ConfigError):
                await one.complete(asked())
    assert clock.waits == []


async def test_opened_anew_a_router_asks_at_once() -> None:
    one = router(scripted("a", CredentialError("Refused."), "Hello!"))
    async with one:
        with pytest.raises(CredentialError):
            await one.complete(asked())
    async with one:
        assert (await one.complete(asked())).text == "Hello!"


async def test_a_wrong_key_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = MovedClock()
    async with router(always(CredentialError("Refused."), "a"), clock=clock) as one:
        for _ in range(3):
            with pytest.raises(CredentialError):
                await one.complete(asked())
            clock.seconds += 300.0

    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warnings) == 1


async def test_all_keys_wrong_stays_a_credential_error() -> None:
    async with router(scripted("a", CredentialError("Refused."))) as one:
        for _ in range(2):
            with pytest.raises(CredentialError):
                await one.complete(asked())


async def test_passing_fault_says_more_than_a_wrong_key() -> None:
    """Who comes later may be answered: that is what the caller has to know."""
    members = scripted("a", DOWN), scripted("b", CredentialError("Refused."))
    async with router(*members, limits=ONCE) as both:
        with pytest.raises(ProviderUnavailable) as caught:
            await both.complete(asked())

    assert caught.value.status == 503


async def test_no_credit_rests_long_and_comes_back_without_a_restart() -> None:
    clock = MovedClock()
    poor = scripted("a", OperatorError("No credit."), "Hello!")
    async with router(poor, clock=clock) as one:
        with pytest.raises(AicoreError):
            await one.complete(asked())
        clock.seconds += 300.0
        assert (await one.complete(asked())).text == "Hello!"


async def test_model_that_cannot_is_tried_elsewhere_once() -> None:
    cannot = ModelError("Cannot.")
    third = scripted("c", "Hello!")
    async with router(scripted("a", cannot), scripted("b", cannot), third) as three:
        with pytest.raises(ModelError) as caught:
            await three.complete(asked())

    assert third.requests == []
    assert [one.provider for one in caught.value.route.attempts] == ["a", "b"]


async def test_refusal_is_an_answer() -> None:
    refusal = Completion(text="", finish="refused")
    second = scripted("b", "Hello!")
    async with router(scripted("a", refusal), second) as both:
        assert (await both.complete(asked())).finish == "refused"

    assert second.requests == []


async def test_overflow_goes_to_a_larger_context_only() -> None:
    small = Capabilities(locality="local", context_tokens=1000)
    large = Capabilities(locality="managed", context_tokens=9000)
    overflow = ContextOverflow("Too long.")
    same = scripted("same", "Never.", facts=small)
    async with router(
        scripted("a", overflow, overflow, facts=small),
        same,
        scripted("b", "Hello!", overflow, facts=large),
    ) as three:
        assert (await three.complete(asked())).provider == "b"
        with pytest.raises(ContextOverflow):
            await three.complete(asked())

    assert same.requests == []


async def test_request_longer_than_every_context_is_an_overflow_at_once() -> None:
    tiny = Capabilities(locality="local", context_tokens=10)
    provider = scripted("a", "Never.", facts=tiny)
    async with router(provider) as one:
        with pytest.raises(ContextOverflow) as caught:
            await one.complete(asked("word " * 100))

    assert [(one.provider, one.stage) for one in caught.value.route.ruled_out] == [
        ("a", "capability")
    ]
    assert provider.requests == []


async def test_nobody_who_can_is_a_setting_to_change() -> None:
    plain = Capabilities(locality="local", tools=False)
    tool = Tool(name="find", description="", parameters={}, server="s", remote_name="find")
    schema = OutputSchema(name="x", schema={"type": "object"})
    async with router(scripted("a", "Never.", facts=plain)) as one:
        with pytest.raises(ConfigError):
            await one.complete(asked(prefix=Prefix("", [tool])))
        with pytest.raises(ConfigError):
            await one.complete(asked(output_schema=schema))


async def test_special_data_never_reaches_a_vendor_whatever_fails() -> None:
    vendor = always("Hello!", "vendor", MANAGED)
    async with router(always(DOWN, "own"), vendor) as both:
        for _ in range(5):
            with pytest.raises(ProviderUnavailable):
                await both.complete(asked(data_class="special"))
    async with router(vendor) as alone:
        with pytest.raises(PolicyBlocked) as caught:
            await read(alone.stream(asked(data_class="special")))

    assert set(caught.value.rules) == {"vendor"}
    assert vendor.requests == []


async def test_retry_budget_bounds_retries_but_not_going_on_to_others() -> None:
    limits = RouterLimits(retry_share=0.0, retry_burst=1, failures=1000)
    broken = always(DOWN, "a")
    async with router(broken, limits=limits) as one:
        for _ in range(3):
            with pytest.raises(ProviderUnavailable):
                await one.complete(asked())
    assert len(broken.requests) == 4

    async with router(broken, always("Hello!", "b"), limits=limits) as both:
        for _ in range(3):
            assert (await both.complete(asked())).text == "Hello!"


async def test_clock_that_jumps_back_does_not_keep_a_provider_away() -> None:
    clock = MovedClock()
    broken = scripted("a", DOWN, "Back!")
    limits = RouterLimits(rounds=1, failures=1, wait_s=0.0)
    async with router(broken, clock=clock, limits=limits) as one:
        with pytest.raises(ProviderUnavailable):
            await one.complete(asked())
        clock.seconds -= 10_000.0
        with pytest.raises(ProviderUnavailable):
            await one.complete(asked())
        clock.seconds += 5.0
        assert (await one.complete(asked())).text == "Back!"


async def test_error_of_the_code_itself_passes_and_gives_everything_back() -> None:
    async with router(scripted("a")) as one:  # its script is at its end: a RuntimeError
        with pytest.raises(RuntimeError):
            await one.complete(asked())
        assert one._desk.seats[0].queue.running == 0


class TestFallback:
    DEGRADED = Capabilities(locality="in_process")

    @pytest.mark.parametrize("data_class", ["personal", "special"])
    async def test_answers_when_nobody_is_left_and_says_so(self, data_class: str) -> None:
        fallback = always("A person will call you.", "flows", self.DEGRADED)
        members = [always(DOWN, "a", MANAGED), always(DOWN, "b", MANAGED)]
        async with router(*members, fallback=fallback, limits=ONCE) as both:
            whole = await both.complete(asked(data_class=data_class))
            text, streamed = await read(both.stream(asked(data_class=data_class)))

        assert whole.text == text == "A person will call you."
        for completion in (whole, streamed):
            assert completion.route is not None
            assert completion.route.is_degraded
            assert completion.provider == "flows"

    async def test_is_not_asked_for_an_overflow_a_summary_or_against_the_rules(self) -> None:
        fallback = always("Never.", "flows", MANAGED)
        summary = asked(origin=Origin(task="summary"))
        rules = DataRules({"personal": DataRule(localities=frozenset({"local"}))})
        async with router(always(DOWN, "a"), fallback=fallback, rules=rules, limits=ONCE) as strict:
            with pytest.raises(ProviderUnavailable):
                await strict.complete(asked())
        own = always("Never.", "flows", self.DEGRADED)
        async with router(always(DOWN, "a"), fallback=own, limits=ONCE) as one:
            with pytest.raises(ProviderUnavailable):
                await one.complete(summary)
        async with router(always(ContextOverflow("Long."), "a"), fallback=own) as one:
            with pytest.raises(ContextOverflow):
                await one.complete(asked())

        assert fallback.requests == own.requests == []

    async def test_error_of_the_fallback_leaves_the_first_one(self) -> None:
        fallback = always(ModelError("No."), "flows", self.DEGRADED)
        async with router(always(DOWN, "a"), fallback=fallback, limits=ONCE) as one:
            with pytest.raises(ProviderUnavailable) as caught:
                await one.complete(asked())

        assert caught.value.route.attempts[0].provider == "a"


def test_names_must_differ_and_somebody_be_there() -> None:
    with pytest.raises(ConfigError):
        Router([])
    with pytest.raises(ConfigError):
        Router([scripted("a"), scripted("a")])
    with pytest.raises(ConfigError):
        Router([Member(scripted("a"), at_once=0)])
    with pytest.raises(ConfigError):
        RouterLimits(rounds=0)
    with pytest.raises(ConfigError):
        RouterLimits(wait_s=float("nan"))


async def test_must_be_entered() -> None:
    one = router(scripted("a", "Hello!"))
    with pytest.raises(NotOpenError):
        await one.complete(asked())


def test_capabilities_are_those_of_the_best_and_the_locality_of_the_least_careful() -> None:
    small = Capabilities(locality="in_process", tools=False, context_tokens=10, schema=True)
    large = Capabilities(locality="managed", context_tokens=90)

    joined = Router([scripted("a", facts=small), scripted("b", facts=large)]).capabilities

    assert joined == Capabilities(
        locality="managed", tools=True, context_tokens=90, schema=True, reads_class=True
    )


def test_price_is_told_where_all_members_have_the_same() -> None:
    priced = Capabilities(locality="managed", price=PRICE)
    same = [scripted("a", facts=priced), scripted("b", facts=priced)]

    assert Router(same).capabilities.price == PRICE
    assert Router([*same, scripted("c")]).capabilities.price is None
