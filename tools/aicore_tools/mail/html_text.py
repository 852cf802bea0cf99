"""HTML mails as plain text: what a person would see, no script, no hidden words."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

__all__ = ["html_to_text"]

_DROPPED = {"script", "style", "head", "title", "template", "noscript", "object", "svg"}
_VOID = {
    "br",
    "hr",
    "img",
    "input",
    "link",
    "meta",
    "area",
    "base",
    "col",
    "embed",
    "source",
    "wbr",
}
_BLOCKS = {
    *("p", "div", "section", "article", "header", "footer", "table", "tr", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "form", "dl", "dt", "dd", "hr"),
}
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])"
)

_SPACE = re.compile(r"[ \t\r\f\v\u00a0\u200b-\u200f]+")


def html_to_text(html: str) -> str:
    """Give the visible text, one line a block; a link shows its address once."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (
        re.sub(r"[ \t\r\f\v\u00a0\u200b-\u200f]+", " ", line).strip() for line in reader.lines()
    )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # tag, and whether it hides what is inside
        self._counts: Counter[str] = Counter()
        self._hidden = 0
        self._link: tuple[str, int] | None = None

    def lines(self) -> list[str]:
        return "".join(self._parts).split("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "body":
            self._close_until("head")  # many mails never close it
        if tag not in _VOID:
            hides = tag in _DROPPED or "hidden" in given
            hides = hides or bool(_HIDDEN.search(given.get("style", "").lower()))
            self._open.append((tag, hides))
            self._counts[tag] += 1
            self._hidden += hides
        if self._hidden:
            return
        if tag == "br" or tag in _BLOCKS:
            self._parts.append("\n")
        if tag == "li":
            self._parts.append("- ")
        elif tag in ("td", "th"):
            self._parts.append(" ")
        elif tag == "a" and given.get("href", "").startswith(("http://", "https://", "mailto:")):
            self._link = (given["href"], len(self._parts))
        elif tag == "img" and given.get("alt"):
            self._parts.append(f"[{given['alt']}]")

    def handle_endtag(self, tag: str) -> None:
        if not self._counts[tag]:
            return
        if tag == "a" and self._link is not None:
            address, start = self._link
            if address.removeprefix("mailto:") not in "".join(self._parts[start:]):
                self._parts.append(f" ({address})")
            self._link = None
        self._close_until(tag)
        if not self._hidden and tag in _BLOCKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(data if self._counts["pre"] else re.sub(r"\s+", " ", data))

    def _close_until(self, tag: str) -> None:
        """Close everything up to the last open `tag`, if there is one."""
        while self._counts[tag]:
            name, hides = self._open.pop()
            self._counts[name] -= 1
            self._hidden -= hides
            if name == tag:
                break
