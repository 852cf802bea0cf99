"""What bounds a call, and what is told along with it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from aicore.errors import ConfigError
from aicore.records import ConversationId, OperationKey, Principal

__all__ = ["CallContext", "DispatchLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """For whom a tool is called. `operation_key` is None for a read."""

    operation_key: OperationKey | None
    principal: Principal
    conversation: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchLimits:
    """Deadlines and caps of a dispatcher. All are positive.

    `connect_s`: start, handshake and catalog of a server. `wait_s`: how long a call waits for a
    server that is just reconnecting, and a connected one may take to show that it lives.
    `call_s`: one sending of one call. `result_chars`: what the model is shown of a result.
    `full_chars`: what is kept of it. `breaker_failures`: failures in a row after which a server
    is not asked for `breaker_open_s`. `retry_s`: the first and `retry_max_s` the longest pause
    between attempts to reconnect.
    """

    connect_s: float = 15.0
    wait_s: float = 5.0
    call_s: float = 30.0
    result_chars: int = 16_000
    full_chars: int = 1_000_000
    breaker_failures: int = 5
    breaker_open_s: float = 30.0
    retry_s: float = 0.2
    retry_max_s: float = 30.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value > 0:
                raise ConfigError(f"DispatchLimits.{limit.name} must be positive, not {value!r}")
