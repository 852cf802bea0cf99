"""A process that runs one conversation and kills itself with SIGKILL at a chosen point.

Imports are done once; every run is a fork, so that hundreds of kills take seconds. Commands on
standard input, one a line: `URL FOLDER STORY POINT` with the URL of the log, where each folder is
a business of its own, and POINT the number of the point to die at (0: none). Stories: `plain`;
`approval`, where staff must approve the effects `c` and `d` and do.
Answers on standard output, one a line: the points passed, as JSON, or `killed`.

The points are every step outwards: before and after each write of the log, each model request
and each effect.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations

from aicore import Agent, Server
from aicore.log.events import Body, MessageReceived
from aicore.log.port import Claim, EventLog, Received
from aicore.log.registry import open_log
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import Conversation, ConversationId, Tool, ToolCall, Usage
from aicore.trust import Allow, Ask, Decision

CONVERSATION = "web:42"
ROUNDS: list[Completion] = [
    Completion(
        text="One moment.",
        calls=(
            ToolCall("a", "look", {"what": "one"}),
            ToolCall("b", "look", {"what": "two"}),
            ToolCall("c", "keyed", {"what": "first"}),
            ToolCall("d", "keyless", {"what": "second"}),
        ),
        usage=Usage(input_tokens=1, output_tokens=1),
    ),
    Completion(
        text="", calls=(ToolCall("e", "keyed", {"what": "third"}),), usage=Usage(input_tokens=1)
    ),
    Completion(text="All done.", usage=Usage(input_tokens=1)),
]


class Points:
    """Counts points, and dies at one."""

    def __init__(self, folder: Path, die_at: int) -> None:
        self.folder = folder
        self.die_at = die_at
        self.passed: list[str] = []

    def reach(self, name: str) -> None:
        self.passed.append(name)
        if len(self.passed) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, line: str) -> None:
        with (self.folder / "notes.txt").open("a") as file:
            file.write(line + "\n")


class PointedLog:
    """A real log with a point before and after each write."""

    def __init__(self, log: EventLog, points: Points) -> None:
        self._log = log
        self._points = points

    async def receive(self, conversation: ConversationId, message: MessageReceived) -> Received:
        self._points.reach("before receive")
        received = await self._log.receive(conversation, message)
        self._points.reach("after receive")
        return received

    async def claim(self, conversation: ConversationId) -> Claim:
        self._points.reach("before claim")
        claim = await self._log.claim(conversation)
        self._points.reach("after claim")
        return claim

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        names = "+".join(type(body).__name__ for body in bodies)
        self._points.reach(f"before {names}")
        claim = await self._log.append(claim, turn, bodies)
        self._points.reach(f"after {names}")
        return claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def __aenter__(self) -> Self:
        await self._log.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._log.__aexit__(exc_type, exc, traceback)


class RoundProvider:
    """Answers by the number of answers it finds in the transcript, and checks the transcript."""

    name = "rounds"
    capabilities = Capabilities(locality="in_process")

    def __init__(self, points: Points) -> None:
        self._points = points

    async def complete(self, request: Request) -> Completion:
        answered = 0
        open_calls: list[str] = []
        for message in request.tail:
            if message.role == "tool":
                assert message.call_id in open_calls, "a result without its call"
                open_calls.remove(message.call_id)
                continue
            assert not open_calls, f"orphan calls {open_calls}"
            if message.role == "assistant":
                answered += message.provider == self.name  # not what the core adds itself
                open_calls = [call.id for call in message.calls]
        assert not open_calls, f"orphan calls {open_calls}"
        self._points.note(f"asked {answered}")
        self._points.reach(f"model asked {answered}")
        return ROUNDS[answered]

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        yield await self.complete(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def make_server(points: Points) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("effects", log_level="CRITICAL")
    database = points.folder / "effects.db"

    def act(key: str, what: str) -> str:
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS effect(key TEXT UNIQUE, what TEXT)")
            connection.execute("INSERT OR IGNORE INTO effect VALUES (?, ?)", (key, what))
        connection.close()
        return f"did {what}"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    async def look(what: str) -> str:
        """Look."""
        points.note(f"called look {what}")
        return f"saw {what}"

    @server.tool(meta={"aicore/honours-operation-key": True}, structured_output=False)
    async def keyed(what: str, ctx: Context[Any]) -> str:
        """Act once per operation key."""
        key = (ctx.request_context.meta or {})["aicore/operation-key"]
        points.note(f"called keyed {what}")
        points.reach(f"before effect {what}")
        result = act(str(key), what)
        points.reach(f"after effect {what}")
        return result

    @server.tool(structured_output=False)
    async def keyless(what: str) -> str:
        """Act each time."""
        points.note(f"called keyless {what}")
        points.reach(f"before effect {what}")
        result = act(os.urandom(8).hex(), what)
        points.reach(f"after effect {what}")
        return result

    return server


class AsksOnce:
    """Asks about the effects of the first reply."""

    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        return Ask("staff decides") if call.id in ("c", "d") else Allow()


async def converse(url: str, points: Points, story: str) -> None:
    log = PointedLog(open_log(url, business=points.folder.name), points)
    agent = Agent(
        provider=RoundProvider(points),
        servers=[Server.local(make_server(points))],
        log=cast("EventLog", log),
        policy=AsksOnce() if story == "approval" else None,
        resume_on_enter=False,
    )
    async with agent:
        await agent.resume()
        reply = await agent.send("go", conversation=CONVERSATION, message_id="m1")
        while reply.waiting:
            points.reach("before decide")
            reply = await agent.decide(reply.waiting[0], approved=True, by="staff:ann")
            points.reach("after decide")
        said = "All done." if story == "approval" else "One moment.\n\nAll done."
        assert reply.text == said, reply.text


def run_forked(url: str, folder: Path, story: str, die_at: int) -> str:
    points = Points(folder, die_at)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        code = 1
        try:
            anyio.run(converse, url, points, story)
            os.write(write_end, json.dumps(points.passed).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return text if os.waitstatus_to_exitcode(status) == 0 else "failed"


LOADED_LATE = (
    "anyio._backends._asyncio",
    "aicore.dispatch.opening",
    "aicore.dispatch.stdio",
    "jsonschema",
    "psycopg",
    "psycopg_pool",
    "redis.asyncio",
    "referencing.jsonschema",
    "rich.logging",
)
"""What a run would load first: half of its time."""


def main() -> None:
    for name in LOADED_LATE:
        importlib.import_module(name)
    gc.freeze()  # else a fork's first collection copies every page
    for line in sys.stdin:
        url, folder, story, die_at = line.rstrip("\n").rsplit(" ", 3)
        open_log(url)  # loads the store's client, which every fork then has
        print(run_forked(url, Path(folder), story, int(die_at)), flush=True)


if __name__ == "__main__":
    main()
