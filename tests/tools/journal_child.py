"""Begins an effect and is killed in the middle, or waits in the middle until told to go on."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio

from aicore_tools.journal import Claim, EffectJournal, Procedure
from aicore_tools.operations import Operation


async def main(path: Path, desk: Path, how: str) -> None:
    async def perform(claim: Claim) -> dict[str, Any]:
        await claim.note(step="sending")
        if how == "after":
            (desk / claim.key).write_text("sent")
        if how == "wait":
            sys.stdout.write("in the middle\n")
            sys.stdout.flush()
            await anyio.to_thread.run_sync(sys.stdin.readline)
            return {"by": "child"}
        os.kill(os.getpid(), 9)
        return {}

    async def reconcile(_: Claim) -> dict[str, Any] | None:
        return None

    send = Procedure(name="send", perform=perform, reconcile=reconcile)
    operation = Operation.of("mail_send", {"draft_id": "7"}, "turn-1:0")
    async with EffectJournal(path, business="lakeside", procedures=[send]) as journal:
        await journal.effect(operation, "send", {"draft_id": "7"})


anyio.run(main, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
