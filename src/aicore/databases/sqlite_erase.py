"""Erasing from a SQLite file so that nothing of it is left in the file's bytes.

`PRAGMA secure_delete` overwrites deleted rows, but not the copies that stay behind in the unused
part of a page when SQLite moves rows to a neighbouring one (seen with 3.40: about one row in a
thousand). So the file is written anew, and the write-ahead log emptied.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from aicore.databases.sqlite_thread import Job, commit_together
from aicore.errors import StoreBusy

__all__ = ["JobAlone", "commit_or_alone", "rewrite"]

T = TypeVar("T")

_GIVE_UP_S = 5.0


class JobAlone(Job[T]):
    """Work that begins and commits its own transactions, and runs once."""

    __slots__ = ()


def commit_or_alone(connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> None:
    """Do jobs in order, each JobAlone by itself and those between as `commit_together` does."""
    together: list[Job[Any]] = []
    for job in jobs:
        if not isinstance(job, JobAlone):
            together.append(job)
            continue
        if together:
            commit_together(connection, together)
        together = []
        _do_alone(connection, job)
    if together:
        commit_together(connection, together)


def rewrite(connection: sqlite3.Connection, what: object) -> None:
    """Write the file anew and empty its write-ahead log, outside any transaction.

    Takes time and free disk in proportion to the file. `what` names the file in the error.

    Raises: StoreBusy when a reader keeps earlier pages for five seconds; all is as it was then.
    """
    connection.execute("VACUUM")
    give_up_s = time.monotonic() + _GIVE_UP_S
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > give_up_s:
            raise StoreBusy(
                f"What was erased from the {what} is gone, but traces stay in its -wal file while "
                "another process reads. End that reading, then erase again.",
                retry_after_s=_GIVE_UP_S,
            )
        time.sleep(0.01)


def _do_alone(connection: sqlite3.Connection, job: Job[Any]) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        job.result = job.work(connection)
    except Exception as exc:  # noqa: BLE001  # boundary: goes to the caller of the job
        job.error = exc
    if connection.in_transaction:
        connection.execute("ROLLBACK")
