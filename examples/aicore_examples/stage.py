"""What the example bots share: the example business in a folder, and playing conversations."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio

from aicore import Agent, Principal, Reply
from aicore.agent.build import build_server
from aicore.cli.screen import Screen
from aicore.config import load
from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.errors import AicoreError, ConfigError
from aicore.records import ConversationId, ToolCall

__all__ = ["Books", "Story", "play", "run_story", "settle"]


def settle(folder: Path, business: str = "lakeside") -> Path:
    """Put an example business's files into `folder` and return its configuration file.

    Files that are there already are kept, so that a person can change them.

    Raises: ConfigError when the folder cannot be written.
    """
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for source in files("aicore_examples").joinpath(business).iterdir():
            target = folder / source.name
            if source.is_file() and not source.name.endswith(".py") and not target.exists():
                target.write_bytes(source.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}). Name another folder with --folder."
        ) from error
    return folder / "aicore.toml"


async def play(
    agent: Agent, screen: Screen, lines: Sequence[str], *, conversation: str
) -> list[Reply]:
    """Say each line and show what comes back; the replies, in order."""
    replies = []
    for line in lines:
        screen.line(f"\nyou> {line}", style="bold")
        events = agent.stream(line, conversation=conversation, channel="terminal")
        replies.append(await screen.turn(events))
    return replies


async def _nothing(_: Path) -> None:
    """Nothing to prepare."""


def _no_demand(_: Sequence[Reply]) -> None:
    """Nothing to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A conversation to play, and what must be true afterwards.

    `prepare` fills the systems before, `check` reads them after, `check_replies` reads what was
    said; both checks raise AssertionError. `is_delivered_twice` delivers every message a second
    time, as a channel's webhook does.
    """

    business: str
    conversation: str
    lines: Sequence[str]
    check: Callable[[Books], Awaitable[None]]
    check_replies: Callable[[Sequence[Reply]], None] = _no_demand
    prepare: Callable[[Path], Awaitable[None]] = _nothing
    is_delivered_twice: bool = False


def run_story(story: Story, argv: Sequence[str] | None = None) -> None:
    """Play a story in a temporary folder, or with `--config FILE` on systems of your own.

    On systems of your own nothing is prepared or checked: what is there is not known.

    Raises:
        SystemExit: 0 when all held; 1 when a check failed; 2 when it could not run.
    """
    parser = argparse.ArgumentParser(description="Plays one conversation of an example bot.")
    parser.add_argument("--config", type=Path, help="another configuration, e.g. with a model")
    options = parser.parse_args(argv)
    try:
        if options.config is not None:
            anyio.run(_tell, story, options.config)
        else:
            with tempfile.TemporaryDirectory(prefix="aicore-") as folder:
                anyio.run(_tell_and_check, story, settle(Path(folder), story.business))
    except AicoreError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    except AssertionError as error:
        sys.stderr.write(f"A check of this example failed: {error}\n")
        raise SystemExit(1) from error


async def _tell_and_check(story: Story, config: Path) -> None:
    await story.prepare(config)
    replies = await _tell(story, config)
    story.check_replies(replies)
    async with Books.opened(config) as books:
        await story.check(books)
    Screen().line("\nchecked: what the systems hold is what was promised", style="dim")


async def _tell(story: Story, config: Path) -> list[Reply]:
    screen = Screen()
    replies = []
    async with Agent.from_config(config) as agent:
        for number, line in enumerate(story.lines):
            screen.line(f"\nyou> {line}", style="bold")
            for delivery in range(1 + story.is_delivered_twice):
                if delivery:
                    screen.line("  (the same message delivered again: same reply)", style="dim")
                events = agent.stream(
                    line,
                    conversation=story.conversation,
                    channel="terminal",
                    message_id=f"{story.conversation}-{number}",
                )
                reply = await screen.turn(events)
            replies.append(reply)
    return replies


class Books:
    """Reads what is in the systems of a configuration, through the same MCP servers."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    @classmethod
    @asynccontextmanager
    async def opened(cls, config: Path) -> AsyncIterator[Books]:
        """Connect to the servers of a configuration."""
        servers = [build_server(name, one) for name, one in load(config).servers.items()]
        async with Dispatcher(servers) as dispatcher:
            yield cls(dispatcher)

    async def ask(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """Call one tool and return its JSON. Raises: AicoreError with the tool's own words."""
        result = await self._dispatcher.call(
            ToolCall("ask", tool, arguments),
            CallContext(
                operation_key=None,
                principal=Principal("system", "example"),
                conversation=ConversationId("example"),
            ),
        )
        if result.is_error or not isinstance(result.structured, dict):
            raise AicoreError(f"{tool} failed: {result.text}")
        return result.structured
