"""Every error of the tools, sorted by who must act.

    ToolsError
    ├── InvalidInput            the model: an argument is wrong; correct it and call again
    ├── NotFound                the model: nothing has that id; look it up first
    ├── Conflict                the model or the customer: the state does not allow it (a slot is
    │                           taken, a draft was sent, a key was used with other arguments)
    ├── NotAllowed              staff: a rule of the business stands against it
    ├── BackendConfigError      the operator: a path, a database or a setting is wrong
    ├── BackendUnavailable      nobody yet: the same call later may work
    └── OutcomeUnknown          the effect may or may not have happened: look it up first

Data is in fields; the sentence names the thing and the next step. No secret is in a message.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "BackendConfigError",
    "BackendUnavailable",
    "Conflict",
    "InvalidInput",
    "NotAllowed",
    "NotFound",
    "Outcome",
    "OutcomeUnknown",
    "ToolsError",
]

Outcome = Literal["none", "done", "unknown"]


class ToolsError(Exception):
    """The root: catch it to catch everything the tools raise on purpose.

    `code` is stable; `outcome` says what became of the effect that was asked for; only a
    `retryable` error may be repeated unchanged, after `retry_after_s` where that is known.
    `hint` is the next step, or None where the message says it.
    """

    code = "error"
    retryable = False
    outcome: Outcome = "none"
    retry_after_s: float | None = None

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class InvalidInput(ToolsError):
    """An argument is missing, malformed or unknown: correct it and call again."""

    code = "invalid_input"


class NotFound(ToolsError):
    """Nothing has the id or key that was given."""

    code = "not_found"


class Conflict(ToolsError):
    """The present state does not allow it; repeating the call unchanged cannot help."""

    code = "conflict"


class NotAllowed(ToolsError):
    """A rule of the business stands against it; a person of the business decides."""

    code = "not_allowed"


class BackendConfigError(ToolsError):
    """A path, a database or a setting is wrong; whoever runs the server must change it."""

    code = "backend_config"


class BackendUnavailable(ToolsError):
    """The backend does not answer right now; nothing was done."""

    code = "backend_unavailable"
    retryable = True

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(ToolsError):
    """The effect was sent and its outcome is not known: look it up before anything else."""

    code = "outcome_unknown"
    outcome = "unknown"
