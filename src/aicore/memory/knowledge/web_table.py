"""Tables of web pages as they are shown: cells that span rows and columns, end tags left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bs4 import BeautifulSoup, Tag

from aicore.memory.knowledge.passages import tidied

__all__ = ["Page", "Row", "rows_of"]

_MOST_COLUMNS = 200
_MOST_ROWS = 5_000
_CELLS = ("td", "th")
_SECTIONS = ("thead", "tbody", "tfoot")
# What is open in a table ends where one of these begins; end tags may be left out (HTML, 13.1.2.4).
_ENDED_BY = {
    **dict.fromkeys(_CELLS, frozenset(_CELLS)),
    "tr": frozenset(("tr", *_CELLS)),
    **dict.fromkeys(_SECTIONS, frozenset((*_SECTIONS, "tr", *_CELLS))),
}


class Page(BeautifulSoup):
    """A page whose cells and rows end where the next ones begin, as browsers have it."""

    def handle_starttag(self, name: str, *args: Any, **named: Any) -> Tag | None:
        """Begin an element; first end what ends by that."""
        if name in _ENDED_BY:
            self._end(_ENDED_BY[name])
        return super().handle_starttag(name, *args, **named)

    def _end(self, names: frozenset[str]) -> None:
        first = len(self.tagStack)
        for place in range(len(self.tagStack) - 1, -1, -1):
            if self.tagStack[place].name == "table":
                break
            if self.tagStack[place].name in names:
                first = place
        else:
            return  # no table is open
        if first < len(self.tagStack):
            self.endData()
            while len(self.tagStack) > first:
                self.popTag()


class _Cell(NamedTuple):
    column: int
    span: int
    text: str


class Row(NamedTuple):
    """A row below the names: its number, counted from 1 with those, and its named cells."""

    number: int
    parts: Sequence[tuple[str, str]]


def rows_of(table: Tag) -> list[Row] | None:
    """The rows of a table that has columns; None for one that only places things on the page.

    A cell that spans columns has the names of all of them; one that spans rows is in each.
    """
    found = [row for row in table.find_all("tr") if row.find_parent("table") is table]
    cells = [row.find_all(_CELLS, recursive=False) for row in found]
    if table.find("table") is not None or max(map(len, cells), default=0) < 2:
        return None
    names: dict[int, str] = {}
    rows: list[Row] = []
    is_head = True
    for number, (tags, shown) in enumerate(zip(cells, _laid_out(cells), strict=True), start=1):
        # A second row of names is below ones that span.
        is_head = is_head and bool(tags) and all(tag.name == "th" for tag in tags)
        is_head = is_head and (number == 1 or _spans(cells[number - 2]))
        if is_head:
            _add_names(names, shown)
        else:
            rows.append(Row(number, [(_name(names, cell), cell.text) for cell in shown]))
    return rows


def _laid_out(rows: Sequence[Sequence[Tag]]) -> Iterator[list[_Cell]]:
    """The cells of each row at their columns, with those that reach into it from above."""
    above: list[tuple[int, _Cell]] = []
    for tags in rows:
        shown = [cell for _, cell in above]
        taken = {column for cell in shown for column in range(cell.column, cell.column + cell.span)}
        above = [(left - 1, cell) for left, cell in above if left > 1]
        column = 0
        for tag in tags:
            while column in taken:
                column += 1
            text = tidied(tag.get_text(" ")).replace("\n", " ")
            cell = _Cell(column, _span(tag, "colspan", _MOST_COLUMNS), text)
            shown.append(cell)
            height = _span(tag, "rowspan", _MOST_ROWS)
            if height > 1:
                above.append((height - 1, cell))
            column += cell.span
        yield sorted(shown)


def _span(tag: Tag, name: str, most: int) -> int:
    value = str(tag.get(name) or "1").strip()
    if not value.isdecimal():
        return 1
    # 0 rows are all that are left.
    return min(int(value[:6]), most) or (most if name == "rowspan" else 1)


def _spans(tags: Sequence[Tag]) -> bool:
    return any(_span(tag, name, 2) > 1 for tag in tags for name in ("colspan", "rowspan"))


def _add_names(names: dict[int, str], shown: Sequence[_Cell]) -> None:
    for cell in shown:
        for column in range(cell.column, cell.column + cell.span):
            known = names.get(column, "")
            if cell.text not in (known, ""):
                names[column] = f"{known} {cell.text}".strip()


def _name(names: dict[int, str], cell: _Cell) -> str:
    spanned = (names.get(column, "") for column in range(cell.column, cell.column + cell.span))
    return ", ".join(dict.fromkeys(name for name in spanned if name))
