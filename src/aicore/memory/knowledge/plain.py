"""Plain text as blocks: its paragraphs."""

from __future__ import annotations

import re

from aicore.memory.knowledge.decoding import decoded
from aicore.memory.knowledge.passages import Block, Contents

__all__ = ["read_plain"]

_GAP = re.compile(r"\n\s*\n")


def read_plain(data: bytes) -> Contents:
    """Read paragraphs, which empty lines set apart. Raises: UnreadableError."""
    text = decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    return Contents([Block(text=paragraph) for paragraph in _GAP.split(text)])
