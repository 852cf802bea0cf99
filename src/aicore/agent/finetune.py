"""Conversations as examples to fine-tune a model with: answered turns alone, personal data masked.

The form is that of OpenAI's chat fine-tuning, which open trainers read as well: one JSON object a
line, `{"messages": [...]}`, https://platform.openai.com/docs/api-reference/fine-tuning/chat-input
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aicore.agent.labels import Labels
from aicore.log.events import Event, MessageReceived, ModelReplied, ReplySent, ToolFinished
from aicore.records import DataClass, Tool
from aicore.trust.data_classes import highest
from aicore.trust.labelled import labelled_values
from aicore.trust.placeholders import SHAPE
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

__all__ = ["Example", "example_of"]

_FIELDS: Mapping[str, str] = {
    "name": "NAME",
    "first_name": "NAME",
    "last_name": "NAME",
    "customer_name": "NAME",
    "email": "EMAIL",
    "customer_email": "EMAIL",
    "phone": "PHONE",
    "address": "ADDRESS",
    "birthday": "BIRTHDAY",
    "from": "PARTY",
    "to": "PARTY",
    "attendees": "PARTY",
}
"""Fields whose values are masked wherever they stand: a log does not keep what servers label."""


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation, masked. `turns` counts those that were answered."""

    messages: Sequence[Mapping[str, Any]]
    turns: int
    data_class: DataClass

    def to_line(self, instructions: str = "") -> str:
        """The line of the file, without its end; `instructions` become the system message."""
        system = [{"role": "system", "content": instructions}] if instructions else []
        return json.dumps({"messages": [*system, *self.messages]}, ensure_ascii=False)


async def example_of(events: Sequence[Event]) -> Example | None:
    """Make an example of a conversation; None where no turn of it was answered.

    Values that are found once are masked everywhere in it, as `[NAME_1]`, with no way back: the
    same value has the same mark in one conversation, and none in another.
    """
    answered = {event.turn for event in events if isinstance(event.body, ReplySent)}
    kept = [event for event in events if event.turn in answered]
    messages = list(_messages(kept))
    if not messages:
        return None
    # A vault of its own, in memory: nobody can put the values back.
    async with Vaults(MemoryVaultStore(), VaultKey.random()) as vaults:
        vault = await vaults.open("")
        for event in kept:
            if isinstance(event.body, ToolFinished) and event.body.structured is not None:
                await vault.assign(labelled_values(event.body.structured, _FIELDS))
        masked = await Pseudonyms(vault, Detector()).mask_value(messages)
    return Example(_plainly_marked(masked), len(answered), _class_of(events))


def _messages(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """The messages of answered turns, one turn after the other, each call with its result."""
    for turn in dict.fromkeys(event.turn for event in events):
        bodies = [event.body for event in events if event.turn == turn]
        results = {one.call_id: one for one in bodies if isinstance(one, ToolFinished)}
        for body in bodies:
            if isinstance(body, MessageReceived):
                yield {"role": "user", "content": body.text}
            elif isinstance(body, ModelReplied):
                yield from _reply(body, results)


def _reply(body: ModelReplied, results: Mapping[str, ToolFinished]) -> Iterator[dict[str, Any]]:
    calls = [call for call in body.calls if call.id in results]
    if not (body.text or calls):
        return
    reply: dict[str, Any] = {"role": "assistant", "content": body.text}
    if calls:
        reply["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for number, call in enumerate(calls, 1)
        ]
    yield reply
    for number, call in enumerate(calls, 1):
        result = results[call.id]
        content = result.text if result.structured is None else result.structured
        yield {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


def _plainly_marked(masked: Any) -> list[dict[str, Any]]:
    """Marks a trainer can read, and JSON as text where the format wants text."""
    text = SHAPE.sub(lambda found: f"[{found[1]}_{found[3]}]", json.dumps(masked))
    messages: list[dict[str, Any]] = json.loads(text)
    for message in messages:
        if not isinstance(message["content"], str):
            message["content"] = json.dumps(message["content"], ensure_ascii=False)
        for call in message.get("tool_calls", ()):
            function = call["function"]
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return messages


def _class_of(events: Sequence[Event]) -> DataClass:
    """How careful to be with a conversation: as its log says, and by its words."""
    labels = Labels(_no_tool)
    told: list[DataClass] = [
        event.body.data_class
        for event in events
        if isinstance(event.body, ModelReplied) and event.body.data_class is not None
    ]
    return highest("public", *told, *(labels.of(event.body) for event in events))


def _no_tool(name: str) -> Tool | None:
    return None
