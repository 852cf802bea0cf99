"""The words that bench, fake model and fake tools exchange, so that every turn can be checked.

A question carries a nonce and says what the fake model shall do. The model asks for the tools,
the tool answers `echo:<text>:<checksum>`, and the model's last answer repeats what the tools
said. An answer can only be right when every call and every result went the whole way.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

MODEL = "bench-model"
INSTRUCTIONS = (
    "You are the receptionist of a small business. You answer customers politely and briefly. "
    "You look orders up with the tools you have before you say anything about them, and you "
    "never promise what a tool has not confirmed. If you do not know, you say so."
)
CHUNK_TEXT = "word "
TOOL_NAME = "look_up_orders_"

ECHO = re.compile(r"echo:([0-9a-z.]+):([0-9a-f]{8})")
_QUESTION = re.compile(
    r"\[nonce=(\w+) turn=(\d+) rounds=(\d+) calls=(\d+) tools=(\d+) chunks=(\d+) pause_us=(\d+)\]"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a customer asks, and what the fake model shall do about it.

    `turn` counts from 1 within the conversation: so many questions must be in the request.
    `rounds` times the model asks for `calls` tools at once. `tools` is how many tools must be
    offered. `chunks` and `pause_us` shape a streamed answer.
    """

    nonce: str
    turn: int
    rounds: int
    calls: int
    tools: int
    chunks: int = 0
    pause_us: int = 0

    def text(self) -> str:
        """The message that is sent."""
        return (
            "Good morning, I ordered a bicycle bell and two tyres last week. "
            "Could you look up the state of my order, please? "
            f"[nonce={self.nonce} turn={self.turn} rounds={self.rounds} calls={self.calls} "
            f"tools={self.tools} chunks={self.chunks} pause_us={self.pause_us}]"
        )

    def call_text(self, round_number: int, position: int) -> str:
        """The argument of one tool call."""
        return f"{self.nonce}.{round_number}.{position}"

    def answer(self, results: list[str]) -> str:
        """The model's last answer, given what the tools said."""
        words = CHUNK_TEXT * max(self.chunks - 1, 0)
        return f"{words}Order {self.nonce}: {' '.join(results) or 'on its way.'}"

    def expected(self) -> str:
        """The only right answer."""
        pairs = ((r, c) for r in range(self.rounds) for c in range(self.calls))
        return self.answer([echo(self.call_text(r, c)) for r, c in pairs])


def question_in(text: str) -> Question | None:
    """The question in a user message, or None."""
    found = _QUESTION.search(text)
    if found is None:
        return None
    nonce, *numbers = found.groups()
    return Question(nonce, *map(int, numbers))


def echo(text: str) -> str:
    """What an honest tool answers."""
    return f"echo:{text}:{zlib.crc32(text.encode()):08x}"
