"""How placeholders look, how models mangle them, and how they are put back, also in a stream.

`[[KIND_nonce_number]]`: upper case letters, eight hexadecimal digits, a number from 1 on. A model
may change case, lose a bracket, escape what Markdown would, or put spaces and stars inside. All
these are read, since the nonce leaves no doubt which placeholder is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aicore.errors import ModelError

__all__ = ["SHAPE", "StreamRestorer", "restore", "restore_value"]

_PAD = r"[\s*`]{0,3}"
_JOINT = r"[\s*`]?\\?[_-][\s*`]?"
_KIND, _NONCE, _NUMBER = "[A-Za-z]{2,12}", "[0-9A-Fa-f]{8}", "[0-9]{1,9}"
_OPEN = r"(?:\[\[?|\\\[\\\[)"
SHAPE = re.compile(
    rf"{_OPEN}{_PAD}({_KIND}){_JOINT}({_NONCE}){_JOINT}({_NUMBER}){_PAD}(?:\]\]?|\\\]\\\])"
)
"""What is read as a placeholder, whether it is one of ours or not."""

_LONGEST = 80
_DOUBLE = ("[[", "\\[")


def _beginning() -> re.Pattern[str]:
    """Matches what more text may yet make a placeholder of, up to the end of the text."""
    joint = [r"[\s*`]?", r"\\?", "[_-]", r"[\s*`]?"]
    parts = [_PAD, "[A-Za-z]{1,12}", *joint]
    parts += ["[0-9A-Fa-f]{1,8}", *joint, "[0-9]{1,9}", _PAD, r"(?:\]|\\(?:\](?:\\)?)?)"]
    nested = ""
    for part in reversed(parts):
        nested = f"(?:{part}{nested})?"
    return re.compile(rf"(?:{_OPEN}{nested}|\[|\\(?:\[\\?)?)\Z")


_BEGINNING = _beginning()
_OPENING = re.compile(r"[\[\\]")

Known = Callable[[str], str | None]
"""Gives what a placeholder in its exact form stands for, None for one that is not known."""


def restore(text: str, known: Known, nonce: str) -> str:
    """Put the values of the vault with this nonce back.

    Text in single brackets with another nonce, such as `[INV-20261121-3]`, is left as it is: it
    may well be what it looks like. Raises: ModelError for any other that is not known.
    """

    def value_of(found: re.Match[str]) -> str:
        its_nonce = found[2].lower()
        value = known(f"[[{found[1].upper()}_{its_nonce}_{int(found[3])}]]")
        if value is not None:
            return value
        if its_nonce != nonce and not found[0].startswith(_DOUBLE):
            return found[0]
        raise ModelError(
            "The model answered with a placeholder that stands for nothing in this "
            "conversation. Its answer was dropped; ask again."
        )

    return SHAPE.sub(value_of, text)


def restore_value(value: Any, known: Known, nonce: str) -> Any:
    """Put the values back in all texts of a JSON value, keys included. Raises as `restore`."""
    if isinstance(value, str):
        return restore(value, known, nonce)
    if isinstance(value, dict):
        return {
            restore(key, known, nonce): restore_value(one, known, nonce)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [restore_value(one, known, nonce) for one in value]
    return value


class StreamRestorer:
    """Puts the values back in a text that comes in pieces, however placeholders are cut.

    It holds back only what may be the beginning of one.
    """

    def __init__(self, known: Known, nonce: str) -> None:
        self._known = known
        self._nonce = nonce
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; gives what can be shown. Raises as `restore`."""
        text = self._held + text
        end = len(text)
        for opening in _OPENING.finditer(text, max(0, end - _LONGEST)):
            if _BEGINNING.match(text, opening.start()):
                end = opening.start()
                break
        self._held = text[end:]
        return restore(text[:end], self._known, self._nonce)

    def finish(self) -> str:
        """Give what was held back: nothing more comes. Raises as `restore`."""
        held, self._held = self._held, ""
        return restore(held, self._known, self._nonce)
