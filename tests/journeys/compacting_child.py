"""A process that talks until its conversation is compacted: `PATH DIE`, DIE before, after or never.

It kills itself with SIGKILL before or after the summary is written, and prints what its last
request held: the summary's text, or an empty line.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel

from aicore import Agent, ContextLimits
from aicore.log import SQLiteLog
from aicore.log.events import Body, Summarized
from aicore.log.port import Claim
from aicore.models import ScriptedProvider

SMALL = ContextLimits(compact_at_tokens=600, keep_tokens=150, keep_turns=2)


class DyingLog(SQLiteLog):
    """Ends its process at the first summary."""

    die = "never"
    is_compacted = False

    async def append(self, claim: Claim, turn: int, bodies: Sequence[Body]) -> Claim:
        is_summary = isinstance(bodies[0], Summarized)
        if is_summary and self.die == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        claim = await super().append(claim, turn, bodies)
        if is_summary and self.die == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        self.is_compacted = self.is_compacted or is_summary
        return claim


async def talk(path: Path, die: str) -> None:
    log = DyingLog(path)
    log.die = die
    provider = ScriptedProvider(["I see, and will think about it. " * 3] * 100)
    async with Agent(provider=provider, log=log, context=SMALL) as agent:
        for number in range(20):
            await agent.send(f"This is what I say, number {number}. " * 3, conversation="web:1")
            if die != "never":
                continue
            with anyio.fail_after(20):
                while provider.requests[-1].summary is None and not log.is_compacted:
                    await anyio.lowlevel.checkpoint()
            break
        await agent.send("One more thing.", conversation="web:1")
    summary = provider.requests[-1].summary
    print("" if summary is None else summary.text.splitlines()[0])


if __name__ == "__main__":
    anyio.run(talk, Path(sys.argv[1]), sys.argv[2])
