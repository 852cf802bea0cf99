"""One request to one provider: what is taken for it is given back, however it ends."""

from __future__ import annotations

from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from aicore.errors import AicoreError, BudgetReached, Interrupted, ModelError, ProviderUnavailable
from aicore.models.budget.port import Reservation
from aicore.models.port import Completion, Request
from aicore.models.prices import priced
from aicore.models.route import Attempt, AttemptOutcome
from aicore.models.router.desk import Desk, Seat
from aicore.models.router.queueing import Place
from aicore.models.router.sizing import cost_usd
from aicore.records import Usage

if TYPE_CHECKING:
    from aicore.models.router.asking import Asking

__all__ = ["Trial"]

_MARGIN = 2
"""The most tokens that text can have, over the estimate: what is reserved is an upper bound."""
_CHARS_PER_TOKEN = 4
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout"})
"""Names of httpx2's and httpcore2's errors: nobody was reached, so nobody sends a bill."""
_WORKED_ON = frozenset({408, 504, 524})
"""Somebody waited for the model in vain: it may have worked, and be paid for."""


class Trial:
    """One request to one provider. `open` it, then use it with `async with`.

    It holds a place in the queue, the probe of a resting provider, and reserved money. An
    AicoreError that leads on to another provider is taken note of and ends here; any other
    exception passes.
    """

    # No cancel scope and no task group is held between `open` and the end, so that a generator
    # may yield while it has one.

    def __init__(self, asking: Asking, seat: Seat, *, is_hedge: bool = False) -> None:
        self.seat = seat
        self.completion: Completion | None = None
        self.request: Request = asking.request
        self._input_tokens = asking.input_tokens
        self.first_s: float | None = None
        self._asking = asking
        self._desk: Desk = asking.desk
        self._is_hedge = is_hedge
        self._place: Place | None = None
        self._is_probe = False
        self._reservation: Reservation | None = None
        self._begun_s = 0.0

    async def open(self) -> bool:
        """Wait for a place, take the probe, reserve the money; False when it may not be asked.

        Raises: StoreBusy, StoreError when the ledger of the budget cannot be used.
        """
        place = self.seat.queue.place()
        await place.__aenter__()
        self._place = place
        health = self.seat.health
        try:
            if health.rule(self._desk.stopwatch.now_s()):  # it went down while this one queued
                await self._leave()
                return False
            self._is_probe = health.begin()
            await self._reserve()
        except BudgetReached as exc:
            await self._leave()
            self._asking.note_budget(self.seat, exc)
            return False
        except BaseException:
            await self._leave()
            raise
        self._begun_s = self._desk.stopwatch.now_s()
        return True

    def note_first(self) -> None:
        """Note that the first event is there."""
        self.first_s = self._desk.stopwatch.now_s() - self._begun_s
        self.seat.health.first_s.add(self.first_s)
        self._tell_hedger(self.first_s)

    def check_answered(self) -> None:
        """Raise ProviderUnavailable for a stream that ended without a completion."""
        if self.completion is None:
            raise ProviderUnavailable(f"The stream of {self.seat.name} ended without an answer.")

    async def lose(self) -> None:
        """End it: another provider was faster. What it cost is not known."""
        elapsed_s = self._desk.stopwatch.now_s() - self._begun_s
        if self.first_s is None:
            self._tell_hedger(elapsed_s)
        self._record("lost", elapsed_s, self._estimated(""))
        await self._leave()
        if self._reservation is not None:
            await self._settle(self._reservation, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        elapsed_s = self._desk.stopwatch.now_s() - self._begun_s
        completion = self.completion
        if completion is not None and (exc is None or isinstance(exc, AicoreError)):
            # What breaks after a whole answer takes nothing from it.
            self.seat.health.note_answer(elapsed_s)
            self._record("answered", elapsed_s, completion.usage)
            await self._leave()
            if self._reservation is not None:
                await self._settle(self._reservation, completion.usage.cost_usd)
            return True
        is_handled = False
        if isinstance(exc, AicoreError):
            is_handled = self._fail(exc, elapsed_s)
        await self._leave()
        if self._reservation is not None:
            await self._settle(self._reservation, Decimal(0) if _was_free(self, exc) else None)
        return is_handled

    def _tell_hedger(self, first_s: float) -> None:
        if self._desk.hedger is not None:
            now_s = self._desk.stopwatch.now_s()
            self._desk.hedger.note_first(self.seat.name, first_s, now_s=now_s)

    def _fail(self, exc: AicoreError, elapsed_s: float) -> bool:
        is_handled = self._asking.note_failure(self, exc, is_probe=self._is_probe)
        status = exc.status if isinstance(exc, ProviderUnavailable) else None
        said = exc.text if isinstance(exc, Interrupted) else ""
        usage = None if _was_free(self, exc) else self._estimated(said)
        outcome: AttemptOutcome = "failed" if self.first_s is None else "cut"
        self._record(outcome, elapsed_s, usage, code=exc.code, status=status)
        if not is_handled:
            self._asking.explain(exc)
        return is_handled

    def _record(
        self,
        outcome: AttemptOutcome,
        elapsed_s: float,
        usage: Usage | None,
        *,
        code: str = "",
        status: int | None = None,
    ) -> None:
        self._asking.attempts.append(
            Attempt(
                provider=self.seat.name,
                model="" if self.completion is None else self.completion.model,
                outcome=outcome,
                elapsed_ms=round(elapsed_s * 1000),
                first_ms=None if self.first_s is None else round(self.first_s * 1000),
                code=code,
                status=status,
                usage=usage,
                is_hedge=self._is_hedge,
            )
        )

    def _estimated(self, said: str) -> Usage:
        usage = Usage(
            input_tokens=self._input_tokens,
            output_tokens=-(-len(said) // _CHARS_PER_TOKEN),
            is_reported=False,
        )
        return priced(self.seat.capabilities.price, usage)

    async def _reserve(self) -> None:
        budget, price = self._desk.budget, self.seat.capabilities.price
        if budget is None or price is None:
            return
        amount_usd = cost_usd(
            price,
            input_tokens=self._input_tokens * _MARGIN,
            output_tokens=self.request.max_output_tokens or self._desk.limits.output_tokens,
        )
        if amount_usd:
            self._reservation = await budget.reserve(
                self._asking.origin, amount_usd, now_ms=self._desk.clock.now_ms()
            )

    async def _settle(self, reservation: Reservation, amount_usd: Decimal | None) -> None:
        """Put the cost in the place of what was reserved; None: not known, so it stays in full."""
        budget = self._desk.budget
        if budget is None:
            return
        spent_usd = reservation.amount_usd if amount_usd is None else amount_usd
        with anyio.CancelScope(shield=True):
            try:
                await budget.settle(reservation, spent_usd)
            except AicoreError as exc:
                # The answer is there; what is not settled counts in full.
                self._asking.note_unsettled(exc)

    async def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            await place.__aexit__(None, None, None)
        if self._is_probe:
            self._is_probe = False
            self.seat.health.end_probe()
            self._desk.wake()


def _was_free(trial: Trial, exc: BaseException | None) -> bool:
    """Whether a failure certainly costs nothing: refused by status, or nobody was reached."""
    if not isinstance(exc, AicoreError) or trial.first_s is not None:
        return False
    if not isinstance(exc, ProviderUnavailable):
        return not (isinstance(exc, ModelError) and exc.was_answered)
    cause: BaseException | None = exc
    while cause is not None:
        if type(cause).__name__ in _NEVER_SENT:
            return True
        cause = cause.__cause__
    return exc.status is not None and exc.status not in _WORKED_ON
