"""How much of a conversation a model is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aicore.errors import ConfigError

__all__ = ["ContextLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextLimits:
    """When a conversation is compacted, and what is left of it in view.

    Once its messages and summary pass `compact_at_tokens`, or with instructions and tools
    `compact_at_share` of what the provider can read where that is known, older turns give way to
    a summary. The newest turns stay: about `keep_tokens` of them, and at least `keep_turns` that
    were answered, unless these alone are too many. `summary` says who writes it: a "rule", from
    the events, or the "model" of the agent, with the rule where it fails.

    Where there are more than `most_tools` tools (None: however many), their definitions are sent
    only of those that the model looks for.
    """

    compact_at_tokens: int = 12_000
    compact_at_share: float = 0.6
    keep_tokens: int = 3_000
    keep_turns: int = 3
    summary: Literal["rule", "model"] = "rule"
    most_tools: int | None = 40

    def __post_init__(self) -> None:
        if not self.compact_at_tokens >= 500:
            raise ConfigError("ContextLimits.compact_at_tokens must be 500 or more.")
        if not 0 < self.compact_at_share <= 0.9:
            raise ConfigError("ContextLimits.compact_at_share must be above 0, and at most 0.9.")
        if not 0 < self.keep_tokens <= self.compact_at_tokens / 2:
            raise ConfigError(
                "ContextLimits.keep_tokens must be above 0, and at most half of compact_at_tokens."
            )
        if not self.keep_turns >= 1:
            raise ConfigError("ContextLimits.keep_turns must be 1 or more.")
        if self.most_tools is not None and not self.most_tools >= 0:
            raise ConfigError("ContextLimits.most_tools must be 0 or more, or None.")
        if self.summary not in ("rule", "model"):
            raise ConfigError('ContextLimits.summary is "rule" or "model".')
