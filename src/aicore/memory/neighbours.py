"""The context of an entry: what was said around it, the nearest apart from what is further off.

Who answers a question often does so in the words of the one who asked, one or two utterances
away. What is two away counts half as much as what is one away.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["join_context", "split_context"]

_APART = "\f"


def join_context(near: Iterable[str], far: Iterable[str]) -> str:
    """Make the context of an entry: texts one utterance away, and texts two away."""
    parts = ["\n".join(text.replace(_APART, " ") for text in texts) for texts in (near, far)]
    return _APART.join(parts).rstrip(_APART)


def split_context(context: str) -> tuple[str, str]:
    """Give the texts one utterance away, and those further away."""
    near, _, far = context.partition(_APART)
    return near, far
