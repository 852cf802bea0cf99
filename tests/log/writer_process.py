"""A program that writes to a log; the tests run it, race it and kill it.

    writer_process.py hold PATH CONVERSATION      claim, say "held", keep it until stdin closes
    writer_process.py race PATH NAME COUNT        append COUNT replies to one conversation,
                                                  from the first line on stdin on
    writer_process.py crash PATH KILLS SEED       run writers, kill each at a random moment
    writer_process.py birth FOLDER KILLS SEED     the same, each while it makes a new file

PATH is a SQLite file, or a postgresql:// or redis:// url. `race` and `crash` print what was
acknowledged, one JSON list a line.
"""

import asyncio
import itertools
import json
import os
import random
import select
import signal
import sys

import anyio

from aicore.errors import Fenced, StoreBusy
from aicore.log import EventLog, SQLiteLog
from aicore.log.events import MessageReceived, ReplySent, ToolStarted
from aicore.log.postgres import PostgresLog
from aicore.log.redis import RedisLog
from aicore.records import ConversationId, OperationKey, Principal

SHOP = ConversationId("web:1")


def tell(*facts: object) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def open_at(path: str) -> EventLog:
    if path.startswith("redis://"):
        return RedisLog(path)
    return PostgresLog(path) if path.startswith("postgresql://") else SQLiteLog(path)


def said(text: str, message_id: str) -> MessageReceived:
    return MessageReceived(text=text, principal=Principal("customer"), message_id=message_id)


async def hold(path: str, conversation: str) -> None:
    async with open_at(path) as log:
        await log.claim(ConversationId(conversation))
        tell("held", os.getpid())
        await anyio.to_thread.run_sync(sys.stdin.read)


async def race(path: str, name: str, count: str) -> None:
    async with open_at(path) as log:
        tell("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        for number in range(int(count)):
            received = await log.receive(SHOP, said("x", f"m{number}"))
            tell("received", f"m{number}", received.seq, received.is_new)
            while True:
                try:
                    claim = await log.claim(SHOP)
                    claim = await log.append(claim, 1, [ReplySent(text=f"{name}{number}")])
                except StoreBusy:
                    await anyio.sleep(0.001)  # the other one writes
                except Fenced:
                    continue
                else:
                    tell("appended", f"{name}{number}", claim.head)
                    await log.release(claim)
                    break


async def write_until_killed(path: str, run: int) -> None:
    await anyio.lowlevel.checkpoint()
    tell("opening")
    async with open_at(path) as log, anyio.create_task_group() as tasks:

        async def write(conversation: ConversationId) -> None:
            for number in itertools.count():
                message_id = f"{conversation}-{run}-{number}"
                received = await log.receive(conversation, said("x", message_id))
                tell("received", conversation, received.seq, message_id)
                claim = await log.claim(conversation)
                started = ToolStarted(
                    call_id=message_id, tool="t", operation_key=OperationKey(message_id)
                )
                claim = await log.append(claim, received.seq, [started])
                tell("appended", conversation, claim.head, message_id)
                claim = await log.append(claim, received.seq, [ReplySent(text=message_id)])
                tell("appended", conversation, claim.head, message_id)

        for name in ("web:1", "web:2", "web:3"):
            tasks.start_soon(write, ConversationId(name))


def fork_writer(path: str, run: int) -> tuple[int, int]:
    """Start a writer; gives its number and where to read what it says."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write_end, 1)
        os.close(read_end)
        os.close(write_end)
        try:
            asyncio.run(write_until_killed(path, run))
        finally:
            os._exit(1)
    os.close(write_end)
    return child, read_end


def crash(path: str, kills: str, seed: str) -> None:
    """Fork writers one after the other; the next begins while the last is a zombie."""
    chance = random.Random(seed)
    zombie = 0
    for run in range(int(kills)):
        child, read_end = fork_writer(path, run)
        kill_after(child, read_end, chance)
        if zombie:
            os.waitpid(zombie, 0)
        zombie = child
    os.waitpid(zombie, 0)


def birth(folder: str, kills: str, seed: str) -> None:
    """Fork writers, each on a new file, and kill each in its first milliseconds."""
    chance = random.Random(seed)
    for run in range(int(kills)):
        child, read_end = fork_writer(f"{folder}/{run}.db", run)
        os.read(read_end, 1)
        select.select([], [], [], chance.random() * 0.015)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)


def kill_after(child: int, read_end: int, chance: random.Random) -> None:
    """Pass on what a writer says; kill it after some of it, at a random moment."""
    with os.fdopen(read_end, "rb", buffering=0) as said_by_child:
        some = chance.randrange(1, 4000)
        while some > 0:
            chunk = said_by_child.read(some)
            assert chunk, "the writer ended by itself"
            os.write(1, chunk)
            some -= len(chunk)
        select.select([], [], [], chance.random() * 0.002)
        os.kill(child, signal.SIGKILL)
        while chunk := said_by_child.read(65536):
            os.write(1, chunk)
    os.write(1, b"\n")  # a line may have been cut


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "crash":
        crash(*arguments)
    elif command == "birth":
        birth(*arguments)
    elif command == "race":
        asyncio.run(race(*arguments))
    else:
        asyncio.run(hold(*arguments))
