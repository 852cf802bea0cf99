"""PDF as blocks: the text of its pages. Needs the extra `pdf`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from aicore.memory.knowledge.passages import Block, Contents, UnreadableError, tidied

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = ["read_pdf"]

_MOST_PAGES = 2000
_SHOWN_PAGES = 10
_GAP = re.compile(r"\n\s*\n")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_A-Z])")


def read_pdf(data: bytes) -> Contents:
    """Read the text of every page. Raises: UnreadableError, also when pypdf is not installed."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import LimitReachedError, PyPdfError
    except ModuleNotFoundError as exc:
        raise UnreadableError("needs the extra aicore-mcp[pdf]. Install it.") from exc
    try:
        reader = PdfReader(BytesIO(data))
        _unlock(reader)
        pages = len(reader.pages)
        if pages > _MOST_PAGES:
            raise UnreadableError(f"has {pages} pages, more than {_MOST_PAGES}. Split it.")
        texts = [tidied(page.extract_text()) for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "")
    except LimitReachedError as exc:
        raise UnreadableError("unpacks to more than any document needs. Remove it.") from exc
    except PyPdfError as exc:
        raise UnreadableError("is a broken PDF. Save it anew.") from exc
    return Contents(list(_blocks(texts)), title, _notes(texts))


def _unlock(reader: PdfReader) -> None:
    """Many are encrypted under an empty password, so that they open but do not print."""
    from pypdf.errors import DependencyError

    if not reader.is_encrypted:
        return
    try:
        is_open = bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError) as exc:
        raise UnreadableError(
            "is encrypted in a way that cannot be read. Save it without protection."
        ) from exc
    if not is_open:
        raise UnreadableError("is protected by a password. Save it without one.")


def _blocks(texts: list[str]) -> Iterator[Block]:
    for number, text in enumerate(texts, start=1):
        page = f"page {number}"
        for paragraph in _GAP.split(_HYPHEN.sub("", text)):
            # A page is no heading: it is cited, but not told.
            yield Block(text=paragraph, place=page)


def _notes(texts: list[str]) -> list[str]:
    empty = [str(number) for number, text in enumerate(texts, start=1) if not text]
    if not texts or len(empty) == len(texts):
        raise UnreadableError(
            "has no text, only pictures: it was scanned. Let a text recognition (OCR) save it anew."
        )
    if not empty:
        return []
    more = " and more" if len(empty) > _SHOWN_PAGES else ""
    return [f"has no text on page {', '.join(empty[:_SHOWN_PAGES])}{more}."]
