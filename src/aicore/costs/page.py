"""A report as one HTML file that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from aicore.costs.wording import Section

__all__ = ["page"]

_STYLE = """
body { font-family: sans-serif; color: #222; background: #fff }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid #ddd }
.text { text-align: left }
svg { max-width: 100%; height: auto }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(sections: Sequence[Section], charts: Sequence[str]) -> str:
    """Charts first (SVG, as it is), then the sections."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>What models cost</title><style>{_STYLE}</style></head><body>",
            "<h1>What models cost</h1>",
            *(f"<figure>{chart}</figure>" for chart in charts),
            *(line for section in sections for line in _section(section)),
            "</body></html>",
            "",
        ]
    )


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{_escaped(section.title)}</h2>"
    if section.rows:
        yield "<table>"
        for number, row in enumerate(section.rows):
            tag = "th" if section.has_head and not number else "td"
            yield f"<tr>{''.join(_cells(row, tag, section.text_columns))}</tr>"
        yield "</table>"
    for note in section.notes:
        yield f"<p>{_escaped(note)}</p>"


def _cells(row: Sequence[str], tag: str, text_columns: int) -> Iterator[str]:
    for number, cell in enumerate(row):
        kind = ' class="text"' if number < text_columns else ""
        yield f"<{tag}{kind}>{_escaped(cell)}</{tag}>"


def _escaped(text: str) -> str:
    return escape("".join(char if char.isprintable() else "?" for char in text))
