"""What the log tells of the use of models, one request to one provider at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aicore.errors import StoreError
from aicore.log.events import Event, ModelReplied, Summarized, TurnFailed
from aicore.log.port import EventLog
from aicore.models.port import Price, Task
from aicore.models.prices import priced
from aicore.models.route import AttemptOutcome, Route
from aicore.records import ConversationId, DataClass, Usage

__all__ = ["FailedTurn", "UsageRow", "read_usage"]

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One request to one provider.

    `usage` is None where nothing was sent. `price` is what an answer was charged at, None where
    that is not known, as it is of every attempt without an answer. `barred` are the providers
    that a rule on data kept out. `is_in_vain`: the whole turn failed.
    """

    at_ms: int
    business: str
    conversation: str
    provider: str
    model: str
    task: Task
    usage: Usage | None
    price: Price | None = None
    data_class: DataClass | None = None
    outcome: AttemptOutcome = "answered"
    is_in_vain: bool = False
    is_burst: bool = False
    is_degraded: bool = False
    barred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTurn:
    """A turn that ended without a reply; `code` is the error's."""

    at_ms: int
    business: str
    code: str


async def read_usage(
    log: EventLog, *, since_ms: int = 0, until_ms: int | None = None
) -> AsyncGenerator[UsageRow | FailedTurn, None]:
    """Go through a log, a conversation at a time: memory holds one conversation, not the log.

    Gives what happened from `since_ms` on and before `until_ms` (None: no end), in the order of
    conversations, not of time. Raises: StoreBusy, StoreError.
    """
    after: ConversationId | None = None
    while page := await log.conversations(after, _PAGE):
        after = page[-1].conversation
        for stored in page:
            if until_ms is not None and stored.born_ms >= until_ms:
                continue
            for event in await log.read(stored.conversation):
                is_inside = event.at_ms >= since_ms and (until_ms is None or event.at_ms < until_ms)
                if is_inside:
                    for row in _rows(event, log.business, stored.conversation):
                        yield row


def _rows(event: Event, business: str, conversation: str) -> Iterator[UsageRow | FailedTurn]:
    body = event.body
    if not isinstance(body, (ModelReplied, Summarized, TurnFailed)):
        return
    try:
        route = None if body.route is None else Route.from_json(body.route)
        price = None if isinstance(body, TurnFailed) else _price(body.price)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise StoreError(
            f"Event {event.seq} of conversation {conversation!r} says in an unknown way how a "
            "provider was chosen or paid. Upgrade aicore: a newer version wrote it."
        ) from error
    place = _Place(event.at_ms, business, conversation)
    if isinstance(body, TurnFailed):
        yield FailedTurn(at_ms=event.at_ms, business=business, code=body.code)
    elif isinstance(body, ModelReplied) or body.provider:
        yield _answer(place, body, route, price)
    if route is not None:
        task: Task = "summary" if isinstance(body, Summarized) else "reply"
        yield from _attempts(place, route, task=task, is_in_vain=isinstance(body, TurnFailed))


@dataclass(frozen=True, slots=True)
class _Place:
    at_ms: int
    business: str
    conversation: str


def _answer(
    place: _Place, body: ModelReplied | Summarized, route: Route | None, price: Price | None
) -> UsageRow:
    usage = body.usage
    if usage is not None and usage.cost_usd is None:
        usage = priced(price, usage)
    return UsageRow(
        at_ms=place.at_ms,
        business=place.business,
        conversation=place.conversation,
        provider=body.provider,
        model=body.model,
        task="summary" if isinstance(body, Summarized) else "reply",
        usage=usage,
        price=price,
        data_class=body.data_class if route is None else route.data_class,
        is_burst=route is not None and route.is_burst,
        is_degraded=route is not None and route.is_degraded,
        barred=() if route is None else _barred(route),
    )


def _attempts(place: _Place, route: Route, *, task: Task, is_in_vain: bool) -> Iterator[UsageRow]:
    """What was paid for beside the answer, which has a row of its own."""
    # Who gives no answer does not tell its model, but may have told it with another.
    models = {one.provider: one.model for one in route.attempts if one.model}
    for attempt in route.attempts:
        if attempt.is_waste:
            yield UsageRow(
                at_ms=place.at_ms,
                business=place.business,
                conversation=place.conversation,
                provider=attempt.provider,
                model=models.get(attempt.provider, ""),
                task=task,
                usage=attempt.usage,
                data_class=route.data_class,
                outcome=attempt.outcome,
                is_in_vain=is_in_vain,
            )


def _barred(route: Route) -> tuple[str, ...]:
    return tuple(one.provider for one in route.ruled_out if one.stage == "data class")


def _price(data: Mapping[str, Any] | None) -> Price | None:
    return None if data is None else Price.from_json(data)
