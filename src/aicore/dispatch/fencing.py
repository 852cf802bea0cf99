"""Marks text from outside as data, so that nothing inside it can pose as instructions."""

from __future__ import annotations

import re

__all__ = ["fence"]

# What a model may overlook between the letters of a tag: spaces, controls, zero-width and
# formatting characters, combining marks, variation selectors, tag characters.
_UNSEEN = (
    r"[\s\x00-\x1f\x7f-\xa0\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*+"
)
_OPEN = "<\uff1c\ufe64\u2039\u3008\u27e8"
_SLASH = "/\uff0f\u2044\u2215\u29f8\\\\"
# Each letter in the forms that look like it: plain, full width, Cyrillic or Greek twin.
_LETTERS = (
    "dD\uff24\uff44\u0501",
    "aA\uff21\uff41\u0410\u0430\u0391\u03b1",
    "tT\uff34\uff54\u0422\u0442\u03a4",
)
_TAG = re.compile(
    f"[{_OPEN}](?={_UNSEEN}(?:[{_SLASH}]{_UNSEEN})*+"
    + _UNSEEN.join(f"[{_LETTERS[index]}]" for index in (0, 1, 2, 1))
    + ")"
)
_NOT_SOURCE = re.compile(r"[^A-Za-z0-9_.:-]")


def fence(text: str, source: str) -> str:
    """Wrap text from outside as `<data from="source">...</data>`.

    Every `<` inside that begins something like a data tag, in whatever case, with spaces or
    invisible characters in it, becomes `&lt;`; the rest of the text is as it was.
    """
    shown = _NOT_SOURCE.sub("_", source)[:64]
    return f'<data from="{shown}">\n{_TAG.sub("&lt;", text)}\n</data>'
