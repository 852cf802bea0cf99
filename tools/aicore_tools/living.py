"""Which processes still live, told by locks that the system drops when a process ends."""

from __future__ import annotations

import os
import secrets
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
        self._folder = folder
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
            (self._folder / self.token).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def is_alive(self, token: str) -> bool:
        """Tell whether the owner of that token still lives on this machine.

        Where the system has no such locks (Windows) only this owner itself counts as alive.
        """
        if token == self.token:
            return self._file is not None
        return _is_held(self._folder / token)

    def _locked(self) -> int | None:
        path = self._folder / self.token
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_same(path, file):
            return file
        os.close(file)  # another owner's sweep took it for a dead one's before it was locked
        return None

    def _sweep(self) -> None:
        for path in self._folder.iterdir():
            if not _is_held(path):
                path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
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
