"""How a router came to an answer: what it ruled out, whom it asked, what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aicore.records import DataClass, Usage

__all__ = ["Attempt", "AttemptOutcome", "Route", "RuledOut", "Stage"]

Stage = Literal["data class", "capability", "health", "budget"]
"""The hard steps of a decision, in their order; among what is left, rank decides."""

AttemptOutcome = Literal["answered", "failed", "cut", "lost"]
"""`cut`: it broke off after its first event. `lost`: a hedge that another one overtook."""


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A provider that was not asked: at which step, and by which rule, in plain words."""

    provider: str
    stage: Stage
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to one provider.

    `code` and `status` are those of the error, "" and None for none. `first_ms` is the time to
    the first event, None where there was none. `usage` of an attempt that did not answer is what
    is known or estimated of it (see its `is_reported`), None when nothing was sent.
    """

    provider: str
    model: str
    outcome: AttemptOutcome
    elapsed_ms: int
    first_ms: int | None = None
    code: str = ""
    status: int | None = None
    usage: Usage | None = None
    is_hedge: bool = False

    @property
    def is_waste(self) -> bool:
        """Whether it was paid for and did not become the answer."""
        return self.outcome != "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The explanation of one decision.

    `because` is one sentence on the choice. `is_burst`: a managed provider took over because
    the queue of the own machines was too long. `is_degraded`: no model answered, the flows did.
    """

    data_class: DataClass
    because: str
    ruled_out: Sequence[RuledOut] = ()
    attempts: Sequence[Attempt] = ()
    is_burst: bool = False
    is_degraded: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for the log."""
        return {
            "data_class": self.data_class,
            "because": self.because,
            "ruled_out": [[one.provider, one.stage, one.rule] for one in self.ruled_out],
            "attempts": [_attempt_to_json(one) for one in self.attempts],
            "burst": self.is_burst,
            "degraded": self.is_degraded,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Route:
        """What `to_json` gave. Raises: KeyError, TypeError, ValueError for a damaged text."""
        return cls(
            data_class=data["data_class"],
            because=data["because"],
            ruled_out=tuple(RuledOut(*one) for one in data["ruled_out"]),
            attempts=tuple(_attempt_from_json(one) for one in data["attempts"]),
            is_burst=data["burst"],
            is_degraded=data["degraded"],
        )


def _attempt_to_json(attempt: Attempt) -> dict[str, Any]:
    usage = attempt.usage
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "ms": attempt.elapsed_ms,
        "first_ms": attempt.first_ms,
        "code": attempt.code,
        "status": attempt.status,
        "hedge": attempt.is_hedge,
        "usage": None if usage is None else usage.to_json(),
    }


def _attempt_from_json(data: Mapping[str, Any]) -> Attempt:
    usage = data["usage"]
    return Attempt(
        provider=data["provider"],
        model=data["model"],
        outcome=data["outcome"],
        elapsed_ms=data["ms"],
        first_ms=data["first_ms"],
        code=data["code"],
        status=data["status"],
        is_hedge=data["hedge"],
        usage=None if usage is None else Usage.from_json(usage),
    )
