"""A process that refunds a payment at the Stripe stand-in and waits long between attempts.

stripe_child.py FOLDER URL PAYMENT    started by test_stripe_once.py, which kills it
"""

import sys
from pathlib import Path

import anyio

from aicore_tools.connections import Connection
from aicore_tools.operations import Operation
from aicore_tools.payments.backends.stripe import StripeLedger
from aicore_tools.payments.records import EntryId, NewRefund
from aicore_tools.retries import Patience


async def main(folder: str, url: str, payment: str) -> None:
    fields = {"api_key": "sk_test_main", "base_url": url}
    ledger = StripeLedger(
        Connection(vendor="stripe", account="main", fields=fields),
        data_dir=Path(folder),
        business="main",
        patience=Patience(attempts=2, deadline_s=600, first_pause_s=300),
    )
    async with ledger:
        print("begun", flush=True)
        new = NewRefund(payment=EntryId(payment), amount_minor=1000, currency="EUR")
        await ledger.refund(new, Operation.of("test", {}, "k"))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
