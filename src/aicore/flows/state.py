"""Where a conversation stands: plain JSON that travels with each answer and comes back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

__all__ = ["Frame", "State", "Wait"]

Wait = Literal["", "collect", "confirm", "call", "handoff", "agent", "resume"]


@dataclass(slots=True, kw_only=True)
class Frame:
    """A flow under way.

    `slots` as read, `saved` what calls gave. `partial`: a half-read answer per slot. `gone`:
    values that turned out to be taken. `done`: steps whose effect has happened. `shown`: the
    rows behind the numbers on the screen; `seen`: all rows that were ever shown. `declined`: the
    confirm step that was answered with no. `began`: the customer's words that started it.
    """

    flow: str
    step: int = 0
    slots: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    partial: dict[str, Any] = field(default_factory=dict)
    gone: dict[str, list[Any]] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    agent_turns: int = 0
    began: str = ""
    declined: int | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """Everything the engine knows between two messages.

    `wait` is what the next message answers. `prompt` is the open question, `menu` the flows
    behind the numbers of a menu, `ended` the last `flow` that had an effect and the time `when`
    it chose. `known` holds the customer's name, e-mail and phone.
    """

    version: str
    greeted: bool = False
    wait: Wait = ""
    frame: Frame | None = None
    ended: dict[str, str] = field(default_factory=dict)
    paused: list[Frame] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    prompt: str = ""
    menu: list[str] = field(default_factory=list)
    misses: int = 0
    calls: int = 0
    said: str = ""
    reason: str = ""
    summary: str = ""
    last: str = ""
    inner: Any = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, version: str) -> State:
        """Rebuild from `to_json`; anything else gives a fresh state."""
        if not isinstance(value, dict) or not isinstance(value.get("version"), str):
            return cls(version=version)
        known = {one.name for one in fields(cls)}
        data = {key: item for key, item in value.items() if key in known}
        frame = data.get("frame")
        data["frame"] = Frame(**frame) if frame else None
        data["paused"] = [Frame(**one) for one in data.get("paused", ())]
        return cls(**data)
