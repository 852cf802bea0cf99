"""The text in a file whose encoding nobody told."""

from __future__ import annotations

import codecs
import re

from aicore.memory.knowledge.passages import UnreadableError

__all__ = ["decoded"]

# The longer first: the mark of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.I
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD_BYTES = 2048


def decoded(data: bytes, *, is_markup: bool = False) -> str:
    """Decode by its mark, what markup declares, as UTF-8, or as Windows' Latin-1, in this order.

    Raises: UnreadableError for what is no text.
    """
    text = _by_mark(data)
    if text is None:
        text = _by_trial(data, _declared(data) if is_markup else None)
    if len(_CONTROLS.findall(text)) > len(text) // 1000:
        raise UnreadableError("is no text, whatever its name says. Remove it, or name it rightly.")
    return text


def _by_mark(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return None


def _by_trial(data: bytes, declared: str | None) -> str:
    for encoding in filter(None, ("utf-8", declared, "cp1252")):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:_HEAD_BYTES])
    if found is None:
        return None
    try:
        codec = codecs.lookup(found[1].decode("ascii", "replace"))
    except LookupError:
        return None
    # Python knows codecs that are none of text, such as zip.
    return codec.name if getattr(codec, "_is_text_encoding", True) else None
