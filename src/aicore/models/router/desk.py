"""What all requests of a router share: the providers and what is known of them, rules, budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import anyio

from aicore.models.budget.budget import Budget
from aicore.models.port import Provider
from aicore.models.router.choosing import Preference
from aicore.models.router.health import Health, Stopwatch
from aicore.models.router.hedging import Hedger
from aicore.models.router.limits import Clock, RouterLimits
from aicore.models.router.queueing import Queue
from aicore.models.router.rules import DataRules

__all__ = ["Desk", "Member", "RetryBudget", "Seat"]


@dataclass(frozen=True, slots=True)
class Member:
    """A provider that a router chooses from.

    `at_once`: how many requests it can handle at the same time; others wait in a queue. None:
    any number.
    """

    provider: Provider
    at_once: int | None = None


class Seat:
    """A member, and what the router knows of it."""

    __slots__ = ("capabilities", "health", "name", "provider", "queue")

    def __init__(self, member: Member, limits: RouterLimits) -> None:
        self.provider = member.provider
        self.name = member.provider.name
        self.capabilities = member.provider.capabilities
        self.queue = Queue(member.at_once)
        self.health = Health(limits)


class RetryBudget:
    """How many requests may ask a provider again: a share of all.

    So retries cannot add to an outage.
    """

    __slots__ = ("_left", "_most", "_share")

    def __init__(self, share: float, most: int) -> None:
        self._share = share
        self._left = self._most = float(most)

    def note_request(self) -> None:
        """Count a request."""
        self._left = min(self._left + self._share, self._most)

    def take(self) -> bool:
        """Take one retry; False when none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True, kw_only=True)
class Desk:
    """What all requests of a router share."""

    seats: Sequence[Seat]
    rules: DataRules
    budget: Budget | None
    fallback: Provider | None
    limits: RouterLimits
    prefer: Preference
    clock: Clock
    random: Random
    stopwatch: Stopwatch
    retries: RetryBudget
    hedger: Hedger | None
    changed: anyio.Event | None = None
    """Set when a probe has ended; None while nobody waits for it."""

    def wake(self) -> None:
        """Let those look again who wait for a provider that another request is probing."""
        changed, self.changed = self.changed, None
        if changed is not None:
            changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for as long, or until a probe has ended."""
        if self.changed is None:
            self.changed = anyio.Event()
        await self.clock.wait(self.changed, seconds)
