"""How facts are found in what was said: a port, and the way that needs no model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

import anyio
import anyio.to_thread

from aicore.memory.candidates import Candidate
from aicore.memory.episodes import Utterance
from aicore.records import DataClass

__all__ = ["Extraction", "Heard", "RuleExtraction", "Stated"]

_RULES = "aicore.memory.rules"


class Heard(NamedTuple):
    """A message, and what the assistant had said to its writer shortly before, the last last.

    `data_class` is that of the message where it stands: see `episodes.class_at`. `conversation` is
    where it was said: what is masked there is masked in it, too.
    """

    said: Utterance
    said_before: tuple[str, ...]
    data_class: DataClass = "personal"
    conversation: str = ""


class Stated(NamedTuple):
    """What a message states: of its writer, and, by staff, of the customer it is for."""

    own: Sequence[Candidate] = ()
    told: Sequence[Candidate] = ()


class Extraction(Protocol):
    """Finds what people say of themselves in their messages."""

    async def extract(self, heard: Sequence[Heard], *, failures: int) -> Sequence[Stated]:
        """What each message states, in order.

        `failures` is how often this was tried before with the same messages.
        Raises: ProviderUnavailable when it is worth while to try again later.
        """


class RuleExtraction:
    """Finds facts by rules: at once, without a model."""

    async def extract(self, heard: Sequence[Heard], *, failures: int) -> Sequence[Stated]:
        """What each message states; see Extraction."""
        # Not at the top, and not on the event loop: compiling their patterns takes long.
        if _RULES not in sys.modules:
            await anyio.to_thread.run_sync(import_module, _RULES)
        from aicore.memory.doubts import doubted
        from aicore.memory.rules import facts_stated, facts_told

        found = []
        for said, said_before, *_ in heard:
            is_staff = said.said_by in ("staff", "owner")
            own = facts_stated(said.text, said_before)
            own += doubted(said.text, own, said_before)
            found.append(Stated(own, facts_told(said.text) if is_staff else ()))
            await anyio.lowlevel.checkpoint()
        return found
