"""A request is cancelled, or its stream left, at every moment: everything is given back."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from decimal import Decimal

import anyio
import pytest
from tests.models.router.scene import MANAGED, PRICE, MovedClock, asked

from aicore.errors import Interrupted, ProviderUnavailable
from aicore.models import Capabilities, Completion, Request, TextDelta
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger, Reservation
from aicore.models.port import Origin
from aicore.models.router import Member, Router, RouterLimits
from aicore.records import Usage

PAID = replace(MANAGED, price=PRICE)
STEPS = 60
LIMITS = RouterLimits(failures=1, cool_down_s=1.0, hedge_share=1.0)


class SlowLedger(MemoryLedger):
    """Takes its time, and knows what is still reserved."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        await anyio.lowlevel.checkpoint()
        reservation = await super().reserve(origin, amount_usd, limits, day=day)
        self.open.add(reservation.id)
        return reservation

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        await anyio.lowlevel.checkpoint()
        await super().settle(reservation, amount_usd)
        self.open.remove(reservation.id)


class Stepwise:
    """Answers in small steps; counts what is open. Fails as it is told to."""

    def __init__(self, name: str, *errors: Exception | None, capabilities: Capabilities) -> None:
        self.name, self.errors, self.capabilities = name, list(errors), capabilities
        self.open = 0

    async def complete(self, request: Request) -> Completion:
        async with aclosing(self.stream(request)) as parts:
            async for part in parts:
                last = part
        assert isinstance(last, Completion)
        return last

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        self.open += 1
        try:
            await anyio.lowlevel.checkpoint()
            error = self.errors.pop(0) if self.errors else None
            if isinstance(error, ProviderUnavailable):
                raise error
            for word in ("one ", "two ", "three "):
                await anyio.lowlevel.checkpoint()
                yield TextDelta(word)
            if error is not None:
                raise error
            usage = Usage(input_tokens=1, output_tokens=1, cost_usd=Decimal("0.001"))
            yield Completion(text="one two three ", usage=usage)
        finally:
            self.open -= 1

    async def __aenter__(self) -> "Stepwise":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


async def use(router: Router, manner: str) -> None:
    if manner == "whole":
        await router.complete(asked())
        return
    async with aclosing(router.stream(asked())) as parts:
        async for part in parts:
            if manner == "left" and isinstance(part, TextDelta):
                return


def prime(router: Router, *, races: bool) -> None:
    """Let the next request probe a provider that rested, or race two."""
    if not races:
        router._desk.seats[0].health.note_failure(
            ProviderUnavailable("Down."), router._desk.stopwatch.now_s() - 2.0, is_probe=False
        )
        return
    hedger = router._desk.hedger
    assert hedger is not None
    for _ in range(20):
        hedger.note_request()
        hedger.note_first("a", 0.0, now_s=router._desk.stopwatch.now_s())


@pytest.mark.parametrize("races", [False, True], ids=["probes", "races"])
@pytest.mark.parametrize("manner", ["whole", "read", "left"])
async def test_everything_is_given_back(manner: str, races: bool) -> None:
    ended = 0
    for steps in range(STEPS):
        ledger = SlowLedger()
        failing = ProviderUnavailable("Down.", status=503)
        cut = Interrupted("Broken.", text="one two three ")
        a = Stepwise("a", None if races else failing, capabilities=PAID)
        b = Stepwise("b", cut, failing, capabilities=PAID)
        members = [Member(a, at_once=1), Member(b, at_once=1)]
        budget = Budget(ledger, BudgetLimits(day_usd=Decimal(100)))
        async with Router(members, budget=budget, limits=LIMITS, clock=MovedClock()) as router:
            prime(router, races=races)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, router, manner)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                ended += len(anyio.get_running_tasks()) == 1
                tasks.cancel_scope.cancel()
            assert (a.open, b.open) == (0, 0), steps
            assert ledger.open == set(), steps
            for seat in router._desk.seats:
                assert (seat.queue.running, seat.queue.waiting) == (0, 0), steps
                assert not seat.health.is_probed, steps
            assert len(anyio.get_running_tasks()) == 1, "no task is left behind"

    assert 0 < ended < STEPS, "the steps cover it all"
