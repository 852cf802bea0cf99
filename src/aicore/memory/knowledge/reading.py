"""The program that reads documents: `python -m aicore.memory.knowledge.reading`.

A document may be made to break whoever reads it. So it is read in a process that holds nothing
and may be killed: see `DocumentReader`, which starts it. Requests come as lines of JSON on the
standard input, `{"path", "name", "known"}`. Each is answered by a line for every passage,
`[text, place, context]`, and a last one, an object: `{"digest", "notes"}`, with `same` where
the content is the one that is known; or `{"problem"}`. What a library raises over a broken
document ends the process, and is its answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aicore.memory.knowledge.passages import (
    MOST_PASSAGES,
    Contents,
    Passage,
    UnreadableError,
    passages_of,
)

__all__ = ["read_document", "suffixes"]

# A PDF is large by its pictures. Five megabytes of text are two thousand pages.
_MOST_MEGABYTES = {".pdf": 20}
_MOST_MEGABYTES_OF_TEXT = 5
_MEMORY_BYTES = 2 * 1024**3
_NICENESS = 5
_MEGABYTE = 1024 * 1024


def suffixes() -> frozenset[str]:
    """The endings of names, in lower case, that are read as documents."""
    return frozenset(_FORMATS)


def read_document(path: Path, name: str, known: str = "") -> Iterator[list[str] | dict[str, Any]]:
    """Read a document; gives the answer as described above."""
    try:
        data = _bytes(path, _MOST_MEGABYTES.get(path.suffix.lower(), _MOST_MEGABYTES_OF_TEXT))
        digest = hashlib.sha256(data).hexdigest()
        if digest == known:
            yield {"digest": digest, "notes": [], "same": True}
            return
        contents = _FORMATS[path.suffix.lower()](data)
        for passage in _bounded(passages_of(contents, name)):
            yield [passage.text, passage.place, passage.context]
        yield {"digest": digest, "notes": list(contents.notes)}
    except UnreadableError as exc:
        yield {"problem": str(exc)}


def _bounded(passages: Iterator[Passage]) -> Iterator[Passage]:
    count = 0
    for count, passage in enumerate(passages, start=1):
        if count > MOST_PASSAGES:
            raise UnreadableError(
                f"gives more than {MOST_PASSAGES} passages. Split it; a large table belongs "
                "behind a tool."
            )
        yield passage
    if not count:
        raise UnreadableError("has no text.")


def _bytes(path: Path, most_megabytes: int) -> bytes:
    """Read a whole file that nobody is writing meanwhile."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            megabytes = before.st_size / _MEGABYTE
            if megabytes > most_megabytes:
                raise UnreadableError(
                    f"has {megabytes:.0f} MB, more than {most_megabytes} MB. Split it."
                )
            data = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
    except OSError as exc:
        raise UnreadableError(f"cannot be opened: {exc.strerror}.") from exc
    if len(data) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise UnreadableError("is being written.")
    return data


def _read_table(data: bytes) -> Contents:
    from aicore.memory.knowledge.table import read_table

    return read_table(data)


def _read_plain(data: bytes) -> Contents:
    from aicore.memory.knowledge.plain import read_plain

    return read_plain(data)


def _read_markdown(data: bytes) -> Contents:
    from aicore.memory.knowledge.markdown import read_markdown

    return read_markdown(data)


def _read_web_page(data: bytes) -> Contents:
    from aicore.memory.knowledge.web_page import read_web_page

    return read_web_page(data)


def _read_pdf(data: bytes) -> Contents:
    from aicore.memory.knowledge.pdf import read_pdf

    return read_pdf(data)


_FORMATS: dict[str, Callable[[bytes], Contents]] = {
    ".csv": _read_table,
    ".htm": _read_web_page,
    ".html": _read_web_page,
    ".markdown": _read_markdown,
    ".md": _read_markdown,
    ".pdf": _read_pdf,
    ".tsv": _read_table,
    ".txt": _read_plain,
}


def _step_back() -> None:
    """Take a bounded share of the machine, and never before whoever answers customers."""
    if sys.platform == "win32":
        return  # has neither limit; the deadline holds there too
    import resource

    with suppress(ValueError, OSError):  # they are lower already
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.nice(_NICENESS)


def main() -> None:
    """Answer requests until the standard input ends."""
    _step_back()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        for answer in read_document(Path(asked["path"]), asked["name"], asked["known"]):
            sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
