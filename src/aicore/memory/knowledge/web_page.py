"""HTML as blocks: what a visitor sees, under its headings; never what is hidden."""

from __future__ import annotations

from bs4 import Tag
from bs4.element import CData, NavigableString, PageElement

from aicore.memory.knowledge.decoding import decoded
from aicore.memory.knowledge.hidden import take_out_hidden
from aicore.memory.knowledge.passages import Block, Contents, tidied
from aicore.memory.knowledge.table import row_text
from aicore.memory.knowledge.web_table import Page, rows_of

__all__ = ["read_markup", "read_web_page"]

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption
    figure footer form header hr legend li main ol p pre section summary table tbody td tfoot th
    thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_STRONG = frozenset(("b", "strong"))


def read_web_page(data: bytes) -> Contents:
    """Read a page. Raises: UnreadableError."""
    return read_markup(decoded(data, is_markup=True))


def read_markup(markup: str) -> Contents:
    """Read markup that is decoded already."""
    soup = Page(markup, "html.parser")
    title = soup.title.get_text() if soup.title else ""
    take_out_hidden(soup)
    walk = _Walk()
    walk.through(soup)
    return Contents(walk.blocks, title)


class _Walk:
    """Goes through a page in reading order, without recursion: pages nest as deep as they like."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._headings: dict[int, str] = {}
        self._words: list[str] = []
        self._is_bare = False

    def through(self, root: Tag) -> None:
        todo: list[PageElement | None] = [root]
        while todo:
            node = todo.pop()
            if node is None:  # a block ends here
                self._end_block()
            elif isinstance(node, Tag):
                self._enter(node, todo)
            elif type(node) in (NavigableString, CData):  # not a comment or a doctype
                self._words.append(" ".join(f"_{node}_".split())[1:-1])
        self._end_block()
        self._end_heading()

    def _enter(self, tag: Tag, todo: list[PageElement | None]) -> None:
        if tag.name in _HEADINGS:
            self._end_block()
            self._set_heading(_HEADINGS[tag.name], tidied(tag.get_text(" ")))
            return
        if tag.name == "table" and self._took_table(tag):
            return
        if tag.name == "br":
            self._words.append("\n")
        if tag.name in _STRONG and self._took_question(tag):
            return
        if tag.name in _BLOCKS:
            self._end_block()
            todo.append(None)
        todo.extend(reversed(tag.contents))

    def _set_heading(self, level: int, text: str) -> None:
        if level <= max(self._headings, default=0):
            self._end_heading()
        self._headings = {one: kept for one, kept in self._headings.items() if one < level}
        if text:
            self._headings[level] = text
            self._is_bare = True

    def _end_heading(self) -> None:
        """A heading with nothing below it says something itself."""
        if self._is_bare:
            *above, text = self._section()
            self._add(Block(text=text, section=tuple(above)))

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        self._is_bare = False

    def _took_question(self, tag: Tag) -> bool:
        """A question in bold that begins a paragraph stands on a line of its own."""
        text = tidied(tag.get_text(" "))
        if not text.endswith("?") or "".join(self._words).strip():
            return False
        self._words.append(f"{text}\n")
        return True

    def _took_table(self, table: Tag) -> bool:
        rows = rows_of(table)
        if rows is None:
            return False
        self._end_block()
        for number, parts in rows:
            names, texts = [name for name, _ in parts], [text for _, text in parts]
            self._add_row(row_text(names, texts), f"row {number}")
        return True

    def _add_row(self, text: str, place: str) -> None:
        lead = text.partition("; ")[0]
        self._add(Block(text=text, section=self._section(), place=place, lead=lead, is_alone=True))

    def _end_block(self) -> None:
        text = "".join(self._words)
        self._words = []
        if not text.strip():
            return
        self._add(Block(text=text, section=self._section()))

    def _section(self) -> tuple[str, ...]:
        return tuple(self._headings[level] for level in sorted(self._headings))
