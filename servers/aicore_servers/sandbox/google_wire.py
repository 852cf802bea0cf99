"""What the parts of Google's sandbox share: one call, and a refusal as Google words it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call", "Handler", "Refusal", "conflict", "invalid", "missing"]

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One checked call: whose account, the parameters by name, the JSON body.

    `media` is an uploaded message (RFC 822), `if_match` the etag that must still hold.
    """

    account: str
    parameters: Mapping[str, Any]
    body: dict[str, Any] = field(default_factory=dict)
    media: bytes | None = None
    if_match: str = ""


Handler = Callable[[Call], dict[str, Any] | None]
"""Answers one method; None is an answer without a body."""


class Refusal(Exception):
    """An error as Google answers it: a status, a reason that programs read, a sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> dict[str, Any]:
        """Give the JSON of the answer, as Gmail and Calendar both write it."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
        }
        if self.status in _STATUS_NAMES:
            error["status"] = _STATUS_NAMES[self.status]
        return {"error": error}


def missing(message: str = "Requested entity was not found.") -> Refusal:
    """Give the refusal for what is not there."""
    return Refusal(404, "notFound", message)


def invalid(message: str) -> Refusal:
    """Give the refusal of a request that is wrong in itself."""
    return Refusal(400, "invalidArgument", message)


def conflict(message: str) -> Refusal:
    """Give the refusal of what exists already."""
    return Refusal(409, "duplicate", message)
