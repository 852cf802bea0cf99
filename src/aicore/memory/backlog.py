"""Which conversations are to be learned from, and when: bounded, each at most once at a time."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, replace

import anyio

from aicore.records import ConversationId

__all__ = ["Backlog", "Due"]

_REPLACED = 64


@dataclass(frozen=True, slots=True)
class Due:
    """A conversation to look at, not before `at_s` of the loop's clock, after `failures` tries.

    `born_ms` as in Claim.
    """

    conversation: ConversationId
    born_ms: int
    at_s: float
    failures: int = 0


class Backlog:
    """Conversations in the order in which they are due."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._due: dict[ConversationId, Due] = {}
        self._order: list[tuple[float, int, Due]] = []
        self._count = itertools.count()
        self._taken: dict[ConversationId, list[tuple[float, int, Due]]] = {}
        self._soon: set[ConversationId] = set()
        self._failing: set[ConversationId] = set()
        self._changed = anyio.Event()
        self._taking = anyio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether no other conversation finds room."""
        return len(self._due) >= self._capacity

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being learned from, is due now or soon, or to be tried again."""
        if self._taken or self._soon or self._failing:
            return False
        self._drop_replaced()
        return not self._order or self._order[0][0] > anyio.current_time()

    async def wait_for_change(self) -> None:
        """Wait until something is given back or due before all else, or `wake` is called."""
        await self._fresh().wait()

    def wake(self) -> None:
        """Have those go on who wait for a change."""
        self._changed.set()

    def put(self, due: Due) -> bool:
        """Note a conversation, in place of an earlier note. False if there is no room for it."""
        conversation = due.conversation
        if conversation not in self._due and self.is_full:
            return False
        self._due[conversation] = due
        self._soon.discard(conversation)
        (self._failing.add if due.failures else self._failing.discard)(conversation)
        item = (due.at_s, next(self._count), due)
        held = self._taken.get(conversation)
        if held is not None:
            held[:] = [item]
            return True
        if len(self._order) > 2 * len(self._due) + _REPLACED:
            self._order = [one for one in self._order if self._is_noted(one[2])]
            heapq.heapify(self._order)
        heapq.heappush(self._order, item)
        # Whoever waits for what is due first does not care for what comes behind it.
        if self._order[0] is item:
            self._changed.set()
        return True

    def put_soon(self, conversation: ConversationId, born_ms: int, at_s: float) -> bool:
        """Note a conversation as due at `at_s` at the latest, or when it is to be tried again.

        False as in `put`.
        """
        due = self._due.get(conversation, Due(conversation, born_ms, at_s))
        if not due.failures:
            if conversation in self._soon and due.born_ms == born_ms and due.at_s <= at_s:
                return True
            due = replace(due, at_s=min(due.at_s, at_s))
        if not self.put(replace(due, born_ms=born_ms)):
            return False
        if not due.failures:
            self._soon.add(conversation)
        return True

    def put_if_new(self, due: Due) -> bool:
        """Note a conversation for later unless there is a note. Leaves half of the room free."""
        if due.conversation in self._due:
            return True
        return 2 * len(self._due) < self._capacity and self.put(due)

    def hurry(self) -> None:
        """Have what is due soon be due now."""
        now_s = anyio.current_time()
        for conversation in list(self._soon):
            due = self._due[conversation]
            if due.at_s > now_s:
                self.put_soon(conversation, due.born_ms, now_s)

    async def take(self) -> Due:
        """Wait for the first that is due and that nobody has taken, and take it."""
        # One waits for the time, the others for the one.
        async with self._taking:
            while (due := self._first()) is None:
                changed = self._fresh()
                wait_s = self._order[0][0] - anyio.current_time() if self._order else None
                with anyio.move_on_after(wait_s):
                    await changed.wait()
        conversation = due.conversation
        self._taken[conversation] = []
        self._soon.discard(conversation)
        self._failing.discard(conversation)
        del self._due[conversation]
        return due

    def give_back(self, conversation: ConversationId) -> None:
        """Let a conversation that was taken be taken again."""
        for item in self._taken.pop(conversation, ()):
            heapq.heappush(self._order, item)
        self._changed.set()

    def _fresh(self) -> anyio.Event:
        """What is set at the next change; the same for all who wait."""
        if self._changed.is_set():
            self._changed = anyio.Event()
        return self._changed

    def _first(self) -> Due | None:
        """The first that may be taken now."""
        self._drop_replaced()
        if not self._order or self._order[0][0] > anyio.current_time():
            return None
        return heapq.heappop(self._order)[2]

    def _drop_replaced(self) -> None:
        while self._order and not self._is_noted(self._order[0][2]):
            heapq.heappop(self._order)

    def _is_noted(self, due: Due) -> bool:
        return self._due.get(due.conversation) is due
