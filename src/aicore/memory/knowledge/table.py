"""CSV as blocks: every row keeps the names of its columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice

from aicore.memory.knowledge.decoding import decoded
from aicore.memory.knowledge.passages import MOST_PASSAGES, Block, Contents, UnreadableError

__all__ = ["read_table", "row_text"]

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 50_000
_DECLARED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


def read_table(data: bytes) -> Contents:
    """Read CSV with any usual delimiter. The first row that is not empty names the columns.

    Rows are numbered as a spreadsheet shows them, so the first below the names is "row 2".
    Raises: UnreadableError.
    """
    text = decoded(data)
    declared = _DECLARED.match(text)
    if declared is not None:  # how Excel is told; it does not show this line
        text = text[declared.end() :]
    try:
        blocks = _blocks(text, declared[1] if declared else _delimiter(text))
        return Contents(list(islice(blocks, MOST_PASSAGES + 1)))
    except csv.Error as exc:
        raise UnreadableError(f"is no table that can be read: {exc}.") from exc


def row_text(names: Sequence[str], cells: Sequence[str]) -> str:
    """A row as "name: value; name: value", without empty cells; more cells than names have none."""
    named = zip((*names, *[""] * (len(cells) - len(names))), cells, strict=False)
    parts = (f"{name}: {cell}" if name else cell for name, cell in named if cell)
    return "; ".join(parts)


def _blocks(text: str, delimiter: str) -> Iterator[Block]:
    names: list[str] | None = None
    for number, row in enumerate(_rows(text, delimiter), start=1):
        cells = [" ".join(cell.split()) for cell in row]
        if not any(cells):
            continue
        if names is None:
            names = cells
            continue
        lead = row_text(names[:1], cells[:1])
        yield Block(text=row_text(names, cells), place=f"row {number}", lead=lead, is_alone=True)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(StringIO(text, newline=""), delimiter=delimiter)


def _delimiter(text: str) -> str:
    """The one that cuts most of the first rows into the same number of cells, two at least."""
    sample = text[:_SAMPLE_CHARACTERS]
    return max(_DELIMITERS, key=lambda delimiter: _fit(sample, delimiter))


def _fit(text: str, delimiter: str) -> tuple[int, int]:
    widths = [len(row) for row in islice(_rows(text, delimiter), _SAMPLE_ROWS)]
    widths = [width for width in widths if width]
    if not widths or widths[0] < 2:
        return (0, 0)
    return (sum(width == widths[0] for width in widths), widths[0])
