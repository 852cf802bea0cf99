"""The parts of a request, masked once and kept: only what is new costs work.

Masked messages are messages of their own. What a dialect keeps with them are bytes of masked text;
the bytes that it kept with the clear ones are never given to it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from aicore.models.port import OutputSchema
from aicore.records import Message, Prefix, Tool, ToolCall
from aicore.trust.masked_schemas import relaxed
from aicore.trust.pseudonyms import MaskedText, rebuilt, texts_in

__all__ = ["NOTE", "Part", "Prefixes", "States", "message_part", "schema_part", "text_part"]

T = TypeVar("T")

_PREFIXES = 16
_LONGEST_CHARS = 200_000
_LONGEST_WORD = 200
_CUT = "\n[{} more characters: too long to be shown here]"

NOTE = (
    "Personal values are replaced by placeholders of the form [[KIND_code_number]], for instance "
    "for a name or a telephone number. Each stands for one real value, which is put back before "
    "anybody reads your answer and before a tool is called. Use a placeholder as if it were the "
    "value. Repeat it exactly, character by character; never change, split, translate or invent "
    "one, and never speak of placeholders."
)
"""What a model is told: the same in all conversations, so that prompt caches hit."""

Take = Callable[[str], str]


class Part(Generic[T]):
    """Something of a request: its texts, and how it is made of them.

    `make` is given a function to be called with each text, always in the same order. `made` gives
    the same object until one of its texts is masked in another way; `last` is what it gave last.
    """

    def __init__(self, source: object, make: Callable[[Take], T]) -> None:
        self.source = source  # held, so that its id is not used again
        self.texts: list[MaskedText] = []
        self._make = make
        self._used: list[str] = []
        self.last: T | None = None
        make(self._note)

    def __repr__(self) -> str:
        return f"Part({type(self.source).__name__})"

    def made(self) -> T:
        """The masked thing."""
        used = [text.masked for text in self.texts]
        if self.last is None or self._used != used:
            self._used = used
            self.last = self._make(_in_turn(used))
        return self.last

    def _note(self, text: str) -> str:
        self.texts.append(MaskedText(text))
        return text


def _in_turn(texts: Sequence[str]) -> Take:
    following = iter(texts)
    return lambda _: next(following)


class States:
    """What a provider wants to see again, marked with the vault that its text was masked by.

    A state was made of masked text and goes back as it came. Without the mark, or with that of
    another vault, it may hold clear text or placeholders that mean nothing: it is left out.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def outward(self, provider: str) -> str:
        """The name under which answers of a masked provider are kept."""
        return self._prefix + provider

    def mark(self, state: Any, nonce: str) -> Any:
        """A state to keep with a message."""
        return None if state is None else {"vault": nonce, "state": state}

    def inward(self, message: Message, nonce: str) -> tuple[str, Any]:
        """The provider's own name and state, as it knows them; "" and None where it must not."""
        is_ours = message.provider.startswith(self._prefix)
        state = message.state
        if is_ours and isinstance(state, Mapping) and state.get("vault") == nonce:
            return message.provider.removeprefix(self._prefix), state.get("state")
        return "", None


def text_part(text: str) -> Part[str]:
    """A text by itself."""
    return Part(text, lambda take: take(text))


def message_part(message: Message, states: States, nonce: str) -> Part[Message]:
    """A message: its text, the arguments of its calls, what a tool gave as text.

    A text of more than 200,000 characters is cut there, and says so: to look through it takes
    seconds, and what was not looked through is not sent.
    """
    provider, state = states.inward(message, nonce)

    def make(take: Take) -> Message:
        return Message(
            role=message.role,
            text=_body(message, take),
            calls=tuple(
                ToolCall(call.id, call.name, _value(dict(call.arguments), take))
                for call in message.calls
            ),
            call_id=message.call_id,
            is_error=message.is_error,
            provider=provider,
            state=state,
        )

    return Part(message, make)


class Prefixes:
    """Instructions and tools, which all conversations share.

    What is personal in them is looked for once; and where nothing is, all conversations send the
    same object, so that its bytes are made once.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Part[Prefix], Prefix]] = OrderedDict()

    def part(self, prefix: Prefix) -> Part[Prefix]:
        """A prefix for one conversation."""
        if id(prefix) not in self._kept:
            self._kept[id(prefix)] = (_prefix_part(prefix, None), _masked_prefix(prefix, str))
            if len(self._kept) > _PREFIXES:
                self._kept.popitem(last=False)
        first, plain = self._kept[id(prefix)]
        part = _prefix_part(prefix, plain)
        part.texts[:] = [text.again() for text in first.texts]
        return part


def _prefix_part(prefix: Prefix, plain: Prefix | None) -> Part[Prefix]:
    def make(take: Take) -> Prefix:
        is_plain = True

        def taking(text: str) -> str:
            nonlocal is_plain
            masked = take(text)
            is_plain &= masked == text
            return masked

        made = _masked_prefix(prefix, taking)
        return plain if plain is not None and is_plain else made

    return Part(prefix, make)


def _masked_prefix(prefix: Prefix, take: Take) -> Prefix:
    """Instructions, with the note, and tools."""
    instructions = take(prefix.instructions)
    tools = {id(tool): tool for tool in (*prefix.tools, *(prefix.offered or ()))}
    made = {key: _tool(tool, take) for key, tool in tools.items()}
    offered = prefix.offered
    return Prefix(
        instructions=f"{instructions}\n\n{NOTE}".lstrip(),
        tools=[made[id(tool)] for tool in prefix.tools],
        offered=None if offered is None else [made[id(tool)] for tool in offered],
    )


def schema_part(schema: OutputSchema) -> Part[OutputSchema]:
    """The schema of an answer."""
    return Part(schema, lambda take: replace(schema, schema=relaxed(schema.schema, take)))


def _tool(tool: Tool, take: Take) -> Tool:
    description = take(tool.description)
    return replace(tool, description=description, parameters=relaxed(tool.parameters, take))


def _body(message: Message, take: Take) -> str:
    """A message's text. JSON with escapes in it is masked by value: they could hide one."""
    text = message.text
    if len(text) > _LONGEST_CHARS:
        # Not in the middle of a word: half a name would not be known.
        at = max(text.rfind(" ", 0, _LONGEST_CHARS), _LONGEST_CHARS - _LONGEST_WORD)
        return take(text[:at]) + _CUT.format(len(text) - at)
    if message.role == "tool" and text[:1] in ("{", "[") and "\\" in text:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return take(text)
        masked = _value(value, take)
        return text if masked == value else json.dumps(masked, ensure_ascii=False)
    return take(text)


def _value(value: Any, take: Take) -> Any:
    return rebuilt(value, _each(value, take))


def _each(value: Any, take: Take) -> Iterator[str]:
    return iter([take(text) for text in texts_in(value)])
