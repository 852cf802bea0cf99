"""Conversations as examples to fine-tune a model with: answered turns alone, personal data masked.

The form is that of OpenAI's chat fine-tuning, which open trainers read as well: one JSON object a
line, `{"messages": [...]}`, https://platform.openai.com/docs/api-reference/fine-tuning/chat-input
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from aicore.agent.labels import Labels
from aicore.agent.personal_fields import numbers_as_text, personal_values, read_json
from aicore.log.events import Body, Event, MessageReceived, ModelReplied, ReplySent, ToolFinished
from aicore.records import DataClass, Tool
from aicore.trust.data_classes import highest
from aicore.trust.placeholders import SHAPE
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

__all__ = ["Example", "example_of"]


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation, masked. `turns` counts those that were answered."""

    messages: Sequence[Mapping[str, Any]]
    turns: int
    data_class: DataClass

    def to_line(self, instructions: str = "") -> str:
        """The line of the file, without its end; `instructions` become the system message."""
        system = [{"role": "system", "content": instructions}] if instructions else []
        return _to_text({"messages": [*system, *self.messages]})


async def example_of(events: Sequence[Event], conversation: str = "") -> Example | None:
    """Make an example of a conversation; None where no turn of it was answered by a model.

    Values that are found once, also in turns that are left out, are masked everywhere in it, as
    `[NAME_1]`, with no way back: the same value has the same mark in one conversation, and none
    in another. So are the id of the `conversation` and of whoever speaks in it.
    """
    answered = _answered(events)
    kept = list(_messages([event for event in events if event.turn in answered]))
    if not kept:
        return None
    # A vault of its own, in memory: nobody can put the values back.
    async with Vaults(MemoryVaultStore(), VaultKey.random()) as vaults:
        vault = await vaults.open("")
        known = [one for event in events for one in _known(event.body)]
        ids = (conversation, conversation.partition(":")[2])
        await vault.assign([*known, *(("ID", one) for one in ids)])
        # The others are read along for what they hold.
        others = list(_messages([event for event in events if event.turn not in answered]))
        _, masked = await Pseudonyms(vault, Detector()).mask_value([others, kept])
    return Example(_plainly_marked(masked), len(answered), _class_of(events))


def _answered(events: Sequence[Event]) -> set[int]:
    """The turns that a model answered in words."""
    degraded = {
        event.turn
        for event in events
        if isinstance(event.body, ModelReplied) and (event.body.route or {}).get("degraded")
    }
    said = {
        event.turn
        for event in events
        if isinstance(event.body, ReplySent) and event.body.text.strip()
    }
    return said - degraded


def _known(body: Body) -> Iterator[tuple[str, str]]:
    """Personal values by the fields they stand in, and who speaks."""
    if isinstance(body, MessageReceived):
        yield "ID", body.principal.id
    elif isinstance(body, ModelReplied):
        for call in body.calls:
            yield from personal_values(call.arguments)
    elif isinstance(body, ToolFinished):
        given = body.structured
        yield from personal_values(read_json(body.text) if given is None else given)


def _messages(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """The messages of turns, one turn after the other, each call with its result."""
    numbers = count(1)
    for turn in dict.fromkeys(event.turn for event in events):
        bodies = [event.body for event in events if event.turn == turn]
        results = {one.call_id: one for one in bodies if isinstance(one, ToolFinished)}
        for body in bodies:
            if isinstance(body, MessageReceived):
                yield {"role": "user", "content": body.text}
            elif isinstance(body, ModelReplied):
                yield from _reply(body, results, numbers)


def _reply(
    body: ModelReplied, results: Mapping[str, ToolFinished], numbers: Iterator[int]
) -> Iterator[dict[str, Any]]:
    calls = [(f"call_{next(numbers)}", call) for call in body.calls if call.id in results]
    if not (body.text or calls):
        return
    reply: dict[str, Any] = {"role": "assistant", "content": body.text}
    if calls:
        reply["tool_calls"] = [
            {
                "id": id_,
                "type": "function",
                "function": {"name": call.name, "arguments": numbers_as_text(call.arguments)},
            }
            for id_, call in calls
        ]
    yield reply
    for id_, call in calls:
        result = results[call.id]
        given = result.structured
        content = result.text if given is None else numbers_as_text(given)
        yield {"role": "tool", "tool_call_id": id_, "content": content}


def _plainly_marked(masked: Any) -> list[dict[str, Any]]:
    """Marks a trainer can read, and JSON as text where the format wants text."""
    text = SHAPE.sub(lambda found: f"[{found[1]}_{found[3]}]", json.dumps(masked))
    messages: list[dict[str, Any]] = json.loads(text)
    for message in messages:
        if not isinstance(message["content"], str):
            message["content"] = _to_text(message["content"])
        for call in message.get("tool_calls", ()):
            function = call["function"]
            function["arguments"] = _to_text(function["arguments"])
    return messages


def _to_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, which Python allows and UTF-8 does not
        return json.dumps(value)
    return text


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
