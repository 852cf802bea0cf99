"""Operations: how one effect is named, so that it happens once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Effect", "Operation"]

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One effect as its caller named it.

    `key` is the caller's operation key: the same key and arguments mean the same effect. None:
    the caller sent none, and repeating the call repeats the effect. `args_hash` tells a repeat
    from another call that reuses the key.
    """

    tool: str
    args_hash: str
    key: str | None = None

    @classmethod
    def of(cls, tool: str, arguments: Mapping[str, Any], key: str | None = None) -> Operation:
        """Name the call of `tool` with these JSON arguments."""
        canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return cls(tool=tool, args_hash=hashlib.sha256(canonical.encode()).hexdigest(), key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Generic[T]):
    """What an effect gave. `is_replay`: it was done earlier under the same key, not again now."""

    result: T
    is_replay: bool = False

    def map(self, change: Callable[[T], U]) -> Effect[U]:
        """Give the same effect with another view of its result."""
        return Effect(result=change(self.result), is_replay=self.is_replay)
