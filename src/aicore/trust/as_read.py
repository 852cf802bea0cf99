r"""A text as a person reads it, for looking in it: places are given in the text as it is written.

What is invisible goes (zero-width and direction marks, soft hyphens), spaces, dashes, apostrophes
and letters of any form become the plain ones, and what is written by a code is read: escapes of
JSON (`\n`, `\u00fc`), of links (`%40`) and of HTML (`&uuml;`), which otherwise hide a value or
grow together with its first word.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from urllib.parse import unquote

__all__ = ["AsRead", "decoded"]

_CODES = (
    r"(?<!\\)\\+(?:u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[nrtbf\"/])"
    r"|%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){1,3}|%[2-7][0-9A-Fa-f]"
    r"|&(?:\#[0-9]{1,6}|\#[xX][0-9A-Fa-f]{1,5}|[A-Za-z]{2,8});"
)
_UNSEEN = (
    "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufe00-\ufe0f\ufeff"
)
_SPACES = " \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_FORMS = "\uff01-\uff5e\U0001d400-\U0001d7ff"
_CODE = re.compile(_CODES)
_ODD = re.compile(
    rf"(?P<code>{_CODES})|(?P<unseen>[{_UNSEEN}]+)"
    rf"|(?P<space>[ ]{{2,}}|[{_SPACES}](?<! )[{_SPACES}]*)"
    rf"|(?P<dash>[\u2010-\u2015\u2212])|(?P<quote>[\u2018\u2019\u02bc\u00b4`])"
    rf"|(?P<form>[{_FORMS}])|(?P<marked>\w[\u0300-\u036f]+)"
)
_PLAIN = {"unseen": "", "space": " ", "dash": "-", "quote": "'"}
_UNSEEN_ALONE = re.compile(f"[{_UNSEEN}]")


class AsRead:
    """`text` is what a person reads; `place` says where a part of it is written."""

    __slots__ = ("_begins", "_odd", "text")

    def __init__(self, written: str) -> None:
        self.text = written
        # (begin and end as read, begin and end as written) of what is read otherwise
        self._odd: list[tuple[int, int, int, int]] = []
        if _ODD.search(written) is not None:
            self.text = "".join(self._pieces(written))
        self._begins = [one[0] for one in self._odd]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] is written; it is not empty."""
        return self._written(start)[0], self._written(end - 1)[1]

    def _written(self, at: int) -> tuple[int, int]:
        """Begin and end, as written, of the character read at a place."""
        index = bisect_right(self._begins, at) - 1
        if index < 0:
            return at, at + 1
        _, read_end, start, end = self._odd[index]
        return (start, end) if at < read_end else (end + at - read_end, end + at - read_end + 1)

    def _pieces(self, written: str) -> Iterator[str]:
        at = read_at = 0
        for odd in _ODD.finditer(written):
            plain = _plain(odd)
            read_at += odd.start() - at
            self._odd.append((read_at, read_at + len(plain), odd.start(), odd.end()))
            yield written[at : odd.start()]
            yield plain
            at, read_at = odd.end(), read_at + len(plain)
        yield written[at:]


def decoded(written: str) -> str:
    """The same with its codes read, and nothing else changed."""
    return _CODE.sub(lambda code: _decoded(code[0]), written)


def _plain(odd: re.Match[str]) -> str:
    kind = odd.lastgroup or ""
    if kind == "code":
        return _UNSEEN_ALONE.sub("", _decoded(odd[0])).replace("\u00a0", " ")
    return _PLAIN[kind] if kind in _PLAIN else unicodedata.normalize("NFKC", odd[0])


def _decoded(code: str) -> str:
    """What one code stands for; itself if for nothing."""
    if code[0] == "&":
        return html.unescape(code)
    if code[0] == "%":
        return unquote(code, errors="strict") if _is_utf_8(code) else code
    escapes = re.sub(r"\\+", r"\\", code)  # JSON in JSON doubles them
    text: str = json.loads(f'"{escapes}"')
    return text


def _is_utf_8(code: str) -> bool:
    try:
        bytes.fromhex(code.replace("%", "")).decode()
    except UnicodeDecodeError:
        return False
    return True
