"""The decision itself: a pure function of a request's facts and a snapshot of the providers.

Order: data class, capability, health, budget; among what is left, rank. The same facts and the
same snapshot give the same decision, and every provider that is ruled out is named with its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from aicore.models.port import Capabilities
from aicore.models.route import RuledOut, Stage
from aicore.models.router.rules import DataRules
from aicore.records import DataClass

__all__ = ["Candidate", "Decision", "Facts", "choose"]

Preference = Literal["price", "latency"]

_FREE = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision needs of a request.

    `input_tokens` rather too many than too few. `queue_s`: how long it may wait for a place while
    another provider could take it.
    """

    data_class: DataClass
    input_tokens: int
    needs_tools: bool = False
    needs_schema: bool = False
    has_budget: bool = False
    queue_s: float = 0.0
    prefer: Preference = "price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A provider at one moment.

    `health`: why it is not asked now, "" when it may be. `cost_usd`: about what the request costs
    there, None where no price is known. `wait_s`: how long it would wait for a place;
    `latency_s`: the usual time to the first event, or to a whole answer where it never streamed;
    0 where it was never asked.
    """

    name: str
    capabilities: Capabilities
    health: str = ""
    cost_usd: Decimal | None = None
    wait_s: float = 0.0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whom to ask, by place in the snapshot, the best first.

    `allowed` passed data class, capability and what is known of the budget: every retry,
    failover, hedge and burst chooses from it. `ready` are those of them that are up now.
    `emptied_by` is the step that left nobody allowed, None when somebody is. `is_burst`: the
    first is managed because the queue of an own machine is too long.
    """

    allowed: Sequence[int]
    ready: Sequence[int]
    ruled_out: Sequence[RuledOut]
    because: str
    emptied_by: Stage | None = None
    is_burst: bool = False


def choose(facts: Facts, candidates: Sequence[Candidate], rules: DataRules) -> Decision:
    """Decide whom to ask."""
    ruled_out: list[RuledOut] = []
    rule = rules.rule(facts.data_class)
    may_see = _kept(
        candidates,
        range(len(candidates)),
        ruled_out,
        ("data class", lambda one: rule.refusal(one.capabilities)),
    )
    able = _kept(candidates, may_see, ruled_out, ("capability", lambda one: _incapable(facts, one)))
    up = set(_kept(candidates, able, ruled_out, ("health", lambda one: one.health)))
    # Who is down now may be up for a later try: health does not take anybody off the list.
    priced = [place for place in able if not _unpriced(facts, candidates[place])]
    _kept(candidates, sorted(up), ruled_out, ("budget", lambda one: _unpriced(facts, one)))
    allowed = sorted(priced, key=lambda place: _rank(facts, candidates[place], place))
    ready = [place for place in allowed if place in up]
    emptied_by: Stage | None = None
    if not allowed:
        emptied_by = "budget" if able else "capability" if may_see else "data class"
    is_burst = bool(ready) and _is_burst(facts, candidates, ready)
    return Decision(
        allowed=allowed,
        ready=ready,
        ruled_out=ruled_out,
        because=_because(facts, candidates, ready, is_burst=is_burst),
        emptied_by=emptied_by,
        is_burst=is_burst,
    )


def _kept(
    candidates: Sequence[Candidate],
    places: Iterable[int],
    ruled_out: list[RuledOut],
    step: tuple[Stage, Callable[[Candidate], str]],
) -> list[int]:
    stage, rule = step
    kept = []
    for place in places:
        if refusal := rule(candidates[place]):
            ruled_out.append(RuledOut(candidates[place].name, stage, refusal))
        else:
            kept.append(place)
    return kept


def _incapable(facts: Facts, one: Candidate) -> str:
    known = one.capabilities
    if facts.needs_tools and not known.tools:
        return "it cannot call tools"
    if facts.needs_schema and not known.schema:
        return "it cannot hold its answer to a schema"
    if known.context_tokens is not None and facts.input_tokens > known.context_tokens:
        return f"it reads {known.context_tokens} tokens, this are about {facts.input_tokens}"
    return ""


def _unpriced(facts: Facts, one: Candidate) -> str:
    if facts.has_budget and one.cost_usd is None:
        return "its price is not known: give one, 0 where it costs nothing"
    return ""


def _rank(facts: Facts, one: Candidate, place: int) -> tuple[bool, bool, object, object, int]:
    # An own machine without a price sends no bill; a vendor's unknown price is the worst.
    is_own = one.capabilities.locality != "managed"
    cost_usd = _FREE if one.cost_usd is None else one.cost_usd
    is_unknown = one.cost_usd is None and not is_own
    seconds = one.wait_s + one.latency_s
    by = (seconds, cost_usd) if facts.prefer == "latency" else (cost_usd, seconds)
    return (_is_late(facts, one), is_unknown, *by, place)


def _is_late(facts: Facts, one: Candidate) -> bool:
    return one.wait_s > facts.queue_s


def _is_burst(facts: Facts, candidates: Sequence[Candidate], ready: Sequence[int]) -> bool:
    if candidates[ready[0]].capabilities.locality != "managed":
        return False
    return any(
        candidates[place].capabilities.locality != "managed" and _is_late(facts, candidates[place])
        for place in ready
    )


def _because(
    facts: Facts, candidates: Sequence[Candidate], ready: Sequence[int], *, is_burst: bool
) -> str:
    if not ready:
        return "nobody can be asked now"
    first = candidates[ready[0]]
    if is_burst:
        return f"{first.name}: the queue of the own machines is longer than {facts.queue_s:g} s"
    if len(ready) == 1:
        return f"{first.name}: the only one that may be asked"
    if facts.prefer == "latency":
        return f"{first.name}: the first of {len(ready)} by time"
    return f"{first.name}: the first of {len(ready)} by price"
