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

from aicore_tools.local_store import LocalStore

PROCESSES = 6


async def open_once(path: Path) -> None:
    async with LocalStore(path, migrations=[], business="b") as store:
        await store.read(lambda connection: connection.execute("SELECT 1").fetchone())


def child(path: Path, start: float) -> None:
    code = 1
    try:
        while time.time() < start:
            pass
        anyio.run(open_once, path)
        code = 0
    except Exception as error:  # noqa: BLE001  a process of its own: told to the test
        print(repr(error), flush=True)
    finally:
        os._exit(code)


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    for number in range(rounds):
        start = time.time() + 0.01
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
