"""What others and we wrote, told in the server's order: how a log on Redis is listened to.

Every write adds one entry to a short stream, numbered without gaps. A listener follows it from
the last number it saw, so after a lost connection it goes on where it was. Publishing would not
do: what is published while nobody is connected is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio

from aicore.errors import AicoreError, StoreError
from aicore.log.events import Event
from aicore.log.fanout import Fanout
from aicore.log.redis_server import RedisServer
from aicore.records import ConversationId

__all__ = ["News"]

_LOG = logging.getLogger(__name__)
_BLOCK_MS = 2_000
_PAGE = 100
_TOLD_S = 1.0
_BEGUN_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

Read = Callable[[ConversationId, int, int], Awaitable[Sequence[Event]]]


class News(Fanout):
    """The live subscriptions of one log, told of all writes to the store while there are any.

    `read` gives the events of a conversation from one number to another, both included.
    """

    def __init__(self, server: RedisServer, key: str, read: Read) -> None:
        super().__init__()
        self._server = server
        self._key = key
        self._read = read
        self._last = -1
        self._listener: asyncio.Task[None] | None = None
        self._listening = anyio.CancelScope()
        self._begun = anyio.Event()
        self._is_following = False
        self._told = anyio.Event()

    def begin(self) -> None:
        """Start to listen: the first of all subscriptions begins."""
        if self._listener is None:
            self._begun = anyio.Event()
            self._listening = anyio.CancelScope()
            # Not in a task group: a log is entered and left by whoever uses it, in any order,
            # and a group must be left by the task that entered it.
            self._listener = asyncio.create_task(self._listen())  # noqa: TID251

    async def begun(self) -> None:
        """Wait until those who have subscribed will be told of a write that follows."""
        if self._listener is not None:
            with anyio.move_on_after(_BEGUN_S):
                await self._begun.wait()

    async def told(self, number: int) -> None:
        """Wait until the news of this number has been told, or the connection is lost."""
        with anyio.move_on_after(_TOLD_S):
            while self._is_following and self._last < number:
                await self._told.wait()

    async def stop(self) -> None:
        """End all subscriptions and stop listening."""
        self.close()
        listener = self._listener
        if listener is not None:
            # By a scope, which cancels until it is left: asyncio.wait_for, inside the client, may
            # swallow a task's only cancellation (https://github.com/python/cpython/issues/86296).
            self._listening.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([listener])

    async def _listen(self) -> None:
        self._last = -1
        try:
            with self._listening:
                await self._keep_following()
        finally:
            self._listener = None
            self._is_following = False
            self._wake()
            self.cut_off()  # whoever still listens would wait for ever

    async def _keep_following(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while len(self):
            try:
                await self._follow()
            except AicoreError as exc:
                _LOG.warning("listening_lost server=%s code=%s", self._server.name, exc.code)
                if self._is_following:
                    pause_s = _FIRST_PAUSE_S
                self._is_following = False
                self._wake()
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        """Tell what comes, until the connection is lost or nobody listens any more."""
        newest = await self._newest()
        if self._last < 0:
            self._last = newest
        elif newest < self._last:
            self.cut_off()  # the server was set back, to a backup or to nothing
            self._last = newest
        self._is_following = True
        self._begun.set()
        while len(self):
            answer = await self._server.wait_for(
                "XREAD", "COUNT", _PAGE, "BLOCK", _BLOCK_MS, "STREAMS", self._key, f"0-{self._last}"
            )
            for number, fields in answer[0][1] if answer else ():
                await self._tell(int(number.partition(b"-")[2]), fields)

    async def _newest(self) -> int:
        entries = await self._server.ask("XREVRANGE", self._key, "+", "-", "COUNT", 1)
        return int(entries[0][0].partition(b"-")[2]) if entries else 0

    async def _tell(self, number: int, fields: Sequence[bytes]) -> None:
        conversation = ConversationId(fields[1].decode())
        first, last = int(fields[3]), int(fields[5])
        wanted = self.wanted()
        if number != self._last + 1:
            self.cut_off()
        elif first <= last and (wanted is None or conversation in wanted):
            try:
                self.publish(conversation, await self._read(conversation, first, last))
            except StoreError:
                self.cut_off()  # not to be understood: whoever reads it is told so
        self._last = number
        self._wake()

    def _wake(self) -> None:
        self._told.set()
        self._told = anyio.Event()
