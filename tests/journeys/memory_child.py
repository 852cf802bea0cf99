"""Runs an agent with a memory in forks of itself, each of which may die at a given step.

Reads lines `FOLDER DIE_AT`; answers each with `ok` or `killed`. `FOLDER learners`: four forks
learn at once from the log that is there, and send nothing. Steps are counted at every call
of the memory's store that writes, before and after it; at step DIE_AT the fork is gone, as with
`kill -9`. 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import anyio

from aicore import Agent, Principal
from aicore.log import SQLiteLog
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.port import Entry, Learned, Namespace
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import Request, ScriptedProvider

ANN = Principal("customer", "ann")
MESSAGES = [
    ("web:1", "My number is 0151 1111111. I prefer mornings."),
    ("web:1", "I am allergic to nuts."),
    ("web:2", "My number is 0151 2222222. I'm no longer vegetarian."),
]


class Dying(SQLiteMemory):
    """A store whose process may end before or after each of its writes."""

    def __init__(self, path: Path, die_at: int) -> None:
        super().__init__(path)
        self.left = die_at

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def add(
        self,
        namespace: Namespace,
        entries: Sequence[Entry],
        learned: Learned | None = None,
        *,
        made_of: Collection[str] = (),
    ) -> int:
        self.step()
        added = await super().add(namespace, entries, learned, made_of=made_of)
        self.step()
        return added

    async def supersede(
        self, namespace: Namespace, earlier_id: str, at_ms: int, later: Entry | None
    ) -> bool:
        self.step()
        done = await super().supersede(namespace, earlier_id, at_ms, later)
        self.step()
        return done


def answer(request: Request) -> str:
    return f"You said: {request.tail[-1].text}"


async def talk(folder: Path, die_at: int) -> None:
    memory = Memory(Dying(folder / "memory.db", die_at), limits=MemoryLimits(quiet_s=0))
    provider = ScriptedProvider([answer] * len(MESSAGES))
    async with Agent(provider=provider, log=SQLiteLog(folder / "log.db"), memory=memory) as agent:
        for number, (conversation, text) in enumerate(MESSAGES):
            await agent.send(
                text, conversation=conversation, principal=ANN, message_id=f"m{number}"
            )
        with anyio.fail_after(20):
            await memory.settled()


async def learn(folder: Path) -> None:
    memory = Memory(SQLiteMemory(folder / "memory.db"), limits=MemoryLimits(quiet_s=0))
    log = SQLiteLog(folder / "log.db")
    async with Agent(provider=ScriptedProvider([]), log=log, memory=memory):
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(30):
            await memory.settled()


def fork(work: Callable[..., Awaitable[None]], *arguments: object) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            anyio.run(work, *arguments)
            code = 0
        finally:
            os._exit(code)
    return child


def main() -> None:
    for line in sys.stdin:
        folder, die_at = line.split()
        if die_at == "learners":
            children = [fork(learn, Path(folder)) for _ in range(4)]
        else:
            children = [fork(talk, Path(folder), int(die_at))]
        ends = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
        said = {(0,): "ok", (-signal.SIGKILL,): "killed"}
        print(said.get(tuple(ends), f"failed {ends}"), flush=True)


if __name__ == "__main__":
    main()
