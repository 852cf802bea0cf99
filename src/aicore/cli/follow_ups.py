"""`aicore follow-ups`: whom a colleague was promised to, because no model could answer."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from aicore.agent.build import build_log
from aicore.cli.screen import Screen
from aicore.config import load
from aicore.errors import ConfigError
from aicore.log.events import Event, MessageReceived, ModelReplied
from aicore.log.port import EventLog
from aicore.records import ConversationId

__all__ = ["run_follow_ups"]

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class _Promise:
    """A conversation whose last answer came from stand-ins, and what was said last in it."""

    conversation: ConversationId
    at_ms: int
    said: str


def run_follow_ups(options: argparse.Namespace) -> int:
    """List the conversations that were last answered without a model. Returns 0.

    Raises: ConfigError, StoreBusy, StoreError.
    """
    return anyio.run(_run, options)


async def _run(options: argparse.Namespace) -> int:
    settings = load(options.config)
    if settings.log.path is None and settings.log.url is None:
        raise ConfigError(f"{options.config} keeps no conversations. Set log.path or log.url.")
    screen = Screen()
    count = 0
    async with build_log(settings) as log:
        async for promise in _promises(log):
            count += 1
            at = datetime.fromtimestamp(promise.at_ms / 1000, UTC).astimezone()
            screen.line(f"{at:%Y-%m-%d %H:%M}  {promise.conversation}", style="bold")
            screen.line(f"  {promise.said}")
    if not count:
        screen.line("Nobody waits for a colleague.")
    return 0


async def _promises(log: EventLog) -> AsyncIterator[_Promise]:
    after: ConversationId | None = None
    while page := await log.conversations(after):
        for stored in page:
            after = stored.conversation
            found = _promise_in(after, await log.read(after))
            if found is not None:
                yield found


def _promise_in(conversation: ConversationId, events: Sequence[Event]) -> _Promise | None:
    answers = [event for event in events if isinstance(event.body, ModelReplied)]
    if not answers:
        return None
    last = answers[-1]
    route = last.body.route if isinstance(last.body, ModelReplied) else None
    if not (isinstance(route, dict) and route.get("degraded")):
        return None
    said = [one.body.text for one in events if isinstance(one.body, MessageReceived)]
    # One line of what anybody may have written: no control character may reach the terminal.
    text = "".join(char if char.isprintable() else " " for char in said[-1]) if said else ""
    return _Promise(conversation, last.at_ms, text[:_LONGEST])
