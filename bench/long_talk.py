"""A conversation of a thousand turns with a business, made by rule, with needles in it.

A needle is a code that is told once: in a message, in a reply, in a tool's result or as the number
of a booking. Whoever asks for it a year later knows what it belongs to, not the code.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aicore import tool
from aicore.agent.tokens import estimate, estimate_message, estimate_prefix
from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Capabilities, Completion, Request, TextDelta
from aicore.records import Message, ToolCall

__all__ = ["INSTRUCTIONS", "Asked", "Needle", "Recorder", "Script", "tools"]

SEED = 20261121
INSTRUCTIONS = (
    "You are the receptionist of Lakeside Furniture, which delivers, repairs and stores. Be brief "
    "and kind. Look up stock before you promise anything. Book visits only with a day and a time. "
    "Never give advice on law, tax or health; offer a colleague instead. "
) * 4
_HEAD = encode_head("m", is_stream=False, options={})
_WORD_TEXT = """
    delivery table chair lamp oak walnut green linen drawer handle evening garden stairs lift van
    invoice colour sample corner shelf bench mirror carpet hallway window repair polish warranty
    storage weekend morning neighbour parking measure width height fabric leather cushion order
"""
_THING_TEXT = """
    aardvark badger camel dolphin eagle falcon gazelle heron ibis jackal koala lemur marmot newt
    otter panda quail raven salmon tapir urchin viper walrus yak zebra beaver cobra dingo ferret
    gecko hornet iguana kestrel lynx magpie narwhal ocelot puffin rhino stork turtle wombat
"""
_WORDS = _WORD_TEXT.split()
_THINGS = _THING_TEXT.split()
KINDS = ("message", "reply", "tool result", "booking")
_EVERY = 6
"""A needle in every so many turns, of each kind in turn."""


@dataclass(frozen=True, slots=True)
class Needle:
    """A code, where it was told, and by which words it is asked for."""

    kind: str
    code: str
    words: str
    turn: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its tokens by our estimate and by part, its bytes' length and what repeats.

    `stable_bytes` of the request before were to be repeated; `common_bytes` were.
    """

    turn: int
    tokens: int
    prefix_tokens: int
    output_tokens: int
    size: int
    stable_bytes: int
    common_bytes: int
    orphans: int


class Script:
    """What is said, turn by turn: the same for the same number of turns."""

    def __init__(self, turns: int) -> None:
        self._chance = random.Random(SEED)
        self._names = list(itertools.combinations(_THINGS, 2))
        self._chance.shuffle(self._names)
        self.needles: list[Needle] = []
        self.messages: list[str] = []
        self.replies: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]] | None] = []
        self.results: list[str] = []
        for turn in range(turns):
            self._add(turn)

    def _add(self, turn: int) -> None:
        message, reply = self._prose(12, 40), self._prose(15, 60)
        call: tuple[str, dict[str, Any]] | None = None
        result = self._prose(60, 140)
        what = self._chance.random()
        if what < 0.4:
            call = ("stock_find", {"words": self._prose(2, 4)})
        elif what < 0.5:
            call = ("visit_book", {"day": f"2026-12-{turn % 28 + 1:02d}", "time": "09:00"})
        needle = self._needle(turn)
        if needle is not None:
            told = f"The code of the {needle.words} is {needle.code}."
            if needle.kind == "message":
                message = f"{message} {told}"
            elif needle.kind == "reply":
                reply = f"{told} {reply}"
            elif needle.kind == "tool result":
                call = ("stock_find", {"words": self._prose(2, 4)})
                result = f"{self._prose(30, 70)} {told} {self._prose(30, 70)}"
            else:
                call = ("visit_book", {"day": "2026-12-01", "note": needle.words})
                result = needle.code
        self.messages.append(message)
        self.replies.append(reply)
        self.calls.append(call)
        self.results.append(result)

    def _needle(self, turn: int) -> Needle | None:
        if turn % _EVERY:
            return None
        number = turn // _EVERY
        thing = f"{' '.join(self._names[number % len(self._names)])} locker"
        code = f"{self._chance.choice('QXZ')}{self._chance.randrange(10**6):06d}"
        needle = Needle(KINDS[number % len(KINDS)], code, thing, turn)
        self.needles.append(needle)
        return needle

    def _prose(self, least: int, most: int) -> str:
        return " ".join(self._chance.choices(_WORDS, k=self._chance.randint(least, most)))


