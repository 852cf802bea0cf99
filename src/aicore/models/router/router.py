"""The router: a Provider that chooses among providers, and goes on when one fails.

`choosing` decides, `asking` follows one request through retries and failover, `attempt` gives back
what one attempt took, `joining` puts a broken answer together. This is the face of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from random import Random
from types import TracebackType
from typing import Self

from aicore.errors import ConfigError, NotOpenError
from aicore.models.budget.budget import Budget
from aicore.models.port import Capabilities, Completion, Provider, Request, TextDelta
from aicore.models.router.asking import Asking
from aicore.models.router.choosing import Preference
from aicore.models.router.desk import Desk, Member, RetryBudget, Seat
from aicore.models.router.health import Stopwatch
from aicore.models.router.hedging import HedgeLimits, Hedger
from aicore.models.router.limits import Clock, RouterLimits, SystemClock
from aicore.models.router.racing import begin_stream
from aicore.models.router.rules import DataRules
from aicore.models.router.sizing import dearest

__all__ = ["Member", "Router"]

_LIMITS = RouterLimits()
_CLOCK = SystemClock()


class Router:
    """Chooses a provider for each request, by data class, capability, health, budget and rank.

    `members` are providers, or Members where their number of requests at once is bounded. The
    router enters them, `budget` and `fallback`. `fallback` is asked when nobody else is left.
    `prefer` says what ranks first. `random` spreads retries. See docs/router.md.

    Raises: ConfigError for no members, two of the same name, or an `at_once` below 1.
    """

    def __init__(
        self,
        members: Sequence[Member | Provider],
        *,
        rules: DataRules | None = None,
        budget: Budget | None = None,
        fallback: Provider | None = None,
        limits: RouterLimits = _LIMITS,
        prefer: Preference = "price",
        clock: Clock = _CLOCK,
        random: Random | None = None,
    ) -> None:
        given = _checked(members)
        self._members = given
        self._desk = Desk(
            seats=[],
            rules=DataRules.careful() if rules is None else rules,
            budget=budget,
            fallback=fallback,
            limits=limits,
            prefer=prefer,
            clock=clock,
            random=Random() if random is None else random,  # noqa: S311 # spreads retries
            stopwatch=Stopwatch(clock),
            retries=RetryBudget(limits.retry_share, limits.retry_burst),
            hedger=Hedger(HedgeLimits(share=limits.hedge_share)) if limits.hedge_share else None,
        )
        asked = [one.provider for one in given] + ([] if fallback is None else [fallback])
        self._capabilities = _joined(
            [one.provider.capabilities for one in given],
            places=[one.capabilities for one in asked],
        )
        self._opened: AsyncExitStack | None = None

    @property
    def name(self) -> str:
        """`router`; each answer says who gave it."""
        return "router"

    @property
    def capabilities(self) -> Capabilities:
        """What at least one member can; the least careful locality and the highest price.

        Of these the fallback counts, too. The price is None where one of them is not known.
        """
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece, by whoever may and can.

        Raises: PolicyBlocked, BudgetReached, ContextOverflow; else what the last provider raised.
        Each has its `route`.
        """
        asking = self._asking(request)
        while True:
            trial = await asking.next()
            if isinstance(trial, Completion):
                return trial
            async with trial:
                trial.completion = await trial.seat.provider.complete(asking.request)
            if trial.completion is not None:
                return asking.answered(trial, trial.completion)

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, then the Completion; a broken answer is gone on with.

        Raises as `complete` does, and Interrupted when nobody could go on.
        """
        asking = self._asking(request, is_stream=True)
        while True:
            trial = await asking.next()
            if isinstance(trial, Completion):
                for part in asking.as_parts(trial.text, trial):
                    yield part
                return
            # Plain delegation, in the reader's own task: a task and a channel for each stream
            # would cost more than the stream itself, and nothing here needs to run beside it.
            trial, parts = await begin_stream(asking, trial)
            async with trial, aclosing(parts):
                async for part in parts:
                    if trial.first_s is None:
                        trial.note_first()
                    if isinstance(part, Completion):
                        asking.check_goes_on(part)
                        trial.completion = part
                    elif (shown := asking.take(part)) is not None:
                        yield shown
                trial.check_answered()
            if trial.completion is not None:
                text = asking.rest_of_text()
                for part in asking.as_parts(text, asking.answered(trial, trial.completion)):
                    yield part
                return

    async def __aenter__(self) -> Self:
        desk = self._desk
        async with AsyncExitStack() as stack:
            for one in self._members:
                await stack.enter_async_context(one.provider)
            if desk.fallback is not None:
                await stack.enter_async_context(desk.fallback)
            if desk.budget is not None:
                await stack.enter_async_context(desk.budget)
            self._opened = stack.pop_all()
        desk.seats = [Seat(one, desk.limits) for one in self._members]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.__aexit__(exc_type, exc, traceback)

    def _asking(self, request: Request, *, is_stream: bool = False) -> Asking:
        if self._opened is None:
            raise NotOpenError("Enter the router first: async with router: ...")
        return Asking(self._desk, request, is_stream=is_stream)


def _checked(members: Sequence[Member | Provider]) -> list[Member]:
    given = [one if isinstance(one, Member) else Member(one) for one in members]
    names = [one.provider.name for one in given]
    if not given or len(set(names)) != len(names):
        raise ConfigError(
            f"A router needs providers with different names, not {names}. Give each a name."
        )
    for one in given:
        if one.at_once is not None and one.at_once < 1:
            raise ConfigError(f"{one.provider.name}: at_once is {one.at_once}. Give at least 1.")
    return given


def _joined(members: Sequence[Capabilities], *, places: Sequence[Capabilities]) -> Capabilities:
    contexts = [member.context_tokens for member in members]
    first = places[0]
    is_one_place = all(_place(one) == _place(first) for one in places)
    is_managed = any(one.locality == "managed" for one in places)
    # Where somebody's proxy is among several, no allow-list is to take the whole for one's own.
    is_mixed = not is_one_place and any(one.region or one.vendor for one in places)
    is_local = any(one.locality == "local" for one in places)
    return Capabilities(
        locality="managed" if is_managed or is_mixed else "local" if is_local else "in_process",
        tools=any(member.tools for member in members),
        context_tokens=None if None in contexts else max(one for one in contexts if one),
        price=dearest([one.price for one in places]),
        region=first.region if is_one_place else None,
        vendor=first.vendor if is_one_place else None,
        schema=any(member.schema for member in members),
        reads_class=True,
    )


def _place(facts: Capabilities) -> tuple[str | None, str | None]:
    return facts.region, facts.vendor
