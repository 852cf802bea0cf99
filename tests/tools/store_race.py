"""Many processes make the same new file at the same moment, again and again.

    store_race.py FOLDER ROUNDS

Prints what went wrong, one line each. Processes are forked, so that they start together.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import anyio
import anyio._backends._asyncio  # before the forks: it would be most of their time
import anyio.to_thread

from aicore_tools.local_store import LocalStore

PROCESSES = 3
LEAD_S = 0.02


async def open_at(path: Path, start: float) -> None:
    await anyio.to_thread.run_sync(int)  # the store works in this thread
    while time.time() < start:  # nothing but opening is left to do
        pass
    async with LocalStore(path, migrations=[], business="b") as store:
        await store.read(lambda connection: connection.execute("SELECT 1").fetchone())


def child(path: Path, start: float) -> None:
    code = 1
    try:
        anyio.run(open_at, path, start)
        code = 0
    except Exception as error:  # noqa: BLE001  a process of its own: told to the test
        print(repr(error), flush=True)
    finally:
        os._exit(code)


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    for number in range(rounds):
        start = time.time() + LEAD_S
        pids = []
        for _ in range(PROCESSES):
            pid = os.fork()
            if pid == 0:
                child(folder / f"{number}.db", start)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
