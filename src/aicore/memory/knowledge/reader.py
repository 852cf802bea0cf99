"""Reads documents in a process of its own, which is killed when a document is too much for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from aicore.errors import TemporaryError
from aicore.memory.knowledge.passages import Passage, UnreadableError

__all__ = ["DocumentReader", "Read"]

_COMMAND = (sys.executable, "-P", "-m", "aicore.memory.knowledge.reading")
_NEEDED = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "SYSTEMROOT",
    "TMPDIR",
    "TEMP",
)
_LONGEST_LINE = 1024 * 1024
_BROKEN = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read. `is_same`: the content is the known one, and was not looked at."""

    digest: str
    passages: list[Passage] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    is_same: bool = False


class DocumentReader:
    """Enter it, then read one document after the other. The process starts with the first."""

    def __init__(self, *, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._process: Process | None = None
        self._answers: BufferedByteReceiveStream | None = None

    async def read(self, path: Path, name: str, known: str) -> Read:
        """Read a document. `known` is the digest of the content that was read last, or "".

        Raises: UnreadableError, saying why; TemporaryError when no process can be started.
        """
        try:
            with anyio.fail_after(self._deadline_s):
                return await self._read(path, name, known)
        except TimeoutError as exc:
            await self._kill()
            raise UnreadableError(
                f"took longer than {self._deadline_s:g} s to read. Split it, or save it anew."
            ) from exc
        except _BROKEN as exc:
            await self._kill()
            raise UnreadableError(
                "is broken, or takes more memory than there is. Save it anew."
            ) from exc
        except OSError as exc:
            await self._kill()
            raise TemporaryError(
                "No process can be started to read documents; it is tried again."
            ) from exc
        except UnreadableError:
            raise  # its own answer: the process is well
        except BaseException:
            # What is left of its answer must not be taken for the next one's.
            await self._kill()
            raise

    async def _read(self, path: Path, name: str, known: str) -> Read:
        process, answers = await self._started()
        asked = {"path": str(path), "name": name, "known": known}
        assert process.stdin is not None  # noqa: S101  it was opened as a pipe
        await process.stdin.send(json.dumps(asked).encode() + b"\n")
        passages = []
        while isinstance(answer := await _next(answers), list):
            passages.append(Passage(*answer))
        if "problem" in answer:
            raise UnreadableError(answer["problem"])
        return Read(
            digest=answer["digest"],
            passages=passages,
            notes=tuple(answer["notes"]),
            is_same=answer.get("same", False),
        )

    async def _started(self) -> tuple[Process, BufferedByteReceiveStream]:
        if self._process is None or self._answers is None:
            # Cancelled half way, the started process would have no owner. It is quick.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    _COMMAND, stderr=subprocess.DEVNULL, env=_environment()
                )
            assert process.stdout is not None  # noqa: S101  it was opened as a pipe
            self._process = process
            self._answers = BufferedByteReceiveStream(process.stdout)
        return self._process, self._answers

    async def _kill(self) -> None:
        process, self._process, self._answers = self._process, None, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._kill()


def _environment() -> dict[str, str]:
    """What Python needs to start, and nothing else: a hostile document finds no key in it."""
    return {name: os.environ[name] for name in _NEEDED if name in os.environ}


async def _next(answers: BufferedByteReceiveStream) -> Any:
    return json.loads(await answers.receive_until(b"\n", _LONGEST_LINE))
