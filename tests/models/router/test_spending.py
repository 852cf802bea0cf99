"""Money: reserved before each attempt, settled after it, and never passed by many at once."""

from decimal import Decimal
from random import Random

import anyio
import pytest
from tests.models.router.scene import PRICE, MovedClock, always, asked, read, scripted

from aicore.errors import (
    BudgetReached,
    ConfigError,
    Interrupted,
    ModelError,
    ProviderUnavailable,
    StoreError,
)
from aicore.models import Capabilities, Completion, Price, Provider, Request
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger, Reservation
from aicore.models.port import Origin
from aicore.models.prices import priced
from aicore.models.router import Router, RouterLimits
from aicore.models.scripted import ScriptedProvider
from aicore.records import ToolCall, Usage
from aicore.trust.masked import Masked
from aicore.trust.vault_registry import open_vaults

PAID = Capabilities(locality="managed", price=PRICE)
FREE = Capabilities(locality="local", price=Price(input_usd=Decimal(0), output_usd=Decimal(0)))
UNKNOWN = Capabilities(locality="local")
NOW_MS = MovedClock().now_ms()
COST_USD = Decimal("0.0005")
ORIGIN = asked().origin


def answer(request: Request) -> Completion:
    usage = priced(PRICE, Usage(input_tokens=100, output_tokens=200))
    assert usage.cost_usd == COST_USD
    return Completion(text="Hello!", usage=usage)


def budget(day_usd: str) -> Budget:
    return Budget(MemoryLedger(), BudgetLimits(day_usd=Decimal(day_usd)))


def router(*members: Provider, **changes: object) -> Router:
    return Router(members, clock=MovedClock(), random=Random(1), **changes)  # type: ignore[arg-type]


async def spent(budget: Budget) -> Decimal:
    return (await budget.spent(ORIGIN, now_ms=NOW_MS)).day_usd


async def test_answer_is_settled_at_what_it_cost_and_bounded() -> None:
    money = budget("1")
    provider = always(answer, "a", PAID)
    async with router(provider, budget=money) as one:
        completion = await one.complete(asked())
        assert await spent(money) == COST_USD
        await read(one.stream(asked(max_output_tokens=50)))
        assert await spent(money) == 2 * COST_USD

    assert [request.max_output_tokens for request in provider.requests] == [4096, 50]
    assert completion.price == PRICE


async def test_over_budget_is_ruled_out_and_a_free_one_stays() -> None:
    own = always("Hi!", "own", FREE)
    async with router(always(answer, "a", PAID), own, budget=budget("0.001")) as both:
        completion = await both.complete(asked())

    assert completion.text == "Hi!"


async def test_nobody_left_because_of_the_budget_says_so() -> None:
    provider = always(answer, "a", PAID)
    async with router(provider, budget=budget("0.001")) as one:
        with pytest.raises(BudgetReached) as caught:
            await one.complete(asked())

    assert caught.value.window == "day"
    assert [(out.provider, out.stage) for out in caught.value.route.ruled_out] == [("a", "budget")]
    assert provider.requests == []


async def test_fallback_answers_over_budget() -> None:
    fallback = always("A person will call.", "flows", FREE)
    async with router(always(answer, "a", PAID), budget=budget("0"), fallback=fallback) as one:
        completion = await one.complete(asked())

    assert completion.route is not None
    assert completion.route.is_degraded


async def test_fallback_that_costs_money_is_not_asked_over_budget() -> None:
    for facts in (PAID, UNKNOWN):
        fallback = always("Never.", "flows", facts)
        members = always(answer, "a", PAID)
        async with router(members, budget=budget("0"), fallback=fallback) as one:
            with pytest.raises(BudgetReached):
                await one.complete(asked())
        assert fallback.requests == []


async def test_unknown_price_is_not_zero() -> None:
    provider = always(answer, "a", UNKNOWN)
    async with router(provider, budget=budget("100")) as one:
        with pytest.raises(ConfigError):
            await one.complete(asked())

    assert provider.requests == []


@pytest.mark.parametrize(
    ("error", "is_free"),
    [
        (ProviderUnavailable("Busy.", status=429), True),
        (ModelError("No."), True),
        (ProviderUnavailable("Too slow."), False),
        (ProviderUnavailable("A proxy waited in vain.", status=504), False),
        (Interrupted("Broken.", text="One two three"), False),
    ],
    ids=str,
)
async def test_failed_attempt_costs_nothing_only_where_that_is_certain(
    error: Exception, is_free: bool
) -> None:
    money = budget("1")
    limits = RouterLimits(rounds=1)
    async with router(scripted("a", error, facts=PAID), budget=money, limits=limits) as one:
        with pytest.raises(type(error)):
            await read(one.stream(asked()))
        used = await spent(money)

    assert (used == 0) == is_free
    assert is_free or used > Decimal("0.008"), "the reserved amount stays"


