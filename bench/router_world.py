"""A small world around a real Router: models that fail in every way, and judges who watch them.

A world is drawn from a seed: models with random facts and prices, random rules and budgets, and
requests that come in bursts. Each model judges for itself, by the words of the request alone,
whether it may see it, and sends the bill of a vendor. Time is virtual: see virtual_time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from types import TracebackType
from typing import Self, get_args

import anyio
from router_draws import (
    Asked,
    asked_in,
    draw_facts,
    draw_limits,
    draw_request,
    draw_rule,
    may_see,
)
from virtual_time import run_in_virtual_time

from aicore.errors import (
    AicoreError,
    BudgetReached,
    ConfigError,
    ContextOverflow,
    CredentialError,
    Interrupted,
    ModelError,
    OperatorError,
    PolicyBlocked,
    ProviderUnavailable,
)
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger, Reservation, Spent
from aicore.models.port import (
    Capabilities,
    Completion,
    Origin,
    Price,
    Request,
    TextDelta,
)
from aicore.models.prices import priced
from aicore.models.router import DataRule, DataRules, Member, Router, RouterLimits
from aicore.records import DataClass, Usage

__all__ = ["OVERSHOOT_DAY_USD", "Tally", "World", "play"]

OVERSHOOT_DAY_USD = Decimal("0.02")
"""The limit in worlds whose models do not stay within what is reserved."""

WINDOWS = ("turn", "conversation", "day", "month")
_START_MS = 1_795_000_000_000


class ConnectError(Exception):
    """Named as the client's error for a server that was never reached."""


