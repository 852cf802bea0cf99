"""What was recalled, as text for the end of a prompt: each line with its date and source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from aicore.memory.port import Entry, Found
from aicore.memory.telling import MAY_HAVE_CHANGED

__all__ = ["show"]

_DOCUMENTS = "From the documents of the business, which hold over what anybody said:"
_REMEMBERED = "Remembered from earlier, oldest first; where two of these disagree, the later holds:"
_WHO = {
    "customer": "the customer said",
    "staff": "staff said",
    "owner": "the owner said",
    "assistant": "the assistant said",
    "system": "the system noted",
}
_DAY_MS = 86_400_000
_LONGEST_NAME = 120
# Rather too many than too few: prose has four letters a token and more, codes and other Latin
# languages fewer; Chinese, Japanese and Korean have 0.7 to 1.3 tokens a character.
_ASCII_PER_TOKEN = 3.5
_TOKENS_PER_OTHER = 1.2
_LEAST_TOKENS = 24
_QUOTES_TOKENS = 1
_QUOTE = re.compile('["\u201c\u201d\u201e\u201f\u2033\u02ba\uff02]')
_INNER_QUOTE = "'"


def show(found: Sequence[Found], *, now_ms: int, budget_tokens: int) -> str:
    """Write what was found as lines of text, "" when nothing fits into the budget.

    The best are taken first, as many as fit, the last one cut. Documents are written first, under
    a heading of their own, then what was said in the order of its time, in quotes: a message can
    neither pass for a document nor for a line of somebody else. It is text of others: whoever
    sends it fences it as data.
    """
    left = budget_tokens
    documents: list[str] = []
    said: list[tuple[int, str]] = []
    for one in found:
        is_passage = one.entry.kind == "passage"
        if not (documents if is_passage else said):
            left -= _tokens(_DOCUMENTS if is_passage else _REMEMBERED)
        before = f"- {_origin(one.entry, now_ms)}: "
        room = left - _tokens(before) - _QUOTES_TOKENS
        if room < _LEAST_TOKENS:
            break
        text = _cut(" ".join(one.entry.text.split()), room)
        line = before + (text if is_passage else _quoted(text))
        if is_passage:
            documents.append(line)
        else:
            said.append((one.entry.valid_from_ms, line))
        left -= _tokens(line)
    said.sort(key=lambda pair: pair[0])
    lines = [_DOCUMENTS, *documents] if documents else []
    lines += [_REMEMBERED, *(line for _, line in said)] if said else []
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """In quotes that end where the text does; what was added to it stands behind them."""
    said = text.removesuffix(MAY_HAVE_CHANGED)
    added = text[len(said) :]
    return f'"{_QUOTE.sub(_INNER_QUOTE, said)}"{added}'


def _origin(entry: Entry, now_ms: int) -> str:
    source = entry.source
    if source.document:
        place = f", {source.place}" if source.place else ""
        return " ".join(f"document {source.document}{place}".split())[:_LONGEST_NAME]
    who = _WHO.get(source.said_by, "somebody said")
    return f"{_date(entry.valid_from_ms)} ({_ago(now_ms - entry.valid_from_ms)}), {who}"


def _date(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):
        return "some day"


def _ago(age_ms: int) -> str:
    days = age_ms // _DAY_MS
    if days < 1:
        return "today"
    for unit, length in (("year", 365), ("month", 30), ("week", 7)):
        if days >= 2 * length:
            return f"{days // length} {unit}s ago"
    return "yesterday" if days == 1 else f"{days} days ago"


def _tokens(text: str) -> int:
    """About how many tokens a text has with its line end, whatever the tokenizer."""
    ascii_count = len(text.encode("ascii", "ignore"))
    others = (len(text) - ascii_count) * _TOKENS_PER_OTHER
    return int(ascii_count / _ASCII_PER_TOKEN + others) + 2


def _cut(text: str, tokens: int) -> str:
    """Cut a text behind a word, so that it has at most so many tokens."""
    if _tokens(text) <= tokens:
        return text
    kept = text[: int(tokens * _ASCII_PER_TOKEN)]
    while _tokens(kept) >= tokens:
        kept = kept[: int(len(kept) * 0.9)]
    start, space, _ = kept.rpartition(" ")
    return (start if space and len(start) > len(kept) // 2 else kept) + "\u2026"
