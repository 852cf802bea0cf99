"""Live events of one log, handed to whoever listens in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Self
from weakref import WeakSet

import anyio

from aicore.errors import TemporaryError
from aicore.log.events import Event
from aicore.records import ConversationId

__all__ = ["MAX_BEHIND", "Fanout", "Subscription"]

MAX_BEHIND = 1_000
"""Events that are kept for one slow subscriber before it is cut off."""


class Subscription:
    """An endless iterator over events appended after its first `anext`.

    A subscriber that falls more than MAX_BEHIND events behind is cut off: it still gets what was
    kept, without a gap, then TemporaryError; it reads from its last seq and subscribes again.
    Ends (StopAsyncIteration) when the log closes. A cancelled `anext` loses no event. Dropping
    the iterator unsubscribes as `aclose` does. For one consumer.
    """

    def __init__(self, fanout: Fanout, conversation: ConversationId | None) -> None:
        self.conversation = conversation
        self._fanout: Fanout | None = fanout
        self._events: deque[tuple[ConversationId, Event]] = deque()
        self._arrived: anyio.Event | None = None
        self._is_started = False
        self._is_cut_off = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[ConversationId, Event]:
        if not self._is_started:
            self._is_started = True
            if self._fanout is not None:
                self._fanout.add(self)
        while not self._events:
            if self._is_cut_off:
                self._is_cut_off = False
                raise TemporaryError(
                    f"This subscriber fell more than {MAX_BEHIND} events behind. "
                    "Read from the last event seen, then subscribe again."
                )
            if self._fanout is None:
                raise StopAsyncIteration
            await self._wait(self._fanout)
        return self._events.popleft()

    async def _wait(self, fanout: Fanout) -> None:
        """Wait until something happened, or it is time to look again."""
        arrived = self._arrived = anyio.Event()
        await fanout.look()
        with anyio.move_on_after(fanout.look_every_s):
            await arrived.wait()

    async def aclose(self) -> None:
        """Unsubscribe; what was not taken yet is dropped."""
        self._events.clear()
        self.end()

    def put(self, conversation: ConversationId, event: Event) -> None:
        """Keep an event for the consumer, or cut it off; never waits."""
        if len(self._events) >= MAX_BEHIND:
            self.cut_off()
            return
        self._events.append((conversation, event))
        self.wake()

    def cut_off(self) -> None:
        """Take no more events, and let the consumer know that it missed some."""
        self._is_cut_off = True
        self.end()

    def end(self) -> None:
        """Take no more events; those kept can still be taken."""
        if self._fanout is not None:
            self._fanout.discard(self)
            self._fanout = None
        self.wake()

    def wake(self) -> None:
        """Let the consumer look again, if it waits."""
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None


class Fanout:
    """The live subscriptions of one log. Used on the event loop's thread only.

    A store that is not told of other processes' appends finds them in `look`. Those who wait
    call it when they begin to, and again every `look_every_s` (None: never again).
    """

    look_every_s: float | None = None

    def __init__(self) -> None:
        self._subscriptions: WeakSet[Subscription] = WeakSet()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Begin to hand events to a subscription."""
        if not self._subscriptions:
            self.begin()
        self._subscriptions.add(subscription)

    def begin(self) -> None:
        """Note that the first of all subscriptions begins."""

    async def look(self) -> None:
        """Publish what other processes appended and nobody told."""

    def wanted(self) -> Collection[ConversationId] | None:
        """The conversations that somebody asked for; None for all."""
        asked = {one.conversation for one in self._subscriptions}
        return None if None in asked else {one for one in asked if one is not None}

    def wake(self) -> None:
        """Let all who wait look again."""
        for subscription in list(self._subscriptions):
            subscription.wake()

    def discard(self, subscription: Subscription) -> None:
        """Stop handing events to it."""
        self._subscriptions.discard(subscription)

    def publish(self, conversation: ConversationId, events: Iterable[Event]) -> None:
        """Hand events, in order, to all who asked for this conversation."""
        listeners = [s for s in self._subscriptions if s.conversation in (None, conversation)]
        if listeners:
            for event in events:
                for listener in listeners:
                    listener.put(conversation, event)

    def cut_off(self) -> None:
        """Let all know that they missed events."""
        for subscription in list(self._subscriptions):
            subscription.cut_off()

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self._subscriptions):
            subscription.end()
