"""Markdown, read as the web page that it stands for: one rule for headings, tables and hiding."""

from __future__ import annotations

from aicore.memory.knowledge.decoding import decoded
from aicore.memory.knowledge.passages import Contents
from aicore.memory.knowledge.web_page import read_markup

__all__ = ["read_markdown"]


def read_markdown(data: bytes) -> Contents:
    """Read CommonMark with tables. Raises: UnreadableError."""
    from markdown_it import MarkdownIt

    # Line ends are kept: a question that stands above its answer is known by them.
    renderer = MarkdownIt("commonmark", {"breaks": True}).enable("table")
    return read_markup(renderer.render(_without_front_matter(decoded(data))))


def _without_front_matter(text: str) -> str:
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != "---":
        return text
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() in ("---", "..."):
            return "".join(lines[number + 1 :])
        if line.strip() and ":" not in line and not line.startswith((" ", "-", "#")):
            break  # a rule above prose
    return text
