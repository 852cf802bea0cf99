"""One request on its way: whom it may still ask, what it tried, what was shown of an answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from math import inf

import anyio

from aicore.errors import (
    AicoreError,
    BudgetReached,
    ConfigError,
    ContextOverflow,
    CredentialError,
    Interrupted,
    ModelError,
    NotOpenError,
    OperatorError,
    PolicyBlocked,
    ProviderUnavailable,
    TemporaryError,
)
from aicore.models.port import Completion, Price, Provider, Request, TextDelta
from aicore.models.route import Attempt, Route, RuledOut
from aicore.models.router.attempt import Trial
from aicore.models.router.choosing import Candidate, Decision, Facts, choose
from aicore.models.router.desk import Desk, Seat
from aicore.models.router.hedging import Hedger
from aicore.models.router.joining import AllHold, Joiner, WordHold, going_on
from aicore.models.router.sizing import cost_usd, request_tokens

__all__ = ["Asking"]

_log = logging.getLogger(__name__)

_USUAL_OUTPUT_TOKENS = 300
_GUESS_S = 5.0
"""How long an answer takes, before the first one of a provider is there."""
_SPREAD = (0.5, 1.5)
_MODELS_THAT_CANNOT = 2


class Asking:
    """One request on its way through a router.

    The list it chooses from is made once, by the decision; what fails is only ever taken off it.
    """

    def __init__(self, desk: Desk, request: Request, *, is_stream: bool) -> None:
        desk.retries.note_request()
        if is_stream and desk.hedger is not None:
            desk.hedger.note_request()
        self.desk = desk
        self.origin = request.origin
        self.original = request
        self.facts = _facts(desk, request)
        self.input_tokens = self.facts.input_tokens
        self.decision: Decision = choose(self.facts, _snapshot(desk, self.facts), desk.rules)
        if desk.budget is not None and request.max_output_tokens is None:
            request = replace(request, max_output_tokens=desk.limits.output_tokens)
        self.request = request
        self.attempts: list[Attempt] = []
        self._bounded = request
        self._order: Sequence[Seat] = [desk.seats[place] for place in self.decision.allowed]
        self._visits: dict[Seat, int] = {}
        self._not_before_s: dict[Seat, float] = {}
        self._gone: set[Seat] = set()
        self._waited_s = 0.0
        self._cannot = 0
        self._is_over = False
        self._ruled_out: list[RuledOut] = []
        self._error: AicoreError | None = None
        self._down: ProviderUnavailable | None = None
        self._overflow: ContextOverflow | None = None
        self._budget_error: BudgetReached | None = None
        self._shown: list[str] = []
        self._hold: WordHold | AllHold | None = None
        self._joiner: Joiner | None = None
        self._is_joined = False
        if is_stream and len(self._order) > 1:  # another could go on with a broken answer
            self._renew_hold()

    async def next(self) -> Trial | Completion:
        """Give the next provider to ask, opened, after waiting for it as long as is allowed.

        When there is none, gives what the fallback answers. Raises: what this request comes to,
        when there is no fallback either.
        """
        try:
            return await self._next()
        except AicoreError as exc:
            return await self._fall_back(exc)

    async def _next(self) -> Trial:
        while not self._is_over:
            found = self._soonest()
            if found is None:
                break
            seat, delay_s = found
            if delay_s:
                if not await self._wait(delay_s):
                    break
                continue
            if self._visits.get(seat) and not self.desk.retries.take():
                break
            trial = Trial(self, seat)
            if await trial.open():
                self.note_visit(seat)
                return trial
        raise self._final()

    def note_visit(self, seat: Seat) -> None:
        """Count that a provider is asked."""
        self._visits[seat] = self._visits.get(seat, 0) + 1

    def hedge_after_s(self, trial: Trial, hedger: Hedger) -> float | None:
        """After how long without an event to ask a second provider; None: not at all.

        Only a first attempt is raced: what failed before is already being made up for.
        """
        if self.attempts or len(self._order) == 1:
            return None
        return hedger.after_s(trial.seat.name, now_s=self.desk.stopwatch.now_s())

    def free_other(self, seat: Seat) -> Seat | None:
        """The best of the others that can begin at once, None for nobody."""
        now_s = self.desk.stopwatch.now_s()
        for other in self._order:
            if other is seat or other in self._gone or other in self._visits:
                continue
            if not other.health.rule(now_s) and not other.queue.expected_wait_s(1.0):
                return other
        return None

    # -- what became of an attempt ---------------------------------------------------------------

    def note_budget(self, seat: Seat, error: BudgetReached) -> None:
        """Take a provider off the list that there is no money for."""
        self._gone.add(seat)
        self._budget_error = error
        rule = f"{error.used} of {error.limit} US dollars a {error.window} are spent or reserved"
        self._ruled_out.append(RuledOut(seat.name, "budget", rule))

    def note_unsettled(self, error: AicoreError) -> None:
        """Say that what an attempt cost could not be written down."""
        _log.warning("A reservation was not settled and counts in full: %s", error)

    def note_failure(self, trial: Trial, error: AicoreError, *, is_probe: bool) -> bool:
        """Take note of a failure; tells whether another provider may be asked."""
        seat, health = trial.seat, trial.seat.health
        self._error = error
        if isinstance(error, NotOpenError):
            return False
        if isinstance(error, ContextOverflow):
            health.note_answer()
            self._overflow = error
            self._keep_larger(seat)
        elif isinstance(error, ModelError):
            health.note_answer()
            self._gone.add(seat)
            self._cannot += 1
            self._is_over = self._cannot >= _MODELS_THAT_CANNOT
        elif isinstance(error, PolicyBlocked | BudgetReached):
            self._gone.add(seat)
        elif isinstance(error, ConfigError | CredentialError):
            self._gone.add(seat)
            if health.disable(error, self.desk.stopwatch.now_s()):
                _log.warning("%s is disabled and hardly asked any more: %s", seat.name, error)
        elif isinstance(error, TemporaryError | OperatorError):
            self._note_down(seat, error, is_probe=is_probe)
        else:
            return False
        return self._prepare_next(trial)

    def explain(self, error: AicoreError) -> None:
        """Say with an error how it came to that."""
        error.route = self._route("")

    def answered(self, trial: Trial, completion: Completion) -> Completion:
        """Give the completion as the router's own."""
        seat = trial.seat
        return replace(
            completion,
            text=completion.text if self._hold is None else "".join(self._shown),
            # The state belongs to a message that is only a part of this one.
            state=None if self._is_joined else completion.state,
            provider=completion.provider or seat.name,
            price=completion.price or seat.capabilities.price,
            route=self._route(seat.name),
        )

    async def _fall_back(self, error: AicoreError) -> Completion:
        self.explain(error)
        fallback, request = self.desk.fallback, self.original
        if fallback is None or self._shown or not self._may_fall_back(fallback, error):
            raise error
        try:
            completion = await fallback.complete(request)
        except AicoreError as exc:
            raise error from exc
        _log.warning("No model could answer (%s): the fallback did", error.code)
        return replace(
            completion,
            provider=completion.provider or fallback.name,
            price=completion.price or fallback.capabilities.price,
            route=replace(error.route, because=f"degraded: {error.code}", is_degraded=True),
        )

    def _may_fall_back(self, fallback: Provider, error: AicoreError) -> bool:
        request, facts = self.original, fallback.capabilities
        if isinstance(error, ContextOverflow | NotOpenError):
            return False
        # It talks to people; a summary or facts by it would be made up.
        if request.origin.task not in ("reply", "other"):
            return False
        if self.desk.budget is not None and not _is_free(facts.price):
            return False
        return not self.desk.rules.rule(request.data_class).refusal(facts)

    # -- the text of a stream --------------------------------------------------------------------

    def take(self, part: TextDelta) -> TextDelta | None:
        """Take text of a stream; gives what may be shown now."""
        hold = self._hold
        if hold is None:
            return part
        text = part.delta
        if self._joiner is not None:
            text = self._joiner.add(text)
        text = hold.add(text)
        if not text:
            return None
        self._shown.append(text)
        return TextDelta(text)

    def check_goes_on(self, completion: Completion) -> None:
        """Raise ModelError for an answer that should go on and says nothing.

        The last word of what broke off was held, so that it would be lost.
        """
        is_empty = not (completion.text.strip() or completion.calls)
        if self._joiner is not None and is_empty and completion.finish == "stop":
            error = ModelError("The model did not go on with an answer that had broken off.")
            error.was_answered = True
            raise error

    def rest_of_text(self) -> str:
        """Give what was held of a stream that is whole."""
        if self._hold is None:
            return ""
        text = "" if self._joiner is None else self._joiner.rest()
        text = self._hold.add(text) + self._hold.rest()
        if text:
            self._shown.append(text)
        return text

    def as_parts(self, text: str, completion: Completion) -> Iterator[TextDelta | Completion]:
        """Give the end of a stream: the text that was not shown yet, and the completion."""
        if text:
            yield TextDelta(text)
        yield completion

    def _renew_hold(self) -> None:
        is_json = self.original.output_schema is not None
        self._hold = AllHold() if is_json else WordHold()

    # -- choosing --------------------------------------------------------------------------------

    def _soonest(self) -> tuple[Seat, float] | None:
        """Who can be asked first, and in how many seconds: those not asked yet, then by rank."""
        now_s = self.desk.stopwatch.now_s()
        best: tuple[float, int, int] | None = None
        for rank, seat in enumerate(self._order):
            visits = self._visits.get(seat, 0)
            health = seat.health
            is_used_up = visits >= self.desk.limits.rounds or health.is_disabled(now_s)
            if is_used_up or seat in self._gone:
                continue
            delay_s = max(health.rest_s(now_s), self._not_before_s.get(seat, 0.0) - now_s, 0.0)
            if not delay_s and health.is_probed:
                delay_s = inf
            if best is None or (delay_s, visits, rank) < best:
                best = (delay_s, visits, rank)
        return None if best is None else (self._order[best[2]], best[0])

    async def _wait(self, delay_s: float) -> bool:
        """Wait for a provider to come back; False when that is longer than is allowed."""
        left_s = _time_left_s()
        if left_s <= 0:
            await anyio.lowlevel.checkpoint()  # the caller's cancelling goes before any error
        allowed_s = min(self.desk.limits.wait_s - self._waited_s, left_s)
        if allowed_s <= 0 or allowed_s < delay_s < inf:
            return False
        begun_s = self.desk.stopwatch.now_s()
        await self.desk.wait(min(delay_s, allowed_s))
        # What was asked for counts at least: a clock that stands still must not wait for ever.
        waited_s = self.desk.stopwatch.now_s() - begun_s
        self._waited_s += waited_s if delay_s == inf else max(waited_s, delay_s)
        return True

    def _note_down(self, seat: Seat, error: AicoreError, *, is_probe: bool) -> None:
        now_s, limits = self.desk.stopwatch.now_s(), self.desk.limits
        if isinstance(error, ProviderUnavailable):
            self._down = error
        elif isinstance(error, Interrupted):
            # Its text was held: to whoever reads this stream nothing has been shown by it.
            self._down = ProviderUnavailable(f"The answer of {seat.name} broke off.")
            self._down.__cause__ = error
        seat.health.note_failure(error, now_s, is_probe=is_probe)
        backoff_s = limits.backoff_s * 2.0 ** (self._visits.get(seat, 1) - 1)
        backoff_s *= self.desk.random.uniform(*_SPREAD)
        told_s = error.retry_after_s if isinstance(error, TemporaryError) else None
        asked_s = min(told_s or 0.0, limits.longest_cool_down_s)
        self._not_before_s[seat] = now_s + max(asked_s, backoff_s)

    def _keep_larger(self, seat: Seat) -> None:
        least = seat.capabilities.context_tokens or self.facts.input_tokens
        for other in self._order:
            context_tokens = other.capabilities.context_tokens
            if context_tokens is None or context_tokens <= least:
                self._gone.add(other)

    def _prepare_next(self, trial: Trial) -> bool:
        """Make the request ready for whoever is asked next; False when it cannot be."""
        if self._hold is None:
            return trial.first_s is None  # what was shown went out as it came
        self._renew_hold()
        if self._shown:
            shown = "".join(self._shown)
            self._joiner = Joiner(shown)
            self._is_joined = True
            self.request = going_on(self._bounded, shown)
            self.input_tokens = request_tokens(self.request)
        return True

    # -- the end ---------------------------------------------------------------------------------

    def _final(self) -> AicoreError:
        if self._shown:
            error = Interrupted(
                "The answer broke off after it had begun, and no other provider could go on.",
                text="".join(self._shown),
            )
            error.__cause__ = self._error
            return error
        if self.decision.emptied_by is not None:
            return self._nobody_allowed()
        if self._overflow is not None:
            return self._overflow
        if self._cannot >= _MODELS_THAT_CANNOT and self._error is not None:
            return self._error
        if self._down is not None:
            return self._down
        if self._error is not None and not isinstance(self._error, OperatorError):
            return self._error
        return self._all_down() or self._budget_error or self._error or self._all_disabled()

    def _nobody_allowed(self) -> AicoreError:
        ruled_out = self.decision.ruled_out
        if self.decision.emptied_by == "data class":
            rules = {one.provider: one.rule for one in ruled_out}
            return PolicyBlocked(data_class=self.facts.data_class, rules=rules)
        told = "; ".join(f"{one.provider}: {one.rule}" for one in ruled_out)
        incapable = {one.provider for one in ruled_out if one.stage == "capability"}
        contexts = [
            seat.capabilities.context_tokens for seat in self.desk.seats if seat.name in incapable
        ]
        if any(tokens is not None and tokens < self.facts.input_tokens for tokens in contexts):
            return ContextOverflow(
                f"No provider that may be asked reads a conversation this long ({told})."
            )
        return ConfigError(f"No provider that may be asked can do this ({told}). Add one.")

    def _all_down(self) -> ProviderUnavailable | None:
        """What is said when some provider rests: its last status, and when it comes back."""
        now_s = self.desk.stopwatch.now_s()
        down = [
            (seat.health.rest_s(now_s), seat)
            for seat in self._order
            if seat.health.disabled is None and seat not in self._gone
        ]
        if not down:
            return None
        rest_s, seat = min(down, key=lambda one: one[0])
        health = seat.health
        return ProviderUnavailable(
            f"No provider can be asked now; {seat.name} rests after: {health.last_said}",
            status=health.last_status,
            retry_after_s=rest_s or None,
        )

    def _all_disabled(self) -> AicoreError:
        for seat in self._order:
            if (error := seat.health.disabled) is not None:
                return type(error)(str(error))
        return ProviderUnavailable("No provider can be asked.")

    def _route(self, answered: str) -> Route:
        decision = self.decision
        first = decision.ready[0] if decision.ready else None
        is_first = first is not None and self.desk.seats[first].name == answered
        because = decision.because
        if answered and not is_first:
            because = f"{answered}: next after {because}"
        return Route(
            data_class=self.facts.data_class,
            because=because,
            ruled_out=[*decision.ruled_out, *self._ruled_out],
            attempts=tuple(self.attempts),
            is_burst=decision.is_burst and is_first,
        )


