"""The context of an entry: what was said around it, the nearest apart from what is further off.

Who answers a question often does so in the words of the one who asked, one or two utterances
away. What is two away counts half as much as what is one away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from aicore.errors import StoreBusy
from aicore.memory.port import Entry
from aicore.records import DataClass
from aicore.trust.special import data_class_of

__all__ = [
    "REACH",
    "context_at",
    "contexts_without",
    "forgotten_meanwhile",
    "join_context",
    "split_context",
]

_APART = "\f"
_NEIGHBOUR_CHARS = 600

REACH = 2
"""How many utterances away a text still is in a context."""


def join_context(near: Iterable[str], far: Iterable[str]) -> str:
    """Make the context of an entry: texts one utterance away, and texts two away."""
    parts = ["\n".join(text.replace(_APART, " ") for text in texts) for texts in (near, far)]
    return _APART.join(parts).rstrip(_APART)


def split_context(context: str) -> tuple[str, str]:
    """Give the texts one utterance away, and those further away."""
    near, _, far = context.partition(_APART)
    return near, far


def context_at(texts: Sequence[str], place: int, data_class: DataClass) -> str:
    """Make the context of the utterance at `place` among those of its thread.

    What is special in a neighbour stays out of the context of an entry that is not, by
    `data_class`, which may be sent further.
    """

    def beside(*steps: int) -> list[str]:
        found = []
        for step in steps:
            if 0 <= place + step < len(texts):
                text = texts[place + step]
                near = text[-_NEIGHBOUR_CHARS:] if step < 0 else text[:_NEIGHBOUR_CHARS]
                if data_class == "special" or data_class_of(near) != "special":
                    found.append(near)
        return found

    return join_context(beside(-1, 1), beside(-2, REACH))


def contexts_without(episodes: Iterable[Entry], gone: Collection[str]) -> Mapping[str, str]:
    """Make anew the contexts that were made of what is forgotten, by the ids of their entries.

    `episodes` are those of one conversation in one namespace, `gone` the ids of some of them.
    The new contexts are made of the others alone: what is not among them cannot be in one.
    """
    told: dict[tuple[int, int], list[Entry]] = {}
    for entry in sorted(episodes, key=lambda one: (one.source.seq, one.at_ms)):
        told.setdefault((entry.source.seq, entry.at_ms), []).append(entry)
    thread = list(told.values())
    lost = [place for place, one in enumerate(thread) if any(entry.id in gone for entry in one)]
    near = {at for place in lost for at in range(place - REACH, place + REACH + 1)}
    kept = [
        (place in near, left)
        for place, one in enumerate(thread)
        if (left := [entry for entry in one if entry.id not in gone])
    ]
    texts = [" ".join(entry.text for entry in left) for _, left in kept]
    return {
        entry.id: context_at(texts, place, entry.data_class)
        for place, (is_near, left) in enumerate(kept)
        if is_near
        for entry in left
    }


def forgotten_meanwhile() -> StoreBusy:
    """Make the error of a store that is given contexts made of what was forgotten meanwhile."""
    return StoreBusy(
        "What was said beside it was forgotten meanwhile. Make its context anew.",
        retry_after_s=0.1,
    )
