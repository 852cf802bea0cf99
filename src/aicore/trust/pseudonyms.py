"""Masks texts with the placeholders of a vault, and puts the values back.

A text is masked by what is known in its conversation, by patterns, and by a recogniser if there is
one. What is found in one text is known from then on: older texts that hold it are masked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel

from aicore.errors import ModelError
from aicore.trust import patterns
from aicore.trust.as_read import decoded
from aicore.trust.known_values import words_of
from aicore.trust.marks import Marked, apart
from aicore.trust.placeholders import SHAPE, StreamRestorer, restore, restore_value
from aicore.trust.recogniser import Recogniser
from aicore.trust.vault import LITERAL, Vault

__all__ = ["Detector", "MaskedText", "Pseudonyms", "rebuilt", "texts_in"]

_LONG_CHARS = 20_000
_LOOKED_AT_ONCE = 32
_FEWEST_DIGITS, _MOST_DIGITS = 9, 40
_AS_WRITTEN = (LITERAL, "SECRET", "URL")


class Detector:
    """Finds personal values by patterns, and by a recogniser where there is one.

    `language` (ISO 639-1) is what the recogniser is told; `regions` as in `patterns.find`.
    """

    def __init__(
        self,
        recogniser: Recogniser | None = None,
        *,
        language: str = "en",
        regions: Sequence[str] = patterns.REGIONS,
    ) -> None:
        self._recogniser = recogniser
        self._language = language
        self._regions = tuple(regions)

    async def find(self, text: str) -> Sequence[Marked]:
        """Places of personal values, which may overlap. Long texts are read in a thread."""
        if len(text) > _LONG_CHARS:
            found = await anyio.to_thread.run_sync(self._patterns, text)
        else:
            found = self._patterns(text)
        if self._recogniser is None:
            return found
        return [*found, *await self._recogniser.recognise(text, self._language)]

    def _patterns(self, text: str) -> Sequence[Marked]:
        marks = list(patterns.find(text, regions=self._regions))
        return [*marks, *(Marked(*found.span(), LITERAL) for found in SHAPE.finditer(text))]


@dataclass(slots=True)
class LookedUp:
    """The places in a text that are personal by themselves; None before it was looked at."""

    found: Sequence[Marked] | None = None


class MaskedText:
    """One text and what it is masked as; `settled_at` is the newest value it was checked for.

    What was `looked_up` in it by patterns and a recogniser depends on the text alone.
    """

    __slots__ = ("clear", "looked_up", "masked", "settled_at", "words")

    def __init__(self, clear: str, looked_up: LookedUp | None = None) -> None:
        self.clear = clear
        self.masked = clear
        self.looked_up = looked_up or LookedUp()
        self.settled_at = -1
        self.words: frozenset[str] | None = None

    def again(self) -> MaskedText:
        """The same text for another conversation: it is looked up once for both."""
        return MaskedText(self.clear, self.looked_up)

    def __repr__(self) -> str:
        return "MaskedText(...)"


class Pseudonyms:
    """What goes out and what comes back in one conversation."""

    def __init__(self, vault: Vault, detector: Detector) -> None:
        self.vault = vault
        self._detector = detector

    async def mask(self, text: str) -> str:
        """Mask one text. Raises as Vault.assign does."""
        part = MaskedText(text)
        await self.settle([part])
        return part.masked

    async def mask_value(self, value: Any) -> Any:
        """Mask all texts and long numbers in a JSON value, keys included."""
        parts = [MaskedText(text) for text in texts_in(value)]
        await self.settle(parts)
        return rebuilt(value, iter([part.masked for part in parts]))

    async def settle(self, parts: Sequence[MaskedText]) -> None:
        """Mask texts, together with what is found in any of them. Raises as Vault.assign does."""
        new = [part for part in parts if part.looked_up.found is None]
        for count, part in enumerate(new, 1):
            part.looked_up.found = await self._detector.find(part.clear)
            if count % _LOOKED_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()  # other conversations go on
        while True:
            open_ = [part for part in parts if part.settled_at < self.vault.newest]
            newest = self.vault.newest
            looked = [(part, await self._looked(part)) for part in open_]
            marked = [(part, marks) for part, marks in looked if marks is not None]
            await self.vault.assign(
                (mark.kind, _value(part.clear, mark)) for part, marks in marked for mark in marks
            )
            for part, marks in looked:
                if part.settled_at < newest:  # another request may know more by now
                    if marks is not None:
                        part.masked = self._with_placeholders(part.clear, marks)
                    part.settled_at = newest
            if self.vault.newest == newest:
                return

    def unmask(self, text: str) -> str:
        """Put the values back. Raises: ModelError for an unknown placeholder."""
        return restore(text, self.vault.value_of, self.vault.nonce)

    def unmask_value(self, value: Any) -> Any:
        """Put the values back in a JSON value.

        Raises: ModelError for an unknown placeholder, and for one too mangled to be read.
        """
        restored = restore_value(value, self.vault.value_of, self.vault.nonce)
        if any(map(self.has_remains, texts_in(restored))):
            raise ModelError(
                "The model mangled a placeholder in what it wants done. It was not done; ask again."
            )
        return restored

    def unmask_stream(self) -> StreamRestorer:
        """What puts the values back in a text that comes in pieces."""
        return StreamRestorer(self.vault.value_of, self.vault.nonce)

    def has_remains(self, restored: str) -> bool:
        """Whether something of a placeholder of this vault is left in a restored text."""
        return self.vault.nonce in restored.lower()

    async def _looked(self, part: MaskedText) -> Sequence[Marked] | None:
        """The places to mask; None where nothing newer is in the text."""

        def look() -> Sequence[Marked] | None:
            return self._marks(part) if self._is_concerned(part) else None

        return await anyio.to_thread.run_sync(look) if len(part.clear) > _LONG_CHARS else look()

    def _is_concerned(self, part: MaskedText) -> bool:
        if part.settled_at < 0:
            return True
        newer = self.vault.known_since(part.settled_at)
        if part.words is None:
            part.words = words_of(part.clear)
        return newer.may_be_among(part.words) and any(True for _ in newer.find(part.clear))

    def _marks(self, part: MaskedText) -> Sequence[Marked]:
        found = part.looked_up.found or ()
        return apart(part.clear, [*self.vault.known.find(part.clear), *found])

    def _with_placeholders(self, text: str, marks: Sequence[Marked]) -> str:
        pieces = []
        at = 0
        for mark in marks:
            placeholder = self.vault.placeholder_of(_value(text, mark))
            pieces += [text[at : mark.start], placeholder]
            at = mark.end
        return "".join((*pieces, text[at:]))


def _value(text: str, mark: Marked) -> str:
    """What stands at a place; what a program wrote with codes, as a person would write it."""
    value = text[mark.start : mark.end]
    return value if mark.kind in _AS_WRITTEN else decoded(value)


def texts_in(value: Any) -> Iterator[str]:
    """The texts of a JSON value, keys included, and its numbers of nine digits or more."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)
    elif _is_long(value):
        yield str(value)


def rebuilt(value: Any, texts: Iterator[str]) -> Any:
    """The same JSON value with other texts, in the order of `texts_in`.

    A number whose text stayed the same stays a number.
    """
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        return {next(texts): rebuilt(one, texts) for one in value.values()}
    if isinstance(value, list | tuple):
        return [rebuilt(one, texts) for one in value]
    if _is_long(value):
        text = next(texts)
        return value if text == str(value) else text
    return value


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and 10 ** (_FEWEST_DIGITS - 1) <= abs(value) < 10**_MOST_DIGITS
