"""A program that spends from a ledger; the tests run several of them at once, and kill some.

    spender_process.py URL LIMIT AMOUNT COUNT [die]

Says "ready", waits for a line on stdin, tries COUNT times to reserve AMOUNT of LIMIT a day and
prints how often it could. With `die` it settles nothing and ends by a signal; otherwise it
settles every second reservation for nothing.
"""

import os
import signal
import sys
from datetime import date
from decimal import Decimal

import anyio

from aicore.errors import BudgetReached
from aicore.models.budget import BudgetLimits, open_ledger
from aicore.models.port import Origin

TODAY = date(2026, 11, 21)
ORIGIN = Origin(business="dental", conversation="web:1", turn=1)


async def main(url: str, limit: str, amount: str, count: str, ending: str = "") -> None:
    limits = BudgetLimits(day_usd=Decimal(limit))
    kept = 0

    async def ask(number: int) -> None:
        nonlocal kept
        try:
            reservation = await ledger.reserve(ORIGIN, Decimal(amount), limits, day=TODAY)
        except BudgetReached:
            return
        if ending == "die" or number % 2:
            kept += 1
        else:
            await ledger.settle(reservation, Decimal(0))

    async with open_ledger(url) as ledger:
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as group:
            for number in range(int(count)):
                group.start_soon(ask, number)
        print(kept, flush=True)
        if ending == "die":
            os.kill(os.getpid(), signal.SIGKILL)


anyio.run(lambda: main(*sys.argv[1:]))
