"""Effects are planned, shown, confirmed where they cannot be undone, and only then performed."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from aicore_tools.errors import Conflict, ToolsError
from aicore_tools.operations import Effect, Operation

__all__ = ["ConfirmRule", "Confirmations", "Planned", "Remembers", "said_in_group"]

P = TypeVar("P")
R = TypeVar("R")

ConfirmRule = Literal["irreversible", "never"]
CONFIRM_S = 15 * 60.0


class Remembers(Protocol):
    """A service that knows what it did: every domain's."""

    async def earlier(self, operation: Operation) -> Effect[Any] | None:
        """Give what `operation` did before, None if it did nothing yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Generic[P, R]):
    """An effect that is not done yet.

    `prepare` reads and checks everything and changes nothing; `show` gives its plan as JSON, in
    full: amounts, recipients, old and new. `perform` does the plan, once per operation key;
    `answer` shapes what it gave, and what an earlier run gave.
    """

    prepare: Callable[[], Awaitable[P]]
    show: Callable[[P], Mapping[str, Any]]
    perform: Callable[[P], Awaitable[Effect[R]]]
    answer: Callable[[R], Mapping[str, Any]]


@dataclass(slots=True)
class Confirmations:
    """Gives and takes confirmations: each bound to one plan of one call, used once, and expiring.

    Made by this process and good only in it: after a restart the plan is shown anew.
    """

    clock: Callable[[], float] = time.time
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _used: dict[str, float] = field(default_factory=dict, repr=False)

    def give(self, operation: Operation, plan: Mapping[str, Any]) -> tuple[str, datetime]:
        """Make the token for this plan, and say when it expires."""
        expires_s = int(self.clock() + CONFIRM_S)
        signed = f"{secrets.token_hex(4)}.{expires_s}"
        token = f"{signed}.{self._signature(signed, operation, plan)}"
        return token, datetime.fromtimestamp(expires_s, UTC)

    def take(self, token: str, operation: Operation, plan: Mapping[str, Any]) -> None:
        """Use the token up.

        Raises:
            Conflict: it is not of this plan (code `confirm_mismatch`), or was used or has
                expired (`confirm_expired`).
        """
        signed, _, signature = token.strip().rpartition(".")
        if not hmac.compare_digest(
            signature.encode(), self._signature(signed, operation, plan).encode()
        ):
            raise Conflict(
                "That confirmation is not of this call as it stands now.",
                hint="Call again without confirm, and look at the plan: it may have changed.",
                code="confirm_mismatch",
            )
        now_s = self.clock()
        self._used = {used: until for used, until in self._used.items() if until > now_s}
        expires_s = float(signed.rpartition(".")[2])
        if expires_s <= now_s or signed in self._used:
            raise Conflict(
                "That confirmation was used, or is too old.",
                hint="Call again without confirm for a new plan.",
                code="confirm_expired",
            )
        self._used[signed] = expires_s

    def _signature(self, signed: str, operation: Operation, plan: Mapping[str, Any]) -> str:
        bound = json.dumps([signed, operation.tool, operation.args_hash, plan], sort_keys=True)
        return hmac.new(self._secret, bound.encode(), hashlib.sha256).hexdigest()[:24]


def said_in_group(error: BaseException | None) -> BaseException | None:
    """Give the one refusal that stands for what a task group raised; anything else as it is.

    A group that holds anything besides `ToolsError`s stays a group: that is a crash. The refusal
    is the first, or the first after which an effect may be there.
    """
    if not isinstance(error, BaseExceptionGroup) or error.split(ToolsError)[1] is not None:
        return error
    refusals = list(_leaves(error))
    return next((one for one in refusals if one.outcome != "none"), refusals[0])


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[ToolsError]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one
