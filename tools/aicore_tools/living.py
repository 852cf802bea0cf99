"""Which processes still live, told by locks that the system drops when a process ends."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import fcntl
except ModuleNotFoundError:  # Windows: every other owner counts as ended, see `is_alive`
    fcntl = None  # type: ignore[assignment] # the module is optional

__all__ = ["Owner"]


class Owner:
    """One owner of work in `folder`, alive from entering until it is left or its process ends.

    `token` names it in whatever is stored. Entering makes the folder. Blocks for milliseconds:
    call it in a worker thread.
    """

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(8)
        self.folder = folder
        self._file: int | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        while self._file is None:
            self._file = self._locked()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            with suppress(OSError):  # another's sweep may be at it
                (self.folder / self.token).unlink()

    def is_alive(self, token: str) -> bool:
        """Tell whether the owner of that token still lives on this machine.

        Where the system has no such locks (Windows) only this owner itself counts as alive.
        """
        if token == self.token:
            return self._file is not None
        return _is_held(self.folder / token)

    def _locked(self) -> int | None:
        path = self.folder / self.token
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_same(path, file):
            return file
        os.close(file)  # another owner's sweep took it for a dead one's before it was locked
        return None

    def _sweep(self) -> None:
        for path in self.folder.iterdir():
            with suppress(OSError):  # not ours to remove, or no file; BlockingIOError: it lives
                _remove_dead(path)


def _remove_dead(path: Path) -> None:
    """Remove it while it is locked: whoever waits for that lock then sees that it is gone."""
    file = os.open(path, os.O_RDWR)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(file)


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's: not known to be dead
    try:
        if fcntl is None:
            return False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _is_same(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
