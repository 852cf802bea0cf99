"""Hedging as a router does it: a slow stream is raced, to its first event, by another provider.

Only streams: an answer in one piece has no first token by which to tell that it is slow.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from aicore.errors import AicoreError, ProviderUnavailable
from aicore.models.port import Completion, TextDelta
from aicore.models.router.attempt import Trial
from aicore.models.router.hedging import Begun, Hedger, Raced, Run, begin, race

if TYPE_CHECKING:
    from aicore.models.router.asking import Asking
    from aicore.models.router.desk import Seat

__all__ = ["Parts", "begin_stream"]

_log = logging.getLogger(__name__)

Parts = AsyncGenerator[TextDelta | Completion, None]


async def begin_stream(asking: Asking, trial: Trial) -> tuple[Trial, Parts]:
    """Ask for a stream; gives the parts, and the trial they belong to.

    That is another one where a second provider was asked and began sooner; the first has then
    ended. Raises nothing of a provider's: that comes with the parts.
    """
    hedger = asking.desk.hedger
    after_s = None if hedger is None else asking.hedge_after_s(trial, hedger)
    if hedger is None or after_s is None:
        return trial, trial.seat.provider.stream(asking.request)
    return await _Race(asking, trial, hedger).run(after_s)


class _Race:
    def __init__(self, asking: Asking, first: Trial, hedger: Hedger) -> None:
        self._asking = asking
        self._first = first
        self._second: Trial | None = None
        self._hedger = hedger

    async def run(self, after_s: float) -> tuple[Trial, Parts]:
        try:
            raced = await race(
                lambda: self._ask(self._first),
                self._ask_second,
                after_s=after_s,
                discard=Begun.close,
                clock=self._asking.desk.clock,
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._first.lose()
                if self._second is not None:
                    await self._second.lose()
            raise
        return await self._ended(raced)

    async def _ask(self, trial: Trial) -> Begun:
        begun = await begin(trial.seat.provider, trial.request)
        trial.note_first()
        return begun

    def _ask_second(self) -> Awaitable[Begun] | None:
        seat = self._asking.free_other(self._first.seat)
        return None if seat is None or not self._hedger.take() else self._open_second(seat)

    async def _open_second(self, seat: Seat) -> Begun:
        trial = Trial(self._asking, seat, is_hedge=True)
        if not await trial.open():
            raise ProviderUnavailable(f"{seat.name} cannot be asked now.")
        self._second = trial
        self._asking.note_visit(seat)
        return await self._ask(trial)

    async def _ended(self, raced: Raced[Begun]) -> tuple[Trial, Parts]:
        first, second = self._first, self._second
        winner = raced.winner
        if second is not None and raced.second is not None and winner is not raced.second:
            await _leave(second, raced.second)
        if second is not None and winner is not None and winner is raced.second:
            await _leave(first, raced.first)
            first = second
        return first, _parts(raced.first if winner is None else winner)


async def _leave(trial: Trial, run: Run[Begun]) -> None:
    """End the trial that did not win."""
    error = run.error
    if error is None:
        await trial.lose()
        return
    await trial.__aexit__(type(error), error, error.__traceback__)
    if not isinstance(error, AicoreError):
        _log.warning("%s failed while another provider answered", trial.seat.name, exc_info=error)


async def _parts(run: Run[Begun]) -> Parts:
    if run.value is None:
        raise run.error or ProviderUnavailable("The stream ended before it began.")
    async with aclosing(run.value.rest) as rest:
        yield run.value.event
        async for part in rest:
            yield part
