"""What is kept of turns that leave the view: lines by rule, of bounded length, no model.

A digest is plain JSON that travels in the `Summarized` event. The next one takes it over, so that
summaries are folded into each other and never stacked. Whatever the turns held, each line is one
line, and nothing in it looks like a tag or ends a quotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from aicore.agent.references import references_in, references_of
from aicore.agent.tokens import estimate
from aicore.agent.tool_search import meant
from aicore.dispatch.names import RESERVED
from aicore.log.events import (
    ApprovalDecided,
    ApprovalRequested,
    Body,
    Event,
    MessageReceived,
    ModelReplied,
    ReplySent,
    ToolFinished,
    ToolStarted,
    TurnFailed,
)
from aicore.records import ToolCall

__all__ = ["IDENTIFYING", "SECTIONS", "Digest", "cut", "one_line"]

_SHARES: dict[str, tuple[str, float]] = {
    "contacts": ("Names and contact details that were given", 0.10),
    "unclear": ("Effects whose outcome is not known: look up before repeating", 0.08),
    "done": ("Effects, oldest first", 0.30),
    "decided": ("Decisions of staff on single calls, all in the past", 0.08),
    "promised": ("Promised by the assistant", 0.09),
    "open": ("Messages that got no answer", 0.06),
    "seen": ("Identifiers that came up", 0.09),
    "asked": ("What was asked and answered", 0.20),
}
"""Sections in the order they are shown, their headings, and their parts of the whole."""

SECTIONS = tuple(_SHARES)
"""All sections, in order."""

_NOTES = "Notes by a model"

IDENTIFYING = ("contacts", "unclear", "done", "seen")
"""Sections that stay beside a summary that a model wrote."""

_CONTROLS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_FENCE = re.compile(r"\A<data from=\"[^\"]*\">\n|\n</data>")
_LONGEST_READ = 100_000
# In two steps: what begins with a sign that a text need not have costs nothing where it has none.
_EMAIL_HOST = re.compile(r"@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_EMAIL_NAME = re.compile(r"[\w.+'-]{1,64}\Z")
_PHONE = re.compile(r"(?<![\w.:/-])(?:\+|00?)[1-9][\d ()/.-]{5,18}\d(?![\w:])")
# Before the rules that find a name, which are slow.
_MAY_NAME = re.compile(
    r"name|call(?:ed)? |\bi['\u2019]?m\b|\bi am\b|this is|it['\u2019]?s|hei(?:\xdf|ss)e|ich bin"
    r"|hier ist|<[^<>\s]{1,64}@|\bf(?:or|\xfcr) (?:my|our|mein|unser)",
    re.IGNORECASE,
)
_PROMISE = re.compile(
    r"\b(?:(?:i|we)(?:['\u2019]ll| will| shall| am going to| are going to)"
    r"|(?:ich|wir) (?:werden?|melden? (?:mich|uns)|rufen?|schicken?|senden?|kümmern?)"
    r"|je vais|nous allons|je vous (?:rappelle|envoie|tiens)"
    r"|voy a|vamos a|le (?:llamar|enviar)\w*)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile("[^.!?\u3002\uff01\uff1f\n]{3,400}[.!?\u3002\uff01\uff1f]?")


def one_line(text: str, characters: int) -> str:
    """A text as one line without line breaks, tags or quotation marks, cut to a length."""
    text = _CONTROLS.sub(" ", text[: 4 * characters + 200]).strip()
    text = text.replace("<", "\u2039").replace(">", "\u203a").replace('"', "'")
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def cut(text: str, tokens: int) -> str:
    """A text cut to about so many tokens."""
    while (found := estimate(text)) > max(tokens, 1):
        text = text[: int(len(text) * 0.95 * tokens / found)].rstrip()
    return text


@dataclass(slots=True)
class Digest:
    """Lines by section, oldest first, and how many were left out of each for their length.

    `turns` counts the turns it stands for, `until_ms` is when the last of them was, `notes` is
    what a model wrote of them, if one did.
    """

    turns: int = 0
    until_ms: int = 0
    notes: str = ""
    lines: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any) -> Digest:
        """Rebuild from `to_json`; anything else gives an empty one."""
        try:
            return cls(
                turns=int(value["turns"]),
                until_ms=int(value["until_ms"]),
                notes=str(value.get("notes", "")),
                lines={
                    name: [str(one) for one in value["lines"].get(name, ())] for name in _SHARES
                },
                left_out={name: int(count) for name, count in value["left_out"].items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        lines = {name: found for name, found in self.lines.items() if found}
        return {
            "turns": self.turns,
            "until_ms": self.until_ms,
            "notes": self.notes,
            "lines": lines,
            "left_out": {name: count for name, count in self.left_out.items() if count},
        }

    def take_in(self, events: Sequence[Event]) -> None:
        """Add all events of one turn."""
        _Turn(self).read(events)
        self.turns += 1
        self.until_ms = max([self.until_ms, *(event.at_ms for event in events)])

    def add(self, section: str, line: str) -> None:
        """Add a line as the newest of its section; one that was there moves."""
        lines = self.lines.setdefault(section, [])
        if line in lines:
            lines.remove(line)
        lines.append(line)

    def shorten(self, tokens: int) -> None:
        """Leave out the oldest lines of each section until `render` fits into `tokens`.

        Notes are cut to half of that, and what they need is taken from the lines. What a section
        does not need of its share goes to the others, in their order.
        """
        self.notes = cut(self.notes, tokens // 2)
        tokens -= estimate("\n".join(self._noted()))
        kept = {}
        spare = 0
        for section, (_, share) in _SHARES.items():
            kept[section], left = self._fitting(section, 0, int(tokens * share))
            spare += left
        for section in _SHARES:
            kept[section], spare = self._fitting(section, kept[section], spare)
            lines = self.lines.get(section, [])
            if gone := len(lines) - kept[section]:
                self.lines[section] = lines[gone:]
                self.left_out[section] = self.left_out.get(section, 0) + gone

    def _fitting(self, section: str, kept: int, room: int) -> tuple[int, int]:
        """How many of the newest lines fit where `kept` have room already; the room then left."""
        for line in reversed(self.lines.get(section, [])[: -kept or None]):
            needed = estimate(line) + 1
            if kept == 0:
                needed += estimate(f"{_SHARES[section][0]} (1000 earlier ones left out):")
            if needed > room:
                break
            room -= needed
            kept += 1
        return kept, room

    def render(self, sections: Iterable[str] = SECTIONS) -> str:
        """The notes, and the lines under their headings."""
        parts = self._noted()
        for section in sections:
            if lines := self.lines.get(section):
                gone = self.left_out.get(section, 0)
                more = f" ({gone} earlier ones left out)" if gone else ""
                parts.append(f"{_SHARES[section][0]}{more}:")
                parts += [f"- {line}" for line in lines]
        return "\n".join(parts)

    def _noted(self) -> list[str]:
        """The notes as lines that cannot be taken for a heading, or for lines of a section."""
        lines = [one_line(line.lstrip("-*# "), len(line) + 1) for line in self.notes.splitlines()]
        return [f"{_NOTES}:", *(f"- {line}" for line in lines if line)] if any(lines) else []


class _Turn:
    """Reads one turn into a digest."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._calls: dict[str, ToolCall] = {}
        self._started: set[str] = set()
        self._asked: dict[str, ToolCall] = {}
        self._question = ""
        self._answer: str | None = None
        self._failure = ""
        self._day = ""

    def read(self, events: Sequence[Event]) -> None:
        for event in events:
            self._day = f"{datetime.fromtimestamp(event.at_ms / 1000, UTC):%Y-%m-%d}"
            body = event.body
            match body:
                case MessageReceived():
                    self._message(body)
                case ApprovalRequested():
                    self._asked[body.approval_id] = body.call
                case ApprovalDecided():
                    self._decided(body)
                case ReplySent():
                    self._answered(body.text)
                case TurnFailed():
                    self._failure = f" (failed: {one_line(body.code, 40)})"
                case _:
                    self._acted(body)
        if self._answer is not None:
            self._add("asked", f'{self._question} - assistant: "{one_line(self._answer, 110)}"')
        elif self._question:
            self._add("open", f"{self._question}{self._failure}")

    def _acted(self, body: Body) -> None:
        match body:
            case ModelReplied():
                self._calls.update((call.id, meant(call)) for call in body.calls)
            case ToolStarted():
                self._started.add(body.call_id)
            case ToolFinished() if body.tool not in RESERVED:
                self._finished(body)

    def _add(self, section: str, line: str) -> None:
        self._digest.add(section, f"{self._day} {line}")

    def _message(self, body: MessageReceived) -> None:
        text, who = body.text[:_LONGEST_READ], str(body.principal.kind)
        if len(body.text) > _LONGEST_READ:
            who = f"{who}, in a message of {len(body.text):,} characters"
        self._question = f'{who}: "{one_line(text, 110)}"'
        if body.principal.kind != "system":
            self._contacts(text, body.principal.kind)
        self._seen(body.principal.kind, references_in(text))

    def _contacts(self, text: str, who: str) -> None:
        # Imported late: it brings the rules of the flows with it.
        from aicore.flows.contacts import name_in

        found = [*islice(_emails(text), 3), *_PHONE.findall(text)[:3]]
        if _MAY_NAME.search(text[:500]) and (name := name_in(text[:500])):
            found.insert(0, name)
        for one in found:
            self._digest.add("contacts", f"{who}: {one_line(one, 80)}")

    def _answered(self, text: str) -> None:
        self._answer = text
        text = text[:_LONGEST_READ]
        if _PROMISE.search(text):
            promises = [one for one in _SENTENCE.findall(text) if _PROMISE.search(one)]
            for promise in promises[:2]:
                self._add("promised", f'"{one_line(promise, 140)}"')
        self._seen("assistant", references_in(text))

    def _finished(self, body: ToolFinished) -> None:
        text = _FENCE.sub("", (body.full_text or body.text)[:_LONGEST_READ])
        found = references_of(body.structured, text)
        call = self._calls.get(body.call_id)
        if body.outcome == "unknown":
            self._add("unclear", f"{_shown(call, body.tool)}: {one_line(text, 120)}")
        elif body.call_id not in self._started:
            if not body.is_error:
                self._seen(body.tool, found)
        elif body.is_error:
            self._add("done", f"{_shown(call, body.tool)}: failed, {one_line(text, 80)}")
        else:
            gave = f" ({', '.join(found)})" if found else f", {one_line(text, 60)}"
            self._add("done", f"{_shown(call, body.tool)}: done{gave}")

    def _decided(self, body: ApprovalDecided) -> None:
        shown = _shown(self._asked.get(body.approval_id), "a call")
        how = "approved" if body.is_approved else "refused"
        why = f': "{one_line(body.reason, 80)}"' if body.reason else ""
        self._add("decided", f"{how} by {one_line(body.by, 40)}: {shown}{why}")

    def _seen(self, source: str, found: Sequence[str]) -> None:
        for one in found[:6]:
            self._digest.add("seen", f"{one_line(source, 64)}: {one}")


def _emails(text: str) -> Iterator[str]:
    for host in _EMAIL_HOST.finditer(text):
        at = host.start()
        if name := _EMAIL_NAME.search(text[max(at - 64, 0) : at]):
            yield f"{name[0]}{host[0]}"


def _shown(call: ToolCall | None, tool: str) -> str:
    if call is None:
        return one_line(tool, 64)
    arguments = ", ".join(f"{key}={value}" for key, value in call.arguments.items())
    return f"{one_line(call.name, 64)}({one_line(arguments, 120)})"
