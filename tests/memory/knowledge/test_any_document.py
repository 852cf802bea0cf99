"""Whatever is in a file, reading it gives passages within bounds, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicore.memory.knowledge.passages import MOST_CHARACTERS
from aicore.memory.knowledge.reading import read_document

PIECES = st.sampled_from(
    [
        *("# H\n", "\n\n", "---\n", "**Q?**\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "- item\n"),
        *("<table><tr><th>a</th></tr>", "</table>", "<tr><td>1</td><td>2</td></tr>", "<h2>x"),
        *("<p style='color:white'>", "<style>", "*{display:none}", "</style>", "<b>Why?</b>"),
        *("<!--", "-->", "<![CDATA[x]]>", "&#0;", "&amp", "<svg>", "</p>", "<br>", "<td>"),
        *(",", ";", '"', "\t", "|", "sep=;\n", "\r", "\r\n", "\x0c", "a,b\n1,2\n", "=", ":"),
        *("word " * 300, "x" * 1300, "\u200b", "\ud7ff", "\U000e0041", "ß", "漢字", "\x85", "?"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=20), max_size=25).map("".join)


@pytest.mark.parametrize("name", ["a.md", "a.html", "a.csv", "a.tsv", "a.txt"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "replace")))
def test_any_document(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    *passages, last = read_document(path, name)

    assert isinstance(last, dict)
    assert ("problem" in last) == (not passages)
    for passage in passages:
        text, place, context = passage
        text.encode()
        assert text.strip()
        assert place
        assert len(text) <= MOST_CHARACTERS + 7 * 253
        assert context.startswith("a")
