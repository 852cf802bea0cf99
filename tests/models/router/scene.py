"""What the tests of the router share: a clock that is moved, a request, providers that fail."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio

from aicore.models import Capabilities, Completion, Price, Request, ScriptedProvider
from aicore.models.port import Origin
from aicore.models.scripted import Reply
from aicore.records import Message, Prefix

LOCAL = Capabilities(locality="local")
MANAGED = Capabilities(locality="managed", vendor="openai", region="us")
PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(2))


class MovedClock:
    """Stands still, but for what is waited by it."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return 1_795_000_000_000

    async def wait(self, event: anyio.Event, seconds: float) -> None:
        self.waits.append(seconds)
        for _ in range(5):  # whoever could set the event has its turn first
            await anyio.lowlevel.checkpoint()
            if event.is_set():
                return
        self.seconds += seconds


def asked(text: str = "hi", **changes: Any) -> Request:
    plain = Request(
        prefix=Prefix("Be kind."),
        tail=[Message(role="user", text=text)],
        origin=Origin(conversation="c", turn=1, task="reply"),
    )
    return replace(plain, **changes)


def always(
    reply: Reply | Callable[[Request], Reply], name: str, facts: Capabilities = LOCAL
) -> ScriptedProvider:
    """A provider that answers the same for ever."""

    def give(request: Request) -> Reply:
        return reply(request) if callable(reply) else reply

    return ScriptedProvider([give] * 1000, name=name, capabilities=facts)


def scripted(
    name: str, *replies: Reply, facts: Capabilities = LOCAL, chunk_chars: int = 8
) -> ScriptedProvider:
    return ScriptedProvider(replies, name=name, capabilities=facts, chunk_chars=chunk_chars)


async def read(stream: Any) -> tuple[str, Completion]:
    """The deltas joined, and the completion; nothing else may come."""
    *deltas, last = [part async for part in stream]
    assert isinstance(last, Completion)
    return "".join(part.delta for part in deltas), last