@dataclass(slots=True)
class Tally:
    """What was seen, and what should not have been."""

    requests: int = 0
    calls: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hedges: int = 0
    bursts: int = 0
    joined: int = 0
    degraded: int = 0
    violations: list[str] = field(default_factory=list)
    worst_overshoot: Decimal = Decimal(0)
    dearest: Decimal = Decimal(0)

    def add(self, other: Tally) -> None:
        """Count what another world saw."""
        for name in ("requests", "calls", "hedges", "bursts", "joined", "degraded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ends += other.ends
        self.faults += other.faults
        self.violations += other.violations
        self.worst_overshoot = max(self.worst_overshoot, other.worst_overshoot)
        self.dearest = max(self.dearest, other.dearest)


class WorldClock:
    """The loop's time, and a wall clock that somebody sets forward and back."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def monotonic(self) -> float:
        """Seconds of the loop."""
        return anyio.current_time()

    def now_ms(self) -> int:
        """What the wall clock shows."""
        return _START_MS + int(anyio.current_time() * 1000) + self.ahead_ms

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        """Wait for the event, at most as long."""
        # Virtual time does not go by itself: a wait too short to move it would never end.
        with anyio.move_on_after(max(seconds, 1e-6)):
            await event.wait()


class World:
    """One router, its models, and the books that are kept beside it."""

    def __init__(self, seed: int, *, is_honest: bool = True, at_once: int = 12) -> None:
        self.random = Random(seed)
        self.tally = Tally()
        self.clock = WorldClock()
        self.seed = seed
        self.is_honest = is_honest
        self.at_once = at_once
        self.bills: defaultdict[tuple[str, object], Decimal] = defaultdict(Decimal)
        self.under_way = 0
        chance = self.random
        self.rules = {name: draw_rule(chance) for name in get_args(DataClass)}
        self.limits = draw_limits(chance) if chance.random() < 0.7 else None
        if not is_honest:
            self.limits = BudgetLimits(day_usd=OVERSHOOT_DAY_USD)
        self.models = [
            Model(self, f"m{n}", draw_facts(chance)) for n in range(chance.randint(1, 5))
        ]
        free = Price(input_usd=Decimal(0), output_usd=Decimal(0))
        self.fallback = (
            Model(self, "fallback", replace(draw_facts(chance), price=free), is_reliable=True)
            if chance.random() < 0.3
            else None
        )
        self.ledger = WatchedLedger(self)
        self.router = Router(
            [Member(model, at_once=chance.choice([None, 1, 2, 4])) for model in self.models],
            rules=DataRules({name: DataRule(**rule) for name, rule in self.rules.items()}),
            budget=None if self.limits is None else Budget(self.ledger, self.limits, zone="UTC"),
            fallback=self.fallback,
            limits=RouterLimits(
                retry_share=chance.choice([0.2, 1.0]),
                wait_s=chance.choice([1.0, 30.0]),
                queue_s=chance.choice([0.5, 10.0]),
                hedge_share=chance.choice([0.05, 1.0]),
            ),
            prefer=chance.choice(["price", "latency"]),
            clock=self.clock,
            random=Random(seed),
        )

    def violate(self, what: str) -> None:
        """Write down what must not happen."""
        self.tally.violations.append(f"world {self.seed}: {what}")

    def windows(self, origin: Origin) -> list[tuple[str, object]]:
        """Where the bill of a request counts now."""
        day = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC).date()
        windows: list[tuple[str, object]] = [
            ("day", (origin.business, day)),
            ("month", (origin.business, day.year, day.month)),
        ]
        if origin.conversation:
            windows.append(("conversation", (origin.business, origin.conversation)))
            if origin.turn:
                windows.append(("turn", (origin.business, origin.conversation, origin.turn)))
        return windows

    def charge(self, windows: list[tuple[str, object]], usd: Decimal, name: str) -> None:
        """Add a vendor's bill, and see whether the limits held."""
        for window in windows:
            self.bills[window] += usd
            limit = None if self.limits is None else getattr(self.limits, f"{window[0]}_usd")
            if limit is None or self.bills[window] <= limit:
                continue
            if self.is_honest:
                self.violate(f"{name} bills {self.bills[window]} a {window[0]} of {limit}")


class WatchedLedger(MemoryLedger):
    """A ledger, and somebody who adds up after it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def reserve(
        self, origin: Origin, amount_usd: Decimal, limits: BudgetLimits, *, day: date
    ) -> Reservation:
        """Set an amount aside, and see that no limit is passed by it."""
        reservation = await super().reserve(origin, amount_usd, limits, day=day)
        if self._over(reservation, await self.spent(origin, day=day)) > 0:
            self._world.violate(f"a reservation of {amount_usd} passes a limit")
        return reservation

    async def settle(self, reservation: Reservation, amount_usd: Decimal) -> None:
        """Settle, and note by how much a limit is passed now."""
        await super().settle(reservation, amount_usd)
        tally = self._world.tally
        over = self._over(reservation, await self.spent(reservation.origin, day=reservation.day))
        tally.worst_overshoot = max(tally.worst_overshoot, over)
        tally.dearest = max(tally.dearest, amount_usd - reservation.amount_usd)

    def _over(self, reservation: Reservation, spent: Spent) -> Decimal:
        over = Decimal(0)
        for window in WINDOWS:
            limit = getattr(self._world.limits, f"{window}_usd")
            if limit is not None and reservation.amount_usd:
                over = max(over, getattr(spent, f"{window}_usd") - limit)
        return over


class Model:
    """A model that answers, fails, dawdles and breaks off at random, and judges what it sees."""

    def __init__(
        self, world: World, name: str, facts: Capabilities, *, is_reliable: bool = False
    ) -> None:
        self.name = name
        self.capabilities = facts
        self._world = world
        self._is_reliable = is_reliable
        self._speed_s = world.random.choice([0.05, 0.3, 1.5])
        self._trouble = 0.0 if is_reliable else world.random.choice([0.0, 0.1, 0.4, 0.9])

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece, or fail."""
        call = self._see(request, is_stream=False)
        try:
            await anyio.sleep(self._delay_s())
            call.fail_if_it_should()
            call.said = len(call.text)
            return call.completion(call.asked.text)
        finally:
            call.end()

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer in pieces, fail, or break off."""
        call = self._see(request, is_stream=True)
        try:
            await anyio.sleep(self._delay_s())
            call.fail_if_it_should()
            text, chance = call.text, self._world.random
            cut = chance.randrange(len(text) + 1) if call.fault in ("cut", "end") else len(text)
            while call.said < cut:
                size = min(chance.randint(1, 12), cut - call.said)
                call.said += size
                yield TextDelta(text[call.said - size : call.said])
                await anyio.sleep(chance.random() * self._speed_s / 10)
            if call.fault == "end":
                return
            if call.fault == "cut":
                if not call.said:
                    raise ProviderUnavailable("It broke off.")
                raise Interrupted("It broke off.", text=text[: call.said])
            yield call.completion(text)
        finally:
            call.end()

    def _delay_s(self) -> float:
        chance = self._world.random
        return self._speed_s * chance.expovariate(1) * (20 if chance.random() < 0.1 else 1)

    def _see(self, request: Request, *, is_stream: bool) -> _Call:
        world = self._world
        world.tally.calls += 1
        asked = asked_in(request)
        if not may_see(world.rules[asked.data_class], self.capabilities):
            world.violate(f"{self.name} sees {asked.data_class} data")
        if world.limits is not None and self.capabilities.price is None:
            world.violate(f"{self.name} has no price and is asked within a budget")
        if request.prefix.tools and not (self.capabilities.tools or self is world.fallback):
            world.violate(f"{self.name} cannot call tools and is offered some")
        fault = ""
        if world.random.random() < self._trouble:
            faults = _STREAM_FAULTS if is_stream else _FAULTS
            fault = world.random.choice(_LASTING if world.random.random() < 0.02 else faults)
            world.tally.faults[fault] += 1
        return _Call(world, self, request, asked, fault)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close."""


_REFUSED = ("429", "429 at", "500", "503", "529", "connect", "model", "overflow")
_LASTING = ("credential", "config", "credit")
_FAULTS = (*_REFUSED, "408", "504", "timeout")
_STREAM_FAULTS = (*_FAULTS, *("cut", "end") * 5)
_FREE_FAULTS = {*_REFUSED, *_LASTING}
"""What no vendor sends a bill for: a refusal by status, and a server that was not reached."""


class _Call:
    """One request to one model: what it answers, how it fails, and what that costs."""

    def __init__(
        self, world: World, model: Model, request: Request, asked: Asked, fault: str
    ) -> None:
        self.asked = asked
        self.fault = fault
        self.said = 0
        self.text = _text_for(request, asked, world.random)
        self._world = world
        self._model = model
        self._request = request
        self._windows = world.windows(request.origin)
        self._usage: Usage | None = None
        world.under_way += 1

    def fail_if_it_should(self) -> None:
        """Raise what this call fails with, if it fails before its first event."""
        chance, fault = self._world.random, self.fault
        if fault in ("", "cut", "end"):
            return
        if fault == "connect":
            raise ProviderUnavailable("Not there.") from ConnectError()
        if fault == "timeout":
            raise ProviderUnavailable("Too slow.")
        if fault.isdecimal():
            raise ProviderUnavailable("Busy.", status=int(fault))
        if fault == "429 at":
            after_s = chance.choice([0.01, 0.5, 5.0, 3600.0])
            raise ProviderUnavailable("Busy.", status=429, retry_after_s=after_s)
        kinds: dict[str, type[AicoreError]] = {
            "credential": CredentialError,
            "config": ConfigError,
            "credit": OperatorError,
            "model": ModelError,
            "overflow": ContextOverflow,
        }
        raise kinds[fault]("No.")

    def completion(self, text: str) -> Completion:
        """The whole answer, with what is billed for it where the model tells."""
        usage = self._used(self.said)
        self._usage = usage
        told = usage if self._world.random.random() < 0.9 else Usage(is_reported=False)
        return Completion(text=text, usage=told, model=self._model.name)

    def end(self) -> None:
        """Send the bill: also for what was cut, cancelled or given up."""
        self._world.under_way -= 1
        price = self._model.capabilities.price
        if price is None or self.fault in _FREE_FAULTS:
            return
        usage = self._usage
        if usage is None:
            # Nobody listens any more; the vendor may have gone on for as long as it was allowed.
            most = self._request.max_output_tokens or 4096
            usage = self._used(0)
            tokens = self._world.random.randint(1, max(most, 1))
            usage = priced(price, replace(usage, output_tokens=tokens, cost_usd=None))
        self._world.charge(self._windows, usage.cost_usd or Decimal(0), self._model.name)

    def _used(self, chars: int) -> Usage:
        chance = self._world.random
        sent = sum(len(message.text) for message in self._request.tail)
        sent += len(self._request.prefix.instructions) + 40 * len(self._request.prefix.tools)
        tokens = int(sent / chance.uniform(2.5, 6.0)) + 1
        output = int(chars / chance.uniform(2.0, 6.0)) + 1
        most = self._request.max_output_tokens
        if self._world.is_honest:
            # Reasoning that is not shown is billed as well.
            output = chance.randint(min(output, most or output), most or output)
        else:
            tokens, output = tokens * 3, output * chance.choice([1, 50, 500])
        cached = chance.randint(0, tokens) if chance.random() < 0.5 else 0
        written = chance.randint(0, tokens - cached) if chance.random() < 0.5 else 0
        usage = Usage(
            input_tokens=tokens,
            output_tokens=output,
            cached_tokens=cached,
            cache_write_tokens=written,
        )
        return priced(self._model.capabilities.price, usage)


def _text_for(request: Request, asked: Asked, chance: Random) -> str:
    """The answer, or its rest when asked to go on, as models do it: exactly, or with repetition."""
    if len(request.tail) == 1:
        return asked.text
    shown = request.tail[-2].text
    habit = chance.choice(["exact", "again", "last words"])
    if habit == "again":
        return asked.text
    words = shown.split(" ")
    repeated = " ".join(words[-4:]) if habit == "last words" and len(words) > 4 else ""
    return repeated + asked.text[len(shown) :]


async def _ask(world: World, number: int) -> None:
    request, chance, tally = draw_request(world.random, number), world.random, world.tally
    world.tally.requests += 1
    is_stream = chance.random() < 0.6
    patience_s = chance.choice([0.5, 5.0, 3600.0, 3600.0])
    leaves_after = chance.randrange(6) if chance.random() < 0.1 else None
    shown: list[str] = []
    end = "gave up"
    with anyio.move_on_after(patience_s):
        try:
            if is_stream:
                end = await _read(world, request, shown, leaves_after)
            else:
                completion = await world.router.complete(request)
                end = _judge(world, request, completion, None)
        except AicoreError as exc:
            end = exc.code
            _judge_failure(world, request, exc, "".join(shown))
    tally.ends[end] += 1


async def _read(world: World, request: Request, shown: list[str], leaves_after: int | None) -> str:
    stream = world.router.stream(request)
    completion = None
    try:
        async for part in stream:
            if completion is not None:
                world.violate("something comes after the completion")
            if isinstance(part, Completion):
                completion = part
            else:
                shown.append(part.delta)
            if leaves_after is not None and len(shown) > leaves_after:
                return "left"
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()
    if completion is None:
        world.violate("a stream ends without a completion")
        return "nothing"
    return _judge(world, request, completion, "".join(shown))


def _judge(world: World, request: Request, completion: Completion, shown: str | None) -> str:
    asked, tally = asked_in(request), world.tally
    if completion.text != asked.text or (shown is not None and shown != asked.text):
        world.violate(f"lost or doubled: {shown!r} and {completion.text!r}, not {asked.text!r}")
    route = completion.route
    if route is None:
        world.violate("an answer without its route")
        return "answered"
    tally.hedges += sum(attempt.is_hedge for attempt in route.attempts)
    tally.bursts += route.is_burst
    tally.degraded += route.is_degraded
    tally.joined += any(attempt.outcome == "cut" for attempt in route.attempts)
    return "degraded" if route.is_degraded else "answered"


def _judge_failure(world: World, request: Request, error: AicoreError, shown: str) -> None:
    asked = asked_in(request)
    rule = world.rules[asked.data_class]
    may_anybody = any(may_see(rule, model.capabilities) for model in world.models)
    if isinstance(error, PolicyBlocked) == may_anybody:
        world.violate(f"{error.code}, and {may_anybody=} for {asked.data_class}")
    if isinstance(error, BudgetReached) and world.limits is None:
        world.violate("a budget is reached where there is none")
    if not asked.text.startswith(shown):
        world.violate(f"lost or doubled before it failed: {shown!r} of {asked.text!r}")
    if error.route is None:
        world.violate(f"{error.code} without its route")


async def _live(seed: int, requests: int, is_honest: bool, at_once: int) -> Tally:
    world = World(seed, is_honest=is_honest, at_once=at_once)
    chance = world.random
    number = 0
    async with world.router:
        while number < requests:
            async with anyio.create_task_group() as group:
                for _ in range(min(chance.randint(1, world.at_once), requests - number)):
                    group.start_soon(_ask, world, number)
                    number += 1
                    await anyio.sleep(chance.choice([0.0, 0.0, 0.2]))
            if chance.random() < 0.1:
                world.clock.ahead_ms += chance.choice([-7_200_000, 3_600_000, 86_400_000])
            await anyio.sleep(chance.choice([0.0, 1.0, 60.0]))
    if world.under_way:
        world.violate(f"{world.under_way} calls are left open")
    return world.tally


def play(seed: int, requests: int, *, is_honest: bool = True, at_once: int = 12) -> Tally:
    """Live through one world; gives what was seen.

    `is_honest`: models stay within what is reserved for them. `at_once`: the largest burst.
    """
    return run_in_virtual_time(_live, seed, requests, is_honest, at_once)