def tools(script: Script, current: Callable[[], int]) -> Sequence[Callable[..., Any]]:
    """Six tools of which two are used; `current` gives the turn they are called in."""

    @tool(read_only=True)
    def stock_find(words: str) -> str:
        """Find things in stock by words of their names. Gives names, sizes, prices and places."""
        return script.results[current()]

    @tool(honours_key=True)
    def visit_book(day: str, time: str = "09:00", note: str = "") -> dict[str, str]:
        """Book a visit of a fitter on a day, YYYY-MM-DD, and a time, HH:MM. Gives its number."""
        return {"visit_id": script.results[current()].split()[0], "day": day, "time": time}

    @tool(read_only=True)
    def prices_list(group: str) -> str:
        """List the prices of one group of goods, such as tables, in the currency of the shop."""
        return group

    @tool(read_only=True)
    def contact_find(name: str) -> str:
        """Find a customer by name, mail address or telephone number. Gives at most five."""
        return name

    @tool()
    def note_add(text: str) -> str:
        """Write a note for the staff into the customer's file. It is not shown to the customer."""
        return text

    @tool()
    def mail_send(to: str, subject: str, text: str) -> str:
        """Send a mail to the customer, from the address of the shop. It cannot be taken back."""
        return to

    return stock_find, visit_book, prices_list, contact_find, note_add, mail_send


@dataclass(slots=True)
class Recorder:
    """A provider that says what the script says, and keeps what each request was like.

    With `is_measuring` off it only encodes requests, as any provider must.
    """

    script: Script
    is_measuring: bool = True
    turn: int = 0
    asked: list[Asked] = field(default_factory=list)
    last: Request | None = None
    name: str = "recorder"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(locality="in_process", context_tokens=200_000)
    )
    _sent: bytes = b""

    async def complete(self, request: Request) -> Completion:
        """Call what the turn calls for, then say its reply."""
        body = encode_body(request, _HEAD, limit_field="max_tokens")
        call = self.script.calls[self.turn]
        if call is not None and request.tail[-1].role == "user":
            completion = Completion(text="", calls=(ToolCall("call_0", *call),), model="m")
        else:
            completion = Completion(text=self.script.replies[self.turn], model="m")
        if self.is_measuring:
            self._measure(request, body, completion)
        self.last = request
        return completion

    def _measure(self, request: Request, body: bytes, completion: Completion) -> None:
        before, self._sent = self._sent, body
        stable = max(before.rfind(b"\\n\\n<context>"), 0)
        summary = [] if request.summary is None else [request.summary]
        prefix = estimate_prefix(request.prefix)
        messages = sum(map(estimate_message, [*summary, *request.tail]))
        said = estimate(completion.text) + sum(estimate(str(one)) for one in completion.calls)
        self.asked.append(
            Asked(
                turn=self.turn,
                tokens=prefix + messages + estimate(request.volatile),
                prefix_tokens=prefix,
                output_tokens=said,
                size=len(body),
                stable_bytes=stable,
                common_bytes=min(_common(before, body), stable),
                orphans=_orphans(request.tail),
            )
        )

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer in one piece."""
        yield await self.complete(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts share from the first on."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _orphans(tail: Sequence[Message]) -> int:
    """Results without a call before them, and calls without a result behind them."""
    orphans = 0
    expected: list[str] = []
    for message in tail:
        if message.role == "tool":
            if message.call_id in expected:
                expected.remove(message.call_id)
            else:
                orphans += 1
            continue
        orphans += len(expected)
        expected = [call.id for call in message.calls]
    return orphans + len(expected)