async def test_nobody_reached_costs_nothing() -> None:
    class ConnectError(Exception):
        """As httpx2 names it."""

    def fail(request: Request) -> Exception:
        error = ProviderUnavailable("Nobody answers.")
        error.__cause__ = ConnectError()
        return error

    money = budget("1")
    async with router(always(fail, "a", PAID), budget=money, limits=RouterLimits(rounds=1)) as one:
        with pytest.raises(ProviderUnavailable):
            await one.complete(asked())
        assert await spent(money) == 0


async def test_cancelled_request_stays_reserved_in_full() -> None:
    money = budget("1")
    going = anyio.Event()

    class Hangs(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            going.set()
            await anyio.sleep_forever()
            raise AssertionError

    async with router(Hangs([], name="a", capabilities=PAID), budget=money) as one:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.complete, asked())
            await going.wait()
            tasks.cancel_scope.cancel()
        assert await spent(money) > Decimal("0.008")


async def test_many_at_once_never_pass_the_limit() -> None:
    money = budget("0.05")
    outcomes: list[str] = []
    async with router(always(answer, "a", PAID), budget=money) as one:

        async def ask(number: int) -> None:
            try:
                await one.complete(asked(origin=Origin(conversation=f"c{number}", turn=1)))
                outcomes.append("answered")
            except BudgetReached:
                outcomes.append("refused")
            assert await spent(money) <= Decimal("0.05")

        for _ in range(40):
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(ask, number)
        total = await spent(money)

    assert total == outcomes.count("answered") * COST_USD
    assert "refused" in outcomes
    assert total > Decimal("0.04"), "what was not needed is there for others"


async def test_ledger_that_fails_lets_nobody_be_asked() -> None:
    class Broken(MemoryLedger):
        async def reserve(self, *args: object, **kwargs: object) -> Reservation:
            raise StoreError("The file is damaged.")

    provider = always(answer, "a", PAID)
    money = Budget(Broken(), BudgetLimits(day_usd=Decimal(1)))
    async with router(provider, budget=money) as one:
        with pytest.raises(StoreError):
            await one.complete(asked())
        assert one._desk.seats[0].queue.running == 0

    assert provider.requests == []


async def test_ledger_that_fails_after_the_answer_does_not_lose_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Forgets(MemoryLedger):
        async def settle(self, *args: object) -> None:
            raise StoreError("The file is damaged.")

    money = Budget(Forgets(), BudgetLimits(day_usd=Decimal(1)))
    async with router(always(answer, "a", PAID), budget=money) as one:
        assert (await one.complete(asked())).text == "Hello!"
        assert await spent(money) > COST_USD

    assert caplog.records


async def test_cut_answer_is_reserved_again_for_whoever_goes_on() -> None:
    money = budget("1")
    cut = Interrupted("Broken.", text="One two three")
    dear = Capabilities(
        locality="managed", price=Price(input_usd=Decimal(2), output_usd=Decimal(4))
    )
    async with router(
        scripted("a", cut, facts=PAID), always(answer, "b", dear), budget=money
    ) as both:
        _, completion = await read(both.stream(asked()))
        used = await spent(money)

    assert completion.route is not None
    cut_attempt = completion.route.attempts[0]
    assert cut_attempt.usage is not None
    assert cut_attempt.usage.cost_usd is not None
    assert used > COST_USD + Decimal("0.008"), "what the cut one cost is not known: in full"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_answer_that_was_dropped_is_paid_for(is_stream: bool) -> None:
    def wrong(request: Request) -> Completion:
        unknown = request.tail[-1].text.replace("_1]]", "_9]]")
        return Completion(text="", calls=[ToolCall("c", "find", {"mail": unknown})])

    money = budget("1")
    async with router(Masked(always(wrong, "a", PAID), open_vaults(None)), budget=money) as one:
        mail = asked("ann.lee@example.org")
        with pytest.raises(ModelError) as caught:
            await (read(one.stream(mail)) if is_stream else one.complete(mail))

    assert await spent(money) > 0
    (attempt,) = caught.value.route.attempts
    assert attempt.usage is not None
