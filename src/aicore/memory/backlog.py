"""Which conversations are to be learned from, and when: bounded, each at most once at a time."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, replace

import anyio

from aicore.records import ConversationId

__all__ = ["Backlog", "Due"]


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
        self._taken: set[ConversationId] = set()
        self._changed = anyio.Event()

    @property
    def is_full(self) -> bool:
        """Whether no other conversation finds room."""
        return len(self._due) >= self._capacity

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being learned from, due now or to be tried again."""
        now_s = anyio.current_time()
        return not self._taken and not any(
            due.failures or due.at_s <= now_s for due in self._due.values()
        )

    async def wait_for_change(self) -> None:
        """Wait until something is noted or given back, or `wake` is called."""
        await self._fresh().wait()

    def wake(self) -> None:
        """Have those go on who wait for a change."""
        self._changed.set()

    def put(self, due: Due) -> bool:
        """Note a conversation, in place of an earlier note. False if there is no room for it."""
        if due.conversation not in self._due and self.is_full:
            return False
        self._due[due.conversation] = due
        heapq.heappush(self._order, (due.at_s, next(self._count), due))
        self._changed.set()
        return True

    def put_now(self, conversation: ConversationId, born_ms: int) -> bool:
        """Note a conversation as due now, or when it is to be tried again. False as in `put`."""
        due = self._due.get(conversation)
        if due is not None and due.failures:
            return self.put(replace(due, born_ms=born_ms))
        return self.put(Due(conversation, born_ms, anyio.current_time()))

    def put_if_new(self, due: Due) -> bool:
        """Note a conversation for later unless there is a note. Leaves half of the room free."""
        if due.conversation in self._due:
            return True
        return 2 * len(self._due) < self._capacity and self.put(due)

    async def take(self) -> Due:
        """Wait for the first that is due and that nobody has taken, and take it."""
        while (due := self._first()) is None:
            changed = self._fresh()
            coming = [at_s for at_s, _, one in self._order if one.conversation not in self._taken]
            wait_s = max(min(coming) - anyio.current_time(), 0) if coming else None
            with anyio.move_on_after(wait_s):
                await changed.wait()
        self._taken.add(due.conversation)
        del self._due[due.conversation]
        return due

    def give_back(self, conversation: ConversationId) -> None:
        """Let a conversation that was taken be taken again."""
        self._taken.discard(conversation)
        self._changed.set()

    def _fresh(self) -> anyio.Event:
        """What is set at the next change; the same for all who wait."""
        if self._changed.is_set():
            self._changed = anyio.Event()
        return self._changed

    def _first(self) -> Due | None:
        """The first that may be taken now; notes that were replaced are dropped on the way."""
        held = []
        found = None
        now_s = anyio.current_time()
        while self._order and self._order[0][0] <= now_s:
            item = heapq.heappop(self._order)
            due = item[2]
            if self._due.get(due.conversation) is not due:
                continue
            if due.conversation in self._taken:
                held.append(item)
                continue
            found = due
            break
        for item in held:
            heapq.heappush(self._order, item)
        return found
