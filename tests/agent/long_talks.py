"""Conversations that become long, and what every request of them must be like."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel

import aicore.flows.contacts  # noqa: F401  # loaded late, in a thread that `settle` knows not
from aicore import ContextLimits
from aicore.agent.tokens import estimate, estimate_message, estimate_prefix
from aicore.log import EventLog
from aicore.log.events import Event, Summarized
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import ConversationId, Message

TALK = "web:1"
SMALL = ContextLimits(compact_at_tokens=1000, keep_tokens=200, keep_turns=2)
HEAD = encode_head("m", is_stream=False, options={})

Answer = str | Completion | Exception


class Model:
    """Answers by a function, refuses what a strict vendor refuses, and keeps what it was sent.

    Requests for notes go to `notes`, which may wait; they are kept apart.
    """

    name = "model"

    def __init__(
        self,
        answer: Callable[[Request], Answer] = lambda request: "Fine. " * 10,
        *,
        context_tokens: int | None = None,
    ) -> None:
        self.capabilities = Capabilities(locality="in_process", context_tokens=context_tokens)
        self.requests: list[Request] = []
        self.sent: list[bytes] = []
        self.noted: list[Request] = []
        self._answer = answer

    async def notes(self, request: Request) -> Answer:
        """Answer a request for notes."""
        raise AssertionError("nobody asked for a model's notes")

    async def complete(self, request: Request) -> Completion:
        """Answer."""
        if request.prefix.instructions.startswith("You keep notes"):
            self.noted.append(request)
            answer = await self.notes(request)
        else:
            check_accepted(request.tail)
            self.requests.append(request)
            self.sent.append(encode_body(request, HEAD, limit_field="max_tokens"))
            answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return Completion(text=answer, model="m") if isinstance(answer, str) else answer

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer in one delta."""
        completion = await self.complete(request)
        if completion.text:
            yield TextDelta(completion.text)
        yield completion

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def check_accepted(tail: Sequence[Message]) -> None:
    """What the strictest providers ask of messages."""
    assert tail[-1].role in ("user", "tool")
    ids = [call.id for message in tail for call in message.calls]
    assert len(set(ids)) == len(ids)
    expected: list[str] = []
    for message in tail:
        if message.role == "tool":
            assert message.call_id == expected.pop(0)
            continue
        assert not expected
        expected = [call.id for call in message.calls]
    assert not expected


def tokens_of(request: Request) -> int:
    """About how many tokens a request has."""
    summary = [] if request.summary is None else [request.summary]
    messages = sum(map(estimate_message, [*summary, *request.tail]))
    return estimate_prefix(request.prefix) + messages + estimate(request.volatile)


async def settle() -> None:
    """Let what runs in the background get to its end, where nothing outside is waited for."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def events(log: EventLog, kind: type = object) -> list[Event]:
    """Events of the conversation, of one kind of body."""
    found = await log.read(ConversationId(TALK))
    return [event for event in found if isinstance(event.body, kind)]


async def summaries(log: EventLog, count: int = 0) -> list[Any]:
    """The conversation's summaries, once there are `count`."""
    with anyio.fail_after(10):
        while len(found := await events(log, Summarized)) < count:
            await anyio.lowlevel.checkpoint()
    return [event.body for event in found]
