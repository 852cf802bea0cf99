"""A process with an agent on a log that others use as well.

Arguments: PATH NAME COUNT. It says `ready`, waits for a line on standard input, then sends the
messages `m0` to `m<COUNT-1>` to one conversation, as another such process does at the same time,
and each again while the other holds the conversation. Answers one JSON list a message:
its id and its reply's text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

from aicore import Agent, Reply
from aicore.errors import Fenced, StoreBusy
from aicore.log import SQLiteLog
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import ToolCall

CONVERSATION = "web:42"


def answer(request: Request) -> Completion:
    """One effect a message, then a reply that names the message."""
    text = [message.text for message in request.tail if message.role == "user"][-1]
    if request.tail[-1].role == "user":
        return Completion(text="", calls=(ToolCall(f"c{text}", "note", {"text": text}),))
    return Completion(text=f"to {text}")


async def main(path: str, name: str, count: str) -> None:
    async def note(text: str) -> str:
        """Write a line, each time."""
        with Path(path).with_suffix(".notes").open("a") as file:
            file.write(f"{text}\n")
        return "noted"

    async def send(agent: Agent, text: str) -> Reply:
        while True:
            try:
                return await agent.send(text, conversation=CONVERSATION, message_id=text)
            except (StoreBusy, Fenced):
                await anyio.sleep(0.002)  # as a channel does that delivers again

    provider = ScriptedProvider([answer] * 1000, name=name)
    async with Agent(provider=provider, tools=[note], log=SQLiteLog(path)) as agent:
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        for number in range(int(count)):
            reply = await send(agent, f"m{number}")
            print(json.dumps([f"m{number}", reply.text]), flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
