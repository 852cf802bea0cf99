"""A process that uses a LocalStore. Started by test_local_store.py.

store_child.py PATH effect KEY N       does one effect N times, says what each gave
store_child.py PATH pause-before KEY   stops inside the transaction until it is killed
store_child.py PATH pause-after KEY    stops after the effect, before anybody hears of it
"""

import sqlite3
import sys
import time
from pathlib import Path

import anyio

from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Operation

MIGRATIONS = ("CREATE TABLE note (business TEXT NOT NULL, text TEXT NOT NULL) STRICT;",)


def say_and_stop(word: str) -> None:
    print(word, flush=True)
    time.sleep(60)


async def main(path: str, what: str, key: str, repeats: int) -> None:
    def change(connection: sqlite3.Connection) -> dict[str, int]:
        connection.execute("INSERT INTO note VALUES ('main', 'x')")
        if what == "pause-before":
            say_and_stop("inside")
        return {"notes": connection.execute("SELECT count(*) FROM note").fetchone()[0]}

    async with LocalStore(Path(path), migrations=MIGRATIONS, business="main") as store:
        for _ in range(repeats):
            effect = await store.effect(Operation.of("note", {"text": "x"}, key), change)
            if what == "pause-after":
                say_and_stop("done")
            print(effect.result["notes"], effect.is_replay, flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 1)
