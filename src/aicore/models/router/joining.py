"""How an answer that broke off is gone on with, by another model, without losing a word.

What is shown ends where a word ends, so that what comes next can be joined to it. The next model
is asked to go on; models also begin anew or repeat the last words, and that is cut off.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from aicore.models.port import Request
from aicore.records import Message

__all__ = ["AllHold", "Joiner", "WordHold", "going_on"]

_HELD_CHARS = 40
_KEPT_CHARS = 8
_LEAST_WORDS = 3
_LEAST_CHARS = 20
_JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")

_GO_ON = (
    "Your answer broke off here. Go on exactly where it stops, in the same language and form. "
    "Repeat nothing of it, do not mention the break, and do not begin anew."
)


class WordHold:
    """Lets text through up to the begin of its last word.

    The last word and the space after it are held: only when another word follows is it known
    that they are whole. So what was let through ends with all of the space that stood there. Of
    text without spaces (Chinese, Japanese, Thai, a long address) at most 40 characters are held.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> str:
        """Take text; gives what may be shown, "" for nothing."""
        held = self._held + text
        words = held.rsplit(None, 1)
        cut = held.rindex(words[1]) if len(words) > 1 else 0
        if len(held) - cut > _HELD_CHARS:
            cut = max(cut, _before_its_end(held))
        self._held = held[cut:]
        return held[:cut]

    def rest(self) -> str:
        """Give what is held: the text is at its end."""
        held, self._held = self._held, ""
        return held


class AllHold:
    """Lets nothing through before the end: half a JSON text is of no use, and cannot be joined."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, text: str) -> str:
        """Take text; gives ""."""
        self._parts.append(text)
        return ""

    def rest(self) -> str:
        """Give it all."""
        return "".join(self._parts)


class Joiner:
    """Finds where the text of a second model goes on from what a first had shown.

    What it repeats at its begin is cut off: all that was shown, or the end of it, if that is at
    least 3 words or 20 characters. White space does not count in the comparison. Text is kept
    back until that is decided.
    """

    __slots__ = ("_chars", "_found_at", "_is_decided", "_kept", "_shown", "_shown_chars")

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._shown_chars = "".join(shown.split())
        self._kept = ""
        self._chars = ""
        self._found_at = 0
        self._is_decided = False

    def add(self, text: str) -> str:
        """Take text; gives what goes on from what was shown, "" while that is not clear."""
        if self._is_decided:
            return text
        self._kept += text
        self._chars += "".join(text.split())
        # Anything that stands in what was shown may be the begin of a repetition. More text is
        # found at the same place or later, which keeps long repetitions cheap.
        self._found_at = self._shown_chars.find(self._chars, self._found_at)
        return self._decide() if self._found_at < 0 else ""

    def rest(self) -> str:
        """Give what is kept back: the text is at its end."""
        return "" if self._is_decided else self._decide()

    def _decide(self) -> str:
        self._is_decided = True
        kept = self._kept
        # What was shown ends with all its space (see WordHold), or within a word.
        return kept[self._repeated(kept) :].lstrip()

    def _repeated(self, kept: str) -> int:
        places = [place for place, char in enumerate(kept) if not char.isspace()]
        chars = "".join(kept.split())
        shown = self._shown_chars
        for count in range(min(len(chars), len(shown)), 0, -1):
            if not shown.endswith(chars[:count]):
                continue
            end = places[count - 1] + 1
            if self._counts(kept, end, count):
                return end
        return 0

    def _counts(self, kept: str, end: int, count: int) -> bool:
        ends_word = self._shown[-1:].isspace()
        if ends_word and kept[end : end + 1].isalnum():
            return False  # the last word only begins like what was shown
        return (
            count == len(self._shown_chars)
            or count >= _LEAST_CHARS
            or len(kept[:end].split()) >= _LEAST_WORDS
        )


def going_on(request: Request, shown: str) -> Request:
    """Ask to go on after `shown`: the same request, the answer so far, and that it broke off."""
    # Without state: it belonged to the whole message. User and assistant alternate as templates
    # demand, and no message ends in space, which some servers refuse.
    tail = (
        *request.tail,
        Message(role="assistant", text=shown.rstrip()),
        Message(role="user", text=_GO_ON),
    )
    return replace(request, tail=tail)


def _before_its_end(text: str) -> int:
    """A place in the last word near its end; 0 where the text has no word that is too long."""
    end = len(text.rstrip())
    start = end - len(text.rsplit(None, 1)[-1]) if end else 0
    return _between_characters(text, end - _KEPT_CHARS) if end - start > _HELD_CHARS else 0


def _between_characters(text: str, cut: int) -> int:
    """The nearest place at or before `cut` that does not divide what is seen as one character."""
    while cut and (_binds(text[cut]) or text[cut - 1] == "\u200d"):
        cut -= 1
    return cut


def _binds(char: str) -> bool:
    is_skin = "\U0001f3fb" <= char <= "\U0001f3ff"
    is_flag = "\U0001f1e6" <= char <= "\U0001f1ff"
    return char in _JOINERS or is_skin or is_flag or unicodedata.category(char)[0] == "M"
