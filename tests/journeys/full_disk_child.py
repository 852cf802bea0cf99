"""A process whose files may grow to a size and no further, as on a full disk, and then may again.

    full_disk_child.py PATH

Runs an agent over the log PATH and prints what it saw, one JSON list a line.
"""

from __future__ import annotations

import json
import resource
import sys

import anyio

from aicore import Agent
from aicore.errors import StoreError
from aicore.log import SQLiteLog
from aicore.log.copying import check_log
from aicore.models import ScriptedProvider
from aicore.records import ConversationId

ROOM_BYTES = 400_000
LARGE = "x" * 60_000


def tell(*facts: object) -> None:
    print(json.dumps(facts), flush=True)


def allow(size: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


async def fill(agent: Agent) -> int:
    """Send until a message does not fit any more; gives how many did."""
    for number in range(100):
        try:
            await agent.send(LARGE, conversation="web:1", message_id=f"m{number}")
        except StoreError as error:
            tell("full", type(error).__name__)
            return number
    raise AssertionError("it never was full")


async def main(path: str) -> None:
    log = SQLiteLog(path)
    # The third answer does not fit: the disk is full in the middle of a turn.
    answers = ["short"] * 2 + ["y" * 2 * ROOM_BYTES] + ["short"] * 200
    allow(ROOM_BYTES)
    async with Agent(provider=ScriptedProvider(answers), log=log) as agent:
        for number in range(2):
            await agent.send("hello", conversation="web:2", message_id=f"a{number}")
        try:
            await agent.send("hello", conversation="web:2", message_id="a2")
        except StoreError:
            tell("open", len(await log.open_turns()))
        fitted = await fill(agent)
        allow(resource.RLIM_INFINITY)
        resumed = await agent.resume()
        tell("resumed", [[one.conversation, one.error is None] for one in resumed])
        await agent.send(LARGE, conversation="web:1", message_id=f"m{fitted}")
        again = await agent.send("hello", conversation="web:2", message_id="a2")
        tell("again", again.text)
        checked = await check_log(log)
        tell("checked", checked.conversations, checked.faulty, len(await log.open_turns()))
        for name in ("web:1", "web:2"):
            events = await log.read(ConversationId(name))
            kinds = [type(event.body).__name__ for event in events]
            messages, replies = kinds.count("MessageReceived"), kinds.count("ReplySent")
            tell(name, messages, replies, kinds.count("ModelReplied"))
    tell("fitted", fitted)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
