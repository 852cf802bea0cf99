"""A process that uses a LocalLedger. Started by test_local_ledger.py.

ledger_child.py FOLDER race KEY N    waits for a line, then requests N payments
ledger_child.py FOLDER stop KEY      requests one, and stops before anybody hears of it

Prints each reference.
"""

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio

from aicore_tools.operations import Operation
from aicore_tools.payments.backends.local import LocalLedger, PayTerms
from aicore_tools.payments.records import Line, NewLink


async def main(folder: str, what: str, key: str, count: int) -> None:
    terms = PayTerms(instructions="Pay at the desk.", zone=ZoneInfo("UTC"))
    ledger = LocalLedger(Path(folder) / "payments.db", business="main", terms=terms)
    async with ledger:
        if what == "race":
            print("ready", flush=True)
            sys.stdin.readline()
        for number in range(count):
            new = NewLink(
                lines=(Line(description="Deposit", amount_minor=4500),),
                currency="EUR",
                customer="ann@example.com",
            )
            operation = Operation.of("test", {"number": number}, f"{key}-{number}")
            link = (await ledger.add_link(new, operation)).result
            print(link.reference, flush=True)
            if what == "stop":
                await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 1)
