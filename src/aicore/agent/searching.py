"""Finding text again in the part of a conversation that a summary stands for."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import anyio

from aicore.agent.session import Session
from aicore.agent.tool_search import meant
from aicore.dispatch.fencing import fence
from aicore.dispatch.names import RESERVED
from aicore.log.events import Event, MessageReceived, ModelReplied, ReplySent, ToolFinished
from aicore.log.port import EventLog
from aicore.records import Tool, ToolCall, ToolResult

__all__ = ["SEARCH_CONVERSATION", "search_conversation"]

_MOST_FOUND = 6
_MOST_WORDS = 16
_SHOWN_CHARS = 300
_LONGEST_WORD = 64
_LONGEST_READ = 1_000_000
"""Characters looked at of one message or result, where it is longer in its plain form of that."""
_SLICE = 20_000
_WORD = re.compile(r"[^\W_]+")
# Scripts without spaces between words are looked for by pairs of signs.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]{2,}")

SEARCH_CONVERSATION = Tool(
    name="search_conversation",
    description=(
        "Find what was said or done earlier in this conversation and is no longer shown, only "
        "summarized. Give a few words, names or numbers that stood there."
    ),
    parameters={
        "type": "object",
        "properties": {"words": {"type": "string"}},
        "required": ["words"],
        "additionalProperties": False,
    },
    server="aicore",
    remote_name="search_conversation",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
"""The core's own tool. Always offered: a list of tools that changes when a conversation is
compacted would cost the whole prefix once more, in each conversation."""


class _Said(NamedTuple):
    at_ms: int
    who: str
    text: str
    more: str = ""


async def search_conversation(
    log: EventLog, session: Session, arguments: Mapping[str, Any]
) -> ToolResult:
    """Carry out a call of SEARCH_CONVERSATION: reads the whole conversation once."""
    words = arguments.get("words")
    if not isinstance(words, str) or not (wanted := _wanted(words)):
        return ToolResult(text="Give words to look for.", is_error=True, outcome="none")
    if session.transcript.summarized is None:
        return ToolResult(text="Nothing was left out: the whole conversation is shown.")
    events = await log.read(session.conversation)
    gone = [event for event in events if not session.in_view(event.seq)]
    # Not in the event loop: it looks at every word of what may be ten thousand events.
    found = await anyio.to_thread.run_sync(_best, gone, wanted)
    if not found:
        return ToolResult(text="Nothing with these words in the part that is no longer shown.")
    return ToolResult(text=fence("\n".join(found), "conversation"))


def _best(events: Sequence[Event], wanted: Sequence[str]) -> list[str]:
    calls = {
        call.id: meant(call)
        for event in events
        if isinstance(event.body, ModelReplied)
        for call in event.body.calls
    }
    said = [one for event in events for one in _said(event, calls)]
    hits = []
    whole: Counter[str] = Counter()
    somewhere: Counter[str] = Counter()
    for one in said:
        if words := _words_in(one.text, wanted):
            hits.append((one, words))
            somewhere.update(words)
            whole.update(word for word in words if words[word])
    rare = {word: math.log(1 + len(said) / (1 + whole[word])) for word in wanted}
    beginnings = {word: math.log(1 + len(said) / (1 + somewhere[word])) / 2 for word in wanted}

    def weights(words: Mapping[str, bool]) -> dict[str, float]:
        return {word: (rare if words[word] else beginnings)[word] for word in words}

    # The newest of equals first: what was said last holds.
    hits.sort(key=lambda hit: (sum(weights(hit[1]).values()), hit[0].at_ms), reverse=True)
    return [
        _shown(one, max(words, key=weights(words).__getitem__)) for one, words in hits[:_MOST_FOUND]
    ]


def _said(event: Event, calls: Mapping[str, ToolCall]) -> Iterator[_Said]:
    """What an event says; a result with the arguments of its call, which it seldom repeats."""
    match event.body:
        case MessageReceived(text=text, principal=principal):
            yield _Said(event.at_ms, principal.kind, text)
        case ReplySent(text=text):
            yield _Said(event.at_ms, "assistant", text)
        case ToolFinished(tool=tool, text=text) if tool not in RESERVED:
            call, whole = calls.get(event.body.call_id), event.body.full_text
            asked = "" if call is None else f"{dict(call.arguments)}: "
            more = f' [read_result with handle "{event.body.call_id}" has all]' if whole else ""
            yield _Said(event.at_ms, tool, f"{asked}{whole or text}", more)


def _slices(text: str) -> Iterator[tuple[int, str, str]]:
    """Parts of a text: where each begins, its plain form and itself. No word is parted in all.

    Part by part, because one character may be eighteen in the plain form.
    """
    read, start = 0, 0
    while start < len(text) and read < _LONGEST_READ:
        part = text[start : start + _SLICE + _LONGEST_WORD]
        plain = _plain(part)
        yield start, plain, part
        read += max(len(plain), len(part))
        start += _SLICE


def _words_in(text: str, wanted: Sequence[str]) -> dict[str, bool]:
    """The words that stand in a text, and whether each is a whole word there, not part of one."""
    found: dict[str, bool] = {}
    for _, plain, _ in _slices(text):
        for word in wanted:
            if not found.get(word) and word in plain:
                found[word] = _whole(plain, word) >= 0
        if len(found) == len(wanted) and all(found.values()):
            break
    return {word: found[word] for word in wanted if word in found}


def _whole(plain: str, word: str) -> int:
    """Where a word stands that is not part of a longer one, -1 if nowhere."""
    if _UNSPACED.fullmatch(word):
        return plain.find(word)
    match = re.search(rf"(?<![^\W_]){word}(?![^\W_])", plain)
    return match.start() if match else -1


def _place(text: str, word: str) -> int:
    """Where a word stands that was found by its plain form, in which letters may be more."""
    first: int | None = None
    for start, plain, part in _slices(text):
        if (at := _whole(plain, word)) >= 0:
            return start + _unfolded(part, at)
        if first is None and (at := plain.find(word)) >= 0:
            first = start + _unfolded(part, at)
    return first or 0


def _unfolded(part: str, at: int) -> int:
    """The place in a text of one in its plain form."""
    if part.isascii():
        return at
    for offset, sign in enumerate(part):
        at -= len(_plain(sign))
        if at < 0:
            return offset
    return 0


def _shown(one: _Said, word: str) -> str:
    at = _place(one.text, word)
    start = max(at - _SHOWN_CHARS // 3, 0)
    text = " ".join(one.text[start : start + _SHOWN_CHARS].split())
    before, behind = "…" if start else "", "…" if start + _SHOWN_CHARS < len(one.text) else ""
    day = datetime.fromtimestamp(one.at_ms / 1000, UTC)
    return f"{day:%Y-%m-%d} {one.who}: {before}{text}{behind}{one.more}"


def _wanted(text: str) -> list[str]:
    words = []
    for word in _WORD.findall(_plain(text[:1000])):
        word = word[:_LONGEST_WORD]
        unspaced = _UNSPACED.fullmatch(word)
        words += [word[at : at + 2] for at in range(len(word) - 1)] if unspaced else [word]
    return list(dict.fromkeys(words))[:_MOST_WORDS]


def _plain(text: str) -> str:
    """Small letters without accents."""
    if text.isascii():
        return text.lower()
    split = unicodedata.normalize("NFKD", text)
    return "".join([sign for sign in split if not unicodedata.combining(sign)]).casefold()