def _facts(desk: Desk, request: Request) -> Facts:
    return Facts(
        data_class=request.data_class,
        input_tokens=request_tokens(request),
        needs_tools=bool(request.prefix.shown),
        needs_schema=request.output_schema is not None,
        has_budget=desk.budget is not None,
        queue_s=min(desk.limits.queue_s, _time_left_s() / 2),
        prefer=desk.prefer,
    )


def _snapshot(desk: Desk, facts: Facts) -> list[Candidate]:
    now_s = desk.stopwatch.now_s()
    return [
        Candidate(
            name=seat.name,
            capabilities=seat.capabilities,
            health=seat.health.rule(now_s),
            cost_usd=_about_usd(seat, facts.input_tokens),
            wait_s=seat.queue.expected_wait_s(seat.health.whole_s.seconds or _GUESS_S),
            latency_s=seat.health.first_s.seconds or seat.health.whole_s.seconds,
        )
        for seat in desk.seats
    ]


def _about_usd(seat: Seat, input_tokens: int) -> Decimal | None:
    price = seat.capabilities.price
    if price is None:
        return None
    return cost_usd(price, input_tokens=input_tokens, output_tokens=_USUAL_OUTPUT_TOKENS)


def _is_free(price: Price | None) -> bool:
    return price is not None and not cost_usd(price, input_tokens=1, output_tokens=1)


def _time_left_s() -> float:
    return anyio.current_effective_deadline() - anyio.current_time()
