"""What the example bots share: the example business in a folder, and playing conversations."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from aicore import Agent, CallRecord, Principal, Reply
from aicore.agent.build import build_server
from aicore.cli.screen import Screen
from aicore.config import load
from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.errors import AicoreError
from aicore.records import ConversationId, ToolCall

__all__ = ["Books", "calls_of", "play", "settle", "temporary_shop"]


def settle(folder: Path, business: str = "lakeside") -> Path:
    """Put an example business's files into `folder` and return its configuration file.

    Files that are there already are kept, so that a person can change them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for source in files("aicore_examples").joinpath(business).iterdir():
        target = folder / source.name
        if source.is_file() and not source.name.endswith(".py") and not target.exists():
            target.write_bytes(source.read_bytes())
    return folder / "aicore.toml"


@contextmanager
def temporary_shop(business: str = "lakeside") -> Iterator[Path]:
    """The example business in a folder that is removed afterwards; yields its configuration."""
    with tempfile.TemporaryDirectory(prefix="aicore-") as folder:
        yield settle(Path(folder), business)


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


def calls_of(replies: Iterable[Reply]) -> list[CallRecord]:
    """All tool calls of some replies, in order."""
    return [call for reply in replies for call in reply.calls]
