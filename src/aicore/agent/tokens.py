"""About how many tokens a text has: a rule that rather counts too many, for deciding when to cut.

No tokenizer: each vendor has its own, and none is exact for another. Usage that a provider
reports corrects the rule per conversation, see `aicore.agent.compaction`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aicore.records import Message, Prefix, Tool

__all__ = ["estimate", "estimate_message", "estimate_prefix"]

_ASCII_PER_TOKEN = 3.5
"""English prose has 4 to 4.5 letters a token with today's vocabularies; JSON, digits and other
languages in Latin script have fewer."""
_TOKENS_PER_OTHER = 1.2
"""Chinese, Japanese and Korean have 0.7 to 1.3 tokens a character, older vocabularies more;
Cyrillic, Greek and Arabic at most 1. Accented letters are counted far too high, but are few."""
_PER_MESSAGE = 6
"""Role, separators and ids, which every message has."""
_DIALECT = "estimate"


def estimate(text: str) -> int:
    """Tokens of a text, rather too many than too few."""
    if text.isascii():
        return int(len(text) / _ASCII_PER_TOKEN) + 1
    ascii_count = len(text.encode("ascii", "ignore"))
    other_count = len(text) - ascii_count
    return int(ascii_count / _ASCII_PER_TOKEN + other_count * _TOKENS_PER_OTHER) + 1


def estimate_message(message: Message) -> int:
    """Tokens of one message of a transcript."""
    tokens = _PER_MESSAGE + estimate(message.text)
    for call in message.calls:
        tokens += _PER_MESSAGE + estimate(f"{call.name}{call.arguments}")
    return tokens


def estimate_prefix(prefix: Prefix) -> int:
    """Tokens of instructions and tools; counted once in the life of the prefix."""
    kept = prefix.encoded.get(_DIALECT)
    if kept is None:
        tokens = _PER_MESSAGE + estimate(prefix.instructions) + _of_tools(prefix.shown)
        kept = prefix.encoded[_DIALECT] = b"%d" % tokens
    return int(kept)


def _of_tools(tools: Sequence[Tool]) -> int:
    return sum(
        _PER_MESSAGE + estimate(f"{tool.name}{tool.description}{json.dumps(tool.parameters)}")
        for tool in tools
    )
